# SPDX-License-Identifier: MIT
"""Several loops in one bridge, and how it ends."""
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time

import psycopg2
import pytest
import websockets
from stack import BUILD, wait_for
from ws_kit import WAIT, Bridge, close_code, run, stored, until, upgrade


@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_every_loop_tells_everything(is_tcp):
    """Clients of four loops see the same events in the same order, a page of
    the table and the bus mixed, and new debates as well."""
    bridge = Bridge(is_tcp=is_tcp, ARAGORA_WS_LOOPS="4",
                    ARAGORA_DISABLE_ALL_RATE_LIMITS="1")

    async def one(i, last):
        async with bridge.connect(f"/ws?debate_id=d&since={i % 3}") as ws:
            joined.append(i)
            events = await stored(ws, last)
            assert [e["seq"] for e in events] == \
                list(range(i % 3 + 1, last + 1))
            return [e["data"].get("content") for e in events][3:]

    async def follower():
        async with bridge.connect("/ws") as ws:
            following.append(1)
            return (await until(ws, "debate_end"))["debate_id"]

    async def main():
        bridge.feed.debate("d", events=5)
        readers = [asyncio.create_task(one(i, 306)) for i in range(40)]
        followers = [asyncio.create_task(follower()) for _ in range(8)]
        while len(joined) < 40 or len(following) < 8:
            await asyncio.sleep(0.01)
        for i in range(300):
            bridge.feed.event("d", publish=i % 7 != 0, n=i)
            if i % 10 == 0:
                await asyncio.sleep(0.005)
        assert bridge.feed.finish("d") == 306
        seen = await asyncio.gather(*readers)
        # Those who joined from a later event miss nothing behind it.
        assert all(texts == seen[0][-len(texts):] for texts in seen)
        assert set(await asyncio.gather(*followers)) == {"d"}
    joined, following = [], []
    try:
        run(main())
        assert '"loops":4' in bridge.log()
    finally:
        bridge.close()


def test_port_is_not_shared_with_another_process():
    bridge = Bridge(is_tcp=True, ARAGORA_WS_LOOPS="2")
    try:
        done = subprocess.run(
            [os.path.join(BUILD, "aragora-ws"), "--listen",
             f"127.0.0.1:{bridge.port}"], env=bridge.env, timeout=WAIT,
            capture_output=True, text=True, check=False)
        assert done.returncode == 71 and "in use" in done.stderr
    finally:
        bridge.close()


def test_drain():
    """Everybody is told, with a time to come back that is not everybody's;
    what was owed leaves before."""
    bridge = Bridge(ARAGORA_WS_LOOPS="3")

    async def main():
        bridge.feed.debate("d", events=50)
        clients = [await bridge.connect("/ws?debate_id=d")
                   for _ in range(20)]
        for ws in clients:
            await until(ws, "replay_end")
        idle = bridge.raw()
        half = bridge.raw()
        half.sendall(b"GET /ws HTTP/1.1\r\n")
        await asyncio.sleep(0.2)
        seq = bridge.feed.event("d")
        for ws in clients:
            assert (await until(ws, "agent_message"))["seq"] == seq
        bridge.process.send_signal(signal.SIGTERM)
        waits = []
        for ws in clients:
            with pytest.raises(websockets.ConnectionClosed) as e:
                while True:
                    await asyncio.wait_for(ws.recv(), WAIT)
            assert e.value.rcvd.code == 1001
            told = json.loads(e.value.rcvd.reason)
            assert told["reason"] == "restart"
            waits.append(told["reconnect_ms"])
        # 25 of the 30 s, evenly.
        assert all(0 <= w <= 25000 for w in waits)
        assert len(set(waits)) > 10
        assert min(waits) < 12500 < max(waits)
        assert half.recv(4096).startswith(b"HTTP/1.1 503 ")
        with pytest.raises(OSError):
            bridge.raw()
        half.close()
        idle.close()
    try:
        run(main())
        assert bridge.process.wait(WAIT) == 0
        assert '"event":"ws.stopped"' in bridge.log()
        assert "drain_cut" not in bridge.log()
    finally:
        bridge.close()


@pytest.mark.parametrize("is_stream", [False, True], ids=["ws", "sse"])
def test_drain_while_a_client_comes(postgres, is_stream):
    """Who has asked before the end gets what it asked for, and then is sent
    away like the others: no error."""
    url = postgres.database()
    bridge = Bridge(ARAGORA_DATABASE_URL=url)
    request = b"GET /api/debates/d/stream HTTP/1.1\r\nHost: x\r\n" \
        b"Accept: text/event-stream\r\n\r\n" if is_stream \
        else upgrade("/ws?debate_id=d")
    try:
        bridge.feed.debate("d", events=1)
        with contextlib.closing(psycopg2.connect(url)) as db, \
                contextlib.closing(bridge.raw()) as s:
            # Its credential cannot be looked up for now.
            db.cursor().execute("LOCK TABLE users")
            s.sendall(request)
            wait_for("lookup", lambda: postgres.sql(
                "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0")
            bridge.process.send_signal(signal.SIGTERM)
            bridge.wait_for_log("ws.drain")
            db.rollback()
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        head = answer.split(b"\r\n\r\n", 1)[0]
        if is_stream:
            assert head.startswith(b"HTTP/1.1 200 "), answer
            assert b"\nretry: " in answer
        else:
            assert head.startswith(b"HTTP/1.1 101 "), answer
            assert b'\x03\xe9{"reason":"restart"' in answer
        assert bridge.process.wait(WAIT) == 0
    finally:
        bridge.close()


def test_drain_ends_in_time():
    """A client that neither reads nor closes holds the end up only so long."""
    bridge = Bridge(["--times", "drain=1000,linger=20000"])
    try:
        with bridge.opened() as s:
            begun = time.monotonic()
            assert bridge.stop() == 0
            assert time.monotonic() - begun >= 0.99
            assert close_code(s) == 1001
        assert '"event":"ws.drain_cut"' in bridge.log()
    finally:
        bridge.close()


def test_terminated_twice():
    """The second signal ends it at once."""
    bridge = Bridge(["--times", "linger=300000,drain=300000"])
    try:
        with bridge.opened() as s:
            bridge.process.send_signal(signal.SIGTERM)
            assert close_code(s) == 1001
            assert bridge.process.poll() is None
            bridge.process.send_signal(signal.SIGTERM)
            assert bridge.process.wait(WAIT) == 0
        assert '"event":"ws.stop"' in bridge.log()
    finally:
        bridge.close()


def test_hangup(tmp_path):
    """The file of settings is read again, by every loop."""
    conf = tmp_path / "aragora.conf"
    conf.write_text("ARAGORA_ALLOWED_ORIGINS=https://one.example\n")
    bridge = Bridge(ARAGORA_CONFIG=str(conf), ARAGORA_WS_LOOPS="2")

    def statuses(origin):
        return {bridge.get(upgrade("/ws?token=wrong", "Origin: " + origin))
                .split()[1] for _ in range(6)}
    try:
        assert statuses("https://one.example") == {b"401"}
        assert statuses("https://two.example") == {b"403"}
        conf.write_text("ARAGORA_ALLOWED_ORIGINS=https://two.example\n")
        bridge.process.send_signal(signal.SIGHUP)
        bridge.wait_for_log("settings.reload")
        assert statuses("https://one.example") == {b"403"}
        assert statuses("https://two.example") == {b"401"}
    finally:
        bridge.close()
