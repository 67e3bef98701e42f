# SPDX-License-Identifier: MIT
"""The produced documents equal their tables, and what the other documents
point at exists."""
import os
import re
import subprocess
import sys

import tree


def check_links(report, path):
    """Relative links of a Markdown file."""
    folder = os.path.dirname(path)
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", line):
            if "://" in target:
                continue
            full = os.path.normpath(os.path.join(folder, target))
            if not os.path.exists(os.path.join(tree.ROOT, full)):
                report.find(f"{path}:{n}", f"no such file: {target}")


def check_variables(report, path, known):
    """Variables that a document names are settings."""
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        for name in re.findall(r"\bARAGORA_[A-Z0-9_]+\b", line):
            if name not in known and \
                    name.removesuffix("_FILE") not in known:
                report.find(f"{path}:{n}", f"no such setting: {name}")


def main():
    report = tree.Report()
    generate = os.path.join(tree.ROOT, "docs", "generate.py")
    if subprocess.run([sys.executable, generate, "--check"]).returncode:
        report.find("docs", "see above")
    table = "src/settings/settings.def"
    known = {tree.unquote(r[2]) for r in tree.rows(table, "SETTING")}
    known |= {tree.unquote(r[0]) for r in tree.rows(table, "SETTING_ALIAS")}
    paths = tree.files(".md")
    for path in paths:
        check_links(report, path)
        check_variables(report, path, known)
    report.done(len(paths))


main()
