# SPDX-License-Identifier: MIT
"""What may be read of debates besides the debates themselves: their sides,
lists by filter, search and figures. Everything is compared with the debate
object and the event log of the same server."""
import pytest

import stack as st

QUESTIONS = [
    dict(task="Should we adopt PostgreSQL for the ledger?", domain="storage",
         tags=["db", "money"], seed=3, rounds=2,
         agents=["demo", "demo-2"], consensus="majority"),
    dict(task="Is Redis a database?", domain="storage", tags=["db"], seed=4,
         rounds=1, agents=["demo", "demo-2"]),
    dict(task="Tea or coffee at 100%_!?", domain="kitchen", tags=[], seed=5,
         rounds=3, agents=["demo", "demo-2", "demo"], consensus="unanimous"),
]


def agent_names(s):
    return [a["name"] for a in s.get("/api/agents")["agents"]
            if a["provider"] == "demo"]


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url) as s:
        demo = agent_names(s)
        s.debates = []
        for i, q in enumerate(QUESTIONS):
            agents = [demo[k % len(demo)] for k in range(len(q["agents"]))]
            q = {**q, "agents": agents}
            s.debates.append(s.wait_end(s.create(**q)))
        yield s


@pytest.fixture(name="debate", params=range(len(QUESTIONS)))
def fixture_debate(stack, request):
    return stack.debates[request.param]


def part(stack, debate, name):
    body = stack.get(f"/api/debates/{debate['debate_id']}/{name}")
    assert body.pop("debate_id") == debate["debate_id"]
    return body


def test_sides_are_those_of_the_debate(stack, debate):
    assert part(stack, debate, "rounds")["rounds"] == debate["rounds"]
    assert len(debate["rounds"]) == debate["current_round"] > 0
    for name in ("votes", "critiques"):
        body = part(stack, debate, name)
        assert body == {name: debate[name], "total": len(debate[name])}
    assert part(stack, debate, "consensus") == debate["consensus"]
    assert part(stack, debate, "positions")["positions"] == debate["proposals"]
    agents = part(stack, debate, "agents")["agents"]
    assert [a["name"] for a in agents] == debate["agents"]
    said = len(debate["votes"]) + len(debate["critiques"]) + \
        len(debate["messages"])
    assert sum(a["contributions"] for a in agents) == said


def test_timeline_is_the_log(stack, debate):
    events = stack.events(debate["debate_id"])
    first = part(stack, debate, "timeline?limit=3")
    assert first["has_more"] and len(first["timeline"]) == 3
    rest = part(stack, debate, f"timeline?limit=500&since={first['next_seq']}")
    assert not rest["has_more"]
    both = first["timeline"] + rest["timeline"]
    assert [(e["seq"], e["type"]) for e in both] == \
        [(e["seq"], e["type"]) for e in events]
    assert all(e["description"] and e["timestamp"].endswith("Z") for e in both)


def test_summary(stack, debate):
    body = part(stack, debate, "summary")
    s = body["summary"]
    answer = debate["final_answer"]
    assert body["verdict"] == answer
    assert s["one_liner"] and s["one_liner"] in answer
    assert body["key_points"] == s["key_points"]
    assert all(p in answer for p in s["key_points"])
    assert s["confidence"] == body["confidence"] == debate["confidence"]
    assert s["rounds_used"] == debate["current_round"]
    assert s["agents_participated"] == len(debate["agents"])
    assert len(body["dissenting_views"]) == len(debate["dissenting_views"][:5])
    issues = [i for c in debate["critiques"] for i in c["issues"]]
    suggestions = [i for c in debate["critiques"] for i in c["suggestions"]]
    assert all(any(x in i for i in suggestions) for x in s["next_steps"])
    assert all(any(x in i for i in issues) for x in s["caveats"])


def test_impasse(stack, debate):
    body = part(stack, debate, "impasse")
    on = [k for k, v in body["indicators"].items() if v]
    assert body["indicators"]["no_consensus"] is \
        (not debate["consensus_reached"])
    assert body["confidence"] == pytest.approx(
        len(on) / len(body["indicators"]))
    assert body["is_impasse"] is (len(on) > 1)
    assert (body["reason"] is None) is (not body["is_impasse"])


@pytest.mark.parametrize("name", ["rounds", "agents", "votes", "critiques",
                                  "consensus", "positions", "summary",
                                  "impasse", "timeline"])
def test_of_nothing(stack, name):
    r = stack.get(f"/api/debates/adhoc_none/{name}", check=False)
    assert r.status_code == 404 and r.json()["code"] == "NOT_FOUND"
    r = stack.get(f"/api/debates/a%20b/{name}", check=False)
    assert r.status_code == 400 and r.json()["field"] == "id"


def test_before_anything_was_said(stack):
    """A debate that is not begun has its sides, all of them empty."""
    with st.Stack(runners=0) as s:
        d = {"debate_id": s.create()}
        for name in ("rounds", "votes", "critiques"):
            assert part(s, d, name) == {name: [], "total": 0}
        assert part(s, d, "consensus")["reached"] is False
        assert part(s, d, "positions") == {"positions": {}}
        assert part(s, d, "summary")["summary"]["one_liner"] == ""
        assert part(s, d, "impasse")["is_impasse"] is False
        assert part(s, d, "timeline")["timeline"] == []


def listed(stack, query, path="/api/debates"):
    body = stack.get(f"{path}?{query}")
    assert body["items"] == body["debates"]
    assert body["count"] == len(body["debates"])
    return [d["debate_id"] for d in body["debates"]]


# A filter's query, and the same as a test of a debate.
FILTERS = [
    ("domain=storage", lambda d: d["domain"] == "storage"),
    ("tag=money", lambda d: "money" in d["tags"]),
    ("tag=db&domain=storage&min_rounds=2",
     lambda d: "db" in d["tags"] and d["current_round"] >= 2),
    ("max_rounds=1", lambda d: d["current_round"] <= 1),
    ("consensus_reached=true", lambda d: d["consensus_reached"]),
    ("consensus_reached=false", lambda d: not d["consensus_reached"]),
    ("agent={0}", lambda d: d["agents"][0] in d["agents"]),
    ("agents={0},{1}",
     lambda d: {d["agents"][0], d["agents"][1]} <= set(d["agents"])),
    ("agents={0},nobody", lambda d: False),
    ("domain=", lambda d: True),
    ("domain='%20OR%201=1", lambda d: False),
]


@pytest.mark.parametrize("query,wanted", FILTERS)
@pytest.mark.parametrize("path", ["/api/debates", "/api/v1/history/debates"])
def test_filters(stack, query, wanted, path):
    a, b = stack.debates[0]["agents"][:2]
    first = [d["debate_id"] for d in stack.debates
             if {a, b} <= set(d["agents"])]
    expected = [d["debate_id"] for d in stack.debates if wanted(d)]
    if "{1}" in query and "nobody" not in query:
        expected = first
    if query == "agent={0}":
        expected = [d["debate_id"] for d in stack.debates if a in d["agents"]]
    assert listed(stack, query.format(a, b), path) == expected[::-1]


@pytest.mark.parametrize("order,key", [
    ("confidence", lambda d: d["confidence"]),
    ("created_at", lambda d: d["created_at"]),
    ("duration", lambda d: d["duration_seconds"])])
def test_order(stack, order, key):
    by_id = {d["debate_id"]: d for d in stack.debates}
    for direction, is_down in (("asc", False), ("desc", True)):
        ids = listed(stack, f"order_by={order}&order_dir={direction}")
        keys = [key(by_id[i]) for i in ids]
        assert sorted(keys, reverse=is_down) == keys and len(ids) == 3
    pages = [listed(stack, f"order_by={order}&limit=1&offset={i}")
             for i in range(4)]
    assert sum(pages, []) == listed(stack, f"order_by={order}")


@pytest.mark.parametrize("query,field", [
    ("order_by=size", "order_by"), ("order_dir=up", "order_dir"),
    ("min_rounds=-1", "min_rounds"), ("consensus_reached=maybe",
                                      "consensus_reached")])
def test_wrong_filters(stack, query, field):
    r = stack.get(f"/api/debates?{query}", check=False)
    assert r.status_code == 400 and r.json()["field"] == field


def test_search(stack):
    body = stack.get("/api/search?query=postgresQL")
    want = stack.debates[0]
    assert [r["debate_id"] for r in body["results"]] == [want["debate_id"]]
    hit = body["results"][0]
    assert hit["highlights"] == ["PostgreSQL"]
    assert "PostgreSQL" in hit["snippet"] and 0 < hit["score"] < 1
    assert body["total"] == body["total_count"] == 1
    assert body["items"] == body["results"]
    assert body["debates"][0]["task"] == want["task"]
    same = [stack.get("/api/debates/search?q=postgresQL"),
            stack.post("/api/search", {"query": "postgresQL"}).json()]
    for b in same:
        assert b["results"] == body["results"]
    # LIKE's own characters are characters.
    one = stack.get("/api/search?q=100%25_!")["results"]
    assert [r["debate_id"] for r in one] == [stack.debates[2]["debate_id"]]
    assert stack.get("/api/search?q=a_b")["total"] == 0
    # Without words: the newest.
    newest = stack.get("/api/search?q=&limit=2")
    assert newest["total"] == 3 and newest["count"] == 2
    assert newest["results"][0]["debate_id"] == stack.debates[2]["debate_id"]
    assert stack.post("/api/search", {"scope": "agents"}).json()["total"] == 0
    r = stack.post("/api/search", {"query": 3})
    assert r.status_code == 400 and r.json()["field"] == "query"


def test_figures(stack):
    done = stack.debates
    for path in ("statistics", "stats"):
        s = stack.get(f"/api/debates/{path}?period=1h")
        assert s["total_debates"] == s["completed_debates"] == len(done)
        assert s["by_status"]["completed"] == len(done)
        assert s["by_domain"] == {"storage": 2, "kitchen": 1}
        assert s["consensus_rate"] == pytest.approx(
            sum(d["consensus_reached"] for d in done) / len(done))
        assert s["avg_rounds"] == pytest.approx(
            sum(d["current_round"] for d in done) / len(done))
        assert s["avg_duration_seconds"] == pytest.approx(
            sum(d["duration_seconds"] for d in done) / len(done))
    o = stack.get("/api/debates/analytics/consensus?period=all")
    assert o["reached_count"] == sum(d["consensus_reached"] for d in done)
    assert o["avg_confidence"] == pytest.approx(
        sum(d["confidence"] for d in done) / len(done))
    board = stack.get("/api/dashboard/debates")
    assert [d["debate_id"] for d in board["recent_debates"]] == \
        [d["debate_id"] for d in done[::-1]]
    assert (board["active_count"], board["pending_count"]) == (0, 0)
    for bad in ("30", "d", "0d", "-1d", "30y", "99999d"):
        r = stack.get(f"/api/debates/statistics?period={bad}", check=False)
        assert r.status_code == 400 and r.json()["field"] == "period"
