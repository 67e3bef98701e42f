# SPDX-License-Identifier: MIT
"""How often and how many times at once somebody may connect, and how much he
may say then."""
import asyncio
import json

import pytest
import websockets
from stack import Stack
from ws_kit import (Bridge, close_code, frame, read_frame, receive, run, until,
                    upgrade)

TEXT, PING, PONG = 1, 9, 10


@pytest.fixture
def bridge():
    # One loop, so that what is closed is seen in order.
    b = Bridge(ARAGORA_WS_LOOPS="1")
    yield b
    b.close()


def attempt(bridge, *extra):
    """(status, header fields, socket or None) of a handshake."""
    s = bridge.raw()
    s.sendall(upgrade("/ws", *extra))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = s.recv(1)
        assert piece, head
        head += piece
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    status = int(lines[0].split()[1])
    if status == 101:
        return status, fields, s
    body = b""
    while len(body) < int(fields["content-length"]):
        body += s.recv(4096)
    s.close()
    fields["body"] = json.loads(body)
    return status, fields, None


def from_(address):
    return "X-Forwarded-For: " + address


def test_thirty_a_minute(bridge):
    """The 31st connection of a minute is refused before the upgrade, with the
    time until it would be let in; others are not concerned."""
    me = from_("192.0.2.1")
    for _ in range(30):
        status, _, s = attempt(bridge, me)
        assert status == 101
        s.close()
        # Closing is seen before the next one is counted.
        bridge.wait_for_closed()
    status, fields, _ = attempt(bridge, me)
    assert status == 429
    assert 1 <= int(fields["retry-after"]) <= 60
    assert fields["connection"] == "close"
    assert fields["body"]["code"] == "RATE_LIMITED"
    assert fields["body"]["retry_after"] == int(fields["retry-after"])
    assert isinstance(fields["body"]["error"], str)
    status, _, s = attempt(bridge, from_("192.0.2.2"))
    assert status == 101
    s.close()
    # What the client wrote on the left does not make it another one.
    assert attempt(bridge, from_("203.0.113.9, 192.0.2.1"))[0] == 429
    # Nobody is counted whom the server in front does not name.
    for _ in range(31):
        attempt(bridge)[2].close()


def test_ten_at_once(bridge):
    me = from_("2001:db8::1")
    held = [attempt(bridge, me)[2] for _ in range(10)]
    assert all(held)
    # The whole /64 is one.
    status, fields, _ = attempt(bridge, from_("[2001:db8::2:3]:4711"))
    assert status == 429 and int(fields["retry-after"]) >= 1
    status, _, s = attempt(bridge, from_("2001:db8:0:1::1"))
    assert status == 101
    held.append(s)
    held.pop(0).close()
    bridge.wait_for_closed()
    status, _, s = attempt(bridge, me)
    assert status == 101
    held.append(s)
    for s in held:
        s.close()


def test_loops_count_together():
    bridge = Bridge(ARAGORA_WS_LOOPS="4")
    try:
        statuses = [attempt(bridge, from_("192.0.2.8")) for _ in range(14)]
        assert [s[0] for s in statuses] == [101] * 10 + [429] * 4
        for s in statuses[:10]:
            s[2].close()
    finally:
        bridge.close()


def test_refused_handshakes_take_no_place(bridge):
    me = from_("192.0.2.3")
    for _ in range(40):
        answer = bridge.get(upgrade("/ws", me, "Origin: https://evil.example"))
        assert answer.startswith(b"HTTP/1.1 403 ")
    assert attempt(bridge, me)[0] == 101


def test_settings():
    bridge = Bridge(ARAGORA_WS_CONN_RATE="3", ARAGORA_WS_MAX_PER_IP="2",
                    ARAGORA_WS_LOOPS="1")
    try:
        me = from_("192.0.2.4")
        one, two = attempt(bridge, me)[2], attempt(bridge, me)[2]
        assert attempt(bridge, me)[0] == 429
        two.close()
        bridge.wait_for_closed()
        attempt(bridge, me)[2].close()
        bridge.wait_for_closed()
        assert attempt(bridge, me)[0] == 429
        one.close()
    finally:
        bridge.close()


def test_unlimited():
    bridge = Bridge(ARAGORA_DISABLE_ALL_RATE_LIMITS="1")
    try:
        held = [attempt(bridge, from_("192.0.2.5"))[2] for _ in range(40)]
        assert all(held)
        for s in held:
            s.close()
    finally:
        bridge.close()


def test_forged_address():
    """X-Forwarded-For counts only through a trusted proxy."""
    for trusted, is_believed in (("127.0.0.1", True), ("192.0.2.0/24", False)):
        bridge = Bridge(is_tcp=True, ARAGORA_TRUSTED_PROXIES=trusted,
                        ARAGORA_WS_MAX_PER_IP="1")
        try:
            held = [attempt(bridge, from_(f"198.51.100.{i}"))
                    for i in range(3)]
            statuses = [h[0] for h in held]
            assert statuses == ([101] * 3 if is_believed
                                else [101, 429, 429])
            status, _, s = attempt(bridge, "X-Real-IP: 203.0.113.1")
            assert status == (101 if is_believed else 429)
            for s in [h[2] for h in held] + [s]:
                if s:
                    s.close()
        finally:
            bridge.close()


def test_messages_per_second(bridge):
    """Twenty at once are answered, what is more is ignored with one warning,
    and the connection goes on."""
    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            for i in range(60):
                await ws.send(json.dumps({"type": "ping", "ts": i}))
            pongs, warnings = [], []
            # A bucket that fills again answers this one.
            await asyncio.sleep(1.5)
            await ws.send('{"type":"ping","ts":"end"}')
            while "end" not in pongs:
                m = await receive(ws)
                if m["type"] == "pong":
                    pongs.append(m["data"]["client_ts"])
                elif m["type"] == "warning":
                    warnings.append(m["data"]["code"])
                else:
                    assert m["type"] == "heartbeat", m
            assert pongs[:20] == list(range(20))
            assert len(pongs) < 60
            assert set(warnings) == {"rate_limited"}
            assert ws.open
    run(main())


def test_message_settings():
    bridge = Bridge(ARAGORA_WS_MSG_RATE="1000", ARAGORA_WS_MSG_BURST="1000")

    async def main():
        async with bridge.connect() as ws:
            await until(ws, "loop_list")
            for i in range(500):
                await ws.send(json.dumps({"type": "ping", "ts": i}))
            for i in range(500):
                m = await until(ws, "pong")
                assert m["data"]["client_ts"] == i
    try:
        run(main())
    finally:
        bridge.close()


@pytest.mark.parametrize("what", [frame(PING, b"x"), frame(TEXT, b"{}")],
                         ids=["pings", "messages"])
def test_flood(bridge, what):
    """Who does not stop is closed with 1008."""
    with bridge.opened() as s:
        s.sendall(what * 1000)
        assert close_code(s) == 1008

    async def main():
        async with bridge.connect() as ws:
            await until(ws, "connection_info")
    run(main())


def test_pongs_of_a_flood(bridge):
    """Of pings that come faster than the pongs leave the last is answered."""
    with bridge.opened() as s:
        s.sendall(b"".join(frame(PING, bytes([i])) for i in range(15)))
        s.sendall(frame(TEXT, b'{"type":"ping"}'))
        pongs = []
        while not pongs or pongs[-1] != 14:
            opcode, payload = read_frame(s)
            if opcode == PONG:
                pongs.append(payload[0])
        assert pongs == sorted(set(pongs))


def test_header_size(bridge):
    """8 KB whatever they consist of, and not a byte more is read."""
    with bridge.raw() as s:
        s.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 8192)
        answer = b""
        while piece := s.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_message_size():
    """Judged from the frame's header, and over all fragments."""
    bridge = Bridge(ARAGORA_WS_MAX_MESSAGE_SIZE="1024")
    try:
        with bridge.opened() as s:
            s.sendall(frame(TEXT, b"x" * 1024))
            while True:
                _, payload = read_frame(s)
                if json.loads(payload)["type"] == "warning":
                    break
            s.sendall(frame(TEXT, b"x" * 1025)[:8])
            assert close_code(s) == 1009
        with bridge.opened() as s:
            s.sendall(frame(TEXT, b"x" * 1000, fin=False)
                      + frame(0, b"x" * 25)[:6])
            assert close_code(s) == 1009
    finally:
        bridge.close()


def test_metrics():
    """What was refused, saved, replayed and closed is counted."""
    with Stack(ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
               ARAGORA_WS_CONN_RATE="2") as stack:
        debate = stack.create("What is counted?", agents=["demo", "demo"],
                              rounds=1)
        stack.wait_end(debate)

        async def main():
            url = f"ws://127.0.0.1:{stack.port}/ws?debate_id={debate}"
            async with websockets.connect(url) as ws:
                await until(ws, "debate_end")
            async with websockets.connect(url) as ws:
                await until(ws, "debate_end")
            for _ in range(2):
                with pytest.raises(websockets.InvalidStatusCode) as e:
                    await websockets.connect(url)
                assert e.value.status_code == 429
        run(main())
        text = stack.get("/metrics", check=False).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines()
                      if line and not line.startswith("#"))

        def value(name):
            return float(values["aragora_websocket_" + name])
        assert value('refused_total{reason="limit"}') == 2
        assert value("compressed_bytes_saved_total") > 1000
        assert value('replayed_total{source="table"}') > 5
        assert value('bytes_total{direction="out"}') > 1000
        assert value('bytes_total{direction="in"}') > 300
        assert value("backfills_total") >= 1
        for name in ('refused_total{reason="credential"}',
                     'refused_total{reason="timeout"}', "loop_lag_seconds",
                     'replayed_total{source="memory"}', "slow_closed_total",
                     "messages_ignored_total"):
            assert value(name) >= 0


def test_no_origin_but_a_token_in_the_limit(bridge):
    """Bad tokens count: guessing is as slow as connecting."""
    me = from_("192.0.2.77")
    statuses = []
    for _ in range(31):
        answer = bridge.get(upgrade("/ws?token=guess", me))
        statuses.append(int(answer.split()[1]))
        bridge.wait_for_closed()
    assert statuses == [401] * 30 + [429]
