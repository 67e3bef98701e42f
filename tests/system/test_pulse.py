# SPDX-License-Identifier: MIT
"""Topics: the tenant's own of the last days and those built in, debates about
them, what came of those, and a scheduler that says there is none."""
import httpx
import jwt_kit as jwt
import pytest
import stack as st

SEATS = {"agents": ["demo", "demo"], "rounds": 1}


@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with st.Stack() as s:
        yield s


def topics(s, query=""):
    d = s.get(f"/api/pulse/trending?limit=50{query}")
    assert d["items"] == d["topics"] and d["count"] == len(d["topics"])
    for t in d["topics"]:
        assert t["topic"] == t["title"] and t["sources"] == [t["source"]]
        assert 0 <= t["score"] <= 1 and t["suggested_debate_prompt"]
    assert sum(d["sources"].values()) == d["count"]
    assert d["demo"] == any(t["source"] == "builtin" for t in d["topics"])
    return d


def own(s):
    return {t["title"]: t for t in topics(s)["topics"]
            if t["source"] == "debates"}


def is_kept(s, path):
    return httpx.get(s.url(path), trust_env=False).headers["X-Cache"]


def test_built_in():
    with st.Stack(runners=0) as s:
        d = topics(s)
        assert d["demo"] is True and d["total"] == d["count"] >= 10
        assert {t["source"] for t in d["topics"]} == {"builtin"}
        assert len({t["id"] for t in d["topics"]}) == d["count"]
        assert set(d["categories"]) == {t["category"] for t in d["topics"]}
        some = s.get("/api/v1/pulse/trending?limit=3")
        assert some["count"] == 3 and some["has_more"] is True
        energy = topics(s, "&category=energy")
        assert {t["category"] for t in energy["topics"]} == {"energy"}
        # Nobody asks outside; that is no error, and nothing is made up.
        for source in ("hackernews", "reddit", "twitter", "debates"):
            d = topics(s, f"&source={source}")
            assert d["topics"] == [] and d["demo"] is False
            r = s.get(f"/api/pulse/suggest?source={source}", check=False)
            assert r.status_code == 404
        r = s.get("/api/pulse/trending?source=elsewhere", check=False)
        assert r.status_code == 400 and r.json()["field"] == "source"
        d = s.get("/api/pulse/suggest?category=health")
        assert d["topic"]["category"] == d["category"] == "health"
        assert d["title"] == d["topic"]["title"]
        assert d["debate_prompt"] == d["suggested_task"] == \
            d["topic"]["suggested_debate_prompt"]
        assert "demo" in d["suggested_agents"]
        st.wait_for("it kept", lambda: is_kept(
            s, "/api/pulse/trending") == "HIT")
        st.wait_for("it kept", lambda: is_kept(
            s, "/api/pulse/suggest") == "HIT")


def test_own_topics(stack):
    ids = [stack.create(f"Bread {i}?", tags=["baking", "flour"],
                        domain="kitchen", **SEATS) for i in range(3)]
    ids.append(stack.create("Oven?", tags=["baking"], **SEATS))
    for i in ids:
        stack.wait_end(i)
    # A list may be five minutes old; a change of a debate drops it.
    httpx.patch(stack.url(f"/api/debates/{ids[0]}"), trust_env=False,
                json={"tags": ["baking", "flour", "yeast"]})
    mine = own(stack)
    assert {k: v["volume"] for k, v in mine.items()} == {
        "baking": 4, "flour": 3, "kitchen": 3, "yeast": 1}
    first = topics(stack)["topics"][0]
    assert first["title"] == "baking" and first["score"] == 1
    assert first["velocity"] == 4
    assert set(first["related_topics"]) == {"flour", "yeast"}
    assert mine["flour"]["score"] == 0.75
    assert mine["flour"]["category"] == "kitchen"
    assert stack.get("/api/pulse/suggest")["topic"]["title"] == "baking"
    assert stack.get("/api/pulse/suggest")["timeliness_score"] > 0.99
    for i in ids:
        httpx.delete(stack.url(f"/api/debates/{i}"), trust_env=False)
    for _ in range(4):
        assert own(stack) == {}


def test_tenants():
    with st.Stack(runners=0, ARAGORA_SUPABASE_JWT_SECRET=jwt.SECRET) as s:
        keys = {t: {"Authorization": "Bearer " + jwt.hs256(jwt.claims(
            sub=f"user-of-{t}", tenant=t))} for t in ("red", "blue")}
        r = s.post("/api/debates", {"task": "Red?", "tags": ["secret"],
                                    **SEATS}, headers=keys["red"])
        assert r.status_code == 201
        for _ in range(4):
            for tenant, seen in (("red", True), ("blue", False)):
                d = s.get("/api/pulse/trending", headers=keys[tenant])
                assert ("secret" in {t["title"] for t in d["topics"]}) \
                    == seen


def test_debates_about_topics(stack):
    before = stack.get("/api/pulse/scheduler/status")["debates_started"]
    topic = topics(stack, "&category=cities&source=builtin")["topics"][0]
    r = stack.post("/api/pulse/debate-topic",
                   {"topic_id": topic["id"], "tags": ["mine"],
                    "metadata": {"a": 1}, **SEATS})
    d = r.json()
    assert r.status_code == 201 and d["success"] is True
    assert d["task"] == topic["suggested_debate_prompt"]
    assert d["agents"] == ["demo", "demo_2"] and d["total_rounds"] == 1
    d = stack.wait_end(d["debate_id"])
    assert d["tags"] == ["mine", "trending"] and d["domain"] == "cities"
    assert d["metadata"] == {"a": 1, "pulse_source": "builtin",
                             "pulse_topic": topic["id"]}
    # By its name, and a topic of the caller's own.
    r = stack.post("/api/pulse/debate-topic",
                   {"topic": topic["title"].upper(), **SEATS})
    assert r.json()["task"] == topic["suggested_debate_prompt"]
    r = stack.post("/api/pulse/debate-topic",
                   {"topic": "Soup or salad?", **SEATS})
    assert r.json()["task"] == "Soup or salad?"
    # Taken from the list by a plain debate.
    r = stack.post("/api/debates", {"use_trending": True,
                                    "trending_category": "Energy", **SEATS})
    assert r.status_code == 201
    assert r.json()["task"] in {
        t["suggested_debate_prompt"] for t in
        topics(stack, "&category=energy")["topics"]}
    r = stack.post("/api/debates", {"use_trending": True, "task": "Mine?",
                                    **SEATS})
    assert r.json()["task"] == "Mine?" and "trending" not in r.json()["tags"]
    for x in stack.get("/api/debates")["items"]:
        stack.wait_end(x["debate_id"])
    d = stack.get("/api/pulse/scheduler/history")
    assert d["total"] == before + 4
    assert {x["topic"] for x in d["history"]} >= {"Soup or salad?"}
    assert stack.get("/api/pulse/scheduler/status")["debates_started"] == \
        before + 4
    # Every debate that ends drops the figures.
    d = stack.get("/api/pulse/analytics?period=all")
    assert d == stack.post("/api/pulse/analytics", {"period": "all"}).json()
    assert d["total_debates"] == before + 4
    assert 0 <= d["consensus_rate"] <= 1 and d["average_rounds"] >= 1
    assert {x["source"]: x["count"] for x in d["top_sources"]} == {
        "builtin": 3, "caller": 1}
    assert d["top_sources"][0]["source"] == "builtin"
    assert {"category": "cities", "count": 2} in d["trending_categories"]
    # The mark of these debates is no topic.
    assert "trending" not in own(stack)


def test_refused(stack):
    for body, status, field in (
            (None, 400, "topic"), ({}, 400, "topic"),
            ({"topic": ""}, 400, "topic"), ({"topic": 7}, 400, "topic"),
            ({"topic_id": "topic_none"}, 404, None),
            ({"topic": "Tea?", "agents": ["nobody", "demo"]}, 400, "agents"),
            ({"topic": "Tea?", "tags": 7, **SEATS}, 400, "tags"),
            ({"topic": "Tea?", "metadata": [], **SEATS}, 400, "metadata")):
        r = stack.post("/api/pulse/debate-topic", body)
        assert r.status_code == status, (body, r.text)
        assert field is None or r.json()["field"].startswith(field)
    for body in ({"use_trending": True, "trending_category": "none"},
                 {"use_trending": False}, {}):
        assert stack.post("/api/debates", body).status_code == 400
    r = stack.get("/api/pulse/analytics?period=soon", check=False)
    assert r.status_code == 400 and r.json()["field"] == "period"
    r = stack.post("/api/pulse/analytics", {"period": "soon"})
    assert r.status_code == 400 and r.json()["field"] == "period"


def test_scheduler(stack):
    for name in ("status", "config", "history"):
        path = f"/api/v1/pulse/scheduler/{name}"
        assert stack.get(path) == stack.post(path).json()
    assert stack.get("/api/pulse/scheduler/status")["running"] is False
    for name, is_success in (("start", False), ("resume", False),
                             ("stop", True), ("pause", True)):
        r = stack.post(f"/api/pulse/scheduler/{name}")
        assert r.status_code == 200 and r.json()["success"] is is_success
        assert "nothing is scheduled" in r.json()["message"]
    r = httpx.patch(stack.url("/api/pulse/scheduler/config"),
                    trust_env=False, json={"fetch_interval_minutes": 1})
    assert r.json()["success"] is False
