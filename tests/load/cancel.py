#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long after a cancel the providers see their connections closed, on the
local bus and over Redis, beside a bare publish to a subscriber of the same
Redis. Times are of the stub's own clock; the stub and we share the machine.
    tests/load/cancel.py [--build DIR] [--rounds N] [--others N]"""
import argparse
import http.client
import json
import os
import socket
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--build", default=".")
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--seats", type=int, default=3)
    p.add_argument("--others", type=int, default=0,
                   help="debates of demo agents that run meanwhile")
    return p.parse_args()


def closed_us(s):
    """When the stub saw calls end that it had not answered."""
    return [c["ended_us"] for c in map(json.loads, open(
        s.stub_log, encoding="utf-8")) if c["outcome"] == "client closed"]


def post(port, path):
    """Over a connection that stands already: the request alone counts."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.connect()
    begin = time.time_ns() // 1000
    c.request("POST", path)
    r = c.getresponse()
    r.read()
    end = time.time_ns() // 1000
    c.close()
    assert r.status == 200, r.status
    return begin, end


def cancel_once(s, st, seats, others):
    """Milliseconds from the request, and from its answer, to the last."""
    for _ in range(others):
        s.create(agents=["demo"] * 5, rounds=3)
    before, calls = len(closed_us(s)), s.stub_requests()["total"]
    debate_id = s.create(agents=["openai-api|stub-slow@1000"] * seats,
                         rounds=1)
    st.wait_for("calls", lambda: s.stub_requests()["total"] == calls + seats)
    asked, answered = post(s.port, f"/api/debates/{debate_id}/cancel")
    st.wait_for("closed connections",
                lambda: len(closed_us(s)) == before + seats)
    last = max(closed_us(s)[before:])
    return (last - asked) / 1000, (last - answered) / 1000


def connect(path):
    c = socket.socket(socket.AF_UNIX)
    c.connect(path)
    return c


def redis_once(path):
    """Milliseconds from a publish to its arrival at a subscriber."""
    with connect(path) as sub, connect(path) as pub:
        sub.sendall(b"SUBSCRIBE cancel\r\n")
        sub.recv(4096)
        begin = time.perf_counter()
        pub.sendall(b"PUBLISH cancel x\r\n")
        sub.recv(4096)
        return (time.perf_counter() - begin) * 1000


def row(name, values, peer):
    values = sorted(values)
    middle = statistics.median(values)
    print(f"{name:34} {middle:9.3f} {values[int(len(values) * 0.95)]:9.3f} "
          f"{values[-1]:9.3f} {middle / peer:8.1f}")


def main():
    a = arguments()
    os.environ["top_builddir"] = os.path.abspath(a.build)
    sys.path.insert(0, os.path.join(HERE, "..", "system"))
    import stack as st
    found, peer = {}, []
    for redis in (False, True):
        with st.Stack(stub=True, redis=redis,
                      ARAGORA_MAX_CONCURRENT_DEBATES="1000") as s:
            cancel_once(s, st, a.seats, 0)  # the first connects everything
            found[redis] = [cancel_once(s, st, a.seats, a.others)
                            for _ in range(a.rounds)]
            if redis:
                peer = [redis_once(s.redis_socket) for _ in range(a.rounds)]
    middle = statistics.median(peer)
    print(f"{'ms, of ' + str(a.rounds) + ' each':34} {'median':>9} {'95 %':>9} "
          f"{'longest':>9} {'x peer':>8}")
    for redis, name in ((False, "local bus"), (True, "Redis")):
        row(f"{name}: request to closed", [f[0] for f in found[redis]],
            middle)
        row(f"{name}: answer to closed", [f[1] for f in found[redis]], middle)
    row("peer: Redis publish to subscriber", peer, middle)


if __name__ == "__main__":
    main()
