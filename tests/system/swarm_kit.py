# SPDX-License-Identifier: MIT
"""Bridges under load: one or two of them over SQLite alone or PostgreSQL and
Redis, a publisher that works the way the runner does, and swarms of clients
(tests/tools/ws_swarm.c) that check what they see."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import stack as st
from ws_kit import Feed

WAIT = 120  # seconds after which something did not happen
DEBATE = "d"
DRAIN_MS = 4000  # clients come back within five sixths of it


def connects(address):
    if address.startswith("unix:"):
        return st.Stack.connects(address[5:])
    host, port = address.rsplit(":", 1)
    with socket.socket() as s:
        return s.connect_ex((host, int(port))) == 0


class Swarm:
    """A process of many clients of the debate."""

    def __init__(self, rig, clients, events, *more):
        self.process = subprocess.Popen(
            [os.path.join(st.BUILD, "tests/tools/ws_swarm"), "--address",
             rig.address, "--path", f"/ws?debate_id={DEBATE}", "--clients",
             str(clients), "--events", str(events), "--seconds",
             str(2 * WAIT), *more], stdout=subprocess.PIPE, text=True)

    def signal(self, number):
        self.process.send_signal(number)

    def ready(self):
        """All are connected."""
        assert self.process.stdout.readline() == "ready\n"

    def report(self):
        """What it saw, when all have seen everything. Nothing was wrong."""
        text = self.process.stdout.read().splitlines()[-1]
        status = self.process.wait(WAIT)
        report = json.loads(text)
        print(text)
        for key in ("missing", "gaps", "doubles", "out_of_order", "wrong"):
            assert report[key] == 0, text
        assert report["done"] == report["clients"], text
        assert status == 0, text
        return report

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Rig:
    """with Rig(...) as rig. database_url: else SQLite, and no Redis. bridges:
    two of them stand behind nginx, which sends clients to either. is_tcp:
    the only one listens on a port."""

    def __init__(self, database_url=None, bridges=1, is_tcp=False,
                 **settings):
        self.folder = tempfile.mkdtemp(prefix="aragora-swarm-")
        self.env = {"PATH": os.environ["PATH"],
                    "ARAGORA_DATA_DIR": self.folder,
                    "ARAGORA_LOG_FORMAT": "json",
                    "ARAGORA_DISABLE_ALL_RATE_LIMITS": "1", **settings}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.processes, self.swarms, self.feed = {}, [], None
        self.is_tcp = is_tcp
        self.redis_socket = self.path("redis.sock")
        try:
            if database_url:
                self.env["ARAGORA_DATABASE_URL"] = database_url
                self.env["ARAGORA_REDIS_URL"] = "unix:" + self.redis_socket
                self.start_redis()
            self.feed = Feed(self.env)
            self.feed("migrate")
            self.feed.debate(DEBATE)
            self.address = "unix:" + self.bridge_socket(0)
            if is_tcp:
                self.address = f"127.0.0.1:{st.free_port()}"
            for i in range(bridges):
                self.start_bridge(i)
            if bridges > 1:
                self.start_nginx(bridges)
        except BaseException:
            self.close(check=False)
            raise

    def path(self, name):
        return os.path.join(self.folder, name)

    def bridge_socket(self, i):
        return self.path(f"ws{i}.sock")

    def spawn(self, name, *argv):
        with open(self.path(name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(
                argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def start_redis(self):
        self.spawn("redis", "redis-server", "--port", "0", "--unixsocket",
                   self.redis_socket, "--save", "", "--appendonly", "no",
                   "--dir", self.folder)
        st.wait_for("redis", lambda: st.Stack.connects(self.redis_socket))

    def start_bridge(self, i):
        address = self.address if self.is_tcp \
            else "unix:" + self.bridge_socket(i)
        self.spawn(f"ws{i}", os.path.join(st.BUILD, "aragora-ws"),
                   "--listen", address, "--times", f"drain={DRAIN_MS}")
        st.wait_for("bridge", lambda: connects(address))

    def start_nginx(self, bridges):
        """conf/nginx/aragora.conf, with all the bridges in its upstream."""
        with open(os.path.join(st.SOURCE, "conf/nginx/aragora.conf"),
                  encoding="ascii") as f:
            conf = f.read()
        port = st.free_port()
        one = "server unix:/run/aragora/ws.sock max_fails=0;"
        listen = "listen 80;"
        assert one in conf and listen in conf
        conf = conf.replace(one, "\n".join(
            f"server unix:{self.bridge_socket(i)} max_fails=0;"
            for i in range(bridges)))
        conf = conf.replace(listen, f"listen 127.0.0.1:{port} backlog=4096;")
        user = "user root;" if os.getuid() == 0 else ""
        # Beside it for fastcgi_params.
        os.symlink("/etc/nginx/fastcgi_params", self.path("fastcgi_params"))
        with open(self.path("nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""{user} daemon off; worker_processes 1;
worker_rlimit_nofile 20000; pid {self.path("nginx.pid")};
events {{ worker_connections 16384; }}
http {{ access_log off; {conf} }}
""")
        self.spawn("nginx", shutil.which("nginx") or "/usr/sbin/nginx", "-e",
                   self.path("nginx.log"), "-p", self.folder, "-c",
                   self.path("nginx.conf"))
        self.address = f"127.0.0.1:{port}"
        st.wait_for("nginx", lambda: connects(self.address))

    def swarm(self, clients, events, *more):
        swarm = Swarm(self, clients, events, *more)
        self.swarms.append(swarm)
        return swarm

    def stream(self, events, rate, mode="each", size=120):
        """events of them from now on; `with` ends when the last was stored
        and the debate is over: events + 1 in all."""
        return Stream(self.feed, f"stream {DEBATE} {events} {rate} {size} "
                                 f"{mode}", mode)

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def restart(self, i):
        """As a service manager does: asked to end, then started again."""
        process = self.processes.pop(f"ws{i}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
        self.start_bridge(i)

    def log(self, name):
        with open(self.path(name + ".log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def close(self, check=True):
        for swarm in self.swarms:
            swarm.close()
        status = {}
        for name, process in reversed(list(self.processes.items())):
            st.end(process)
            status[name] = process.returncode
        if self.feed is not None:
            self.feed.close()
        logs = {name: self.log(name) for name in self.processes}
        shutil.rmtree(self.folder, ignore_errors=True)
        if not check:
            for name, text in logs.items():
                print(f"---- {name}\n{text[-4000:]}")
            return
        for name, text in logs.items():
            assert status[name] == 0, f"{name}: {status[name]}\n{text[-4000:]}"
            assert "Sanitizer" not in text, text
            assert '"level":"error"' not in text, text

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.close(check=kind is None)


class Stream:
    def __init__(self, feed, command, mode):
        self.feed, self.command, self.mode = feed, command, mode

    def __enter__(self):
        self.feed.begin(self.command)
        self.begun = time.monotonic()
        return self

    def until(self, seconds):
        """Let it run until so long after its begin."""
        time.sleep(max(0, self.begun + seconds - time.monotonic()))

    def __exit__(self, kind, *rest):
        if kind is not None:
            return
        self.feed.answer(self.command)
        # The last word is heard of in any case: if not from the bus, then
        # from the table.
        seq = self.feed.finish(DEBATE, publish=False)
        if self.mode == "each":
            self.feed(f"publish {DEBATE} {seq}")
