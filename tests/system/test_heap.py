# SPDX-License-Identifier: MIT
"""ARAGORA_MEMORY_PROFILING: who has how much of the heap, in the log, in the
metrics and over the API, while there is load and after it, on both stacks; and
nothing of it when it is off."""
import concurrent.futures
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import time

import httpx
import pytest

import stack as st
from account_kit import Caller, operator, register

PATH = "/api/metrics/memory"
DEBATES = 80
SOCKETS = 400
REQUESTS = 800
SHARE = 0.8  # of what is used, that has a name


@pytest.fixture(name="stack", scope="module", params=["sqlite", "postgresql"])
def fixture_stack(request):
    kw = {}
    if request.param == "postgresql":
        kw = {"redis": True,
              "database_url": request.getfixturevalue("postgres").database()}
    many = str(2 * DEBATES)
    with st.Stack(ARAGORA_MEMORY_PROFILING="true",
                  ARAGORA_MAX_CONCURRENT_DEBATES=many,
                  ARAGORA_MAX_QUEUED_DEBATES=many,
                  ARAGORA_MAX_QUEUED_DEBATES_PER_TENANT=many, **kw) as s:
        s.boss = operator(s)
        yield s


def ask_all(s):
    """Every process is to measure and to log now."""
    for name in ("ws", "runner1"):
        s.processes[name].send_signal(signal.SIGUSR2)
    for pid in s.worker_pids:
        os.kill(pid, signal.SIGUSR2)


def memory(s):
    """What the API tells, measured after this was asked for."""
    begun = time.time()
    ask_all(s)

    def fresh():
        got = s.boss.get(PATH)
        rows = got["processes"]
        ok = len(rows) == 4 and all(
            seconds(r["measured_at"]) >= begun for r in rows)
        return got if ok else None
    return st.wait_for("figures of all processes", fresh)


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def of(got, program):
    return [r for r in got["processes"] if r["program"] == program]


def held(got, program, *subsystems):
    return sum(r["subsystems"][name]["bytes"]
               for r in of(got, program) for name in subsystems)


def named(row):
    return 1 - row["other_bytes"] / row["used_bytes"]


def check_sums(row):
    parts = row["subsystems"].values()
    assert sum(p["bytes"] for p in parts) + row["other_bytes"] \
        == row["used_bytes"]
    assert all(p["bytes"] >= 0 and p["blocks"] >= 0 for p in parts)
    assert row["used_bytes"] + row["free_bytes"] == row["total_bytes"]
    assert 0 <= row["mapped_bytes"] <= row["used_bytes"]


def watcher(s, debate_id):
    c = socket.socket(socket.AF_UNIX)
    c.connect(os.path.join(s.run_dir, "ws.sock"))
    c.settimeout(st.WAIT)
    c.sendall(f"GET /ws?debate_id={debate_id} HTTP/1.1\r\nHost: localhost\r\n"
              "Upgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              "Sec-WebSocket-Version: 13\r\n\r\n".encode())
    assert c.recv(12).startswith(b"HTTP/1.1 101")
    return c


def requests(s, n):
    with httpx.Client(trust_env=False, timeout=st.WAIT) as c:
        for _ in range(n):
            assert c.get(s.url("/api/debates?limit=20")).status_code == 200


def lines(s, name, event):
    """The lines that tell of the event."""
    rows = [json.loads(line) for line in s.log(name).splitlines()
            if line.startswith("{")]
    return [r for r in rows if r["event"] == event]


def test_load(stack):
    """Most of what is used has a name under load, in each program; when the
    load is over it is all given back."""
    s = stack
    requests(s, 100)
    idle = memory(s)
    # More of them than are shown one by one, more work than is soon done.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda i: s.create(
            f"Question {i}?", agents=["demo"] * 5, rounds=5),
            range(DEBATES)))
    sockets = [watcher(s, ids[i % DEBATES]) for i in range(SOCKETS)]

    def is_busy():
        got = memory(s)
        runner = of(got, "aragora-runner")[0]
        return got if runner["debates_in_hand"] >= DEBATES / 2 else None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(requests, s, REQUESTS // 4)
        busy = st.wait_for("work", is_busy)
    for row in busy["processes"]:
        check_sums(row)
        print(row["program"], row["used_bytes"], named(row))
        assert named(row) >= SHARE, row
    runner = of(busy, "aragora-runner")[0]
    assert held(busy, "aragora-runner", "debates") > DEBATES / 2 * 5000
    assert held(busy, "aragora-ws", "connections") > SOCKETS * 500
    assert held(idle, "aragora-ws", "connections") < 10000
    # The largest ones, in order, each of them ours and part of the whole.
    top = runner["largest_debates"]
    assert len(top) == 10
    assert {d["debate_id"] for d in top} <= set(ids)
    weights = [d["bytes"] + d["calls_bytes"] for d in top]
    assert weights == sorted(weights, reverse=True) and weights[-1] > 5000
    assert any(d["calls"] > 0 and d["calls_bytes"] > 0 for d in top)
    host = busy["host"]
    check_sums(host)
    for key in ("used_bytes", "total_bytes", "other_bytes"):
        assert host[key] == sum(r[key] for r in busy["processes"])
    told = lines(s, "runner1", "heap.debate")
    assert {t["debate_id"] for t in told} & set(ids)
    assert all(t["bytes"] > 0 for t in told)

    for c in sockets:
        c.close()
    for debate_id in ids:
        s.post(f"/api/debates/{debate_id}/cancel")

    def is_over():
        got = memory(s)
        return got if held(got, "aragora-runner", "debates", "calls",
                           "jobs") == 0 and \
            held(got, "aragora-ws", "connections") <= \
            held(idle, "aragora-ws", "connections") else None
    st.wait_for("all given back", is_over)


def test_requests_leave_nothing(stack):
    """What a worker holds between requests does not grow with them."""
    parts = ("work", "buffers", "connections", "openssl", "tables", "store")

    def settle():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(requests, stack, REQUESTS // 8)
        got = memory(stack)
        return {p: held(got, "aragora-fcgi", p) for p in parts}
    before = settle()
    after = settle()
    for part in parts:
        # A thread more may have had its first request.
        assert after[part] <= before[part] + 100000, (before, after)


def test_metrics(stack):
    """The gauges are the sums of the processes; promtool likes them."""
    memory(stack)
    text = stack.get("/metrics", check=False).text
    rows = dict(re.findall(r'^aragora_heap_bytes\{subsystem="(\w+)"\} (\d+)$',
                           text, re.M))
    got = stack.boss.get(PATH)["host"]
    assert set(rows) == {*got["subsystems"], "other"}
    assert int(rows["openssl"]) == got["subsystems"]["openssl"]["bytes"] > 0
    assert int(rows["tables"]) == got["subsystems"]["tables"]["bytes"] > 0
    total = int(re.search(r"^aragora_heap_total_bytes (\d+)$", text, re.M)[1])
    assert total >= sum(map(int, rows.values())) > 1000000
    r = subprocess.run(["promtool", "check", "metrics"], input=text,
                       capture_output=True, text=True, check=False)
    wrong = [w for w in r.stderr.splitlines() if "heap" in w]
    assert r.returncode in (0, 3) and not wrong, r.stderr


def test_log(stack):
    """Each process that was asked tells everything, and it adds up."""
    before = {n: len(lines(stack, n, "heap.total"))
              for n in ("ws", "runner1", "fcgi")}
    ask_all(stack)
    for name, n in before.items():
        # Two workers; a line is written before those of its parts.
        more = 2 if name == "fcgi" else 1
        st.wait_for("line", lambda name=name, n=n, more=more: len(
            lines(stack, name, "heap.total")) >= n + more)
        ask_all(stack)
        st.wait_for("line", lambda name=name, n=n, more=more: len(
            lines(stack, name, "heap.total")) >= n + 2 * more)
        whole = lines(stack, name, "heap.total")[n]
        rows = [r for r in lines(stack, name, "heap.subsystem")
                if r["pid"] == whole["pid"]]
        at = [r["ts"] for r in lines(stack, name, "heap.total")
              if r["pid"] == whole["pid"] and r["ts"] > whole["ts"]][0]
        parts = {r["name"]: r for r in rows if whole["ts"] <= r["ts"] < at}
        assert {"openssl", "start", "events" if name == "ws" else "cache"} \
            <= set(parts)
        assert sum(r["bytes"] for r in parts.values()) + whole["other"] \
            == whole["used"]
        assert all(r["blocks"] > 0 for n, r in parts.items() if n != "start")
        assert whole["used"] <= whole["total"] and whole["resident"] > 0


def test_who_may_see_it(stack):
    assert Caller(stack).ask("GET", PATH).status_code == 401
    ann = register(stack, "ann@example.org")
    r = ann.ask("GET", PATH, expect=403)
    assert r.json()["code"] == "FORBIDDEN"


def test_off():
    """No line, no thread, no figures; the signal does no harm."""
    with st.Stack() as s:
        boss = operator(s)
        ask_all(s)
        s.wait_end(s.create(agents=["demo|fast"] * 2, rounds=1))
        r = boss.ask("GET", PATH, expect=404)
        assert "ARAGORA_MEMORY_PROFILING" in r.json()["error"]
        text = s.get("/metrics", check=False).text
        assert {v for v in re.findall(r"^aragora_heap_\w+\S* (\d+)$", text,
                                      re.M)} == {"0"}
        for name in ("ws", "runner1", "fcgi"):
            assert lines(s, name, "heap.total") == []
        for name in ("ws", "runner1"):
            assert s.processes[name].poll() is None
