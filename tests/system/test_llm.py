# SPDX-License-Identifier: MIT
"""Debates against the model stub, in every provider's dialect: ordinary answers
and the ways providers fail, with the calls counted at the stub."""
import asyncio
import json
import time

import pytest

import stack as st

# Calls of one debate of two agents in one round decided by majority: two
# proposals, two critiques, two revisions, two ballots, one synthesis.
CALLS = 9


@pytest.fixture(name="stack", scope="module")
def fixture_stack():
    with st.Stack(stub=True, ARAGORA_LLM_MAX_ATTEMPTS="3",
                  ARAGORA_LLM_IDLE_TIMEOUT="2",
                  ARAGORA_AGENT_TIMEOUT="30") as s:
        yield s


def debate(s, model, n=2, **body):
    """The finished debate, its events, and what the stub saw of it."""
    before = s.stub_requests()["total"]
    body.setdefault("consensus", "majority")
    body.setdefault("rounds", 1)
    debate_id = s.create("Is water wet?",
                         agents=[f"openai-api|{model}"] * n, **body)
    d = s.wait_end(debate_id)
    events = s.events(debate_id)
    st.check_sequence(events)
    return d, events, s.stub_requests()["total"] - before


def errors(events):
    return [e for e in events if e["type"] == "agent_error"]


@pytest.mark.parametrize("model", [
    "stub-ok", "stub-slow", "stub-split", "stub-nousage", "stub-bigline"])
def test_whole_answers(stack, model):
    d, events, calls = debate(stack, model)
    assert d["status"] == "completed"
    assert not errors(events)
    assert d["final_answer"] and len(d["votes"]) == 2
    assert calls == CALLS


def test_split_says_the_same(stack):
    """One byte at a time makes no difference to what is understood."""
    whole, _, _ = debate(stack, "stub-ok", seed=4)
    split, _, _ = debate(stack, "stub-split", seed=4)
    texts = [[m["content"] for m in sorted(
        d["messages"], key=lambda m: (m["phase"], m["agent"]))]
        for d in (whole, split)]
    assert [len(t) for t in texts] == [5, 5]
    assert all(text.strip() for t in texts for text in t)


def test_streams(stack):
    debate_id = stack.create(
        "Is water wet?", agents=["openai-api|stub-slow"] * 2, rounds=1)
    messages = asyncio.run(stack.watch(debate_id))
    deltas = {}
    for m in messages:
        if m["type"] == "token_delta":
            deltas.setdefault(m["agent"], []).append(m["data"]["delta"])
    assert deltas and all(len(x) > 1 for x in deltas.values())
    proposal = next(m for m in messages if m["type"] == "agent_message")
    streamed = "".join(deltas[proposal["agent"]])
    assert streamed.startswith(proposal["data"]["content"][:20])


def test_retried_once(stack):
    """A 500 is tried again: one answer each, and one call more each."""
    d, events, calls = debate(stack, "stub-500x1")
    assert d["status"] == "completed" and not errors(events)
    assert calls == 2 * CALLS


def test_rate_limited(stack):
    """429 with Retry-After twice, then the answer."""
    d, events, calls = debate(stack, "stub-429x2-ra1")
    assert d["status"] == "completed" and not errors(events)
    assert calls == 3 * CALLS


@pytest.mark.parametrize("model,kind,attempts", [
    ("stub-quota", "quota", 1), ("stub-401", "auth", 1),
    ("stub-402", "quota", 1), ("stub-ctx", "bad_request", 1),
    ("stub-refuse", "refusal", 1), ("stub-redirect", None, None)])
def test_hopeless(stack, model, kind, attempts):
    """What another try cannot mend is not tried again; a debate of nobody
    fails and says why."""
    d, events, calls = debate(stack, model)
    assert d["status"] == "failed"
    assert d["error"] == "insufficient_participation"
    assert len(errors(events)) == 2
    if kind:
        assert {e["data"]["error_type"] for e in errors(events)} == {kind}
        assert calls == 2 * attempts


@pytest.mark.parametrize("model", ["stub-cut@5", "stub-rst@5", "stub-500",
                                   "stub-badjson", "stub-html502",
                                   "stub-200-error-body"])
def test_broken(stack, model):
    """Answers that break off are never taken for whole."""
    d, events, _ = debate(stack, model)
    assert d["status"] == "failed" and len(errors(events)) == 2
    assert not d["messages"]


def test_one_fails_the_others_go_on(stack):
    debate_id = stack.create(
        "Is water wet?", rounds=1, consensus="majority",
        agents=["openai-api|stub-ok", "openai-api|stub-401",
                "openai-api|stub-ok"])
    d = stack.wait_end(debate_id)
    events = stack.events(debate_id)
    st.check_sequence(events)
    assert d["status"] == "completed"
    failed = {e["agent"] for e in errors(events)}
    assert len(failed) == 1
    assert not failed & {m["agent"] for m in d["messages"]}


@pytest.mark.parametrize("form", ["B", "prose", "fence", "think"])
def test_votes_are_read(stack, form):
    d, _, calls = debate(stack, f"stub-vote:{form}")
    assert d["status"] == "completed"
    assert [bool(v["choice"]) for v in d["votes"]] == [True, True]
    assert calls == CALLS


@pytest.mark.parametrize("form", ["ambiguous", "empty"])
def test_votes_that_say_nothing(stack, form):
    """No choice is no vote: never the first in the list."""
    d, _, _ = debate(stack, f"stub-vote:{form}")
    assert d["status"] == "completed"
    assert not any(v["choice"] for v in d["votes"])
    assert not d["consensus"]["reached"] and d["winner"] is None


def test_learnt_parameters(stack):
    """A parameter the endpoint refuses is left out from then on."""
    d, events, calls = debate(stack, "stub-noopts")
    assert d["status"] == "completed" and not errors(events)
    assert CALLS < calls <= CALLS + 2


def test_cancel_reaches_the_socket(stack):
    before = stack.stub_requests()["client_closed"]
    debate_id = stack.create(
        "Is water wet?", agents=["openai-api|stub-idle"] * 2, rounds=1)
    st.wait_for("calls", lambda: stack.get(
        f"/api/debates/{debate_id}/events")["events"])
    assert stack.post(f"/api/debates/{debate_id}/cancel").status_code == 200
    st.wait_for("closed calls", lambda:
                stack.stub_requests()["client_closed"] >= before + 2)


def cancelled_after(s, model):
    """Cancels a debate whose calls are at the stub; seconds until the stub
    saw them closed. Neither the lease nor a time-out ends them in this test."""
    before = s.stub_requests()
    debate_id = s.create("Is water wet?", agents=[f"openai-api|{model}"] * 2,
                         rounds=1)
    st.wait_for("calls", lambda:
                s.stub_requests()["total"] >= before["total"] + 2)
    assert s.post(f"/api/debates/{debate_id}/cancel").status_code == 200
    start = time.monotonic()
    st.wait_for("closed calls", lambda: s.stub_requests()["client_closed"]
                >= before["client_closed"] + 2)
    spent = time.monotonic() - start
    assert s.stub_requests()["total"] == before["total"] + 2
    assert s.events(debate_id)[-1]["type"] == "debate_end"
    return spent


@pytest.mark.parametrize("redis", [False, True])
def test_cancel_comes_by_the_bus(redis):
    """With a lease of ten minutes the runner would look by itself after three;
    a silent model would be waited for as long."""
    with st.Stack(stub=True, redis=redis, ARAGORA_LEASE="600",
                  ARAGORA_LLM_IDLE_TIMEOUT="600",
                  ARAGORA_AGENT_TIMEOUT="900") as s:
        print("cancel to close, s:", round(cancelled_after(s, "stub-idle"), 3))


def test_killed_runner_pays_no_finished_call_twice():
    """Calls that had an answer are not made again after kill -9."""
    with st.Stack(stub=True) as s:
        debate_id = s.create(
            "Is water wet?", rounds=1, consensus="majority",
            agents=["openai-api|stub-slow"] * 2)
        first = s.runners[0]
        done = []

        def kill(m):
            if m["type"] == "critique" and first.poll() is None:
                # Both proposals are in the table; this critique too.
                first.kill()
                first.wait()
                done.append(m["seq"])
                s.start_runner()
        live = [m for m in asyncio.run(s.watch(debate_id, kill)) if "seq" in m]
        st.check_sequence(live)
        assert live[-1]["data"]["status"] == "completed"
        # At most what was under way is asked again: the other critique and
        # the two revisions.
        total = s.stub_requests()["total"]
        assert CALLS <= total <= CALLS + 3
        with open(s.stub_log, encoding="utf-8") as f:
            tasks = [json.loads(line).get("task") for line in f]
        assert tasks.count("propose") == 2


def test_key_stays_secret(stack):
    key = stack.env["OPENAI_API_KEY"]
    for name, text in stack.logs().items():
        assert key not in text, name


KEYS = {
    "openai-api": "OPENAI_API_KEY", "openrouter": "OPENROUTER_API_KEY",
    "anthropic-api": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY",
    "mistral-api": "MISTRAL_API_KEY", "grok": "XAI_API_KEY",
    "deepseek-api": "DEEPSEEK_API_KEY", "groq": "GROQ_API_KEY",
    "ollama": None, "vllm": None, "llamacpp": None, "lm-studio": None,
}


def key_of(agent):
    return f"sk-planted-{agent}-9b1e"


@pytest.fixture(name="providers", scope="module")
def fixture_providers(tmp_path_factory):
    """Half of the keys in the environment, half in files."""
    env = {"ARAGORA_LLM_FALLBACK": "0"}
    for i, (agent, name) in enumerate(KEYS.items()):
        if name and i % 2:
            path = tmp_path_factory.mktemp("keys") / agent
            path.write_text(key_of(agent) + "\n")
            env[name + "_FILE"] = str(path)
        elif name:
            env[name] = key_of(agent)
    with st.Stack(stub=True, **env) as s:
        yield s


def debate_of(s, agent, model):
    before = s.stub_requests()["total"]
    debate_id = s.create("Is water wet?", agents=[f"{agent}|{model}"] * 2,
                         rounds=1, consensus="majority")
    d = s.wait_end(debate_id)
    events = s.events(debate_id)
    st.check_sequence(events)
    return d, events, s.stub_requests()["total"] - before


@pytest.mark.parametrize("agent", list(KEYS))
def test_dialect(providers, agent):
    """A whole debate in each dialect; the stub refuses what is not proper."""
    d, events, calls = debate_of(providers, agent, "stub-ok")
    assert d["status"] == "completed" and not errors(events)
    assert d["final_answer"] and len(d["votes"]) == 2
    assert calls == CALLS


@pytest.mark.parametrize("agent", ["anthropic-api", "gemini", "ollama"])
@pytest.mark.parametrize("model", ["stub-split", "stub-bigline",
                                   "stub-nousage", "stub-whole"])
def test_dialect_forms(providers, agent, model):
    d, events, calls = debate_of(providers, agent, model)
    assert d["status"] == "completed" and not errors(events)
    assert calls == CALLS


@pytest.mark.parametrize("agent,model,kind", [
    ("anthropic-api", "stub-401", "auth"),
    ("anthropic-api", "stub-402", "quota"),
    ("anthropic-api", "stub-429", "quota"),
    ("anthropic-api", "stub-refuse", "refusal"),
    ("gemini", "stub-401", "auth"), ("gemini", "stub-quota", "quota"),
    ("gemini", "stub-refuse", "refusal"),
    ("gemini", "stub-safety", "refusal"),
    ("deepseek-api", "stub-402", "quota"),
    ("ollama", "stub-no-such-model", "bad_request")])
def test_dialect_hopeless(providers, agent, model, kind):
    d, events, calls = debate_of(providers, agent, model)
    assert d["status"] == "failed" and calls == 2
    assert {e["data"]["error_type"] for e in errors(events)} == {kind}


def test_keys_of_all_stay_secret(providers):
    """What a provider repeats of a key reaches nobody."""
    for agent in ("anthropic-api", "gemini", "openai-api"):
        _, events, _ = debate_of(providers, agent, "stub-401-echo")
        said = [e["data"]["message"] for e in errors(events)]
        assert said and all("refused" in text for text in said)
        assert key_of(agent) not in json.dumps(events)
    for name, text in providers.logs().items():
        assert "sk-planted" not in text, name


def test_openrouter_in_place_of_others():
    """No key and no money at the provider: the same model at OpenRouter."""
    with st.Stack(stub=True, OPENROUTER_API_KEY="sk-planted-or",
                  ANTHROPIC_API_KEY="sk-planted-anthropic") as s:
        d, events, calls = debate_of(s, "gemini", "stub-ok")
        assert d["status"] == "completed" and not errors(events)
        assert calls == CALLS
        seen = s.stub_requests()["by_scenario"]
        assert seen == {"google/stub-ok": CALLS}
        d, events, _ = debate_of(s, "anthropic-api", "stub-402")
        seen = s.stub_requests()["by_scenario"]
        assert seen["stub-402"] and seen["anthropic/stub-402"]
        assert d["status"] == "failed"


@pytest.mark.parametrize("p,right", [("1", True), ("0", False)])
def test_sums(stack, p, right):
    """The adding process: always right, and never."""
    debate_id = stack.create("What is 17 + 25?", rounds=1,
                             agents=[f"openai-api|stub-arith:{p}"] * 3,
                             consensus="majority")
    d = stack.wait_end(debate_id)
    assert d["status"] == "completed"
    assert ("The answer is 42." in d["final_answer"]) == right
    assert len(d["votes"]) == 3 and all(v["choice"] for v in d["votes"])
