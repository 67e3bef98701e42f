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
