# SPDX-License-Identifier: MIT
"""Every protocol through the real servers: the calls it makes at the
provider, its outcome, its receipt, and that its record is enough to make the
same events again, even when the runner was killed meanwhile."""
import signal

import pytest

import stack as st
from test_receipt import clean, get, run, verify
from test_replay import check_identical

PRESETS = ["debate", "single", "self_consistency", "council", "moa",
           "debate_judge", "cascade"]
AGENTS = ["openai-api", "openai-api", "openai-api"]


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request, tmp_path_factory):
    key = str(tmp_path_factory.mktemp("key") / "receipt.pem")
    assert run(clean(), "receipt", "keygen", "--out", key).returncode == 0
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True,
                  ARAGORA_RECEIPT_KEY_FILE=key) as s:
        yield s


def ask(s, preset, **protocol):
    agents = AGENTS[:1] if preset in ("single", "self_consistency") else AGENTS
    return s.create("What is 17 + 25?", agents=agents, rounds=1, seed=5,
                    protocol={"preset": preset, **protocol})


def phases(s, debate_id):
    out = {}
    for e in s.events(debate_id):
        out[e["type"]] = out.get(e["type"], 0) + 1
    return out


@pytest.mark.parametrize("preset", PRESETS)
def test_preset(stack, preset, tmp_path):
    before = stack.stub_requests()["total"]
    debate_id = ask(stack, preset)
    d = stack.wait_end(debate_id)
    assert d["status"] == "completed", d["error"]
    assert d["protocol"]["preset"] == preset
    assert d["protocol"]["topology"] == "all"
    assert d["final_answer"]
    n = len(d["agents"])
    assert n == {"single": 1, "self_consistency": 5}.get(preset, 3)
    debaters = 2 if preset == "debate_judge" else n
    seen = phases(stack, debate_id)
    assert seen["debate_start"] == seen["debate_end"] == 1
    assert seen["round_start"] == seen["round_end"] == 1
    assert seen["consensus"] == 1
    if preset != "cascade":  # how far that goes, the answers decide
        has_critiques = preset in ("debate", "debate_judge")
        has_votes = preset in ("debate", "council")
        assert seen.get("critique", 0) == \
            has_critiques * debaters * (debaters - 1)
        assert seen.get("revision", 0) == \
            (has_critiques or preset == "moa") * debaters
        assert seen.get("vote", 0) == has_votes * n
        calls = debaters + seen.get("critique", 0) + \
            seen.get("revision", 0) + seen.get("vote", 0) + \
            seen.get("synthesis", 0)
        judged = stack.rows("SELECT count(*) FROM turns WHERE debate_id = "
                            f"'{debate_id}' AND phase = 'consensus'")[0][0]
        assert stack.stub_requests()["total"] - before == calls + judged
    else:
        assert d["protocol"]["stage"] in (1, 2, 3)
    check_identical(stack, debate_id)
    check_receipt(stack, debate_id, tmp_path)


def check_receipt(s, debate_id, tmp_path):
    raw = get(s, f"/api/debates/{debate_id}/export?format=json").content
    r = verify(raw, s.env["ARAGORA_RECEIPT_KEY_FILE"], tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr


@pytest.mark.parametrize("topology,critiques", [
    ("all", 6), ("ring", 6), ("star", 4), ("sparse", None)])
def test_topology(stack, topology, critiques):
    debate_id = ask(stack, "debate", topology=topology)
    d = stack.wait_end(debate_id)
    assert d["status"] == "completed"
    assert d["protocol"]["topology"] == topology
    seen = phases(stack, debate_id)
    if critiques is None:
        assert 3 <= seen["critique"] <= 6
    else:
        assert seen["critique"] == critiques
    check_identical(stack, debate_id)


@pytest.mark.parametrize("preset", PRESETS)
def test_runner_is_killed(stack, preset):
    """At the first answer; another one goes on with it."""
    debate_id = ask(stack, preset)
    st.wait_for("an answer", lambda: [
        e for e in stack.events(debate_id) if e["type"] == "agent_message"])
    st.end(stack.runners.pop(), signal.SIGKILL)
    stack.start_runner()
    d = stack.wait_end(debate_id)
    assert d["status"] == "completed"
    st.check_sequence(stack.events(debate_id))
    check_identical(stack, debate_id)


@pytest.mark.parametrize("body,field", [
    ({"protocol": {"preset": "quarrel"}}, "protocol.preset"),
    ({"protocol": {"topology": "tree"}}, "protocol.topology"),
    ({"protocol": {"preset": "debate_judge"}, "agents": ["demo", "demo"]},
     "agents"),
    ({"protocol": {"preset": "moa"}, "consensus": "majority"}, "consensus")])
def test_refused(stack, body, field):
    r = stack.post("/api/debates", {"task": "x", **body})
    assert r.status_code == 400 and r.json()["field"] == field
    assert len(r.json()["error"]) > len(field)
