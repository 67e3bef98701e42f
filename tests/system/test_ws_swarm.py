# SPDX-License-Identifier: MIT
"""Thousands of clients of a debate see each of its events once and in order,
whatever becomes of Redis, of the bridge, of the publisher or of themselves.
No time is measured: what is told of an event may come late, but it comes."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
import stack as st
from swarm_kit import Rig

ANSWER = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
          b"Connection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def message(seq, n=None, end=False):
    """A frame as the bridge writes it; n: what its text belongs to."""
    event = {"type": "debate_end" if end else "agent_message", "seq": seq,
             "data": {"n": n or seq}}
    text = json.dumps(event, separators=(",", ":")).encode()
    assert len(text) < 126
    return bytes([0x81, len(text)]) + text


# What a server sends -> what is said of it.
WRONGS = {
    "nothing": ([1, 2, 3, 4], {}),
    "twice": ([1, 2, 2, 3, 4], {"doubles": 1}),
    "swapped": ([1, 3, 2, 4], {"gaps": 1, "out_of_order": 1}),
    "lost": ([1, 2, 4], {"gaps": 1, "missing": 1, "done": 0}),
    "no end": ([1, 2, 3], {"missing": 1, "done": 0}),
    "another's text": ([1, (2, 3), 3, 4], {"wrong": 1}),
    "end too soon": ([1, 2, (3, 3, True), 4], {"wrong": 1}),
    "too many": ([1, 2, 3, 5, 4], {"wrong": 1}),
}


@pytest.mark.parametrize("name", WRONGS)
def test_swarm_tells_what_is_wrong(tmp_path, name):
    """The clients of these tests against a server that errs."""
    events, want = WRONGS[name]
    path = str(tmp_path / "server.sock")
    frames = b""
    for e in events:
        args = e if isinstance(e, tuple) else (e, None, e == 4)
        frames += message(*args)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            with contextlib.suppress(OSError), listener.accept()[0] as s:
                s.recv(4096)
                # In pieces that end within frames.
                data = ANSWER + frames
                for i in range(0, len(data), 50):
                    s.sendall(data[i:i + 50])
                while s.recv(4096):
                    pass
        server = threading.Thread(target=serve)
        server.start()
        r = subprocess.run(
            [os.path.join(st.BUILD, "tests/tools/ws_swarm"), "--address",
             "unix:" + path, "--path", "/ws?debate_id=d", "--clients", "1",
             "--events", "4", "--seconds", "1"], capture_output=True,
            text=True, check=False)
        server.join()
    report = json.loads(r.stdout.splitlines()[-1])
    good = {"missing": 0, "gaps": 0, "doubles": 0, "out_of_order": 0,
            "wrong": 0, "done": 1}
    assert {k: report[k] for k in good} == {**good, **want}
    assert (r.returncode == 0) == (not want)


@pytest.fixture(params=["sqlite", "pgsql"])
def database(request):
    """SQLite without Redis, or PostgreSQL with it."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres").database()


def test_redis_dies_and_comes_back(postgres):
    with Rig(postgres.database()) as rig:
        swarm = rig.swarm(2000, 2001)
        swarm.ready()
        with rig.stream(2000, 200) as stream:
            stream.until(3)
            rig.kill("redis")
            stream.until(6)
            rig.start_redis()
        report = swarm.report()
        # None of them noticed.
        assert report["opened"] == 2000 and report["replays"] == 0
        assert "ws.bus_silent" in rig.log("ws0") or \
            "redis" in rig.log("ws0")


def test_bridge_dies_and_comes_back(database):
    with Rig(database) as rig:
        swarm = rig.swarm(2000, 1601)
        swarm.ready()
        with rig.stream(1600, 200) as stream:
            for second in (2, 5):
                stream.until(second)
                rig.kill("ws0")
                stream.until(second + 0.5)
                rig.start_bridge(0)
        report = swarm.report()
        assert report["opened"] > 2000 and report["replays"] > 0


def test_a_fifth_is_stopped(database):
    """The others go on; those fall off the ring, then read the table."""
    with Rig(database, ARAGORA_EVENT_REPLAY_BUFFER_SIZE="100") as rig:
        swarms = [rig.swarm(400, 1201, "--receive", "16384")
                  for _ in range(5)]
        for swarm in swarms:
            swarm.ready()
        with rig.stream(1200, 200, size=1500) as stream:
            stream.until(0.5)
            swarms[0].signal(signal.SIGSTOP)
        reports = [swarm.report() for swarm in swarms[1:]]
        swarms[0].signal(signal.SIGCONT)
        reports.append(swarms[0].report())
        for report in reports:
            assert report["opened"] == 400 and report["replays"] == 0


def test_a_fifth_is_stopped_for_too_long(database):
    """Too far behind: they are sent away with 1013 and resume. Who does not
    read until its connection is gone is not told why."""
    with Rig(database, ARAGORA_USER_EVENT_QUEUE_SIZE="300",
             ARAGORA_LOG_LEVEL="DEBUG") as rig:
        swarms = [rig.swarm(400, 1201, "--receive", "16384")
                  for _ in range(5)]
        for swarm in swarms:
            swarm.ready()
        with rig.stream(1200, 200, size=1500) as stream:
            stream.until(0.5)
            swarms[0].signal(signal.SIGSTOP)
        for swarm in swarms[1:]:
            assert swarm.report()["replays"] == 0
        swarms[0].signal(signal.SIGCONT)
        report = swarms[0].report()
        assert report["replays"] == 400
        assert report["closes"].keys() <= {"1013"}
        assert rig.log("ws0").count('"code":1013') == 400


def test_all_reconnect_at_once(database):
    with Rig(database) as rig:
        swarm = rig.swarm(5000, 801)
        swarm.ready()
        with rig.stream(800, 100) as stream:
            for second in (2, 5):
                stream.until(second)
                swarm.signal(signal.SIGUSR1)
        report = swarm.report()
        assert report["opened"] >= 10000 and report["replays"] >= 5000


@pytest.mark.parametrize("mode", ["wild", "none"])
def test_publisher_that_cannot_be_relied_upon(database, mode):
    """It repeats, reorders and omits messages, or never sends one."""
    with Rig(database) as rig:
        swarm = rig.swarm(2000, 1201)
        swarm.ready()
        with rig.stream(1200, 200, mode):
            pass
        report = swarm.report()
        assert report["opened"] == 2000


def test_limits_of_each_address():
    """Of a hundred addresses, as many clients as one address may have; an
    address with one more is told to wait."""
    with Rig(is_tcp=True, ARAGORA_DISABLE_ALL_RATE_LIMITS="0") as rig:
        swarm = rig.swarm(1000, 101, "--sources", "100")
        swarm.ready()
        with rig.stream(100, 100) as stream:
            stream.until(0.5)
            other = rig.swarm(1, 101, "--sources", "1")
        assert swarm.report()["refused"] == 0
        report = other.report()
        assert report["refused"] >= 1 and report["opened"] == 1
