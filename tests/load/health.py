#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast GET /api/health is through nginx, as a ratio to nginx's own
`return 200` with a body of the same length on the same machine. Runs of the
two alternate; the ratio is that of the medians. Processor time per request
is told too. Needs wrk and nginx.

    tests/load/health.py [--build DIR] [--runs N] [--seconds S]
                         [--connections C]
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

from stack import Stack, cpu_seconds, free_port, tree_of

# As little as nginx can do, with the same number of workers and no log.
BASE_CONF = """
worker_processes {workers};
daemon off;
pid {folder}/base.pid;
error_log {folder}/base.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/base-body;
    proxy_temp_path {folder}/base-proxy;
    fastcgi_temp_path {folder}/base-fastcgi;
    uwsgi_temp_path {folder}/base-uwsgi;
    scgi_temp_path {folder}/base-scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            default_type application/json;
            return 200 '{body}';
        }}
    }}
}}
"""


def nginx_program():
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which("nginx", path=path) or sys.exit("no nginx")


class Base:
    """The nginx to compare with."""

    def __init__(self, folder, body, workers):
        self.port = free_port()
        self.conf = os.path.join(folder, "base.conf")
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(BASE_CONF.format(folder=folder, port=self.port,
                                     workers=workers, body="x" * body))

    def __enter__(self):
        self.process = subprocess.Popen([nginx_program(), "-c", self.conf])
        self.url = f"http://127.0.0.1:{self.port}/"
        for _ in range(100):
            try:
                with urllib.request.urlopen(self.url):
                    return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        sys.exit("nginx did not come up")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def run_wrk(url, args):
    """Requests per second and how many; any answer but 2xx or a broken
    connection makes the figure worthless."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s", url],
        check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{url}:\n{out}")
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            int(re.search(r"(\d+) requests in", out).group(1)))


def workers_of(stack):
    """How many nginx workers the stack runs."""
    return max(1, sum("nginx: worker" in name
                      for _, name in tree_of(stack.process.pid)))


class Side:
    """One of the two: its rates, and the processor time of its parts."""

    def __init__(self, url, parts):
        self.url = url
        self.parts = parts  # name -> function giving seconds so far
        self.rates = []
        self.count = 0
        self.start = None

    def run(self, args):
        if self.start is None:
            run_wrk(self.url, args)  # warm
            self.start = {n: f() for n, f in self.parts.items()}
        rate, count = run_wrk(self.url, args)
        self.rates.append(rate)
        self.count += count
        return rate

    def median(self):
        return statistics.median(self.rates)

    def cpu(self):
        return ", ".join(
            f"{n} {(f() - self.start[n]) / self.count * 1e6:.1f} us"
            for n, f in self.parts.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("no wrk: apt-get install wrk")
    with Stack(args.build) as stack:
        pid = stack.process.pid
        ours = Side(stack.url + "/api/health", {
            "nginx": lambda: cpu_seconds(pid, "nginx:"),
            "workers": lambda: cpu_seconds(pid, "aragora-fcgi")})
        with urllib.request.urlopen(ours.url) as r:
            body = len(r.read())
        with Base(stack.folder, body, workers_of(stack)) as base:
            theirs = Side(base.url, {
                "nginx": lambda: cpu_seconds(base.process.pid)})
            for _ in range(args.runs):
                print(f"return 200: {theirs.run(args):8.0f}/s   "
                      f"/api/health: {ours.run(args):8.0f}/s")
            print(f"processor time per request: return 200: {theirs.cpu()}; "
                  f"/api/health: {ours.cpu()}")
    print(f"median return 200 {theirs.median():.0f}/s, "
          f"/api/health {ours.median():.0f}/s, "
          f"ratio {ours.median() / theirs.median():.2f}")


main()
