# SPDX-License-Identifier: MIT
"""The operator's socket of a bridge, and `aragora ws` over it."""
import asyncio
import glob
import json
import os
import signal
import socket
import subprocess

import pytest
import websockets
from stack import BUILD
from ws_kit import WAIT, Bridge, read_frame, receive, run, until

OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture
def bridge():
    b = Bridge(ARAGORA_WS_LOOPS="3")
    yield b
    b.close()


def socket_of(bridge):
    bridge.wait_for_log(f'"pid":{bridge.process.pid},"event":"ws.ready"')
    return os.path.join(bridge.folder, f"ws-{bridge.process.pid}.sock")


def ws(bridge, *argv):
    """(exit status, objects of the answer, stderr)"""
    bridge.wait_for_log(f'"pid":{bridge.process.pid},"event":"ws.ready"')
    done = subprocess.run([os.path.join(BUILD, "aragora"), "ws", *argv],
                          env=bridge.env, capture_output=True, text=True,
                          timeout=WAIT, check=False)
    return (done.returncode,
            [json.loads(line) for line in done.stdout.splitlines()],
            done.stderr)


def ask(bridge, *lines):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(WAIT)
        s.connect(socket_of(bridge))
        answers = []
        with s.makefile("rb") as f:
            for line in lines:
                s.sendall(line.encode() + b"\n")
                while True:
                    try:
                        text = f.readline()
                    except ConnectionResetError:
                        text = b""  # it has not read all we sent
                    if not text:
                        return answers + [None]
                    answers.append(json.loads(text))
                    if "done" in answers[-1]:
                        break
        return answers


def test_only_its_owner(bridge):
    assert os.stat(socket_of(bridge)).st_mode & 0o777 == 0o600


def test_list(bridge):
    async def main():
        bridge.feed.debate("d", events=3)
        clients = [await bridge.connect("/ws?debate_id=d") for _ in range(5)]
        for c in clients:
            await until(c, "replay_end")
        everything = await bridge.connect("/ws", compression="deflate")
        info = await until(everything, "connection_info")
        await until(everything, "loop_list")
        status, rows, _ = await asyncio.to_thread(ws, bridge, "list")
        assert status == 0 and len(rows) == 6
        by_id = {r["id"]: r for r in rows}
        assert len(by_id) == 6
        mine = by_id.pop(info["data"]["client_id"])
        assert mine["follows_all"] and mine["compressed"]
        for r in by_id.values():
            assert r["state"] == "open" and r["protocol"] == "websocket"
            assert r["debates"] == [{"debate_id": "d", "seq": 3, "behind": 0}]
            assert not r["authenticated"] and not r["follows_all"]
        stream = bridge.raw()
        stream.sendall(b"GET /api/debates/d/stream HTTP/1.1\r\nHost: x\r\n"
                       b"Accept: text/event-stream\r\n\r\n")
        assert b"200 OK" in stream.recv(15)
        rows = (await asyncio.to_thread(ws, bridge, "list"))[1]
        assert [r["protocol"] for r in rows].count("sse") == 1
        status, loops, _ = await asyncio.to_thread(ws, bridge, "stats")
        assert status == 0 and [r["loop"] for r in loops] == [0, 1, 2]
        assert sum(r["open"] for r in loops) == 7
        assert sum(r["subscriptions"] for r in loops) >= 6
        assert not any(r["draining"] for r in loops)
        stream.close()
        for c in [*clients, everything]:
            await c.close()
    run(main())


def test_kick(bridge):
    async def main():
        async with bridge.connect() as one, bridge.connect() as two:
            victim = (await receive(one))["data"]["client_id"]
            await until(two, "loop_list")
            status, _, _ = await asyncio.to_thread(ws, bridge, "kick", victim)
            assert status == 0
            with pytest.raises(websockets.ConnectionClosed) as e:
                while True:
                    await receive(one)
            assert e.value.rcvd.code == 1001
            assert json.loads(e.value.rcvd.reason)["reconnect_ms"] == 0
            assert two.open
            status, _, text = await asyncio.to_thread(
                ws, bridge, "kick", victim)
            assert status == 1 and victim in text
    run(main())


def test_drain(bridge):
    with bridge.opened() as s:
        status, rows, _ = ws(bridge, "drain")
        assert status == 0 and rows == []
        while True:
            opcode, payload = read_frame(s)
            if opcode == 8:
                break
        assert int.from_bytes(payload[:2], "big") == 1001
    assert bridge.process.wait(WAIT) == 0
    assert glob.glob(os.path.join(bridge.folder, "ws-*.sock")) == []
    assert ws(bridge, "list")[0] == 69


def test_wrong_commands(bridge):
    answers = ask(bridge, "dance", "kick", "kick nobody",
                  "kick " + "x" * 100, "", "stats")
    assert [a.get("error") is not None for a in answers if "done" in a] == \
        [True, True, False, False, True, False]
    assert answers[2] == {"done": True, "count": 0}
    # A line without end, and one with NUL, end the conversation only.
    assert ask(bridge, "x" * 300) == [None]
    assert ask(bridge, "list\0") == [None]
    assert ask(bridge, "list") == [{"done": True, "count": 0}]
    for argv in ((), ("dance",), ("kick",), ("kick", "a b"), ("list", "x")):
        assert ws(bridge, *argv)[0] == 64


def test_killed_bridge_leaves_nothing_behind(bridge):
    left = socket_of(bridge)
    bridge.process.send_signal(signal.SIGKILL)
    bridge.process.wait(WAIT)
    assert os.path.exists(left)
    assert ws(bridge, "list")[0] == 69
    bridge.start()
    assert ws(bridge, "list")[0] == 0
    assert not os.path.exists(left)


def test_viewers(bridge):
    """How many watch a debate, over all loops: in sync, in heartbeats, and
    with the votes."""
    async def main():
        bridge.feed.debate("d")
        bridge.feed.debate("e")
        clients = []
        for i in range(6):
            clients.append(await bridge.connect("/ws?debate_id=d"))
            sync = await until(clients[-1], "sync")
            assert sync["data"]["viewers"] == i + 1
        # Who follows everything watches nothing by name.
        await bridge.connect("/ws")
        other = await bridge.connect("/ws?debate_id=e")
        assert (await until(other, "sync"))["data"]["viewers"] == 1
        await clients.pop().close()
        await clients[0].send('{"type":"unsubscribe","debate_id":"d"}')
        await until(clients[0], "unsubscribed")
        heartbeat = await until(clients[1], "heartbeat")
        assert heartbeat["data"]["viewers"] == 4
    bridge.stop()
    bridge.options = ["--times", "heartbeat=1500"]
    bridge.start()
    run(main())


def test_wisdom(bridge):
    """10 to 280 characters, not bytes; it is a suggestion among others."""
    async def main():
        bridge.feed.debate("d")
        async with bridge.connect("/ws?debate_id=d") as ws_:
            await until(ws_, "sync")

            async def say(text):
                await ws_.send(json.dumps({
                    "type": "wisdom_submission", "loop_id": "d",
                    "text": text}))
                while True:
                    m = await receive(ws_)
                    if m["type"] in ("warning", "wisdom_confirmed"):
                        return m
            for text in ("ä" * 9, "ä" * 281, "", None):
                answer = await say(text)
                assert answer["type"] == "warning"
                assert "10 to 280" in answer["data"]["message"]
    run(main())
