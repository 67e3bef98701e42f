# SPDX-License-Identifier: MIT
"""The command line: serve and debate on one data folder, bad settings, exit
codes."""
import contextlib
import json
import os
import pty
import shutil
import re
import signal
import sqlite3
import subprocess
import time

import httpx
import pytest

import stack as st


@pytest.fixture(name="env")
def fixture_env(tmp_path):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("ARAGORA_", "OPENAI_"))}
    env.update(ARAGORA_DATA_DIR=str(tmp_path / "data"),
               ARAGORA_SHARE_DIR=st.SOURCE, ARAGORA_LOG_FORMAT="json")
    return env


def run(env, *args, **kw):
    return subprocess.run([st.Stack.program("aragora"), *args], env=env,
                          text=True, capture_output=True, check=False, **kw)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(x) for x in f.read().split()]


def test_help(env):
    for args in (["--help"], ["help"], ["help", "debate"], ["--version"],
                 ["debate", "--help"], ["serve", "--help"],
                 ["config", "--help"], ["doctor", "--help"],
                 ["eval", "--help"]):
        r = run(env, *args)
        assert r.returncode == 0 and r.stdout, args
    for args in ([], ["nonsense"], ["debate"], ["debate", "--bad"],
                 ["serve", "--port", "x"], ["token"], ["migrate", "sideways"]):
        r = run(env, *args)
        assert r.returncode == 64 and r.stderr, args


def test_manual_page(env):
    """aragora(1) has every command, and in its place every option."""
    with open(os.path.join(st.SOURCE, "src/cli/aragora.1"),
              encoding="utf-8") as f:
        page = f.read().replace("\\-", "-")
    # What begins behind .TP is a command's.
    parts = {p.split()[1]: p for p in re.split(r"\n\.TP\n|\n\.SH ", page)
             if p.startswith(".B ")}
    shared = ("--data", "--database-url", "--redis-url")
    assert all(option in page for option in shared)
    commands = re.findall(r"^  ([a-z]+) ", run(env, "help").stdout, re.M)
    assert len(commands) > 10
    for command in commands:
        for option in re.findall(r"--[a-z][a-z-]+",
                                 run(env, "help", command).stdout):
            assert re.search(rf"{option}(?![a-z-])", parts[command]) or \
                option in shared, (command, option)


def test_bad_settings_are_all_listed(env):
    env.update(ARAGORA_MAX_ROUNDS="many", ARAGORA_WS_HEARTBEAT="1",
               ARAGORA_LOG_LEVEL="LOUD", ARAGORA_REDIS_URL="rediss://x")
    for args in (["config"], ["debate", "x?"], ["serve"], ["doctor"]):
        r = run(env, *args)
        assert r.returncode == 78
        for name in ("ARAGORA_MAX_ROUNDS", "ARAGORA_WS_HEARTBEAT",
                     "ARAGORA_LOG_LEVEL", "ARAGORA_REDIS_URL"):
            assert name in r.stderr
    for program in ("aragora-fcgi", "aragora-runner", "aragora-ws"):
        r = subprocess.run([st.Stack.program(program)], env=env, text=True,
                           capture_output=True, check=False,
                           stdin=subprocess.DEVNULL)
        assert r.returncode == 78, program
        assert "ARAGORA_MAX_ROUNDS" in r.stderr


def test_config(env):
    env.update(ARAGORA_API_TOKEN="planted-secret", ARAGORA_RATE_LIMIT="61")
    r = run(env, "config", "--origin")
    assert r.returncode == 0
    assert "planted-secret" not in r.stdout
    lines = dict(line.split(None, 1)[1].split("=", 1)
                 for line in r.stdout.splitlines())
    assert lines["ARAGORA_API_TOKEN"] == "********"
    assert lines["ARAGORA_RATE_LIMIT"] == "61"
    assert "environment ARAGORA_RATE_LIMIT=61" in r.stdout


def test_routes(env):
    r = run(env, "routes")
    assert r.returncode == 0
    assert "POST   /api/debates " in r.stdout


def test_migrate(env):
    assert run(env, "migrate", "status").returncode == 1
    assert run(env, "migrate").returncode == 0
    r = run(env, "migrate", "status")
    assert r.returncode == 0
    assert re.search(r"database schema (\d+), program schema \1$", r.stdout,
                     re.M)


def test_debate_without_server(env):
    r = run(env, "debate", "Tea or coffee?", "--rounds", "1", "--seed", "3")
    assert r.returncode == 0, r.stderr
    for word in ("Tea or coffee?", "Round 1", "proposes", "severity",
                 "votes for", "Answer", "Confidence", "issent"):
        assert word in r.stdout
    assert "\x1b" not in r.stdout  # no colours off a terminal
    r = run(env, "debate", "Tea or coffee?", "--agents", "demo|fast,demo|fast",
            "--json")
    d = json.loads(r.stdout)
    assert d["status"] == "completed" and d["final_answer"]
    assert run(env, "debate", "x", "--agents", "nobody,demo").returncode == 64
    r = run(env, "debate", "x", "--agents", "openai-api,demo")
    assert r.returncode == 64 and "OPENAI_API_KEY" in r.stderr


def test_debate_interrupted(env):
    p = subprocess.Popen(
        [st.Stack.program("aragora"), "debate", "Tea or coffee?", "--rounds",
         "9"], env=env, stdout=subprocess.PIPE, text=True)
    while "proposes" not in p.stdout.readline():
        assert p.poll() is None
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=st.WAIT)
    assert p.returncode == 1
    assert "cancelled" in out


def test_debate_survives_its_runner(env):
    env.update(ARAGORA_LEASE="2")
    p = subprocess.Popen(
        [st.Stack.program("aragora"), "debate", "Tea or coffee?", "--rounds",
         "2"], env=env, stdout=subprocess.PIPE, text=True)
    out = ""
    while "proposes" not in out:
        out += p.stdout.readline()
        assert p.poll() is None
    for pid in children_of(p.pid):
        os.kill(pid, signal.SIGKILL)
    out += p.stdout.read()
    assert p.wait(st.WAIT) == 0
    for once in ("Round 1 of 2", "Round 2 of 2", "\nAnswer\n",
                 " demo proposes", " demo_2 proposes", " demo_3 proposes"):
        assert out.count(once) == 1, once


def test_debate_without_a_runner_program(env, tmp_path):
    alone = tmp_path / "bin" / "aragora"
    alone.parent.mkdir()
    shutil.copy(st.Stack.program("aragora"), alone)
    r = subprocess.run([alone, "debate", "Tea or coffee?"], env=env,
                       text=True, capture_output=True, check=False,
                       timeout=st.WAIT)
    assert r.returncode == 69 and "aragora-runner" in r.stderr


def on_terminal(env, *args):
    """Exit status and all output of a command on a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        program = st.Stack.program("aragora")
        os.execve(program, [program, *args], env)
    out = b""
    while True:
        try:
            block = os.read(fd, 65536)
        except OSError:  # the other side has gone
            break
        if not block:
            break
        out += block
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()


def test_debate_on_a_terminal(env):
    ask = ("debate", "Tea or coffee?", "--rounds", "1")
    code, out = on_terminal(dict(env, TERM="xterm"), *ask)
    assert code == 0 and "\x1b[1m" in out
    assert "writes (" in out and "\r\x1b[2K" in out
    # Nothing of the status line is left behind.
    assert "writes (" not in out.split("\r\x1b[2K")[-1]
    code, out = on_terminal(dict(env, TERM="xterm", NO_COLOR="1"), *ask)
    assert code == 0 and "\x1b[1m" not in out and "writes (" in out
    code, out = on_terminal(dict(env, TERM="dumb"), *ask)
    assert code == 0 and "\x1b" not in out
    code, out = on_terminal(dict(env, TERM="xterm"), *ask, "--json")
    assert code == 0 and json.loads(out)["status"] == "completed"


def test_env_example(env):
    """conf/aragora.env.example is what the table says."""
    r = run(env, "config", "--env-example")
    assert r.returncode == 0
    path = os.path.join(st.SOURCE, "conf", "aragora.env.example")
    with open(path, encoding="utf-8") as f:
        assert f.read() == r.stdout


def late_memory(path, tenant, key):
    """An entry of the slow tier whose time to be looked at is long over."""
    now = int(time.time() * 1e6)
    day = 86400 * 10**6
    row = {"tenant": tenant, "id": f"mem_{key}", "memory_key": key, "tier": 2,
           "domain": "general", "content": "x", "body": "{}",
           "debate_id": "d", "bytes": 100, "importance": 500000,
           "surprise": 500000, "updates": 0, "moves": 0,
           "created_us": now - day // 2, "updated_us": now - day // 2,
           "accessed_us": now - day // 2, "moved_us": now - day // 2,
           "expires_us": now + day // 2, "due_us": now - day // 4}
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"INSERT INTO memories ({', '.join(row)}) VALUES "
                   f"({', '.join('?' * len(row))})", list(row.values()))


def test_doctor(env):
    run(env, "migrate")
    r = run(env, "doctor")
    assert r.returncode == 0, r.stdout
    assert "[ok]   database sqlite" in r.stdout
    assert "[ok]   memory tier fast: 0 entries of 0 tenants, 0 bytes; one " \
        "tenant has at most 0 of 100 entries, 0 of 10240 bytes" in r.stdout
    assert "[ok]   memory is swept in time" in r.stdout
    # Entries that are due since long ago: nobody swept them.
    for tenant, key in (("default", "a"), ("other", "a"), ("other", "b")):
        late_memory(os.path.join(env["ARAGORA_DATA_DIR"], "aragora.db"),
                    tenant, key)
    r = run(env, "doctor")
    assert r.returncode == 0, r.stdout
    assert "memory tier slow: 3 entries of 2 tenants, " in r.stdout
    assert "one tenant has at most 2 of 1000 entries" in r.stdout
    assert "[warn] the sweep of memory is behind: 2 or more" in r.stdout
    env["ARAGORA_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/x"
    r = run(env, "doctor")
    assert r.returncode == 1 and "[fail]" in r.stdout


def test_serve(env):
    port = st.free_port()
    p = subprocess.Popen(
        [st.Stack.program("aragora"), "serve", "--port", str(port)], env=env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "ready" in p.stdout.readline()
        base = f"http://127.0.0.1:{port}"
        page = httpx.get(base + "/", trust_env=False)
        assert page.status_code == 200 and "Aragora" in page.text
        csp = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in csp and "unsafe-inline" not in csp
        assert httpx.get(base + "/api/health",
                         trust_env=False).json()["status"] == "healthy"
        # The command line uses the running server's runner.
        r = run(env, "debate", "Tea or coffee?", "--agents",
                "demo|fast,demo|fast")
        assert r.returncode == 0, r.stderr
        # A second one on the same folder, and on the same port.
        again = run(env, "serve", "--port", str(st.free_port()))
        assert again.returncode == 69 and "another" in again.stderr
        other = dict(env, ARAGORA_DATA_DIR=env["ARAGORA_DATA_DIR"] + "2")
        busy = run(other, "serve", "--port", str(port))
        assert busy.returncode == 69 and str(port) in busy.stderr
        # A child that dies comes back.
        pids = children_of(p.pid)
        assert len(pids) == 5  # nginx, two workers, bridge, runner
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        st.wait_for("restart", lambda: len(children_of(p.pid)) == 5 and
                    not set(children_of(p.pid)) & set(pids))
        st.wait_for("health", lambda: _healthy(base))
        pids = children_of(p.pid)
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=st.WAIT)
        assert p.returncode == 0
        for pid in pids:
            assert not os.path.exists(f"/proc/{pid}")
    finally:
        if p.poll() is None:
            p.kill()


def _healthy(base):
    try:
        return httpx.get(base + "/api/health",
                         trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_children_die_with_serve(env):
    port = st.free_port()
    p = subprocess.Popen(
        [st.Stack.program("aragora"), "serve", "--port", str(port)], env=env,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "ready" in p.stdout.readline()
    pids = children_of(p.pid)
    p.kill()
    p.communicate(timeout=st.WAIT)
    for pid in pids:
        st.wait_for(f"end of {pid}", lambda q=pid: st.Stack.is_zombie(q) or
                    not os.path.exists(f"/proc/{q}"))


def serve(env, *args):
    p = subprocess.Popen([st.Stack.program("aragora"), "serve", *args],
                         env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    assert "ready" in line, p.communicate()[1]
    return p, line.split()[-1]


def test_serve_on_ipv6(env):
    env["ARAGORA_DATA_DIR"] += "/with/parents"
    p, url = serve(env, "--host", "::1", "--port", str(st.free_port()))
    try:
        assert url.startswith("http://[::1]:")
        assert httpx.get(url + "api/health", trust_env=False).status_code == 200
    finally:
        st.end(p, signal.SIGINT)
    assert p.returncode == 0
    assert run(env, "serve", "--host", "nowhere").returncode == 78


def test_serve_answers_for_its_workers_in_json(env):
    """What nginx has to say itself on the API's paths."""
    env.update(ARAGORA_MAX_REQUEST_SIZE="2048", ARAGORA_WORKERS="1")
    p, url = serve(env, "--port", str(st.free_port()))
    try:
        r = httpx.post(url + "api/debates", content=b"x" * 5000,
                       trust_env=False)
        assert r.status_code == 413
        assert r.json()["code"] == "INVALID_VALUE" and r.json()["error"]
        # A worker that dies in the middle of a request, and its socket.
        worker, = [c for c in children_of(p.pid)
                   if "fcgi" in os.readlink(f"/proc/{c}/exe")]
        os.unlink(os.path.join(env["ARAGORA_DATA_DIR"], "run", "fcgi.sock"))
        os.kill(worker, signal.SIGKILL)
        r = st.wait_for("an answer without a worker", lambda: (
            lambda a: a if a.status_code == 503 else None)(
                httpx.get(url + "api/health", trust_env=False)))
        assert r.json()["code"] == "SERVICE_UNAVAILABLE"
        assert r.headers["Retry-After"] == "1"
        assert "html" not in r.headers["Content-Type"]
    finally:
        st.end(p, signal.SIGINT)


def test_serve_with_a_bad_certificate(env, tmp_path):
    env.update(ARAGORA_SSL_ENABLED="1", ARAGORA_SSL_KEY=str(tmp_path / "no"),
               ARAGORA_SSL_CERT=str(tmp_path / "no"))
    r = run(env, "serve", "--port", str(st.free_port()), timeout=st.WAIT)
    assert r.returncode == 69 and "nginx refuses" in r.stderr
