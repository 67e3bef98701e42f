# SPDX-License-Identifier: MIT
"""coverage.py SRCDIR BUILDDIR: how many lines of each file the runs so far
have executed, from gcov's data, as text."""
import json
import os
import subprocess
import sys
from collections import defaultdict


def gcov(path):
    """The parsed answers of gcov for one object, executed or not."""
    done = subprocess.run(
        ["gcov", "--json-format", "--stdout", os.path.basename(path)],
        cwd=os.path.dirname(path), capture_output=True, text=True,
        check=False)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def main():
    source, build = (os.path.realpath(p) for p in sys.argv[1:3])
    lines = defaultdict(lambda: defaultdict(int))
    for base, _, names in os.walk(build):
        for name in names:
            if not name.endswith(".gcno"):
                continue
            for answer in gcov(os.path.join(base, name)):
                where = answer["current_working_directory"]
                for part in answer["files"]:
                    path = os.path.realpath(
                        os.path.join(where, part["file"]))
                    path = os.path.relpath(path, source)
                    for line in part["lines"]:
                        lines[path][line["line_number"]] += line["count"]
    total = executed = 0
    for path in sorted(lines):
        if not path.startswith(("src/", "fcgi/", "ws-bridge/")):
            continue
        n = len(lines[path])
        hit = sum(1 for count in lines[path].values() if count)
        total += n
        executed += hit
        print(f"{100 * hit / n:6.1f}% {hit:5d} of {n:5d}  {path}")
    if not total:
        sys.exit("no coverage data: run the tests first")
    print(f"{100 * executed / total:6.1f}% {executed:5d} of {total:5d}  all")


main()
