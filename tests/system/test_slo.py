# SPDX-License-Identifier: MIT
"""The service's objectives are met by the whole stack under a light load, as
tests/load/loadgen judges; and loadgen tells when they are not."""
import collections
import contextlib
import http.server
import json
import os
import pty
import re
import signal
import socket
import statistics
import subprocess
import threading
import time

import httpx
import pytest

import stack as st

LOADGEN = os.path.join(st.BUILD, "tests/load/loadgen")
WEIGHTS = {"health": 100, "agents": 100, "list": 100, "leaderboard": 100,
           "create": 5, "read": 5}
# Where it is not time that a test looks at.
PATIENT = [x for name in ("p50_ms", "p95_ms", "p99_ms", "create_p95_ms",
                          "connect_p95_ms", "event_p95_ms")
           for x in ("--slo", f"{name}=600000")] + ["--slo", "rate=0"]


def loadgen(url, *args, **env):
    """(exit status, report, standard error)"""
    r = subprocess.run(
        [LOADGEN, "--url", url, "--report", "-", *map(str, args)],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, **env})
    return r.returncode, json.loads(r.stdout) if r.stdout else None, r.stderr


def verdicts(report):
    return {o["name"]: o["is_ok"] for o in report["objectives"]}


def missed(report):
    return {name for name, is_ok in verdicts(report).items() if not is_ok}


@pytest.fixture(scope="module")
def sqlite():
    with st.Stack() as s:
        yield s


# ---- the gate ----

def check_report(report):
    """What holds of any run in which nothing failed."""
    requests = report["requests"]
    assert requests["wanted"] == requests["answered"] == 600
    assert requests["failed"] == 0 and requests["errors"] == {}
    assert sum(requests["statuses"].values()) == 600
    assert requests["latency_ms"]["count"] == 600
    scenarios = report["scenarios"]
    assert sum(s["wanted"] for s in scenarios.values()) == 600
    for name, weight in WEIGHTS.items():
        share = 600 * weight / sum(WEIGHTS.values())
        assert abs(scenarios[name]["wanted"] - share) <= 2, name
    assert scenarios["create"]["statuses"] == \
        {"201": scenarios["create"]["wanted"]}
    order = [requests["latency_ms"][k] for k in
             ("min", "p50", "p90", "p95", "p99", "p99_9", "max")]
    assert order == sorted(order)
    assert sum(s["wanted"] for s in report["stages"]) == 600
    for kind in ("sse", "websocket"):
        streams = report["streams"][kind]
        assert streams["finished"] == streams["followed"] > 0
        assert streams["failed"] == streams["unfinished"] == 0
        assert streams["lost"] == streams["doubled"] == 0
        assert streams["misordered"] == 0
        assert streams["events"] > 10 * streams["finished"]
        assert 0 < streams["event_ms"]["count"]
        assert streams["connect_ms"]["count"] == streams["followed"]
    assert report["streams"]["debates_failed"] == 0


def members(value):
    """All names of members, but those that are data."""
    found = set()
    if isinstance(value, list):
        for one in value:
            found |= members(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            found |= {name} | (members(one) if name != "statuses" else set())
    return found


def check_described(report):
    with open(os.path.join(st.SOURCE, "docs/load.md"),
              encoding="utf-8") as f:
        described = set(re.findall(r"`(\w+)`", f.read()))
    assert members(report) - set(WEIGHTS) <= described


def gate(stack):
    """Once more on a machine that something else kept busy."""
    for _ in range(2):
        status, report, said = loadgen(stack.url(""), "--profile", "smoke")
        if status != 99:
            break
        print(said)
    assert status == 0, said
    assert report["is_ok"] and not missed(report)
    assert set(verdicts(report)) == {
        "p50_ms", "p95_ms", "p99_ms", "errors", "rate", "bad_answers",
        "create_p95_ms", "connect_p95_ms", "event_p95_ms", "stream_errors",
        "events_wrong"}
    check_report(report)
    check_described(report)


def test_objectives_on_sqlite(sqlite):
    gate(sqlite)


def test_objectives_on_postgresql(postgres):
    with st.Stack(postgres.database(), redis=True) as s:
        gate(s)


# ---- what it counts ----

LOG = """log_format slo '$status $request_method $uri $http_upgrade';
	map $http_user_agent $slo_is {{ default 0; aragora-loadgen 1; }}
	access_log {path} slo if=$slo_is;
	keepalive_requests 20;"""


def log_requests(stack):
    """nginx writes down what loadgen asks for, and closes kept connections
    after 20 requests."""
    conf = os.path.join(stack.run_dir, "nginx.conf")
    path = os.path.join(stack.run_dir, "access.log")
    with open(conf, encoding="ascii") as f:
        text = f.read()
    assert "access_log off;" in text
    with open(conf, "w", encoding="ascii") as f:
        f.write(text.replace("access_log off;", LOG.format(path=path)))
    stack.processes["nginx"].send_signal(signal.SIGHUP)

    def is_logging():
        httpx.get(stack.url("/healthz"), trust_env=False,
                  headers={"User-Agent": "aragora-loadgen"})
        return os.path.getsize(path) if os.path.exists(path) else 0

    st.wait_for("log", is_logging)
    time.sleep(0.5)  # the worker before it has answered its last
    os.truncate(path, 0)
    return path


def logged(path):
    with open(path, encoding="ascii") as f:
        return collections.Counter(
            re.sub(r"adhoc_\w+", "ID", line.strip()) for line in f)


def test_counts_are_those_of_nginx():
    """Exactly, though connections are closed and opened all the time."""
    with st.Stack() as s:
        path = log_requests(s)
        status, report, said = loadgen(
            s.url(""), "--stages", "100:5", "--connections", 4, "--sse", 2,
            "--ws", 3, *PATIENT)
        assert status == 0, said
        scenarios, streams = report["scenarios"], report["streams"]
        wanted = {
            "200 GET /api/health -": scenarios["health"]["wanted"],
            "200 GET /api/agents -": scenarios["agents"]["wanted"],
            "200 GET /api/debates -": scenarios["list"]["wanted"],
            "200 GET /api/leaderboard-view -":
                scenarios["leaderboard"]["wanted"],
            "201 POST /api/debates -":
                scenarios["create"]["wanted"] + streams["debates"],
            "200 GET /api/debates/ID -": scenarios["read"]["wanted"],
            "200 GET /api/debates/ID/stream -": streams["sse"]["followed"],
            "101 GET /ws websocket": streams["websocket"]["followed"]}
        # It writes down what has ended for it too.
        st.wait_for("all of the log", lambda: sum(logged(path).values()) >=
                    sum(wanted.values()))
        assert logged(path) == wanted
        requests = report["requests"]
        assert requests["sent"] - requests["repeated"] == \
            500 + streams["debates"]
        assert requests["connections"] >= 500 / 20
        # What was created is there, and came to its end or will.
        assert s.get("/api/debates?limit=1")["total"] == \
            wanted["201 POST /api/debates -"]


# ---- servers that it must find fault with ----

class Server:
    """One that answers as it is told, a thread for each connection."""

    def __init__(self, answer):
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append(self)
                answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # whoever asked has gone

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def say(status, body):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return answer


def cut_off(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    handler.close_connection = True


def babble(handler):
    handler.wfile.write(b"+PONG\r\n\r\n")


def be_silent(handler):
    time.sleep(2.5)
    handler.close_connection = True


@pytest.mark.parametrize("answer, errors, crossed", [
    (say(500, b"{}"), "status", {"errors", "bad_answers"}),
    (say(200, b"{}"), "body", {"errors", "bad_answers"}),
    (cut_off, "closed", {"errors", "p50_ms", "p95_ms", "p99_ms",
                         "bad_answers", "rate"}),
    (babble, "malformed", {"errors", "p50_ms", "p95_ms", "p99_ms",
                           "bad_answers", "rate"}),
    (be_silent, "timeout", {"errors", "bad_answers", "rate", "p50_ms",
                            "p95_ms"})],
    ids=["500", "body", "cut", "babble", "silent"])
def test_faults(answer, errors, crossed):
    with Server(answer) as server:
        status, report, said = loadgen(
            server.url, "--only", "health", "--stages", "60:1", "--timeout",
            1, "--connections", 100, "--sse", 0, "--ws", 0)
    assert status == 99
    assert report["requests"]["errors"] == {errors: 60}
    assert report["requests"]["failed"] == 60
    assert not report["is_ok"] and crossed <= missed(report)
    for name in crossed:
        assert re.search(rf"^FAILED {name} ", said, re.M), said


def test_one_in_a_hundred():
    """Just as many as are too many."""
    count = iter(range(10000))

    def answer(handler):
        say(503 if next(count) % 100 == 50 else 200, b'{"status":1}')(handler)

    with Server(answer) as server:
        status, report, _ = loadgen(
            server.url, "--only", "health", "--stages", "100:2", "--sse", 0,
            "--ws", 0, "--connections", 1, *PATIENT)
    assert report["requests"]["statuses"] == {"200": 198, "503": 2}
    assert status == 99 and missed(report) == {"errors", "bad_answers"}


@pytest.mark.parametrize("only, failed", [("health", 0), ("create", 10)])
def test_kept_connection_closed(only, failed):
    """A server may close a kept connection when the next request is on its
    way: what may be asked twice is, once."""
    body = b'{"status":1,"debate_id":"adhoc_1"}'

    def answer(handler):
        if hasattr(handler, "is_second"):
            handler.close_connection = True
            return
        handler.is_second = True
        say(201 if only == "create" else 200, body)(handler)

    with Server(answer) as server:
        _, report, _ = loadgen(
            server.url, "--only", only, "--stages", "20:1", "--sse", 0,
            "--ws", 0, "--connections", 1, *PATIENT)
    requests = report["requests"]
    assert requests["answered"] == 20 - failed
    assert requests["errors"] == ({"closed": failed} if failed else {})
    assert requests["repeated"] == (0 if failed else 19)
    assert requests["sent"] == 20 + requests["repeated"]


def test_nobody_there():
    status, report, said = loadgen(f"http://127.0.0.1:{st.free_port()}")
    assert status == 1 and report is None
    assert re.fullmatch(
        r"loadgen: http://127\.0\.0\.1:\d+: Connection refused\n", said)


def test_gone_meanwhile():
    """Nobody to connect to any more: failures, not a failure of its own."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        p = subprocess.Popen(
            [LOADGEN, "--url", url, "--report", "-", "--stages", "50:2",
             "--only", "health", "--sse", "0", "--ws", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        s.accept()[0].close()
        s.accept()[0].close()
    out, _ = p.communicate(timeout=600)
    assert p.returncode == 99
    requests = json.loads(out)["requests"]
    assert requests["failed"] == requests["wanted"] == 100
    assert requests["errors"]["connect"] > 0


def closed_loop(url, end, times):
    """A client that asks again when it has been answered."""
    with httpx.Client(trust_env=False, timeout=st.WAIT) as client:
        while not end.is_set():
            begun = time.monotonic()
            client.get(url)
            times.append(time.monotonic() - begun)


def test_stall_shows(sqlite):
    """2 s in which nothing is answered are 2 s for everybody who comes
    meanwhile. Who asks one after the other has seen one slow answer."""
    end, times = threading.Event(), []
    other = threading.Thread(target=closed_loop, args=(
        sqlite.url("/healthz"), end, times))
    p = subprocess.Popen(
        [LOADGEN, "--url", sqlite.url(""), "--report", "-", "--stages",
         "60:12", "--only", "health", "--sse", "0", "--ws", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    other.start()
    try:
        assert p.stderr.readline()  # 5 s
        for pid in sqlite.worker_pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
    finally:
        for pid in sqlite.worker_pids:
            os.kill(pid, signal.SIGCONT)
        out, said = p.communicate(timeout=600)
        end.set()
        other.join()
    assert p.returncode == 99, said
    report = json.loads(out)
    latency = report["requests"]["latency_ms"]
    assert report["requests"]["failed"] == 0
    # 120 of 720 came meanwhile and waited 0 to 2 s.
    assert latency["max"] >= 1950
    assert latency["p95"] >= 1000
    assert "p95_ms" in missed(report)
    assert max(times) >= 1.95
    assert statistics.quantiles(times, n=100)[94] < 1


def test_the_line_counts():
    """One connection, twice as many requests as it can take: the time that
    they wait for it is theirs."""
    def answer(handler):
        time.sleep(0.05)
        say(200, b'{"status":1}')(handler)

    with Server(answer) as server:
        status, report, _ = loadgen(
            server.url, "--only", "health", "--stages", "40:2", "--sse", 0,
            "--ws", 0, "--connections", 1)
    requests = report["requests"]
    assert requests["answered"] == 80 and requests["failed"] == 0
    assert requests["connections"] == 1
    assert requests["waiting_max"] >= 30
    assert requests["latency_ms"]["max"] >= 1900
    assert requests["latency_ms"]["p50"] >= 900
    # Of which the server had its 50 ms.
    assert requests["service_ms"]["min"] >= 50
    assert requests["service_ms"]["p50"] < requests["latency_ms"]["p50"] / 4
    assert status == 99 and "p50_ms" in missed(report)
    # It was the server that was late, and not loadgen.
    assert report["generator"]["late_ms"]["count"] == 80


def test_knee():
    """More and more until it is too much for 20 answers a second."""
    def answer(handler):
        time.sleep(0.05)
        say(200, b'{"status":1}')(handler)

    bounds = [x for b in ("p50_ms=1000", "p95_ms=3000", "p99_ms=3000",
                          "rate=5") for x in ("--slo", b)]
    with Server(answer) as server:
        status, report, said = loadgen(
            server.url, "--profile", "stress", "--only", "health", "--stages",
            "10:2,120:1,200:1", "--connections", 1, *bounds)
    assert status == 0, said
    assert [s["is_ok"] for s in report["stages"]] == [True, False]
    assert report["knee"]["to"] == 10 and "knee: 10/s" in said
    assert report["knee"]["answered"] == 20
    check_described(report)
    assert report["stages"][1]["answered"] == 120
    assert verdicts(report) == dict.fromkeys(
        ("p50_ms", "p95_ms", "p99_ms", "errors", "rate", "bad_answers"), True)


def test_bridge_gone():
    """Streams that break are told, whatever the requests say."""
    with st.Stack() as s:
        p = subprocess.Popen(
            [LOADGEN, "--url", s.url(""), "--report", "-", "--stages",
             "20:8", "--sse", "5", "--ws", "5", *PATIENT],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert p.stderr.readline()
        s.processes["ws"].kill()
        out, said = p.communicate(timeout=600)
        assert p.returncode == 99, said
        report = json.loads(out)
        assert report["requests"]["failed"] == 0
        assert missed(report) == {"stream_errors"}
        streams = report["streams"]
        for kind in ("sse", "websocket"):
            assert streams[kind]["finished"] > 0
            assert streams[kind]["failed"] > 0
            assert set(streams[kind]["errors"]) <= {"closed", "status"}
            assert streams[kind]["lost"] == 0


def test_nothing_is_lost_through_chaos(postgres):
    """Runners are killed and Redis goes while debates are followed: every
    event comes to everybody once and in order, and no request fails."""
    with st.Stack(postgres.database(), redis=True, runners=2) as s:
        p = subprocess.Popen(
            [LOADGEN, "--url", s.url(""), "--report", "-", "--stages",
             "20:15", "--sse", "10", "--ws", "30", "--timeout", "60",
             *PATIENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        assert p.stderr.readline()  # 5 s
        for i in range(3):
            s.runners[-1].kill()
            s.runners[-1].wait()
            if i == 1:
                s.stop_redis()
            s.start_runner()
            time.sleep(1)
        out, said = p.communicate(timeout=600)
        report = json.loads(out)
        assert p.returncode == 0, said
        assert report["requests"]["failed"] == 0
        assert report["streams"]["debates"] >= 8
        for kind in ("sse", "websocket"):
            streams = report["streams"][kind]
            assert streams["failed"] == streams["lost"] == 0
            assert streams["doubled"] == streams["misordered"] == 0
            assert streams["finished"] == streams["followed"] >= 20


# ---- use ----

@pytest.mark.parametrize("args, complaint", [
    ([], "--url: is missing"),
    (["--url", "https://x"], "--url: must begin with http://"),
    (["--url", "http://"], "--url: has no host"),
    (["--url", "http://x/api"], "--url: must not have a path"),
    (["--url", "http://x:0"], "--url: has no port of 1 to 65535"),
    (["--url", "http://x:65536"], "--url: has no port of 1 to 65535"),
    (["--url", "http://[::1"], "--url: has no host"),
    (["--profile", "lunch"], "--profile: no such profile"),
    (["--rate", "0"], "--rate: must be a number above 0, up to 100000"),
    (["--seconds", "x"], "--seconds: must be a number above 0, up to 86400"),
    (["--url", "http://x", "--stages", "60"], "--stages: '60' is not RATE"),
    (["--connections", "0"], "--connections: must be a whole number, 1 to"),
    (["--ws", "-1"], "--ws: must be a whole number, 0 to"),
    (["--together", "0"], "--together: must be a whole number, 1 to 20000"),
    (["--timeout", "1.5"], "--timeout: must be a whole number, 1 to 3600"),
    (["--url", "http://x", "--only", "lunch"],
     "--only: no request is called 'lunch'; there are health, "),
    (["--url", "http://x", "--only", "read"],
     "--only: nothing in 'read' can be asked for first"),
    (["--url", "http://x", "--slo", "p96_ms=3"],
     "--slo: no objective is called 'p96_ms'; there are p50_ms, "),
    (["--url", "http://x", "--slo", "p95_ms"],
     "--slo: 'p95_ms' is not NAME=BOUND"),
    (["lunch"], "lunch: is no option"),
    (["--lunch"], "--lunch"),
])
def test_wrong_use(args, complaint):
    r = subprocess.run([LOADGEN, *args], capture_output=True, text=True,
                       check=False, timeout=600)
    assert r.returncode == 2 and r.stdout == ""
    assert complaint in r.stderr
    assert "--help tells the options" in r.stderr


def test_help():
    r = subprocess.run([LOADGEN, "--help"], capture_output=True, text=True,
                       check=True, timeout=600)
    for name in ("smoke", "baseline", "stress", "spike", "soak", "fanout", "--url",
                 "--rate", "99 one is missed"):
        assert name in r.stdout
    assert max(map(len, r.stdout.splitlines())) <= 80


def test_report_file_and_key(tmp_path):
    path = tmp_path / "report.json"
    with Server(say(200, b'{"status":1}')) as server:
        r = subprocess.run(
            [LOADGEN, "--url", server.url + "/", "--only", "health",
             "--profile", "soak", "--rate", "48", "--seconds", "1", "--sse",
             "0", "--ws", "0", "--report", path, "--quiet", *PATIENT],
            env={**os.environ, "API_KEY": "ara_example"},
            capture_output=True, text=True, check=True, timeout=600)
        assert r.stdout == r.stderr == ""
        report = json.loads(path.read_text(encoding="utf-8"))
        assert report["profile"] == "soak"
        assert [s["answered"] for s in report["stages"]] == 12 * [4]
        assert report["requests"]["wanted"] == len(server.seen) == 48
        heads = {(h.headers["Authorization"], h.headers["Host"])
                 for h in server.seen}
        assert heads == {("Bearer ara_example",
                          f"127.0.0.1:{server.server.server_port}")}
        assert loadgen(server.url, "--report", tmp_path / "no" / "where",
                       "--stages", "50:1", "--only", "health")[0] == 1


def test_interrupted():
    with Server(say(200, b'{"status":1}')) as server:
        p = subprocess.Popen(
            [LOADGEN, "--url", server.url, "--report", "-", "--only",
             "health", "--profile", "soak", "--sse", "0", "--ws", "0",
             *PATIENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        st.wait_for("requests", lambda: len(server.seen) > 20)
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=600)
    report = json.loads(out)
    assert p.returncode == 1 and report["is_interrupted"]
    requests = report["requests"]
    assert requests["answered"] == requests["wanted"] == len(server.seen)


def test_progress():
    """A terminal has one line, which changes."""
    main, side = pty.openpty()
    with Server(say(200, b'{"status":1}')) as server:
        p = subprocess.Popen(
            [LOADGEN, "--url", server.url, "--only", "health", "--stages",
             "20:3", "--sse", "0", "--ws", "0", *PATIENT], stderr=side,
            stdout=subprocess.DEVNULL)
        os.close(side)
        said = b""
        with contextlib.suppress(OSError):  # it has ended
            while part := os.read(main, 65536):
                said += part
        p.wait(600)
    os.close(main)
    assert p.returncode == 0
    progress = said.split(b"\nok ")[0]
    assert progress.count(b"\r") >= 3 and progress.count(b"\n") <= 1
    assert b"60 answered, 0 failed" in progress


# ---- the measurements beside it ----

def measure(name, *args):
    r = subprocess.run(
        ["/usr/bin/python3", "-B", os.path.join(st.SOURCE, "tests/load", name),
         "--build", st.BUILD, *args], capture_output=True, text=True,
        check=False, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def test_comparison_runs():
    """With wrk and h2load; how near they are is not what this looks at."""
    said = measure("compare.py", "--runs", "1", "--seconds", "1")
    for name in ("loadgen", "h2load", "wrk"):
        assert re.search(rf"^{name} +[\d.]+/s  p50 [\d.]+ ms  p90 ", said,
                         re.M), said
    assert "loadgen over h2load: p50 " in said
    assert "loadgen over wrk: p50 " in said


def test_cache_measurement_runs():
    said = measure("cache.py", "--times", "3")
    assert len(said.splitlines()) == 3
    for line in said.splitlines():
        m = re.fullmatch(r"/api/\S+: \d+ bytes, computed [\d.]+ ms "
                         r"\((\d+)\), kept [\d.]+ ms \((\d+)\), "
                         r"ratio [\d.]+", line)
        assert int(m.group(1)) >= 100 and int(m.group(2)) >= 1
