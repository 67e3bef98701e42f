# SPDX-License-Identifier: MIT
"""Budgets: of one debate, of a tenant over two runners and a killed one; and
cancelling, which closes what the providers send."""
import json
import os
import signal
import socket
import subprocess

import pytest

import stack as st
from test_replay import check_identical

# Micro-dollars per token, so that sums are whole.
PRICE_IN, PRICE_OUT = 2, 10
PRICES = ",".join(f"openai/{m}={PRICE_IN}/{PRICE_OUT}"
                  for m in ("stub-ok", "stub-slow@40"))
ASK = {"agents": ["openai-api|stub-ok"] * 3, "rounds": 3, "seed": 4,
       "consensus": "majority", "protocol": {"early_stopping": False}}


@pytest.fixture(name="url", params=["sqlite", "postgresql"])
def fixture_url(request):
    return request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None


def make(url, **env):
    return st.Stack(database_url=url, stub=True, ARAGORA_LLM_PRICES=PRICES,
                    ARAGORA_LLM_MAX_TOKENS="400", **env)


def counted(s):
    """(micro-dollars, tokens) of all that the stub has answered."""
    calls = [json.loads(line) for line in open(s.stub_log, encoding="utf-8")]
    return (sum(c["tokens_in"] * PRICE_IN + c["tokens_out"] * PRICE_OUT
                for c in calls),
            sum(c["tokens_in"] + c["tokens_out"] for c in calls))


def usage(s, scope="tenant", period="day"):
    return next(b for b in s.get("/api/tenants/default/usage")["budgets"]
                if (b["scope"], b["period"]) == (scope, period))


def micro(dollars):
    return round(dollars * 1000000)


def end_of(s, kind, budget):
    before = counted(s)
    key = {"usd": "budget_limit_usd", "tokens": "budget_limit_tokens"}[kind]
    limit = budget / 1000000 if kind == "usd" else budget
    debate_id = s.create(**ASK, **{key: limit})
    d = s.wait_end(debate_id)
    after = counted(s)
    return debate_id, d, (after[0] - before[0], after[1] - before[1])


@pytest.mark.parametrize("kind", ["usd", "tokens"])
def test_one_debate(kind):
    """Half of what it would take: it ends with an answer, within."""
    with make(None) as s:
        debate_id = s.create(**ASK)
        s.wait_end(debate_id)
        whole = counted(s)[kind == "tokens"]
        costs = s.get(f"/api/debates/{debate_id}/costs")
        assert micro(costs["cost_usd"]) == counted(s)[0]
        assert costs["tokens_in"] + costs["tokens_out"] == counted(s)[1]
        assert set(costs["agents"]) == {"openai-api", "openai-api_2",
                                        "openai-api_3"}
        stopped = 0
        for budget in (whole * 6 // 10, whole * 8 // 10, whole * 8):
            debate_id, d, spent = end_of(s, kind, budget)
            assert d["status"] == "completed" and d["final_answer"]
            assert spent[kind == "tokens"] <= budget
            events = s.events(debate_id)
            assert sum(e["type"] == "synthesis" for e in events) == 1
            told = [e["data"]["action"] for e in events
                    if e["type"] == "budget"]
            is_stopped = d["budget"]["stopped_by"] == "budget"
            assert ("stopped" in told) == is_stopped
            stopped += is_stopped
            if budget == whole * 8:
                assert not told and spent[kind == "tokens"] == whole
            assert micro(d["budget"]["spent_usd"]) == spent[0]
            assert d["budget"]["spent_tokens"] == spent[1]
            check_identical(s, debate_id)
        assert stopped > 0


def test_refused():
    """Too little for any answer; and no price to count with."""
    with make(None) as s:
        r = s.post("/api/debates", {"task": "Tea?", **ASK,
                                    "budget_limit_usd": 0.0001})
        assert r.status_code == 400, r.text
        assert r.json()["field"] == "budget_limit_usd"
        assert "at least" in r.json()["errors"][0]["message"]
        r = s.post("/api/debates", {
            "task": "Tea?", "agents": ["openai-api|no-such-model"] * 2,
            "budget_limit_usd": 1})
        assert r.status_code == 400, r.text
        assert "no-such-model" in r.text or "price" in r.text
        assert s.stub_requests()["total"] == 0


def test_tenant(url):
    """Two runners, one budget: what is asked for is granted until it is used
    up, what was granted is never exceeded."""
    with make(url, ARAGORA_TENANT_BUDGET_TOKENS_DAY="60000") as s:
        s.start_runner()
        made, refused = [], None
        for _ in range(30):
            r = s.post("/api/debates", {"task": "Tea?", **ASK,
                                        "budget_limit_tokens": 15000})
            if r.status_code == 402:
                refused = r.json()
                break
            assert r.status_code == 201, r.text
            made.append(r.json()["debate_id"])
        assert refused["code"] == "QUOTA_EXCEEDED", refused
        assert refused["limit"] == 60000 and refused["unit"] == "tokens"
        assert refused["used"] + refused["remaining"] == 60000
        assert refused["resets_at"] > "20"
        for debate_id in made:
            d = s.wait_end(debate_id)
            assert d["status"] == "completed"
            assert d["budget"]["spent_tokens"] <= 15000
            check_identical(s, debate_id)
        use = usage(s)
        assert use["held_tokens"] == 0
        assert use["spent_tokens"] == counted(s)[1] <= 60000
        assert micro(use["spent_usd"]) == counted(s)[0]
        # What they did not take is there for another, as far as it goes.
        left = 60000 - use["spent_tokens"]
        r = s.post("/api/debates", {"task": "Tea?", **ASK})
        assert r.status_code == (201 if left >= refused["needed"] else 402)
        if r.status_code == 201:
            d = s.wait_end(r.json()["debate_id"])
            assert d["budget"]["limit_tokens"] == left
        assert usage(s)["spent_tokens"] <= 60000


def test_killed_runner(url):
    """Its debates keep their parts, and give them back at their end."""
    with make(url, ARAGORA_TENANT_BUDGET_USD_MONTH="5") as s:
        ask = {**ASK, "agents": ["openai-api|stub-slow@40"] * 3,
               "rounds": 1, "budget_limit_usd": 0.5}
        done, dropped = s.create(**ask), s.create(**ask)
        st.wait_for("calls", lambda: s.stub_requests()["total"] >= 6)
        os.kill(s.runners[0].pid, signal.SIGKILL)
        s.runners[0].wait()
        assert micro(usage(s, period="month")["held_usd"]) == 1000000
        assert s.post(f"/api/debates/{dropped}/cancel").status_code == 200
        # The calls that were under way count as if they had used all.
        use = usage(s, period="month")
        assert micro(use["held_usd"]) == 500000
        assert 0 < micro(use["spent_usd"]) <= 500000
        spent = micro(use["spent_usd"])
        s.start_runner()
        d = s.wait_end(done)
        assert d["status"] == "completed"
        use = usage(s, period="month")
        assert use["held_usd"] == 0
        assert micro(use["spent_usd"]) == spent + micro(
            d["budget"]["spent_usd"])


@pytest.mark.parametrize("redis", [False, True])
def test_cancel_closes(redis):
    """The provider sees its connections end, all of them."""
    with st.Stack(stub=True, redis=redis) as s:
        debate_id = s.create(agents=["openai-api|stub-slow@1000"] * 3,
                             rounds=1)
        st.wait_for("calls", lambda: s.stub_requests()["total"] == 3)
        assert s.post(f"/api/debates/{debate_id}/cancel").status_code == 200
        st.wait_for("closed connections",
                    lambda: s.stub_requests()["client_closed"] == 3)
        assert s.stub_requests()["total"] == 3


def ring(s, text):
    """A message of the local bus to all who listen, from nobody."""
    folder = os.path.join(s.data, "bus")
    for name in os.listdir(folder):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as c:
            c.connect(os.path.join(folder, name))
            c.send(text)


def test_told_wrongly():
    """Somebody says that a debate is over, and it is not: its calls are
    dropped at once, without a look at the database, and made again."""
    with st.Stack(stub=True) as s:
        debate_id = s.create(agents=["openai-api|stub-slow@20"] * 3,
                             rounds=1, consensus="majority")
        st.wait_for("calls", lambda: s.stub_requests()["total"] == 3)
        ring(s, b" 0\n" + debate_id.encode())
        st.wait_for("closed connections",
                    lambda: s.stub_requests()["client_closed"] == 3)
        d = s.wait_end(debate_id)
        assert d["status"] == "completed"
        st.check_sequence(s.events(debate_id))
        check_identical(s, debate_id)


def test_command_keeps_budget():
    """`aragora debate` asks for its part too."""
    with make(None, ARAGORA_TENANT_BUDGET_TOKENS_DAY="10") as s:
        r = subprocess.run([s.program("aragora"), "debate", "Tea?",
                            "--agents", "demo,demo"], env=s.env,
                           capture_output=True, text=True, check=False)
        assert r.returncode != 0
        assert "budget" in r.stderr, r.stderr
