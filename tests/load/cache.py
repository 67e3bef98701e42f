#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the cache saves: the same answers computed and kept. The board of 60
agents with 3,000 matches is asked for with many limits, each of which is an
answer of its own, several times in turn; X-Cache tells which answers were
kept. One connection, medians of the times that it waited.

    tests/load/cache.py [--build DIR] [--times N]
"""
import argparse
import http.client
import os
import random
import sqlite3
import statistics
import sys
import time
import urllib.parse

from stack import Stack

AGENTS, MATCHES = 60, 3000
LIMITS = range(1, 101)
ROUTES = ("/api/leaderboard-view", "/api/leaderboard", "/api/matches/recent")


def fill(folder):
    """Ratings as after so many debates."""
    rng = random.Random(1)
    names = [f"agent-{i}" for i in range(AGENTS)]
    now = int(time.time() * 1e6)
    db = sqlite3.connect(os.path.join(folder, "data", "aragora.db"),
                         timeout=30)
    with db:
        db.execute("INSERT OR REPLACE INTO rating_boards (tenant, matches) "
                   "VALUES ('default', ?)", (MATCHES,))
        for name in names:
            db.execute(
                "INSERT INTO ratings (tenant, domain, agent, elo, games, "
                "wins, losses, streak, updated_us) "
                "VALUES ('default', '', ?, ?, 100, 50, 50, 1, ?)",
                (name, rng.randrange(1200000000, 1800000000), now))
        for i in range(MATCHES):
            one, two = rng.sample(names, 2)
            when = now - (MATCHES - i) * 1000000
            db.execute(
                "INSERT INTO matches (debate_id, tenant, domain, winner, "
                "source, confidence, players, created_us) VALUES "
                "(?, 'default', '', ?, 'consensus', 800000, ?, ?)",
                (f"match_{i}", one, f'["{one}","{two}"]', when))
            for name, score in ((one, 1000000), (two, 0)):
                db.execute(
                    "INSERT INTO match_players (debate_id, agent, tenant, "
                    "domain, score, elo, elo_change, created_us) VALUES "
                    "(?, ?, 'default', '', ?, 1500000000, 16000000, ?)",
                    (f"match_{i}", name, score, when))
    db.close()


def ask(connection, path):
    begun = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - begun
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {body[:200]}")
    return answer.headers.get("X-Cache"), seconds * 1000, len(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--times", type=int, default=6)
    args = parser.parse_args()
    with Stack(args.build) as stack:
        fill(stack.folder)
        connection = http.client.HTTPConnection(
            urllib.parse.urlsplit(stack.url).netloc)
        for route in ROUTES:
            times, sizes = {"HIT": [], "MISS": []}, []
            for limit in LIMITS:
                for _ in range(args.times):
                    how, ms, size = ask(connection, f"{route}?limit={limit}")
                    times[how].append(ms)
                    sizes.append(size)
            hit, miss = (statistics.median(times[k]) for k in ("HIT", "MISS"))
            print(f"{route}: {statistics.median(sizes):.0f} bytes, computed "
                  f"{miss:.3f} ms ({len(times['MISS'])}), kept {hit:.3f} ms "
                  f"({len(times['HIT'])}), ratio {miss / hit:.1f}")


main()
