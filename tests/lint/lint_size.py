# SPDX-License-Identifier: MIT
"""Functions of more than 100 lines are refused, those over 60 and files over
600 are named. Lines over 80 columns are refused; .def tables are free."""
import re

import tree

FUNCTION_MAX, FUNCTION_NOTE, FILE_NOTE, WIDTH = 100, 60, 600, 80


def functions(text):
    """(name, line, lines between the braces) of each function: the style
    puts its name at the start of a line and its braces too."""
    lines = tree.strip_c(text, strings=False).split("\n")
    name = start = None
    for n, line in enumerate(lines, 1):
        m = re.match(r"([A-Za-z_]\w*)\(", line)
        if m:
            name = m.group(1)
            if name == "START_TEST":
                name = line.strip()
        if line == "{" and name:
            start = n
        elif line == "}" and start:
            yield name, start, n - start - 1
            name = start = None


def main():
    report = tree.Report()
    checked = 0
    for path in tree.files(".c", ".h"):
        text = tree.read(path)
        lines = text.split("\n")
        if len(lines) - 1 > FILE_NOTE:
            report.note(path, f"{len(lines) - 1} lines")
        for n, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > WIDTH:
                report.find(f"{path}:{n}", f"over {WIDTH} columns")
        for name, n, length in functions(text):
            checked += 1
            if length > FUNCTION_MAX:
                report.find(f"{path}:{n}", f"{name} has {length} lines")
            elif length > FUNCTION_NOTE:
                report.note(f"{path}:{n}", f"{name} has {length} lines")
    report.done(checked)


main()
