# SPDX-License-Identifier: MIT
"""What /metrics tells of a whole host: the histograms of requests and model
calls, what the processes share, and that promtool has nothing against it."""
import os
import re
import signal
import subprocess

import pytest

import stack as st

AGENTS = ["openai-api|stub-ok"] * 2


def metrics(s):
    return s.get("/metrics", check=False).text


def value(text, series):
    """Of one line, series being everything before its value."""
    m = re.search(rf"^{re.escape(series)} (\S+)$", text, re.M)
    return None if m is None else float(m[1])


def count(text, name, **labels):
    """Sum of the series of name that have these labels, among others."""
    out = 0
    for line in re.findall(rf"^{name}(?:{{.*}})? \S+$", text, re.M):
        if all(f'{k}="{v}"' in line for k, v in labels.items()):
            out += float(line.rsplit(" ", 1)[1])
    return out


API = "aragora_api_request_duration_seconds"
AGENT = "aragora_agent_response_time_seconds"


@pytest.fixture(scope="module")
def stack():
    with st.Stack(stub=True, ARAGORA_ENABLE_TELEMETRY="1") as s:
        yield s


def test_requests(stack):
    before = metrics(stack)
    for _ in range(5):
        stack.get("/api/v1/agents")
        assert stack.get("/api/debates/none_1", check=False).status_code == 404
    stack.get("/api/nothing/here", check=False)
    after = metrics(stack)
    for status, path, n in (("2xx", "/api/agents", 5),
                            ("4xx", "/api/debates/{id}", 5),
                            ("4xx", "none", 1)):
        labels = {"method": "GET", "endpoint": path, "status": status}
        assert count(after, API + "_count", **labels) - \
            count(before, API + "_count", **labels) == n, path
        assert count(after, API + "_bucket", le="+Inf", **labels) == \
            count(after, API + "_count", **labels)
    assert count(after, API + "_sum") > count(before, API + "_sum")
    assert "none_1" not in after and "nothing/here" not in after


def test_model_calls(stack):
    stack.wait_end(stack.create(agents=AGENTS, rounds=1))
    text = metrics(stack)
    # Two proposals at least; by the name of the register, whatever the seats
    # are called.
    assert count(text, AGENT + "_count", agent="openai-api") >= 2
    assert count(text, AGENT + "_count") == \
        count(text, AGENT + "_count", agent="openai-api")
    assert count(text, "aragora_llm_calls_total") >= \
        count(text, AGENT + "_count")


def test_shared_levels(stack):
    """Both workers see the same queue: it is not counted twice."""
    stack.runners[0].send_signal(signal.SIGSTOP)
    try:
        before = value(metrics(stack), "aragora_debates_queued")
        for _ in range(3):
            stack.create(agents=AGENTS, rounds=1)
        st.wait_for("the queue in /metrics", lambda: value(
            metrics(stack), "aragora_debates_queued") == before + 3)
        text = metrics(stack)
        assert value(text, 'aragora_up{service="database"}') == 1
        assert value(text, 'aragora_up{service="redis"}') == 0
        assert value(text, "aragora_debates_capacity") == 10
    finally:
        stack.runners[0].send_signal(signal.SIGCONT)


def test_survives_its_processes(stack):
    """A killed worker's counts stay."""
    before = count(metrics(stack), API + "_count")
    os.kill(stack.worker_pids[0], signal.SIGKILL)
    assert count(metrics(stack), API + "_count") >= before > 0


NAMED = (  # what an operator is promised, by what it is about
    "aragora_debates_active", "aragora_debates_total",
    "aragora_websocket_connections", API, AGENT,  # the Scaling Guide's
    "aragora_debates_capacity", "aragora_debates_capacity_cluster",
    "aragora_debates_queued", "aragora_queue_oldest_seconds",
    "aragora_db_pool_in_use", "aragora_db_pool_idle",
    "aragora_db_pool_waiting", "aragora_db_pool_timeouts_total",
    "aragora_cache_hits_total", "aragora_cache_misses_total",
    "aragora_cache_entries", "aragora_cache_fallbacks_total",
    "aragora_rate_limited_total", "aragora_rate_limit_fallbacks_total",
    "aragora_rate_limit_keys", "aragora_breaker_state",
    "aragora_breaker_openings_total", "aragora_bridges",
    "aragora_websocket_connections_cluster",
    "aragora_event_stream_connections", "aragora_websocket_subscriptions",
    "aragora_websocket_messages_total", "aragora_websocket_refused_total",
    "aragora_websocket_slow_closed_total")


def test_all_that_is_named(stack):
    stack.wait_end(stack.create(agents=AGENTS, rounds=1))
    text = metrics(stack)
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    for name in NAMED:
        assert name in types, name
        assert types[name] == ("counter" if name.endswith("_total") else
                               "histogram" if name in (API, AGENT) else
                               "gauge"), name


def test_breakers():
    """Three failures open the provider's breaker; when the runner is killed
    what it counted stays, and the state of its breakers goes with it."""
    state = 'aragora_breaker_state{provider="openai"}'
    opened = 'aragora_breaker_openings_total{provider="openai"}'
    with st.Stack(stub=True) as s:
        assert value(metrics(s), state) == value(metrics(s), opened) == 0
        # A seat whose key is refused is asked once.
        for _ in range(3):
            s.wait_end(s.create(agents=["openai-api|stub-401", "demo"],
                                rounds=1))
        text = st.wait_for("an open breaker", lambda: value(
            metrics(s), state) == 2 and metrics(s))
        n = value(text, opened)
        calls = value(text, "aragora_llm_calls_total")
        assert n >= 1 and calls >= 3
        assert value(text, 'aragora_breaker_state{provider="xai"}') == 0
        os.kill(s.runners[0].pid, signal.SIGKILL)
        s.runners[0].wait()
        text = metrics(s)
        assert value(text, opened) == n
        assert value(text, "aragora_llm_calls_total") == calls
        assert value(text, state) == 0
        assert value(text, "aragora_debates_capacity") == 0


def test_promtool(stack):
    text = metrics(stack)
    assert "_bucket" in text
    r = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                       capture_output=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def test_off():
    """No histogram, no label of a route; the rest is there all the same."""
    with st.Stack() as s:
        s.get("/api/agents")
        text = metrics(s)
        assert API not in text
        assert count(text, "aragora_http_requests_total") > 0
