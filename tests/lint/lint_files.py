# SPDX-License-Identifier: MIT
"""Every text file says its licence near its top, ends with a line end, and
holds no promise to do something another day. A lock file of npm names no
place that its packages came from: they come from where npm is told to look."""
import re

import tree

# Data, and formats without comments.
NO_SPDX = re.compile(
    r"(tests/fuzz/corpus/.*|conf/lighttpd/errors/.*|.*\.(json|jsonl|txt|csv|ico|png|svg|golden"
    r"|expected|pem|key|crt))$")
PROMISE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
WHITE = re.compile(r"[ \t]+$", re.M)


def main():
    report = tree.Report()
    paths = [p for p in tree.files()
             if not p.startswith("tests/fuzz/corpus/") and tree.is_text(p)]
    for path in paths:
        text = tree.read(path)
        # The README begins with what a reader needs first.
        head = text if path.endswith(".md") else \
            "\n".join(text.split("\n")[:6])
        if not NO_SPDX.match(path) and \
                "SPDX-License-Identifier: MIT" not in head:
            report.find(path, "no SPDX line")
        if text and not text.endswith("\n"):
            report.find(path, "no line end at its end")
        if path.endswith("package-lock.json") and '"resolved"' in text:
            report.find(path, "names where packages were fetched")
        for n, line in enumerate(text.split("\n"), 1):
            if PROMISE.search(line):
                report.find(f"{path}:{n}", line.strip())
            if path.endswith((".c", ".h", ".def", ".py", ".sh", ".js",
                              ".css", ".inc")) and WHITE.search(line):
                report.find(f"{path}:{n}", "white space at the line's end")
    report.done(len(paths))


main()
