# SPDX-License-Identifier: MIT
"""The connection budget of a host: several processes on one PostgreSQL never
have more connections open than ARAGORA_DB_POOL_SIZE and _MAX_OVERFLOW say,
whoever is killed; who waits too long is told when to come again."""
import concurrent.futures
import contextlib
import os
import signal
import subprocess
import threading

import psycopg2
import pytest

import fcgi_stack
import stack as st

SIZE, OVERFLOW = 2, 1
WORKERS = 4
CLIENTS = 12
REQUESTS = 240
OURS = "application_name = 'aragora'"


@contextlib.contextmanager
def server(url):
    db = psycopg2.connect(url)
    db.autocommit = True
    try:
        yield db
    finally:
        db.close()


def count(db, where="true"):
    with db.cursor() as c:
        c.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                  f"current_database() AND {OURS} AND {where}")
        return c.fetchone()[0]


class Sampler:
    """The most connections seen while inside."""

    def __init__(self, url):
        self.url, self.most, self.samples = url, 0, 0
        self.is_done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with server(self.url) as db:
            while not self.is_done.is_set():
                self.most = max(self.most, count(db))
                self.samples += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.is_done.set()
        self.thread.join()


@contextlib.contextmanager
def locked(url):
    """Every statement on debates hangs meanwhile."""
    db = psycopg2.connect(url)
    try:
        with db.cursor() as c:
            c.execute("LOCK TABLE debates IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        db.close()


def workers(url, n, **env):
    s = fcgi_stack.Stack(workers=n, database_url=url,
                         disable_all_rate_limits=1, **env)
    try:
        s.start_workers()
        fcgi_stack.wait_for(
            "all workers", lambda: s.logged().count("server.start") == n)
    except BaseException:
        s.close()
        raise
    return s


def get(s, path):
    with contextlib.closing(s.connect()) as c:
        c.sendall(fcgi_stack.request(path, keep=False))
        return fcgi_stack.answer(c)


def storm(s):
    """REQUESTS of CLIENTS at a time: the set of their statuses. One that was
    being read by a worker when that was killed has none."""
    def one(_):
        try:
            return get(s, "/api/debates?limit=5")[0]
        except (EOFError, ConnectionError):
            return None
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return set(pool.map(one, range(REQUESTS)))


def test_workers_share_the_budget(postgres):
    url = postgres.database()
    with workers(url, WORKERS, db_pool_size=SIZE,
                 db_pool_max_overflow=OVERFLOW) as s, server(url) as db:
        with Sampler(url) as seen:
            assert storm(s) == {200}
        assert SIZE <= seen.most <= SIZE + OVERFLOW
        assert count(db) <= SIZE
        assert "store.budget" not in s.logged()

        # One is killed in the middle of it, and the rest go on.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            rest = pool.submit(storm, s)
            fcgi_stack.wait_for("load", lambda: count(
                db, "state = 'active'") > 0)
            os.kill(s.pids.pop(), signal.SIGKILL)
            assert rest.result() <= {200, None}
        fcgi_stack.wait_for("its connections to end",
                            lambda: count(db) <= SIZE)
        with Sampler(url) as seen:
            assert storm(s) == {200}
        assert SIZE <= seen.most <= SIZE + OVERFLOW


def test_whole_stack_shares_the_budget(postgres):
    url = postgres.database()
    s = st.Stack(url, ARAGORA_DB_POOL_SIZE=str(SIZE),
                 ARAGORA_DB_POOL_MAX_OVERFLOW=str(OVERFLOW))
    try:
        with Sampler(url) as seen:
            ids = [s.create() for _ in range(4)]
            for i in ids:
                assert s.wait_end(i)["status"] == "completed"
        assert 1 < seen.most <= SIZE + OVERFLOW
    except BaseException:
        s.close(check=False)
        raise
    s.close()


def insist(s, path):
    """As a web server does whose worker is gone: ask the next one."""
    while True:
        with contextlib.suppress(EOFError, ConnectionError):
            return get(s, path)[0]


@pytest.mark.parametrize("victim", [0, 1])
def test_killed_worker(postgres, victim):
    """The only permit is in use when one of two workers is killed, which holds
    it or has some in line: the rest of the line is served."""
    url = postgres.database()
    with workers(url, 2, db_pool_size=1, db_pool_max_overflow=0) as s, \
            server(url) as db, \
            concurrent.futures.ThreadPoolExecutor(3) as pool:
        with locked(url):
            hanging = pool.submit(insist, s, "/api/debates")
            fcgi_stack.wait_for("the lock to be wanted", lambda: count(
                db, "wait_event_type = 'Lock'") == 1)
            waiting = [pool.submit(insist, s, "/api/health")
                       for _ in range(2)]
            fcgi_stack.wait_for(
                "a line", lambda: "\naragora_db_pool_waiting 2\n" in
                get(s, "/metrics")[2].decode())
            assert count(db) == 1
            os.kill(s.pids.pop(victim), signal.SIGKILL)
        assert [w.result() for w in waiting] == [200, 200]
        assert hanging.result() == 200


def test_exhausted(postgres):
    url = postgres.database()
    with workers(url, 2, db_pool_size=1, db_pool_max_overflow=0,
                 db_pool_timeout=0.2) as s, server(url) as db:
        with locked(url):
            hanging = s.connect()
            hanging.sendall(fcgi_stack.request("/api/debates", keep=False))
            fcgi_stack.wait_for("the lock to be wanted", lambda: count(
                db, "wait_event_type = 'Lock'") == 1)
            for n in range(1, 4):
                status, headers, body = get(s, "/api/debates")
                assert status == 503, body
                assert int(headers["Retry-After"]) > 0
                metrics = get(s, "/metrics")[2].decode()
                assert f"\naragora_db_pool_timeouts_total {n}\n" in metrics
                assert "\naragora_db_pool_in_use 1\n" in metrics
                assert "\naragora_db_pool_waiting 0\n" in metrics
        status, _, _ = fcgi_stack.answer(hanging)
        assert status == 200
        hanging.close()
        assert get(s, "/api/debates")[0] == 200


def doctor(url, tmp_path, **env):
    full = {k: v for k, v in os.environ.items()
            if not k.startswith("ARAGORA_")}
    full.update(ARAGORA_DATABASE_URL=url, ARAGORA_DATA_DIR=str(tmp_path))
    full.update({f"ARAGORA_{k.upper()}": str(v) for k, v in env.items()})
    program = st.Stack.program("aragora")
    subprocess.run([program, "migrate"], env=full, check=True,
                   stdout=subprocess.DEVNULL)
    r = subprocess.run([program, "doctor"], env=full, check=False,
                       stdout=subprocess.PIPE, text=True)
    return r.returncode, r.stdout


def line_of(text, words):
    lines = [line for line in text.splitlines() if words in line]
    assert len(lines) == 1, text
    return lines[0]


def test_doctor(postgres, tmp_path):
    url = postgres.database()
    with server(url) as db, db.cursor() as c:
        c.execute("SHOW max_connections")
        top = int(c.fetchone()[0])
        c.execute("SHOW superuser_reserved_connections")
        room = top - int(c.fetchone()[0])

        code, text = doctor(url, tmp_path)
        assert code == 0, text
        line = line_of(text, "max_connections less")
        assert line.startswith("[ok]") and f" 20 of {room} " in line
        assert line_of(text, "share 20 connections").startswith("[ok]")

        # All that there is, but this connection is there too.
        code, text = doctor(url, tmp_path, db_pool_size=room,
                            db_pool_max_overflow=0)
        line = line_of(text, "max_connections less")
        assert code == 0 and line.startswith("[warn]"), text
        code, text = doctor(url, tmp_path, db_pool_size=room,
                            db_pool_max_overflow=1)
        line = line_of(text, "max_connections less")
        assert code == 1 and line.startswith("[fail]"), text
        assert "ARAGORA_DB_POOL_SIZE" in line

        code, text = doctor(url, tmp_path, db_pool_size=1, workers=4)
        assert line_of(text, "kept open for 6").startswith("[warn]")

        name = url.split("/")[3].split("?")[0]
        c.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 19")
        code, text = doctor(url, tmp_path)
        line = line_of(text, "the database's connection limit")
        assert code == 1 and line.startswith("[fail]"), text
        assert " 20 of 19 " in line


