# SPDX-License-Identifier: MIT
"""Migrations are append-only: one that was released (migrations.txt) never
changes, a new one takes the next number, and all are in the makefile's list.
None names the schema it works in, so that `aragora migrate verify` can run it
in another."""
import hashlib
import os
import re

import tree

FOLDER = "src/store/sql"
LIST = "tests/lint/migrations.txt"
NAME = re.compile(r"(\d{4})_([a-z0-9_]+)(\.sqlite|\.pgsql)?\.sql$")


def released(report):
    """name -> hash, as written down when it was released."""
    out = {}
    for n, line in enumerate(tree.read(LIST).splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not NAME.match(words[0]):
            report.find(f"{LIST}:{n}", "is not a file's name and its sha256")
            continue
        out[words[0]] = words[1]
    return out


def check_released(report, names, fixed):
    for name, wanted in fixed.items():
        path = os.path.join(FOLDER, name)
        if name not in names:
            report.find(path, "was released and must stay")
            continue
        if hashlib.sha256(tree.read(path).encode()).hexdigest() != wanted:
            report.find(path, "was released and must not change: add a new "
                        "migration")


def check_numbers(report, names, fixed):
    last = max((int(n[:4]) for n in fixed), default=0)
    titles = {}
    for name in names:
        m = NAME.match(name)
        if not m:
            report.find(os.path.join(FOLDER, name),
                        "is not called NNNN_name[.sqlite|.pgsql].sql")
            continue
        version = int(m[1])
        if titles.setdefault(version, m[2]) != m[2]:
            report.find(os.path.join(FOLDER, name),
                        f"number {version} stands for {titles[version]} too")
        if name not in fixed and version <= last:
            report.find(os.path.join(FOLDER, name),
                        f"comes after {last:04} was released")
    for version in range(1, max(titles, default=0)):
        if version not in titles:
            tell = report.find if version <= last else report.note
            tell(FOLDER, f"number {version} is missing")


def main():
    report = tree.Report()
    names = [os.path.basename(p) for p in tree.files(under=(FOLDER,))]
    fixed = released(report)
    check_released(report, names, fixed)
    check_numbers(report, names, fixed)
    listed = tree.read("src/store/Makefile.inc")
    for name in names:
        path = os.path.join(FOLDER, name)
        if path not in listed:
            report.find(path, "is not in src/store/Makefile.inc")
        if re.search(r"\bpublic\.\w", tree.read(path)):
            report.find(path, "names the schema public")
    report.done(len(names))


main()
