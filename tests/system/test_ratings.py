# SPDX-License-Identifier: MIT
"""Ratings that real debates leave behind, with two runners of which one is
killed: every board is computed a second time here from the matches alone, and
each view must agree with it."""
import collections
import signal

import jwt_kit as jwt
import pytest
import stack as st

AGENTS = ["openai-api", "anthropic-api", "gemini"]
KEYS = {"OPENAI_API_KEY": "sk-planted-1", "ANTHROPIC_API_KEY": "sk-planted-2",
        "GEMINI_API_KEY": "sk-planted-3"}
START, K, SPREAD = 1500, 32, 400
PROVISIONAL = 10  # games
DEBATES = 24
DOMAINS = ["storage", "kitchen"]


def question(i, **more):
    """Each agent is right with another probability."""
    seats = [f"{name}|stub-arith:{p}" for name, p in zip(
        AGENTS, (0.9, 0.6, 0.3))]
    return {"task": f"What is {i + 11} + {2 * i + 30}?", "agents": seats,
            "rounds": 1, "seed": i, "consensus": "majority",
            "domain": DOMAINS[i % len(DOMAINS)], **more}


def kill_and_replace(s):
    st.end(s.runners.pop(0), signal.SIGKILL)
    s.start_runner()


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True, runners=2, **KEYS) as s:
        ids = [s.create(**question(i)) for i in range(DEBATES)]
        st.wait_for("a match",
                    lambda: s.get("/api/matches/stats")["total_matches"])
        kill_and_replace(s)
        ended = [s.wait_end(i) for i in ids]
        # Who wins nothing plays nothing.
        s.debates = [d for d in ended if d["winner"]]
        s.played = len(s.debates)
        assert s.played > PROVISIONAL
        yield s


def matches(s):
    """All, in the order in which they were rated."""
    found = []
    while True:
        page = s.get(f"/api/matches/recent?limit=10&offset={len(found)}")
        found += page["matches"]
        assert page["total"] == s.played
        if not page["has_more"]:
            return found[::-1]


def expected(a, b):
    return 1 / (1 + 10 ** ((b - a) / SPREAD))


def by_the_formula(match, elo, games):
    """What a match moves on a board: every pair, by the share of what both
    scored; half as far where only one is established."""
    change = dict.fromkeys(match["agents"], 0.0)
    n, scores = len(match["agents"]), match["scores"]
    factor = match["metadata"]["k_multipliers"]
    for a in match["agents"]:
        for b in match["agents"]:
            if a == b:
                continue
            both = scores[a] + scores[b]
            share = scores[a] / both if both else 0.5
            k = K * match["metadata"]["confidence"] * \
                (factor[a] + factor[b]) / 2
            if (games[a] < PROVISIONAL) != (games[b] < PROVISIONAL):
                k /= 2
            change[a] += k * (share - expected(elo[a], elo[b])) / (n - 1)
    return change


def test_one_match_per_debate(stack):
    """However often the killed runner's debates were begun."""
    found = matches(stack)
    assert sorted(m["debate_id"] for m in found) == \
        sorted(d["debate_id"] for d in stack.debates)
    by_id = {d["debate_id"]: d for d in stack.debates}
    for m in found:
        d = by_id[m["debate_id"]]
        assert m["agents"] == m["participants"] == d["agents"]
        assert m["domain"] == d["domain"] and m["winner"] == d["winner"]
        assert stack.get(f"/api/matches/{m['match_id']}") == m


@pytest.mark.parametrize("domain", ["", *DOMAINS])
def test_board_follows_from_its_matches(stack, domain):
    elo = collections.defaultdict(lambda: float(START))
    games = collections.Counter()
    result = {a: collections.Counter() for a in AGENTS}
    for m in matches(stack):
        if domain and m["domain"] != domain:
            continue
        moved = m["metadata"]["domain_elo_changes"] if domain \
            else m["elo_changes"]
        assert sum(round(x * 1000) for x in moved.values()) == 0
        wanted = by_the_formula(m, elo, games)
        for agent, change in moved.items():
            # in thousandths, rounded once for each pair
            assert change == pytest.approx(wanted[agent], abs=0.003)
            elo[agent] += change
            games[agent] += 1
            score = m["scores"][agent]
            result[agent]["wins" if score == 1 else
                          "draws" if score else "losses"] += 1
    board = stack.get(f"/api/rankings?domain={domain}")["rankings"]
    assert {a["name"] for a in board} == set(AGENTS)
    assert sum(round(a["elo"] * 1000) for a in board) == \
        len(AGENTS) * START * 1000
    assert [a["rank"] for a in board] == [1, 2, 3]
    assert sorted(board, key=lambda a: -a["elo"]) == board
    for a in board:
        assert a["elo"] == pytest.approx(elo[a["name"]], abs=1e-6)
        assert a["games"] == games[a["name"]]
        for name in ("wins", "draws", "losses"):
            assert a[name] == result[a["name"]][name]
        assert a["provisional"] is (games[a["name"]] < PROVISIONAL)


def test_agents_differ(stack):
    """Otherwise the above says little."""
    board = stack.get("/api/rankings")["rankings"]
    assert len({a["elo"] for a in board}) == len(AGENTS)
    assert sum(a["wins"] for a in board) == stack.played


@pytest.mark.parametrize("agent", AGENTS)
def test_views_of_an_agent(stack, agent):
    found = matches(stack)
    row = next(a for a in stack.get("/api/rankings")["rankings"]
               if a["name"] == agent)
    profile = stack.get(f"/api/agent/{agent}/profile")
    assert {k: profile[k] for k in ("elo", "rank", "games", "wins")} == \
        {k: row[k] for k in ("elo", "rank", "games", "wins")}
    assert profile["ranking"]["rank"] == row["rank"]
    for path in (f"/api/agent/{agent}/history", f"/api/agents/{agent}/elo",
                 f"/api/leaderboard/agent/{agent}/elo-history"):
        history = stack.get(f"{path}?limit=50")
        assert history["matches"] == history["debates"] == found[::-1]
        assert max(history["history"], key=lambda h: h["timestamp"])[
            "elo"] == pytest.approx(row["elo"])
    play = stack.get(f"/api/agent/{agent}/performance")
    assert play["total_games"] == stack.played
    assert play["elo_trend"][-1] == pytest.approx(row["elo"])
    assert play["wins"] == row["wins"] == sum(
        r["outcome"] == "win" for r in play["recent_results"]) \
        or len(play["recent_results"]) < stack.played
    domains = stack.get(f"/api/agent/{agent}/domains")["domains"]
    assert sum(d["matches"] for d in domains) == stack.played
    for other in AGENTS:
        if other == agent:
            continue
        versus = stack.get(f"/api/agent/{agent}/head-to-head/{other}")
        ahead = sum(m["scores"][agent] > m["scores"][other] for m in found)
        behind = sum(m["scores"][agent] < m["scores"][other] for m in found)
        assert (versus["wins"], versus["losses"]) == (ahead, behind)
        assert versus[f"{agent}_wins"] == ahead
        assert versus["matches"] == stack.played
        both = stack.get(f"/api/leaderboard/compare?agent_a={agent}"
                         f"&agent_b={other}")
        assert (both["agent_a_wins"], both["agent_b_wins"]) == (ahead, behind)


@pytest.mark.parametrize("agent", AGENTS)
def test_calibration_is_that_of_the_ballots(stack, agent):
    """Every ballot stakes its confidence on the answer that it names."""
    stated = [v["confidence"] for d in stack.debates for v in d["votes"]
              if v["agent"] == agent]
    c = stack.get(f"/api/agent/{agent}/calibration")
    assert c["total"] == len(stated) > 0
    assert c["avg_confidence"] == pytest.approx(
        sum(stated) / len(stated), abs=1e-6)
    assert c["accuracy"] == pytest.approx(c["correct"] / c["total"], abs=1e-6)
    assert sum(b["count"] for b in c["buckets"]) == c["total"]
    ece = sum(b["count"] * abs(b["accuracy"] - b["confidence"])
              for b in c["buckets"]) / c["total"]
    assert c["ece"] == pytest.approx(ece, abs=1e-5)
    assert c["calibration_score"] == pytest.approx(1 - c["ece"], abs=1e-5)


def ranked(s, query):
    return [a["name"] for a in s.get(f"/api/rankings?{query}")["rankings"]]


def test_filters_and_orders(stack):
    board = ranked(stack, "")
    assert ranked(stack, "order=asc") == board[::-1]
    assert ranked(stack, "limit=1&offset=1") == board[1:2]
    assert ranked(stack, f"min_debates={stack.played}") == board
    assert not ranked(stack, f"min_debates={stack.played + 1}")
    assert not ranked(stack, "domain=nowhere")
    assert ranked(stack, "period=24h") == board
    wins = {a["name"]: a["wins"] for a in stack.get(
        "/api/rankings")["rankings"]}
    by_wins = ranked(stack, "sort_by=wins")
    assert [wins[n] for n in by_wins] == sorted(wins.values(), reverse=True)
    sources = stack.get("/api/matches/stats")["by_source"]
    assert sources == {"votes": stack.played}
    assert ranked(stack, "source=votes") == board
    assert not ranked(stack, "source=human")
    movers = stack.get("/api/leaderboard/movers")["movers"]
    assert sum(round(m["elo_change"] * 1000) for m in movers) == 0
    up = stack.get("/api/leaderboard/movers?direction=up")["movers"]
    assert up and all(m["elo_change"] > 0 for m in up)


@pytest.mark.parametrize("query,field", [
    ("sort_by=age", "sort_by"), ("order=up", "order"),
    ("period=1y2", "period"), ("min_debates=-1", "min_debates"),
    ("domain=" + "x" * 65, "domain")])
def test_refused(stack, query, field):
    r = stack.get(f"/api/rankings?{query}", check=False)
    assert r.status_code == 400 and r.json()["field"] == field


@pytest.mark.parametrize("path", [
    "/api/agent/nobody/profile", "/api/agent/nobody/calibration",
    "/api/agent/openai-api/head-to-head/nobody", "/api/matches/adhoc_none",
    "/api/agents/nobody/elo"])
def test_unknown(stack, path):
    r = stack.get(path, check=False)
    assert r.status_code == 404 and r.json()["code"] == "NOT_FOUND"


def of_tenant(name):
    token = jwt.hs256(jwt.claims(sub=f"user-of-{name}", tenant=name))
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_tenants_have_boards_of_their_own(database, request):
    url = request.getfixturevalue("postgres").database() \
        if database == "postgresql" else None
    with st.Stack(database_url=url, stub=True,
                  ARAGORA_SUPABASE_JWT_SECRET=jwt.SECRET, **KEYS) as s:
        for tenant, n in (("one", 2), ("two", 1)):
            for i in range(n):
                r = s.post("/api/debates", question(i), **of_tenant(tenant))
                assert r.status_code == 201, r.text
        st.wait_for("matches", lambda: all(
            s.get("/api/matches/stats", **of_tenant(t))["total_matches"] == n
            for t, n in (("one", 2), ("two", 1))))
        seen = {}
        for tenant, n in (("one", 2), ("two", 1), ("three", 0)):
            board = s.get("/api/rankings", **of_tenant(tenant))["rankings"]
            assert {a["games"] for a in board} == ({n} if n else set())
            seen[tenant] = {m["match_id"] for m in s.get(
                "/api/matches/recent", **of_tenant(tenant))["matches"]}
            assert len(seen[tenant]) == n
        for match in seen["one"]:
            r = s.get(f"/api/matches/{match}", check=False, **of_tenant("two"))
            assert r.status_code == 404
