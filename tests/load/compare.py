#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""loadgen beside wrk and h2load, on the same route of the same stack at the
same rate: the ratios of their percentiles say whether loadgen measures what
others measure, from when a request was sent. What it tells by itself counts
from when the request was due, and is shown beside that. Runs of the three
alternate; figures are medians. h2load keeps the rate by itself and writes each
request's time; wrk is a closed loop that pauses between its requests, so its
rate is a little lower. With more than one connection the two send on all of
them at the same moment, and their medians tell of that. Needs wrk and h2load
(Debian: wrk, nghttp2-client).

    tests/load/compare.py [--build DIR] [--runs N] [--seconds S] [--rate R]
                          [--connections C] [--path PATH]
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

from stack import Stack

PERCENTS = (50, 90, 99)
# A pause in milliseconds between the requests of a connection.
PAUSE = "function delay() return {pause} end\n"
NAMES = {"/api/health": "health", "/api/agents": "agents",
         "/api/debates?limit=10": "list",
         "/api/leaderboard-view?limit=10": "leaderboard"}


def run(*argv):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                       check=False)
    if r.returncode not in (0, 99):
        sys.exit(f"{argv[0]}: {r.stderr or r.stdout}")
    return r.stdout


def loadgen(args, stack):
    out = json.loads(run(
        os.path.join(args.build, "tests/load/loadgen"), "--url", stack.url,
        "--only", NAMES[args.path], "--stages",
        f"{args.rate}:{args.seconds}", "--connections", args.connections,
        "--sse", 0, "--ws", 0, "--quiet", "--report", "-"))
    requests = out["requests"]
    if requests["failed"]:
        sys.exit(f"loadgen: {requests['errors']}")
    args.due.append([requests["latency_ms"][f"p{p}"] for p in PERCENTS])
    return requests["rate"], [requests["service_ms"][f"p{p}"]
                              for p in PERCENTS]


def h2load(args, stack):
    log = os.path.join(stack.folder, "h2load.log")
    if os.path.exists(log):
        os.unlink(log)
    run("h2load", "--h1", "-t1", "-c", args.connections, "-n",
        args.rate * args.seconds, "--rps", args.rate / args.connections,
        f"--log-file={log}", stack.url + args.path)
    begun, times = [], []
    with open(log, encoding="ascii") as f:
        for line in f:
            start, status, us = map(int, line.split("\t"))
            if status != 200:
                sys.exit(f"h2load: status {status}")
            begun.append(start)
            times.append(us / 1000)
    cuts = statistics.quantiles(times, n=100)
    seconds = (max(begun) - min(begun)) / 1e6
    return (len(times) - 1) / seconds, [cuts[p - 1] for p in PERCENTS]


def wrk(args, stack):
    script = os.path.join(stack.folder, "pause.lua")
    with open(script, "w", encoding="ascii") as f:
        f.write(PAUSE.format(pause=1000 * args.connections // args.rate))
    out = run("wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s",
              "--latency", "-s", script, stack.url + args.path)
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"wrk:\n{out}")
    unit = {"us": 0.001, "ms": 1, "s": 1000}
    found = {int(p): float(n) * unit[u] for p, n, u in re.findall(
        r"^ +(50|90|99)%\s+([\d.]+)(us|ms|s)$", out, re.M)}
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            [found[p] for p in PERCENTS])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--path", default="/api/health", choices=NAMES)
    args = parser.parse_args()
    args.due = []  # what loadgen tells by itself
    for name in ("wrk", "h2load"):
        if not shutil.which(name):
            sys.exit(f"no {name}: apt-get install wrk nghttp2-client")
    tools = {"loadgen": loadgen, "h2load": h2load, "wrk": wrk}
    rows = {name: [] for name in tools}
    with Stack(args.build) as stack:
        loadgen(args, stack)  # warm
        args.due.clear()
        for _ in range(args.runs):
            for name, tool in tools.items():
                rate, times = tool(args, stack)
                rows[name].append([rate, *times])
    medians = {name: [statistics.median(column) for column in zip(*found)]
               for name, found in rows.items()}
    print(f"{args.path}, {args.rate}/s over {args.connections} connections, "
          f"medians of {args.runs} runs of {args.seconds} s")
    for name, (rate, *times) in medians.items():
        print(f"{name:8} {rate:7.1f}/s  " + "  ".join(
            f"p{p} {t:.3f} ms" for p, t in zip(PERCENTS, times)))
    print("loadgen, since they were due: " + "  ".join(
        f"p{p} {statistics.median(column):.3f} ms"
        for p, column in zip(PERCENTS, zip(*args.due))))
    ours = medians.pop("loadgen")
    for name, theirs in medians.items():
        print(f"loadgen over {name}: " + ", ".join(
            f"p{p} {a / b:.2f}" for p, a, b in zip(PERCENTS, ours[1:],
                                                   theirs[1:])))


main()
