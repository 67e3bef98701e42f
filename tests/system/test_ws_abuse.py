# SPDX-License-Identifier: MIT
"""What an abuser of the bridge gets, row by row: the answer of HTTP, or the
code of the close frame, no sooner and no later than it must come, and then the
end of the connection. After each row the bridge serves everybody else."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import zlib

import pytest
from jwt_kit import SECRET, claims, hs256
from ws_kit import (KEY, WAIT, Bridge, close_code, frame, read_exactly,
                    read_frame, run, until, upgrade)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
LIMIT = 65536
TAIL = b"\0\0\xff\xff"  # ends a deflate block; left out at a message's end


def deflate(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH))[:-4]


def closing(code):
    return frame(CLOSE, code.to_bytes(2, "big"))


def big(n):
    """The head of a frame of n bytes, and nothing of them."""
    return b"\x81\xff" + n.to_bytes(8, "big") + b"\0\0\0\0"


# ---- answered before the upgrade: name -> (request, status, header) ----

GET = upgrade()
REQUESTS = {
    "bare LF": (GET.replace(b"\r\n", b"\n"), 400, {}),
    "one bare LF": (GET.replace(b"localhost\r\n", b"localhost\n"), 400, {}),
    "bare CR": (GET.replace(b"localhost\r\n", b"local\rhost\r\n"), 400, {}),
    "CR CR LF": (GET.replace(b"localhost\r", b"localhost\r\r"), 400, {}),
    "NUL": (GET.replace(b"localhost", b"local\0host"), 400, {}),
    "folded line": (upgrade("/ws", "X: a\r\n b"), 400, {}),
    "space before the colon": (upgrade("/ws", "Origin : x"), 400, {}),
    "duplicate Host": (upgrade("/ws", "Host: localhost"), 400, {}),
    "duplicate Key": (upgrade("/ws", f"Sec-WebSocket-Key: {KEY}"), 400, {}),
    "duplicate Version": (
        upgrade("/ws", "Sec-WebSocket-Version: 13"), 400, {}),
    "no Host": (GET.replace(b"Host: localhost\r\n", b""), 400, {}),
    "no Key": (GET.replace(KEY.encode(), b""), 400, {}),
    "short Key": (GET.replace(KEY.encode(), b"c2hvcnQ="), 400, {}),
    "a frame after the GET": (GET + frame(TEXT, b"{}"), 400, {}),
    "a byte after the GET": (GET + b"x", 400, {}),
    "a body": (upgrade("/ws", "Content-Length: 2") + b"{}", 400, {}),
    "chunks": (upgrade("/ws", "Transfer-Encoding: chunked"), 400, {}),
    "version 8": (GET.replace(b"Version: 13", b"Version: 8"), 426,
                  {"sec-websocket-version": "13"}),
    "version 130": (GET.replace(b"Version: 13", b"Version: 130"), 426,
                    {"sec-websocket-version": "13"}),
    "no version": (GET.replace(b"Sec-WebSocket-Version: 13\r\n", b""), 400,
                   {}),
    "foreign Origin": (upgrade("/ws", "Origin: https://evil.example"), 403,
                       {}),
    "Origin null": (upgrade("/ws", "Origin: null"), 403, {}),
    "Origin that begins like ours": (
        upgrade("/ws", "Origin: http://localhost:3000.evil.example"), 403,
        {}),
    "9 KB of headers": (b"GET /ws HTTP/1.1\r\nX: " + b"x" * 9000, 431, {}),
    "9 KB of small headers": (
        b"GET /ws HTTP/1.1\r\n" + b"X: y\r\n" * 1500, 431, {}),
}

# ---- closed after it: name -> (frames, code), with "deflate" offered ----

FRAMES = {
    "unmasked frame": (frame(TEXT, b"{}", mask=None), 1002),
    "RSV1 on a control frame": (frame(PING, b"", rsv=4), 1002),
    "RSV1 on a continuation": (
        frame(TEXT, b"a", fin=False) + frame(0, b"b", rsv=4), 1002),
    "RSV2": (frame(TEXT, b"{}", rsv=2), 1002),
    "RSV3": (frame(TEXT, b"{}", rsv=1), 1002),
    **{f"opcode {n}": (frame(n, b""), 1002)
       for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "pong of 126 bytes": (frame(PONG, b"x" * 126), 1002),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "fragmented ping": (frame(PING, b"", fin=False), 1002),
    "fragmented close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    "lone continuation": (frame(0, b"x"), 1002),
    "lone continuation, not the last": (frame(0, b"x", fin=False), 1002),
    "continuation after the end": (
        frame(TEXT, b'{"type":', fin=False) + frame(0, b'"ping"}')
        + frame(0, b"x"), 1002),
    "text within a message": (
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "125 bytes in two bytes of length": (b"\x81\xfe\x00\x7d", 1002),
    "65,535 bytes in eight bytes of length": (
        b"\x81\xff" + (65535).to_bytes(8, "big"), 1002),
    "length of 2^63": (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1002),
    "binary": (frame(BINARY, b"x"), 1003),
    # Nothing of these frames follows the byte that is wrong.
    "bad UTF-8": (b"\x81\xfe\x03\xe8\0\0\0\0" b"ok\xc0", 1007),
    "overlong UTF-8": (b"\x81\xfe\x03\xe8\0\0\0\0" b"ok\xe0\x80", 1007),
    "surrogate": (b"\x81\xfe\x03\xe8\0\0\0\0" b"ok\xed\xa0", 1007),
    "beyond Unicode": (b"\x81\xfe\x03\xe8\0\0\0\0" b"ok\xf4\x90", 1007),
    "bad UTF-8 over two frames": (
        frame(TEXT, b"ok\xe2\x82", fin=False)
        + b"\x00\xfe\x03\xe8\0\0\0\0" b"(", 1007),
    "text that ends within a character": (frame(TEXT, b"ok\xe2\x82"), 1007),
    "close reason that is not UTF-8": (
        frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "65,537 bytes in one frame": (big(LIMIT + 1), 1009),
    "2^62 bytes in one frame": (big(1 << 62), 1009),
    "65,537 bytes in two frames": (
        frame(TEXT, b"x" * 40000, fin=False)
        + b"\x80\xfe" + (LIMIT + 1 - 40000).to_bytes(2, "big"), 1009),
    "65,537 bytes in many frames": (
        frame(TEXT, b"x", fin=False)
        + frame(0, b"x" * 255, fin=False) * 257 + b"\x80\x82", 1009),
    "deflate bomb": (
        frame(TEXT, deflate(b"a" * 50_000_000), rsv=4), 1009),
    "deflate bomb of bombs": (
        frame(TEXT, (deflate(b"a" * 60_000) + TAIL) * 40, rsv=4), 1009),
    "65,537 bytes, deflated": (
        frame(TEXT, deflate(b"a" * (LIMIT + 1)), rsv=4), 1009),
    "what no deflate made": (frame(TEXT, b"\x07\x07\x07", rsv=4), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    **{f"close {n}": (closing(n), 1002) for n in (
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
        65535)},
}
# Their neighbours, which are allowed: name -> (frames, what comes back).
ALLOWED = {
    "65,536 bytes": (frame(
        TEXT, b" " * (LIMIT - 15) + b'{"type":"ping"}'), "pong"),
    "65,536 bytes in many frames": (
        b"".join(frame(TEXT if i == 0 else 0, b" " * 256, fin=False)
                 for i in range(255))
        + frame(0, b" " * (256 - 15) + b'{"type":"ping"}'), "pong"),
    "65,536 bytes, deflated": (frame(TEXT, deflate(
        b" " * (LIMIT - 15) + b'{"type":"ping"}'), rsv=4), "pong"),
    "empty text": (frame(TEXT, b""), "warning"),
    "ping of 125 bytes": (frame(PING, b"x" * 125), PONG),
    "ping within a message": (
        frame(TEXT, b'{"type":', fin=False) + frame(PING, b"x" * 125)
        + frame(0, b'"ping"}'), "pong"),
    **{f"close {n}": (closing(n), n) for n in (
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
        1014, 3000, 3999, 4000, 4999)},
    "close without a code": (frame(CLOSE), 1005),
}


@pytest.fixture(scope="module")
def bridge():
    b = Bridge(ARAGORA_WS_MSG_BURST="1000")
    yield b
    b.close()


def is_serving(bridge):
    with bridge.opened() as s:
        s.sendall(frame(TEXT, b'{"type":"ping","ts":"alive"}'))
        while True:
            opcode, payload = read_frame(s)
            message = json.loads(payload)
            if opcode == TEXT and message["type"] == "pong":
                return message["data"]["client_ts"] == "alive"


def head_of(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    return head


def read_any(s):
    """(opcode, text) of a frame that may be deflated."""
    first, n = read_exactly(s, 2)
    if n >= 126:
        n = int.from_bytes(read_exactly(s, 2 if n == 126 else 8), "big")
    payload = read_exactly(s, n)
    if first & 0x40:
        payload = zlib.decompressobj(-15).decompress(payload + TAIL)
    return first & 15, payload


def has_ended(s):
    """The other side has nothing more to say."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("pieces", [1, 500], ids=["whole", "pieces"])
def test_request(bridge, name, pieces):
    request, want, wanted_fields = REQUESTS[name]
    if "after the GET" in name:
        pieces = 1  # what comes after the answer is a client's right
    answer = b""
    with bridge.raw() as s:
        step = -(-len(request) // pieces)
        # It need not listen to the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for i in range(0, len(request), step):
                s.sendall(request[i:i + step])
        with contextlib.suppress(ConnectionResetError):
            while piece := s.recv(65536):
                answer += piece
    head, _, body = answer.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert lines[0].startswith(f"HTTP/1.1 {want} "), answer
    assert isinstance(json.loads(body)["error"], str)
    assert fields["connection"] == "close"
    for key, value in wanted_fields.items():
        assert fields[key] == value
    assert is_serving(bridge)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("pieces", [1, 500], ids=["whole", "pieces"])
def test_frames(bridge, name, pieces):
    data, want = FRAMES[name]
    with bridge.opened("/ws", DEFLATE) as s:
        step = -(-len(data) // pieces)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for i in range(0, len(data), step):
                s.sendall(data[i:i + step])
        while True:
            opcode, payload = read_any(s)
            if opcode == CLOSE:
                break
            assert json.loads(payload)["type"] in (
                "connection_info", "loop_list", "pong"), payload
        assert int.from_bytes(payload[:2], "big") == want
        assert has_ended(s)
    assert is_serving(bridge)


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(bridge, name):
    data, want = ALLOWED[name]
    with bridge.opened("/ws", DEFLATE) as s:
        s.sendall(data)
        while True:
            opcode, payload = read_any(s)
            if opcode == CLOSE:
                got = int.from_bytes(payload, "big") if payload else 1005
            elif opcode == PONG:
                got = PONG
            else:
                got = json.loads(payload)["type"]
            if got == want:
                return
            assert got in ("connection_info", "loop_list", PONG), payload


def test_bomb_takes_no_memory(bridge):
    def peak():
        with open(f"/proc/{bridge.process.pid}/status",
                  encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f
                        if line.startswith("VmHWM"))
    bomb = frame(TEXT, deflate(b"a" * 60_000_000), rsv=4)
    assert len(bomb) < LIMIT
    before = peak()
    with bridge.opened("/ws", DEFLATE) as s:
        s.sendall(bomb)
        while read_any(s)[0] != CLOSE:
            pass
    assert peak() - before < 20_000  # KB


# ---- rows that need time, a setting or a companion ----

def slow_handshake():
    """Closed at the deadline, however diligently it drips."""
    with serving(options=["--times", "request=700"]) as bridge:
        with bridge.raw() as s:
            begun = time.monotonic()
            s.settimeout(0.05)
            answer = b""
            for byte in upgrade("/ws", "X: " + "x" * 8000):
                s.send(bytes([byte]))
                try:
                    answer = s.recv(4096)
                    break
                except TimeoutError:
                    continue
            assert time.monotonic() - begun >= 0.69
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert has_ended(s)
        with bridge.raw() as s:  # nothing at all
            assert s.recv(4096).startswith(b"HTTP/1.1 408 ")
            assert has_ended(s)


def ping_flood():
    """Pings count as messages, and at most one pong is queued."""
    with serving() as bridge:
        with bridge.opened() as s:
            s.sendall(frame(PING, b"x") * 20)
            s.sendall(frame(TEXT, b'{"type":"ping"}'))
            pongs, events = 0, []
            while "warning" not in events:
                opcode, payload = read_frame(s)
                if opcode == PONG:
                    pongs += 1
                else:
                    events.append(json.loads(payload)["type"])
            # The bucket was emptied by the pings; all came in one read.
            assert 1 <= pongs <= 20 and "pong" not in events
            s.sendall(frame(PING, b"x") * 1000)
            assert close_code(s) == 1008
    # Who does not read his pongs: one waits, whatever comes.
    with serving(ARAGORA_DISABLE_ALL_RATE_LIMITS="1") as bridge:
        with bridge.opened() as s:
            for _ in range(200):
                s.sendall(frame(PING, b"y" * 125) * 100)
            s.sendall(frame(PING, b"last"))
            pongs = 0
            while True:
                opcode, payload = read_frame(s)
                pongs += opcode == PONG
                if payload == b"last":
                    break
            assert pongs < 20001


def connections_of_one_address():
    """The 31st in a minute and the 11th at once: 429 with Retry-After."""
    with serving() as bridge:
        def attempt(address):
            s = bridge.raw()
            s.sendall(upgrade("/ws", f"X-Forwarded-For: {address}"))
            return s, head_of(s)
        for address, is_held, allowed in (("192.0.2.1", False, 30),
                                          ("192.0.2.2", True, 10)):
            held = []
            for _ in range(allowed):
                s, head = attempt(address)
                assert head.startswith(b"HTTP/1.1 101 "), head
                held.append(s)
                if not is_held:
                    held.pop().close()
                    bridge.wait_for_closed()
            s, head = attempt(address)
            assert head.startswith(b"HTTP/1.1 429 "), head
            assert b"\r\nretry-after: " in head.lower()
            while s.recv(4096):
                pass
            s.close()
            for s in held:
                s.close()


def reader_that_never_reads():
    """1013, which it sees when it reads at last."""
    with serving(options=["--times", "stall=500,linger=60000"]) as bridge:
        bridge.feed.debate("d")
        with bridge.raw() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(upgrade("/ws?debate_id=d"))
            for i in range(60):
                bridge.feed("commit d agent_message demo "
                            + json.dumps({"content": "x" * 20000}))
                bridge.feed(f"publish d {i + 1}")
            bridge.wait_for_log('"code":1013')
            assert head_of(s).startswith(b"HTTP/1.1 101 ")
            assert close_code(s) == 1013


def token_that_expires():
    with serving(ARAGORA_SUPABASE_JWT_SECRET=SECRET) as bridge:
        with bridge.opened("/ws?token=" + hs256(claims(expires=-58))) as s:
            assert close_code(s) == 4401


def token_that_is_revoked():
    with serving(options=["--times", "recheck=200"],
                 ARAGORA_AUTH_REQUIRED="1") as bridge:
        token_id, token = bridge.feed("token one").split()
        with bridge.opened("/ws?token=" + token) as s:
            bridge.feed("revoke " + token_id)
            assert close_code(s) == 4401


# What a server that is no Redis, or not a sane one, says.
GARBAGE = [
    b"",  # hangs up
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\xff\xfe\xfd\r\n" * 100,
    b"+OK\r\n" * 5 + b"*-7\r\n",
    b"*9999999999\r\n",
    b"$9999999999999\r\nx",
    b"*3\r\n$7\r\nmessage\r\n:5\r\n$1\r\nx\r\n",
    b"*3\r\n$7\r\nmessage\r\n$15\r\naragora:debate:\r\n$-1\r\n",
    b"*3\r\n$7\r\nmessage\r\n$16\r\naragora:debate:d\r\n$5\r\nd 7\n{\r\n",
    b"*3\r\n$7\r\nmessage\r\n$16\r\naragora:debate:d\r\n$4\r\n\xff -1\r\n",
    b"*1\r\n" * 200 + b"+x\r\n",
    b"-LOADING Redis is loading\r\n",
]


class Impostor:
    """Says each piece of garbage to one connection after another."""

    def __init__(self, path):
        self.path, self.said, self.is_over = path, 0, False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(0.1)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.is_over:
            try:
                s = self.listener.accept()[0]
            except TimeoutError:
                continue
            with s, contextlib.suppress(OSError):
                s.settimeout(1)
                s.recv(4096)
                s.sendall(GARBAGE[self.said % len(GARBAGE)])
                self.said += 1
                s.recv(4096)

    def close(self):
        self.is_over = True
        self.thread.join()
        self.listener.close()
        os.unlink(self.path)


def redis_that_is_none():
    """Heads are compared meanwhile; the real one is found again."""
    folder = tempfile.mkdtemp(prefix="aragora-abuse-")
    path = os.path.join(folder, "redis.sock")
    impostor = Impostor(path)
    server = None
    try:
        with serving(ARAGORA_REDIS_URL="unix:" + path) as bridge:
            async def main():
                nonlocal server
                bridge.feed.debate("d")
                async with bridge.connect("/ws?debate_id=d") as ws:
                    await until(ws, "sync")
                    seq = 0
                    deadline = time.monotonic() + 3 * WAIT
                    while impostor.said < len(GARBAGE) + 1:
                        assert time.monotonic() < deadline
                        bridge.feed.event("d", publish=False)
                        seq += 1
                        message = await until(ws, "agent_message")
                        assert message["seq"] == seq
                    impostor.close()
                    server = subprocess.Popen(
                        ["redis-server", "--port", "0", "--unixsocket", path,
                         "--save", "", "--dir", folder],
                        stdout=subprocess.DEVNULL)
                    # Only Redis can bring what is not stored.
                    while True:
                        assert time.monotonic() < deadline
                        with contextlib.suppress(AssertionError):
                            bridge.feed("delta d hello")
                        bridge.feed.event("d", publish=False)
                        seq += 1
                        seen = []
                        message = await until(ws, "agent_message", seen)
                        assert message["seq"] == seq
                        if "token_delta" in [m["type"] for m in seen]:
                            break
            run(main())
    finally:
        if not impostor.is_over:
            impostor.close()
        if server is not None:
            server.kill()
            server.wait()
        shutil.rmtree(folder)


@contextlib.contextmanager
def serving(options=(), **settings):
    """A bridge that still serves others at the end."""
    bridge = Bridge(options, **settings)
    try:
        yield bridge
        if "ARAGORA_AUTH_REQUIRED" not in settings and \
                "ARAGORA_SUPABASE_JWT_SECRET" not in settings:
            assert is_serving(bridge)
    finally:
        bridge.close()


ROWS = [slow_handshake, ping_flood, connections_of_one_address,
        reader_that_never_reads, token_that_expires, token_that_is_revoked,
        redis_that_is_none]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_row(row):
    row()
