# SPDX-License-Identifier: MIT
"""What is recorded of a debate is enough to make its events again."""
import contextlib
import json
import os
import sqlite3
import subprocess

import psycopg2
import pytest

import stack as st

RULES = ["majority", "supermajority", "unanimous", "judge", "weighted",
         "hybrid", "any", "none", "plurality", "borda", "irv", "condorcet"]


@pytest.fixture(name="stack", scope="module",
                params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True, ARAGORA_LLM_MAX_ATTEMPTS="2",
                  ARAGORA_LLM_IDLE_TIMEOUT="2") as s:
        yield s


def replay(s, debate_id, *options):
    """(exit status, its JSON) of aragora replay."""
    r = subprocess.run(
        [s.program("aragora"), "replay", debate_id, "--json", *options],
        env=s.env, capture_output=True, text=True, check=False)
    assert r.returncode in (0, 1), r.stderr
    return r.returncode, json.loads(r.stdout) if r.stdout else r.stderr


def check_identical(s, debate_id):
    code, found = replay(s, debate_id)
    assert (code, found["identical"]) == (0, True), found
    assert found["events"] == len(s.events(debate_id))
    return found


def change(s, statement, *values):
    """One statement by hand in the service's database."""
    if "ARAGORA_DATABASE_URL" in s.env:
        with contextlib.closing(psycopg2.connect(
                s.env["ARAGORA_DATABASE_URL"])) as db:
            with db.cursor() as c:
                c.execute(statement.replace("?", "%s"), values)
                assert c.rowcount == 1
            db.commit()
        return
    with contextlib.closing(sqlite3.connect(
            os.path.join(s.data, "aragora.db"), timeout=30)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


@pytest.mark.parametrize("rule", RULES)
def test_every_rule(stack, rule):
    debate_id = stack.create(agents=["demo|fast"] * 3, rounds=2, seed=5,
                             consensus=rule)
    assert stack.wait_end(debate_id)["status"] == "completed"
    check_identical(stack, debate_id)


@pytest.mark.parametrize("agents,status", [
    (["stub-ok", "stub-401", "stub-ok"], "completed"),
    (["stub-ok", "stub-cut", "stub-ok"], "completed"),
    (["stub-refusal", "stub-ok", "stub-ok"], "completed"),
    (["stub-401", "stub-401"], "failed")])
def test_errors_and_retries(stack, agents, status):
    debate_id = stack.create(agents=[f"openai-api|{m}" for m in agents],
                             rounds=1, consensus="majority")
    assert stack.wait_end(debate_id)["status"] == status
    assert any(e["type"] == "agent_error" for e in stack.events(debate_id))
    check_identical(stack, debate_id)


def test_cancelled(stack):
    debate_id = stack.create(agents=["demo"] * 3, rounds=3)
    st.wait_for("a few events", lambda: len(stack.events(debate_id)) > 5)
    assert stack.post(f"/api/debates/{debate_id}/cancel").status_code == 200
    assert check_identical(stack, debate_id)["cancelled_from_outside"]


def test_altered_event(stack):
    """Which one it was, and what it should say."""
    debate_id = stack.create(agents=["demo|fast"] * 2, rounds=1, seed=3)
    stack.wait_end(debate_id)
    seq = next(e["seq"] for e in stack.events(debate_id)
               if e["type"] == "revision")
    change(stack, "UPDATE events SET data = replace(data, '\"changed\":', "
           "'\"changed\": ') WHERE debate_id = ? AND seq = ?", debate_id, seq)
    code, found = replay(stack, debate_id)
    assert code == 1 and not found["identical"]
    assert found["difference"]["seq"] == seq
    assert found["difference"]["field"] == "data"
    assert found["difference"]["stored"] == \
        found["difference"]["replayed"].replace('"changed":', '"changed": ')


def test_what_another_rule_says(stack):
    debate_id = stack.create(agents=["demo|fast"] * 3, rounds=1, seed=8,
                             consensus="majority")
    d = stack.wait_end(debate_id)
    before = stack.stub_requests()["total"]
    for rule in RULES:
        code, found = replay(stack, debate_id, "--consensus", rule,
                             "--threshold", "0.9")
        assert code == 0 and found["what_if"]["consensus"] == rule
        assert found["what_if"]["threshold"] == 0.9
        assert found["recorded"]["reached"] == d["consensus_reached"]
        assert found["recorded"]["winner"] == d["winner"]
    assert stack.stub_requests()["total"] == before


def test_poor_record(stack):
    """A debate of a program that kept less: it says what is missing."""
    debate_id = stack.create(agents=["demo|fast"] * 2, rounds=1)
    stack.wait_end(debate_id)
    change(stack, "UPDATE debates SET result = '{}' WHERE id = ?", debate_id)
    code, said = replay(stack, debate_id)
    assert code == 1 and "the record has no clock" in said
