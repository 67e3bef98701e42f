# SPDX-License-Identifier: MIT
"""A real streaming replica: lists come from it, but never older than what the
caller has written; it may lag, die, be promoted or follow another schema, and
nobody notices but the metrics."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import httpx
import pytest

import stack as st

DEMO = ["demo", "demo|fast"]
LIST = "ORDER BY created_us DESC, id DESC LIMIT"
HEADER = "X-Aragora-Position"
PATIENT = {"ARAGORA_DATABASE_REPLICA_MAX_LAG": "3600"}


class Server(st.Postgres):
    """It logs its statements."""

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-l",
                 os.path.join(self.dir, "log"), "-o",
                 f"-k {self.dir} -c listen_addresses= -c fsync=off "
                 "-c log_statement=all -c wal_retrieve_retry_interval=200ms",
                 "start")

    def lists(self):
        """How many list statements came here."""
        with open(os.path.join(self.dir, "log"), encoding="utf-8") as f:
            return f.read().count(LIST)

    def pause(self):
        self.sql("SELECT pg_wal_replay_pause()")
        st.wait_for("pause", lambda: self.sql(
            "SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume(self):
        self.sql("SELECT pg_wal_replay_resume()")

    def promote(self):
        self.run("pg_ctl", "-D", self.data, "-w", "promote")

    def keeps_up_with(self, primary):
        at = primary.sql("SELECT pg_current_wal_insert_lsn()")
        st.wait_for("replay", lambda: self.sql(
            f"SELECT pg_last_wal_replay_lsn() >= '{at}'") == "t")


class Standby(Server):
    def __init__(self, primary):  # pylint: disable=super-init-not-called
        self.bin, self.prefix, self.count = primary.bin, primary.prefix, 0
        self.dir = tempfile.mkdtemp(prefix="aragora-pg-")
        if self.prefix:
            shutil.chown(self.dir, "postgres")
        self.data = os.path.join(self.dir, "data")
        self.run("pg_basebackup", "-D", self.data, "-h", primary.dir, "-U",
                 "aragora", "-R", "-c", "fast", "--no-sync")
        self.start()


class Pair:
    def __init__(self):
        self.primary = Server()
        try:
            self.standby = Standby(self.primary)
        except BaseException:
            self.primary.close()
            raise

    def replica(self, url):
        return url.replace(self.primary.dir, self.standby.dir)

    def both(self, url):
        """The standby first: who can be written to is found, not named."""
        return url.replace(self.primary.dir,
                           f"{self.standby.dir},{self.primary.dir}")

    def close(self):
        self.standby.close()
        self.primary.close()


@pytest.fixture(scope="module", name="pair")
def shared_pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture(name="own")
def pair_of_its_own():
    pair = Pair()
    yield pair
    pair.close()


def served(pair, url=None, **kw):
    url = url or pair.primary.database()
    s = st.Stack(database_url=url,
                 ARAGORA_DATABASE_REPLICA_URL=pair.replica(url), **kw)
    return s


def metric(s, name):
    text = s.get("/metrics", check=False).text
    return int(re.search(rf"^{re.escape(name)} (\d+)", text, re.M).group(1))


def reads(s):
    return metric(s, "aragora_db_replica_reads_total")


def fallbacks(s, reason):
    return metric(s,
                  f'aragora_db_replica_fallbacks_total{{reason="{reason}"}}')


def listed(s, position=None):
    """The ids of the list, newest first."""
    headers = {HEADER: position} if position is not None else {}
    page = s.get("/api/debates?limit=100", headers=headers)
    return [d["id"] for d in page["debates"]]


def from_replica(s):
    """Does the next list come from the replica?"""
    before = reads(s)
    listed(s)
    return reads(s) > before


def told(s, state):
    """Did a worker say so? None says it twice."""
    pids = [json.loads(line)["pid"] for line in s.log("fcgi").splitlines()
            if '"store.replica"' in line and f'"state":"{state}"' in line]
    assert len(pids) == len(set(pids)), s.log("fcgi")
    return bool(pids)


def listed_until(s, state):
    def check():
        listed(s)
        return told(s, state)
    st.wait_for(f"state={state}", check)


@pytest.mark.parametrize("way", ["direct", "pooler"])
def test_lists_come_from_the_replica(pair, way):
    """As production has it: a role that row level security holds, on both, and
    PgBouncer before both or none."""
    owner, app = pair.primary.roles()
    poolers = [st.Pooler(p) for p in (pair.primary, pair.standby)
               ] if way == "pooler" else []
    try:
        url, replica = app, pair.replica(app)
        for p in poolers:
            url, replica = p.url(url), p.url(replica)
        with st.Stack(database_url=url, owner_url=owner, runners=0,
                      ARAGORA_ENV="production",
                      ARAGORA_DISABLE_ALL_RATE_LIMITS="",
                      ARAGORA_DATABASE_REPLICA_URL=replica) as s:
            debate_id = s.create(agents=DEMO)
            pair.standby.keeps_up_with(pair.primary)
            here, there = pair.primary.lists(), pair.standby.lists()
            before = reads(s)
            for _ in range(6):
                assert listed(s) == [debate_id]
            assert reads(s) == before + 6
            assert pair.standby.lists() == there + 6
            assert pair.primary.lists() == here
            # One debate is always the primary's.
            s.get(f"/api/debates/{debate_id}")
            s.get(f"/api/debates/{debate_id}/messages")
            assert reads(s) == before + 6
            assert not told(s, "")
    finally:
        for p in poolers:
            p.close()


def test_position_is_described(pair):
    with served(pair, runners=0) as s:
        paths = s.get("/api/openapi.json")["paths"]
        assert paths["/api/debates"]["get"]["x-read"] == "analytics"
        assert "x-read" not in paths["/api/debates/{id}"]["get"]
        assert not any("x-read" in op for path, ops in paths.items()
                       for op in ops.values() if "health" in path)
        # Nothing was written by this tenant.
        assert HEADER not in s.get("/api/debates", check=False).headers
        r = s.post("/api/debates", {"task": "Where?", "agents": DEMO})
        assert re.fullmatch("w1-[0-9a-f]{16}", r.headers[HEADER])


BAD = ["", "x", "w1-", "w1-12", "w1-ffffffffffffffff", "w1-7fffffffffffffff", "w1-" + "g" * 16,
       "w2-0000000000000001", "W1-0000000000000001", "w1 0000000000000001",
       "1/2", "-1", "w1-" + "0" * 400, "%00", "w1-00000000000000A1"]


def test_own_writes_are_seen(pair):
    """While nothing is replayed: on the same host by themselves, whichever
    worker or runner wrote; on another host with the header."""
    url = pair.primary.database()
    with served(pair, url, **PATIENT) as s:
        old = s.create(agents=DEMO)
        assert s.wait_end(old)["status"] == "completed"
        pair.standby.keeps_up_with(pair.primary)
        st.wait_for("replica", lambda: from_replica(s))
        pair.standby.pause()
        try:
            with served(pair, url, migrate=False, runners=0,
                        **PATIENT) as other:
                see_own_writes(s, other, old)
        finally:
            pair.standby.resume()
        # The table outlives the worker that wrote it, however it ends.
        os.kill(s.worker_pids[0], 9)
        st.wait_for("replica again", lambda: from_replica(s))


def test_a_write_without_a_position(pair):
    """Nobody can tell where it is in the log: it stands all the same, and no
    replica is asked until that is known again."""
    owner, app = pair.primary.roles()
    name = app.split("/")[3].split("?")[0]
    f = "EXECUTE ON FUNCTION pg_current_wal_insert_lsn()"
    with st.Stack(database_url=app, owner_url=owner, runners=0,
                  expected_errors=["pg_current_wal_insert_lsn"],
                  ARAGORA_DATABASE_REPLICA_URL=pair.replica(app)) as s:
        pair.standby.keeps_up_with(pair.primary)
        pair.primary.sql(f"REVOKE {f} FROM PUBLIC", name)
        new = s.create(agents=DEMO)
        pair.standby.keeps_up_with(pair.primary)
        for _ in range(4):
            assert not from_replica(s)
            assert listed(s) == [new]
        r = s.get("/api/debates", check=False)
        assert r.status_code == 200 and HEADER not in r.headers
        pair.primary.sql(f"GRANT {f} TO PUBLIC", name)
        st.wait_for("replica", lambda: from_replica(s))
        assert listed(s) == [new]


def test_a_log_that_ends_earlier(pair):
    """What was known of another primary (before a backup was taken back, or a
    failover that lost something) does not keep the replica out for ever."""
    with served(pair, runners=0) as s:
        s.create(agents=DEMO)
        table, = [os.path.join(s.data, name) for name in os.listdir(s.data)
                  if name.startswith("db-position-")]
        with open(table, "r+b") as f:
            data = f.read()
            assert any(data)
            f.seek(0)
            f.write(b"\xff\xff\xff\xff\xff\xff\xff\x3f" *
                    (len(data) // 8))
        assert not from_replica(s)
        st.wait_for("replica", lambda: from_replica(s))


def test_a_host_that_does_not_answer(pair):
    """It costs its share of the time, and the next one is asked."""
    url = pair.primary.database()
    with tempfile.TemporaryDirectory() as mute, \
            socket.socket(socket.AF_UNIX) as s, \
            served(pair, url, runners=0) as stack:
        s.bind(os.path.join(mute, ".s.PGSQL.5432"))
        s.listen()
        text = doctor(stack, ARAGORA_DATABASE_URL=url.replace(
            "host=", f"host={mute},"), ARAGORA_DATABASE_REPLICA_URL=pair
            .replica(url).replace("host=", f"host={mute},{mute},"))
        assert "[ok]   database postgresql" in text, text
        assert "[ok]   replica: a standby" in text, text


def see_own_writes(s, other, old):
    r = s.post("/api/debates", {"task": "New?", "agents": DEMO})
    new, position = r.json()["debate_id"], r.headers[HEADER]
    before = fallbacks(s, "behind")
    for _ in range(6):
        assert listed(s) == [new, old]
    assert fallbacks(s, "behind") == before + 6
    # The other host: the replica's state, unless the client knows better.
    assert listed(other) == [old]
    assert listed(other, position) == [new, old]
    assert fallbacks(other, "behind") == 1
    for bad in BAD:
        assert listed(other, bad) == [old], bad
    # It was this client's alone.
    assert listed(other) == [old]
    # So with a client that asks for what is not there yet: it alone goes on
    # to the primary, for as long as it asks.
    assert listed(other, "w1-7ffffffffffffffe") == [new, old]
    assert listed(other) == [old]
    # A runner's writes are the host's as well.
    assert s.wait_end(new)["status"] == "completed"
    page = s.get("/api/debates?status=completed")
    assert [d["id"] for d in page["debates"]] == [new, old]


def test_a_late_replica_is_not_used(pair):
    url = pair.primary.database()
    with served(pair, url, runners=0,
                ARAGORA_DATABASE_REPLICA_MAX_LAG="1") as s:
        s.create(agents=DEMO)
        pair.standby.keeps_up_with(pair.primary)
        st.wait_for("replica", lambda: from_replica(s))
        # A primary that says nothing is no lag.
        time.sleep(1.5)
        assert from_replica(s)
        assert fallbacks(s, "lag") == 0
        pair.standby.pause()
        try:
            name = url.split("/")[3].split("?")[0]
            pair.primary.sql("CREATE TABLE written (a INT)", name)
            st.wait_for("lag", lambda: not from_replica(s))
            listed_until(s, "lag")
            assert fallbacks(s, "lag") > 0
            assert fallbacks(s, "behind") == 0
            here = pair.primary.lists()
            listed(s)
            assert pair.primary.lists() == here + 1
        finally:
            pair.standby.resume()
        listed_until(s, "used")
        assert from_replica(s)


class Readers:
    """Lists all the time."""

    def __init__(self, s, allowed=(200,)):
        self.s, self.allowed = s, allowed
        self.stop = threading.Event()
        self.count, self.failures = 0, []
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]

    def run(self):
        while not self.stop.is_set():
            try:
                r = self.s.get("/api/debates", check=False)
            except httpx.HTTPError as e:
                self.failures.append(repr(e))
                return
            if r.status_code not in self.allowed:
                self.failures.append((r.status_code, r.text))
            self.count += 1
            time.sleep(0.01)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_replica_killed_and_back(pair):
    with served(pair, runners=0) as s:
        debate_id = s.create(agents=DEMO)
        pair.standby.keeps_up_with(pair.primary)
        st.wait_for("replica", lambda: from_replica(s))
        with Readers(s) as load:
            st.wait_for("reads", lambda: load.count > 20)
            pair.standby.stop()
            down = load.count
            try:
                st.wait_for("state=down", lambda: told(s, "down"))
                st.wait_for("reads", lambda: load.count > down + 20)
                assert listed(s) == [debate_id]
                assert fallbacks(s, "down") > 0
                # Its answer is that it has none.
                assert "[fail] replica: " in doctor(s)
            finally:
                pair.standby.start()
            st.wait_for("state=used", lambda: told(s, "used"))
        assert not load.failures
        assert from_replica(s)
        assert told(s, "down")


def doctor(s, **env):
    return subprocess.run([s.program("aragora"), "doctor"],
                          env={**s.env, **env}, check=False,
                          capture_output=True, text=True).stdout


def test_another_schema(pair):
    """The replica is not asked while its schema is not the primary's."""
    url = pair.primary.database()
    name = url.split("/")[3].split("?")[0]
    with served(pair, url, runners=0, **PATIENT) as s:
        pair.standby.keeps_up_with(pair.primary)
        st.wait_for("replica", lambda: from_replica(s))
        pair.standby.pause()
        try:
            pair.primary.sql(
                "INSERT INTO schema_migrations (version, sha256, applied_us, "
                "name, min_binary) VALUES (9000, 'x', 1, 'later', 1)", name)

            def noticed():
                s.get("/api/health")
                return not from_replica(s) and told(s, "schema")
            st.wait_for("another schema", noticed)
            assert fallbacks(s, "schema") > 0
        finally:
            pair.standby.resume()
        st.wait_for("replica", lambda: from_replica(s))


def test_role_and_doctor(pair):
    owner, app = pair.primary.roles()
    with st.Stack(database_url=app, owner_url=owner, runners=0,
                  ARAGORA_DATABASE_REPLICA_URL=pair.replica(app)) as s:
        pair.standby.keeps_up_with(pair.primary)
        text = doctor(s)
        assert "[ok]   replica: a standby, schema " in text, text
        assert re.search(r"\[ok\] +replica: 1 host\(s\) with 20 conn", text)
        # A role above row level security, on the replica alone.
        bad = pair.replica(owner)
        for env, is_refused in (("production", True), ("staging", False)):
            text = doctor(s, ARAGORA_ENV=env, ARAGORA_DATABASE_REPLICA_URL=bad,
                          ARAGORA_DISABLE_ALL_RATE_LIMITS="")
            assert ("owns the tables" in text) == is_refused, text
        for bad, words in (
                ("postgresql://x:planted-secret-91@[/", "not a connection"),
                ("mysql://planted-secret-91@h/x", "must begin with")):
            text = doctor(s, ARAGORA_DATABASE_REPLICA_URL=bad)
            assert words in text and "planted-secret" not in text, text
        # The primary is no replica.
        text = doctor(s, ARAGORA_DATABASE_REPLICA_URL=app)
        assert "[warn] replica: the server is not a standby" in text, text


class Writers:
    """Clients that create, and ask again until they are told an id."""

    def __init__(self, s):
        self.s = s
        self.stop = threading.Event()
        self.ids, self.failures = {}, []
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(3)]

    def create(self, key):
        r = self.s.post("/api/debates",
                        {"task": f"Load {key}?", "agents": ["demo|fast"] * 2,
                         "rounds": 1},
                        headers={"Idempotency-Key": key})
        if r.status_code == 201:
            self.ids[key] = r.json()["debate_id"]
        elif r.status_code != 503:
            self.failures.append((key, r.status_code, r.text))
        return r.status_code == 201

    def run(self, client):
        n = 0
        while not self.stop.is_set():
            n += 1
            try:
                st.wait_for("an answer",
                            lambda n=n: self.create(f"key-{client}-{n}"))
            except (httpx.HTTPError, AssertionError) as e:
                self.failures.append(repr(e))
                return
            time.sleep(0.1)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_promotion_under_load(own):
    """The primary dies, the standby is promoted, the host list leads there.
    With synchronous_standby_names nothing that was answered is lost."""
    url = own.primary.database()
    own.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    own.primary.sql("SELECT pg_reload_conf()")
    with served(own, own.both(url)) as s:
        with Readers(s, (200, 503)) as readers, Writers(s) as load:
            st.wait_for("debates", lambda: len(load.ids) >= 8)
            st.wait_for("replica", lambda: reads(s) > 0)
            own.primary.stop()
            own.standby.promote()
            before = len(load.ids)
            st.wait_for("debates after it",
                        lambda: len(load.ids) >= before + 8)
            seen = readers.count
            st.wait_for("reads after it", lambda: readers.count > seen + 10)
        assert not load.failures and not readers.failures
        # A promoted one is no replica.
        down = fallbacks(s, "down")
        for _ in range(4):
            listed(s)
        assert fallbacks(s, "down") == down + 4
        for debate_id in load.ids.values():
            assert s.wait_end(debate_id)["status"] == "completed"
            st.check_sequence(s.events(debate_id))
        assert s.get("/api/debates?limit=1")["total"] == len(load.ids)
        name = url.split("/")[3].split("?")[0]
        assert own.standby.sql("SELECT count(*) FROM debates", name) == \
            str(len(load.ids))


def test_a_standby_as_primary(own):
    """Behind one address that leads to a server which cannot be written to,
    as after a switch of it: 503, and no error, until it can."""
    url = own.primary.database()
    with st.Stack(database_url=url, runners=0) as s:
        s.create(agents=DEMO)
    own.standby.keeps_up_with(own.primary)
    with st.Stack(database_url=own.replica(url), migrate=False, runners=0) \
            as s:
        for _ in range(4):
            r = s.post("/api/debates", {"task": "Written?", "agents": DEMO})
            assert r.status_code == 503, r.text
            assert int(r.headers["Retry-After"]) > 0
        assert len(listed(s)) == 1
        own.standby.promote()
        st.wait_for("a write", lambda: s.post(
            "/api/debates",
            {"task": "Written?", "agents": DEMO}).status_code == 201)
        assert len(listed(s)) == 2
