#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How much memory the idle stack takes: the proportional set size (PSS) of
every process that `aragora serve` starts, in which a page that n processes
share counts 1/n for each.

    tests/load/memory.py [--build DIR] [--settle SECONDS]
"""
import argparse
import re
import time

from stack import Stack, tree_of


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--settle", type=float, default=5,
                        help="seconds of idling before it is measured")
    args = parser.parse_args()
    with Stack(args.build) as stack:
        time.sleep(args.settle)
        total = 0
        for pid, name in tree_of(stack.process.pid):
            kb = pss_kb(pid)
            total += kb
            print(f"{kb / 1024:7.2f} MB  {name[:70]}")
        print(f"{total / 1024:7.2f} MB  all (PSS)")


main()
