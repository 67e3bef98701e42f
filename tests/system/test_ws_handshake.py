# SPDX-License-Identifier: MIT
"""Who may open a connection, and what the others are told."""
import asyncio
import json
import time

import pytest
import websockets
from ws_kit import KEY, Bridge, read_exactly, receive, run, until, upgrade


@pytest.fixture(scope="module")
def bridge():
    b = Bridge()
    yield b
    b.close()


@pytest.fixture(scope="module")
def closed():
    b = Bridge(ARAGORA_API_TOKEN="static secret")
    yield b
    b.close()


def status(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert lines[0].startswith("HTTP/1.1 ")
    assert int(fields["content-length"]) == len(body)
    return int(lines[0].split()[1]), fields, json.loads(body)


def test_healthz(bridge):
    code, fields, body = status(
        bridge.get(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert code == 200 and body == {"status": "ok"}
    assert fields["content-type"] == "application/json"


def test_accept(bridge):
    with bridge.raw() as s:
        s.sendall(upgrade())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(s, 1)
    text = head.decode()
    assert text.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in text
    assert "Sec-WebSocket-Protocol" not in text
    assert "Sec-WebSocket-Extensions" not in text


REFUSED = {
    "bare LF": (b"GET /ws HTTP/1.1\nHost: x\n\n", 400),
    "bytes behind the request": (upgrade() + b"\x81\x80\0\0\0\0", 400),
    "two hosts": (upgrade("/ws", "Host: other"), 400),
    "two keys": (upgrade("/ws", "Sec-WebSocket-Key: " + KEY), 400),
    "old version": (upgrade().replace(b": 13", b": 8"), 426),
    "plain GET": (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
    "foreign origin": (upgrade("/ws", "Origin: https://evil.example"), 403),
    "other path": (upgrade("/admin"), 404),
    "bad id": (upgrade("/ws?debate_id=%2e%2e%2f"), 400),
    "POST": (upgrade().replace(b"GET", b"POST"), 405),
    "huge header": (b"GET /ws HTTP/1.1\r\nX: " + b"x" * 9000, 431),
    "bad token": (upgrade("/ws?token=wrong"), 401),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(bridge, name):
    request, want = REFUSED[name]
    code, fields, body = status(bridge.get(request))
    assert code == want
    assert isinstance(body["error"], str) and body["error"] == body["message"]
    assert body["code"] and len(body["trace_id"]) == 32
    assert fields["x-trace-id"] == body["trace_id"]
    assert fields["connection"] == "close"
    if want == 426:
        assert fields["sec-websocket-version"] == "13"
    if want == 401:
        assert fields["www-authenticate"] == "bearer"
        assert body["code"] == "INVALID_TOKEN"


def test_slow_handshake(bridge):
    """Five seconds for the whole request, however diligently it drips."""
    with bridge.raw() as s:
        begun = time.monotonic()
        s.settimeout(0.5)
        answer = b""
        for byte in upgrade() * 2:
            try:
                s.send(bytes([byte]))
                answer = s.recv(65536)
                break
            except TimeoutError:
                continue
        assert b" 408 " in answer.partition(b"\r\n")[0]
        assert time.monotonic() - begun > 4.5


def test_subprotocol(bridge):
    async def main():
        async with bridge.connect(subprotocols=["aragora-v1"]) as ws:
            assert ws.subprotocol == "aragora-v1"
        async with bridge.connect(subprotocols=["other"]) as ws:
            assert ws.subprotocol is None
    run(main())


def test_own_and_allowed_origin(bridge):
    async def main():
        for origin in ("http://localhost", "http://localhost:3000"):
            async with bridge.connect(origin=origin) as ws:
                await until(ws, "connection_info")
    run(main())


def test_static_token(closed):
    code, _, body = status(closed.get(upgrade()))
    assert code == 401 and body["code"] == "AUTH_REQUIRED"
    code, _, body = status(closed.get(upgrade("/ws?token=static")))
    assert code == 401 and body["code"] == "INVALID_TOKEN"
    assert status(closed.get(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200

    async def main():
        async with closed.connect("/ws?token=static%20secret") as ws:
            info = (await receive(ws))["data"]
            assert info["authenticated"] is True
            assert info["write_access"] is True
    run(main())


def test_stored_token(closed):
    token_id, token = closed.feed("token test").split()
    ways = [
        ("/ws?token=" + token, {}),
        ("/ws", {"extra_headers": {"Authorization": "Bearer " + token}}),
        ("/ws", {"subprotocols": ["aragora-v1", "access_token." + token]}),
        # The header wins over what stands in the address.
        ("/ws?token=wrong",
         {"extra_headers": {"Authorization": "Bearer " + token}}),
    ]

    async def main():
        for path, kw in ways:
            async with closed.connect(path, **kw) as ws:
                info = (await receive(ws))["data"]
                assert info["authenticated"] is True
                assert ws.subprotocol in (None, "aragora-v1")
        closed.feed("revoke " + token_id)
        for path, kw in ways:
            with pytest.raises(websockets.InvalidStatusCode) as e:
                await closed.connect(path, **kw)
            assert e.value.status_code == 401
    run(main())
    assert token not in closed.log()
    assert "static secret" not in closed.log()


def test_client_that_leaves_during_the_token_check(closed):
    for _ in range(50):
        with closed.raw() as s:
            s.sendall(upgrade("/ws?token=wrong"))
    assert status(closed.get(upgrade()))[0] == 401


def test_many_at_once(bridge):
    async def one(i):
        async with bridge.connect(f"/ws?debate_id=many{i % 7}") as ws:
            await until(ws, "sync")

    async def main():
        await asyncio.gather(*(one(i) for i in range(200)))
    run(main())
