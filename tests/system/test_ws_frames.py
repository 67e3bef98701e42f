# SPDX-License-Identifier: MIT
"""What a client may send, and what it gets for what it may not."""
import asyncio
import json
import time

import pytest
import websockets
from ws_kit import (WAIT, Bridge, close_code, frame, read_frame, receive, run,
                    until)


@pytest.fixture(scope="module")
def bridge():
    b = Bridge(ARAGORA_DISABLE_ALL_RATE_LIMITS="1")
    yield b
    b.close()


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

BAD = {
    "unmasked": (frame(TEXT, b"{}", mask=None), 1002),
    "rsv1": (frame(TEXT, b"{}", rsv=4), 1002),
    "rsv2": (frame(TEXT, b"{}", rsv=2), 1002),
    "rsv3": (frame(TEXT, b"{}", rsv=1), 1002),
    "reserved opcode": (frame(3), 1002),
    "reserved control opcode": (frame(11), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "lone continuation": (frame(0, b"x"), 1002),
    "text inside a message": (
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "non-minimal length": (
        b"\x81\xfe\x00\x05" + b"\0\0\0\0hello", 1002),
    "binary": (frame(BINARY, b"x"), 1003),
    "bad UTF-8": (frame(TEXT, b"\xff"), 1007),
    "bad UTF-8 at its first byte": (
        b"\x81\xfe\x03\xe8\0\0\0\0ok\xc0", 1007),
    "cut UTF-8": (frame(TEXT, b"\xc3"), 1007),
    "close reason not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "too big, by the header": (b"\x81\xff" + (65537).to_bytes(8, "big"), 1009),
    "too big, in frames": (
        frame(TEXT, b"x" * 40000, fin=False) + frame(0, b"x" * 25537), 1009),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close 1005": (frame(CLOSE, b"\x03\xed"), 1002),
    "close 1006": (frame(CLOSE, b"\x03\xee"), 1002),
    "close 2000": (frame(CLOSE, b"\x07\xd0"), 1002),
    "good close": (frame(CLOSE, b"\x03\xe8bye"), 1000),
    "close without a code": (frame(CLOSE), 1005),
    "private close code": (frame(CLOSE, b"\x0f\xa0"), 4000),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("is_slow", [False, True], ids=["whole", "pieces"])
def test_close_codes(bridge, name, is_slow):
    data, code = BAD[name]
    piece = len(data) // 1000 + 1 if is_slow else len(data)
    with bridge.opened() as s:
        for i in range(0, len(data), piece):
            s.sendall(data[i:i + piece])
        assert close_code(s) == code
        assert s.recv(1) == b"", "the connection ends"


def test_largest_message(bridge):
    with bridge.opened() as s:
        s.sendall(frame(TEXT, b" " * (65536 - 15) + b'{"type":"ping"}'))
        while True:
            opcode, payload = read_frame(s)
            assert opcode == TEXT
            if json.loads(payload)["type"] == "pong":
                return


def test_ping_is_answered(bridge):
    with bridge.opened() as s:
        s.sendall(frame(TEXT, b'{"ty', fin=False) + frame(PING, b"are you")
                  + frame(0, b'pe":"ping"}'))
        seen = []
        while len(seen) < 2:
            opcode, payload = read_frame(s)
            if opcode == PONG:
                assert payload == b"are you"
                seen.append("frame")
            elif json.loads(payload)["type"] == "pong":
                seen.append("event")
        assert seen == ["frame", "event"]


def test_ping_flood_queues_one_pong(bridge):
    with bridge.opened() as s:
        s.sendall(frame(PING, b"x") * 500 + frame(TEXT, b'{"type":"ping"}'))
        pongs = 0
        while True:
            opcode, payload = read_frame(s)
            if opcode == PONG:
                pongs += 1
            elif json.loads(payload)["type"] == "pong":
                break
        assert 1 <= pongs <= 20


MESSAGES = [
    ('{"type":"ping","ts":17}', "pong", {"client_ts": 17}),
    ('{"type":"ping"}', "pong", {"client_ts": None}),
    ('{"type":"ping","data":{"ts":"a"}}', "pong", {"client_ts": "a"}),
    ('{"type":"dance"}', "warning", {"code": "unknown_type"}),
    ('{}', "warning", {"code": "missing_field"}),
    ('{"type":7}', "warning", {"code": "missing_field"}),
    ('[]', "warning", {"code": "invalid_json"}),
    ('null', "warning", {"code": "invalid_json"}),
    ('{"type":"ping"', "warning", {"code": "invalid_json"}),
    ('', "warning", {"code": "invalid_json"}),
    ("[" * 30 + "]" * 30, "warning", {"code": "invalid_json"}),
    ('{"type":"ping","type":"ping"}', "warning", {"code": "invalid_json"}),
    ('{"type":"subscribe","debate_id":"a/b"}', "warning",
     {"code": "invalid_id"}),
    ('{"type":"subscribe","debate_id":5}', "warning", {"code": "invalid_id"}),
    ('{"type":"subscribe","debate_id":"a\\u0000b"}', "warning",
     {"code": "invalid_json"}),
    ('{"type":"subscribe","debate_id":"a","since":-1}', "warning",
     {"code": "invalid_value"}),
    ('{"type":"subscribe","debate_id":"a","since":"x"}', "warning",
     {"code": "invalid_value"}),
    ('{"type":"subscribe","debate_id":"a","since":1.5}', "warning",
     {"code": "invalid_value"}),
    ('{"type":"unsubscribe"}', "warning", {"code": "missing_field"}),
    ('{"type":"unsubscribe","debate_id":"nothing"}', "unsubscribed", {}),
    ('{"type":"get_loops"}', "loop_list", {"count": 0}),
    ('{"type":"subscribe","channel":"debates"}', "ack",
     {"msg_type": "subscribe", "message_type": "subscribe"}),
    ('{"type":"subscribe_all"}', "subscribed", {"all": True}),
]


@pytest.mark.parametrize("text,answer,data", MESSAGES)
def test_messages(bridge, text, answer, data):
    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            await ws.send(text)
            message = await receive(ws)
            assert message["type"] == answer, message
            for key, value in data.items():
                assert message["data"][key] == value, message
            if answer == "warning":
                assert message["data"]["severity"] == "warning"
            # Whatever it was, the connection goes on.
            await ws.send('{"type":"connection_quality","rtt":3}')
            await ws.send('{"type":"ping","ts":"end"}')
            assert (await until(ws, "pong"))["data"]["client_ts"] == "end"
    run(main())


def test_subscriptions_are_bounded(bridge):
    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            for i in range(101):
                await ws.send(json.dumps({"type": "subscribe",
                                          "debate_id": f"none{i}"}))
            counts = {"subscribed": 0, "warning": 0}
            while sum(counts.values()) < 101:
                message = await receive(ws)
                if message["type"] in counts:
                    counts[message["type"]] += 1
            assert counts == {"subscribed": 100, "warning": 1}
            await ws.send('{"type":"unsubscribe","debate_id":"none5"}')
            await until(ws, "unsubscribed")
            await ws.send('{"type":"subscribe","debate_id":"none100"}')
            await until(ws, "subscribed")
    run(main())


def test_independent_client_closes(bridge):
    async def main():
        for code in (1000, 3000):
            ws = await bridge.connect()
            await until(ws, "loop_list")
            await ws.close(code, "bye")
            assert ws.close_code == code
    run(main())


def test_silence():
    """A client that never answers: ping after ARAGORA_WS_HEARTBEAT, the
    heartbeat event after 15 s, and the end 10 s after the ping. One that
    answers lives on."""
    bridge = Bridge(ARAGORA_WS_HEARTBEAT="5")

    async def alive():
        async with bridge.connect() as ws:
            await until(ws, "heartbeat")
            message = await until(ws, "heartbeat")
            assert message["data"]["connected_clients"] >= 1
            assert isinstance(message["data"]["server_time"], float)
            assert ws.open

    def silent():
        begun = time.monotonic()
        times = {}
        with bridge.opened() as s:
            s.settimeout(3 * WAIT)
            while True:
                opcode, payload = read_frame(s)
                at = time.monotonic() - begun
                if opcode == PING:
                    times.setdefault("ping", at)
                elif opcode == CLOSE:
                    assert int.from_bytes(payload[:2], "big") == 1011
                    break
                elif json.loads(payload)["type"] == "heartbeat":
                    times["heartbeat"] = at
        # Not before their time; how long after depends on the machine.
        assert times["ping"] > 4.5
        assert at > times["ping"] + 9.5
        assert times.get("heartbeat", 15) > 14.5

    async def main():
        await asyncio.gather(alive(), asyncio.to_thread(silent))
    try:
        run(main())
    finally:
        bridge.close()


def test_nothing_is_sent_after_close(bridge):
    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            await ws.send(b"binary")
            with pytest.raises(websockets.ConnectionClosed) as e:
                await receive(ws)
            assert e.value.rcvd.code == 1003
    run(main())
