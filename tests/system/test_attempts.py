# SPDX-License-Identifier: MIT
"""Each request to a provider is on record, the ones that failed, that were
made elsewhere, that lost a race and that were never sent as well."""
import collections

import pytest

import stack as st

BODY = {"task": "Is water wet?", "rounds": 1, "seed": 4,
        "consensus": "majority"}


@pytest.fixture(name="make")
def fixture_make(request):
    def make(database="sqlite", **kw):
        url = request.getfixturevalue("postgres").database() \
            if database == "postgresql" else None
        return st.Stack(database_url=url, stub=True, **kw)
    return make


def calls(s, debate_id):
    """The attempts of each step, in order, and their sum."""
    answer = s.get(f"/api/debates/{debate_id}/calls")
    steps = collections.defaultdict(list)
    for c in sorted(answer["calls"], key=lambda c: c["attempt"]):
        steps[c["step"]].append(c)
    for step, tries in steps.items():
        assert [c["attempt"] for c in tries] == \
            list(range(1, len(tries) + 1)), step
        assert len({c["request_hash"] for c in tries}) == 1
    assert answer["total"] == len(answer["calls"])
    return steps, answer["usage"]


def ended(s, agents, status="completed", **body):
    debate_id = s.create(**{**BODY, "agents": agents, **body})
    assert s.wait_end(debate_id)["status"] == status
    return debate_id


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_retries(make, database):
    """The stub and the rows tell of the same requests."""
    with make(database) as s:
        before = s.stub_requests()["total"]
        debate_id = ended(s, ["openai-api|stub-cut", "openai-api|stub-429",
                              "openai-api|stub-ok", "openai-api|stub-ok"])
        steps, usage = calls(s, debate_id)
        assert s.stub_requests()["total"] - before == usage["sent"]
        cut = steps["1/propose/openai-api/"]
        refused = steps["1/propose/openai-api_2/"]
        good = steps["1/propose/openai-api_3/"]
        assert [c["kind"] for c in cut] == ["first", "retry", "retry"]
        assert {c["state"] for c in cut + refused} == {"failed"}
        assert {c["error_class"] for c in cut} == {"partial"}
        assert all(c["tokens_out"] > 0 and c["usage_estimated"] for c in cut)
        assert {c["http_status"] for c in refused} == {429}
        assert all(c["tokens_in"] == c["tokens_out"] == 0 for c in refused)
        assert [c["state"] for c in good] == ["answered"]
        assert not good[0]["usage_estimated"] and good[0]["tokens_out"] > 0
        turn = s.rows("SELECT tokens_in, tokens_out, attempt FROM turns WHERE "
                      "step_key = '1/propose/openai-api/'")[0]
        assert turn == (sum(c["tokens_in"] for c in cut),
                        sum(c["tokens_out"] for c in cut), 3)
        assert usage["repeated"] == sum(len(t) - 1 for t in steps.values())
        assert usage["possibly_billed"] == 0
        assert s.get("/api/debates/none/calls", check=False).status_code == 404


def test_fallback(make):
    """No money here: the same model at OpenRouter, as an attempt of its own
    under the name of who was asked."""
    with make(OPENROUTER_API_KEY="sk-planted-or",
              ANTHROPIC_API_KEY="sk-planted-anthropic") as s:
        debate_id = ended(s, ["anthropic-api|stub-402", "demo|fast",
                              "demo|fast"])
        steps, _ = calls(s, debate_id)
        tries = steps["1/propose/anthropic-api/"]
        assert [(c["kind"], c["provider"], c["model"]) for c in tries] == [
            ("first", "anthropic", "stub-402"),
            ("fallback", "openrouter", "anthropic/stub-402")]
        assert {c["error_class"] for c in tries} == {"quota"}


def test_hedge(make):
    """Both requests are on record: the one that was heard and the other."""
    with make(ARAGORA_LLM_HEDGE_AFTER="100",
              ARAGORA_LLM_PRICES="openai/stub-slow-ttfb=1/2") as s:
        before = s.stub_requests()["total"]
        debate_id = ended(s, ["openai-api|stub-slow-ttfb"],
                          consensus="none",
                          protocol={"preset": "single"})
        steps, usage = calls(s, debate_id)
        assert s.stub_requests()["total"] - before == usage["sent"] == \
            2 * len(steps)
        for tries in steps.values():
            assert [c["kind"] for c in tries] == ["first", "hedge"]
            assert sorted(c["state"] for c in tries) == \
                ["answered", "dropped"]
            assert [c["possibly_billed"] for c in tries] == \
                [c["state"] == "dropped" for c in tries]
            assert all(c["tokens_in"] > 0 and c["cost_usd"] > 0
                       for c in tries)
        assert usage["possibly_billed"] == len(steps)


def test_unsent(make):
    """After a few refusals the agent is paused: what follows is not asked."""
    with make() as s:
        debate_id = ended(s, ["openai-api|stub-401", "demo|fast",
                              "demo|fast"])
        steps, usage = calls(s, debate_id)
        states = collections.Counter(
            c["state"] for t in steps.values() for c in t)
        assert states["unsent"] > 0
        assert usage["sent"] == sum(states.values()) - states["unsent"]
        for c in (c for t in steps.values() for c in t):
            if c["state"] == "unsent":
                assert c["tokens_in"] == c["tokens_out"] == 0
                assert "http_status" not in c


def test_cancelled(make):
    """What was under way is cut off, and may be billed."""
    with make() as s:
        debate_id = s.create(**{**BODY, "agents": [
            "openai-api|stub-idle", "openai-api|stub-idle"]})
        st.wait_for("questions",
                    lambda: s.stub_requests()["total"] == 2)
        assert {c["state"] for t in calls(s, debate_id)[0].values()
                for c in t} == {"started"}
        assert s.post(f"/api/debates/{debate_id}/cancel").status_code == 200
        steps, usage = calls(s, debate_id)
        assert {c["state"] for t in steps.values() for c in t} == {"lost"}
        assert usage["possibly_billed"] == 2
