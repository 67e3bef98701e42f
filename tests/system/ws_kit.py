# SPDX-License-Identifier: MIT
"""A bridge of its own for each test: a data folder with a SQLite store, the
feed tool that plays the runner, and aragora-ws on a Unix socket."""
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import websockets

from stack import BUILD

WAIT = 20  # seconds after which a test has failed


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Feed:
    def __init__(self, env):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "tests/tools/feed")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)

    def __call__(self, command):
        self.begin(command)
        return self.answer(command)

    def begin(self, command):
        """Without waiting for the answer: other things go on meanwhile."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self, command):
        answer = self.process.stdout.readline().rstrip("\n")
        assert answer.startswith("ok"), f"{command}: {answer}"
        return answer[3:]

    def debate(self, debate_id, events=0):
        """A running debate with so many stored events, none published."""
        self(f"create {debate_id} What is {debate_id}?")
        self("claim")
        for i in range(events):
            self.event(debate_id, publish=False, n=i)

    def event(self, debate_id, publish=True, n=0):
        data = json.dumps({"content": f"text {n}"})
        seq = int(self(f"commit {debate_id} agent_message demo {data}"))
        if publish:
            self(f"publish {debate_id} {seq}")
        return seq

    def finish(self, debate_id, publish=True, status="completed"):
        seq = int(self(f"finish {debate_id} {status}"))
        if publish:
            self(f"publish {debate_id} {seq}")
        return seq

    def close(self):
        self.process.stdin.close()
        self.process.wait(WAIT)


class Bridge:
    """options: of aragora-ws. is_tcp: on a port of 127.0.0.1 instead of a
    Unix socket."""

    def __init__(self, options=(), is_tcp=False, **settings):
        self.options = list(options)
        self.expected = ()  # events of errors that the test provokes
        self.port = free_port() if is_tcp else None
        self.folder = tempfile.mkdtemp(prefix="aragora-ws-")
        self.socket = os.path.join(self.folder, "ws.sock")
        self.log_path = os.path.join(self.folder, "ws.log")
        self.env = {
            "PATH": os.environ["PATH"],
            "ARAGORA_DATA_DIR": self.folder,
            "ARAGORA_LOG_FORMAT": "json",
            "ARAGORA_LOG_LEVEL": "DEBUG",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.env.update(settings)
        self.feed = Feed(self.env)
        self.feed("migrate")
        self.process = None
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, "aragora-ws"), "--listen",
                 f"127.0.0.1:{self.port}" if self.port
                 else "unix:" + self.socket, *self.options],
                stderr=log, env=self.env)
        deadline = time.monotonic() + WAIT
        while True:
            try:
                self.raw().close()
                return
            except OSError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.01)

    def stop(self, sig=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(sig)
        return self.process.wait(WAIT)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for_log(self, text):
        deadline = time.monotonic() + 3 * WAIT
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def wait_for_closed(self):
        """Until what was closed on this side is closed on the other: a
        request that is answered came after it."""
        answer = self.get(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    def close(self):
        if self.process.poll() is None:
            status = self.stop()
            assert status == 0, f"exit status {status}\n{self.log()}"
        self.feed.close()
        log = self.log()
        shutil.rmtree(self.folder)
        for line in log.splitlines():
            assert '"level":"error"' not in line or \
                any(f'"{event}"' in line for event in self.expected), log
        assert "Sanitizer" not in log, log

    def raw(self):
        if self.port:
            return socket.create_connection(("127.0.0.1", self.port), WAIT)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(WAIT)
        s.connect(self.socket)
        return s

    def connect(self, path="/ws", **kw):
        """An independent client: python3-websockets."""
        kw.setdefault("compression", None)
        kw.setdefault("ping_interval", None)
        if self.port:
            return websockets.connect(
                f"ws://127.0.0.1:{self.port}{path}", **kw)
        return websockets.unix_connect(
            self.socket, "ws://localhost" + path, **kw)

    def get(self, request):
        """Bytes in, everything the bridge answers out."""
        with self.raw() as s:
            s.sendall(request)
            answer = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return answer
                answer += piece

    def opened(self, path="/ws", *extra):
        """A raw socket past its handshake, with more lines in its header."""
        s = self.raw()
        s.sendall(upgrade(path, *extra))
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return s


KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def upgrade(path="/ws", *extra):
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket",
             "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}",
             "Sec-WebSocket-Version: 13", *extra, "", ""]
    return "\r\n".join(lines).encode()


def frame(opcode, payload=b"", fin=True, mask=b"\0\0\0\0", rsv=0):
    """A client frame, right or wrong."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask is not None else 0
    n = len(payload)
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + n.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + n.to_bytes(8, "big")
    return head + (mask or b"") + payload


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError(f"{len(data)} of {n} bytes")
        data += piece
    return data


def read_frame(s):
    """(opcode, payload) of a server frame."""
    first, second = read_exactly(s, 2)
    assert first & 0x80 and not first & 0x70, hex(first)
    assert not second & 0x80, "server frames are not masked"
    n = second
    if n == 126:
        n = int.from_bytes(read_exactly(s, 2), "big")
        assert n >= 126
    elif n == 127:
        n = int.from_bytes(read_exactly(s, 8), "big")
        assert n >= 65536
    return first & 0x0F, read_exactly(s, n)


def close_code(s):
    """Code of the close frame that must come; text before it is skipped."""
    while True:
        opcode, payload = read_frame(s)
        if opcode == 8:
            return int.from_bytes(payload[:2], "big") if payload else 1005


async def receive(ws):
    text = await asyncio.wait_for(ws.recv(), WAIT)
    assert isinstance(text, str)
    message = json.loads(text)
    assert isinstance(message, dict)
    assert isinstance(message["type"], str)
    assert isinstance(message["data"], dict)
    assert isinstance(message["timestamp"], float)
    return message


async def until(ws, event_type, seen=None):
    """The first message of that type; those before it go to seen."""
    while True:
        message = await receive(ws)
        if message["type"] == event_type:
            return message
        if seen is not None:
            seen.append(message)


async def stored(ws, last_seq):
    """Stored events up to last_seq, checked to be gap-free and in order."""
    events = []
    while not events or events[-1]["seq"] < last_seq:
        message = await receive(ws)
        if "seq" in message:
            if events:
                assert message["seq"] == events[-1]["seq"] + 1, message
            events.append(message)
    return events


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 3 * WAIT))
