# SPDX-License-Identifier: MIT
"""The produced documents equal their tables. What the others point at or name
is there: files, headings, settings, functions, metrics, lines of the log,
commands and their options. Each alert has its entry in the runbook, each
folder its line in the maps."""
import fnmatch
import os
import re
import subprocess
import sys

import tree

RULES = "conf/prometheus/aragora-rules.yml"
RUNBOOK = "docs/runbook.md"
MAPS = ("README.md", "docs/architecture.md")
FIGURES = ("docs/scaling.md", "docs/load.md")
WIDTH = 120
FILE = re.compile(r"[\w@.*/-]+\.(c|h|def|py|sh|js|mjs|md|sql|inc|yml|yaml|"
                  r"conf|in|txt|awk|png|html|example)$")
NAME = re.compile(r"[A-Za-z]\w*(_\w*)+(\(\))?$|[a-z]\w+\(\)$")
# Names of the world outside.
FOREIGN = {line for line in
           tree.read("tests/lint/docs_foreign.txt").splitlines()
           if not line.startswith("#")}


def slug(heading):
    """The anchor that a heading gets on the usual sites."""
    text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def prose(path):
    """(line number, line), without what is fenced."""
    is_fenced = False
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        if line.startswith("```"):
            is_fenced = not is_fenced
        elif not is_fenced:
            yield n, line


def anchors(path):
    return {slug(m.group(1)) for _, line in prose(path)
            for m in [re.match(r"#+ (.+)$", line)] if m}


def check_links(report, path):
    """Relative links of a Markdown file, and the headings they name."""
    folder = os.path.dirname(path)
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        for target, anchor in re.findall(
                r"\]\(([^)#]*)(?:#([^)]*))?\)", line):
            if "://" in target:
                continue
            full = os.path.normpath(os.path.join(folder, target)) \
                if target else path
            if not tree.exists(full):
                report.find(f"{path}:{n}", f"no such file: {target}")
            elif anchor and full.endswith(".md") and \
                    anchor not in anchors(full):
                report.find(f"{path}:{n}", f"no such heading: {full}#{anchor}")


def check_variables(report, path, known):
    """Variables that a document names are settings."""
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        for name in re.findall(r"\b(?:ARAGORA|OTEL)_[A-Z0-9_]+\b", line):
            if name not in known and \
                    name.removesuffix("_FILE") not in known:
                report.find(f"{path}:{n}", f"no such setting: {name}")


class Tree:
    """What there is to be named."""

    def __init__(self):
        paths = [p for p in tree.files() if not p.endswith(".md")
                 and not p.startswith("tests/fuzz/corpus/")]
        self.paths = set(tree.files())
        self.names = {os.path.basename(p) for p in self.paths}
        texts = [tree.read(p) for p in paths if tree.is_text(p)]
        self.words = {w for t in texts for w in re.findall(r"\w+", t)}
        code = [tree.read(p) for p in paths
                if p.endswith((".c", ".h", ".py", ".js"))]
        self.functions = {f for t in code for f in re.findall(
            r"^(?:#define |def |    def |  )?(\w+)\(", t, flags=re.M)}
        self.events = {e for t in code for e in re.findall(
            r"(?:log_\w+|main_fail|jwks_tell)\(\s*\"([a-z_.]+)\"", t)}
        self.prefixes = {e.split(".")[0] for e in self.events if "." in e}

    def has_path(self, path):
        """Whole, from its end, or a pattern; folders too. NAME and NNNN
        stand for what the reader chooses."""
        path = re.sub("NAME|NNNN", "*", path.rstrip("/"))
        return tree.exists(path) or any(
            fnmatch.fnmatch("/" + p, "*/" + path) for p in self.paths)


def check_names(report, path, there):
    """What stands between backquotes."""
    for n, line in prose(path):
        for word in re.findall(r"`([^` ]+)`", line):
            where = f"{path}:{n}"
            if word in FOREIGN or "://" in word:
                continue
            if word.startswith("/"):
                continue  # of an installed system, or of the API
            if FILE.match(word) or word.split("/")[0] in tree.FOLDERS:
                if not there.has_path(word):
                    report.find(where, f"no such file: {word}")
            elif re.match(r"[a-z]+(\.[a-z_]+)+$", word):
                if word.split(".")[0] in there.prefixes and \
                        word not in there.events and \
                        word not in there.names and \
                        not re.match(r"\w+\.\w+_", word):
                    report.find(where, f"no such line of the log: {word}")
            elif NAME.match(word):
                name = word.removesuffix("()")
                is_known = name in there.functions if word != name \
                    else name in there.words or name.endswith("_") and any(
                        w.startswith(name) for w in there.words)
                if not is_known:
                    report.find(where, f"no such name: {word}")


def commands():
    """command -> text of its source."""
    out = {}
    for path in tree.files(".c", under=("src/cli",)):
        m = re.match(r"src/cli/cmd_(\w+)\.c", path)
        if m:
            out[m.group(1)] = tree.read(path)
    return out


def check_commands(report, path, known, shared):
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        for command, rest in re.findall(
                r"(?:^ {4}|`|&& |; |\b[A-Z_]+=\S* |build/)aragora ([a-z]+)\b"
                r"([^`|;&]*)", line):
            if command not in known:
                report.find(f"{path}:{n}", f"no such command: {command}")
                continue
            for option in re.findall(r"--[a-z-]+", rest):
                if f'"{option[2:]}"' not in known[command] + shared and \
                        option not in known[command] + shared:
                    report.find(f"{path}:{n}",
                                f"aragora {command} has no {option}")


def check_alerts(report):
    text = tree.read(RULES)
    entries = {m for _, line in prose(RUNBOOK)
               for m in re.findall(r"^### (\w+)$", line)}
    blocks = re.split(r"^\s*- (?=alert:|record:)", text, flags=re.M)
    alerts = set()
    for block in blocks:
        m = re.match(r"alert: (\w+)", block)
        if not m:
            continue
        alerts.add(m.group(1))
        wanted = f'runbook_url: "{RUNBOOK}#{m.group(1).lower()}"'
        if wanted not in block:
            report.find(RULES, f"{m.group(1)} lacks {wanted}")
    for name in sorted(alerts - entries):
        report.find(RUNBOOK, f"{name} has no entry")
    for name in sorted(entries - alerts):
        report.find(RUNBOOK, f"{name} is no alert")


def check_maps(report):
    """Every folder is in both maps, or in the first alone if it holds no
    code of ours."""
    names = ["fcgi", "ws-bridge"]
    for base, dirs, _ in os.walk(os.path.join(tree.ROOT, "src")):
        names += [f"src/{d}" for d in dirs if d not in tree.SKIP]
        break
    others = [f for f in tree.FOLDERS if f != "src" and tree.exists(f)]
    for path in MAPS:
        text = tree.read(path)
        told = set(re.findall(r"`([\w-]+(?:/[\w-]+)?)/`", text))
        for name in names + (others if path == MAPS[0] else []):
            if name not in told:
                report.find(path, f"{name}/ is not in the map")


def check_readme(report):
    """Narrow, and no figure that the guides have not."""
    path = "README.md"
    guide = "".join(tree.read(p) for p in FIGURES if tree.exists(p))
    section = ""
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        if len(line) > WIDTH and not line.startswith("|"):
            report.find(f"{path}:{n}", f"over {WIDTH} columns")
        if line.startswith("## "):
            section = line
        if section == "## What it does" and line.startswith("| "):
            for figure in re.findall(r"\d[\d.,]*\d|\d", line):
                if not re.search(rf"(?<![\d.,]){re.escape(figure)}(?!\d)",
                                 guide):
                    report.find(f"{path}:{n}",
                                f"{figure} is not in {FIGURES}")


def main():
    report = tree.Report()
    generate = os.path.join(tree.ROOT, "docs", "generate.py")
    if subprocess.run([sys.executable, generate, "--check"]).returncode:
        report.find("docs", "see above")
    table = "src/settings/settings.def"
    known = {tree.unquote(r[2]) for r in tree.rows(table, "SETTING")}
    known |= {tree.unquote(r[0]) for r in tree.rows(table, "SETTING_ALIAS")}
    paths = tree.files(".md")
    there, verbs = Tree(), commands()
    shared = tree.read("src/cli/cmd.h") + tree.read("src/cli/main.c")
    for path in paths:
        check_links(report, path)
        check_variables(report, path, known)
        check_names(report, path, there)
        check_commands(report, path, verbs, shared)
    check_alerts(report)
    check_maps(report)
    check_readme(report)
    report.done(len(paths))


main()
