# SPDX-License-Identifier: MIT
"""Processes killed over and over while debates run. Demo agents are
deterministic under a seed, so a debate that was disturbed must say exactly
what an undisturbed one says, each thing once."""
import asyncio
import collections
import contextlib
import os
import signal
import sqlite3

import psycopg2
import pytest

import stack as st

BODY = {"seed": 21, "rounds": 2, "agents": ["demo", "demo", "demo"],
        "early_stopping": False}
PAIRS = [("sqlite", False), ("postgresql", True)]


@pytest.fixture(name="make")
def fixture_make(request):
    def make(database="sqlite", **kw):
        url = request.getfixturevalue("postgres").database() \
            if database == "postgresql" else None
        return st.Stack(database_url=url, **kw)
    return make


@pytest.fixture(name="undisturbed", scope="module")
def fixture_undisturbed():
    with st.Stack() as s:
        debate_id = s.create(**BODY)
        d = s.wait_end(debate_id)
        return said(s.events(debate_id)), result(d)


def said(events):
    """What was said, in no order: agents of one phase answer side by side."""
    return collections.Counter(
        (e["type"], e.get("round"), e.get("agent"), e["data"].get("target"),
         e["data"].get("choice"), e["data"].get("content"))
        for e in events if e["type"] not in ("debate_start", "debate_end"))


def result(d):
    return {k: d[k] for k in ("status", "final_answer", "winner", "confidence",
                              "agreement", "rounds_used", "consensus")}


def stored(messages):
    return [m for m in messages if "seq" in m]


def check_same(s, debate_id, events, undisturbed):
    st.check_sequence(events)
    assert said(events) == undisturbed[0]
    assert result(s.get(f"/api/debates/{debate_id}")) == undisturbed[1]
    assert [e["seq"] for e in s.events(debate_id)] == \
        [e["seq"] for e in events]


@pytest.mark.parametrize("database,redis,every", [
    ("sqlite", False, 3), ("postgresql", True, 8)])
def test_runners_killed_one_after_another(make, undisturbed, database, redis,
                                          every):
    """Each runner lives for a few events only; the watcher never leaves."""
    with make(database, redis=redis) as s:
        debate_id = s.create(**BODY)
        killed = [0]

        def kill(m):
            if "seq" in m and m["seq"] >= every * (killed[0] + 1) \
                    and killed[0] < 4 and m["type"] != "debate_end":
                killed[0] += 1
                s.runners[-1].kill()
                s.runners[-1].wait()
                s.start_runner()
        live = stored(asyncio.run(s.watch(debate_id, kill)))
        assert killed[0] == 4
        check_same(s, debate_id, live, undisturbed)


def holds_lock(s):
    """Is SQLite's write lock taken for longer than a commit takes?"""
    db = sqlite3.connect(os.path.join(s.data, "aragora.db"), timeout=1,
                         isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        return False
    except sqlite3.OperationalError:
        return True
    finally:
        db.close()


def put_to_sleep(s, runner):
    """Not while it holds the lock of the SQLite file: nobody can take that
    from a process that lives."""
    while True:
        runner.send_signal(signal.SIGSTOP)
        if "ARAGORA_DATABASE_URL" in s.env or not holds_lock(s):
            return
        runner.send_signal(signal.SIGCONT)


def is_fenced(s, name):
    return any(w in s.log(name) for w in ("debate.fenced", "debate.lost"))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_sleeper_is_fenced(make, undisturbed, database):
    """A runner that slept while another took over writes nothing more."""
    with make(database, ARAGORA_DB_TIMEOUT="5") as s:
        debate_id = s.create(**BODY)
        first = s.runners[0]
        state = {"is_stopped": False}

        def stop(m):
            if m["type"] == "critique" and not state["is_stopped"]:
                state["is_stopped"] = True
                put_to_sleep(s, first)
                s.start_runner()
            if m["type"] == "revision":
                first.send_signal(signal.SIGCONT)
        live = stored(asyncio.run(s.watch(debate_id, stop)))
        st.wait_for("fencing", lambda: is_fenced(s, "runner1"))
        check_same(s, debate_id, live, undisturbed)


def test_sleeper_in_a_transaction(undisturbed, postgres):
    """It sleeps with the debate's row locked: the server takes the lock from
    it, and the other runner goes on."""
    url = postgres.database()
    with st.Stack(database_url=url, ARAGORA_DB_TIMEOUT="5") as s, \
            contextlib.closing(psycopg2.connect(url)) as lock, \
            contextlib.closing(psycopg2.connect(url)) as look:
        look.autocommit = True

        def sessions(where):
            with look.cursor() as c:
                c.execute("SELECT count(*) FROM pg_stat_activity WHERE pid NOT"
                          " IN (%s, pg_backend_pid()) AND datname ="
                          " current_database() AND " + where,
                          (lock.get_backend_pid(),))
                return c.fetchone()[0]
        debate_id = s.create(**BODY)
        st.wait_for("a critique", lambda: any(
            e["type"] == "critique" for e in s.events(debate_id)))
        with lock.cursor() as c:
            c.execute("SELECT 1 FROM debates WHERE id = %s FOR UPDATE",
                      (debate_id,))
        st.wait_for("runner at the lock",
                    lambda: sessions("wait_event_type = 'Lock'"))
        s.runners[0].send_signal(signal.SIGSTOP)
        lock.rollback()
        st.wait_for("runner in its transaction",
                    lambda: sessions("state = 'idle in transaction'"))
        s.start_runner()
        s.wait_end(debate_id)
        s.runners[0].send_signal(signal.SIGCONT)
        st.wait_for("fencing", lambda: is_fenced(s, "runner1"))
        check_same(s, debate_id, s.events(debate_id), undisturbed)


@pytest.mark.parametrize("database,redis", PAIRS)
def test_everything_killed_at_once(make, undisturbed, database, redis):
    """All daemons die in the middle; when they are back the debate goes on,
    and who watched it comes back with `since`."""
    with make(database, redis=redis) as s:
        debate_id = s.create(**BODY)
        seen = []

        class Gone(Exception):
            pass

        def watch(m):
            if "seq" in m:
                seen.append(m)
            if len(seen) == 9:
                raise Gone
        with pytest.raises(Gone):
            asyncio.run(s.watch(debate_id, watch))
        for p in (s.processes["ws"], *s.runners):
            p.kill()
            p.wait()
        for pid in s.worker_pids:
            os.kill(pid, signal.SIGKILL)
        if redis:
            s.stop_redis()
            s.start_redis()
        os.unlink(os.path.join(s.run_dir, "fcgi.sock"))
        s.start_bridge()
        s.start_workers()
        s.start_runner()
        seen += stored(asyncio.run(
            s.watch(debate_id, query=f"&since={seen[-1]['seq']}")))
        check_same(s, debate_id, seen, undisturbed)


def test_runners_share_and_one_dies(make):
    """Two runners on one database; one dies with debates in its hands: each
    debate ends once, and no call of it was answered twice."""
    with make("postgresql", redis=True, runners=2,
              ARAGORA_MAX_CONCURRENT_DEBATES="4") as s:
        ids = [s.create(f"Number {i}?", seed=i, rounds=1) for i in range(8)]

        def are_shared():
            runners = [s.log(f"runner{n}") for n in (1, 2)]
            return all("debate.claim" in log for log in runners)
        st.wait_for("both at work", are_shared)
        s.runners[0].kill()
        s.runners[0].wait()
        for debate_id in ids:
            assert s.wait_end(debate_id)["status"] == "completed"
            st.check_sequence(s.events(debate_id))
        st.wait_for("rest", lambda: s.get("/api/health")["active_debates"]
                    == 0)


def test_redis_is_gone_for_good(make, undisturbed):
    """Redis dies and stays away: slower, but nothing is missing."""
    with make(redis=True) as s:
        debate_id = s.create(**BODY)

        def stop(m):
            if m.get("seq") == 6 and "redis" in s.processes:
                s.stop_redis()
        live = stored(asyncio.run(s.watch(debate_id, stop)))
        check_same(s, debate_id, live, undisturbed)
        # Each of the workers looks for itself, every few seconds.
        st.wait_for("health", lambda: [
            s.get("/api/health")[k] for k in ("redis", "status")]
            == ["disconnected", "degraded"])
        # New questions are taken and answered all the same.
        assert s.wait_end(s.create(agents=["demo|fast"] * 2))["status"] \
            == "completed"


@pytest.mark.parametrize("database,redis", PAIRS)
def test_cancel_at_any_time(make, database, redis):
    """However the cancel meets the runner's own writes: one end, the last."""
    with make(database, redis=redis) as s:
        for after in (0, 1, 3, 5, 8, 13, 21):
            debate_id = s.create(seed=after, rounds=3)
            st.wait_for(f"event {after}", lambda d=debate_id, a=after:
                        len(s.events(d)) >= a)
            assert s.post(f"/api/debates/{debate_id}/cancel").status_code \
                == 200
            events = s.events(debate_id)
            types = [e["type"] for e in events]
            assert [e["seq"] for e in events] == \
                list(range(1, len(events) + 1))
            assert types.count("debate_end") == 1
            assert types[-1] == "debate_end"
            last = stored(asyncio.run(s.watch(debate_id)))
            assert [e["seq"] for e in last] == [e["seq"] for e in events]
        # The runner is free again, and wrote nothing behind an end.
        assert s.wait_end(s.create(agents=["demo|fast"] * 2))["status"] \
            == "completed"
        for d in s.get("/api/debates?status=cancelled")["items"]:
            assert s.events(d["id"])[-1]["type"] == "debate_end"


def refuse_ballots(stack, database, words):
    """From now on the database takes no vote of debates about these words."""
    about = f"SELECT 1 FROM debates d WHERE d.id = NEW.debate_id AND " \
        f"d.task LIKE '%{words}%'"
    if database == "sqlite":
        with contextlib.closing(sqlite3.connect(
                os.path.join(stack.data, "aragora.db"))) as db:
            db.execute("CREATE TRIGGER refuse BEFORE INSERT ON events WHEN "
                       f"NEW.type = 'vote' AND EXISTS ({about}) BEGIN "
                       "SELECT RAISE(ABORT, 'refused'); END")
            db.commit()
        return
    with contextlib.closing(psycopg2.connect(
            stack.env["ARAGORA_DATABASE_URL"])) as db:
        db.cursor().execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN IF NEW.type = 'vote' AND EXISTS ({about}) THEN RAISE "
            "'refused' USING ERRCODE = '22021'; END IF; RETURN NEW; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW "
            "EXECUTE FUNCTION refuse()")
        db.commit()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_refused_transition(make, database):
    """One debate says what the database does not take: it ends with that as
    its reason, and those beside it end as if it had not been there."""
    with make(database, expected_errors=(
            "store.refused", "store.statement")) as s:
        refuse_ballots(s, database, "poison")
        ids = [s.create(task, **BODY) for task in
               ("Tea?", "poison?", "Coffee?", "Water?")]
        ends = [s.wait_end(i) for i in ids]
        assert [d["status"] for d in ends] == \
            ["completed", "failed", "completed", "completed"]
        assert ends[1]["error"].startswith("storage_refused")
        events = s.events(ids[1])
        st.check_sequence(events)
        assert events[-1]["type"] == "debate_end"
        assert not [e for e in events if e["type"] == "vote"]
