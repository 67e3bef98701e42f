# SPDX-License-Identifier: MIT
"""The database is not there, not as it should be, or full: a clear state, a
clear answer, one line in each log, nothing accepted is lost, and everything
goes on by itself when it is mended."""
import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest
import websockets

import stack as st

DEMO = ["demo|fast"] * 3
FUTURE = ("INSERT INTO schema_migrations (version, sha256, applied_us)"
          " VALUES (9999, 'x', 1)")
PAST = "DELETE FROM schema_migrations WHERE version = 9999"


@pytest.fixture(name="server")
def fixture_server():
    """A server of the test's own: it is stopped and reconfigured."""
    server = st.Postgres()
    yield server
    server.close()


# ---- what can be wrong when the programs start: (url, mend, words) ----

def migrated(server):
    name = server.create(server.name())
    env = {**os.environ, "ARAGORA_DATABASE_URL": server.url(name)}
    subprocess.run([st.Stack.program("aragora"), "migrate"], env=env,
                   check=True, stdout=subprocess.DEVNULL)
    return name


def refused(server):
    url = server.url(migrated(server))
    server.stop()
    return url, lambda s: server.start(), "No such file or directory"


def wrong_password(server):
    name = migrated(server)
    server.sql("CREATE ROLE guest LOGIN SUPERUSER PASSWORD 'another'")
    hba = os.path.join(server.data, "pg_hba.conf")
    with open(hba, encoding="ascii") as f:
        lines = f.read()
    with open(hba, "w", encoding="ascii") as f:
        f.write("local all guest scram-sha-256\n" + lines)
    server.run("pg_ctl", "-D", server.data, "reload")
    return (server.url(name, "guest:planted-secret-77"),
            lambda s: server.sql(
                "ALTER ROLE guest PASSWORD 'planted-secret-77'"),
            "password authentication failed")


def no_database(server):
    name = server.name()

    def mend(s):
        server.create(name)
        s.migrate()
    return server.url(name), mend, "does not exist"


def no_schema(server):
    return server.database(), lambda s: s.migrate(), "run `aragora migrate`"


def newer_schema(server):
    name = migrated(server)
    server.sql(FUTURE, name)
    return server.url(name), lambda s: server.sql(PAST, name), "newer than"


WRONG = {"service unreachable": (refused,),
         "login refused": (wrong_password, no_database),
         "database schema does not fit this binary":
         (no_schema, newer_schema)}


def check_refused(s, reason, words):
    """What a client sees, however often it asks."""
    for _ in range(5):
        health = s.get("/api/health", check=False)
        assert health.status_code == 503
        assert health.json()["status"] == "unhealthy"
        assert health.json()["database"] == "disconnected"
        assert health.json()["database_reason"] == reason
        assert s.get("/readyz", check=False).status_code == 503
        assert s.get("/healthz", check=False).status_code == 200
        for r in (s.get("/api/debates", check=False),
                  s.post("/api/debates", {"task": "Anybody there?"})):
            assert r.status_code == 503, r.text
            assert int(r.headers["Retry-After"]) > 0
            assert r.json()["code"] == "SERVICE_UNAVAILABLE"
            assert words in r.json()["error"]


def lines_with(s, name, words):
    return [line for line in s.log(name).splitlines() if words in line]


def check_told_once(s, words):
    """Why, in the server's words, once in each process."""
    for name, processes in (("fcgi", 2), ("runner1", 1), ("ws", 1)):
        assert len(lines_with(s, name, words)) == processes, s.log(name)


@pytest.mark.parametrize("reason,wrong", [
    (reason, w) for reason, all_of in WRONG.items() for w in all_of],
    ids=lambda x: getattr(x, "__name__", ""))
def test_wrong_from_the_start(server, reason, wrong):
    url, mend, words = wrong(server)
    is_schema = "schema" in reason
    # A database that is mended while they look has half of its migrations
    # for a moment.
    with st.Stack(database_url=url, is_broken=True, expected_errors=(
            ["schema"] if is_schema else ["store.schema"])) as s:
        pids = {n: p.pid for n, p in s.processes.items()}
        check_refused(s, reason, "another schema" if is_schema
                      else "unreachable")
        check_told_once(s, words)
        mend(s)
        # Each of the workers looks for itself.
        for _ in range(4):
            st.wait_for("health", s.is_healthy)
        debate_id = s.create(agents=DEMO)
        assert s.wait_end(debate_id)["status"] == "completed"
        st.check_sequence(s.events(debate_id))
        # It was nobody's restart, and nobody told it again.
        assert {n: p.pid for n, p in s.processes.items()} == pids
        assert all(p.poll() is None for p in s.processes.values())
        check_told_once(s, words)
        for name, text in s.logs().items():
            assert "planted-secret-77" not in text, name


def test_schema_moves_under_all(server):
    """A newer program's migration shuts every one of the old ones out, those
    too whose statements would still do; without it they serve again."""
    name = migrated(server)
    with st.Stack(database_url=server.url(name),
                  expected_errors=["store.schema"]) as s:
        done = s.create(agents=DEMO)
        assert s.wait_end(done)["status"] == "completed"
        server.sql(FUTURE, name)
        for _ in range(4):
            st.wait_for("refusal", lambda: s.get(
                "/api/health", check=False).status_code == 503)

        def all_told():
            with contextlib.suppress(asyncio.TimeoutError, OSError,
                                     websockets.WebSocketException):
                asyncio.run(asyncio.wait_for(s.watch(done), 0.5))
            return all(lines_with(s, n, '"store.schema"')
                       for n in ("fcgi", "runner1", "ws"))
        st.wait_for("every program's refusal", all_told)
        server.sql(PAST, name)
        for _ in range(4):
            st.wait_for("health", s.is_healthy)
        debate_id = s.create(agents=DEMO)
        live = asyncio.run(s.watch(debate_id))
        assert live[-1]["data"]["status"] == "completed"
        assert s.wait_end(debate_id)["status"] == "completed"


@pytest.mark.parametrize("wrong", ["none", "newer"])
def test_sqlite_schema(wrong):
    """The same without a server."""
    folder = tempfile.mkdtemp(prefix="aragora-out-")
    path = os.path.join(folder, "x.db")
    url = f"sqlite:{path}"

    def script(text):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute(text)
    try:
        if wrong == "newer":
            subprocess.run(
                [st.Stack.program("aragora"), "migrate"], check=True,
                env={**os.environ, "ARAGORA_DATABASE_URL": url},
                stdout=subprocess.DEVNULL)
            script(FUTURE)
        with st.Stack(database_url=url, is_broken=True,
                      expected_errors=["schema"]) as s:
            check_refused(s, "database schema does not fit this binary",
                          "another schema")
            check_told_once(s, "newer than" if wrong == "newer"
                            else "run `aragora migrate`")
            if wrong == "newer":
                script(PAST)
            else:
                s.migrate()
            st.wait_for("health", s.is_healthy)
            assert s.wait_end(s.create(agents=DEMO))["status"] == "completed"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- restarts under load ----

class Load:
    """Clients that create debates all the time, each with a key of its own,
    and ask again with the same one until they are told an id."""

    def __init__(self, stack, clients=4):
        self.stack = stack
        self.stop = threading.Event()
        self.ids = {}  # key -> the ids that were answered
        self.statuses = set()
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(clients)]

    def create(self, key):
        r = self.stack.post("/api/debates",
                            {"task": f"Load {key}?", "agents": DEMO,
                             "rounds": 1},
                            headers={"Idempotency-Key": key})
        self.statuses.add(r.status_code)
        if r.status_code == 201:
            self.ids.setdefault(key, set()).add(r.json()["debate_id"])
            return True
        if r.status_code != 503 or r.json()["code"] != "SERVICE_UNAVAILABLE":
            self.failures.append((key, r.status_code, r.text))
        return False

    def run(self, client):
        n = 0
        try:
            while not self.stop.is_set():
                n += 1
                while not self.create(f"key-{client}-{n}"):
                    time.sleep(0.05)
                time.sleep(0.05)
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(repr(e))

    def count(self):
        return sum(len(v) for v in self.ids.values())

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_postgres_restarts_under_load(server):
    """`restart -m immediate`, as after a crash, three times: clients see 201
    or 503, every id they were told is a debate that ends, no key made two."""
    restarts = 3
    with st.Stack(database_url=server.database(), runners=2) as s:
        with Load(s) as load:
            for i in range(restarts):
                before = load.count()
                st.wait_for("new debates",
                            lambda b=before: load.count() >= b + 4)
                server.restart()
        assert not load.failures
        assert load.statuses <= {201, 503}
        assert all(len(ids) == 1 for ids in load.ids.values())
        for ids in load.ids.values():
            for debate_id in ids:
                assert s.wait_end(debate_id)["status"] == "completed"
                st.check_sequence(s.events(debate_id))
        total = s.get("/api/debates?limit=1")["total"]
        assert total == len(load.ids)
        st.wait_for("health", s.is_healthy)
        # At most once per process and restart, however many asked.
        for name, processes in (("fcgi", 2), ("runner1", 1), ("runner2", 1)):
            assert len(lines_with(s, name, '"store.away"')) \
                <= processes * restarts, s.log(name)


# ---- no room ----

class Limit:
    """No file may grow beyond what it is: what a quota does."""

    url = None

    def __init__(self):
        self.dir = None
        self.pids = []

    def fill(self, s):
        path = os.path.join(s.data, "aragora.db-wal")
        self.pids = s.worker_pids + [p.pid for p in s.runners]
        for pid in self.pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (
                max(os.path.getsize(path), 1), resource.RLIM_INFINITY))

    def empty(self, s):
        for pid in self.pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (
                resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self):
        pass


class Disk:
    """A small file system of its own, and a file that fills it."""

    size = "8m"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="aragora-disk-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}",
                        "tmpfs", self.dir], check=True)
        self.ballast = os.path.join(self.dir, "ballast")
        self.url = f"sqlite:{self.dir}/aragora.db"

    def fill(self, _):
        with open(self.ballast, "ab", buffering=0) as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"x" * 4096)

    def empty(self, _):
        os.unlink(self.ballast)

    def close(self):
        subprocess.run(["umount", "-l", self.dir], check=True)
        os.rmdir(self.dir)


class Tablespace(Disk):
    """The same under the tables of a PostgreSQL; its log has room."""

    size = "32m"

    def __init__(self):
        super().__init__()
        self.server = st.Postgres()
        shutil.chown(self.dir, "postgres")
        self.server.sql(f"CREATE TABLESPACE small LOCATION '{self.dir}'")
        self.server.sql("CREATE DATABASE small TABLESPACE small")
        self.url = self.server.url("small")

    def close(self):
        self.server.close()
        super().close()


# Mounting is root's; what a file system does then, a limit does for anyone.
KINDS = [Limit, Disk, Tablespace] if os.getuid() == 0 else [Limit]


def wait_refused(s):
    """What is in the WAL already may be written again for a while."""
    accepted = []

    def is_refused():
        r = s.post("/api/debates", {"task": os.urandom(2000).hex(),
                                    "agents": DEMO, "rounds": 1})
        if r.status_code == 201:
            accepted.append(r.json()["debate_id"])
            return None
        return r
    return st.wait_for("refusal", is_refused), accepted


@pytest.mark.parametrize("kind", KINDS)
def test_disk_full(kind):
    """Writes are refused and reads go on; with room again all goes on."""
    disk = kind()
    try:
        with st.Stack(expected_errors=["store.full"],
                      database_url=disk.url) as s:
            done = s.create(agents=DEMO)
            before = s.wait_end(done)
            running = s.create(rounds=3, early_stopping=False)
            st.wait_for("a critique", lambda: any(
                e["type"] == "critique" for e in s.events(running)))
            disk.fill(s)
            r, accepted = wait_refused(s)
            assert r.status_code == 503
            assert int(r.headers["Retry-After"]) > 0
            assert r.json()["code"] == "SERVICE_UNAVAILABLE"
            assert "full" in r.json()["error"]

            def is_degraded():
                h = s.get("/api/health")  # 200: it serves
                return h["status"] == "degraded" and \
                    h["database_reason"] == "storage full" and \
                    h["database"] == "connected"
            for _ in range(4):
                st.wait_for("health", is_degraded)
            assert s.get("/readyz")["status"] == "ready"
            for _ in range(5):
                assert s.get(f"/api/debates/{done}") == before
                assert s.events(done)
                assert s.post("/api/debates",
                              {"task": os.urandom(2000).hex()}
                              ).status_code == 503
            assert all(p.poll() is None for p in s.processes.values())
            assert 1 <= len(lines_with(s, "fcgi", '"store.full"')) <= 2
            assert len(lines_with(s, "runner1", '"store.full"')) <= 1
            disk.empty(s)
            for _ in range(4):
                st.wait_for("health", lambda: s.get("/api/health")["status"]
                            == "healthy")
            for debate_id in (running, *accepted, s.create(agents=DEMO)):
                assert s.wait_end(debate_id)["status"] == "completed"
                st.check_sequence(s.events(debate_id))
            assert s.get("/api/debates?limit=1")["total"] == \
                3 + len(accepted)
            if kind is not Tablespace:
                with contextlib.closing(sqlite3.connect(os.path.join(
                        disk.dir or s.data, "aragora.db"))) as db:
                    assert db.execute("PRAGMA integrity_check").fetchall() \
                        == [("ok",)]
    finally:
        disk.close()


def test_doctor_knows_minimal(server):
    """wal_level = minimal and a replica do not go together."""
    def doctor(url, **env):
        return subprocess.run(
            [st.Stack.program("aragora"), "doctor"], text=True,
            capture_output=True, check=False,
            env={**os.environ, "ARAGORA_DATABASE_URL": url, **env}).stdout
    name = migrated(server)
    replica = {"ARAGORA_DATABASE_REPLICA_URL": server.url(name)}
    words = "[fail] a replica is configured, but the database has wal_level"
    assert words not in doctor(server.url(name), **replica)
    with open(os.path.join(server.data, "postgresql.conf"), "a",
              encoding="ascii") as f:
        f.write("wal_level = minimal\nmax_wal_senders = 0\n")
    server.restart()
    assert words not in doctor(server.url(name))
    assert words in doctor(server.url(name), **replica)
