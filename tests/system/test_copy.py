# SPDX-License-Identifier: MIT
"""aragora copy between SQLite and PostgreSQL, both ways: killed, written to
meanwhile, damaged, refused."""
import collections
import contextlib
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import threading

import psycopg2
import pytest

import copy_kit as kit
import stack as st

PASSWORD = "planted-secret-58c1"


@pytest.fixture(name="lite")
def fixture_lite(tmp_path):
    """Makes SQLite databases."""
    count = iter(range(100))
    return lambda: kit.Lite(tmp_path / f"{next(count)}.db")


@pytest.fixture(name="pg")
def fixture_pg(postgres):
    """Makes PostgreSQL databases."""
    return lambda: kit.Pg(postgres.database())


@pytest.fixture(name="pair", params=["to PostgreSQL", "to SQLite"])
def fixture_pair(request, lite, pg):
    """Makes a filled source and an empty target of the other kind."""
    def make(n, **kw):
        first = lite()
        first.fill(n, **kw)
        if request.param == "to PostgreSQL":
            return first, pg()
        source = pg()
        kit.copy(first, source)
        return source, lite()
    return make


def refused(source, target, *args):
    """The problems of the preflight; nothing was written."""
    before = {t: kit.content(target, t) for t in kit.ours(target)}
    report = kit.copy(source, target, *args, status=1)
    assert report["state"] == "refused"
    assert before == {t: kit.content(target, t) for t in kit.ours(target)}
    assert not source.left() and not target.left()
    return report["problems"]


def test_there_and_back(lite, pg):
    one, two, three = lite(), pg(), lite()
    one.fill(300)
    for source, target in ((one, two), (two, three)):
        report = kit.copy(source, target)
        assert report["state"] == "complete" and not report["resumed"]
        # No table of any migration is left out.
        assert sorted(t["name"] for t in report["tables"]) == \
            kit.ours(source) == kit.ours(target)
        assert set(kit.ours(source)) >= {"debates", "events", "turns",
                                         "tokens", "runners", "receipts"}
        assert all(t["copied"] for t in report["tables"])
        for t in report["tables"]:
            assert t["copied"] == t["source_rows"] == t["target_rows"] == \
                len(kit.content(source, t["name"]))
            assert t["source_hash"] == t["target_hash"]
        assert kit.table(report, "events")["copied"] == 900
        kit.check_equal(source, target)
        assert kit.copy(source, target, "--verify-only")["state"] == "equal"
    kit.check_equal(one, three)


def test_hundred_thousand_debates(lite, pg):
    one, two, three = lite(), pg(), lite()
    one.fill(100000)
    for source, target in ((one, two), (two, three)):
        report = kit.copy(source, target)
        assert report["state"] == "complete"
        assert {t["name"]: t["copied"] for t in report["tables"]} == {
            **{t: 1 for t in kit.ours(one)},
            "debates": 100000, "events": 300000, "turns": 100000}
        assert kit.table(report, "events")["ranges"] == 31
    # What Python sees, without holding it all.
    with one.connect() as a, three.connect() as b:
        for name in kit.ours(one):
            sql = f'SELECT * FROM "{name}" ORDER BY 1, 2'
            for x, y in zip(a.execute(sql), b.execute(sql), strict=True):
                assert x == y


# A table as a later migration might make it.
LATER = """CREATE TABLE later ({counter}, "Odd ""name" TEXT NOT NULL,
    share DOUBLE PRECISION, debate_id TEXT REFERENCES debates (id),
    "order" BIGINT NOT NULL,
    twice BIGINT GENERATED ALWAYS AS ("order" * 2) STORED)"""
PAIRS = "CREATE TABLE a_pair (b TEXT NOT NULL, a BIGINT NOT NULL, " \
    "PRIMARY KEY (a, b))"


def test_tables_nobody_thought_of(lite, pg):
    one, two, three = lite(), pg(), lite()
    one.fill(20)
    for db in (one, three):
        db.run(LATER.format(counter="n INTEGER PRIMARY KEY AUTOINCREMENT"))
    two.run(LATER.format(
        counter="n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
    for db in (one, two, three):
        db.run(PAIRS)
    one.run("INSERT INTO later (n, \"Odd \"\"name\", share, \"order\", "
            "debate_id) SELECT value * 10, 'x' || value, -0.0, value, "
            "(SELECT min(id) FROM debates) FROM json_each('[1, 2, 3]')")
    one.run("INSERT INTO a_pair (a, b) SELECT a.value, b.value FROM "
            "json_each('[-5, 7, 300]') a, json_each('[\"z\", \"Z\", \"a\", "
            "\"ä\", \"\"]') b")
    for source, target in ((one, two), (two, three)):
        report = kit.copy(source, target, "--batch", "2")
        assert kit.table(report, "later")["copied"] == 3
        assert kit.table(report, "a_pair")["copied"] == 15
        kit.check_equal(source, target)
        # The next row gets the next number.
        assert target.run("INSERT INTO later (\"Odd \"\"name\", \"order\") "
                          "VALUES ('next', 4) RETURNING n") == [(31,)]
        target.run("DELETE FROM later WHERE n = 31")


# ---- killed ----

SYSCALLS = "sendto,pwrite64"


def traced(argv, *strace):
    return subprocess.run(
        ["strace", "-f", "-qq", "-e", f"trace={SYSCALLS}", *strace, *argv],
        # Leaks cannot be looked for in a process that is traced.
        env={**kit.environment(), "ASAN_OPTIONS": "detect_leaks=0"}, text=True, capture_output=True, check=False,
        timeout=st.WAIT)


def change(db, rng, n):
    """A few changes of every kind, in one transaction."""
    ids = [r[0] for r in db.run(
        "SELECT id FROM debates WHERE id NOT IN (SELECT debate_id FROM "
        "receipts) ORDER BY id")]
    gone, touched = rng.sample(ids, 2)
    new = f"adhoc_{rng.randrange(1 << 32):08x}x"
    sql = f"""
    DELETE FROM events WHERE debate_id = '{gone}';
    DELETE FROM turns WHERE debate_id = '{gone}';
    DELETE FROM debates WHERE id = '{gone}';
    UPDATE debates SET status = 'failed', error = 'change {n}'
        WHERE id = '{touched}';
    UPDATE events SET seq = seq + 1000 WHERE debate_id = '{touched}'
        AND seq = 1;
    INSERT INTO debates (id, tenant, slug, task, config, status, phase,
        created_us, updated_us) VALUES ('{new}', 'default', 's', 'new', '{{}}',
        'pending', '', {n}, 1);
    INSERT INTO events (debate_id, seq, tenant, type, created_us, data)
        VALUES ('{new}', 1, 'default', 'debate_start', 1, '{{}}');
    """
    with db.connect() as c:
        if isinstance(db, kit.Pg):
            with c.cursor() as cur:
                cur.execute("BEGIN;" + sql + "COMMIT;")
        else:
            c.executescript("BEGIN IMMEDIATE;" + sql + "COMMIT;")


@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere(pair, seed, tmp_path):
    """SIGKILL at a seeded system call among those by which anything gets into
    either database, again and again, with changes of the source between: what
    was committed is not copied twice, and the end is equal."""
    rng = random.Random(seed)
    source, target = pair(120)
    trace = tmp_path / "trace"
    kills = 0
    for n in range(7):
        argv = kit.command(source, target, "--batch", "20")
        # A whole copy makes more of either call.
        call = rng.choice(SYSCALLS.split(","))
        at = rng.randrange(1, 55)
        r = traced(argv, "-o", str(trace), "-e",
                   f"inject={call}:signal=KILL:when={at}")
        with open(trace, encoding="utf-8", errors="replace") as f:
            kills += "killed by SIGKILL" in f.read()
        marks = {}
        if "aragora_copy_mark" in target.left():
            marks = dict(target.run(
                "SELECT tbl, n_rows FROM aragora_copy_mark"))
        # Past its comparison, with its traces going or gone?
        if not source.left() and \
                target.run("SELECT count(*) FROM debates") != [(0,)]:
            break
        change(source, rng, n)
    is_over = not source.left() and not target.left() and \
        target.run("SELECT count(*) FROM debates") != [(0,)]
    if not is_over:
        report = kit.copy(source, target, "--batch", "20")
        assert report["state"] == "complete"
        for t in report["tables"]:
            assert t["kept"] == marks.get(t["name"], 0)
    assert kills > 0
    kit.check_equal(source, target)


def test_killed_at_each_step(pair, tmp_path):
    """Killed at its writes, from the first to the last, a copy that is run
    again completes."""
    source, target = pair(3, events=1)
    trace = tmp_path / "trace"
    r = traced(kit.command(source, target, "--batch", "2"), "-o", str(trace))
    assert r.returncode == 0, r.stderr
    text = trace.read_text(errors="replace")
    points = []
    for call in SYSCALLS.split(","):
        calls = text.count(f"{call}(")
        assert calls > 20
        points += [(call, at) for at in range(1, calls + 1, calls // 12)]
    stages = collections.Counter()
    for call, at in points:
        kit.empty(target)
        traced(kit.command(source, target, "--batch", "2"), "-o", str(trace),
               "-e", f"inject={call}:signal=KILL:when={at}")
        stages[(bool(source.left()), bool(target.left()))] += 1
        if not source.left() and not target.left() and \
                target.run("SELECT count(*) FROM debates") == [(3,)]:
            kit.check_equal(source, target)  # all was done
            continue
        assert kit.copy(source, target, "--batch", "2")["state"] == "complete"
        kit.check_equal(source, target)
    # Before anything, with triggers only, with marks.
    assert stages[(True, True)] > 3 and len(stages) > 1


# ---- written to meanwhile ----

class Writer(threading.Thread):
    def __init__(self, db):
        super().__init__()
        self.db, self.n, self.is_over, self.failed = db, 0, False, None

    def run(self):
        rng = random.Random(7)
        try:
            while not self.is_over:
                self.n += 1
                change(self.db, rng, self.n)
        except Exception as e:  # told by the test's own thread
            self.failed = e

    def end(self):
        self.is_over = True
        self.join()
        assert self.failed is None, self.failed
        assert self.n > 1


def test_writers_are_waited_for(pair):
    source, target = pair(500)
    writer = Writer(source)
    writer.start()
    p = subprocess.Popen(
        kit.command(source, target, "--wait-writers=1", "--batch", "100"),
        env=kit.environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    said = []
    try:
        # It says when to stop them, and follows until then.
        for line in p.stderr:
            said.append(line)
            if line.startswith("follow: ") and \
                    any("stop the workers" in s for s in said):
                break
    finally:
        writer.end()
    out, rest = p.communicate(timeout=st.WAIT)
    assert p.returncode == 0 and "complete" in out, (out, said, rest)
    kit.check_equal(source, target)


def test_a_source_that_goes_on(pair):
    source, target = pair(500)
    writer = Writer(source)
    writer.start()
    try:
        report = kit.copy(source, target, status=1)
    finally:
        writer.end()
    assert report["state"] == "behind" and report["behind"] > 0
    assert source.left() and target.left()
    # Equal to the snapshot all the same.
    assert all(t["first_difference"] is None for t in report["tables"])
    report = kit.copy(source, target)
    assert report["state"] == "complete" and report["resumed"]
    assert all(t["copied"] == 0 for t in report["tables"])
    assert sum(t["replayed"] for t in report["tables"]) > 0
    kit.check_equal(source, target)


# ---- compared ----

@pytest.mark.parametrize("sql, table, column, text", [
    ("UPDATE events SET data = data || ' ' WHERE debate_id = '{id}' AND "
     "seq = 2", "events", "data", "differs"),
    ("UPDATE debates SET confidence = confidence * 1.0000000000000002 + 5e-324"
     " WHERE id = '{id}'", "debates", "confidence", "differs"),
    ("UPDATE debates SET error = '' WHERE id = '{id}'", "debates", "error",
     "differs"),
    ("DELETE FROM turns WHERE debate_id = '{id}'", "turns", "",
     "is missing in the target"),
    ("INSERT INTO turns SELECT debate_id, step_key || '+', tenant, round, "
     "phase, agent, target, role, state, attempt, content, parsed, error, "
     "tokens_in, tokens_out, seq, started_us, finished_us FROM turns WHERE "
     "debate_id = '{id}'", "turns", "", "is only in the target")])
def test_difference_is_named(pair, sql, table, column, text):
    source, target = pair(50)
    kit.copy(source, target)
    ident = target.run("SELECT id FROM debates WHERE slug = 'slug-17'")[0][0]
    target.run(sql.format(id=ident))
    report = kit.copy(source, target, "--verify-only", status=1)
    assert report["state"] == "different"
    for t in report["tables"]:
        first = t["first_difference"]
        if t["name"] != table:
            assert first is None and t["source_hash"] == t["target_hash"]
            continue
        assert t["source_hash"] != t["target_hash"]
        assert (t["differing_ranges"], t["differing_rows"]) == (1, 1)
        assert first["key"][0] == ident
        assert (first["column"], first["text"]) == (column, text)


def test_range_of_a_difference(lite, pg):
    source, target = lite(), pg()
    source.fill(9000)
    kit.copy(source, target)
    ids = sorted(r[0] for r in source.run("SELECT id FROM debates"))
    # The 20,001st event in the order of keys is in the third range.
    target.run("UPDATE events SET type = 'x' WHERE debate_id = %s", ids[7000])
    report = kit.copy(source, target, "--verify-only", status=1)
    events = kit.table(report, "events")
    assert (events["ranges"], events["differing_ranges"],
            events["differing_rows"]) == (3, 1, 3)
    # 3 events a debate, ranges of 10,000.
    assert events["first_difference"]["range"] == [[ids[6666], 2], None]
    r = subprocess.run(kit.command(source, target, "--verify-only"),
                       env=kit.environment(), text=True, capture_output=True,
                       check=False)
    assert r.returncode == 1
    assert f'events.type ["{ids[7000]}",1]: differs' in r.stdout


# ---- refused ----

def put(value, table="events", column="data", where="seq = 2"):
    return (f"UPDATE {table} SET {column} = {value} WHERE {where} AND rowid = "
            f"(SELECT min(rowid) FROM {table} WHERE {where})")


@pytest.mark.parametrize("sql, table, column, text", [
    (put("'a' || char(0) || 'b'"), "events", "data", "holds a NUL character"),
    (put("CAST(x'c3' AS TEXT)"), "events", "data", "is not valid UTF-8"),
    (put("x'00'"), "events", "data", "is a blob"),
    (put("'many'", column="round"), "events", "round", "is a text"),
    (put("1.5", column="round"), "events", "round",
     "is a floating point number"),
    (put("'much'", "debates", "confidence", "1"), "debates", "confidence",
     "is a text")])
def test_source_that_no_target_can_take(lite, pg, sql, table, column, text):
    source, target = lite(), pg()
    source.fill(10)
    source.run(sql)
    problems = refused(source, target)
    assert [(p["table"], p["column"], p["text"]) for p in problems] == \
        [(table, column, text)]
    assert problems[0]["key"][0].startswith("adhoc_")
    assert refused(source, target, "--dry-run") == problems


def test_source_with_dangling_references(lite, pg):
    source, target = lite(), pg()
    source.fill(10)
    with source.connect() as c:
        c.execute("PRAGMA foreign_keys=OFF")
        c.execute("UPDATE debates SET id = 'another' WHERE slug = 'slug-4'")
    problems = refused(source, target)
    assert sorted((p["table"], p["text"]) for p in problems) == [
        ("events",
         "3 rows refer to rows of 'debates' that are not there"),
        ("turns", "1 rows refer to rows of 'debates' that are not there")]


def test_damaged_source(lite, pg):
    source, target = lite(), pg()
    source.fill(500)
    # An index without the entries that it ought to have.
    with source.connect() as c:
        c.execute("PRAGMA writable_schema=ON")
        c.execute("UPDATE sqlite_schema SET sql = substr(sql, 1, instr(sql, "
                  "'WHERE') - 1) WHERE name = 'debates_idempotency'")
    problems = refused(source, target)
    assert any("integrity check" in p["text"] for p in problems)


def test_values_out_of_range(lite, pg):
    source, target = lite(), pg()
    source.fill(3)
    target.run("ALTER TABLE debates ALTER updated_us TYPE integer")
    problems = refused(source, target)
    assert len(problems) == 3
    assert {(p["column"], p["text"]) for p in problems} == {
        ("updated_us", "is out of the target's range")}


def test_targets_that_are_not_empty(pair):
    source, target = pair(5)
    target.run("INSERT INTO runners VALUES ('r', 'h', 1, 1, 1, 1, '[]')")
    problems = refused(source, target)
    assert [p["table"] for p in problems] == ["runners"]
    assert "is not empty (1 rows)" in problems[0]["text"]


def test_tables_that_do_not_fit(pair):
    source, target = pair(5)
    source.run("CREATE TABLE more (id TEXT NOT NULL PRIMARY KEY)")
    source.run("ALTER TABLE runners ADD COLUMN more TEXT")
    target.run("ALTER TABLE tokens ADD COLUMN less TEXT")
    assert sorted((p["table"], p["column"], p["text"])
                  for p in refused(source, target)) == [
        ("more", "", "the target has no such table"),
        ("runners", "more", "the target has no such column"),
        ("tokens", "less", "the source has no such column")]
    source.run("DROP TABLE more")
    target.run("CREATE TABLE more (id TEXT)")
    assert {p["table"] for p in refused(source, target)} == \
        {"runners", "tokens"}


def test_schemas_that_differ(pair):
    source, target = pair(5)
    for side, db in (("--to", target), ("--from", source)):
        db.run("INSERT INTO schema_migrations (version, sha256,"
               " applied_us) VALUES (999, 'x', 1)")
        report = kit.copy(source, target, status=78)
        assert report["state"] == "failed"
        assert report["error"]["field"] == side
        db.run("DELETE FROM schema_migrations WHERE version = 999")
    target.run("DELETE FROM schema_migrations")
    report = kit.copy(source, target, status=78)
    assert report["error"]["field"] == "--to"
    assert "run `aragora migrate` on it" in report["error"]["text"]


def test_dry_run_writes_nothing(pair):
    source, target = pair(40)
    report = kit.copy(source, target, "--dry-run")
    assert report["state"] == "checked"
    assert kit.table(report, "events")["source_rows"] == 120
    assert not source.left() and not target.left()
    assert all(not kit.content(target, t) for t in kit.ours(target))


# ---- roles ----

def owned(postgres, superuser=False):
    """A database whose tables belong to a role that row level security holds,
    with a role of the service."""
    url = postgres.database()
    with contextlib.closing(psycopg2.connect(url)) as c, c.cursor() as cur:
        c.autocommit = True
        cur.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'owner1'")
        if cur.fetchone() == (0,):
            cur.execute("CREATE ROLE owner1 LOGIN")
            cur.execute("CREATE ROLE service1 LOGIN")
        cur.execute("ALTER SCHEMA public OWNER TO owner1")
    return kit.Pg(url.replace("//aragora@", "//owner1@"))


def as_role(db, role):
    other = kit.Pg.__new__(kit.Pg)
    other.url = db.url.replace("//owner1@", f"//{role}@")
    return other


def test_owner_under_row_level_security(lite, postgres):
    one, two, three = lite(), owned(postgres), lite()
    one.fill(50)
    assert kit.copy(one, two, "--batch", "20")["state"] == "complete"
    super_two = as_role(two, "aragora")
    kit.check_equal(one, super_two)
    # It is in force again.
    assert super_two.run(
        "SELECT count(*) > 0, bool_and(relforcerowsecurity) FROM pg_class "
        "WHERE relname IN ('debates', 'events', 'turns', 'tokens')") == \
        [(True, True)]
    assert kit.copy(two, three)["state"] == "complete"
    kit.check_equal(one, three)


def test_role_that_does_not_see_everything(lite, postgres):
    one, two = lite(), owned(postgres)
    one.fill(5)
    kit.copy(one, two)
    two.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO service1")
    blind = as_role(two, "service1")
    # To it the target looks empty and the source as well.
    assert blind.run("SELECT count(*) FROM debates") == [(0,)]
    for source, target in ((one, blind), (blind, lite())):
        problems = refused(source, target)
        assert {"debates", "events", "turns", "tokens"} <= {
            p["table"] for p in problems}
        for p in problems:
            assert "'service1'" in p["text"]
            assert "as the role that" in p["text"]
        for args in ("--verify-only", "--dry-run"):
            assert kit.copy(source, target, args, status=1)["problems"]


def test_changes_by_the_service(lite, postgres):
    """The triggers write the log for a role that has no right to it."""
    one, two, three = lite(), owned(postgres), lite()
    one.fill(30)
    kit.copy(one, two)
    two.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "
            "public TO service1")
    kit.as_behind(two, three, lambda: as_role(two, "service1").run(
        "SELECT set_config('aragora.tenant', 'other', false); "
        "UPDATE debates SET error = 'by the service'"))
    assert kit.copy(two, three)["state"] == "complete"
    changed = three.run("SELECT tenant, count(*) FROM debates WHERE "
                        "error = 'by the service' GROUP BY 1")
    assert changed == [("other", 5)]


def test_password_is_never_shown(lite, postgres, pg, tmp_path):
    one, two = lite(), pg()
    one.fill(5)
    good = kit.Pg.__new__(kit.Pg)
    good.url = two.url.replace("aragora@", f"aragora:{PASSWORD}@")
    away = kit.Pg.__new__(kit.Pg)
    away.url = f"postgresql://a:{PASSWORD}@/x?host={tmp_path}"
    bad = kit.Pg.__new__(kit.Pg)
    bad.url = f"postgresql://a:{PASSWORD}@/x?no_such_option=1"
    for target, status in ((good, 0), (good, 1), (away, 69), (bad, 78)):
        r = subprocess.run(kit.command(one, target, "--json", "-"),
                           env=kit.environment(), text=True,
                           capture_output=True, check=False)
        assert r.returncode == status, r.stderr
        assert PASSWORD not in r.stdout + r.stderr
    with open(os.path.join(postgres.dir, "log"), encoding="utf-8") as f:
        assert PASSWORD not in f.read()


# ---- the rest ----

def test_tampered_target_is_not_gone_on_with(pair):
    source, target = pair(1000)
    kit.until_marked(source, target)
    target.run("UPDATE debates SET task = 'another' WHERE id = "
               "(SELECT min(id) FROM debates)")
    report = kit.copy(source, target, status=1)
    assert report["state"] == "refused"
    assert [p["table"] for p in report["problems"]] == ["debates"]
    # Giving up leaves no trace but the rows, and they can be emptied.
    assert kit.copy(source, target, "--abort")["state"] == "aborted"
    assert not source.left() and not target.left()
    assert refused(source, target)
    kit.empty(target)
    assert kit.copy(source, target)["state"] == "complete"
    kit.check_equal(source, target)


def test_marks_of_another_source(pair, lite):
    source, target = pair(1000)
    kit.until_marked(source, target)
    other = lite()
    other.fill(5)
    report = kit.copy(other, target, status=1)
    assert report["state"] == "refused"
    assert "part of another copy" in report["problems"][0]["text"]
    assert not other.left()
    assert kit.copy(source, target)["state"] == "complete"


def test_server_goes_on_while_it_is_copied(lite, pg):
    """A worker that had its statements prepared before there were triggers."""
    source, target = lite(), pg()
    source.fill(50)
    with source.connect() as c:
        c.execute("UPDATE debates SET error = 'one' WHERE slug = 'slug-1'")
        kit.as_behind(source, target, lambda: c.execute(
            "UPDATE debates SET error = 'two' WHERE slug = 'slug-2'"))
        assert kit.copy(source, target)["state"] == "complete"
        c.execute("UPDATE debates SET error = 'three' WHERE slug = 'slug-3'")
    assert target.run("SELECT error FROM debates WHERE error IS NOT NULL "
                      "ORDER BY 1") == [("one",), ("two",)]


@pytest.mark.parametrize("args, text", [
    (["--from", "sqlite:x"], "--to is missing"),
    (["--to", "sqlite:x"], "--from is missing"),
    (["--from", "sqlite:x", "--to", "sqlite:y", "z"], "unexpected argument"),
    (["--from", "sqlite:x", "--to", "sqlite:y", "--batch", "0"],
     "--batch: must be 1 to 1000000"),
    (["--from", "sqlite:x", "--to", "sqlite:y", "--wait-writers=soon"],
     "--wait-writers: must be 1 to 86400"),
    (["--from", "sqlite:x", "--to", "sqlite:y", "--dry-run", "--abort"],
     "exclude each other"),
    (["--all"], "bad option")])
def test_usage(args, text):
    r = subprocess.run([st.Stack.program("aragora"), "copy", *args],
                       env=kit.environment(), text=True, capture_output=True,
                       check=False)
    assert r.returncode == 64 and text in r.stderr


@pytest.mark.parametrize("source, target, status, field", [
    ("sqlite:{0}/none.db", "sqlite:{0}/other.db", 78, "--from"),
    ("mysql://x", "sqlite:{0}/other.db", 78, "--from"),
    ("sqlite:{0}/0.db", "sqlite:{0}/0.db", 78, "--to"),
    ("sqlite:{0}/0.db", "", 78, "--to")])
def test_urls(lite, tmp_path, source, target, status, field):
    lite()
    r = subprocess.run(
        [st.Stack.program("aragora"), "copy", "--from",
         source.format(tmp_path), "--to", target.format(tmp_path)],
        env=kit.environment(), text=True, capture_output=True, check=False)
    assert r.returncode == status and f"copy: {field}: " in r.stderr
    assert not os.path.exists(tmp_path / "none.db")


def test_report_file_and_plain_lines(lite, pg, tmp_path):
    source, target = lite(), pg()
    source.fill(25)
    path = tmp_path / "report.json"
    r = subprocess.run(
        kit.command(source, target, "--batch", "10", "--json", str(path)),
        env=kit.environment(), text=True, capture_output=True, check=False)
    assert r.returncode == 0
    assert '"state":"complete"' in path.read_text()
    assert "\x1b" not in r.stderr
    lines = r.stderr.splitlines()
    at = lines.index("copy debates: 10 rows so far")
    assert lines[at + 1:at + 3] == ["copy debates: 20 rows so far",
                                    "copy debates: 25 rows, done"]
    assert r.stdout.splitlines()[-1].startswith("complete: ")
    bad = subprocess.run(
        kit.command(source, target, "--verify-only", "--json",
                    str(tmp_path / "none" / "report.json")),
        env=kit.environment(), text=True, capture_output=True, check=False)
    assert bad.returncode == 1 and "cannot write" in bad.stderr


def test_bar_on_a_terminal(lite, pg):
    source, target = lite(), pg()
    source.fill(25)
    main, side = pty.openpty()
    p = subprocess.Popen(kit.command(source, target, "--batch", "10"),
                         env={**kit.environment(), "TERM": "xterm"},
                         stdout=side, stderr=side)
    os.close(side)
    out = b""
    with contextlib.suppress(OSError):
        while data := os.read(main, 65536):
            out += data
    os.close(main)
    assert p.wait(st.WAIT) == 0
    assert b"\r\x1b[2K" in out
    assert re.search(rb"copy debates \[#+-+\] 40% 10 of 25 rows", out), out
    assert b"complete: " in out


def test_interrupted_by_the_operator(lite, pg):
    """Ctrl-C is like any other end."""
    source, target = lite(), pg()
    source.fill(1000)
    kit.until_marked(source, target, signal.SIGINT)
    report = kit.copy(source, target)
    assert report["resumed"] and report["state"] == "complete"
    assert kit.table(report, "debates")["kept"] > 0
    kit.check_equal(source, target)


def test_strace_is_here():
    """The tests that kill would prove nothing without it."""
    assert shutil.which("strace")
