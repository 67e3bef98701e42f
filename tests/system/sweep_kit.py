# SPDX-License-Identifier: MIT
"""A relay before the stub that answers one question of a debate at a time, in
the order of their steps, and keeps books of what was asked; and runners that
die at a chosen place (tests/tools/fault.c)."""
import asyncio
import collections
import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import threading

import httpx
import psycopg2

import stack as st

LAST = b"LAST\r\n\r\n"
POLL = 0.005  # seconds between two looks at the database


class Database:
    """An independent look at the service's database."""

    def __init__(self, env, data):
        url = env.get("ARAGORA_DATABASE_URL")
        self.db = psycopg2.connect(url) if url else sqlite3.connect(
            os.path.join(data, "aragora.db"), timeout=st.WAIT,
            isolation_level=None, check_same_thread=False)
        self.mark = "%s" if url else "?"
        if url:
            self.db.autocommit = True

    def rows(self, sql, *args):
        with contextlib.closing(self.db.cursor()) as c:
            c.execute(sql.replace("?", self.mark), args)
            return c.fetchall()

    def close(self):
        self.db.close()


def key_of(debate_id, step, attempt):
    text = f"{debate_id}/{step}/{attempt}".encode()
    return "aragora-" + hashlib.sha256(text).hexdigest()


class Relay:
    """asked: keys of the questions that have come whole, in order; answered:
    those whose asker took the whole answer and closed. number: the place of a
    question in asked, from 1."""

    def __init__(self, stub_url, database):
        self.stub_port = int(stub_url.split(":")[-1])
        self.database = database
        self.asked, self.answered = [], []
        self.given = []  # answered, but maybe nobody listens
        self.gone = []  # the asker closed while it waited
        self.steps = {}
        self.is_silent = False
        self.reading = set()  # tasks that have not read their question
        self.waiting = {}  # what waits for its turn: number -> key
        self.frozen = {}   # what waits for a word of the test instead
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, "127.0.0.1", 0),
            self.loop).result(st.WAIT)
        self.port = self.server.sockets[0].getsockname()[1]
        self.open = {}
        asyncio.run_coroutine_threadsafe(self.look(), self.loop)

    async def look(self):
        """The least step of each debate that still waits."""
        while True:
            self.open = dict(self.database.rows(
                "SELECT debate_id, min(step_key) FROM turns WHERE state = 0 "
                "GROUP BY debate_id"))
            await asyncio.sleep(POLL)

    def step(self, key):
        """Whose it is: what is asked was written down before."""
        if key not in self.steps:
            for debate_id, step, attempt in self.database.rows(
                    "SELECT debate_id, step_key, attempt FROM attempts"):
                self.steps[key_of(debate_id, step, attempt)] = \
                    (debate_id, step)
        return self.steps[key]

    async def is_turn(self, number, key):
        debate_id, step = self.step(key)
        while number not in self.frozen and (
                self.is_silent or self.open.get(debate_id) != step):
            await asyncio.sleep(POLL)
        if number in self.frozen:
            await self.frozen[number].wait()

    def settle(self):
        """All that those who are dead by now have sent is in the books:
        connections are taken in the order in which they came."""
        async def now():
            reader, writer = await asyncio.open_connection("127.0.0.1",
                                                           self.port)
            writer.write(LAST)
            await reader.read()
            writer.close()
            tasks = set(self.reading)
            while tasks & self.reading:
                await asyncio.sleep(POLL)
        asyncio.run_coroutine_threadsafe(now(), self.loop).result(st.WAIT)

    def freeze(self):
        """What waits now is answered when it is named to thaw, or never."""
        async def now():
            for number in self.waiting:
                self.frozen[number] = asyncio.Event()
            return dict(self.waiting)
        return asyncio.run_coroutine_threadsafe(
            now(), self.loop).result(st.WAIT)

    def thaw(self, number):
        self.loop.call_soon_threadsafe(self.frozen[number].set)

    async def ask_stub(self, data):
        reader, writer = await asyncio.open_connection("127.0.0.1",
                                                       self.stub_port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return answer

    async def serve(self, reader, writer):
        self.reading.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self.exchange(reader, writer)
        self.reading.discard(asyncio.current_task())
        with contextlib.suppress(OSError):
            writer.close()

    async def exchange(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(LAST):
            writer.write(LAST)
            return
        fields = dict(line.split(b": ", 1) for line in
                      head.strip().split(b"\r\n")[1:] if b": " in line)
        body = await reader.readexactly(int(fields[b"Content-Length"]))
        key = fields[b"Idempotency-Key"].decode()
        self.asked.append(key)
        self.reading.discard(asyncio.current_task())
        number = len(self.asked)
        self.waiting[number] = key
        closed = asyncio.ensure_future(reader.read())
        turn = asyncio.ensure_future(self.is_turn(number, key))
        await asyncio.wait([closed, turn], return_when="FIRST_COMPLETED")
        del self.waiting[number]
        if closed.done():
            turn.cancel()
            self.gone.append(key)
            return
        answer = await self.ask_stub(head.replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        self.given.append(key)
        await closed
        self.answered.append(key)

    def counts(self, debate_id):
        """How often each step was asked."""
        return collections.Counter(
            step for key in self.asked
            for owner, step in [self.step(key)] if owner == debate_id)

    def close(self):
        async def end():
            self.server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(end(), self.loop).result(st.WAIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(st.WAIT)
        self.loop.close()


@contextlib.contextmanager
def relayed(url, runners, **env):
    """A stack whose models answer through a relay."""
    with st.Stack(database_url=url, stub=True, runners=0, **env) as s, \
            httpx.Client(trust_env=False, timeout=st.WAIT) as client:
        s.ask = lambda path: client.get(s.url(path)).json()
        s.database = Database(s.env, s.data)
        s.relay = Relay(s.stub_url, s.database)
        s.env["OPENAI_BASE_URL"] = \
            f"http://127.0.0.1:{s.relay.port}/openai/v1"
        try:
            for _ in range(runners):
                s.start_runner()
            yield s
        finally:
            for p in s.runners:
                p.send_signal(signal.SIGCONT)
            s.relay.close()
            s.database.close()


def run_with_fault(s, debate_id, at, port, timeout=st.WAIT):
    """A runner of this debate alone that dies there: was it killed?"""
    env = {**s.env, "FAULT_AT": at, "FAULT_PORT": str(port),
           "LD_PRELOAD": s.program("tests/tools/fault.so"),
           "ASAN_OPTIONS": "verify_asan_link_order=0:" +
           os.environ.get("ASAN_OPTIONS", "")}
    with open(s.log_path("fault"), "ab") as log:
        p = subprocess.Popen(
            [s.program("aragora-runner"), "--debate", debate_id], env=env,
            stderr=log, stdout=log, stdin=subprocess.DEVNULL)
    try:
        code = p.wait(timeout)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        raise
    assert code in (0, -signal.SIGKILL), (debate_id, at, code)
    return code != 0
