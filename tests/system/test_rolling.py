# SPDX-License-Identifier: MIT
"""Every program of a service is replaced, one after the other, while clients
work: none of them gets an error, and nothing is lost or done twice."""
import collections
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import redis

import fcgi_stack as fs
import stack as st
import steady_kit
import web_kit
from sweep_kit import Database

END_S = 30  # what an end may take
LEASE_S = "300"  # nothing goes on for the reason that a lease ran out
BRIDGES = GROUP = 2
AGENTS = ["openai-api|stub-slow@20"] * 2
BODY = {"task": "Is it better to travel or to arrive?", "agents": AGENTS,
        "rounds": 1, "consensus": "majority"}
HEED = ("unit", "ws", "runner")  # SIGHUP
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def adopt(on):
    """Whose parent has ended becomes a child of this process, which then
    learns its status."""
    assert ctypes.CDLL(None).prctl(SUBREAPER, int(on), 0, 0, 0) == 0


class Orphan:
    """A process that spawn-fcgi has left behind."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


class Service(web_kit.Web):
    """conf/nginx/aragora.conf before two sockets of workers and two of
    bridges. Of the workers, one group was started by spawn-fcgi and loses its
    socket when it ends; the others stand behind a socket that a service
    manager holds, as conf/systemd has it."""

    def __init__(self, **kw):
        self.group, self.units, self.bridges = [], [], []
        self.held = None
        adopt(True)
        try:
            super().__init__("nginx", "fcgi", stub=True, runners=2,
                             ARAGORA_LEASE=LEASE_S, **kw)
        except BaseException:
            adopt(False)
            raise

    def path(self, name):
        return os.path.join(self.run_dir, name)

    # ---- bridges ----

    def start_bridge(self):
        for i in range(BRIDGES):
            self.bridges.append(self.start_one_bridge(i))

    def start_one_bridge(self, i):
        path = self.path(f"ws{i}.sock")
        p = self.spawn(f"ws{i}", self.program("aragora-ws"), "--listen",
                       f"unix:{path}", "--times", "drain=4000")
        st.wait_for("bridge", lambda: self.connects(path))
        web_kit.others_may(path)
        return p

    # ---- workers ----

    def start_workers(self):
        os.chmod(self.dir, 0o755)
        for d in (self.data, self.run_dir):
            web_kit.others_may(d)
        self.start_group()
        self.held = socket.socket(socket.AF_UNIX)
        self.held.bind(self.path("units.sock"))
        self.held.listen(1024)
        web_kit.others_may(self.path("units.sock"))
        for i in range(GROUP):
            self.units.append(self.start_unit(i))

    def start_group(self):
        script, pids = self.path("worker.sh"), self.path("fcgi.pids")
        with open(script, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexec "$@" 2>>{self.log_path("fcgi")}\n')
        os.chmod(script, 0o755)
        before = self.log("fcgi").count("server.start")
        subprocess.run(
            ["spawn-fcgi", "-s", self.path("group.sock"), "-M", "0666", "-F",
             str(GROUP), "-P", pids, "--", script,
             self.program("aragora-fcgi")], env=self.env, check=True,
            stdout=subprocess.DEVNULL)
        with open(pids, encoding="ascii") as f:
            self.group = [Orphan(int(x)) for x in f.read().split()]
        st.wait_for("workers", lambda: self.log("fcgi").count(
            "server.start") == before + GROUP)

    def start_unit(self, i):
        before = self.log(f"unit{i}").count("server.start")
        with open(self.log_path(f"unit{i}"), "ab") as log:
            p = subprocess.Popen([self.program("aragora-fcgi")], env=self.env,
                                 stdin=self.held, stdout=log, stderr=log)
        self.processes[f"unit{i}"] = p
        st.wait_for("worker", lambda: self.log(f"unit{i}").count(
            "server.start") == before + 1)
        return p

    # ---- nginx ----

    def start_nginx_as_shipped(self):
        shutil.copy("/etc/nginx/fastcgi_params", self.run_dir)
        text = self.shipped("nginx/aragora.conf", **{
            "listen 80;": f"listen 127.0.0.1:{self.port};"})
        for old, names in (("fcgi", ("group", "units")),
                           ("ws", ("ws0", "ws1"))):
            line = f"server unix:{self.path(old)}.sock max_fails=0;"
            assert line in text
            text = text.replace(line, "\n".join(
                line.replace(f"/{old}.sock", f"/{n}.sock") for n in names))
        self.write("site.conf", text)
        path = self.write("nginx.conf", web_kit.NGINX.format(
            dir=self.run_dir,
            user="user www-data;" if web_kit.IS_ROOT else ""))
        self.spawn("nginx", web_kit.program("nginx"), "-p", self.run_dir,
                   "-c", path)

    def start_nginx(self, is_up=None):
        self.start_nginx_as_shipped()
        st.wait_for("nginx", self.is_healthy)

    def everybody(self):
        return [*self.group, *self.units, *self.runners, *self.bridges]

    def close(self, check=True):
        try:
            for p in self.group:
                p.send_signal(signal.SIGTERM)
            super().close(check)
            for p in self.group:
                st.wait_for("end", lambda q=p: q.poll() is not None)
        finally:
            if self.held is not None:
                self.held.close()
            adopt(False)


class Manager:
    """Hears all that a service manager is told."""

    def __init__(self, path):
        self.path, self.heard = str(path), []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while text := self.socket.recv(4096).decode():
            self.heard.append(text)

    def count(self, word):
        return sum(word in text.splitlines() for text in self.heard)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.path)
        self.thread.join(st.WAIT)
        self.socket.close()


def ended(processes):
    """Told to end; seconds that it took."""
    begun = time.monotonic()
    for p in processes:
        p.send_signal(signal.SIGTERM)
    st.wait_for("end", lambda: all(p.poll() is not None for p in processes),
                END_S)
    assert [p.returncode for p in processes] == [0] * len(processes)
    return time.monotonic() - begun


@pytest.fixture(name="service")
def start(postgres, tmp_path):
    manager = Manager(tmp_path / "notify")
    with Service(database_url=postgres.database(), redis=True,
                 NOTIFY_SOCKET=manager.path) as s:
        s.manager = manager
        s.database = Database(s.env, s.data)
        try:
            yield s
        finally:
            s.database.close()
            manager.close()


def owned(s, name):
    return [i for i, in s.database.rows(
        "SELECT id FROM debates WHERE runner = ?", name)]


def replace_group(s, load):
    """All of a socket's workers at once: nobody else takes from it."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(st.WAIT)
        probe.connect(s.path("group.sock"))
        whole = fs.request("/api/health/ready")
        probe.sendall(whole[:-10])
        before = s.log("fcgi").count("server.drain")
        for p in s.group:
            p.send_signal(signal.SIGTERM)
        st.wait_for("drain", lambda: s.log("fcgi").count("server.drain") ==
                    before + GROUP)
        # It says that it goes, and answers what it was asked.
        probe.sendall(whole[-10:])
        status, _, body = fs.answer(probe)
        assert status == 503 and json.loads(body)["status"] == "not_ready"
    begun = time.monotonic()
    st.wait_for("end", lambda: all(p.poll() is not None for p in s.group),
                END_S)
    assert [p.returncode for p in s.group] == [0] * GROUP
    load.more(50)
    s.start_group()
    load.more(50)
    return time.monotonic() - begun


def start_runner(s, i):
    """Another one under the name of the one that has ended."""
    name = f"runner{i + 1}"
    before = s.log(name).count("runner.start")
    s.runners[i] = s.spawn(name, s.program("aragora-runner"), "--id", name)
    st.wait_for("runner", lambda: s.log(name).count("runner.start") > before)


def replace_runner(s, i):
    """Its debates are gone on with at once; leases are long here."""
    name = f"runner{i + 1}"
    st.wait_for("debates in its hands", lambda: owned(s, name))
    took = ended([s.runners[i]])
    assert not owned(s, name)
    start_runner(s, i)
    return took


def hang_up(s):
    """All read their settings again."""
    def heard():
        return {n: text.count('"settings.reload"')
                for n, text in s.logs().items()}
    before = heard()
    for p in s.everybody():
        p.send_signal(signal.SIGHUP)
    for name, n in before.items():
        more = GROUP if name == "fcgi" else name[:-1] in HEED
        st.wait_for(f"reload by {name}", lambda a=name, b=n + more:
                    heard()[a] == b)


def check_debates(s, ids):
    """Each was completed once, with a result, from whole answers."""
    for debate_id in ids:
        d = s.get(f"/api/debates/{debate_id}")
        assert d["status"] == "completed" and d["final_answer"], d
        st.check_sequence(s.events(debate_id))
    rows = s.database.rows("SELECT count(*), count(DISTINCT debate_id) FROM "
                           "events WHERE type = 'debate_end'")
    assert rows == [(len(ids), len(ids))]
    assert s.database.rows("SELECT count(*) FROM turns WHERE state <> 1") == \
        [(0,)]


def test_rolling_restart(service):
    s, took = service, {}
    load = steady_kit.Steady("127.0.0.1", s.port, BODY)
    try:
        load.more(200)
        took["group"] = replace_group(s, load)
        hang_up(s)
        for i in range(GROUP):
            took[f"unit{i}"] = ended([s.units[i]])
            load.more(50)
            s.units[i] = s.start_unit(i)
        for i in range(2):
            took[f"runner{i + 1}"] = replace_runner(s, i)
            hang_up(s)
            load.more(100)
        for i in range(BRIDGES):
            took[f"ws{i}"] = ended([s.bridges[i]])
            s.bridges[i] = s.start_one_bridge(i)
            load.more(300)
        load.finish()
    finally:
        load.close()
        print(took, load, sep="\n")
    assert load.failures == []
    load.check_stories()
    assert set(load.closes) == {1001, "sse"}
    check_debates(s, load.debates)
    # Workers under spawn-fcgi, the others, runners, bridges.
    assert s.manager.count("STOPPING=1") == 2 * GROUP + 2 + BRIDGES


@pytest.fixture(name="wakes")
def listen_for_wakes(service):
    """What rings at runners: a new debate, or one that was handed back."""
    with redis.Redis(unix_socket_path=service.redis_socket) as r, \
            r.pubsub(ignore_subscribe_messages=True) as p:
        p.subscribe("aragora:wake")
        st.wait_for("subscription", lambda: r.pubsub_numsub(
            "aragora:wake")[0][1] > 2)
        yield p


def long_call(s):
    """Does a model think that has been asked a while ago?"""
    looks = []
    for _ in range(2):
        r = s.stub_requests()
        with open(s.stub_log, encoding="utf-8") as f:
            looks.append((r["total"], r["total"] - len(f.readlines())))
        time.sleep(0.2)
    return looks[0] == looks[1] and looks[0][1] > 0


def test_runner_in_a_long_call(service, wakes):
    """It does not wait for the model, which may take longer than an end may:
    it hangs up, and the other runner asks the same once more."""
    s, handed = service, 0
    debate_id = s.create(**{**BODY, "agents": [
        "openai-api|stub-firstslow", "openai-api|stub-ok"]})

    def is_over():
        return not s.get(f"/api/debates/{debate_id}")["in_progress"]
    while st.wait_for("a long call", lambda: is_over() or long_call(s)) and \
            not is_over():
        (name, lease_us), = s.database.rows(
            "SELECT runner, lease_until_us FROM debates WHERE id = ?",
            debate_id)
        while wakes.get_message(timeout=0.1):
            pass
        i = int(name[-1]) - 1
        ended([s.runners[i]])
        st.wait_for("wake-up", lambda: wakes.get_message(timeout=0.1))
        st.wait_for("the other runner", lambda n=name: is_over() or owned(
            s, "runner1" if n == "runner2" else "runner2"))
        # Long before the lease would have been over.
        assert time.time() * 1e6 < lease_us
        handed += 1
        start_runner(s, i)
    assert handed >= 2
    assert s.stub_requests()["client_closed"] >= handed
    check_debates(s, [debate_id])


def children(pid):
    """name -> pids of a supervisor's programs."""
    found = collections.defaultdict(list)
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        for child in f.read().split():
            with contextlib.suppress(OSError):
                name = os.path.basename(os.readlink(f"/proc/{child}/exe"))
                found[name.removeprefix("lt-")].append(int(child))
    return found


def replace_child(serve, name, i, log):
    """Its supervisor starts another one."""
    pid = children(serve.pid)[name][i]
    ends = f'"name":"{name}","end":"exit","code":0'
    before = log().count(ends)
    os.kill(pid, signal.SIGTERM)
    st.wait_for("end", lambda: log().count(ends) > before, END_S)
    count = {"aragora-fcgi": 2}.get(name, 1)
    st.wait_for("the next", lambda: len(children(serve.pid)[name]) == count)
    assert pid not in children(serve.pid)[name]


def test_one_machine(tmp_path):
    """The same of `aragora serve`: SQLite, no Redis, one bridge, one runner,
    and the times that are shipped."""
    port = st.free_port()
    env = {"PATH": os.environ["PATH"], "ARAGORA_LOG_FORMAT": "json",
           "ARAGORA_DISABLE_ALL_RATE_LIMITS": "1", "ARAGORA_WORKERS": "2",
           "ARAGORA_LEASE": LEASE_S}
    path = tmp_path / "log"
    with open(path, "wb") as log:
        serve = subprocess.Popen(
            [st.Stack.program("aragora"), "serve", "--port", str(port),
             "--data", str(tmp_path / "data")], env=env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    load = None
    try:
        st.wait_for("start", lambda: b"is ready" in path.read_bytes())
        load = steady_kit.Steady("127.0.0.1", port, {
            **BODY, "agents": ["demo", "demo"]}, rate=80)
        load.more(100)
        for name, i in (("aragora-ws", 0), ("aragora-fcgi", 0),
                        ("aragora-runner", 0), ("aragora-fcgi", 1)):
            replace_child(serve, name, i, path.read_text)
            load.more(100)
        load.finish()
        assert load.failures == []
        load.check_stories()
        assert set(load.closes) == {1001, "sse"}
    finally:
        if load is not None:
            load.close()
            print(load)
        st.end(serve)
    assert serve.returncode == 0
    text = path.read_text()
    assert '"level":"error"' not in text and "Sanitizer" not in text, text
