# SPDX-License-Identifier: MIT
"""Server-sent events: the same events, for who cannot speak WebSocket."""
import json
import re
import signal
import socket

import httpx
import pytest
from stack import Stack
from ws_kit import WAIT, Bridge

ACCEPT = "Accept: text/event-stream"


@pytest.fixture
def bridge():
    b = Bridge()
    yield b
    b.close()


def request(path, *extra):
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *extra,
                        "", ""]).encode()


class Events:
    """A stream, parsed as the standard has it (WHATWG HTML 9.2.6)."""

    def __init__(self, bridge, path, *extra, status=200):
        self.socket = bridge.raw()
        self.socket.sendall(request(path, ACCEPT, *extra))
        self.file = self.socket.makefile("rb")
        self.comments = 0
        self.retry = None
        self.last_id = None
        first = self.file.readline().decode()
        assert first.startswith(f"HTTP/1.1 {status} "), first
        self.fields = {}
        while (line := self.file.readline().decode().strip()):
            name, _, value = line.partition(": ")
            self.fields[name.lower()] = value

    def __iter__(self):
        return self

    def __next__(self):
        event, data = "message", []
        while True:
            line = self.file.readline()
            if not line:
                raise StopIteration
            assert line.endswith(b"\n"), line
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line == b"\n" and data:
                message = json.loads("\n".join(data))
                assert message["type"] == event
                if "seq" in message:
                    assert self.last_id == str(message["seq"])
                return message
            if name == "event":
                event = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = value
            elif name == "retry":
                self.retry = int(value)
            elif name == "":
                self.comments += 1

    def until(self, event_type, seen=None):
        for message in self:
            if message["type"] == event_type:
                return message
            if seen is not None:
                seen.append(message)
        raise AssertionError(f"no {event_type}: {seen}")

    def close(self):
        self.file.close()
        self.socket.close()


PATHS = ["/api/debates/d/stream", "/api/v1/debates/d/stream",
         "/api/v2/debates/stream?debate_id=d", "/api/debates/stream?loop_id=d",
         "/api/spectate/d/stream"]


@pytest.mark.parametrize("path", PATHS)
def test_whole_debate(bridge, path):
    """What was, what comes, pieces of text in between, and the end, behind
    which the answer ends."""
    bridge.feed.debate("d", events=3)
    events = Events(bridge, path)
    assert events.fields["content-type"] == "text/event-stream"
    assert events.fields["x-accel-buffering"] == "no"
    assert events.fields["cache-control"] == "no-store"
    seen = []
    events.until("replay_end", seen)
    assert [m["type"] for m in seen] == [
        "sync", "replay_start"] + 3 * ["agent_message"]
    assert all(m["replayed"] is True for m in seen[2:])
    bridge.feed("delta d hello")
    piece = events.until("token_delta")
    assert piece["data"]["token"] == "hello" and "seq" not in piece
    bridge.feed.event("d", n=3)
    message = next(events)
    assert message["seq"] == 4 and "replayed" not in message
    assert message["data"]["content"] == "text 3"
    bridge.feed.finish("d")
    assert next(events)["type"] == "debate_end"
    assert list(events) == []
    events.close()


def test_last_event_id(bridge):
    """It resumes behind what was seen, whatever the address says; when there
    is nothing more to come the answer is 204, which ends a browser's
    attempts."""
    bridge.feed.debate("d", events=6)
    events = Events(bridge, "/api/debates/d/stream?since=1",
                    "Last-Event-ID: 4")
    seen = []
    events.until("replay_end", seen)
    assert [m["seq"] for m in seen if "seq" in m] == [5, 6]
    events.close()
    events = Events(bridge, "/api/debates/d/stream?since=5")
    seen = []
    events.until("replay_end", seen)
    assert [m["seq"] for m in seen if "seq" in m] == [6]
    # All is seen, but the debate goes on.
    waiting = Events(bridge, "/api/debates/d/stream", "Last-Event-ID: 6")
    end = bridge.feed.finish("d")
    for stream in (events, waiting):
        assert stream.until("debate_end")["seq"] == end
        assert list(stream) == []
        stream.close()
    over = Events(bridge, "/api/debates/d/stream", f"Last-Event-ID: {end}",
                  status=204)
    assert over.file.read() == b""
    over.close()
    again = Events(bridge, "/api/debates/d/stream",
                   f"Last-Event-ID: {end - 1}")
    assert again.until("debate_end")["seq"] == end
    again.close()


def test_waits_for_a_debate(bridge):
    events = Events(bridge, "/api/debates/soon/stream")
    assert next(events)["data"]["status"] == "waiting"
    bridge.feed.debate("soon")
    assert events.until("sync")["data"]["status"] == "running"
    bridge.feed.event("soon")
    assert events.until("agent_message")["seq"] == 1
    events.close()


def test_all_debates(bridge):
    events = Events(bridge, "/api/debates/stream", "Last-Event-ID: 5")
    events.until("loop_list")
    for debate in ("a", "b"):
        bridge.feed.debate(debate)
        bridge.feed.event(debate)
        bridge.feed.finish(debate)
    seen = [events.until("debate_end")["debate_id"] for _ in range(2)]
    assert sorted(seen) == ["a", "b"]
    # It goes on: there may be others.
    bridge.feed.debate("c")
    bridge.feed.event("c")
    assert events.until("agent_message")["debate_id"] == "c"
    events.close()


REFUSED = [
    (request("/api/debates/d/stream"), 406),
    (request("/api/debates/d/stream", "Accept: application/json"), 406),
    (request("/api/debates/d/stream", "Accept: text/event-streams"), 406),
    (request("/api/debates/%20/stream", ACCEPT), 400),
    (request("/api/debates/a/b/stream", ACCEPT), 400),
    (request("/api/debates//stream", ACCEPT), 404),
    (request("/api/debates/d/stream?since=x", ACCEPT), 400),
    (request("/api/debates/d/stream", ACCEPT, "Last-Event-ID: x"), 400),
    (request("/api/debates/d/stream", ACCEPT,
             "Origin: https://evil.example"), 403),
    (request("/api/debates/d/stream?token=wrong", ACCEPT), 401),
    (request("/api/debates/d/stream", ACCEPT).replace(b"GET", b"POST"), 405),
    (request("/api/debates/d/events", ACCEPT), 404),
]


@pytest.mark.parametrize("text,status", REFUSED)
def test_refused(bridge, text, status):
    answer = bridge.get(text)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, answer
    assert json.loads(body)["code"]


@pytest.mark.parametrize("accept", [
    "text/event-stream", "TEXT/event-stream;q=0.5",
    "text/html, text/event-stream ; q=1"])
def test_accept(bridge, accept):
    with bridge.raw() as s:
        s.sendall(request("/api/debates/d/stream", "Accept: " + accept))
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_other_origin(bridge):
    """A page of an allowed origin may read it."""
    bridge.feed.debate("d")
    events = Events(bridge, "/api/debates/d/stream",
                    "Origin: http://localhost:3000")
    assert events.fields["access-control-allow-origin"] == \
        "http://localhost:3000"
    assert events.fields["vary"] == "Origin"
    events.close()
    events = Events(bridge, "/api/debates/d/stream",
                    "Origin: http://localhost")
    assert "access-control-allow-origin" not in events.fields
    events.close()


def test_same_limits(bridge):
    """Streams and sockets of an address are counted together."""
    me = "X-Forwarded-For: 192.0.2.9"
    held = [Events(bridge, "/api/debates/d/stream", me) for _ in range(5)]
    held += [bridge.opened("/ws", me) for _ in range(5)]
    answer = bridge.get(request("/api/debates/d/stream", ACCEPT, me))
    assert answer.startswith(b"HTTP/1.1 429 ")
    for s in held:
        s.close()


def test_token_and_revocation():
    bridge = Bridge(["--times", "recheck=300,heartbeat=100"],
                    ARAGORA_AUTH_REQUIRED="1")
    try:
        assert bridge.get(request("/api/debates/d/stream", ACCEPT)) \
            .startswith(b"HTTP/1.1 401 ")
        token_id, token = bridge.feed("token one").split()
        bridge.feed.debate("d", events=1)
        by_query = Events(bridge, "/api/debates/d/stream?token=" + token)
        by_field = Events(bridge, "/api/debates/d/stream",
                          "Authorization: Bearer " + token)
        for events in (by_query, by_field):
            events.until("replay_end")
        bridge.feed("revoke " + token_id)
        for events in (by_query, by_field):
            gone = events.until("auth_revoked")
            assert gone["data"]["code"] == "auth_revoked"
            assert events.comments > 0
            assert list(events) == []
            events.close()
    finally:
        bridge.close()


def test_drain(bridge):
    """The client is told when to come back, and the answer ends."""
    bridge.feed.debate("d", events=1)
    events = Events(bridge, "/api/debates/d/stream")
    events.until("replay_end")
    bridge.process.send_signal(signal.SIGTERM)
    assert list(events) == []
    assert 1 <= events.retry <= 25001
    events.close()
    assert bridge.process.wait(WAIT) == 0


def test_what_a_client_sends_is_ignored(bridge):
    bridge.feed.debate("d")
    events = Events(bridge, "/api/debates/d/stream")
    events.until("sync")
    events.socket.sendall(b"\x81\x80\0\0\0\0GET / HTTP/1.1\r\n\r\n" * 100)
    bridge.feed.event("d")
    assert events.until("agent_message")["seq"] == 1
    events.close()


def test_reader_that_leaves(bridge):
    bridge.feed.debate("d")
    for _ in range(30):
        Events(bridge, "/api/debates/d/stream").close()
    with bridge.raw() as s:
        s.sendall(request("/api/debates/d/stream", ACCEPT))
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):
            pass


def test_through_nginx():
    """One address for both: JSON for who wants that, events as they come for
    who wants those; both SDKs and a browser find what they look for."""
    with Stack() as stack:
        debate = stack.create("Does a stream pass through?", rounds=1,
                              agents=["demo", "demo"])
        base = f"http://127.0.0.1:{stack.port}"
        for path in (f"/api/debates/{debate}/stream",
                     f"/api/v1/debates/stream?debate_id={debate}",
                     f"/api/spectate/{debate}/stream"):
            told = httpx.get(base + path,
                             headers={"Accept": "application/json"})
            assert told.status_code == 200
            assert told.json()["debate_id"] == debate
            assert told.json()["websocket_url"].startswith("ws://")
            with httpx.stream("GET", base + path, timeout=WAIT, headers={
                    "Accept": "text/event-stream"}) as r:
                assert r.headers["content-type"] == "text/event-stream"
                text = "".join(r.iter_text())
            ids = [int(i) for i in re.findall(r"^id: (\d+)$", text, re.M)]
            assert ids == list(range(1, len(ids) + 1)) and len(ids) > 5
            assert "event: debate_end" in text
        assert httpx.get(base + "/api/debates/stream").status_code == 400
        assert httpx.get(base + "/api/debates/nobody/stream") \
            .status_code == 404
