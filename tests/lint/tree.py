# SPDX-License-Identifier: MIT
"""What the lint tests share: the files of the tree, found from $srcdir."""
import os
import re
import sys

ROOT = os.path.abspath(
    os.environ.get("srcdir")
    or os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDERS = ("conf", "docs", "fcgi", "m4", "scripts", "src", "tests", "web",
           "ws-bridge")
TOP = ("Makefile.am", "configure.ac", "README.md", ".clang-format")
# Written by the tools, never by us.
SKIP = {"__pycache__", ".pytest_cache", ".deps", ".libs"}


def files(*suffixes, under=FOLDERS):
    """Paths relative to the root, sorted; of these suffixes if given."""
    found = [p for p in TOP if under is FOLDERS
             and os.path.exists(os.path.join(ROOT, p))]
    for folder in under:
        for base, dirs, names in os.walk(os.path.join(ROOT, folder)):
            dirs[:] = sorted(d for d in dirs if d not in SKIP)
            for name in names:
                path = os.path.join(base, name)
                found.append(os.path.relpath(path, ROOT))
    if suffixes:
        found = [p for p in found if p.endswith(suffixes)]
    return sorted(p for p in found
                  if not p.endswith((".o", ".a", ".log", ".trs", ".pyc")))


def exists(path):
    return os.path.exists(os.path.join(ROOT, path))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def is_text(path):
    with open(os.path.join(ROOT, path), "rb") as f:
        data = f.read()
    if b"\0" in data:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def strip_c(text, strings=True):
    """C source with the comments blanked, and, with strings, the insides of
    the literals too; line numbers kept."""
    def blank(m):
        s = m.group(0)
        if s.startswith("/"):
            return re.sub(r"[^\n]", " ", s)
        if not strings:
            return s
        return s[0] + " " * (len(s) - 2) + s[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
                  r"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def rows(path, macro):
    """The rows of a .def table: a list of their arguments as written, split
    at top-level commas."""
    text = strip_c(read(path), strings=False)
    out = []
    for m in re.finditer(r"^%s\(" % macro, text, flags=re.M):
        depth, args, start, i = 1, [], m.end(), m.end()
        while depth > 0:
            c = text[i]
            if c == '"':
                i += 1
                while text[i] != '"':
                    i += 2 if text[i] == "\\" else 1
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            if (c == "," and depth == 1) or depth == 0:
                args.append(" ".join(text[start:i].split()))
                start = i + 1
            i += 1
        out.append(args)
    return out


def unquote(arg):
    """The text of one or more adjacent C string literals."""
    parts = re.findall(r'"((?:\\.|[^"\\])*)"', arg)
    return "".join(parts).replace('\\"', '"').replace("\\\\", "\\")


class Report:
    """Collects findings; a finding fails the test, a note does not."""

    def __init__(self):
        self.findings = 0

    def find(self, where, what):
        print(f"{where}: {what}")
        self.findings += 1

    def note(self, where, what):
        print(f"{where}: note: {what}")

    def done(self, checked):
        print(f"{checked} checked, {self.findings} found")
        if not checked:
            print("nothing was checked: the lint test itself is broken")
            sys.exit(1)
        sys.exit(1 if self.findings else 0)
