# SPDX-License-Identifier: MIT
"""The parts of the state and the counters as JSON: what they say follows what
happens."""
import os
import sqlite3

import pytest
import stack as st

PARTS = {"startup": "startup", "platform": "platform",
         "components": "components", "database": "database_state",
         "stores": "stores", "circuits": "circuits",
         "job-queue": "job_queue", "workers": "workers",
         "workers/all": "workers", "deep": "checks"}


@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with st.Stack(redis=True, ARAGORA_DEBATE_TIMEOUT="30") as s:
        st.wait_for("a runner", lambda: s.get("/api/health/workers")
                    ["workers"]["count"] == 1)
        yield s


@pytest.mark.parametrize("part", PARTS)
def test_part(stack, part):
    d = stack.get(f"/api/v1/health/{part}")
    assert d["status"] == "healthy" and d["database"] == "connected"
    inside = d[PARTS[part]]
    if part == "deep":
        assert set(inside) == {"database", "redis", "queue", "runners",
                               "bridges"}
    else:
        assert inside["status"] == "healthy"


def test_what_parts_say(stack):
    assert stack.get("/api/health/platform")["platform"]["database"] == \
        "sqlite"
    assert stack.get("/api/health/circuits")["circuits"]["circuits"] == \
        {"redis": "closed"}
    assert stack.get("/api/health/database")["database_state"]["pool"]
    assert stack.get("/api/health/startup")["startup"]["started"] is True
    assert stack.get("/api/v1/readiness")["status"] == "ready"
    assert stack.get("/api/health/nothing", check=False).status_code == 404


def test_slow_debates(stack):
    assert stack.get("/api/v1/health/slow-debates")["count"] == 0
    with st.Stack(runners=0) as s:
        debate = s.create(agents=["demo", "demo"])
        with sqlite3.connect(os.path.join(s.data, "aragora.db")) as c:
            c.execute("UPDATE debates SET status = 'running', created_us = "
                      "created_us - 400 * 1000000, started_us = created_us "
                      "- 350 * 1000000")
        d = s.get("/api/health/slow-debates")
        assert d["threshold_seconds"] == 300 and d["count"] == 1
        assert d["slow_debates"][0]["debate_id"] == debate
        assert d["slow_debates"][0]["seconds"] > 340


def test_counters(stack):
    before = stack.get("/api/metrics")
    debate = stack.create(agents=["demo", "demo"], rounds=1)
    stack.wait_end(debate)
    assert stack.get("/api/debates/nobody", check=False).status_code == 404
    for _ in range(6):
        stack.get("/api/leaderboard")
    st.wait_for("the count", lambda: stack.get("/api/metrics/debate")
                ["completed"] > before["debates"]["completed"])
    after = stack.get("/api/v1/metrics")
    assert after["requests"]["4xx"] > before["requests"]["4xx"]
    assert after["requests"]["total"] >= before["requests"]["total"] + 8
    assert after["debates"]["capacity"] >= 1
    d = stack.get("/api/metrics/cache")
    ratings = d["kinds"]["ratings"]
    assert d["shared_by"] == "redis" and d["entries"] > 0
    assert ratings["hits"] >= 4 and ratings["misses"] >= 1
    assert ratings["hit_ratio"] == pytest.approx(
        ratings["hits"] / (ratings["hits"] + ratings["misses"]))
    assert {k: v["ttl_seconds"] for k, v in d["kinds"].items()} == {
        "ratings": 60, "trending": 300, "summaries": 3600,
        "preferences": 3600, "analytics": 300, "debates": 3600}
    d = stack.get("/api/metrics/health")
    assert d["status"] == "healthy" and 0 <= d["error_rate"] < 1
    d = stack.get("/api/metrics/system")
    assert d["memory_max_bytes"] > 1 << 20 and d["threads"] >= 1


def test_redis_is_lost(stack):
    stack.stop_redis()

    def is_open():
        stack.get("/api/leaderboard")
        return stack.get("/api/health/circuits")["circuits"]["circuits"] \
            == {"redis": "open"}
    st.wait_for("an open circuit", is_open)
    stack.start_redis()
