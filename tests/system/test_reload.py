# SPDX-License-Identifier: MIT
"""SIGHUP: the programs read the file of ARAGORA_CONFIG again, take over what
may change while they serve, and keep what they have when it is wrong."""
import asyncio
import contextlib
import json
import os
import signal
import socket

import pytest

import stack as st
from ws_kit import (Bridge, close_code, frame, read_frame, receive, run, until,
                    upgrade)

AGENTS = ["openai-api|stub-ok"] * 2


@pytest.fixture(name="stack", scope="module")
def start(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("config") / "aragora.conf")
    write(path)
    with st.Stack(stub=True, OPENAI_API_KEY="", ARAGORA_CONFIG=path,
                  ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
                  expected_errors=("settings.kept",)) as s:
        s.config = path
        yield s


def write(path, **settings):
    settings = {"ARAGORA_IP_RATE_LIMIT": "10000",
                "ARAGORA_RATE_LIMIT_ANONYMOUS": "10000",
                "ARAGORA_RATE_LIMIT_CREATE": "10000",
                "ARAGORA_RATE_LIMIT_LIST": "10000",
                **settings}
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{k}={v}\n" for k, v in settings.items())


def told(s, word):
    """Lines of this event by program."""
    return {name: s.log(name).count(f'"{word}"') for name in s.logs()}


def hangup(s, word, **settings):
    """Everybody reads the file again; back when everybody has."""
    write(s.config, **settings)
    before = told(s, word)
    for pid in [*s.worker_pids, *[r.pid for r in s.runners]]:
        os.kill(pid, signal.SIGHUP)
    want = {"fcgi": len(s.worker_pids), "runner1": 1}
    st.wait_for(word, lambda: all(
        told(s, word)[name] == before[name] + n for name, n in want.items()))


def limit(s):
    r = s.get("/api/agents", check=False)
    assert r.status_code == 200
    return int(r.headers["X-RateLimit-Limit"])


def test_takes_over(stack):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_ANONYMOUS="600")
    assert {limit(stack) for _ in range(8)} == {600}  # both workers
    hangup(stack, "settings.reload")
    assert limit(stack) == 10000


def test_key(stack):
    """Workers and runner have a key from the moment it stands in the file."""
    r = stack.post("/api/debates", {"task": "Tea?", "agents": AGENTS})
    assert r.status_code == 400 and "OPENAI_API_KEY" in r.text
    hangup(stack, "settings.reload", OPENAI_API_KEY="sk-added")
    d = stack.wait_end(stack.create(agents=AGENTS, rounds=1))
    assert d["status"] == "completed"


@pytest.mark.parametrize("bad, says", [
    ({"ARAGORA_IP_RATE_LIMIT": "lots"}, "'lots' is not an integer"),
    ({"A B": "x"}, "no name stands before"),
    ({"ARAGORA_DEFAULT_ROUNDS": "13"}, "more than ARAGORA_MAX_ROUNDS")])
def test_keeps(stack, bad, says):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_ANONYMOUS="700")
    hangup(stack, "settings.kept", ARAGORA_RATE_LIMIT_ANONYMOUS="800", **bad)
    assert says in stack.log("fcgi") and says in stack.log("runner1")
    assert limit(stack) == 700
    hangup(stack, "settings.reload")


def test_names_what_needs_a_restart(stack):
    hangup(stack, "settings.reload", ARAGORA_FCGI_THREADS="3",
           ARAGORA_LOG_LEVEL="DEBUG")
    assert "ARAGORA_FCGI_THREADS(restart)" in stack.log("fcgi")
    stack.get("/api/agents")
    assert '"http.request"' in stack.log("fcgi")
    hangup(stack, "settings.reload")


def test_names_what_nobody_knows(stack):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_TYPO="1")
    assert "ARAGORA_RATE_LIMIT_TYPO" in stack.log("fcgi")
    assert "settings.unknown" in stack.log("fcgi")


def test_serves_meanwhile(stack):
    """No request fails while it is read again and again."""
    for _ in range(10):
        for pid in stack.worker_pids:
            os.kill(pid, signal.SIGHUP)
        for _ in range(5):
            stack.get("/api/agents")


# ---- the bridge ----

ME = "X-Forwarded-For: 192.0.2.1"
TEXT, PING = 1, 9


@pytest.fixture(name="bridge")
def start_bridge(tmp_path):
    """One loop, so that what is closed is seen in order. Looks at its
    connections often."""
    path = tmp_path / "aragora.conf"
    path.write_text("ARAGORA_WS_HEARTBEAT=300\n", encoding="ascii")
    bridge = Bridge(["--times", "heartbeat=300"], ARAGORA_WS_LOOPS="1",
                    ARAGORA_CONFIG=str(path))
    bridge.config = path
    with contextlib.closing(bridge):
        yield bridge


def again(bridge, word="settings.reload", **settings):
    """It reads these settings of its own."""
    bridge.config.write_text(
        "".join(f"ARAGORA_{k}={v}\n" for k, v in settings.items()),
        encoding="ascii")
    before = bridge.log().count(f'"{word}"')
    bridge.process.send_signal(signal.SIGHUP)
    st.wait_for(word,
                lambda: bridge.log().count(f'"{word}"') == before + 1)
    # By now the line is there; an answer comes after what followed it.
    bridge.wait_for_closed()


def status(bridge):
    """Of a handshake from one address, and the socket."""
    s = bridge.raw()
    s.sendall(upgrade("/ws", ME))
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    return int(head.split()[1]), s


def test_bridge_at_once(bridge):
    """Connections of an address; those that are open stay."""
    again(bridge, WS_MAX_PER_IP=2)
    held = [status(bridge) for _ in range(3)]
    assert [h[0] for h in held] == [101, 101, 429]
    again(bridge, WS_MAX_PER_IP=3)
    held.append(status(bridge))
    assert held[-1][0] == 101 and status(bridge)[0] == 429
    again(bridge, WS_MAX_PER_IP=1)
    assert status(bridge)[0] == 429
    for code, s in held:
        if code == 101:
            s.sendall(frame(TEXT, b'{"type":"ping"}'))
            while json.loads(read_frame(s)[1])["type"] != "pong":
                pass
        s.close()


def test_bridge_per_minute(bridge):
    for limit in (2, 4):
        again(bridge, WS_CONN_RATE=limit)
        codes = []
        for _ in range(3):
            code, s = status(bridge)
            codes.append(code)
            s.close()
            bridge.wait_for_closed()
        assert codes == [101, 101, 429]


def test_bridge_messages(bridge):
    """Of a connection that is open already."""
    async def ask(ws, name, n):
        """Answers to n pings at once, up to the first warning."""
        for _ in range(n):
            await ws.send(json.dumps({"type": "ping", "ts": name}))
        got = 0
        while got < n:
            m = await receive(ws)
            if m["type"] == "warning":
                assert m["data"]["code"] == "rate_limited"
                break
            got += m["type"] == "pong" and m["data"]["client_ts"] == name
        return got

    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            assert await ask(ws, "one", 60) < 60
            await asyncio.to_thread(
                again, bridge, WS_MSG_RATE=1000, WS_MSG_BURST=1000)
            # Full still, but it empties at the new rate from here on; the
            # warnings begin anew once all that was refused is made up for.
            await ws.send('{"type":"ping"}')
            await asyncio.sleep(1.2)
            assert await ask(ws, "two", 500) == 500
            await asyncio.to_thread(
                again, bridge, WS_MSG_RATE=1, WS_MSG_BURST=10)
            assert await ask(ws, "three", 40) < 40
    run(main())


def test_bridge_pings(bridge):
    """A connection that was told to expect one in five minutes."""
    with bridge.opened() as s:
        again(bridge, WS_HEARTBEAT=5)
        while read_frame(s)[0] != PING:
            pass


def test_bridge_message_size(bridge):
    """Whoever comes from then on may say so much and no more."""
    long = frame(TEXT, b'{"type":"ping","ts":"' + b"x" * 2000 + b'"}')
    with bridge.opened() as old:
        again(bridge, WS_MAX_MESSAGE_SIZE=1024)
        with bridge.opened() as new:
            new.sendall(long)
            assert close_code(new) == 1009
        old.sendall(long)
        while json.loads(read_frame(old)[1])["type"] != "pong":
            pass


def test_bridge_patience(bridge):
    """With a reader that falls behind, though it came before."""
    bridge.feed.debate("d")
    with bridge.raw() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(upgrade("/ws?debate_id=d&since=0"))
        again(bridge, USER_EVENT_QUEUE_SIZE=100)
        for i in range(250):
            bridge.feed("commit d agent_message demo "
                        + json.dumps({"content": "x" * 8000}))
            bridge.feed(f"publish d {i + 1}")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += s.recv(1)
        assert close_code(s) == 1013


@pytest.mark.parametrize("bad", [{"WS_MSG_RATE": "0"}, {"WS_CONN_RATE": "x"}])
def test_bridge_keeps(bridge, bad):
    again(bridge, WS_MAX_PER_IP=1)
    # Bad files are an error to the operator, not to this test.
    again(bridge, "settings.kept", WS_MAX_PER_IP=5, **bad)
    code, s = status(bridge)
    assert (code, status(bridge)[0]) == (101, 429)
    s.close()
    assert f"ARAGORA_{next(iter(bad))}" in bridge.log()
    bridge.expected = ("settings.kept",)


def test_bridge_names_what_needs_a_restart(bridge):
    again(bridge, WS_LOOPS=3, WS_MAX_PER_IP=7)
    assert "ARAGORA_WS_MAX_PER_IP" in bridge.log()
    assert "ARAGORA_WS_MAX_PER_IP(restart)" not in bridge.log()
