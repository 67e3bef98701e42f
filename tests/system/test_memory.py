# SPDX-License-Identifier: MIT
"""What a debate concluded is given to the next one that asks for it, word for
word in its log, and never looked up again."""
import contextlib
import http.server
import json
import signal
import sqlite3
import subprocess
import threading

import httpx
import psycopg2
import pytest

import stack as st

TASK = "Should user sessions be cached in the database?"
DROPPED = ("host", "content-length", "connection", "accept-encoding")
AGENTS = ["openai-api|stub-ok"] * 2


class Ear(http.server.BaseHTTPRequestHandler):
    """Stands before the stub and keeps what the models are asked."""

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body))
        answer = httpx.post(self.server.stub_url + self.path, content=body,
                            headers={k: v for k, v in self.headers.items()
                                     if k.lower() not in DROPPED},
                            trust_env=False)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@contextlib.contextmanager
def listening(s):
    """The runner of the stack asks through an Ear; yields what it hears."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    server.heard = []
    server.stub_url = s.stub_url
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ear = f"http://127.0.0.1:{server.server_address[1]}"
    for name in st.STUB_PATHS:
        s.env[name] = s.env[name].replace(s.stub_url, ear)
    s.runners[-1].send_signal(signal.SIGTERM)
    s.runners[-1].wait()
    s.start_runner()
    try:
        yield server.heard
    finally:
        server.shutdown()
        server.server_close()


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
    with listening(stack) as heard:
        other = stack.create(TASK, agents=AGENTS, rounds=1, domain="tea",
                             use_memory=True)
        assert stack.wait_end(other)["status"] == "completed"
        assert recall_of(stack, other)["entries"] == []
        assert heard and "Earlier conclusion" not in json.dumps(heard)
        heard.clear()
        second = stack.create(TASK, agents=AGENTS, rounds=1, domain="law",
                              use_memory=True)
        assert stack.wait_end(second)["status"] == "completed"
        entry, = recall_of(stack, second)["entries"]
        assert entry["source_debate_id"] == first
        assert entry["content"] == content
        label = f"Earlier conclusion 1 ({entry['id']})"
        asked = ["".join(m["content"] for m in r["messages"]) for r in heard]
        told = [text for text in asked if label in text]
        assert len(told) == 2, "both proposals, and nothing else"
        assert all(content in text for text in told)
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
