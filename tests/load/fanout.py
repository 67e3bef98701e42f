#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast a message reaches many WebSocket clients: our bridge beside nchan
(nginx's module, package libnginx-mod-nchan) and npm's ws with ioredis
(scripts/check packages), each with one loop, on this machine, in turns. Told
are the medians of the runs: deliveries a second with each message on its own
(single) and with fifty at once (burst), both also per second of the server's
processor time, which other load hardly moves; the time to the 50th and the
99th of a hundred deliveries at 20 messages a second; and the growth of the
server's own memory by an idle connection, in the first run of servers just
started. Ratios are ours to theirs.

    tests/load/fanout.py [--build DIR] [--runs N] [--clients N,N,...]
                         [--deliveries N] [--seconds S] [--only NAME,...]
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from stack import free_port

NCHAN = "/usr/lib/nginx/modules/ngx_nchan_module.so"
NCHAN_CONF = """
load_module {module}; {user}
daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid {folder}/nchan.pid; error_log {folder}/nchan.err warn;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 100000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c; scgi_temp_path {folder}/d;
    uwsgi_temp_path {folder}/e;
    nchan_shared_memory_size 256M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /pub {{
            nchan_publisher; nchan_channel_id $arg_id;
            nchan_message_buffer_length 2000; nchan_message_timeout 60s;
        }}
        location = /sub {{
            nchan_subscriber websocket; nchan_channel_id $arg_id;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


def clean_environment(folder, redis):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("ARAGORA_", "REDIS_", "DATABASE_"))}
    env.update(ARAGORA_DATA_DIR=folder, ARAGORA_REDIS_URL="unix:" + redis,
               ARAGORA_DISABLE_ALL_RATE_LIMITS="1", ARAGORA_WS_LOOPS="1")
    return env


class Servers:
    """All three, in a folder of their own; name -> (pid, kind, address,
    path, where to publish)."""

    def __init__(self, build, only):
        self.build = os.path.abspath(build)
        self.folder = tempfile.mkdtemp(prefix="aragora-fanout-")
        self.redis = os.path.join(self.folder, "redis.sock")
        self.processes, self.sides = [], {}
        self.env = clean_environment(self.folder, self.redis)
        self.spawn("redis-server", "--port", "0", "--unixsocket", self.redis,
                   "--save", "", "--dir", self.folder)
        self.wait(self.redis)
        for name in only:
            getattr(self, "start_" + name)()

    def spawn(self, *argv, **kw):
        p = subprocess.Popen(argv, env={**self.env, **kw.pop("env", {})},
                             stdin=kw.pop("stdin", subprocess.DEVNULL),
                             stdout=kw.pop("stdout", subprocess.DEVNULL),
                             stderr=kw.pop("stderr", subprocess.DEVNULL),
                             **kw)
        self.processes.append(p)
        return p

    @staticmethod
    def wait(address):
        is_port = isinstance(address, int)
        for _ in range(200):
            with socket.socket(socket.AF_INET if is_port
                               else socket.AF_UNIX) as s:
                if s.connect_ex(("127.0.0.1", address) if is_port
                                else address) == 0:
                    return
            time.sleep(0.05)
        sys.exit(f"nobody listens at {address}")

    def start_aragora(self):
        self.feed = self.spawn(
            os.path.join(self.build, "tests/tools/feed"), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.tell("migrate")
        port = free_port()
        p = self.spawn(os.path.join(self.build, "aragora-ws"), "--listen",
                       f"127.0.0.1:{port}")
        self.wait(port)
        self.sides["aragora"] = (p.pid, "aragora", port, "/ws?debate_id=",
                                 "unix:" + self.redis)

    def tell(self, command):
        self.feed.stdin.write(command + "\n")
        self.feed.stdin.flush()
        answer = self.feed.stdout.readline()
        assert answer.startswith("ok"), answer

    def start_nchan(self):
        if not os.path.exists(NCHAN):
            sys.exit("no nchan: apt-get install libnginx-mod-nchan")
        port = free_port()
        conf = os.path.join(self.folder, "nchan.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(NCHAN_CONF.format(
                module=NCHAN, folder=self.folder, port=port,
                user="user root;" if os.getuid() == 0 else ""))
        p = self.spawn(shutil.which("nginx") or "/usr/sbin/nginx", "-e",
                       "stderr", "-c", conf)
        self.wait(port)
        worker = subprocess.run(
            ["pgrep", "-P", str(p.pid)], check=True, capture_output=True,
            text=True).stdout.split()[0]
        self.sides["nchan"] = (int(worker), "nchan", port, "/sub?id=",
                               f"127.0.0.1:{port}")

    def start_node(self):
        modules = os.path.join(self.build, "npm/node_modules")
        if not os.path.isdir(os.path.join(modules, "ioredis")):
            sys.exit("no npm packages: scripts/check packages")
        port = free_port()
        p = self.spawn("node", os.path.join(os.path.dirname(
            os.path.abspath(__file__)), "fanout_node.js"), str(port),
            self.redis, env={"NODE_PATH": modules})
        self.wait(port)
        self.sides["node"] = (p.pid, "redis", port, "/?id=",
                              "unix:" + self.redis)

    def measure(self, name, channel, clients, args):
        pid, kind, port, path, publish = self.sides[name]
        if kind == "aragora":
            self.tell(f"create {channel} How fast is it?")
        r = subprocess.run(
            [os.path.join(self.build, "tests/load/fanout"), "--kind", kind,
             "--subscribe", f"127.0.0.1:{port}", "--path", path + channel,
             "--publish", publish, "--channel", channel, "--clients",
             str(clients), "--pid", str(pid), "--messages",
             str(max(25, args.deliveries // clients)), "--seconds", str(args.seconds)],
            stdout=subprocess.PIPE, text=True, check=False)
        if r.returncode != 0:
            sys.exit(f"{name} with {clients} clients failed")
        return json.loads(r.stdout)

    def close(self):
        for p in reversed(self.processes):
            p.terminate()
            p.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# figure -> how it is found in a run's object; True: more is better
FIGURES = {
    "single, deliveries/s": (("single", "per_second"), True),
    "single, deliveries/cpu s": (("single", "per_cpu_second"), True),
    "burst, deliveries/s": (("burst", "per_second"), True),
    "burst, deliveries/cpu s": (("burst", "per_cpu_second"), True),
    "p50, ms": (("latency_us", "p50"), False),
    "p99, ms": (("latency_us", "p99"), False),
    "idle connection, bytes": (("idle_bytes",), False),
}


def figure(run, name):
    value = run
    for key in FIGURES[name][0]:
        value = value[key]
    return value / 1000 if name.endswith("ms") else value


def median(runs, name):
    """A server that had as many clients before has memory left for them."""
    if name.startswith("idle"):
        return figure(runs[0], name)
    return statistics.median(figure(r, name) for r in runs)


def tell(clients, runs):
    """The medians as a table, and what ours is to theirs."""
    print(f"\n{clients} subscribers:")
    for name, (_, is_rate) in FIGURES.items():
        medians = {side: median(rs, name) for side, rs in runs.items()}
        line = "  ".join(
            f"{side} {value:,.1f}" if name.endswith("ms")
            else f"{side} {value:,.0f}" for side, value in medians.items())
        ours = medians.get("aragora")
        for side, value in medians.items():
            if side != "aragora" and ours:
                ratio = ours / value if is_rate else value / ours
                line += f"  {ratio:.2f} times {side}"
        print(f"  {name:26} {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clients", default="500,2000,5000")
    parser.add_argument("--deliveries", type=int, default=500000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", default="aragora,nchan,node")
    args = parser.parse_args()
    for clients in map(int, args.clients.split(",")):
        servers = Servers(args.build, args.only.split(","))
        runs = {name: [] for name in servers.sides}
        try:
            for i in range(args.runs):
                for name in servers.sides:
                    runs[name].append(
                        servers.measure(name, f"r{i}", clients, args))
        finally:
            servers.close()
        tell(clients, runs)


main()
