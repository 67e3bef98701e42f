# SPDX-License-Identifier: MIT
"""Every row of a table is used by the code. A setting that no code reads yet
stands in settings_unused.txt with the topic of the issue that brings it; a
line there that is no longer true is refused too."""
import re

import tree

SOURCES = ("src", "fcgi", "ws-bridge")


def code():
    """All C code, without comments, but for the tables themselves."""
    out = {}
    for path in tree.files(".c", ".h", ".def", under=SOURCES):
        out[path] = tree.strip_c(tree.read(path))
    return out


def used(sources, pattern, *, outside):
    expr = re.compile(pattern)
    return any(expr.search(text) for path, text in sources.items()
               if not path.startswith(outside))


def unused_list(report):
    """field -> topic; lines are 'field<space>topic', # begins a comment."""
    out = {}
    path = "tests/lint/settings_unused.txt"
    for n, line in enumerate(tree.read(path).splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        field, _, topic = line.partition(" ")
        if not topic.strip():
            report.find(f"{path}:{n}", f"{field} has no topic")
        if field in out:
            report.find(f"{path}:{n}", f"{field} stands here twice")
        out[field] = topic.strip()
    return out


def check_settings(report, sources):
    listed = unused_list(report)
    table = tree.rows("src/settings/settings.def", "SETTING")
    start = sources["src/settings/settings_start.c"]
    for row in table:
        field, env = row[0], tree.unquote(row[2])
        pattern = (rf"\b(?:\w*settings|s|st|set)->{field}\b"
                   rf"|\bSETTINGS_{field}\b|\bLLM_SETTING\({field}\)"
                   rf"|\"{env}\"")
        # settings_start is a user like any other; that a rule looks at two
        # settings together makes neither of them work.
        is_used = used(sources, pattern, outside="src/settings/") or \
            re.search(pattern, start)
        if not is_used and field not in listed:
            report.find("src/settings/settings.def",
                        f"{field} ({env}) is used nowhere")
        if is_used and field in listed:
            report.find("tests/lint/settings_unused.txt",
                        f"{field} is used: take the line out")
        listed.pop(field, None)
    for field in listed:
        report.find("tests/lint/settings_unused.txt",
                    f"{field} is no setting")
    return len(table)


def check_named(report, sources, path, macro, prefix, by_text=False):
    """Rows that the code names as PREFIX_ID, or by their text."""
    table = tree.rows(path, macro)
    for row in table:
        pattern = rf"\b{prefix}_{row[0]}\b"
        if by_text:
            pattern += rf"|{re.escape(row[1])}"
        if not used(sources, pattern, outside=path):
            report.find(path, f"{row[0]} is used nowhere")
    return len(table)


def check_routes(report, sources):
    path = "fcgi/routes.def"
    table = tree.rows(path, "ROUTE")
    handlers = {p: t for p, t in sources.items()
                if re.match(r"fcgi/h_\w+\.c", p)}
    for row in table:
        if not any(re.search(rf"^{row[2]}\(", text, flags=re.M)
                   for text in handlers.values()):
            report.find(path, f"{row[2]} of {row[1]} is in no fcgi/h_*.c")
    operations = {row[-2] for row in table}
    named = [(row[0], kind) for kind in ("ANALYTIC", "CACHED", "VOLATILE")
             for row in tree.rows(path, kind)]
    for operation, kind in named:
        if operation not in operations:
            report.find(path,
                        f"{operation} is {kind.lower()}, but no route")
    return len(table) + len(named)


def main():
    report = tree.Report()
    sources = code()
    checked = check_settings(report, sources)
    checked += check_named(report, sources, "src/bus/event.def", "EVENT",
                           "EVENT", by_text=True)
    checked += check_named(report, sources, "src/metrics/metric.def",
                           "METRIC", "METRIC")
    checked += check_named(report, sources, "src/metrics/histogram.def",
                           "HISTOGRAM", "HISTOGRAM")
    checked += check_named(report, sources, "src/telemetry/span_attr.def",
                           "SPAN_ATTR", "SPAN_ATTR")
    checked += check_named(report, sources, "src/store/stmt.def", "STMT",
                           "STMT")
    checked += check_routes(report, sources)
    report.done(checked)


main()
