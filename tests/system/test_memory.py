# SPDX-License-Identifier: MIT
"""What a debate concluded is given to the next one that asks for it, word for
word in its log, and never looked up again."""
import contextlib
import json
import signal
import sqlite3
import subprocess

import psycopg2
import pytest

import stack as st

TASK = "Should user sessions be cached in the database?"
AGENTS = ["openai-api|stub-ok"] * 2


@pytest.fixture(name="stack", params=["sqlite", "postgresql"])
def fixture_stack(request):
    url = request.getfixturevalue("postgres").database() \
        if request.param == "postgresql" else None
    with st.Stack(database_url=url, stub=True) as s:
        yield s


def run_sql(s, statement):
    """Rows of a statement by hand, or none."""
    if "ARAGORA_DATABASE_URL" in s.env:
        db = psycopg2.connect(s.env["ARAGORA_DATABASE_URL"])
    else:
        db = sqlite3.connect(f"{s.data}/aragora.db", timeout=30)
    with contextlib.closing(db):
        c = db.cursor()
        c.execute(statement)
        rows = c.fetchall() if c.description else []
        db.commit()
        return rows


def recall_of(s, debate_id):
    found = [e for e in s.events(debate_id) if e["type"] == "memory_recall"]
    assert len(found) == 1
    return found[0]["data"]


def check_identical(s, debate_id):
    r = subprocess.run(
        [s.program("aragora"), "replay", debate_id, "--json"], env=s.env,
        capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    assert json.loads(r.stdout)["identical"] is True


def first_debate(s):
    debate_id = s.create(TASK, agents=AGENTS, rounds=1, domain="law")
    assert s.wait_end(debate_id)["status"] == "completed"
    assert not any(e["type"] == "memory_recall" for e in s.events(debate_id))
    return debate_id


def test_given_to_the_next(stack):
    first = first_debate(stack)
    (key, tier, domain, tenant, content), = run_sql(
        stack, "SELECT memory_key, tier, domain, tenant, content FROM "
        "memories")
    assert (key, tier, domain, tenant) == (
        f"debate:{first}", 2, "law", "default")
    before = len(stack.stub_requests())
    other = stack.create(TASK, agents=AGENTS, rounds=1, domain="tea",
                         use_memory=True)
    assert stack.wait_end(other)["status"] == "completed"
    assert recall_of(stack, other)["entries"] == []
    assert "Earlier conclusion" not in json.dumps(
        stack.stub_requests()[before:])
    before = len(stack.stub_requests())
    second = stack.create(TASK, agents=AGENTS, rounds=1, domain="law",
                          use_memory=True)
    assert stack.wait_end(second)["status"] == "completed"
    entry, = recall_of(stack, second)["entries"]
    assert entry["source_debate_id"] == first
    assert entry["content"] == content
    sent = [r for r in stack.stub_requests()[before:]
            if "Earlier conclusion 1" in json.dumps(r)]
    assert len(sent) == 2, "both proposals, and nothing else"
    for request in sent:
        text = json.dumps(request)
        assert entry["id"] in text
        assert json.dumps(content)[1:40] in text.replace("\\\\", "\\")
    run_sql(stack, "DELETE FROM memories")
    check_identical(stack, second)


def test_another_tenant_sees_nothing(stack):
    first_debate(stack)
    run_sql(stack, "UPDATE memories SET tenant = 'other'")
    second = stack.create(TASK, agents=AGENTS, rounds=1, domain="law",
                          use_memory=True)
    assert stack.wait_end(second)["status"] == "completed"
    assert recall_of(stack, second)["entries"] == []


def test_killed_in_between(stack):
    """The prompts after a kill are those of before, though the memory went."""
    first = first_debate(stack)
    second = stack.create(TASK, agents=["openai-api|stub-slow"] * 2, rounds=1,
                          domain="law", use_memory=True)
    st.wait_for("its first events", lambda: any(
        e["type"] == "memory_recall" for e in stack.events(second)))
    stack.runners[-1].send_signal(signal.SIGKILL)
    stack.runners[-1].wait()
    run_sql(stack, "DELETE FROM memories")
    stack.start_runner()
    assert stack.wait_end(second)["status"] == "completed"
    entry, = recall_of(stack, second)["entries"]
    assert entry["source_debate_id"] == first
    check_identical(stack, second)
