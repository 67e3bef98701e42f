# SPDX-License-Identifier: MIT
"""The worker on its socket: parked connections, time-outs, malformed input,
draining."""
import os
import signal
import socket
import struct
import threading
import time

import httpx
import pytest

import fcgi_stack as fs

READ_TIMEOUT_S = 2


@pytest.fixture(name="worker", scope="module")
def fixture_worker():
    with fs.Stack(spawner="listen", fcgi_threads=2,
                  fcgi_read_timeout=READ_TIMEOUT_S) as stack:
        yield stack.start_workers()


def is_serving(stack):
    with stack.connect() as s:
        s.sendall(fs.request("/healthz", keep=False))
        return fs.answer(s)[0] == 200


def is_closed(sock):
    try:
        return sock.recv(4096) == b""
    except ConnectionResetError:
        return True


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_kept_connection_serves_many_requests(worker):
    with worker.connect() as s:
        for uri, expected in (("/healthz", 200), ("/nothing", 404),
                              ("/api/v1/health", 200), ("/healthz", 200)):
            s.sendall(fs.request(uri))
            assert fs.answer(s)[0] == expected


def test_connection_is_closed_when_not_to_be_kept(worker):
    with worker.connect() as s:
        s.sendall(fs.request("/healthz", keep=False))
        assert fs.answer(s)[0] == 200
        assert is_closed(s)


def test_idle_kept_connections_block_nobody(worker):
    """More idle connections than threads, each after a request of its own."""
    idle = [worker.connect() for _ in range(8)]
    for s in idle:
        s.sendall(fs.request("/healthz"))
        assert fs.answer(s)[0] == 200
    silent = [worker.connect() for _ in range(8)]
    assert is_serving(worker)
    for s in idle:
        s.sendall(fs.request("/healthz"))
        assert fs.answer(s)[0] == 200
    for s in idle + silent:
        s.close()
    assert is_serving(worker)


@pytest.mark.parametrize("cut", [4, 12, 30, -20])
def test_half_a_request_is_cut_off(worker, cut):
    whole = fs.request("/api/debates", "POST", b'{"task":"a question"}')
    with worker.connect() as s:
        s.sendall(whole[:cut])
        assert is_closed(s)
    assert is_serving(worker)


@pytest.mark.parametrize("cut", [-8, -3])
def test_missing_end_of_body(worker, cut):
    """The announced length is there, the record that ends it is not: an
    answer, but nothing more on this connection."""
    whole = fs.request("/api/debates", "POST", b'{"x":1}')
    with worker.connect() as s:
        s.sendall(whole[:cut])
        assert fs.answer(s)[0] == 400
        assert is_closed(s)
    assert is_serving(worker)


def test_body_that_never_comes_is_cut_off(worker):
    with worker.connect() as s:
        s.sendall(fs.begin() + fs.params("/api/debates", "POST",
                                         b"x" * 100) +
                  fs.record(fs.STDIN, b"x" * 50))
        assert is_closed(s)
    assert is_serving(worker)


MALFORMED = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": b"\0" * 64,
    "version": fs.record(fs.BEGIN, b"\0\1\1\0\0\0\0\0", version=9),
    "id zero": fs.record(fs.BEGIN, b"\0\1\1\0\0\0\0\0", request_id=0),
    "short begin": fs.record(fs.BEGIN, b"\0\1"),
    "role": fs.begin(role=77) + fs.params("/healthz"),
    "params first": fs.params("/healthz"),
    "stdin first": fs.record(fs.STDIN, b"x"),
    "values": fs.record(fs.GET_VALUES, fs.pair("FCGI_MAX_CONNS", ""),
                        request_id=0),
    "many values": fs.record(
        fs.GET_VALUES, fs.pair("FCGI_MAX_CONNS", "") * 50, request_id=0),
    "values with NUL": fs.record(
        fs.GET_VALUES, b"\2\0A\0", request_id=0),
    "param length": fs.begin() + fs.record(
        fs.PARAMS_RECORD, b"\xff\xff\xff\xff\xff\xff\xff\xff" + b"x" * 50) +
    fs.record(fs.PARAMS_RECORD) + fs.record(fs.STDIN),
    "param overrun": fs.begin() + fs.record(
        fs.PARAMS_RECORD, b"\x05\x7fabcde") + fs.record(fs.PARAMS_RECORD) +
    fs.record(fs.STDIN),
    "abort": fs.begin() + fs.record(fs.ABORT),
    "stdout": fs.begin() + fs.record(fs.STDOUT, b"x"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_records(worker, name):
    """No crash, no answer of nonsense, no spinning, others are served."""
    with worker.connect() as s:
        s.sendall(MALFORMED[name])
        s.shutdown(socket.SHUT_WR)
        s.settimeout(READ_TIMEOUT_S * 3)
        assert is_closed(s)
    assert is_serving(worker)
    before = cpu_ticks(worker.pids[0])
    time.sleep(0.3)
    assert cpu_ticks(worker.pids[0]) - before < 10


def test_request_byte_by_byte(worker):
    body = b'{"x":1}'
    with worker.connect() as s:
        for byte in fs.request("/api/debates", "POST", body):
            s.sendall(bytes([byte]))
        status, headers, _ = fs.answer(s)
        assert status == 400
        assert headers["Content-Type"] == "application/json"
        s.sendall(fs.request("/healthz"))
        assert fs.answer(s)[0] == 200


def test_padding_and_foreign_records_are_skipped(worker):
    data = fs.begin() + fs.params("/healthz")
    data = data[:-8] + fs.record(fs.PARAMS_RECORD, b"", padding=7)
    data += fs.record(fs.STDIN, b"zz", request_id=5)
    data += fs.record(fs.STDIN, b"", padding=3)
    with worker.connect() as s:
        s.sendall(data)
        assert fs.answer(s)[0] == 200


def test_unread_body_does_not_poison_the_connection(worker):
    with worker.connect() as s:
        s.sendall(fs.request("/healthz", "POST", b"y" * 200000))
        assert fs.answer(s)[0] == 405
        s.sendall(fs.request("/healthz", "GET", b"z" * 70000))
        assert fs.answer(s)[0] == 200
        s.sendall(fs.request("/healthz"))
        assert fs.answer(s)[0] == 200


def test_client_that_leaves_before_the_answer(worker):
    for _ in range(20):
        with worker.connect() as s:
            s.sendall(fs.request("/api/openapi.json"))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    assert is_serving(worker)


@pytest.mark.parametrize("name", ["HTTP_AUTHORIZATION", "HTTP_HOST",
                                  "HTTP_IDEMPOTENCY_KEY", "CONTENT_LENGTH"])
def test_a_header_sent_twice(worker, name):
    env = fs.pair("REQUEST_METHOD", "GET") + fs.pair("REQUEST_URI", "/healthz")
    env += fs.pair(name, "1") * 2
    with worker.connect() as s:
        s.sendall(fs.begin() + fs.record(fs.PARAMS_RECORD, env) +
                  fs.record(fs.PARAMS_RECORD) + fs.record(fs.STDIN))
        status, _, body = fs.answer(s)
        assert status == 400
        assert name.encode() in body


def test_no_descriptor_or_memory_leaks(worker):
    pid = worker.pids[0]

    def rss():
        with open(f"/proc/{pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * 4096

    def load(n):
        with worker.connect() as s:
            for _ in range(n):
                s.sendall(fs.request("/api/health"))
                assert fs.answer(s)[0] == 200
        for _ in range(n // 20):
            assert is_serving(worker)

    load(400)
    before, files = rss(), len(os.listdir(f"/proc/{pid}/fd"))
    load(2000)
    fs.wait_for("descriptors to be closed", lambda: len(
        os.listdir(f"/proc/{pid}/fd")) <= files)
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        has_quarantine = "libasan" in f.read()  # keeps what was freed
    assert has_quarantine or rss() - before < 2 << 20


# ---- stopping ----

def test_drain_finishes_what_is_in_flight():
    with fs.Stack(spawner="listen", fcgi_threads=2) as stack:
        stack.start_workers()
        body = b'{"x":1}'
        whole = fs.request("/api/debates", "POST", body)
        kept = stack.connect()
        kept.sendall(fs.request("/healthz"))
        assert fs.answer(kept)[0] == 200
        half = stack.connect()
        half.sendall(whole[:-10])
        time.sleep(0.3)
        stack.signal(signal.SIGTERM)
        fs.wait_for("drain", lambda: "server.drain" in stack.logged())
        kept.sendall(fs.request("/readyz"))
        status, _, text = fs.answer(kept)
        assert status == 503 and b'"accepting":false' in text
        assert is_closed(kept)
        half.sendall(whole[-10:])
        assert fs.answer(half)[0] == 400
        assert is_closed(half)
        pid = stack.pids[0]
        status = os.waitpid(pid, 0)[1]
        stack.pids = []
        assert os.waitstatus_to_exitcode(status) == 0
        assert not os.path.exists(stack.socket)


def is_refused(stack):
    try:
        stack.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_drain_refuses_who_comes_next():
    """All workers of a socket end: the web server learns it at once and may
    ask elsewhere, while what they were asked before is answered."""
    with fs.Stack(workers=2, fcgi_threads=2) as stack:
        stack.start_workers()
        whole = fs.request("/api/debates", "POST", b'{"x":1}')
        with stack.connect() as half:
            half.sendall(whole[:-10])
            stack.signal()
            fs.wait_for("refusal", lambda: is_refused(stack))
            half.sendall(whole[-10:])
            assert fs.answer(half)[0] == 400
        stack.wait_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_idle_worker_stops_at_once(number):
    with fs.Stack(spawner="listen") as stack:
        stack.start_workers()
        idle = stack.connect()
        stack.signal(number)
        assert is_closed(idle)
        status = os.waitpid(stack.pids[0], 0)[1]
        stack.pids = []
        assert os.waitstatus_to_exitcode(status) == 0


def test_second_signal_ends_it_now():
    with fs.Stack(spawner="listen") as stack:
        stack.start_workers()
        half = stack.connect()
        half.sendall(fs.request("/healthz")[:20])
        time.sleep(0.3)
        stack.signal()
        fs.wait_for("drain", lambda: "server.drain" in stack.logged())
        stack.signal()
        status = os.waitpid(stack.pids[0], 0)[1]
        stack.pids = []
        assert os.waitstatus_to_exitcode(status) == 1


def test_term_under_load_loses_no_request():
    """Two workers on one socket behind nginx; one goes while clients post."""
    with fs.Stack(workers=2, fcgi_threads=2) as stack:
        stack.start_workers().start_nginx()
        stop, results = threading.Event(), []

        def run():
            with stack.client() as c:
                while not stop.is_set():
                    try:
                        results.append(c.post("/api/debates", json={
                            "x": 1}).status_code)
                        results.append(c.get("/healthz").status_code)
                    except httpx.HTTPError as e:
                        results.append(repr(e))

        threads = [threading.Thread(target=run, daemon=True)
                   for _ in range(6)]
        for t in threads:
            t.start()
        fs.wait_for("load", lambda: len(results) > 50)
        victim = stack.pids[0]
        os.kill(victim, signal.SIGTERM)
        fs.wait_for("exit", lambda: not fs.is_alive(victim))
        count = len(results)
        fs.wait_for("more load", lambda: len(results) > count + 50)
        stop.set()
        for t in threads:
            t.join()
        stack.pids.remove(victim)
        assert set(results) == {400, 200}


def test_replaces_a_dead_socket_and_refuses_a_live_one():
    with fs.Stack(spawner="listen") as stack:
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(stack.socket)
        dead.close()
        stack.start_workers()
        assert is_serving(stack)
        second = fs.subprocess.run(
            [os.path.join(fs.BUILD, "aragora-fcgi"), "--listen",
             f"unix:{stack.socket}"], env=stack.env, timeout=30,
            capture_output=True, check=False)
        assert second.returncode == 71
        assert b"in use" in second.stderr
        assert is_serving(stack)


def run_program(*args, **kwargs):
    return fs.subprocess.run(
        [os.path.join(fs.BUILD, "aragora-fcgi"), *args],
        capture_output=True, text=True, timeout=30, check=False,
        stdin=fs.subprocess.DEVNULL, **kwargs)


def test_command_line():
    assert "Usage: aragora-fcgi" in run_program("--help").stdout
    assert run_program("--version").stdout.startswith("aragora-fcgi ")
    assert run_program("--protocol", "gopher").returncode == 64
    assert run_program("--nonsense").returncode == 64
    assert run_program("leftover").returncode == 64
    no_socket = run_program()
    assert no_socket.returncode == 71
    assert "no listening socket" in no_socket.stderr
    assert run_program("--listen", "nonsense").returncode == 64


def test_socket_from_systemd():
    with fs.Stack(spawner="listen") as stack:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(stack.socket)
        listener.listen()
        code = ("import os, sys\n"
                "fd = int(sys.argv[1])\n"
                "os.dup2(fd, 3)\n"
                "os.environ.update(LISTEN_FDS='1', "
                "LISTEN_PID=str(os.getpid()))\n"
                "os.execv(sys.argv[2], sys.argv[2:])\n")
        with open(stack.log, "ab") as log:
            p = fs.subprocess.Popen(
                ["/usr/bin/python3", "-c", code, str(listener.fileno()),
                 os.path.join(fs.BUILD, "aragora-fcgi")], env=stack.env,
                stdin=fs.subprocess.DEVNULL, stderr=log,
                pass_fds=[listener.fileno()])
        stack.pids = [p.pid]
        assert is_serving(stack)


def test_tcp():
    with fs.Stack(spawner="listen") as stack:
        port = fs.free_port()
        with open(stack.log, "ab") as log:
            p = fs.subprocess.Popen(
                [os.path.join(fs.BUILD, "aragora-fcgi"), "--listen",
                 f"127.0.0.1:{port}"], env=stack.env,
                stdin=fs.subprocess.DEVNULL, stderr=log)
        stack.pids = [p.pid]
        fs.wait_for("start", lambda: "server.start" in stack.logged())
        with socket.create_connection(("127.0.0.1", port), 30) as s:
            for _ in range(3):
                s.sendall(fs.request("/healthz"))
                assert fs.answer(s)[0] == 200
