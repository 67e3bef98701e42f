# SPDX-License-Identifier: MIT
"""A steady load as real clients make it, in a thread of its own: requests over
kept connections, debates created with an Idempotency-Key and asked for twice,
and for each debate a WebSocket and an event stream that follow it and come
back with the last number they have. It keeps books of all that went wrong."""
import asyncio
import collections
import contextlib
import json
import random
import threading
import time

import websockets

import stack as st

# What a client does one after the other; {id} is a debate of its own.
READS = ("/api/debates?limit=5", "/api/debates/{id}", "/api/health",
         "/api/debates/{id}/events?since=0&limit=50", "/api/agents",
         "/api/debates/{id}", "/api/leaderboard?limit=5", "/")
BACK_OFF_S = 0.5  # before a client comes back that nobody told when


class Link:
    """A client's kept connection. An answer: (status, headers, body)."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.reader = self.writer = None

    async def ask(self, method, path, body=None, headers=()):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                self.host, self.port)
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers]
        if body is not None:
            lines += ["Content-Type: application/json",
                      f"Content-Length: {len(data)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        return await self.head()

    async def head(self):
        """(status, headers) of the answer that comes."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin1")
        first, *lines = text.strip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers

    async def pieces(self, headers):
        """Of a body, as they come."""
        if "content-length" in headers:
            yield await self.reader.readexactly(
                int(headers["content-length"]))
            return
        assert headers["transfer-encoding"] == "chunked", headers
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return
            yield piece

    async def request(self, method, path, body=None, headers=()):
        try:
            status, head = await self.ask(method, path, body, headers)
            data = b"".join([p async for p in self.pieces(head)])
        except BaseException:
            self.close()
            raise
        if head.get("connection") == "close":
            self.close()
        return status, head, data

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


class Steady:
    """rate: requests a second of all clients together, of which one in
    `create_in` asks for a debate with this body. tries: how often a request
    is made that got no answer, or one that says "later". patience: seconds
    after which there is none."""

    def __init__(self, host, port, body, clients=24, rate=120, create_in=40,
                 tries=1, patience=st.WAIT, reads=READS):
        self.host, self.port, self.body = host, port, body
        self.rate, self.create_in = rate, create_in
        self.tries, self.patience, self.reads = tries, patience, reads
        self.answers = collections.Counter()  # (method, path, status)
        self.failures = []  # (seconds since the begin, what, how)
        self.repeats = 0  # of requests that had failed
        self.lost = []  # requests that were given up
        self.longest = {}  # method -> seconds of the slowest good answer
        self.debates = {}  # id -> its Idempotency-Key
        self.closes = collections.Counter()  # of followers: code, or "sse"
        self.stories = []  # (kind, debate, [(seq, type)])
        self.begun = time.monotonic()
        self.took = float("inf")
        self.is_stopping = False
        self.loop = asyncio.new_event_loop()
        self.followers = []
        self.error = None
        self.work = self.loop.create_task(self.run(clients))
        self.thread = threading.Thread(target=self.loop.run_until_complete,
                                       args=(self.guard(),), daemon=True)
        self.thread.start()

    async def guard(self):
        """The work, and the end of what it leaves behind."""
        try:
            await self.work
        except BaseException as e:  # for the test's thread
            self.error = e
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def run(self, clients):
        await asyncio.gather(*(self.client(i, clients / self.rate)
                               for i in range(clients)))
        self.took = time.monotonic() - self.begun
        await asyncio.wait_for(asyncio.gather(*self.followers), 3 * st.WAIT)

    def fail(self, what, how):
        self.failures.append((self.at(), what, how))

    def at(self):
        """Seconds since the begin."""
        return round(time.monotonic() - self.begun, 2)

    def __str__(self):
        return f"{self.count()} requests, {self.count() / self.took:.0f} a " \
            f"second, {len(self.debates)} debates, {self.repeats} repeats, " \
            f"longest {self.longest}, closes {dict(self.closes)}, failures {self.failures[:20]} " \
            f"({len(self.failures)})"

    def count(self):
        return sum(self.answers.values())

    def more(self, n):
        """Until so many more requests were answered: it is under load."""
        to = self.count() + n
        st.wait_for("load", lambda: self.error or self.count() >= to)
        assert self.error is None, repr(self.error)

    # ---- requests ----

    async def client(self, number, pause):
        link = Link(self.host, self.port)
        due = self.loop.time() + random.random() * pause
        i, own = number, None
        while not self.is_stopping:
            await asyncio.sleep(max(0, due - self.loop.time()))
            due = max(due + pause, self.loop.time() - 1)
            i += 1
            if own is None or i % self.create_in == 0:
                own = await self.create(link, f"key-{number}-{i}") or own
            else:
                await self.send(link, "GET", self.reads[i % len(self.reads)],
                                own)
        link.close()

    async def send(self, link, method, path, debate_id="", body=None, key=""):
        """The answer's body, or None when there was none at last."""
        headers = [f"Idempotency-Key: {key}"] if key else []
        for n in range(self.tries):
            if n > 0:
                self.repeats += 1
                await asyncio.sleep(BACK_OFF_S)
            begun = self.at()
            try:
                status, _, data = await asyncio.wait_for(link.request(
                    method, path.replace("{id}", debate_id), body, headers),
                    self.patience)
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self.fail(f"{method} {path}", repr(e))
                continue
            self.answers[method, path, status] += 1
            if status < 300:
                self.longest[method] = max(self.longest.get(method, 0),
                                           round(self.at() - begun, 2))
                return data
            self.fail(f"{method} {path}", f"{status} {data[:200]}")
            if status < 500:
                break
        self.lost.append((method, path, key))
        return None

    async def create(self, link, key):
        """Asked for twice, one debate comes of it, which is followed."""
        ids = set()
        for _ in range(2):
            data = await self.send(link, "POST", "/api/debates",
                                   body=self.body, key=key)
            if data is not None:
                ids.add(json.loads(data)["debate_id"])
        if not ids:
            return None
        assert len(ids) == 1, ids
        debate_id = ids.pop()
        assert debate_id not in self.debates
        self.debates[debate_id] = key
        kinds = [self.follow_ws, self.follow_sse]
        if len(self.debates) % 2:  # a web server deals them out in turn
            kinds.reverse()
        for follow in kinds:
            self.followers.append(asyncio.ensure_future(
                self.follow(follow, debate_id)))
        return debate_id

    def burst(self, name, n):
        """So many debates more are asked for, all at once."""
        async def one(i):
            link = Link(self.host, self.port)
            await self.create(link, f"{name}-{i}")
            link.close()

        async def all_of_them():
            await asyncio.gather(*(one(i) for i in range(n)))
        asyncio.run_coroutine_threadsafe(
            all_of_them(), self.loop).result(4 * st.WAIT)

    # ---- followers ----

    async def follow(self, how, debate_id):
        """Until the debate's end, over as many connections as it takes."""
        seen = []
        self.stories.append((how.__name__, debate_id, seen))
        while not seen or seen[-1][1] != "debate_end":
            wait_s = await how(debate_id, seen)
            if not seen or seen[-1][1] != "debate_end":
                await asyncio.sleep(wait_s)

    async def follow_ws(self, debate_id, seen):
        """One connection; seconds after which to come back."""
        since = seen[-1][0] if seen else 0
        try:
            async with websockets.connect(
                    f"ws://{self.host}:{self.port}/ws?debate_id={debate_id}"
                    f"&since={since}", ping_interval=None,
                    open_timeout=self.patience, close_timeout=1) as ws:
                while not seen or seen[-1][1] != "debate_end":
                    m = json.loads(await asyncio.wait_for(
                        ws.recv(), self.patience))
                    if "seq" in m:
                        seen.append((m["seq"], m["type"]))
        except websockets.ConnectionClosed as e:
            code = e.rcvd.code if e.rcvd else 1006
            self.closes[code] += 1
            if code == 1001:
                return json.loads(e.rcvd.reason)["reconnect_ms"] / 1000
            self.fail("websocket", f"closed with {code}")
        except (websockets.InvalidHandshake, OSError, EOFError,
                asyncio.TimeoutError) as e:
            self.fail("websocket", repr(e))
        return BACK_OFF_S

    async def follow_sse(self, debate_id, seen):
        link = Link(self.host, self.port)
        headers = ["Accept: text/event-stream"]
        if seen:
            headers.append(f"Last-Event-ID: {seen[-1][0]}")
        wait_s = BACK_OFF_S
        try:
            status, head = await asyncio.wait_for(link.ask(
                "GET", f"/api/debates/{debate_id}/stream", None, headers),
                self.patience)
            if status != 200:
                self.fail("stream", str(status))
                return float(head.get("retry-after", wait_s))
            text, pieces = "", link.pieces(head)
            while not seen or seen[-1][1] != "debate_end":
                text += (await asyncio.wait_for(
                    pieces.__anext__(), self.patience)).decode()
                *blocks, text = text.split("\n\n")
                for block in blocks:
                    wait_s = self.take_block(block, seen, wait_s)
        except StopAsyncIteration:
            self.closes["sse"] += 1
        except (OSError, EOFError, asyncio.TimeoutError) as e:
            self.fail("stream", repr(e))
        finally:
            link.close()
        return wait_s

    @staticmethod
    def take_block(block, seen, wait_s):
        fields = dict(line.split(": ", 1) for line in block.split("\n")
                      if ": " in line and not line.startswith(":"))
        if "id" in fields:
            seen.append((int(fields["id"]), fields["event"]))
        return float(fields.get("retry", wait_s * 1000)) / 1000

    # ---- the end ----

    def finish(self):
        """No more requests; back when every follower has seen its debate's
        end."""
        self.is_stopping = True
        self.thread.join(4 * st.WAIT)
        assert not self.thread.is_alive(), [
            (k, d, s[-1:]) for k, d, s in self.stories
            if not s or s[-1][1] != "debate_end"]
        if self.error is not None:
            raise self.error

    def check_stories(self):
        """Each follower saw every event once and in order."""
        for kind, debate_id, seen in self.stories:
            assert [seq for seq, _ in seen] == \
                list(range(1, len(seen) + 1)), (kind, debate_id, seen)
        by_debate = collections.defaultdict(set)
        for _, debate_id, seen in self.stories:
            by_debate[debate_id].add(tuple(seen))
        assert set(by_debate) == set(self.debates)
        for debate_id, seen in by_debate.items():
            assert len(seen) == 1, (debate_id, seen)

    def close(self):
        """However the test has ended."""
        self.is_stopping = True
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.work.cancel)
        self.thread.join(st.WAIT)
        self.loop.close()
