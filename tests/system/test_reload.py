# SPDX-License-Identifier: MIT
"""SIGHUP: the programs read the file of ARAGORA_CONFIG again, take over what
may change while they serve, and keep what they have when it is wrong."""
import os
import signal

import pytest

import stack as st

AGENTS = ["openai-api|stub-ok"] * 2


@pytest.fixture(name="stack", scope="module")
def start(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("config") / "aragora.conf")
    write(path)
    with st.Stack(stub=True, OPENAI_API_KEY="", ARAGORA_CONFIG=path,
                  ARAGORA_DISABLE_ALL_RATE_LIMITS="0",
                  expected_errors=("settings.kept",)) as s:
        s.config = path
        yield s


def write(path, **settings):
    settings = {"ARAGORA_IP_RATE_LIMIT": "10000",
                "ARAGORA_RATE_LIMIT_ANONYMOUS": "10000",
                "ARAGORA_RATE_LIMIT_CREATE": "10000",
                "ARAGORA_RATE_LIMIT_LIST": "10000",
                **settings}
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{k}={v}\n" for k, v in settings.items())


def told(s, word):
    """Lines of this event by program."""
    return {name: s.log(name).count(f'"{word}"') for name in s.logs()}


def hangup(s, word, **settings):
    """Everybody reads the file again; back when everybody has."""
    write(s.config, **settings)
    before = told(s, word)
    for pid in [*s.worker_pids, *[r.pid for r in s.runners]]:
        os.kill(pid, signal.SIGHUP)
    want = {"fcgi": len(s.worker_pids), "runner1": 1}
    st.wait_for(word, lambda: all(
        told(s, word)[name] == before[name] + n for name, n in want.items()))


def limit(s):
    r = s.get("/api/agents", check=False)
    assert r.status_code == 200
    return int(r.headers["X-RateLimit-Limit"])


def test_takes_over(stack):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_ANONYMOUS="600")
    assert {limit(stack) for _ in range(8)} == {600}  # both workers
    hangup(stack, "settings.reload")
    assert limit(stack) == 10000


def test_key(stack):
    """Workers and runner have a key from the moment it stands in the file."""
    r = stack.post("/api/debates", {"task": "Tea?", "agents": AGENTS})
    assert r.status_code == 400 and "OPENAI_API_KEY" in r.text
    hangup(stack, "settings.reload", OPENAI_API_KEY="sk-added")
    d = stack.wait_end(stack.create(agents=AGENTS, rounds=1))
    assert d["status"] == "completed"


@pytest.mark.parametrize("bad, says", [
    ({"ARAGORA_IP_RATE_LIMIT": "lots"}, "'lots' is not an integer"),
    ({"A B": "x"}, "no name stands before"),
    ({"ARAGORA_DEFAULT_ROUNDS": "13"}, "more than ARAGORA_MAX_ROUNDS")])
def test_keeps(stack, bad, says):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_ANONYMOUS="700")
    hangup(stack, "settings.kept", ARAGORA_RATE_LIMIT_ANONYMOUS="800", **bad)
    assert says in stack.log("fcgi") and says in stack.log("runner1")
    assert limit(stack) == 700
    hangup(stack, "settings.reload")


def test_names_what_needs_a_restart(stack):
    hangup(stack, "settings.reload", ARAGORA_FCGI_THREADS="3",
           ARAGORA_LOG_LEVEL="DEBUG")
    assert "ARAGORA_FCGI_THREADS(restart)" in stack.log("fcgi")
    stack.get("/api/agents")
    assert '"http.request"' in stack.log("fcgi")
    hangup(stack, "settings.reload")


def test_names_what_nobody_knows(stack):
    hangup(stack, "settings.reload", ARAGORA_RATE_LIMIT_TYPO="1")
    assert "ARAGORA_RATE_LIMIT_TYPO" in stack.log("fcgi")
    assert "settings.unknown" in stack.log("fcgi")


def test_serves_meanwhile(stack):
    """No request fails while it is read again and again."""
    for _ in range(10):
        for pid in stack.worker_pids:
            os.kill(pid, signal.SIGHUP)
        for _ in range(5):
            stack.get("/api/agents")
