# SPDX-License-Identifier: MIT
"""What takes long is told in the log, by the name of the statement and by the
pattern of the route, with the request's ids and without anything else."""
import contextlib
import json
import threading
import time

import psycopg2

import stack as st

HELD = 1.0  # seconds that a table is locked


@contextlib.contextmanager
def locked(url, table):
    with contextlib.closing(psycopg2.connect(url)) as c, c.cursor() as cur:
        cur.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        c.rollback()


def slow_lines(s, event):
    return [line for line in map(json.loads, s.log("fcgi").splitlines())
            if line["event"] == event]


def get_while_locked(s, url, debate_id):
    answers = []
    with locked(url, "debates"):
        t = threading.Thread(target=lambda: answers.append(s.get(
            f"/api/debates/{debate_id}", check=False,
            headers={"X-Request-ID": "slow-one"})))
        t.start()
        time.sleep(HELD)
    t.join()
    return answers[0]


def test_slow(postgres):
    url = postgres.database()
    with st.Stack(url, ARAGORA_SLOW_QUERY="300",
                  ARAGORA_SLOW_REQUEST="300") as s:
        debate_id = s.create(task="Is marmalade a secret?",
                             agents=["demo", "demo"], rounds=1)
        s.wait_end(debate_id)
        assert get_while_locked(s, url, debate_id).status_code == 200
        found = [x for x in slow_lines(s, "http.slow")
                 if x["request_id"] == "slow-one"]
        assert len(found) == 1 and found[0]["level"] == "warning"
        assert found[0]["route"] == "/api/debates/{id}"
        assert found[0]["method"] == "GET" and found[0]["status"] == 200
        assert found[0]["dur_ms"] > 300
        statements = slow_lines(s, "db.slow")
        assert any(x["statement"] == "DEBATE_GET" and x["dur_ms"] > 300
                   for x in statements)
        for line in found + statements:
            assert debate_id not in str(line)
            assert "marmalade" not in str(line)


def test_not_slow(postgres):
    """0 tells nothing, and what is fast is not told."""
    url = postgres.database()
    with st.Stack(url, ARAGORA_SLOW_QUERY="0",
                  ARAGORA_SLOW_REQUEST="3600000") as s:
        debate_id = s.create(agents=["demo", "demo"], rounds=1)
        s.wait_end(debate_id)
        assert get_while_locked(s, url, debate_id).status_code == 200
        assert not slow_lines(s, "http.slow")
        assert not slow_lines(s, "db.slow")
