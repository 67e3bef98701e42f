# SPDX-License-Identifier: MIT
"""What operators decide about agents - off and on, how often a day, ratings
moved by hand - and what the runners tell of them; on both databases."""
import concurrent.futures
import contextlib
import itertools
import sqlite3
import subprocess

import jwt_kit as jwt
import psycopg2
import pytest
import stack as st
from test_ratings import AGENTS, KEYS, by_the_formula, question

DAY_US = 86400 * 10 ** 6


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True,
                  ARAGORA_SUPABASE_JWT_SECRET=jwt.SECRET, **KEYS) as s:
        s.tenants = itertools.count()
        yield s


class Tenant:
    """A user of it, and its operator."""

    def __init__(self, s):
        self.s = s
        self.name = f"tenant{next(s.tenants)}"
        user = jwt.hs256(jwt.claims(sub="user", tenant=self.name))
        out = subprocess.run(
            [s.program("aragora"), "token", "create", "--name", self.name,
             "--tier", "internal"],
            env=s.env, check=True, capture_output=True, text=True).stdout
        operator = next(w for w in out.split() if w.startswith("ara_"))
        run_sql(s, f"UPDATE tokens SET tenant = '{self.name}' WHERE "
                   f"name = '{self.name}'")
        self.tokens = {"user": user, "operator": operator}

    def call(self, method, path, body=None, status=200, who="operator"):
        r = st.httpx.request(
            method, self.s.url(f"/api/{path}"), json=body, trust_env=False,
            timeout=st.WAIT, headers={
                "Authorization": f"Bearer {self.tokens[who]}"})
        assert r.status_code == status, (method, path, r.status_code, r.text)
        return r.json()

    def get(self, path, status=200, who="user"):
        return self.call("GET", path, None, status, who)

    def create(self, status=201, **body):
        return self.call("POST", "debates", {
            "task": "Tea or coffee?", "agents": ["demo", "demo"], "rounds": 1,
            **body}, status, who="user")

    def end(self, debate):
        st.wait_for("its end", lambda: not self.get(f"debates/{debate}")[
            "in_progress"])
        return self.get(f"debates/{debate}")


@pytest.fixture(name="t")
def fixture_t(stack):
    return Tenant(stack)


def run_sql(s, statement):
    url = s.env.get("ARAGORA_DATABASE_URL")
    db = psycopg2.connect(url) if url else sqlite3.connect(
        f"{s.data}/aragora.db", timeout=st.WAIT)
    with contextlib.closing(db):
        db.cursor().execute(statement)
        db.commit()


# ---- off and on ----

def test_disabled(t):
    assert t.get("agents/demo")["status"] == "available"
    r = t.call("POST", "agents/demo/disable", {"reason": "It repeats itself."})
    assert r == {"success": True, "agent": "demo", "enabled": False,
                 "reason": "It repeats itself."}
    a = t.get("agents/demo")
    assert (a["status"], a["available"], a["reason"]) == (
        "disabled", False, "It repeats itself.")
    listed = {x["name"]: x for x in t.get("agents")["agents"]}
    assert listed["demo"]["status"] == "disabled"
    assert "demo" in t.get("agents/availability")["missing"]
    assert t.get("agents/health")["agents"]["demo"]["status"] == "disabled"
    for agents in (["demo", "demo"], ["openai-api|stub-ok", "demo"]):
        e = t.create(status=400, agents=agents)
        assert (e["code"], e["field"]) == ("INVALID_VALUE", "agents")
        assert "demo" in e["message"] and "It repeats itself." in e["message"]
    e = t.call("POST", "batch", {"items": [
        {"task": "x", "agents": ["openai-api|stub-ok"] * 2},
        {"task": "x", "agents": ["demo"] * 2}]}, 400)
    assert e["field"] == "items[1].agents"
    assert t.get("debates")["total"] == 0
    # Others are not concerned, neither agents nor tenants.
    t.create(agents=["openai-api|stub-ok"] * 2)
    other = Tenant(t.s)
    assert other.get("agents/demo")["status"] == "available"
    other.create()
    assert t.call("POST", "agents/demo/enable")["enabled"] is True
    assert t.get("agents/demo")["status"] == "available"
    t.create()


def test_a_copy_is_refused_too(t):
    debate = t.create()["debate_id"]
    t.end(debate)
    t.call("POST", "agents/demo/disable")
    assert t.call("POST", f"debates/{debate}/clone", {}, 400)["field"] == \
        "agents"
    assert t.call("POST", f"debates/{debate}/fork", {}, 400)["field"] == \
        "agents"


ROUTES = [("POST", "agents/demo/disable", {}),
          ("POST", "agents/demo/enable", {}),
          ("PUT", "agents/demo/quota", {"limit": 1}),
          ("PUT", "agents/demo/elo", {"elo_change": 5}),
          ("POST", "agents/demo/elo", {"elo_change": 5})]


@pytest.mark.parametrize("method,path,body", ROUTES)
def test_not_everybody_may(t, method, path, body):
    e = t.call(method, path, body, 403, who="user")
    assert e["code"] == "FORBIDDEN" and "admin" in e["message"]
    r = st.httpx.request(method, t.s.url(f"/api/{path}"), json=body,
                         trust_env=False, timeout=st.WAIT)
    assert r.status_code == 401
    assert t.get("agents/demo")["elo"] == 1500
    assert t.get("agents/demo/quota")["limit"] is None


@pytest.mark.parametrize("method,path,body", ROUTES)
def test_unknown_agent(t, method, path, body):
    path = path.replace("demo", "nobody")
    assert t.call(method, path, body, 404)["code"] == "NOT_FOUND"


@pytest.mark.parametrize("path,body,field,code", [
    ("POST agents/demo/disable", {"reason": 5}, "reason", "INVALID_VALUE"),
    ("POST agents/demo/disable", {"reason": "x" * 501}, "reason",
     "INVALID_VALUE"),
    ("PUT agents/demo/quota", {"limit": -1}, "limit", "INVALID_VALUE"),
    ("PUT agents/demo/quota", {"limit": 1.5}, "limit", "INVALID_VALUE"),
    ("PUT agents/demo/quota", {"limit": "many"}, "limit", "INVALID_VALUE"),
    ("PUT agents/demo/quota", {"limit": 10 ** 6 + 1}, "limit",
     "INVALID_VALUE"),
    ("PUT agents/demo/elo", {}, "elo_change", "MISSING_FIELD"),
    ("PUT agents/demo/elo", {"elo_change": 0}, "elo_change", "INVALID_VALUE"),
    ("PUT agents/demo/elo", {"elo_change": "5"}, "elo_change",
     "INVALID_VALUE"),
    ("POST agents/demo/elo", {"elo_change": 3000.5}, "elo_change",
     "INVALID_VALUE"),
    ("POST agents/demo/elo", {"elo_change": 1, "debate_id": "a b"},
     "debate_id", "INVALID_VALUE"),
    ("POST agents/demo/elo", {"elo_change": 1, "reason": []}, "reason",
     "INVALID_VALUE")])
def test_refused(t, path, body, field, code):
    e = t.call(*path.split(), body, 400)
    assert (e["code"], e["field"]) == (code, field)
    assert t.get("agents/demo")["elo"] == 1500


def test_open_server():
    """Where nobody says who he is, everybody may."""
    with st.Stack(runners=0) as s:
        assert s.post("/api/agents/demo/disable").status_code == 200
        r = s.post("/api/debates", {"task": "x", "agents": ["demo"] * 2})
        assert r.status_code == 400 and r.json()["field"] == "agents"


# ---- how often a day ----

def test_quota(t):
    q = t.get("agents/demo/quota")
    assert (q["agent"], q["limit"], q["remaining"], q["used"]) == (
        "demo", None, None, 0)
    t.create()
    q = t.call("PUT", "agents/demo/quota", {"limit": 2})
    assert (q["limit"], q["used"], q["remaining"]) == (2, 0, 2)
    t.create()
    t.create(agents=["openai-api|stub-ok"] * 2)  # is nothing to it
    assert t.get("agents/demo/quota")["remaining"] == 1
    t.create()
    e = t.create(status=402)
    assert e["code"] == "QUOTA_EXCEEDED" and "demo" in e["message"]
    assert (e["agent"], e["limit"], e["used"], e["remaining"]) == (
        "demo", 2, 2, 0)
    q = t.get("agents/demo/quota")
    assert (q["used"], q["remaining"]) == (2, 0)
    assert e["resets_at"] == q["resets_at"]
    assert q["resets_at"].endswith("T00:00:00.000000Z")
    # On another day it begins again.
    run_sql(t.s, f"UPDATE agent_rules SET day_us = day_us - {DAY_US} WHERE "
                 f"tenant = '{t.name}'")
    assert t.get("agents/demo/quota")["used"] == 0
    t.create()
    assert t.get("agents/demo/quota")["used"] == 1
    assert t.call("PUT", "agents/demo/quota", {"limit": 0})["remaining"] == 0
    t.create(status=402)
    assert t.call("PUT", "agents/demo/quota", {"limit": None})[
        "limit"] is None
    t.create()
    Tenant(t.s).create()


def test_as_many_as_the_quota_though_all_come_at_once(t):
    t.call("PUT", "agents/demo/quota", {"limit": 5})

    def ask(_):
        r = t.s.post("/api/debates", {
            "task": "x", "agents": ["demo", "demo"], "rounds": 1},
            headers={"Authorization": f"Bearer {t.tokens['user']}"})
        return r.status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(ask, range(16)))
    assert codes == [201] * 5 + [402] * 11
    assert t.get("debates")["total"] == 5


# ---- ratings by hand ----

def test_adjustment(t):
    r = t.call("PUT", "agents/demo/elo", {
        "elo_change": 12.3456, "reason": "A bet.", "debate_id": "adhoc_1"})
    assert (r["success"], r["agent"], r["elo"], r["elo_rating"]) == (
        True, "demo", 1512.346, 1512.346)
    t.call("POST", "agents/demo/elo", {"elo_change": -20})
    h = t.get("agents/demo/elo")
    assert h["elo"] == 1492.346 and h["total"] == 0
    assert [(p["elo"], p["elo_change"], p["reason"], p["debate_id"])
            for p in h["history"]] == [
        (1492.346, -20, "", None), (1512.346, 12.346, "A bet.", "adhoc_1")]
    a = t.get("agents/demo")
    assert (a["elo"], a["games"]) == (1492.346, 0)
    assert a["elo_change_24h"] == pytest.approx(-7.654)
    assert t.get("agent/demo/performance")["elo_trend"] == [
        1512.346, 1492.346]
    board = t.get("rankings")["rankings"]
    assert [x["elo"] for x in board] == [1492.346]
    movers = t.get("leaderboard/movers")["movers"]
    assert [m["elo_change"] for m in movers] == [pytest.approx(-7.654)]
    # No other board, and nobody else's.
    assert t.get("rankings?source=votes")["rankings"] == []
    assert t.get("agents/demo/elo?domain=kitchen")["history"] == []
    assert Tenant(t.s).get("agents/demo")["elo"] == 1500


def play(t, i):
    debate = t.create(**question(i))["debate_id"]
    return t.end(debate)


def test_the_board_follows_from_matches_and_adjustments(t):
    won = 0
    for i in range(8):
        won += bool(play(t, i)["winner"])
        if i % 3 == 1:
            t.call("POST", f"agents/{AGENTS[i % 2]}/elo",
                   {"elo_change": 40 - 30 * i, "reason": f"r{i}"})
    found = t.get("matches/recent?limit=50")["matches"]
    assert len(found) == won > 3
    happened = {(m["created_at"], m["match_id"]): m for m in found}
    for a in AGENTS:
        for p in t.get(f"agents/{a}/elo?limit=50")["history"]:
            if "adjustment_id" in p:
                happened[(p["timestamp"], p["adjustment_id"])] = (a, p)
    assert len(happened) == won + 3
    elo, games = dict.fromkeys(AGENTS, 1500.0), dict.fromkeys(AGENTS, 0)
    for _, what in sorted(happened.items(), key=lambda x: x[0]):
        if isinstance(what, tuple):
            elo[what[0]] += what[1]["elo_change"]
            assert what[1]["elo"] == pytest.approx(elo[what[0]])
            continue
        wanted = by_the_formula(what, elo, games)
        for a, change in what["elo_changes"].items():
            assert change == pytest.approx(wanted[a], abs=0.003)
            elo[a] += change
            games[a] += 1
    board = {a["name"]: a for a in t.get("rankings")["rankings"]}
    for a in AGENTS:
        assert board[a]["elo"] == pytest.approx(elo[a], abs=1e-6)
        assert board[a]["games"] == games[a]
        assert board[a]["elo_change_24h"] == pytest.approx(
            elo[a] - 1500, abs=1e-6)
        # Page by page the same, nothing twice and nothing lost.
        whole = t.get(f"agents/{a}/elo?limit=50")["history"]
        paged, offset = [], 0
        while True:
            page = t.get(f"agents/{a}/elo?limit=2&offset={offset}")
            paged += page["history"]
            offset += page["count"]
            if not page["has_more"]:
                break
        assert paged == whole
        assert whole[0]["elo"] == pytest.approx(elo[a])


# ---- health ----

def test_health(t):
    before = t.get("agents/health")
    assert before["runners"] == 1
    assert set(before["agents"]) == {
        a["name"] for a in t.get("agents?limit=100")["agents"]}
    one = before["agents"]["anthropic-api"]
    assert (one["status"], one["circuit"], one["failures"]) == (
        "healthy", "closed", 0)
    assert before["agents"]["grok"]["status"] == "unavailable"
    t.end(t.create(agents=["gemini|stub-402"] * 2)["debate_id"])
    st.wait_for("the open circuit", lambda: t.get("agents/health")["agents"][
        "gemini"]["circuit"] == "open")
    after = t.get("agents/health")
    assert after["status"] == "degraded"
    gemini = after["agents"]["gemini"]
    assert gemini["status"] == "unhealthy" and gemini["runners"] == 1
    assert gemini["error"] == "quota"
    assert after["agents"]["anthropic-api"]["circuit"] == "closed"
    # No secret of another tenant: whoever asks hears the same.
    r = st.httpx.get(t.s.url("/api/agents/health"), trust_env=False)
    assert r.json()["agents"]["gemini"] == gemini


def test_nobody_is_alive():
    with st.Stack(runners=0) as s:
        r = s.get("/api/agents/health")
        assert (r["status"], r["runners"]) == ("unhealthy", 0)
        assert r["agents"]["demo"]["circuit"] == "closed"
