# SPDX-License-Identifier: MIT
"""Kept answers over real workers, runners and hosts: nobody who has seen a
debate end sees older ratings, tenants share nothing, Redis may go; and reads
that are asked for again are answered 304."""
import json
import signal

import fcgi_stack as fs
import httpx
import jwt_kit as jwt
import pytest
import stack as st

AGENTS = ["openai-api", "anthropic-api", "gemini"]
KEYS = {"OPENAI_API_KEY": "sk-planted-1", "ANTHROPIC_API_KEY": "sk-planted-2",
        "GEMINI_API_KEY": "sk-planted-3"}
BOARD = "/api/leaderboard"
ASKS = 12  # of both workers
DEBATES = 4


def question(i):
    """The first seat is always right."""
    seats = [f"{name}|stub-arith:{p}" for name, p in zip(AGENTS, (1, 0, 0))]
    return {"task": f"What is {i + 11} + {2 * i + 30}?", "agents": seats,
            "rounds": 1, "seed": i, "consensus": "majority",
            "domain": "storage"}


class Stack(st.Stack):
    """Asks its workers over connections of their own, so that each answers
    now and then."""

    def ask(self, path, **kw):
        return httpx.get(self.url(path), trust_env=False, timeout=st.WAIT,
                         **kw)

    def board(self, **kw):
        r = self.ask(BOARD, **kw)
        assert r.status_code == 200, r.text
        return r

    def warm(self):
        st.wait_for("a kept board", lambda: all(
            self.board().headers["X-Cache"] == "HIT" for _ in range(ASKS)))


def games(r):
    return max((a["games"] for a in r.json()["rankings"]), default=0)


def check_fresh(asked, driven):
    """A debate is asked for and driven on one host, and seen on another."""
    played = games(driven.board())
    for i in range(DEBATES):
        asked.warm()
        won = asked.wait_end(driven.create(**question(i)))["winner"]
        boards = [asked.board() for _ in range(ASKS)]
        played += won is not None
        assert [games(b) for b in boards] == [played] * ASKS
    assert played > 0
    assert "HIT" in {b.headers["X-Cache"] for b in boards}


@pytest.mark.parametrize("redis", [False, True], ids=["host", "redis"])
def test_fresh_after_a_debate(redis):
    with Stack(redis=redis, stub=True, **KEYS) as s:
        check_fresh(s, s)
        # What goes with a debate goes from the views as well.
        assert s.ask("/api/debates/analytics/consensus?period=all") \
            .json()["total_debates"] == DEBATES
        debate = s.ask("/api/debates").json()["items"][0]["debate_id"]
        assert httpx.delete(s.url(f"/api/debates/{debate}"),
                            trust_env=False).status_code == 200
        for _ in range(ASKS):
            assert s.ask("/api/debates/analytics/consensus?period=all") \
                .json()["total_debates"] == DEBATES - 1


def test_fresh_on_another_host(postgres):
    url = postgres.database()
    with Stack(database_url=url, redis=True, stub=True, **KEYS) as one:
        shared = {"ARAGORA_REDIS_URL": one.env["ARAGORA_REDIS_URL"], **KEYS}
        with Stack(database_url=url, runners=0, **shared) as other:
            check_fresh(other, one)


def test_redis_goes_and_comes():
    with Stack(redis=True, stub=True, **KEYS) as s:
        s.wait_end(s.create(**question(1)))
        s.warm()
        for _ in range(2):
            s.stop_redis()
            for _ in range(ASKS):
                assert games(s.board()) == 1
            # Known to be away, it is not waited for, and each worker keeps
            # for itself.
            st.wait_for("a kept board", lambda: s.board()
                        .headers["X-Cache"] == "HIT")
            s.start_redis()
            s.warm()
        s.processes["redis"].send_signal(signal.SIGSTOP)
        for _ in range(ASKS):
            assert games(s.board()) == 1
        s.processes["redis"].send_signal(signal.SIGCONT)
        s.warm()


def test_tenants_share_nothing():
    with Stack(stub=True, ARAGORA_SUPABASE_JWT_SECRET=jwt.SECRET,
               **KEYS) as s:
        keys = {t: {"Authorization": "Bearer " + jwt.hs256(jwt.claims(
            sub=f"user-of-{t}", tenant=t))} for t in ("red", "blue")}
        r = s.post("/api/debates", question(3), headers=keys["red"])
        debate = r.json()["debate_id"]
        path = f"/api/debates/{debate}"
        st.wait_for("its end", lambda: s.ask(path, headers=keys["red"])
                    .json()["status"] == "completed")
        for _ in range(ASKS):
            assert games(s.board(headers=keys["red"])) == 1
            assert games(s.board(headers=keys["blue"])) == 0
            assert s.ask(BOARD).status_code == 401
            # Open to all, but not what is known of a tenant.
            agent = "/api/agents/openai-api"
            assert s.ask(agent, headers=keys["red"]).json()["games"] == 1
            assert s.ask(agent, headers=keys["blue"]).json()["games"] == 0
            assert s.ask(agent).json()["games"] == 0
            for kept in (path, f"{path}/summary"):
                assert s.ask(kept, headers=keys["red"]).status_code == 200
                assert s.ask(kept).status_code == 401
            assert s.ask(path, headers=keys["blue"]).status_code == 404
            assert s.ask(f"{path}/summary", headers=keys["blue"]) \
                .status_code == 404
        # The tag of one is of no use to the other.
        tag = s.board(headers=keys["red"]).headers["ETag"]
        known = {"If-None-Match": tag}
        assert s.ask(BOARD, headers={**keys["red"], **known}) \
            .status_code == 304
        assert s.ask(BOARD, headers={**keys["blue"], **known}) \
            .status_code == 200


# ---- on one stack ----

@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with Stack(stub=True, **KEYS) as s:
        s.debate = s.create(**question(5))
        s.wait_end(s.debate)
        yield s


def test_names_of_answers(stack):
    """By what a handler declares: other parameters make no other answer, and
    each of its own does."""
    stack.warm()
    for path in ("?nonsense=1", "?limit=20&x=y", "?offset=0"):
        st.wait_for(path, lambda p=path: stack.ask(BOARD + p)
                    .headers["X-Cache"] == "HIT")
    assert [len(stack.ask(f"{BOARD}?limit={n}").json()["rankings"])
            for n in (1, 2, 1, 2)] == [1, 2, 1, 2]
    assert stack.ask(f"{BOARD}?domain=x").json()["rankings"] == []
    assert stack.ask("/api/agent/gemini/profile").json()["name"] == "gemini"
    assert stack.ask("/api/agent/openai-api/profile").json()["name"] == \
        "openai-api"
    # One handler under several names is one answer.
    st.wait_for("the alias", lambda: stack.ask("/api/v1/rankings")
                .headers["X-Cache"] == "HIT")
    # Errors are not kept.
    for _ in range(3):
        r = stack.ask("/api/agent/nobody/profile")
        assert r.status_code == 404 and r.headers["X-Cache"] == "MISS"
        r = stack.ask(f"{BOARD}?min_debates=x")
        assert r.status_code == 400 and r.headers["X-Cache"] == "MISS"
    # With an origin too, and only then with its headers.
    origin = {"Origin": "http://localhost:3000"}
    r = stack.ask(BOARD, headers=origin)
    assert r.headers["X-Cache"] == "HIT"
    assert r.headers["Access-Control-Allow-Origin"] == origin["Origin"]
    assert "Access-Control-Allow-Origin" not in stack.ask(BOARD).headers


REPEATED = [
    "/api/debates", "/api/debates?limit=1", "/api/history/debates",
    "/api/debates/archived", "/api/debates/statistics",
    "/api/debates/analytics/consensus", "/api/dashboard/debates",
    "/api/rankings", "/api/leaderboard", "/api/leaderboard-view",
    "/api/leaderboard/movers", "/api/ranking/stats", "/api/matches/recent",
    "/api/agents", "/api/agents/openai-api", "/api/agents/stats",
    "/api/agents/availability", "/api/agent/openai-api/profile",
    "/api/agent/openai-api/history", "/api/flips/recent",
    "/api/capabilities", "/api/openapi.json", "/api/docs", "/api/debates/{}",
    "/api/debates/{}/messages", "/api/debates/{}/events",
    "/api/debates/{}/rounds", "/api/debates/{}/votes",
    "/api/debates/{}/summary", "/api/debates/{}/consensus",
    "/api/debates/{}/timeline", "/api/debates/{}/convergence",
    "/api/debates/{}/costs", "/api/debates/{}/calls",
    "/api/debates/{}/receipt", "/api/debates/{}/export",
    "/api/debates/{}/export?format=csv&table=votes",
    "/api/debates/{}/export/markdown"]


@pytest.mark.parametrize("path", REPEATED)
def test_not_modified(stack, path):
    path = path.format(stack.debate)
    first = stack.ask(path)
    tag = first.headers["ETag"]
    assert first.status_code == 200 and first.content
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in first.headers["Vary"]
    again = stack.ask(path)
    assert again.headers["ETag"] == tag
    if not tag.startswith("W/"):
        assert again.content == first.content
    for known in (tag, f'"other", {tag}', f"W/{tag.removeprefix('W/')}",
                  f'W/"a",{tag} , "b"', "*"):
        r = stack.ask(path, headers={"If-None-Match": known})
        assert r.status_code == 304 and not r.content, known
        assert r.headers["ETag"] == tag
        assert r.headers["Cache-Control"] == "private, no-cache"
    for other in ('"other"', tag.strip('"'), tag[:-2] + '"', "nonsense", ",",
                  '"', 'W/', f'"{tag}"'):
        r = stack.ask(path, headers={"If-None-Match": other})
        assert r.status_code == 200 and r.content, other
    r = httpx.head(stack.url(path), trust_env=False,
                   headers={"If-None-Match": tag})
    assert r.status_code == 304
    r = httpx.head(stack.url(path), trust_env=False)
    assert r.status_code == 200 and r.headers["ETag"] == tag


@pytest.mark.parametrize("path", [
    "/healthz", "/readyz", "/api/health", "/api/health/detailed", "/metrics",
    "/api/rate-limits", "/api/search?q=what"])
def test_never_kept(stack, path):
    r = stack.ask(path, headers={"If-None-Match": "*"})
    assert r.status_code == 200 and r.content
    assert "ETag" not in r.headers
    assert r.headers["Cache-Control"] == "no-store"


def test_writes_are_no_reads(stack):
    r = stack.post("/api/debates", {"task": "Tea or coffee?"},
                   headers={"If-None-Match": "*"})
    assert r.status_code == 201
    assert "ETag" not in r.headers
    # Errors too: nobody may keep them.
    r = stack.ask("/api/debates/nothing/summary",
                  headers={"If-None-Match": "*"})
    assert r.status_code == 404 and "ETag" not in r.headers
    assert r.headers["Cache-Control"] == "no-store"
    stack.wait_end(stack.ask("/api/debates").json()["items"][0]["debate_id"])


def test_tags_change(stack):
    """A list, when something comes to it; one debate, when it is changed."""
    lists = stack.ask("/api/debates").headers["ETag"]
    one = stack.create("Walk or ride?", agents=["demo", "demo"], rounds=1)
    assert stack.ask("/api/debates", headers={"If-None-Match": lists}) \
        .status_code == 200
    stack.wait_end(one)
    for part in ("", "/summary", "/export", "/votes"):
        path = f"/api/debates/{one}{part}"
        tag = stack.ask(path).headers["ETag"]
        r = httpx.patch(stack.url(f"/api/debates/{one}"), trust_env=False,
                        json={"title": f"Feet or wheels{part}?"})
        assert r.status_code == 200
        r = stack.ask(path, headers={"If-None-Match": tag})
        assert r.status_code == 200 and r.headers["ETag"] != tag


def test_export_is_what_its_tag_says(stack):
    path = f"/api/debates/{stack.debate}/export"
    raw = stack.ask(path)
    wrapped = stack.ask(path, headers={"Accept": "application/json"})
    assert raw.headers["ETag"] != wrapped.headers["ETag"]
    # It tells when it was made.
    assert wrapped.headers["ETag"].startswith("W/")
    assert not raw.headers["ETag"].startswith("W/")
    for r in (raw, wrapped):
        assert "Accept" in r.headers["Vary"]
        crossed = {"If-None-Match": r.headers["ETag"], "Accept":
                   "application/json" if r is raw else "*/*"}
        assert stack.ask(path, headers=crossed).status_code == 200


def test_summaries(stack):
    one = stack.create("Boat or bridge?", agents=["demo", "demo"], rounds=1)
    path = f"/api/debates/{one}/summary"
    stack.wait_end(one)
    first = stack.ask(path)
    assert first.headers["X-Cache"] == "MISS"
    assert {st.wait_for("it kept", lambda: stack.ask(path)
                        if stack.ask(path).headers["X-Cache"] == "HIT"
                        else None).text} == {first.text}
    httpx.patch(stack.url(f"/api/debates/{one}"), trust_env=False,
                json={"title": "Over or across?"})
    assert stack.ask(path).headers["X-Cache"] == "MISS"
    httpx.delete(stack.url(f"/api/debates/{one}"), trust_env=False)
    for _ in range(ASKS):
        assert stack.ask(path).status_code == 404


def test_debates(stack):
    """What is kept of a finished debate goes with its row: who has changed
    it sees that, whichever worker is asked."""
    one = stack.create("Rope or chain?", agents=["demo", "demo"], rounds=1)
    path = f"/api/debates/{one}"
    assert "X-Cache" not in stack.ask(path).headers  # under way
    stack.wait_end(one)
    kept = st.wait_for("it kept", lambda: stack.ask(path)
                       if stack.ask(path).headers["X-Cache"] == "HIT"
                       else None)
    assert kept.json()["status"] == "completed"
    assert len(kept.json()["messages"]) > 2
    assert {stack.ask(path).text for _ in range(ASKS)} == {kept.text}
    assert stack.ask(path, headers={"If-None-Match": kept.headers["ETag"]}) \
        .status_code == 304
    # Links name the host that was asked for.
    for host in ("one.example", "two.example"):
        for _ in range(ASKS):
            assert stack.ask(path, headers={"Host": host}).json()[
                "websocket_url"] == f"ws://{host}/ws?debate_id={one}"
    for title in ("Bind or shackle?", "Tie or lock?"):
        httpx.patch(stack.url(path), trust_env=False, json={"title": title})
        for _ in range(ASKS):
            r = stack.ask(path)
            assert r.json()["title"] == title
            assert r.headers["ETag"] != kept.headers["ETag"]
    httpx.delete(stack.url(path), trust_env=False)
    for _ in range(ASKS):
        assert stack.ask(path).status_code == 404


def test_figures(stack):
    def read():
        rows = (line.rsplit(" ", 1) for line in
                stack.ask("/metrics").text.splitlines() if line[0] != "#")
        return {name: float(value) for name, value in rows}
    before = read()
    stack.warm()
    after = read()
    ratings = '{kind="ratings"}'
    assert after[f"aragora_cache_hits_total{ratings}"] >= \
        before[f"aragora_cache_hits_total{ratings}"] + ASKS
    assert after["aragora_cache_entries"] > 0
    assert after["aragora_cache_bytes"] > 1000
    for kind in ("ratings", "trending", "summaries", "preferences",
                 "analytics", "debates"):
        for what in ("hits", "misses", "evictions"):
            assert f'aragora_cache_{what}_total{{kind="{kind}"}}' in after


def test_two_workers_by_hand():
    """Each worker by itself: what one of them dropped the other has not."""
    with fs.Stack(spawner=None) as one:
        one.start_workers()
        with fs.Stack(spawner=None) as two:
            two.env["ARAGORA_DATA_DIR"] = one.env["ARAGORA_DATA_DIR"]
            two.start_workers()

            def ask(s, uri, method="GET", body=b""):
                with s.connect() as c:
                    c.sendall(fs.request(uri, method, body, keep=False))
                    return fs.answer(c)
            status, _, body = ask(
                one, "/api/debates", "POST",
                b'{"task": "Tea or coffee?", "agents": ["demo", "demo"]}')
            assert status == 201
            debate = json.loads(body)["debate_id"]
            for _ in range(2):
                for s in (one, two):
                    ask(s, BOARD)
            assert ask(one, BOARD)[1]["X-Cache"] == "HIT"
            assert ask(two, BOARD)[1]["X-Cache"] == "HIT"
            assert ask(one, f"/api/debates/{debate}", "DELETE")[0] == 200
            assert ask(two, BOARD)[1]["X-Cache"] == "MISS"
            assert ask(one, BOARD)[1]["X-Cache"] == "MISS"
