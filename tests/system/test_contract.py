# SPDX-License-Identifier: MIT
"""What the tables of debates promise beside asking and reading one: one-click
questions, what people say, evidence, files of many, figures, lists that stay
in order while debates are added, and keys for all that makes something."""
import httpx
import pytest
import stack as st
from test_batch import execute, token

AGENTS = ["demo", "demo"]


@pytest.fixture(name="url", scope="module", params=["sqlite", "postgresql"])
def fixture_url(request):
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres").database()


@pytest.fixture(name="stack", scope="module")
def fixture_stack(url):
    """With three debates that have ended, and nobody to drive more."""
    with st.Stack(database_url=url) as s:
        s.ended = [s.create(f"Is tea {w} than coffee?", agents=AGENTS,
                            rounds=1, seed=i, domain="drinks")
                   for i, w in enumerate(("better", "cheaper", "older"))]
        for i in s.ended:
            s.wait_end(i)
        st.end(s.runners.pop())
        yield s


def waiting(s, **more):
    return s.create(agents=AGENTS, **more)


# ---- create ----

def test_debate_this(stack):
    for question, rounds in (("Tea?", 4), ("x" * 200, 4), ("x" * 201, 9)):
        r = stack.post("/api/debate-this", {
            "question": question, "context": {"a": 1}, "source": "button",
            "rounds": 2})
        assert r.status_code == 201, r.text
        d = stack.get(f"/api/debates/{r.json()['debate_id']}")
        assert d["task"] == question and d["total_rounds"] == rounds
        assert d["metadata"] == {"source": "button"}
        assert d["context"] == '{"a":1}' and len(d["agents"]) >= 2
    r = stack.post("/api/debate-this", {"context": "x"})
    assert r.status_code == 400 and r.json()["code"] == "MISSING_FIELD"


def test_asked_is_kept(stack):
    asked = {"debate_format": "light", "mode": "red", "template": "t",
             "documents": ["a", {"id": 2}]}
    d = stack.get(f"/api/debates/{waiting(stack, **asked)}")
    assert {k: d[k] for k in asked} == asked and d["total_rounds"] == 4
    other = stack.get(f"/api/debates/{waiting(stack)}")
    assert not set(asked) & set(other)
    r = stack.post(f"/api/debates/{d['id']}/clone")
    assert {k: r.json()[k] for k in asked} == asked
    r = stack.post("/api/debates", {"task": "x", "documents": ["x" * 65536]})
    assert r.json()["errors"][0]["field"] == "documents", r.text


def test_auto_select(url):
    keys = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2",
            "GEMINI_API_KEY": "sk-3", "XAI_API_KEY": "sk-4"}
    with st.Stack(database_url=url, stub=True, runners=0, **keys) as s:
        for agent, elo in (("gemini", 1700), ("anthropic-api", 1600),
                           ("openai-api", 1400)):
            execute(s, "INSERT INTO ratings (tenant, domain, agent, elo, "
                       "games, wins, losses, streak, ballots, kept, "
                       "updated_us) VALUES ('default', 'x', "
                       f"'{agent}', {elo}000, 1, 1, 0, 0, 0, 0, 1)")

        def chosen(**config):
            d = s.get(f"/api/debates/" + s.create(
                auto_select=True, domain="x", auto_select_config=config))
            assert d["auto_select"]
            return d["agents"]

        assert chosen() == ["gemini", "anthropic-api", "grok"]
        assert chosen(num_agents=2) == ["gemini", "anthropic-api"]
        assert chosen(num_agents=2, exclude=["gemini"]) == [
            "anthropic-api", "grok"]
        r = s.post("/api/debates", {"task": "x", "auto_select": True,
                                    "auto_select_config": {"num_agents": 1}})
        assert r.status_code == 400
        assert r.json()["errors"][0]["field"] == "auto_select_config"
        # Who names agents gets those.
        d = s.get("/api/debates/" + s.create(auto_select=True, agents=AGENTS))
        assert d["agents"] == ["demo", "demo_2"]


def test_auto_select_without_keys(stack):
    d = stack.get("/api/debates/" + stack.create(auto_select=True))
    assert d["agents"] == ["demo", "demo_2", "demo_3"]


# ---- what people say ----

def test_say(stack):
    i = waiting(stack)
    path = f"/api/debates/{i}/messages"
    key = {"Idempotency-Key": "say-1"}
    r = stack.post(path, {"content": "Think of the cost.", "role": "user"},
                   headers=key)
    assert r.status_code == 201, r.text
    said = r.json()
    assert said["success"] and said["role"] == "user" and said["index"] == 0
    again = stack.post(
        path, {"content": "Think of the cost.", "role": "user"}, headers=key)
    assert again.json() == said and again.status_code == 201
    assert stack.post(path, {"content": "And of the taste."}).json()[
        "index"] == 1
    heard = stack.get(path + "?role=user")
    assert [m["content"] for m in heard["messages"]] == [
        "Think of the cost.", "And of the taste."]
    assert heard["total"] == 2 and heard["items"] == heard["messages"]
    assert heard["messages"][0]["timestamp"] == said["timestamp"]
    assert [e["type"] for e in stack.events(i)].count(
        "audience_suggestion") == 2
    for body, field in (({}, "content"), ({"content": ""}, None),
                        ({"content": "x" * 10241}, "content"),
                        ({"content": "x", "role": "system"}, "role")):
        r = stack.post(path, body)
        assert r.status_code == 400, r.text
        assert field is None or r.json()["errors"][0]["field"] == field
    r = stack.post(f"/api/debates/{stack.ended[0]}/messages",
                   {"content": "Late."})
    assert r.status_code == 409, r.text


# ---- evidence and citations ----

def test_evidence(stack):
    i = stack.ended[0]
    path = f"/api/debates/{i}/evidence"
    empty = stack.get(path)
    assert empty["evidence"] == [] and empty["evidence_count"] == 0
    assert empty["evidence_quality_score"] == 0
    r = stack.post(path, {"evidence": "A study.", "metadata": {"y": 1},
                          "source": "https://example.org/study"},
                   headers={"Idempotency-Key": "e1"})
    assert r.status_code == 201, r.text
    again = stack.post(path, {"evidence": "A study.", "metadata": {"y": 1},
                              "source": "https://example.org/study"},
                       headers={"Idempotency-Key": "e1"})
    assert again.json() == r.json()
    assert stack.post(path, {"evidence": "Hearsay."}).status_code == 201
    got = stack.get(path)
    assert got["evidence_count"] == 2
    assert got["evidence_quality_score"] == 0.5
    assert got["evidence"][0]["evidence_id"] == r.json()["evidence_id"]
    assert got["evidence"][0]["metadata"] == {"y": 1}
    for body, field in (({}, "evidence"), ({"evidence": " "}, "evidence"),
                        ({"evidence": "x", "metadata": 1}, "metadata")):
        r = stack.post(path, body)
        assert r.status_code == 400
        assert r.json()["errors"][0]["field"] == field
    assert stack.get("/api/debates/none/evidence",
                     check=False).status_code == 404


def test_citations(stack):
    i = stack.ended[1]
    assert stack.get(f"/api/debates/{i}/citations")["citations"] == []
    execute(stack, "UPDATE turns SET content = 'See (https://a.example/x), "
                   "https://b.example/y. And http://user@c.example/' WHERE "
                   f"debate_id = '{i}' AND step_key = (SELECT min(step_key) FROM turns WHERE "
                   f"debate_id = '{i}' AND phase = 'propose')")
    r = stack.post(f"/api/debates/{i}/evidence", {
        "evidence": "x", "source": "https://b.example/y"})
    assert r.status_code == 201
    got = stack.get(f"/api/debates/{i}/citations")
    assert [(c["url"], c["status"]) for c in got["citations"]] == [
        ("https://a.example/x", "unverified"),
        ("https://b.example/y", "verified"),
        ("http://user@c.example/", "invalid")]
    assert got["total"] == 3 and got["verification_summary"] == {
        "verified": 1, "unverified": 1, "invalid": 1}


# ---- from the inside ----

def test_inside(stack):
    i = stack.ended[0]
    health = stack.get(f"/api/debates/{i}/health")
    assert health["status"] == "healthy" and health["healthy"]
    assert health["debate_status"] == "completed"
    inside = stack.get(f"/api/debates/{i}/diagnostics")
    assert inside["failures"] == [] and inside["turns"] > 0
    assert inside["calls"]["total"] == inside["calls"]["answered"] > 0
    package = stack.get(f"/api/debates/{i}/package")
    assert package["debate"]["messages"] == stack.get(
        f"/api/debates/{i}")["messages"]
    for path in package["links"].values():
        assert stack.get(path, check=False).status_code == 200, path
    replay = stack.get(f"/api/debates/{i}/replay?limit=3")
    assert replay["count"] == 3 and replay["has_more"]
    rest = stack.get(f"/api/debates/{i}/replay?since={replay['next_seq']}")
    assert [f["event"]["seq"] for f in replay["frames"] + rest["frames"]] == [
        e["seq"] for e in stack.events(i)]
    assert rest["frames"][-1]["event"]["type"] == "debate_end"


# ---- many ----

def test_compare(stack):
    r = stack.post("/api/debates/compare", {"debate_ids": stack.ended})
    assert r.status_code == 200, r.text
    got = r.json()
    assert [d["id"] for d in got["debates"]] == stack.ended
    assert got["comparison"]["completed"] == 3
    assert got["comparison"]["fastest"] in stack.ended
    best = max(got["debates"], key=lambda d: d["confidence"])
    assert best["confidence"] == next(
        d["confidence"] for d in got["debates"]
        if d["id"] == got["comparison"]["most_confident"])
    for ids in ([], [stack.ended[0]], "x", [1, 2]):
        assert stack.post("/api/debates/compare",
                          {"debate_ids": ids}).status_code == 400
    assert stack.post("/api/debates/compare", {
        "debate_ids": ["none", stack.ended[0]]}).status_code == 404


def test_estimate(stack):
    got = stack.get("/api/debates/estimate-cost?num_agents=2&num_rounds=1"
                    "&model_types=openai-api,demo")
    per = got["per_model_breakdown"]
    assert [p["model_type"] for p in per] == ["openai-api", "demo"]
    assert per[0]["calls"] == 4 and per[0]["price_known"]
    assert got["total_estimated_cost"] == pytest.approx(
        sum(p["estimated_cost"] for p in per))
    assert got["total_estimated_cost"] > 0 and got["currency"] == "USD"
    more = stack.get("/api/debates/estimate-cost?num_agents=2&num_rounds=2"
                     "&model_types=openai-api,demo")
    assert more["total_estimated_cost"] > got["total_estimated_cost"]
    unknown = stack.get("/api/debates/estimate-cost?model_types=nobody")
    assert unknown["assumptions"]["agents_without_price"] == 3
    assert unknown["total_estimated_cost"] == 0
    assert len(stack.get("/api/debates/estimate-cost")[
        "per_model_breakdown"]) == 3
    assert stack.get("/api/debates/estimate-cost?num_agents=x",
                     check=False).status_code == 400


def test_trends(stack):
    got = stack.get("/api/debates/analytics/trends?period=1d")
    drinks = next(t for t in got["topics"] if t["name"] == "drinks")
    assert drinks["count"] == 3 and drinks["velocity"] == pytest.approx(3)
    assert drinks["trend"] == "up" and got["period"] == "1d"
    assert stack.get("/api/debates/analytics/trends?period=x",
                     check=False).status_code == 400


def test_consensus_memory(stack):
    reached = [i for i in stack.ended
               if stack.get(f"/api/debates/{i}")["consensus_reached"]]
    assert reached
    stats = stack.get("/api/consensus/stats")
    assert stats["total_topics"] == len(reached)
    assert stats["by_domain"] == {"drinks": len(reached)}
    assert sum(stats["by_strength"].values()) == len(reached)
    settled = stack.get("/api/consensus/settled?min_confidence=0")
    assert {t["debate_id"] for t in settled["topics"]} == set(reached)
    assert settled["count"] == len(reached)
    top = settled["topics"][0]
    assert top["conclusion"] and top["agents"] == ["demo", "demo_2"]
    assert stack.get("/api/consensus/settled?min_confidence=1")["count"] == 0
    assert stack.get("/api/consensus/settled?min_confidence=2",
                     check=False).status_code == 400
    alike = stack.get("/api/consensus/similar?topic="
                      "Is+tea+better+than+coffee&limit=1")
    assert alike["count"] == 1 and 0 < alike["similar"][0]["similarity"] <= 1
    assert stack.get("/api/consensus")["total_topics"] == len(reached)


def test_export_batch(stack):
    ids = [*stack.ended[:2], "gone"]
    r = stack.post("/api/debates/export/batch", {
        "debate_ids": ids, "format": "markdown"},
        headers={"Idempotency-Key": "x1"})
    assert r.status_code == 201, r.text
    job = r.json()
    assert job["total_count"] == 3 and job["format"] == "md"
    assert job["job_id"].startswith("export_")
    again = stack.post("/api/debates/export/batch", {
        "debate_ids": ids, "format": "markdown"},
        headers={"Idempotency-Key": "x1"})
    assert again.json() == job
    status = stack.get(job["status_url"])
    assert status["status"] == "partial" and status["processed_count"] == 2
    assert [i["status"] for i in status["items"]] == [
        "completed", "completed", "failed"]
    files = stack.get(job["stream_url"])
    assert files["count"] == 3
    for one, item in zip(files["exports"][:2], status["items"]):
        assert one["debate_id"] == item["debate_id"]
        assert one["filename"] == f"debate-{item['debate_id']}.md"
        alone = stack.get(item["url"], headers={
            "Accept": "application/json"})
        assert one["content"] == alone["content"]
        assert one["size_bytes"] == len(one["content"].encode())
    assert files["exports"][2]["error"]
    for body in ({}, {"debate_ids": []}, {"debate_ids": ["a"] * 101},
                 {"debate_ids": ["a"], "format": "pdf"},
                 {"debate_ids": ["a b"]}):
        assert stack.post("/api/debates/export/batch",
                          body).status_code == 400
    assert stack.get("/api/debates/export/batch/none/status",
                     check=False).status_code == 404


# ---- keys and pages ----

def test_keys_of_all_that_makes(stack):
    """The same request once, by whichever route; another is refused."""
    i = waiting(stack)
    for n, (path, body) in enumerate([
            ("/api/debates", {"task": "Key?", "agents": AGENTS}),
            ("/api/debate", {"task": "Key?", "agents": AGENTS}),
            ("/api/debate-this", {"question": "Key?"}),
            (f"/api/debates/{i}/fork", {}),
            (f"/api/debates/{i}/clone", {}),
            (f"/api/debates/{i}/notes", {"note": "n"}),
            (f"/api/debates/{i}/user-input", {"input": "Hm."}),
            (f"/api/debates/{i}/evidence", {"evidence": "e"}),
            ("/api/batch", {"items": [{"task": "x", "agents": AGENTS}]})]):
        headers = {"Idempotency-Key": f"all-{n}"}
        before = stack.get("/api/debates?limit=1")["total"]
        first = stack.post(path, body, headers=headers)
        assert first.status_code in (200, 201), first.text
        assert "Idempotent-Replayed" not in first.headers
        again = stack.post(path, body, headers=headers)
        assert again.status_code == first.status_code
        assert again.json() == first.json(), path
        assert again.headers["Idempotent-Replayed"] == "true"
        made = stack.get("/api/debates?limit=1")["total"] - before
        assert made <= 1
        other = stack.post(path, {**body, "more": 1}, headers=headers)
        assert other.status_code == 409, path
        assert other.json()["code"] == "CONFLICT"
        # The key is of this place too.
        other = stack.post("/api/debates/archive/batch", body,
                           headers=headers)
        assert other.status_code == 409
    bad = stack.post("/api/debates", {"task": "x"},
                     headers={"Idempotency-Key": "a b"})
    assert bad.status_code == 400
    assert bad.json()["errors"][0]["field"] == "Idempotency-Key"


def test_key_of_another_tenant(url):
    with st.Stack(database_url=url, runners=0) as s:
        ours, theirs = token(s, "ours"), token(s, "theirs")
        made = [s.post("/api/debates", {"task": "x", "agents": AGENTS},
                       headers={**who, "Idempotency-Key": "same"})
                for who in (ours, theirs, ours)]
        ids = [r.json()["debate_id"] for r in made]
        assert ids[0] == ids[2] != ids[1]


def test_key_lives_a_day(url):
    """A runner forgets it after that."""
    with st.Stack(database_url=url, runners=0) as s:
        body, key = {"task": "x", "agents": AGENTS}, {"Idempotency-Key": "k"}
        first = s.post("/api/debates", body, headers=key).json()
        day = 86_400_000_000
        execute(s, f"UPDATE request_keys SET created_us = created_us - {day}")
        second = s.post("/api/debates", body, headers=key).json()
        assert second["debate_id"] != first["debate_id"]
        execute(s, f"UPDATE request_keys SET created_us = created_us - {day}")
        s.start_runner()
        st.wait_for("sweep", lambda: not s.rows("SELECT ref FROM "
                                                "request_keys"))


@pytest.mark.parametrize("query", [
    "", "order_by=confidence&", "order_by=duration&order_dir=asc&",
    "order_dir=asc&", "status=pending&", "domain=general&", "q=page&"])
def test_pages_while_debates_come_and_go(stack, query):
    """By cursor each row that was there comes once, in order, whatever is
    added in front or taken away meanwhile."""
    for k in range(7):
        waiting(stack, task=f"Which page is {k}?")
    wanted, page = [], {"has_more": True}
    while page["has_more"]:
        page = stack.get(f"/api/debates?{query}limit=100&"
                         f"offset={len(wanted)}")
        wanted += [d["id"] for d in page["debates"]]
    size = len(wanted) // 3
    seen, added, cursor = [], set(), ""
    while cursor is not None:
        page = stack.get(f"/api/debates?{query}limit={size}{cursor}")
        assert page["offset"] == len(seen) and page["limit"] == size
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not seen:  # a row of the first page goes
            gone = next((d["id"] for d in page["debates"]
                         if d["status"] == "pending"), None)
            if gone:
                assert httpx.delete(stack.url(f"/api/debates/{gone}"),
                                    trust_env=False).status_code == 200
        seen += [d["id"] for d in page["debates"]]
        added.add(waiting(stack, task="Which page is new?"))
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert len(added) < 20
    assert [i for i in seen if i not in added] == wanted
    assert stack.get("/api/debates?cursor=1~2", check=False).status_code == 400


def test_pages_of_a_search(stack):
    for k in range(5):
        waiting(stack, task=f"Find the walrus {k}")
    wanted = [r["id"] for r in stack.get("/api/search?q=walrus")["results"]]
    first = stack.get("/api/search?q=walrus&limit=2")
    waiting(stack, task="Find the walrus again")
    seen, page = [], first
    while True:
        seen += [r["id"] for r in page["results"]]
        if not page["next_cursor"]:
            break
        page = stack.get("/api/search?q=walrus&limit=2&cursor="
                         + page["next_cursor"])
    assert seen == wanted


def test_pages_of_matches(url):
    with st.Stack(database_url=url, runners=0) as s:
        def rated(*times):
            for t in times:
                execute(s, "INSERT INTO matches (debate_id, tenant, domain, "
                           "winner, source, confidence, players, rounds, "
                           "duration_us, created_us) VALUES "
                           f"('m{t}', 'default', 'x', 'demo', 'votes', 5, "
                           f"'[]', 1, 1, {t})")
        rated(1, 2, 3, 4, 5)
        seen, query, new = [], "?limit=2", 6
        while query:
            page = s.get("/api/matches/recent" + query)
            assert page["offset"] == len(seen)
            seen += [m["debate_id"] for m in page["matches"]]
            assert page["total"] == 5
            rated(new)
            new += 1
            query = page["next_cursor"] and \
                f"?limit=2&cursor={page['next_cursor']}"
        assert seen == ["m5", "m4", "m3", "m2", "m1"]


def test_revision_guards_every_change(stack):
    """Who changes over an older state is told."""
    i = waiting(stack)
    d = stack.get(f"/api/debates/{i}")
    one = httpx.patch(stack.url(f"/api/debates/{i}"), json={"title": "A"},
                      headers={"If-Match": f'"{d["revision"]}"'},
                      trust_env=False)
    two = httpx.patch(stack.url(f"/api/debates/{i}"), json={"title": "B"},
                      headers={"If-Match": f'"{d["revision"]}"'},
                      trust_env=False)
    assert one.status_code == 200 and two.status_code == 412
    assert stack.get(f"/api/debates/{i}")["title"] == "A"
