# SPDX-License-Identifier: MIT
"""The documents that are produced from the tables. Without arguments: write
them. --check: tell which differ from the tables and fail."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "tests", "lint"))
import tree  # noqa: E402

MADE = ("<!-- SPDX-License-Identifier: MIT -->\n"
        "<!-- Produced from {} by `make docs`; do not edit. -->\n\n")


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |",
             "|" + "|".join(" --- " for _ in header) + "|"]
    lines += ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def events():
    path = "src/bus/event.def"
    out = MADE.format(path) + """# Events

A debate is told as events. Every event is one JSON object:

    {"type": "vote", "debate_id": "adhoc_1a2b3c4d", "loop_id": "...",
     "timestamp": 1767225600.123, "seq": 17, "round": 1, "agent": "demo",
     "data": {...}}

`debate_id` and `loop_id` are equal. `timestamp` is in seconds since 1970 UTC.
`round` and `agent` stand at the top and again in `data`, with `round_number`
beside `round`. `correlation_id`, if there is one, is the W3C trace id of the
request that asked for the debate. The same object comes over the WebSocket and from
`GET /api/debates/{id}/events`.

## Stored events

They have a sequence number `seq` that counts 1, 2, 3, ... for each debate
without a gap, and are kept in the database. Who sees a gap asks again with
`since=` the last number it has.

"""
    rows = tree.rows(path, "EVENT")

    def part(is_stored):
        return table(
            ("type", "when", "fields of `data`"),
            [("`%s`" % tree.unquote(r[1]), tree.unquote(r[4]),
              ", ".join("`%s`" % f for f in tree.unquote(r[3]).split()))
             for r in rows if (r[2] == "1") == is_stored])

    return out + part(True) + """
## Events on the wire only

They carry no `seq` and are not stored. The text that `token_delta` brings
piece by piece comes again as a whole in a stored event.

""" + part(False) + """
## Server-sent events

`GET /api/debates/{id}/stream` with `Accept: text/event-stream` (also
`/api/debates/stream?debate_id=`, `/api/spectate/{id}/stream`) brings the same
events: `event:` is the type, `id:` the `seq`, `data:` the object. A browser
that comes back with `Last-Event-ID` gets what it has not seen; behind
`debate_end` the answer ends, and who asks again then gets 204. Comments keep
the connection alive; `retry:` tells when to come back before a restart.

## When a connection ends

| close code | why | what a client does |
| --- | --- | --- |
| 1001 | the bridge restarts; the reason is `{"reason":"restart","reconnect_ms":N}` | come back after N ms, with `since` |
| 1011 | a ping was not answered in time | come back now, with `since` |
| 1013 | it read too slowly, or was too far behind | come back now, with `since`: nothing is lost |
| 1006, or none | the network, or a server that is gone | back off: wait longer each time, at random; then come back with `since` |
| 1008 | it sent too many messages | back off, and send fewer |
| 1000 | it was closed on purpose | do not come back |
| 1002, 1003, 1007, 1009 | what it sent was no frame, no text, no UTF-8, too long | do not come back: the client is wrong |
| 4401 | the credential has ended, told before by `auth_revoked` | do not come back without another credential |

Before the connection is open: 429 and 503 say in `Retry-After` when to come
back; 400, 401, 403, 404, 405, 406, 426 and 431 will be the same the next time.
"""


def bounds(row):
    kind, low, high, unit = row[1], row[4], row[5], tree.unquote(row[6])
    if kind in ("INT", "DOUBLE"):
        return f"{low} to {high} {unit}".rstrip()
    if kind == "BOOL":
        return "true or false"
    if kind == "ENUM":
        return ", ".join(unit.split("|"))
    return unit or "text"


def settings():
    path = "src/settings/settings.def"
    out = MADE.format(path) + """# Settings

Every setting is an environment variable. A flag of the command line wins over
it. An empty variable counts as unset. A value that is out of bounds or of the
wrong kind stops the program with exit status 78 and a list of everything that
is wrong. `aragora config` prints what is in force and where it comes from.

`ARAGORA_CONFIG` may name a file of lines `NAME=value`, as systemd's
`EnvironmentFile=` takes them; what the environment says wins over it. On
SIGHUP a program reads that file again and takes over the settings marked ↻;
others need a restart. When anything in it is wrong, the log says what, and
everything stays as it was.

Secrets are never printed. Each has a twin with `_FILE` at its end that names a
file holding the value.

"""
    aliases = {}
    for alias, field in tree.rows(path, "SETTING_ALIAS"):
        aliases.setdefault(field, []).append(tree.unquote(alias))
    unused = {line.split()[0]
              for line in tree.read(
                  "tests/lint/settings_unused.txt").splitlines()
              if line.strip() and not line.startswith("#")}
    rows = {row[0]: row for row in tree.rows(path, "SETTING")}
    group = []

    def flush():
        text = table(("variable", "default", "values", "meaning"), group)
        group.clear()
        return text

    for line in tree.read(path).splitlines():
        heading = re.match(r"/\* (.+) \*/$", line)
        row = re.match(r"SETTING\((\w+),", line)
        if heading:
            if group:
                out += flush() + "\n"
            out += f"## {heading.group(1)}\n\n"
        elif row:
            r = rows[row.group(1)]
            text = tree.unquote(r[8])
            if "S_SECRET" in r[7]:
                text += " Secret."
            if "S_RELOAD" in r[7]:
                text += " ↻"
            if r[0] in aliases:
                text += " Also read as " + ", ".join(
                    f"`{a}`" for a in aliases[r[0]]) + "."
            if r[0] in unused:
                text += " **Checked, but without effect in this version.**"
            default = tree.unquote(r[3])
            group.append((f"`{tree.unquote(r[2])}`",
                          f"`{default}`" if default else "unset",
                          bounds(r), text))
    return out + flush()


def metrics():
    path = "src/metrics/metric.def"
    out = MADE.format(path) + """# Metrics

`GET /metrics` answers in the Prometheus text format for all processes of the
host. Counters only grow; gauges say what is the case now, for this host; a
level is a gauge of something that all hosts share. Histograms are counted
where `ARAGORA_ENABLE_TELEMETRY` is set.

"""
    return out + table(
        ("name", "type", "series", "meaning"),
        [(f"`{tree.unquote(r[2])}`", r[1].lower(),
          f"`{tree.unquote(r[3])}`" if tree.unquote(r[3]) else "",
          tree.unquote(r[4]))
         for r in tree.rows(path, "METRIC")] +
        [(f"`{tree.unquote(r[1])}`", "histogram", f"`{tree.unquote(r[2])}`",
          tree.unquote(r[3]))
         for r in tree.rows("src/metrics/histogram.def", "HISTOGRAM")])


def troff(text):
    """Text that no request or escape of troff is read out of."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def man():
    path = "src/settings/settings.def"
    out = f""".\\" SPDX-License-Identifier: MIT
.\\" Produced from {path} by `make docs`; do not edit.
.TH ARAGORA\\-SETTINGS 7 "" "Aragora" "Miscellaneous Information"
.SH NAME
aragora\\-settings \\- environment variables of Aragora
.SH DESCRIPTION
Every setting of
.BR aragora (1)
and its daemons is an environment variable. A bad value stops the program with
exit status 78 and a list of everything that is wrong. Each secret has a twin
with _FILE at its end that names a file holding the value.
.PP
ARAGORA_CONFIG may name a file of lines NAME=value; the environment wins over
it. On SIGHUP the daemons read it again and take over the variables that say
so below; when anything is wrong, everything stays as it was.
.SH VARIABLES
"""
    for row in tree.rows(path, "SETTING"):
        default = tree.unquote(row[3])
        out += (f".TP\n.B {troff(tree.unquote(row[2]))}\n"
                f"{troff(tree.unquote(row[8]))}\n"
                f"Values: {troff(bounds(row))}. Default: "
                f"{troff(default) if default else 'unset'}."
                f"{' Taken over on SIGHUP.' if 'S_RELOAD' in row[7] else ''}"
                "\n")
    return out + ".SH SEE ALSO\n.BR aragora (1)\n"


def load():
    """A document that people write, but for its table of objectives."""
    path, table_path = "docs/load.md", "src/metrics/slo.def"
    begin, end = f"<!-- from {table_path} by `make docs` -->\n", "<!-- end -->"
    head, _, rest = tree.read(path).partition(begin)
    _, _, tail = rest.partition(end)
    rows = []
    for row in tree.rows(table_path, "SLO"):
        (name, op), unit = map(tree.unquote, row[1:3]), tree.unquote(row[4])
        metric, value, alert = map(tree.unquote, row[6:9])
        bound = row[3] + (" " + unit if unit[:1] not in ("", "/") else unit)
        rows.append((
            tree.unquote(row[11]), f"{op} {bound}", f"`{name}`",
            f"`{metric}`, `{value}{op}{row[3]}`" if metric else "",
            f"`{alert}`" if alert else ""))
    return head + begin + table(
        ("objective", "bound", "`loadgen`", "k6", "alert"), rows) + end + tail


def traces():
    path = "src/telemetry/span_attr.def"
    return MADE.format(path) + """# Traces

Spans go as OTLP, in its JSON mapping over HTTP, to the collector that
`OTEL_EXPORTER_OTLP_ENDPOINT` names ([settings](settings.md),
[operations](operations.md)). One trace follows a debate from the request that
asks for it to each request to a provider.

| span | kind | parent | from, to |
| --- | --- | --- | --- |
| `POST /api/debates`: method and route | server | the caller's `traceparent`, else none | a worker's work on a request |
| `debate` | internal | the request that asked for it | the first runner has it, its end is written |
| `chat MODEL`, `embeddings MODEL` | client | the debate | a request to a provider leaves, and is over; its id is the one in the `traceparent` that the provider got |
| `connection` | server | the caller's `traceparent`, else none | a WebSocket or a stream of server-sent events |

Probes, `/metrics` and `/api/rate-limits` make no span unless their caller
sends a `traceparent`. A status of 5xx, a debate that failed and a call that
did are errors (`status.code` 2).

""" + table(
        ("attribute", "of", "meaning"),
        [(f"`{tree.unquote(r[2])}`", tree.unquote(r[3]), tree.unquote(r[4]))
         for r in tree.rows(path, "SPAN_ATTR")]) + """
That is all there is: no questions, answers or prompts, no paths and query
strings as sent, no addresses, no credentials.
"""


DOCUMENTS = {
    "docs/load.md": load,
    "docs/aragora-settings.7": man,
    "docs/events.md": events,
    "docs/settings.md": settings,
    "docs/metrics.md": metrics,
    "docs/traces.md": traces,
}


def main():
    if sys.argv[1:] == ["--check"]:
        report = tree.Report()
        for path, make in DOCUMENTS.items():
            if not os.path.exists(os.path.join(tree.ROOT, path)):
                report.find(path, "is missing: run make docs")
            elif tree.read(path) != make():
                report.find(path, "differs from its table: run make docs")
        report.done(len(DOCUMENTS))
    for path, make in DOCUMENTS.items():
        text = make()
        with open(os.path.join(tree.ROOT, path), "w",
                  encoding="utf-8") as f:
            f.write(text)


main()
