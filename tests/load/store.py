#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the store does per second, on SQLite and on a private PostgreSQL, both
durable as in production: synchronous=FULL there, fsync and synchronous_commit
on here. First what a runner commits (a turn of 600 bytes and the event that
tells of it), one by one and in groups; then reads by primary key: three round
trips (BEGIN, SELECT, COMMIT), one, and within one transaction 64 that are
waited for one by one or sent as one pipeline. Runs of all alternate; figures
are medians.

    tests/load/store.py [--build DIR] [--runs N] [--seconds S]
                        [--only sqlite|postgresql] [--folder DIR]
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from postgres import Postgres
from stack import clean_environment

GROUPS = (8, 64, 256)
CASES = ([("commit", 1)] + [("commit", n) for n in GROUPS] +
         [(f"read-{how}", 1)
          for how in ("three", "one", "blocking", "pipelined")])
# What is told of which, over what.
RATIOS = ([(f"groups of {n} over one by one", ("commit", n), ("commit", 1))
           for n in GROUPS] +
          [("one round trip over three", ("read-one", 1), ("read-three", 1)),
           ("pipelined over blocking", ("read-pipelined", 1),
            ("read-blocking", 1))])


def run(build, program, *args, env):
    return subprocess.run(
        [os.path.join(build, program), *args], check=True,
        env={**clean_environment(), **env}, stdout=subprocess.PIPE).stdout


class StorePostgres(Postgres):
    def prepare(self, build):
        """As in production: one role owns, another serves."""
        self.prepare_roles()
        run(build, "aragora", "migrate", env=self.env("aragora_owner"))
        run(build, "tests/load/store_bench", "fill", env=self.env())
        self.psql("-d", "aragora", "-c", "VACUUM ANALYZE")

    def env(self, role="aragora_app"):
        return {"ARAGORA_DATABASE_URL": self.url(role)}


class Sqlite:
    def __init__(self, folder):
        self.data = os.path.join(folder, "data")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def prepare(self, build):
        run(build, "aragora", "migrate", env=self.env())
        run(build, "tests/load/store_bench", "fill", env=self.env())

    def env(self):
        return {"ARAGORA_DATA_DIR": self.data}


DATABASES = {"sqlite": Sqlite, "postgresql": StorePostgres}


def measure(args, database, case):
    env = database.env()
    if args.prepare:
        env["ARAGORA_DB_PREPARE"] = "server"
    return float(run(args.build, "tests/load/store_bench", case[0],
                     str(args.seconds), str(case[1]), env=env))


def report(name, rates):
    median = {case: statistics.median(r) for case, r in rates.items()}
    print(f"{name}:")
    for case in CASES:
        label = case[0] if case[1] == 1 else f"{case[0]} by {case[1]}"
        spread = f"{min(rates[case]):.0f} to {max(rates[case]):.0f}"
        print(f"  {label:16} {median[case]:10.0f}/s   ({spread})")
    for label, over, under in RATIOS:
        print(f"  {label}: {median[over] / median[under]:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", choices=sorted(DATABASES))
    parser.add_argument("--prepare", action="store_true",
                        help="with ARAGORA_DB_PREPARE=server")
    parser.add_argument("--folder", help="a folder on the disk to measure")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="aragora-load-", dir=args.folder)
    os.chmod(folder, 0o755)
    try:
        for name, kind in DATABASES.items():
            if args.only not in (None, name):
                continue
            rates = {case: [] for case in CASES}
            with kind(folder) as database:
                database.prepare(args.build)
                for _ in range(args.runs):
                    for case in CASES:
                        rates[case].append(measure(args, database, case))
            report(name, rates)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
