# SPDX-License-Identifier: MIT
"""Migrations as an operator meets them: the commands, several at once, killed
in the middle, held up by others, outside of a transaction; and programs of
several releases on one database (tests/migrate has the later ones)."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading

import psycopg2
import pytest

import fcgi_stack as fs
import stack as st

DATABASES = ("sqlite", "postgresql")
SQL = os.path.join(st.SOURCE, "src", "store", "sql")
NEXT = (9001, 9002)  # what tests/migrate/sql adds for the next release


def newest():
    return max(int(name[:4]) for name in os.listdir(SQL))


class Base:
    """A database of one kind, empty, and the programs on it."""

    def __init__(self, kind, request):
        self.kind = kind
        self.dir = tempfile.mkdtemp(prefix="migrate-")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith("ARAGORA_")}
        self.env.update(ARAGORA_DATA_DIR=self.dir,
                        ARAGORA_LOG_FORMAT="json", ARAGORA_LEASE="2",
                        ARAGORA_DISABLE_ALL_RATE_LIMITS="1")
        self.url = None
        self.children = []
        if kind == "postgresql":
            self.server = request.getfixturevalue("postgres")
            self.url = self.server.database()
            self.env["ARAGORA_DATABASE_URL"] = self.url

    def connect(self):
        if self.url is None:
            return contextlib.closing(sqlite3.connect(
                os.path.join(self.dir, "aragora.db"), isolation_level=None))
        c = psycopg2.connect(self.url)
        c.autocommit = True
        return contextlib.closing(c)

    def sql(self, text):
        with self.connect() as c:
            cursor = c.cursor()
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None

    def argv(self, *args, program="aragora"):
        return [st.Stack.program(program), "migrate", *args]

    def run(self, *args, program="aragora", **env):
        return subprocess.run(self.argv(*args, program=program), text=True,
                              env={**self.env, **env}, capture_output=True,
                              check=False)

    def start(self, *args, program="aragora"):
        p = subprocess.Popen(self.argv(*args, program=program), env=self.env,
                             text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.children.append(p)
        return p

    def up(self, program="aragora"):
        r = self.run("up", program=program)
        assert r.returncode == 0, r.stderr

    def json(self, *args, program="aragora", status=0):
        r = self.run(*args, "--json", program=program)
        assert r.returncode == status, r.stdout + r.stderr
        return json.loads(r.stdout)

    def versions(self):
        return [r[0] for r in self.sql(
            "SELECT version FROM schema_migrations ORDER BY version")]

    def differences(self, program="aragora", status=1):
        d = self.json("verify", program=program, status=status)
        assert d["ok"] == (status == 0)
        return {(x["what"], x["kind"], x["table"], x["name"])
                for x in d["differences"]}

    def close(self):
        for p in self.children:
            st.end(p, signal.SIGKILL)
            for pipe in (p.stdout, p.stderr):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(name="db", params=DATABASES)
def fixture_db(request):
    base = Base(request.param, request)
    yield base
    base.close()


@pytest.fixture(name="pg")
def fixture_pg(request):
    base = Base("postgresql", request)
    yield base
    base.close()


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def insert(db, debate_id, task, cursor=None):
    text = ("INSERT INTO debates (id, tenant, slug, task, config, status, "
            "phase, created_us, updated_us) VALUES "
            f"('{debate_id}', 'default', '{debate_id}', '{task}', '{{}}', "
            "'completed', 'done', 1, 1)")
    if cursor is None:
        db.sql(text)
    else:
        cursor.execute(text)


# ---- the commands ----

def test_commands(db):
    kind = "sqlite" if db.kind == "sqlite" else "pgsql"
    texts = {}
    for name in sorted(os.listdir(SQL)):
        version, parts = int(name[:4]), name.split(".")
        texts.setdefault(version, b"")
        if len(parts) == 2 or parts[1] == kind:
            with open(os.path.join(SQL, name), "rb") as f:
                texts[version] = f.read()

    before = db.json("status", status=1)
    assert before["schema"] == 0 and not before["served"]
    assert {m["state"] for m in before["migrations"]} == {"pending"}
    assert [(m["version"], m["sha256"]) for m in before["migrations"]] == \
        [(v, hashlib.sha256(t).hexdigest()) for v, t in texts.items()]
    plan = db.json("up", "--dry-run")
    assert [p["sql"].encode() for p in plan["pending"]] == \
        list(texts.values())
    shown = db.run("--dry-run")
    assert shown.returncode == 0
    assert all(t.decode() in shown.stdout for t in texts.values())
    r = db.run("verify")
    assert r.returncode == 78 and "aragora migrate" in r.stderr
    assert db.json("status", status=1)["schema"] == 0

    assert db.json("up")["applied"] == len(texts)
    assert db.json()["applied"] == 0
    after = db.json("status")
    assert after["schema"] == after["schema_range"]["max"] == newest()
    assert {m["state"] for m in after["migrations"]} == {"applied"}
    assert all(m["applied"] for m in after["migrations"])
    assert db.json("up", "--dry-run")["pending"] == []
    assert db.differences(status=0) == set()
    assert db.run("status").stdout.count("  applied ") == len(texts)


def test_usage(db):
    for args, named in ((["sideways"], "'sideways'"),
                        (["up", "down"], "'down'"),
                        (["status", "--dry-run"], "--dry-run"),
                        (["verify", "--dry-run"], "--dry-run"),
                        (["--jason"], "--jason")):
        r = db.run(*args)
        assert r.returncode == 64 and named in r.stderr, args


def test_verify_finds(db):
    db.up()
    db.sql("DROP INDEX debates_slug")
    db.sql("CREATE INDEX own ON turns (role)")
    db.sql("CREATE TABLE somebody (x TEXT)")
    db.sql("CREATE INDEX theirs ON somebody (x)")
    expected = {("missing", "index", "debates", "debates_slug"),
                ("unexpected", "index", "turns", "own")}
    if db.kind == "postgresql":
        db.sql("ALTER TABLE runners ALTER host DROP NOT NULL")
        db.sql("ALTER TABLE events ADD extra TEXT")
        db.sql("DROP POLICY aragora_owner ON turns")
        db.sql("ALTER TABLE tokens DISABLE ROW LEVEL SECURITY")
        db.sql("ALTER FUNCTION aragora_tenant() VOLATILE")
        db.sql("ALTER TABLE turns DROP CONSTRAINT turns_debate_id_fkey")
        expected |= {("different", "column", "runners", "host"),
                     ("unexpected", "column", "events", "extra"),
                     ("missing", "policy", "turns", "aragora_owner"),
                     ("different", "table", "tokens", "tokens"),
                     ("different", "function", "", "aragora_tenant()"),
                     ("missing", "constraint", "turns",
                      "turns_debate_id_fkey")}
    else:
        db.sql("ALTER TABLE runners ADD extra TEXT")
        db.sql("CREATE TRIGGER t AFTER INSERT ON turns BEGIN SELECT 1; END")
        expected |= {("different", "table", "runners", "runners"),
                     ("unexpected", "trigger", "turns", "t")}
    assert db.differences() == expected
    db.sql("UPDATE schema_migrations SET sha256 = 'x' WHERE version = 2")
    assert db.differences() - expected == {
        ("altered", "migration", "", "2 queue")}
    assert db.json("status", status=1)["migrations"][1]["state"] == "altered"
    db.sql("DELETE FROM schema_migrations WHERE version = 1")
    assert ("missing", "migration", "", "1 init") in db.differences()
    r = db.run("up")
    assert r.returncode == 78 and "migration 2 in the data" in r.stderr
    db.sql("DELETE FROM schema_migrations WHERE version = 2")
    r = db.run("up")
    assert r.returncode == 78 and "migration 1 is missing" in r.stderr
    if db.kind == "postgresql":  # what was built to compare is gone
        assert db.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE "
                      "'aragora%'") == []


def test_old_table_of_versions(db):
    """Databases from before names and admitted programs were written down."""
    db.up()
    wanted = db.json("status")["min_binary"]
    db.sql("ALTER TABLE schema_migrations DROP COLUMN name")
    db.sql("ALTER TABLE schema_migrations DROP COLUMN min_binary")
    assert db.json("status")["served"]
    assert db.json("up")["applied"] == 0
    db.up("tests/migrate/aragora_next")
    assert db.json("status")["min_binary"] == wanted


# ---- several, killed, held up ----

def test_four_at_once(db):
    program = "tests/migrate/aragora_next"
    starts = [db.start("up", "--json", program=program) for _ in range(4)]
    outs = [p.communicate() for p in starts]
    for p, (_, err) in zip(starts, outs):
        assert p.returncode == 0, err
    wanted = len({n[:4] for n in os.listdir(SQL)}) + len(NEXT)
    assert sum(json.loads(out)["applied"] for out, _ in outs) == wanted
    assert db.versions()[-2:] == list(NEXT)
    assert db.differences(program=program, status=0) == set()


def is_stuck(db):
    """Is the last migration under way?"""
    try:
        if newest() not in db.versions():
            return False
        if db.kind == "postgresql":
            return db.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = "
                          "'PgSleep' AND datname = current_database()")
        with db.connect() as c:
            c.execute("PRAGMA busy_timeout = 0")
            c.execute("BEGIN IMMEDIATE")
        return False
    except sqlite3.OperationalError as e:
        return "locked" in str(e)
    except psycopg2.errors.UndefinedTable:
        return False


def test_killed(db):
    p = db.start("up", program="tests/migrate/aragora_stuck")
    st.wait_for("the migration in the middle", lambda: is_stuck(db))
    p.kill()
    p.wait()
    assert db.versions()[-1] == newest()
    db.up("tests/migrate/aragora_next")
    assert db.versions()[-2:] == list(NEXT)
    assert db.differences(program="tests/migrate/aragora_next",
                          status=0) == set()


def test_table_in_use(pg):
    """A migration that waits for a table's lock steps back again and again,
    so that those behind it get their turn."""
    pg.up()
    path = os.path.join(pg.dir, "up.log")
    with pg.connect() as holder:
        holder.autocommit = False
        cursor = holder.cursor()
        cursor.execute("LOCK TABLE debates IN ACCESS SHARE MODE")
        with open(path, "wb") as log:
            p = subprocess.Popen(
                pg.argv("up", program="tests/migrate/aragora_next"),
                env=pg.env, stdout=log, stderr=log)
        pg.children.append(p)
        st.wait_for("stepping back", lambda: "migrate.wait" in read(path))
        assert "lock timeout" in read(path)
        # Behind a request for the whole table even readers would queue.
        pg.sql("SELECT count(*) FROM debates")
        assert pg.versions()[-1] == newest()
        holder.rollback()
    assert p.wait(st.WAIT) == 0, read(path)
    assert pg.versions()[-2:] == list(NEXT)


# ---- outside of a transaction ----

def indexes(pg):
    return pg.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = "
                  "to_regclass('debates_next_task')")


def test_index_that_failed(pg):
    pg.up()
    insert(pg, "a", "same")
    insert(pg, "b", "same")
    r = pg.run("up", program="tests/migrate/aragora_next")
    assert r.returncode == 69
    assert "migration 9002 (index)" in r.stderr
    assert pg.versions()[-1] == 9001 and indexes(pg) == [(False,)]
    r = pg.run("up", program="tests/migrate/aragora_next")
    assert r.returncode == 69 and indexes(pg) == [(False,)]
    pg.sql("DELETE FROM debates WHERE id = 'b'")
    r = pg.run("up", program="tests/migrate/aragora_next")
    assert r.returncode == 0 and "migrate.again" in r.stderr
    assert pg.versions()[-2:] == list(NEXT) and indexes(pg) == [(True,)]
    assert pg.differences("tests/migrate/aragora_next", status=0) == set()


def test_index_without_its_version(pg):
    """Killed between the two: not built twice."""
    pg.up("tests/migrate/aragora_next")
    before = pg.sql("SELECT CAST('debates_next_task' AS regclass)::oid")
    pg.sql("DELETE FROM schema_migrations WHERE version = 9002")
    pg.up("tests/migrate/aragora_next")
    assert pg.sql("SELECT CAST('debates_next_task' AS regclass)::oid") == \
        before


def test_index_killed(pg):
    pg.up()
    with pg.connect() as writer:
        writer.autocommit = False
        insert(pg, "a", "first", writer.cursor())
        pg.sql("SELECT 1")
        # 9001 needs the whole table, the index only waits for writers.
        pg.sql("INSERT INTO schema_migrations (version, sha256, applied_us, "
               "name, min_binary) VALUES (9001, "
               f"'{sha_of('9001_expand.sql')}', 1, 'expand', 1)")
        p = pg.start("up", program="tests/migrate/aragora_next")
        st.wait_for("the index being built", lambda: pg.sql(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE "
            "'%INDEX CONCURRENTLY debates_next%' AND wait_event_type = 'Lock'"
            " AND datname = current_database()"))
        p.kill()
        p.wait()
        assert indexes(pg) == [(False,)]
        writer.commit()
    pg.up("tests/migrate/aragora_next")
    assert indexes(pg) == [(True,)] and pg.versions()[-1] == 9002


def sha_of(name):
    with open(os.path.join(st.SOURCE, "tests", "migrate", "sql", name),
              "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def test_pooler(pg):
    """Ordinary migrations pass; the other kind asks for the server."""
    pooler = st.Pooler(pg.server, size=2)
    try:
        url = pooler.url(pg.url)
        r = pg.run("up", program="tests/migrate/aragora_next",
                   ARAGORA_DATABASE_URL=url)
        assert r.returncode == 78
        assert "ARAGORA_DATABASE_URL" in r.stderr and "pooler" in r.stderr
        assert "migration 9002" in r.stderr
        assert pg.versions()[-1] == 9001
        pg.up("tests/migrate/aragora_next")
        r = pg.run("verify", program="tests/migrate/aragora_next",
                   ARAGORA_DATABASE_URL=url)
        assert r.returncode == 0, r.stdout + r.stderr
    finally:
        pooler.close()


# ---- programs of several releases on one database ----

class Worker:
    """A FastCGI worker of one release, spoken to directly."""

    def __init__(self, db, program):
        self.path = os.path.join(db.dir, f"worker{len(db.children)}.sock")
        self.log_path = self.path + ".log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [st.Stack.program(program), "--listen", f"unix:{self.path}"],
                env=db.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        db.children.append(self.process)
        st.wait_for(program, lambda: st.Stack.connects(self.path))

    def ask(self, uri, method="GET", body=None):
        data = b"" if body is None else json.dumps(body).encode()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(st.WAIT)
            s.connect(self.path)
            s.sendall(fs.request(uri, method, data, keep=False,
                                 CONTENT_TYPE="application/json"))
            status, _, answer = fs.answer(s)
        return status, json.loads(answer)

    def health(self, **wanted):
        """As soon as it says so."""
        def told():
            status, h = self.ask("/api/health")
            return (status, h) if all(h.get(k) == v for k, v in
                                      wanted.items()) else None
        return st.wait_for(f"health {wanted}", told)

    def log(self):
        return read(self.log_path)


class Load:
    """Creates and reads through each worker until it is told to stop."""

    def __init__(self, workers):
        self.stop = threading.Event()
        self.statuses = {w: [] for w in workers}
        self.faults = []
        self.threads = [threading.Thread(target=self.drive, args=(w,))
                        for w in workers]
        for t in self.threads:
            t.start()

    def drive(self, worker):
        n = 0
        try:
            while not self.stop.is_set():
                n += 1
                status, d = worker.ask("/api/debates", "POST", {
                    "task": f"{worker.path} asks {n}?", "rounds": 1,
                    "agents": ["demo|fast", "demo|fast"]})
                self.statuses[worker].append(status)
                status, _ = worker.ask(f"/api/debates/{d.get('debate_id')}")
                self.statuses[worker].append(status)
        except Exception as e:  # pylint: disable=broad-except
            self.faults.append(e)

    def more(self):
        """Every worker has answered several more since now."""
        before = {w: len(s) for w, s in self.statuses.items()}
        st.wait_for("more answers", lambda: self.faults or all(
            len(s) >= before[w] + 10 for w, s in self.statuses.items()))

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        assert not self.faults, self.faults
        for worker, statuses in self.statuses.items():
            assert {s // 100 for s in statuses} == {2}, \
                (worker.path, statuses)


def refused(worker, schema):
    status, h = worker.health(schema=schema, status="unhealthy")
    assert status == 503
    assert "upgrade" in h["reason"] and str(schema) in h["reason"]
    for method, body in (("GET", None), ("POST", {"task": "Refused?"})):
        status, d = worker.ask("/api/debates", method, body)
        assert status == 503, d
    assert worker.process.poll() is None
    assert '"level":"error"' in worker.log()


def completed(db):
    return db.sql("SELECT count(*) FROM debates WHERE status = "
                  "'completed'")[0][0]


def test_releases_together(db):
    old_max = newest()
    db.env["ARAGORA_MAX_QUEUED_DEBATES"] = "100000"
    db.up()
    old = Worker(db, "aragora-fcgi")
    new = Worker(db, "tests/migrate/fcgi_next")
    for w, top in ((old, old_max), (new, NEXT[-1])):
        _, h = w.health(status="healthy", schema=old_max)
        assert h["schema_range"]["max"] == top
        assert h["schema_range"]["min"] <= old_max
    runner_log = os.path.join(db.dir, "runner.log")
    with open(runner_log, "wb") as log:
        runner = subprocess.Popen(
            [st.Stack.program("aragora-runner")], env=db.env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    db.children.append(runner)

    # Expand, while both work.
    load = Load([old, new])
    try:
        load.more()
        r = db.run("up", program="tests/migrate/aragora_next")
        assert r.returncode == 0, r.stderr
        load.more()
        for w in (old, new):
            assert w.health(schema=NEXT[-1])[0] == 200
        load.more()
    finally:
        load.end()
    assert db.json("status")["served"]
    assert "still works" in db.run("status").stdout
    another = Worker(db, "tests/migrate/fcgi_next")
    another.health(status="healthy", schema=NEXT[-1])

    # A release too far: what was built before it is told so.
    db.up("tests/migrate/aragora_last")
    refused(old, 9003)
    refused(new, 9003)
    assert db.run("status").returncode == 1
    r = db.run("up")
    assert r.returncode == 78 and "upgrade" in r.stderr
    late = Worker(db, "aragora-fcgi")  # waits for its database
    refused(late, 9003)
    st.wait_for("the runner's refusal", lambda: "store.schema" in
                read(runner_log))
    last = Worker(db, "tests/migrate/fcgi_last")
    last.health(status="healthy", schema=9003)
    status, _ = last.ask("/api/debates", "POST", {"task": "And now?"})
    assert status // 100 == 2
    done = completed(db)

    # Back as it was, and nobody had to be started again.
    db.sql("DELETE FROM schema_migrations WHERE version = 9003")
    for w in (old, new, late):
        assert w.health(schema=NEXT[-1], database="connected")[0] == 200
        assert w.ask("/api/debates")[0] == 200
    st.wait_for("the runner's work", lambda: completed(db) > done)
    assert db.sql("SELECT count(*) FROM debates WHERE status = 'failed'") == \
        [(0,)]
    assert runner.poll() is None
    for path in (*(w.log_path for w in (old, new, late, another, last)),
                 runner_log):
        text = read(path)
        assert "Sanitizer" not in text
        errors = {json.loads(line)["event"] for line in text.splitlines()
                  if '"level":"error"' in line}
        assert errors <= {"store.schema", "start.store"}, text
