# SPDX-License-Identifier: MIT
"""One debate is followed by one trace id: from the request that asks for it to
its events and to each request to a provider, and in the logs of all."""
import asyncio
import json
import re

import pytest

import stack as st

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
STATE = "congo=t61rcWkgMzE,rojo=1"
SHAPE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
BODY = {"task": "Is water wet?", "rounds": 1, "seed": 4,
        "consensus": "majority",
        # One whose first request breaks off, one that streams, one embedded.
        "agents": ["openai-api|stub-cut", "openai-api|stub-ok",
                   "openai-api|stub-ok"]}


@pytest.fixture(name="stack", scope="module",
                params=[("sqlite", "fcgi"), ("postgresql", "scgi")],
                ids=lambda p: "-".join(p))
def fixture_stack(request):
    database, protocol = request.param
    url = request.getfixturevalue("postgres").database() \
        if database == "postgresql" else None
    with st.Stack(database_url=url, stub=True, protocol=protocol,
                  ARAGORA_LOG_LEVEL="DEBUG") as s:
        yield s


def parts(header):
    return SHAPE.fullmatch(header).groups()


def asked(s):
    """What the stub was sent: (traceparent, tracestate) of each request."""
    with open(s.stub_log, encoding="utf-8") as f:
        return [(line["traceparent"], line["tracestate"])
                for line in map(json.loads, f)]


def create(s, headers, **body):
    r = s.post("/api/debates", {**BODY, **body}, headers=headers)
    assert r.status_code == 201, r.text
    return r


def test_one_debate(stack):
    before = len(asked(stack))
    r = create(stack, {"traceparent": PARENT, "tracestate": STATE,
                       "X-Request-ID": "ask-17"})
    debate_id = r.json()["debate_id"]
    # Continued in the answer, under a span of ours.
    trace, span, flags = parts(r.headers["traceparent"])
    assert (trace, flags) == (TRACE, "01") and span != SPAN
    assert r.headers["tracestate"] == STATE
    assert r.headers["X-Trace-Id"] == r.headers["X-Request-ID"] == "ask-17"
    # On the WebSocket, live and from the table.
    live = asyncio.run(stack.watch(debate_id))
    debate = stack.get(f"/api/debates/{debate_id}")
    assert debate["correlation_id"] == TRACE
    assert debate["request_id"] == "ask-17"
    assert debate["status"] == "completed"
    later = asyncio.run(stack.watch(debate_id, query="&since=0"))
    for m in [*live, *later, *stack.events(debate_id)]:
        if m.get("seq") or m["type"].startswith("token"):
            assert m["correlation_id"] == TRACE, m
    assert any(m["type"] == "token_delta" for m in live)
    # To the provider: each request its own span, all of them on record.
    sent = asked(stack)[before:]
    calls = stack.get(f"/api/debates/{debate_id}/calls")
    assert calls["correlation_id"] == TRACE
    told = [c["span_id"] for c in calls["calls"] if c["state"] != "unsent"]
    assert sorted(parts(p)[1] for p, _ in sent) == sorted(told)
    assert len(set(told)) == len(told) > 3
    assert {(parts(p)[0], parts(p)[2], s) for p, s in sent} == \
        {(TRACE, "01", STATE)}
    assert any(c["kind"] == "retry" for c in calls["calls"])
    # In the log of each program.
    logs = stack.logs()
    assert f'"trace_id":"{TRACE}","span_id":"{span}","request_id":"ask-17"' in \
        logs["fcgi"]
    for word in ("debate.claim", "debate.end", "llm.request"):
        lines = [line for line in logs["runner1"].splitlines()
                 if f'"{word}"' in line and debate_id in line]
        assert lines and all(f'"trace_id":"{TRACE}"' in x for x in lines), word
    assert any(TRACE in line and debate_id in line
               for line in logs["ws"].splitlines())


def test_begun_here(stack):
    """Nobody named a trace: one begins, and X-Trace-Id tells it."""
    before = len(asked(stack))
    r = create(stack, {})
    trace, _, flags = parts(r.headers["traceparent"])
    assert flags == "01" and "tracestate" not in r.headers
    assert r.headers["X-Trace-Id"] == r.headers["X-Request-ID"] == trace
    stack.wait_end(r.json()["debate_id"])
    sent = asked(stack)[before:]
    assert {(parts(p)[0], s) for p, s in sent} == {(trace, "")}
    assert {e["correlation_id"] for e in
            stack.events(r.json()["debate_id"])} == {trace}


def test_named_trace(stack):
    """32 hex digits in X-Trace-Id are a trace; other names stay names."""
    hexes = "0123456789abcdef" * 2
    r = stack.get("/healthz", False, headers={"X-Trace-Id": hexes})
    assert parts(r.headers["traceparent"])[0] == hexes
    r = stack.get("/healthz", False, headers={"X-Trace-Id": "my-name"})
    assert r.headers["X-Trace-Id"] == "my-name"
    assert parts(r.headers["traceparent"])[0] != "my-name"
    # A traceparent says more than a name.
    r = stack.get("/healthz", False, headers={
        "X-Trace-Id": hexes, "traceparent": PARENT})
    assert r.headers["X-Trace-Id"] == hexes
    assert parts(r.headers["traceparent"])[0] == TRACE


@pytest.mark.parametrize("bad", [
    PARENT.upper(), PARENT[:-1], PARENT + "-x", PARENT + "-", "ff" + PARENT[2:],
    PARENT.replace(TRACE, "0" * 32), PARENT.replace(SPAN, "0" * 16),
    PARENT.replace("-", "_"), "", "x", PARENT.replace(TRACE, TRACE[:-1] + "g"),
    f"{PARENT}, {PARENT}"])
def test_bad_parent(stack, bad):
    """Not a traceparent: a trace begins here, without the state."""
    r = stack.get("/healthz", False, headers={
        "traceparent": bad, "tracestate": STATE})
    assert r.status_code == 200
    assert parts(r.headers["traceparent"])[0] != TRACE
    assert "tracestate" not in r.headers


def test_two_parents(stack):
    r = stack.get("/healthz", False, headers=[
        ("traceparent", PARENT), ("traceparent", PARENT)])
    assert parts(r.headers["traceparent"])[0] != TRACE


@pytest.mark.parametrize("state, is_kept", [
    (STATE, True), ("a=1 , b=2", True), ("vendor@sys=x", True),
    ("A=1", False), ("a", False), ("a=1=2", False),
    (",".join(f"k{i}=1" for i in range(33)), False),
    ("a=" + "x" * 257, False)])
def test_state(stack, state, is_kept):
    r = stack.get("/healthz", False, headers={
        "traceparent": "cc" + PARENT[2:] + "-later", "tracestate": state})
    assert parts(r.headers["traceparent"])[0] == TRACE
    assert r.headers.get("tracestate") == (state if is_kept else None)
