# SPDX-License-Identifier: MIT
"""Events reach every client once and in order, whatever the bus does."""
import asyncio
import json
import random
import shutil
import socket
import struct
import subprocess
import time

import pytest
import websockets
from ws_kit import (WAIT, Bridge, close_code, read_frame, receive, run,
                    stored, until, upgrade)


@pytest.fixture
def bridge():
    b = Bridge()
    yield b
    b.close()


async def joined(ws, debate_id):
    """Past the greeting: the replay has ended."""
    greeting = []
    end = await until(ws, "replay_end", greeting)
    assert end["debate_id"] == debate_id
    return greeting


def test_greeting_and_late_join(bridge):
    async def main():
        bridge.feed.debate("d", events=3)
        async with bridge.connect("/ws?debate_id=d") as ws:
            seen = await joined(ws, "d")
            types = [m["type"] for m in seen]
            assert types == ["connection_info", "loop_list", "sync",
                             "replay_start"] + 3 * ["agent_message"]
            info, loops, sync, start = (m["data"] for m in seen[:4])
            assert info["authenticated"] is False
            assert info["client_id"] and info["server_version"]
            assert loops["count"] == 1
            assert loops["loops"][0]["loop_id"] == "d"
            assert sync["status"] == "running"
            assert sync["task"] == "What is d?"
            assert sync["latest_seq"] == 3
            assert isinstance(sync["messages"], list)
            assert start["from_seq"] == 0 and start["event_count"] == 3
            assert start["buffer_latest_seq"] == 3
            assert [m["seq"] for m in seen[4:]] == [1, 2, 3]
            assert all(m["replayed"] is True for m in seen[4:])
            bridge.feed.event("d")
            live = await receive(ws)
            assert live["seq"] == 4
            assert "replayed" not in live
    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_repeated_reordered_omitted(bridge, seed):
    """Of each event the bus may carry none, one or several copies, late."""
    rng = random.Random(seed)

    async def main():
        bridge.feed.debate("d")
        async with bridge.connect("/ws?debate_id=d") as one, \
                bridge.connect("/ws?debate_id=d&since=0") as two:
            late = []
            for i in range(150):
                seq = bridge.feed.event("d", publish=False, n=i)
                late += [seq] * rng.choice([0, 1, 1, 1, 2, 3])
                while late and rng.random() < 0.6:
                    seq = late.pop(rng.randrange(len(late)))
                    verb = rng.choice(["publish"] * 4 + ["doorbell"])
                    bridge.feed(f"{verb} d {seq}")
                if i % 10 == 0:
                    await asyncio.sleep(0.005)
            last = bridge.feed.finish("d")
            for ws in (one, two):
                events = await stored(ws, last)
                assert [m["seq"] for m in events] == list(range(1, last + 1))
                texts = [m["data"].get("content") for m in events[:-1]]
                assert texts == [f"text {i}" for i in range(150)]
                assert events[-1]["type"] == "debate_end"
    run(main())


def test_lost_tail_is_found(bridge):
    """Nothing is published at all: the heads are compared in time."""
    async def main():
        bridge.feed.debate("d", events=2)
        async with bridge.connect("/ws?debate_id=d") as ws:
            await joined(ws, "d")
            for i in range(3):
                bridge.feed.event("d", publish=False, n=i)
            events = await stored(ws, 5)
            assert [m["seq"] for m in events] == [3, 4, 5]
            # The bus is not trusted now: found within a moment each time.
            await asyncio.sleep(1)
            begun = time.monotonic()
            bridge.feed.event("d", publish=False)
            assert (await stored(ws, 6))[0]["seq"] == 6
            assert time.monotonic() - begun < 3
    run(main())


def test_since(bridge):
    async def main():
        bridge.feed.debate("d", events=10)
        async with bridge.connect("/ws?debate_id=d&since=7") as ws:
            seen = await joined(ws, "d")
            assert [m["seq"] for m in seen if "seq" in m] == [8, 9, 10]
        async with bridge.connect("/ws?debate_id=d&replay_from_seq=9") as ws:
            seen = await joined(ws, "d")
            assert [m["seq"] for m in seen if "seq" in m] == [10]
        for since in (10, 4000):
            path = f"/ws?debate_id=d&since={since}"
            async with bridge.connect(path) as ws:
                seen = await joined(ws, "d")
                assert [m for m in seen if "seq" in m] == []
                assert seen[-1]["data"]["event_count"] == 0
                seq = bridge.feed.event("d")
                assert (await receive(ws))["seq"] == seq
                bridge.feed.debate(f"x{since}")
    run(main())


def test_long_replay(bridge):
    """Three pages of the table; the ring of this bridge is cold."""
    async def main():
        bridge.feed.debate("d", events=700)
        async with bridge.connect("/ws?debate_id=d") as one, \
                bridge.connect("/ws?debate_id=d&since=300") as two:
            events = await stored(one, 700)
            assert events[0]["seq"] == 1 and len(events) == 700
            assert all(m["replayed"] for m in events)
            events = await stored(two, 700)
            assert events[0]["seq"] == 301
            assert (await receive(two))["type"] == "replay_end"
    run(main())


def test_finished_debate(bridge):
    async def main():
        bridge.feed.debate("d", events=4)
        last = bridge.feed.finish("d", publish=False)
        async with bridge.connect("/ws/debates/d") as ws:
            seen = []
            end = await until(ws, "debate_end", seen)
            assert end["seq"] == last == 5
            types = [m["type"] for m in seen]
            assert types[-1] == "replay_end"
            assert types.count("agent_message") == 4
            sync = next(m for m in seen if m["type"] == "sync")
            assert sync["data"]["status"] == "completed"
            # And again, for whoever asks again.
            await ws.send(json.dumps({"type": "subscribe", "debate_id": "d"}))
            assert (await until(ws, "debate_end"))["seq"] == last
    run(main())


def test_debate_end_is_held(bridge):
    """It comes by itself: 100 ms behind what was sent before."""
    async def main():
        bridge.feed.debate("d")
        async with bridge.connect("/ws?debate_id=d") as ws:
            await until(ws, "sync")
            for _ in range(3):
                bridge.feed.event("d")
            bridge.feed.finish("d")
            for _ in range(3):
                await receive(ws)
                before = time.monotonic()
            assert (await receive(ws))["type"] == "debate_end"
            assert time.monotonic() - before >= 0.095
        async with bridge.connect("/ws?debate_id=d") as ws:
            async for text in ws:
                if json.loads(text)["type"] == "debate_end":
                    break
                before = time.monotonic()
            assert time.monotonic() - before >= 0.095
    run(main())


def test_two_debates_end_together(bridge):
    """A held end holds the connection's other events, not the reverse."""
    async def main():
        bridge.feed.debate("a", events=2)
        bridge.feed.debate("b", events=2)
        async with bridge.connect("/ws?debate_id=a") as ws:
            await joined(ws, "a")
            await ws.send(json.dumps({"type": "subscribe", "debate_id": "b"}))
            await joined(ws, "b")
            for debate in ("a", "b"):
                bridge.feed.event(debate)
                bridge.feed.finish(debate)
            seen = {"a": [], "b": []}
            while not all(s and s[-1]["type"] == "debate_end"
                          for s in seen.values()):
                m = await receive(ws)
                seen[m["debate_id"]].append(m)
            for events in seen.values():
                assert [m["seq"] for m in events] == [3, 4]
    run(main())


def test_waits_for_a_debate(bridge):
    async def main():
        async with bridge.connect("/ws?debate_id=soon") as ws:
            sync = await until(ws, "sync")
            assert sync["data"]["status"] == "waiting"
            bridge.feed.debate("soon")
            bridge.feed.event("soon")
            seen = []
            while not seen or seen[-1].get("seq") != 1:
                seen.append(await receive(ws))
            assert "sync" in [m["type"] for m in seen]
    run(main())


def test_subscribe_and_unsubscribe(bridge):
    async def main():
        bridge.feed.debate("a", events=3)
        bridge.feed.debate("b", events=1)
        async with bridge.connect("/ws?debate_id=b") as ws:
            await joined(ws, "b")

            async def say(**message):
                await ws.send(json.dumps(message))
            await say(type="subscribe", debate_id="a", since=2)
            ack = await until(ws, "subscribed")
            assert ack["debate_id"] == "a"
            assert ack["data"]["latest_seq"] == 3
            seen = await joined(ws, "a")
            assert [m["seq"] for m in seen if "seq" in m] == [3]
            # Subscribed already: acknowledged, not replayed.
            await say(type="subscribe", loop_id="a")
            assert (await receive(ws))["type"] == "subscribed"
            # Asked for again from an older place: replayed.
            await say(type="subscribe", data={"debate_id": "a"},
                      replay_from_seq=1)
            seen = await joined(ws, "a")
            assert [m["seq"] for m in seen if "seq" in m] == [2, 3]
            await say(type="unsubscribe", debate_id="a")
            gone = await receive(ws)
            assert gone["type"] == "unsubscribed" and gone["debate_id"] == "a"
            bridge.feed.event("a")
            bridge.feed.event("b")
            assert (await receive(ws))["debate_id"] == "b"
    run(main())


def test_connection_without_debate_follows_all(bridge):
    async def main():
        bridge.feed.debate("old", events=5)
        async with bridge.connect("/ws") as ws, \
                bridge.connect("/") as other:
            for w in (ws, other):
                await until(w, "loop_list")
            # A debate from before: from now on. A new one: from its start.
            await asyncio.sleep(0.5)
            bridge.feed.event("old")
            bridge.feed.debate("new")
            for _ in range(3):
                bridge.feed.event("new")
            end = bridge.feed.finish("new")
            for w in (ws, other):
                seen = {"old": [], "new": []}
                while end not in seen["new"] or not seen["old"]:
                    m = await receive(w)
                    assert m["type"] in ("agent_message", "debate_end"), m
                    assert "replayed" not in m
                    seen[m["debate_id"]].append(m["seq"])
                assert seen == {"old": [6], "new": [1, 2, 3, 4]}
            # A message that comes again after the end tells nothing new.
            bridge.feed("publish new 4")
            bridge.feed("publish new 2")
            # Naming a debate ends following by implication only.
            await ws.send(json.dumps({"type": "subscribe",
                                      "debate_id": "old", "since": 6}))
            await until(ws, "replay_end")
            await other.send(json.dumps({"type": "subscribe",
                                         "channel": "debates"}))
            assert (await receive(other))["type"] == "ack"
            await other.send(json.dumps({"type": "subscribe_all"}))
            assert (await receive(other))["data"] == {"all": True}
            bridge.feed.debate("third")
            bridge.feed.event("third")
            bridge.feed.event("old")
            assert (await receive(ws))["debate_id"] == "old"
            both = {(await receive(other))["debate_id"] for _ in range(2)}
            assert both == {"third", "old"}
    run(main())


def test_token_deltas(bridge):
    """They follow the order of events and are not kept."""
    async def main():
        bridge.feed.debate("d", events=1)
        async with bridge.connect("/ws?debate_id=d") as ws:
            await joined(ws, "d")
            for i in range(20):
                bridge.feed(f"delta d {i}")
                if i % 5 == 4:
                    bridge.feed.event("d")
            seen = []
            while not seen or seen[-1].get("seq") != 5:
                seen.append(await receive(ws))
            assert [m["seq"] for m in seen if "seq" in m] == [2, 3, 4, 5]
            # Pieces may be dropped, but neither repeated nor reordered.
            pieces = [int(m["data"]["token"]) for m in seen if "seq" not in m]
            assert pieces == sorted(set(pieces))
            # A reader that is up to date gets them: try until one comes.
            last, extra = -1, 20
            while last < 20:
                bridge.feed(f"delta d {extra}")
                extra += 1
                try:
                    m = json.loads(await asyncio.wait_for(ws.recv(), 1))
                except asyncio.TimeoutError:
                    continue
                assert m["type"] == "token_delta"
                assert int(m["data"]["token"]) > last
                last = int(m["data"]["token"])
        async with bridge.connect("/ws?debate_id=d") as ws:
            seen = await joined(ws, "d")
            assert [m["seq"] for m in seen if "seq" in m] == [1, 2, 3, 4, 5]
            assert "token_delta" not in [m["type"] for m in seen]
    run(main())


def test_reader_that_pauses_loses_nothing(bridge):
    """It falls off the ring and its socket is full; then it reads on."""
    text = "x" * 4000

    async def main():
        bridge.feed.debate("d")
        with bridge.raw() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(upgrade("/ws?debate_id=d"))
            async with bridge.connect("/ws?debate_id=d") as quick:
                for _ in range(2000):
                    bridge.feed("commit d agent_message demo "
                                f'{{"content":"{text}"}}')
                    seq = _ + 1
                    bridge.feed(f"publish d {seq}")
                    if seq % 50 == 0:
                        await stored(quick, seq)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += s.recv(1)
            want = 1
            while want <= 2000:
                opcode, payload = read_frame(s)
                assert opcode == 1
                seq = json.loads(payload).get("seq")
                if seq is not None:
                    assert seq == want
                    want += 1
    run(main())


def test_too_far_behind():
    """ARAGORA_USER_EVENT_QUEUE_SIZE is the limit of patience."""
    bridge = Bridge(ARAGORA_USER_EVENT_QUEUE_SIZE="100")
    try:
        bridge.feed.debate("d")
        with bridge.raw() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(upgrade("/ws?debate_id=d&since=0"))
            for i in range(250):
                bridge.feed("commit d agent_message demo "
                            + json.dumps({"content": "x" * 8000}))
                bridge.feed(f"publish d {i + 1}")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += s.recv(1)
            # What had left is whole, then the reason; nothing in between.
            want = 1
            while True:
                opcode, payload = read_frame(s)
                if opcode == 8:
                    break
                seq = json.loads(payload).get("seq")
                if seq is not None:
                    assert seq == want
                    want += 1
            assert 1 < want < 250
            assert int.from_bytes(payload[:2], "big") == 1013
            assert b"since" in payload
    finally:
        bridge.close()


def test_bridge_restarts(bridge):
    async def main():
        bridge.feed.debate("d", events=3)
        async with bridge.connect("/ws?debate_id=d") as ws:
            await joined(ws, "d")
            bridge.process.kill()
            bridge.process.wait(WAIT)
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    await receive(ws)
        for _ in range(4):
            bridge.feed.event("d")
        bridge.start()
        async with bridge.connect("/ws?debate_id=d&since=3") as ws:
            seen = await joined(ws, "d")
            assert [m["seq"] for m in seen if "seq" in m] == [4, 5, 6, 7]
            bridge.feed.event("d")
            assert (await receive(ws))["seq"] == 8
    run(main())


def test_termination(bridge):
    """1001 to everybody, what was queued before it, exit status 0."""
    async def main():
        bridge.feed.debate("d", events=3)
        async with bridge.connect("/ws?debate_id=d") as one, \
                bridge.connect("/ws") as two:
            await joined(one, "d")
            await until(two, "loop_list")
            bridge.process.terminate()
            for ws in (one, two):
                await asyncio.wait_for(ws.wait_closed(), WAIT)
                assert ws.close_code == 1001
            assert bridge.process.wait(WAIT) == 0
            with pytest.raises(OSError):
                bridge.raw()
    run(main())


def test_termination_with_a_reader_that_does_not_read(bridge):
    bridge.feed.debate("d")
    with bridge.raw() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(upgrade("/ws?debate_id=d"))
        for i in range(500):
            bridge.feed("commit d agent_message demo "
                        + json.dumps({"content": "x" * 4000}))
            bridge.feed(f"publish d {i + 1}")
        assert bridge.stop() == 0


def test_reset_by_the_client(bridge):
    """Connections that vanish in every phase leave nothing behind."""
    bridge.feed.debate("d", events=50)
    linger = struct.pack("ii", 1, 0)
    for cut in (0, 10, len(upgrade("/ws?debate_id=d"))):
        for _ in range(20):
            s = bridge.raw()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            s.sendall(upgrade("/ws?debate_id=d")[:cut])
            s.close()
    s = bridge.opened("/ws?debate_id=d&since=50")
    s.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
    assert close_code(s) == 1000
    s.close()


@pytest.fixture
def redis(tmp_path):
    assert shutil.which("redis-server"), "redis-server is not installed"
    path = str(tmp_path / "redis.sock")

    def start():
        process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path,
             "--save", "", "--appendonly", "no", "--dir", str(tmp_path)],
            stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT
        while True:
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(path)
                    return process
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
    running = [start()]
    yield path, running, start
    for process in running:
        process.kill()
        process.wait()


def test_redis_comes_and_goes(redis):
    path, running, start = redis
    bridge = Bridge(ARAGORA_REDIS_URL="unix:" + path)

    async def main():
        bridge.feed.debate("d")
        async with bridge.connect("/ws?debate_id=d") as ws, \
                bridge.connect("/ws") as everything:
            await until(ws, "sync")
            await until(everything, "loop_list")
            await asyncio.sleep(0.5)
            for i in range(60):
                if i == 20:
                    running[0].kill()
                    running[0].wait()
                if i == 40:
                    running.append(start())
                bridge.feed("commit d agent_message demo {}")
                try:
                    bridge.feed(f"publish d {i + 1}")
                except AssertionError:
                    assert 20 <= i, "the bus is down without reason"
                await asyncio.sleep(0.01)
            for w in (ws, everything):
                events = await stored(w, 60)
                assert [m["seq"] for m in events] == list(range(1, 61))
    try:
        run(main())
    finally:
        bridge.close()


def test_redis_delivers_deltas_once(redis):
    """A client of one debate and a client of all share the subscription."""
    bridge = Bridge(ARAGORA_REDIS_URL="unix:" + redis[0])

    async def main():
        bridge.feed.debate("d", events=1)
        async with bridge.connect("/ws?debate_id=d") as ws, \
                bridge.connect("/ws"):
            await joined(ws, "d")
            await asyncio.sleep(0.5)
            for i in range(5):
                bridge.feed(f"delta d piece{i}")
            bridge.feed.event("d")
            tokens = []
            while True:
                m = await receive(ws)
                if "seq" in m:
                    break
                tokens.append(m["data"]["token"])
            assert tokens == [f"piece{i}" for i in range(5)]
    try:
        run(main())
    finally:
        bridge.close()
