# SPDX-License-Identifier: MIT
"""Traces as OTLP: one debate is one tree of spans, whatever happens to the
collector happens to nobody else."""
import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import threading

import pytest
import websockets

import stack as st
from otlp_kit import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e47{:02x}"
CALLER = "00f067aa0ba902b7"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
QUESTION = "Is marmalade good?"


def settings(collector, **more):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **SOON, **more}


def parent_of(trace, flags="01"):
    return {"traceparent": f"00-{trace}-{CALLER}-{flags}"}


def counted(s):
    """{result: spans} so far."""
    text = s.get("/metrics", check=False).text
    return {k: int(v) for k, v in re.findall(
        r'aragora_trace_spans_total\{result="(\w+)"\} (\d+)', text)}


def create(s, trace, flags="01", **body):
    r = s.post("/api/debates", {
        "task": QUESTION, "rounds": 1, "seed": 4, "consensus": "majority",
        **body}, headers=parent_of(trace, flags) if trace else {})
    assert r.status_code == 201, r.text
    return r


def wait_spans(collector, trace, *names):
    """The spans of a trace, once all of these are there."""
    def there():
        spans = collector.of(trace)
        return spans if set(names) <= {s.name for s in spans} else None
    return st.wait_for(f"{names} of {trace}", there)


def sent(s):
    """(trace, span) of each request to the provider."""
    with open(s.stub_log, encoding="utf-8") as f:
        told = [json.loads(line)["traceparent"] for line in f]
    return {tuple(p.split("-")[1:3]) for p in told}


@pytest.fixture(name="stack", scope="module",
                params=[("sqlite", "fcgi"), ("postgresql", "scgi")],
                ids=lambda p: "-".join(p))
def fixture_stack(request):
    database, protocol = request.param
    url = request.getfixturevalue("postgres").database() \
        if database == "postgresql" else None
    with Collector() as c, \
            st.Stack(database_url=url, stub=True, protocol=protocol,
                     OTEL_RESOURCE_ATTRIBUTES=(
                         "deployment.environment=a%20test"),
                     ARAGORA_LLM_MAX_ATTEMPTS="2", **settings(c)) as s:
        s.collector = c
        yield s


@pytest.fixture(name="collector")
def fixture_collector(stack):
    return stack.collector


# ---- the tree ----

async def watch(s, debate_id, headers):
    url = f"ws://127.0.0.1:{s.port}/ws?debate_id={debate_id}&since=0"
    async with websockets.connect(url, extra_headers=headers) as ws:
        while json.loads(await ws.recv())["type"] != "debate_end":
            pass


def check_calls(s, calls, debate):
    """Each has the id that its provider got, and lies within the debate."""
    assert {(c.trace, c.id) for c in calls} <= sent(s)
    for c in calls:
        assert (c.kind, c.parent) == ("client", debate.id)
        assert debate.start <= c.start <= c.end <= debate.end
        assert c["gen_ai.system"] == "openai"
        assert c["aragora.debate.id"] == debate["aragora.debate.id"]
        assert c["aragora.debate.round"] == 1
        assert c.resource["service.name"] == "aragora-runner"


def test_tree(stack, collector):
    """Caller -> request -> debate -> calls, and the one who watches."""
    trace = TRACE.format(1)
    before = sent(stack) if os.path.exists(stack.stub_log) else set()
    r = create(stack, trace, agents=[
        "openai-api|stub-cut", "openai-api|stub-ok", "openai-api|stub-ok"])
    debate_id = r.json()["debate_id"]
    mine = r.headers["traceparent"]
    asyncio.run(watch(stack, debate_id, {"traceparent": mine}))
    spans = wait_spans(collector, trace, "debate", "connection")
    by_id = {s.id: s for s in spans}
    assert len(by_id) == len(spans)
    request = by_id[mine.split("-")[2]]
    assert (request.kind, request.parent, request.is_error) == (
        "server", CALLER, False)
    assert request.name == "POST /api/debates"
    assert request.attributes == {
        "http.request.method": "POST", "http.route": "/api/debates",
        "http.response.status_code": 201, "aragora.tenant": "default",
        "aragora.request.id": r.headers["X-Request-ID"]}
    assert request.resource["service.name"] == "aragora-fcgi"
    debate, = (s for s in spans if s.name == "debate")
    assert (debate.kind, debate.parent, debate.is_error) == (
        "internal", request.id, False)
    assert debate.attributes == {
        "aragora.debate.id": debate_id, "aragora.tenant": "default",
        "aragora.debate.status": "completed", "aragora.debate.round": 1}
    assert request.start <= debate.start
    calls = [s for s in spans if s.kind == "client"]
    assert {(c.trace, c.id) for c in calls} == sent(stack) - before
    check_calls(stack, calls, debate)
    watcher, = (s for s in spans if s.name == "connection")
    assert (watcher.kind, watcher.parent) == ("server", request.id)
    assert watcher["aragora.debate.id"] == debate_id
    assert watcher["http.response.status_code"] == 101
    assert watcher["aragora.websocket.close_code"] == 1000
    assert watcher.resource["service.name"] == "aragora-ws"
    # One tree: all of them lead to the caller.
    assert {s.parent for s in spans} - set(by_id) == {CALLER}
    assert {s.resource["deployment.environment"] for s in spans} == {"a test"}


def test_calls(stack, collector):
    """As the books have them: what it was for, tokens, retries, errors."""
    trace = TRACE.format(2)
    debate_id = create(stack, trace, agents=[
        "openai-api|stub-rst", "openai-api|stub-ok",
        "openai-api|stub-ok"]).json()["debate_id"]
    spans = wait_spans(collector, trace, "debate")
    debate, = (s for s in spans if s.name == "debate")
    calls = {s.id: s for s in spans if s.kind == "client"}
    check_calls(stack, calls.values(), debate)
    rows = [c for c in stack.get(f"/api/debates/{debate_id}/calls")["calls"]
            if c["state"] != "unsent"]
    assert {c["span_id"] for c in rows} == set(calls)
    for row in rows:
        c = calls[row["span_id"]]
        assert c["gen_ai.request.model"] == row["model"]
        assert c.name.endswith(" " + row["model"])
        assert c["aragora.call.kind"] == row["kind"]
        assert c["aragora.call.attempt"] == row["attempt"]
        assert c.is_error == (row["state"] == "failed")
        assert c["error.type"] == row.get("error_class")
        if row["state"] == "answered":
            assert c["http.response.status_code"] == 200
            assert c["gen_ai.usage.input_tokens"] == row["tokens_in"]
            assert c["gen_ai.usage.output_tokens"] == row["tokens_out"]
    assert {"first", "retry"} <= {c["aragora.call.kind"]
                                  for c in calls.values()}
    assert {"chat"} <= {c["gen_ai.operation.name"] for c in calls.values()}
    assert {"propose", "vote"} <= {c["aragora.debate.phase"]
                                   for c in calls.values()}


def test_failed(stack, collector):
    """All agents are refused: debate and calls are errors."""
    trace = TRACE.format(3)
    create(stack, trace, agents=["openai-api|stub-401"] * 2)
    spans = wait_spans(collector, trace, "debate")
    debate, = (s for s in spans if s.name == "debate")
    assert debate.is_error and debate["error.type"] == "failed"
    calls = [s for s in spans if s.kind == "client"]
    assert calls
    for c in calls:
        assert c.is_error and c["error.type"] == "auth"
        assert c["http.response.status_code"] == 401


def test_cancelled(stack, collector):
    """Who cancels it tells its end; what was under way is told as well."""
    trace = TRACE.format(4)
    before, n = sent(stack), stack.stub_requests()["total"]
    debate_id = create(stack, trace, agents=[
        "openai-api|stub-slow-ttfb@600000"] * 2).json()["debate_id"]
    st.wait_for("calls", lambda: stack.stub_requests()["total"] == n + 2)
    r = stack.post(f"/api/debates/{debate_id}/cancel")
    assert r.status_code == 200, r.text
    spans = st.wait_for("three spans", lambda: [
        s for s in collector.of(trace) if s.kind != "server"]
        if len(collector.of(trace)) == 4 else None)
    debate, = (s for s in spans if s.name == "debate")
    assert debate["aragora.debate.status"] == "cancelled"
    assert not debate.is_error
    calls = [s for s in spans if s.kind == "client"]
    st.wait_for("its log", lambda: len(sent(stack) - before) == 2)
    assert {(c.trace, c.id) for c in calls} == sent(stack) - before
    for c in calls:
        assert c.parent == debate.id and c["error.type"] == "cancelled"


def test_begun_here(stack, collector):
    """Nobody named a trace: the request is its root."""
    r = create(stack, None, agents=["openai-api|stub-ok"] * 2)
    trace, mine = r.headers["traceparent"].split("-")[1:3]
    spans = wait_spans(collector, trace, "debate")
    root, = (s for s in spans if s.parent is None)
    assert root.id == mine and root.kind == "server"
    debate, = (s for s in spans if s.name == "debate")
    assert debate.parent == mine


def test_requests(stack, collector):
    """Patterns, never paths; probes only for those who follow them."""
    trace = TRACE.format(5)
    secret = "planted-in-a-path"
    for method, path in (("GET", f"/api/debates/{secret}?q={secret}"),
                         ("GET", f"/api/{secret}"),
                         ("DELETE", f"/api/{secret}/x?{secret}={secret}"),
                         ("PROPFIND", "/api/debates"),
                         ("GET", "/healthz")):
        c = http.client.HTTPConnection("127.0.0.1", stack.port)
        c.request(method, path, headers=parent_of(trace))
        c.getresponse().read()
        c.close()
    stack.get("/healthz", check=False)
    stack.get("/metrics", check=False)
    spans = st.wait_for("five spans", lambda: collector.of(trace)
                        if len(collector.of(trace)) == 5 else None)
    assert sorted((s.name, s["http.request.method"], s["http.route"],
                   s["http.response.status_code"]) for s in spans) == [
        ("DELETE", "DELETE", None, 404), ("GET", "GET", None, 404),
        ("GET /api/debates/{id}", "GET", "/api/debates/{id}", 404),
        ("GET /healthz", "GET", "/healthz", 200),
        ("HTTP", "_OTHER", None, 405)]
    assert not any(secret.encode() in b for b in collector.bodies)
    assert {s.trace for s in list(collector.spans)
            if s["http.route"] in ("/healthz", "/metrics")} == {trace}


def test_not_sampled(stack, collector):
    """The caller's decision holds for all that follows, to the provider."""
    trace = TRACE.format(6)
    r = create(stack, trace, "00", agents=["openai-api|stub-ok"] * 2)
    assert r.headers["traceparent"].endswith("-00")
    debate_id = r.json()["debate_id"]
    asyncio.run(watch(stack, debate_id, parent_of(trace, "00")))
    stack.wait_end(debate_id)
    with open(stack.stub_log, encoding="utf-8") as f:
        flags = {p[-2:] for p in re.findall(f"00-{trace}-.{{16}}-..",
                                            f.read())}
    assert flags == {"00"}
    later = TRACE.format(7)
    create(stack, later, agents=["openai-api|stub-ok"] * 2)
    wait_spans(collector, later, "debate")
    assert not collector.of(trace)


def test_connections(stack, collector):
    """Refused, left without a word, closed with a code, server-sent."""
    trace = TRACE.format(8)

    async def connect():
        url = f"ws://127.0.0.1:{stack.port}/ws?debate_id=planted-name"
        with pytest.raises(websockets.InvalidStatusCode):
            await websockets.connect(url + "&since=planted-since",
                                     extra_headers=parent_of(trace))
        ws = await websockets.connect(url, extra_headers=parent_of(trace))
        await ws.recv()
        await ws.close(4321)
        ws = await websockets.connect(url, extra_headers=parent_of(trace))
        await ws.recv()
        ws.transport.abort()
        await ws.wait_closed()
    asyncio.run(connect())
    spans = st.wait_for("three spans", lambda: collector.of(trace)
                        if len(collector.of(trace)) == 3 else None)
    assert sorted((s["http.response.status_code"],
                   s["aragora.websocket.close_code"] or 0)
                  for s in spans) == [(101, 1006), (101, 4321), (400, 0)]
    # A debate that is not there is a word of the client's.
    assert not any(b"planted" in b for b in collector.bodies)


def test_command_line(stack, collector):
    """No request asked for it: the debate is the root."""
    r = subprocess.run(
        [stack.program("aragora"), "debate", "Tea?", "--json", "--agents",
         "openai-api|stub-ok,openai-api|stub-ok"], env=stack.env, check=True,
        stdout=subprocess.PIPE, text=True)
    debate_id = json.loads(r.stdout)["debate_id"]
    debate, = st.wait_for("span", lambda: [
        s for s in list(collector.spans) if s.name == "debate"
        and s["aragora.debate.id"] == debate_id])
    assert debate.parent is None
    calls = [s for s in collector.of(debate.trace) if s.kind == "client"]
    assert calls and {c.parent for c in calls} == {debate.id}
    assert {(c.trace, c.id) for c in calls} <= sent(stack)


def test_stream(stack, collector):
    """Server-sent events: an answer that ends, no WebSocket that closes."""
    trace = TRACE.format(9)
    debate_id = create(stack, None, agents=[
        "openai-api|stub-ok"] * 2).json()["debate_id"]
    stack.wait_end(debate_id)
    last = stack.events(debate_id)[-1]["seq"]
    for since, status in ((0, 200), (last, 204)):
        r = stack.get(f"/api/debates/{debate_id}/stream?since={since}", False,
                      headers={"Accept": "text/event-stream",
                               **parent_of(trace)})
        assert r.status_code == status
    spans = st.wait_for("two spans", lambda: collector.of(trace)
                        if len(collector.of(trace)) == 2 else None)
    assert {(s.name, s["http.response.status_code"], s["aragora.debate.id"],
             s["aragora.websocket.close_code"]) for s in spans} == {
        ("connection", 200, debate_id, None),
        ("connection", 204, debate_id, None)}


def test_hedge():
    """Two requests for one answer: each its span, one of them dropped."""
    trace = TRACE.format(0x10)
    with Collector() as c, st.Stack(
            stub=True, ARAGORA_LLM_HEDGE_AFTER="100", **settings(c)) as s:
        create(s, trace, agents=["openai-api|stub-firstslow",
                                 "openai-api|stub-ok"])
        spans = wait_spans(c, trace, "debate")
        debate, = (x for x in spans if x.name == "debate")
        calls = [x for x in spans if x.kind == "client"]
        check_calls(s, calls, debate)
        hedges = [x for x in calls if x["aragora.call.kind"] == "hedge"]
        assert hedges and not any(x.is_error for x in hedges)
        dropped = [x for x in calls if x["error.type"] == "dropped"]
        assert len(dropped) == len(hedges)
        assert {x["aragora.call.kind"] for x in dropped} == {"first"}


def test_takeover():
    """The runner is killed, another goes on: still one tree, one debate."""
    trace = TRACE.format(0x11)
    with Collector() as c, st.Stack(stub=True, runners=1,
                                    **settings(c)) as s:
        r = create(s, trace, agents=["openai-api|stub-slow-ttfb@1500"] * 2)
        st.wait_for("first answers", lambda: any(
            x.kind == "client" for x in c.of(trace)))
        st.end(s.runners.pop(), signal.SIGKILL)
        before = {x.id for x in c.of(trace)}
        s.start_runner()
        spans = wait_spans(c, trace, "debate")
        debate, = (x for x in spans if x.name == "debate")
        assert debate.parent == r.headers["traceparent"].split("-")[2]
        calls = [x for x in spans if x.kind == "client"]
        check_calls(s, calls, debate)
        assert {x.id for x in calls} - before
        assert len({x.resource["service.instance.id"] for x in calls}) == 2


# ---- a collector in trouble ----

def ask_much(s, n, threads=4):
    """n requests over kept connections; all of them are answered."""
    statuses = []

    def ask():
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=st.WAIT)
        for _ in range(n // threads):
            c.request("GET", "/api/capabilities")
            r = c.getresponse()
            r.read()
            statuses.append(r.status)
        c.close()
    each = [threading.Thread(target=ask) for _ in range(threads)]
    for t in each:
        t.start()
    for t in each:
        t.join()
    assert len(statuses) == n // threads * threads
    assert set(statuses) == {200}


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))


def stop_worker(s):
    """All of them, and wait until they are gone."""
    for pid in s.worker_pids:
        os.kill(pid, signal.SIGTERM)
    for pid in s.worker_pids:
        st.wait_for("worker exit", lambda p=pid: s.is_zombie(p))


def say(status, body=b"{}", **headers):
    """A collector that answers this, and takes nothing."""
    def behave(handler):
        handler.answer(status, body, **headers)
        return False
    return behave


def check_told_once(s, is_told):
    """Each worker says once that it fails, before it is told to end."""
    lines = [json.loads(x) for x in s.log("fcgi").splitlines()]
    pids = [x["pid"] for x in lines if x["event"] == "trace.failing"]
    assert len(set(pids)) == len(pids)
    assert pids or not is_told


TROUBLE = {"down": None, "hang": "hang", "slow": "slow", "garbage": "garbage",
           "503": say(503, Retry_After="1"), "400": say(400, b"no")}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble(name):
    """Requests do not notice, what does not fit is dropped and counted, and
    the end comes in its time."""
    with Collector(TROUBLE[name]) as c:
        url = c.url if name != "down" else \
            f"http://127.0.0.1:{st.free_port()}"
        with st.Stack(runners=0, OTEL_EXPORTER_OTLP_ENDPOINT=url,
                      OTEL_EXPORTER_OTLP_TIMEOUT="300000",
                      OTEL_BSP_MAX_QUEUE_SIZE="16",
                      OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8", **SOON) as s:
            ask_much(s, 2000)
            if name != "400":  # refused at once: there is room again
                assert counted(s)["dropped"] > 0
            if name == "400":
                st.wait_for("failed", lambda: counted(s)["failed"] > 0)
            stop_worker(s)
            check_told_once(s, name not in ("slow", "hang"))
    assert bool(c.spans) == (name == "slow")


def test_memory():
    """20,000 requests and nobody who takes their spans."""
    with Collector("hang") as c, \
            st.Stack(runners=0, **settings(
                c, OTEL_EXPORTER_OTLP_TIMEOUT="300000")) as s:
        gone, pid = s.worker_pids  # one does it all
        os.kill(gone, signal.SIGTERM)
        s.worker_pids = [pid]
        st.wait_for("worker exit", lambda: s.is_zombie(gone))
        ask_much(s, 4000)
        assert counted(s)["dropped"] > 0  # the queue is full by now
        before = resident(pid)
        ask_much(s, 20000)
        assert counted(s)["dropped"] >= 20000
        assert resident(pid) - before < 1024
        stop_worker(s)


def test_comes_back():
    """Nothing is lost in a short outage; Retry-After is heeded."""
    answers = [(429, {"Retry_After": "2"}), (503, {}), (200, {})]

    def behave(handler):
        status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        handler.answer(status, **headers)
        return status == 200
    with Collector(behave) as c, \
            st.Stack(runners=0, **settings(c)) as s:
        trace = TRACE.format(0x20)
        s.get("/api/capabilities", headers=parent_of(trace))
        st.wait_for("span", lambda: c.of(trace))
        assert len(c.of(trace)) == 1
        asked = [t for t, b in zip(c.times, c.bodies)
                 if trace.encode() in b]
        assert len(asked) == 3 and asked[1] - asked[0] >= 2
        assert len({b for b in c.bodies if trace.encode() in b}) == 1
        st.wait_for("count", lambda: counted(s)["exported"] > 0)
        assert counted(s)["failed"] == counted(s)["dropped"] == 0
        assert '"trace.sent_again"' in s.log("fcgi")


def test_partial():
    """What the collector says it did not take has failed."""
    answer = b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}'
    with Collector(say(200, answer)) as c, \
            st.Stack(runners=0, **settings(c)) as s:
        s.get("/api/capabilities", headers=parent_of(TRACE.format(0x21)))
        st.wait_for("count", lambda: counted(s)["failed"] > 0)
        assert counted(s)["dropped"] == 0


def test_last_words():
    """What waits when a process ends is sent."""
    with Collector() as c, st.Stack(
            stub=True, OTEL_EXPORTER_OTLP_ENDPOINT=c.url,
            OTEL_BSP_SCHEDULE_DELAY="300000") as s:
        trace = TRACE.format(0x22)
        debate_id = create(s, trace, agents=[
            "openai-api|stub-ok"] * 2).json()["debate_id"]
        asyncio.run(watch(s, debate_id, parent_of(trace)))
        s.wait_end(debate_id)
        assert not c.spans
        stop_worker(s)
        st.end(s.processes["ws"])
        st.end(s.processes["runner1"])
        assert {"POST /api/debates", "debate", "connection"} <= \
            {x.name for x in c.of(trace)}


def test_end_beside_a_deaf_collector():
    """Each program has a span that nobody takes, and ends all the same."""
    with Collector("hang") as c, st.Stack(**settings(
            c, OTEL_EXPORTER_OTLP_TIMEOUT="300000")) as s:
        debate_id = s.create(agents=["demo|fast", "demo|fast"], rounds=1)
        asyncio.run(watch(s, debate_id, {}))
        s.wait_end(debate_id)
        senders = [s.processes["ws"], *s.runners]
        st.wait_for("messages", lambda: {
            "aragora-ws", "aragora-runner", "aragora-fcgi"} <= {
                re.search(rb'"service.name","value":{"stringValue":"([^"]*)',
                          b).group(1).decode() for b in c.bodies})
        stop_worker(s)
        for p in senders:
            p.send_signal(signal.SIGTERM)
            assert p.wait(st.WAIT) == 0
    assert not c.spans


# ---- which, where, and whether at all ----

@pytest.mark.parametrize("sampler, ratio, begun, asked, unasked", [
    ("parentbased_always_on", "0", True, True, False),
    ("parentbased_traceidratio", "0", False, True, False),
    ("parentbased_traceidratio", "1", True, True, False),
    ("traceidratio", "0", False, False, False),
    ("always_on", "0", True, True, True),
    ("always_off", "1", False, False, False)])
def test_sampler(sampler, ratio, begun, asked, unasked):
    with Collector() as c, st.Stack(runners=0, **settings(
            c, OTEL_TRACES_SAMPLER=sampler,
            OTEL_TRACES_SAMPLER_ARG=ratio)) as s:
        want = {}
        for n, (flags, is_wanted) in enumerate((
                (None, begun), ("01", asked), ("00", unasked))):
            headers = parent_of(TRACE.format(n), flags) if flags else {}
            r = s.get("/api/capabilities", check=False, headers=headers)
            trace = r.headers["traceparent"]
            assert trace.endswith("-01" if is_wanted else "-00")
            want[trace.split("-")[1]] = is_wanted
        stop_worker(s)  # all that is to come has come
        assert {t: bool(c.of(t)) for t in want} == want


def threads(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/task/{task}/comm",
                      encoding="ascii") as f:
                yield f.read().strip()


def sending(s):
    """Processes with a thread that sends."""
    pids = [*s.worker_pids, s.processes["ws"].pid,
            *(r.pid for r in s.runners)]
    return [p for p in pids if "traces" in threads(p)]


def test_off():
    """No collector, or switched off: no thread and no connection."""
    with st.Stack() as s:
        assert sending(s) == []
        assert counted(s) == {"exported": 0, "dropped": 0, "failed": 0}
    with Collector() as c:
        with st.Stack(OTEL_SDK_DISABLED="true", **settings(c)) as s:
            s.get("/api/capabilities")
            assert sending(s) == []
        with st.Stack(**settings(c)) as s:
            assert len(sending(s)) == 4
            assert c.n_connections == 0
        assert c.n_connections == 0  # and nothing to say


@pytest.mark.parametrize("name, value", [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:planted@c"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "planted"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "a=planted%"),
    ("OTEL_TRACES_SAMPLER", "xray"),
    ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0")])
def test_bad_settings(name, value, tmp_path):
    for program in ("aragora-fcgi", "aragora-runner", "aragora-ws"):
        r = subprocess.run(
            [st.Stack.program(program)], capture_output=True, text=True,
            check=False, stdin=subprocess.DEVNULL, timeout=st.WAIT,
            env={"ARAGORA_DATA_DIR": str(tmp_path), name: value})
        assert r.returncode == 78
        assert f"{name}: " in r.stderr and "planted" not in r.stderr


def test_offline():
    """The collector is the operator's: this machine's may be asked."""
    with Collector() as c:
        with st.Stack(runners=0, ARAGORA_OFFLINE="1", **settings(c)) as s:
            trace = TRACE.format(0x23)
            s.get("/api/capabilities", headers=parent_of(trace))
            st.wait_for("span", lambda: c.of(trace))
    with st.Stack(runners=0, ARAGORA_OFFLINE="1",
                  OTEL_EXPORTER_OTLP_ENDPOINT="http://192.0.2.1:4318",
                  **SOON) as s:
        s.get("/api/capabilities")
        st.wait_for("refusal", lambda: '"trace.failing"' in s.log("fcgi"))
        line, = (x for x in s.log("fcgi").splitlines()
                 if '"trace.failing"' in x)
        assert "ARAGORA_OFFLINE" in line and "192.0.2.1" not in line


def test_headers(tmp_path):
    """They come out of a file, and another is taken over on SIGHUP."""
    path = tmp_path / "aragora.conf"
    path.write_text("OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20one,"
                    "x-scope=a\n", encoding="ascii")
    with Collector() as c, st.Stack(
            runners=0, ARAGORA_CONFIG=str(path), **settings(c)) as s:
        s.get("/api/capabilities")
        st.wait_for("message", lambda: c.headers)
        assert c.headers[0]["authorization"] == "Basic one"
        assert c.headers[0]["x-scope"] == "a"
        path.write_text("OTEL_EXPORTER_OTLP_HEADERS=authorization=two\n",
                        encoding="ascii")
        for pid in s.worker_pids:
            os.kill(pid, signal.SIGHUP)
        st.wait_for("reload", lambda: s.log("fcgi").count(
            '"settings.reload"') == len(s.worker_pids))
        n = len(c.headers)
        s.get("/api/capabilities")
        st.wait_for("message", lambda: len(c.headers) > n)
        assert c.headers[n]["authorization"] == "two"
        assert "x-scope" not in c.headers[n]


def test_tls(tmp_path):
    """Only a collector whose certificate is trusted hears anything."""
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=c", "-addext",
         "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trace = TRACE.format(0x24)
    with Collector(context=context) as c:
        with st.Stack(runners=0, **settings(
                c, OTEL_EXPORTER_OTLP_CERTIFICATE=cert)) as s:
            s.get("/api/capabilities", headers=parent_of(trace))
            st.wait_for("span", lambda: c.of(trace))
        n = len(c.bodies)
        with st.Stack(runners=0, **settings(c)) as s:
            s.get("/api/capabilities")
            st.wait_for("refusal",
                        lambda: '"trace.failing"' in s.log("fcgi"))
        assert len(c.bodies) == n
