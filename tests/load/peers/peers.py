#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast two things are asked of Aragora and of its peers, all behind the
same nginx: how it is (health), and a row of a kilobyte by its key from
PostgreSQL (row). Runs of all alternate; figures are medians, ratios are
medians of the ratios of each round.

    tests/load/peers/peers.py [--build DIR] [--rounds N] [--seconds S]
                              [--connections C] [--only NAME,...] [--hold]

    return 200  nginx itself, with as many bytes
    aragora     two workers as shipped, no rate limits: GET /api/health and
                GET /api/debates/{id} of a completed debate
    php-fpm     opcache, static processes, a kept connection and one round trip
    fastify     two processes, schema serializer, pool, named statements
    fastapi     two uvicorns, uvloop, httptools, asyncpg pool, ujson

Each has two processes and eight connections to PostgreSQL; php-fpm, whose
processes do one request at a time, has eight of them. The peers read one row
of a table of their own and answer with as many bytes as Aragora does; what
it does beside that (whose rows they are, held by row level security; who may
ask; tracing, counting) they leave out. Processor time for each request is
told by part: it says more than requests per second where others use the
machine too. Needs wrk and scripts/packages.sh's groups `run` and `test`.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
from servers import Servers, fetch  # noqa: E402

NAMES = ("return 200", "aragora", "php-fpm", "fastify", "fastapi")
ENDPOINTS = ("health", "row")
PARTS = ("nginx", "application", "postgresql")
# Uptime and versions have a digit more or less.
SLACK_BYTES = 8


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


class Side:
    """One endpoint of one of them: rates, and processor time by part."""

    def __init__(self, servers, name, endpoint):
        self.servers, self.name = servers, name
        self.url = servers.urls[name][endpoint]
        self.rates, self.count = [], 0
        self.seconds = dict.fromkeys(PARTS, 0)

    def used(self):
        return {"nginx": self.servers.cpu("nginx"),
                "application": self.servers.cpu(self.name),
                "postgresql": self.servers.cpu("postgresql")}

    def run(self, args):
        before = self.used()
        rate, count = run_wrk(self.url, args)
        after = self.used()
        self.rates.append(rate)
        self.count += count
        for part in PARTS:
            self.seconds[part] += after[part] - before[part]

    def median(self):
        return statistics.median(self.rates)

    def over(self, other):
        return statistics.median(
            mine / its for mine, its in zip(self.rates, other.rates))

    def cpu(self, part):
        return self.seconds[part] / self.count * 1e6


def check(servers):
    """All answer with as many bytes of JSON as Aragora does."""
    for endpoint in ENDPOINTS:
        texts = {n: fetch(servers.urls[n][endpoint]) for n in NAMES}
        length = len(texts["aragora"])
        print(f"{endpoint}: {length} bytes")
        for name, text in texts.items():
            if abs(len(text) - length) > SLACK_BYTES:
                sys.exit(f"{name}: {len(text)} bytes of {endpoint}, not "
                         f"{length}:\n{text}")
            if name != "return 200":
                json.loads(text)


def report(endpoint, sides):
    ours, base = sides.get("aragora"), sides.get("return 200")
    print(f"{endpoint}:")
    print("                requests/s            of return 200  aragora is"
          "   us of a processor: nginx + application + postgresql")
    for name, s in sides.items():
        of = f"{s.over(base):13.2f}" if base else f"{'':13}"
        times = f"{ours.over(s):8.2f} x" if ours else f"{'':10}"
        parts = [s.cpu(p) for p in PARTS]
        spread = f"({min(s.rates):.0f} to {max(s.rates):.0f})"
        print(f"  {name:11}{s.median():8.0f} {spread:16}{of}  {times}   "
              f"{sum(parts):7.1f}: " +
              " + ".join(f"{x:.1f}" for x in parts), flush=True)


def measure(servers, names, args):
    sides = {e: {n: Side(servers, n, e) for n in names} for e in ENDPOINTS}
    for of in sides.values():
        for s in of.values():
            run_wrk(s.url, args)  # warm
    for _ in range(args.rounds):
        for of in sides.values():
            for s in of.values():
                s.run(args)
    for endpoint, of in sides.items():
        report(endpoint, of)


def hold(servers):
    """For whoever wants to look: where all are, until the input ends."""
    print(json.dumps(servers.urls), flush=True)
    sys.stdin.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", default=",".join(NAMES),
                        help="names, separated by commas")
    parser.add_argument("--hold", action="store_true",
                        help="measure nothing: print where all are as JSON, "
                             "and stay until the input ends")
    args = parser.parse_args()
    names = args.only.split(",")
    if not set(names) <= set(NAMES):
        parser.error("--only takes " + ", ".join(NAMES))
    if not shutil.which("wrk"):
        sys.exit("no wrk: apt-get install wrk")
    folder = tempfile.mkdtemp(prefix="aragora-peers-")
    os.chmod(folder, 0o755)
    try:
        with Servers(folder, args.build) as servers:
            if args.hold:
                hold(servers)
            else:
                check(servers)
                measure(servers, names, args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
