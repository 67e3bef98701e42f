# SPDX-License-Identifier: MIT
"""shellcheck over every shell script of the tree."""
import os
import shutil
import subprocess
import sys

import tree


def is_shell(path):
    if path.endswith(".sh"):
        return True
    if os.path.splitext(path)[1] or not tree.is_text(path):
        return False
    first = tree.read(path).split("\n", 1)[0]
    return first.startswith("#!") and first.endswith(("sh", "bash"))


def main():
    if not shutil.which("shellcheck"):
        print("shellcheck is not installed")
        sys.exit(77)
    report = tree.Report()
    scripts = [p for p in tree.files() if is_shell(p)]
    for path in scripts:
        # Files that are only sourced or run by name have no #! line.
        head = tree.read(path).split("\n", 3)[:3]
        shell = [] if head[0].startswith("#!") or \
            any("shellcheck shell=" in h for h in head) else ["-s", "sh"]
        done = subprocess.run(["shellcheck", "-x", "-S", "warning", *shell, path],
                              cwd=tree.ROOT)
        if done.returncode:
            report.find(path, "shellcheck objects")
    report.done(len(scripts))


main()
