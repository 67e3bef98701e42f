# SPDX-License-Identifier: MIT
"""permessage-deflate, and the echo mode in which conformance suites look at
it."""
import asyncio
import json
import random
import zlib

import pytest
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory)
from ws_kit import (WAIT, Bridge, close_code, frame, read_exactly,
                    run, stored, until, upgrade)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
ANSWER = (b"\r\nSec-WebSocket-Extensions: permessage-deflate; "
          b"server_no_context_takeover; client_no_context_takeover\r\n")


@pytest.fixture
def bridge():
    b = Bridge()
    yield b
    b.close()


@pytest.fixture(scope="module")
def echo():
    b = Bridge(["--echo"])
    yield b
    b.close()


def head_of(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    return head


def deflate(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]


OFFERS = [
    ("permessage-deflate", True),
    ("permessage-deflate; client_max_window_bits", True),
    ("permessage-deflate; server_max_window_bits=9, permessage-deflate", True),
    ("permessage-deflate; server_max_window_bits=9", False),
    ("permessage-deflate; unheard_of", False),
    ("x-webkit-deflate-frame", False),
]


@pytest.mark.parametrize("offer,is_taken", OFFERS)
def test_offer(bridge, offer, is_taken):
    with bridge.raw() as s:
        s.sendall(upgrade("/ws", "Sec-WebSocket-Extensions: " + offer))
        head = head_of(s)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert (ANSWER in head) == is_taken
        assert is_taken or b"Sec-WebSocket-Extensions" not in head


def test_malformed_offer(bridge):
    answer = bridge.get(upgrade("/ws", OFFER + "; ="))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_independent_client(bridge):
    """python3-websockets, with and without compression, sees the same."""
    async def main():
        bridge.feed.debate("d", events=5)
        text = json.dumps({"content": "what was said was said again " * 50})
        async with bridge.connect("/ws?debate_id=d",
                                  compression="deflate") as one, \
                bridge.connect("/ws?debate_id=d") as two, \
                bridge.connect("/ws?debate_id=d", extensions=[
                    ClientPerMessageDeflateFactory(
                        client_max_window_bits=9)]) as three:
            assert len(one.extensions) == 1 and two.extensions == []
            for ws in (one, two, three):
                await until(ws, "replay_end")
            for _ in range(20):
                seq = int(bridge.feed(f"commit d agent_message demo {text}"))
                bridge.feed(f"publish d {seq}")
            last = bridge.feed.finish("d")
            seen = [await stored(ws, last) for ws in (one, two, three)]
            assert seen[0] == seen[1] == seen[2]
        # And as a replay.
        async with bridge.connect("/ws?debate_id=d",
                                  compression="deflate") as one:
            events = await stored(one, last)
            assert [e["seq"] for e in events] == list(range(1, last + 1))
            assert all(e.pop("replayed") is True for e in events)
            assert events[5:] == seen[0]
            # The client's own messages come compressed too.
            await one.send(json.dumps({"type": "ping", "ts": "y" * 500}))
            assert (await until(one, "pong"))["data"]["client_ts"] == "y" * 500
    run(main())


def test_bytes_are_saved(bridge):
    """The same event on two sockets: compressed it is a fraction."""
    text = json.dumps({"content": "what was said was said again " * 200})
    bridge.feed.debate("d")
    sizes = {}
    for name, extra in (("deflated", [OFFER]), ("plain", [])):
        with bridge.opened("/ws?debate_id=d&since=0", *extra) as s:
            seq = int(bridge.feed(f"commit d agent_message demo {text}"))
            bridge.feed(f"publish d {seq}")
            while True:
                first, second = read_exactly(s, 2)
                n = second
                if n == 126:
                    n = int.from_bytes(read_exactly(s, 2), "big")
                payload = read_exactly(s, n)
                if first == 0xC1:
                    payload = zlib.decompressobj(-15).decompress(
                        payload + b"\0\0\xff\xff")
                message = json.loads(payload)
                if message.get("seq") == seq:
                    sizes[name] = n
                    break
    assert sizes["deflated"] * 5 < sizes["plain"]


BAD = {
    "bomb": (frame(TEXT, deflate(b"a" * 20_000_000), rsv=4), 1009),
    "just too big": (frame(TEXT, deflate(b"a" * 65537), rsv=4), 1009),
    "bomb in pieces": (
        frame(TEXT, deflate(b"a" * 20_000_000)[:9000], fin=False, rsv=4)
        + frame(0, deflate(b"a" * 20_000_000)[9000:]), 1009),
    "no deflate data": (frame(TEXT, b"\x07\x07", rsv=4), 1007),
    "bad UTF-8 within": (frame(TEXT, deflate(b"\xff"), rsv=4), 1007),
    "bit on a continuation": (
        frame(TEXT, b"a", fin=False) + frame(0, b"b", rsv=4), 1002),
    "bit on a ping": (frame(PING, b"a", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"a", rsv=2), 1002),
    "rsv1 and rsv3": (frame(TEXT, b"a", rsv=5), 1002),
    "binary": (frame(BINARY, deflate(b"a"), rsv=4), 1003),
}


@pytest.mark.parametrize("name", BAD)
def test_close_codes(bridge, name):
    data, code = BAD[name]
    with bridge.raw() as s:
        # An unknown debate, so that nothing long enough to be compressed
        # comes before the close frame.
        s.sendall(upgrade("/ws?debate_id=none", OFFER))
        assert ANSWER in head_of(s)
        s.sendall(data)
        assert close_code(s) == code


def test_not_negotiated(bridge):
    with bridge.opened() as s:
        s.sendall(frame(TEXT, deflate(b"{}"), rsv=4))
        assert close_code(s) == 1002


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_echo(echo, compression):
    rng = random.Random(1)

    async def main():
        async with echo.connect(compression=compression,
                                max_size=None) as ws:
            for n in (0, 1, 125, 126, 127, 191, 192, 65535, 65536, 300000):
                noise = rng.randbytes(n)
                words = "".join(rng.choices("ab €ü", k=n))
                for message in (noise, words, [words[:n // 2],
                                               words[n // 2:]]):
                    await ws.send(message)
                    want = "".join(message) if isinstance(message, list) \
                        else message
                    assert await asyncio.wait_for(ws.recv(), WAIT) == want
            for _ in range(200):
                await ws.send("no limit")
            for _ in range(200):
                assert await asyncio.wait_for(ws.recv(), WAIT) == "no limit"
            await asyncio.wait_for(await ws.ping(b"here"), WAIT)
    run(main())


def test_echo_of_what_is_not_read(echo):
    """The bridge stops listening to a client that sends and does not read;
    everything comes back in the end."""
    async def main():
        async with echo.connect(max_size=None, max_queue=1) as ws:
            text = "x" * 100_000
            sender = asyncio.create_task(send(ws, text))
            await asyncio.sleep(0.5)
            for _ in range(200):
                assert len(await asyncio.wait_for(ws.recv(), WAIT)) == 100_000
            await sender

    async def send(ws, text):
        for _ in range(200):
            await ws.send(text)
    run(main())


def test_echo_answers_every_ping(echo):
    with echo.opened() as s:
        s.sendall(b"".join(frame(PING, bytes([i])) for i in range(10)))
        for i in range(10):
            assert read_exactly(s, 3) == bytes([0x8A, 1, i])
