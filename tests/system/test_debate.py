# SPDX-License-Identifier: MIT
"""One debate from question to answer through the real servers, on each
database, with and without Redis."""
import asyncio
import json
import os
import signal
import time

import pytest

import stack as st

COMBINATIONS = [(d, r) for d in ("sqlite", "postgresql") for r in (False, True)]


@pytest.fixture(name="make")
def fixture_make(request):
    """Stack(...) over a database of the kind asked for."""
    def make(database="sqlite", **kw):
        url = request.getfixturevalue("postgres").database() \
            if database == "postgresql" else None
        return st.Stack(database_url=url, **kw)
    return make


def stored(messages):
    return [m for m in messages if "seq" in m]


@pytest.mark.parametrize("database,redis", COMBINATIONS)
def test_debate(make, database, redis):
    with make(database, redis=redis) as s:
        health = s.get("/api/health")
        assert health["status"] == "healthy"
        assert health["redis"] == ("connected" if redis else "not_configured")

        debate_id = s.create(seed=3, rounds=2)
        messages = asyncio.run(s.watch(debate_id))
        live = stored(messages)
        types = st.check_sequence(live)
        for wanted in ("round_start", "agent_message", "critique", "revision",
                       "vote", "consensus"):
            assert wanted in types
        assert messages[0]["type"] == "connection_info"
        assert any(m["type"] == "token_delta" for m in messages)

        # The same from the table, and from a connection that comes late.
        table = s.events(debate_id)
        strip = [{k: v for k, v in e.items() if k != "replayed"} for e in live]
        assert [e for e in table] == strip
        again = stored(asyncio.run(s.watch(debate_id)))
        assert [e["seq"] for e in again] == [e["seq"] for e in live]
        since = stored(asyncio.run(s.watch(debate_id, query="&since=10")))
        assert [e["seq"] for e in since] == [e["seq"] for e in live][10:]

        d = s.wait_end(debate_id)
        last = live[-1]["data"]
        assert d["status"] == last["status"] == "completed"
        assert d["final_answer"] == last["result"]
        assert d["confidence"] == last["confidence"]
        assert d["consensus"] == last["debate"]["consensus"]
        assert 0 < d["confidence"] <= 1
        assert len(d["votes"]) == types.count("vote")
        assert len(d["critiques"]) == types.count("critique")

        page = s.get(f"/api/debates/{debate_id}/messages?limit=200")
        assert page["total"] == len(page["messages"]) == len(d["messages"])
        listed = s.get("/api/debates?limit=5")
        assert [x["debate_id"] for x in listed["items"]] == [debate_id]
        # Counted every few seconds.
        st.wait_for("rest", lambda: s.get("/api/health")["active_debates"]
                    == 0)


def test_scgi(make):
    with make(protocol="scgi") as s:
        d = s.wait_end(s.create(seed=1))
        assert d["status"] == "completed" and d["final_answer"]


def test_seed_repeats(make):
    """The demo agents are deterministic under a seed."""
    with make() as s:
        first, second = (s.wait_end(s.create(seed=11)) for _ in range(2))
        for key in ("final_answer", "winner", "confidence", "rounds_used"):
            assert first[key] == second[key]


def test_many_at_once(make):
    """More than the runner takes at once: the rest waits and is served."""
    with make(ARAGORA_MAX_CONCURRENT_DEBATES="3") as s:
        ids = [s.create(seed=i, agents=["demo|fast"] * 3) for i in range(12)]
        for debate_id in ids:
            assert s.wait_end(debate_id)["status"] == "completed"
            st.check_sequence(s.events(debate_id))


def test_cancel(make):
    with make() as s:
        debate_id = s.create(rounds=12)

        def cancel_after_start(m, done=[]):
            if m["type"] == "agent_message" and not done:
                done.append(1)
                r = s.post(f"/api/debates/{debate_id}/cancel")
                assert r.status_code == 200, r.text
                assert r.json()["status"] == "cancelled"
        live = stored(asyncio.run(s.watch(debate_id, cancel_after_start)))
        st.check_sequence(live)
        assert live[-1]["data"]["status"] == "cancelled"
        assert s.get(f"/api/debates/{debate_id}")["status"] == "cancelled"
        assert s.post(f"/api/debates/{debate_id}/cancel").status_code == 409
        # The runner lets go: the next debate is served.
        assert s.wait_end(s.create(agents=["demo|fast"] * 2))["status"] \
            == "completed"
        assert s.events(debate_id)[-1]["seq"] == live[-1]["seq"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("after", [1, 4, 9, 16, 25])
def test_runner_killed(make, database, after):
    """kill -9 in mid-debate; another finishes it: nothing twice or missing."""
    with make(database) as s:
        debate_id = s.create(seed=5, rounds=2)
        first = s.runners[0]
        count = 0

        def kill(m):
            nonlocal count
            count += "seq" in m
            if count == after and first.poll() is None:
                first.kill()
                first.wait()
                s.start_runner()
        live = stored(asyncio.run(s.watch(debate_id, kill)))
        assert first.poll() == -signal.SIGKILL
        st.check_sequence(live)
        assert live[-1]["data"]["status"] == "completed"
        table = s.events(debate_id)
        assert [e["seq"] for e in table] == [e["seq"] for e in live]
        d = s.get(f"/api/debates/{debate_id}")
        assert len(d["critiques"]) == len(
            [e for e in live if e["type"] == "critique"])


def test_runner_drains(make):
    """SIGTERM hands the lease back: the next runner takes over at once."""
    with make(ARAGORA_LEASE="600") as s:
        debate_id = s.create(seed=7, rounds=2)
        first = s.runners[0]
        state = {"told": False}

        def drain(m):
            if m["type"] == "critique" and not state["told"]:
                state["told"] = True
                first.terminate()
                assert first.wait(st.WAIT) == 0
                s.start_runner()
        st.check_sequence(stored(asyncio.run(s.watch(debate_id, drain))))


def test_runners_told_to_stop_at_any_moment(make):
    """Whatever a runner was doing when SIGTERM came, claiming included, no
    debate waits out its lease, which is longer than this test."""
    with make(ARAGORA_LEASE="600", runners=0) as s:
        ids = [s.create(seed=i, agents=["demo|fast"] * 3) for i in range(8)]
        for pause in range(12):
            runner = s.start_runner()
            time.sleep(pause * 0.004)
            runner.terminate()
            assert runner.wait(st.WAIT) == 0
        s.start_runner()
        for debate_id in ids:
            assert s.wait_end(debate_id)["status"] == "completed"
            st.check_sequence(s.events(debate_id))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_redis_restarts(make, database):
    """Redis dies and comes back empty: the watcher misses nothing."""
    with make(database, redis=True) as s:
        debate_id = s.create(seed=8, rounds=3, early_stopping=False)
        state = {"n": 0}

        def restart(m):
            state["n"] += "seq" in m
            if state["n"] == 6 and "redis" in s.processes:
                s.stop_redis()
            if state["n"] == 20 and "redis" not in s.processes:
                s.start_redis()
        st.check_sequence(stored(asyncio.run(s.watch(debate_id, restart))))


def test_postgres_restarts(make, postgres):
    """The database restarts at once under a running debate."""
    with make("postgresql") as s:
        debate_id = s.create(seed=9, rounds=2)
        state = {"done": False}

        def restart(m):
            if m["type"] == "critique" and not state["done"]:
                state["done"] = True
                postgres.stop("immediate")
                postgres.start()
        live = stored(asyncio.run(s.watch(debate_id, restart)))
        st.check_sequence(live)
        assert live[-1]["data"]["status"] == "completed"
        st.wait_for("health", s.is_healthy)  # a look is 5 s old at most
        assert s.get("/api/health")["database"] == "connected"


def test_bridge_restarts(make):
    """A client that comes back with `since` has every event once."""
    with make() as s:
        debate_id = s.create(seed=10, rounds=2)
        seen = []

        class Gone(Exception):
            pass

        def kill(m):
            if "seq" in m:
                seen.append(m)
            if len(seen) == 8:
                s.processes["ws"].kill()
                s.processes["ws"].wait()
                raise Gone
        with pytest.raises(Gone):
            asyncio.run(s.watch(debate_id, kill))
        s.start_bridge()
        seen += stored(asyncio.run(
            s.watch(debate_id, query=f"&since={seen[-1]['seq']}")))
        st.check_sequence(seen)


def test_worker_killed(make):
    """One of two workers dies: requests go on."""
    with make() as s:
        os.kill(s.worker_pids[0], signal.SIGKILL)
        for _ in range(20):
            assert s.get("/api/health")["database"] == "connected"
        assert s.wait_end(s.create(agents=["demo|fast"] * 2))["status"] \
            == "completed"


def test_idempotent_create(make):
    with make() as s:
        body = {"task": "Once only?"}
        headers = {"Idempotency-Key": "k1"}
        first = s.post("/api/debates", body, headers=headers)
        second = s.post("/api/debates", body, headers=headers)
        other = s.post("/api/debates", {"task": "Other?"}, headers=headers)
        assert first.status_code == 201
        assert second.json()["debate_id"] == first.json()["debate_id"]
        assert other.status_code == 409
        assert s.get("/api/debates")["total"] == 1


def test_tokens(make):
    with make(ARAGORA_AUTH_REQUIRED="1") as s:
        import subprocess
        run = lambda *a: subprocess.run(
            [s.program("aragora"), "token", *a], env=s.env, text=True,
            capture_output=True, check=False)
        key = run("create", "--name", "test").stdout.strip()
        assert key.startswith("ara_") and len(key) == 47
        bearer = {"Authorization": f"Bearer {key}"}
        assert s.post("/api/debates", {"task": "x?"}).status_code == 401
        assert s.post("/api/debates", {"task": "x?"},
                      headers=bearer).status_code == 201
        listed = run("list").stdout
        token_id = listed.split()[0]
        assert key not in listed and "active" in listed
        assert run("revoke", token_id).returncode == 0
        assert s.post("/api/debates", {"task": "x?"},
                      headers=bearer).status_code == 401
        assert run("revoke", token_id).returncode == 1
        for text in s.logs().values():
            assert key not in text


def test_logs_hold_no_debate(make):
    """Neither questions nor answers nor secrets reach the logs."""
    secret = "planted-9c1f"
    with make(ARAGORA_API_TOKEN=secret, ARAGORA_LOG_LEVEL="DEBUG") as s:
        bearer = {"Authorization": f"Bearer {secret}"}
        r = s.post("/api/debates",
                   {"task": "Is the marmalade-codeword safe?",
                    "agents": ["demo|fast"] * 2}, headers=bearer)
        assert r.status_code == 201
        debate_id = r.json()["debate_id"]
        st.wait_for("end", lambda: not s.get(
            f"/api/debates/{debate_id}", headers=bearer)["in_progress"])
        for name, text in s.logs().items():
            assert "marmalade-codeword" not in text, name
            assert secret not in text, name
