# SPDX-License-Identifier: MIT
"""The lint tests find what they are there to find: each is run over a small
tree that breaks its rule, and over the same tree mended."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

import tree

HERE = os.path.join(tree.ROOT, "tests", "lint")
SPDX = "/* SPDX-License-Identifier: MIT */\n"
LONG = "static void\nlong_one(void)\n{\n" + "\ta();\n" * 101 + "}\n"

# What the lint of objectives compares.
SLO = ('SLO(P95, "p95_ms", "<", 500, "ms", REQUESTS, "http_req_duration", '
       '"p(95)", "Slow", "p95", 1000, "x")\n'
       'SLO(RATE, "rate", ">", 50, "/s", REQUESTS, "http_reqs", "rate", "", '
       '"", 1, "x")\n')
SLO_SCRIPT = ("const MIN_RPS = Number(__ENV.MIN_RPS || 50);\n"
              "  thresholds: {\n"
              '    http_req_duration: ["p(95)<500"],\n'
              "    http_reqs: [`rate>${MIN_RPS}`],\n"
              "  },\n")
SLO_RULES = "      - alert: Slow\n        expr: p95 > 0.5\n"
SLO_PANELS = ('{"panels": [{"title": "Times", "targets": [{"expr": "p95"}], '
              '"fieldConfig": {"defaults": {"thresholds": {"steps": '
              '[{"value": null}, {"value": 0.5}]}}}}]}\n')

# (lint, file, bad content, part of the complaint, good content)
CASES = [
    ("includes", "src/base/a.c", '#include "settings/settings.h"\n',
     "src/base may not include", '#include "base/a.h"\n'),
    ("includes", "src/store/a.c", '#include "llm/llm.h"\n',
     "src/store may not include", '#include "settings/settings.h"\n'),
    ("includes", "fcgi/a.c", '#include "debate/debate.h"\n',
     "fcgi may not include", '#include "debate/view.h"\n'),
    ("includes", "ws-bridge/a.c", '#include "fcgi/req.h"\n',
     "ws-bridge may not include", '#include "ws-bridge/a.h"\n'),
    ("includes", "src/runner/a.c", '#include "src/cli/cli.h"\n',
     "src/runner may not include", '#include "debate/debate.h"\n'),
    ("includes", "src/base/a.c", '#include "a.h"\n', "names no folder",
     '#include "base/a.h"\n'),
    ("libraries", "src/store/pool.c", "#include <libpq-fe.h>\n", "libpq",
     "#include <stdio.h>\n"),
    ("libraries", "src/store/pool.c", "void f(void) { PQreset(c); }\n",
     "database calls", "/* PQreset( is for drivers */\n"),
    ("libraries", "src/store/store.c", "int x = sqlite3_exec(db);\n",
     "stmt.def", 'const char *s = "sqlite3_exec(db)";\n'),
    ("libraries", "src/bus/bus.c", "#include <hiredis/hiredis.h>\n",
     "hiredis", "#include <stdio.h>\n"),
    ("libraries", "src/bus/bus_redis.c", 'redisCommand(c, "GET %s", k);\n',
     "redisCommandArgv", "redisCommandArgv(c, 1, v, l);\n"),
    ("libraries", "src/runner/a.c", "#include <curl/curl.h>\n", "curl",
     "#include <stdio.h>\n"),
    ("libraries", "fcgi/main.c", "#include <fcgiapp.h>\n", "libfcgi",
     "#include <stdio.h>\n"),
    ("libraries", "src/store/db_pgsql.c",
     'x("SET statement_timeout = 1");\n', "SET without LOCAL",
     'x("UPDATE t "\n  "SET a = 1");\ny("SET LOCAL x = 1");\n'),
    ("libraries", "src/store/sql/0001.sql",
     "-- SPDX\nCREATE TABLE t (a TEXT);\nSET x = 1;\n", "SET without LOCAL",
     "-- SET x = 1;\nUPDATE t SET a = 1;\n"),
    ("libraries", "src/store/a.c", 'x("LISTEN events");\n', "session state",
     'x("listening");\n'),
    ("size", "src/base/a.c", LONG, "long_one has 101 lines",
     LONG.replace("\ta();\n", "", 1)),
    ("size", "src/base/a.c", "int f(void);\n" + "\t" * 9 + "int some_name;\n",
     "over 80 columns", "int\nf(void)\n{\n\treturn 1;\n}\n"),
    ("files", "tests/npm/package-lock.json", '{"resolved": "x"}\n',
     "where packages were fetched", '{"version": "1"}\n'),
    ("files", "src/base/a.c", "int x;\n", "no SPDX", SPDX + "int x;\n"),
    ("files", "src/base/a.c", SPDX + "/* TO" "DO: more */\n", "more",
     SPDX + "/* done */\n"),
    ("files", "src/base/a.c", SPDX + "int x; \n", "white space",
     SPDX + "int x;\n"),
    ("files", "src/base/a.c", SPDX + "int x;", "no line end",
     SPDX + "int x;\n"),
    ("shell", "scripts/a.sh", "#!/bin/sh\nrm -rf $UNSET_/$1/*\ncd x\n",
     "shellcheck objects", '#!/bin/sh\nrm -f "$1"\n'),
    ("tenancy", "src/store/stmt.def",
     'STMT(GET, TENANT, "tt", 1, "SELECT a FROM rows WHERE id = $2", NULL)\n',
     "1 tables of tenants, 0 times tenant",
     'STMT(GET, TENANT, "tt", 1, "SELECT a FROM rows WHERE tenant = $1 "\n'
     '    "AND id = $2", NULL)\n'),
    ("tenancy", "src/store/stmt.def",
     'STMT(ALL, SYSTEM, "", 1, "SELECT a FROM rows", NULL)\n',
     "past row level security",
     'STMT(ALL, SYSTEM, "", 1, "SELECT a FROM rows", "SELECT aragora_a()")\n'),
    ("tenancy", "src/store/stmt.def",
     'STMT(ALL, NONE, "", 1, "SELECT a FROM rows", NULL)\n',
     "touches a table of tenants",
     'STMT(ALL, NONE, "", 1, "SELECT 1", NULL)\n'),
    ("tenancy", "src/store/stmt.def",
     'STMT(PUT, TENANT, "ttt", 0, "INSERT INTO rows (tenant, id) VALUES "\n'
     '    "($2, $1)", NULL)\n', "0 times tenant",
     'STMT(PUT, TENANT, "ttt", 0, "INSERT INTO rows (tenant, id) VALUES "\n'
     '    "($1, $2)", NULL)\n'),
    ("tenancy", "src/store/sql/0002_more.sql",
     "CREATE TABLE more (\n\ttenant TEXT NOT NULL\n);\n",
     "more has no row level security",
     "CREATE TABLE more (\n\ttenant TEXT\n);\n"),
    ("tenancy", "src/store/sql/0002_more.sql",
     "CREATE TABLE more (\n\ttenant TEXT NOT NULL\n);\n"
     "FOREACH t IN ARRAY ARRAY['more']\n",
     "STMT_TENANT_TABLES lacks more",
     "CREATE TABLE more (\n\ttenant TEXT\n);\n"),
    ("tenancy", "src/store/sql/0001_init.sql",
     "CREATE TABLE rows (\n\ttenant TEXT\n);\n",
     "rows is no table of tenants",
     "CREATE TABLE rows (\n\ttenant TEXT NOT NULL\n);\n"
     "FOREACH t IN ARRAY ARRAY['rows']\n"),
    ("migrations", "src/store/sql/0001_one.sql", "CREATE TABLE two (b);\n",
     "was released and must not change", "CREATE TABLE one (a TEXT);\n"),
    ("migrations", "src/store/sql/0003_three.sql", "DROP TABLE public.one;\n",
     "names the schema", "DROP TABLE one;\n"),
    ("migrations", "src/store/Makefile.inc", "src/store/sql/0001_one.sql\n",
     "is not in src/store/Makefile.inc", "src/store/sql/0001_one.sql "
     "src/store/sql/0002_two.pgsql.sql\n"),
    ("migrations", "tests/lint/migrations.txt",
     "0000_zero.sql 00\n0001_one.sql 00\n", "must stay", "# none\n"),
    ("migrations", "tests/lint/migrations.txt", "0002_two.pgsql.sql 00\n",
     "0001_one.sql: comes after 0002", "# none\n"),
    ("log", "src/base/a.c", 'log_info("a.b", "event=%s", x);\n',
     "key 'event' is there already", 'log_info("a.b", "user=%s", x);\n'),
    ("log", "src/base/a.c", 'log_info("a.b", "user=%s " "user=%d", x, y);\n',
     "key 'user' is there already",
     'log_info("a.b", "why=\\"user=%s\\" user=%s", x, y);\n'),
    ("log", "src/base/a.c", 'log_debug("a.b", "debate=%s", x);\n',
     "say debate_id", 'log_debug("a.b", "debate_id=%s", x);\n'),
    ("log", "src/base/a.c", 'log_debug("A thing", "%s", x);\n',
     "not words with dots", 'log_debug("a.thing", "%s", x);\n'),
    ("log", "src/base/a.c",
     'log_info("a.b", "' + " ".join(c * 3 + "=%d" for c in
                                   "abcdefghijklmnopq") + '");\n',
     "too many fields", 'log_info("a.b", "aaa=%d");\n'),
    ("tables", "src/use.c", "x = settings->one;\n", "two (ARAGORA_TWO) is",
     "x = settings->one + s->two;\n"),
    ("tables", "tests/lint/settings_unused.txt", "one a topic\n",
     "one is used", "# none\n"),
    ("tables", "tests/lint/settings_unused.txt", "three a topic\n",
     "three is no setting", "# none\n"),
    ("tables", "tests/lint/settings_unused.txt", "nothing\n",
     "nothing has no topic", "# none\n"),
    ("tables", "src/bus/event.def", 'EVENT(LOST, "lost", 1, "", "x")\n',
     "LOST is used nowhere", 'EVENT(VOTE, "vote", 1, "", "x")\n'),
    ("tables", "src/store/stmt.def", 'STMT(LOST, "", 1, "SELECT 1", NULL)\n',
     "LOST is used nowhere", 'STMT(PING, "", 1, "SELECT 1", NULL)\n'),
    ("tables", "src/metrics/metric.def",
     'METRIC(LOST, GAUGE, "a", "", "b")\n', "LOST is used nowhere",
     'METRIC(SEEN, GAUGE, "a", "", "b")\n'),
    ("tables", "src/metrics/histogram.def",
     'HISTOGRAM(LOST, "a", "", "b")\n', "LOST is used nowhere",
     'HISTOGRAM(TIMED, "a", "", "b")\n'),
    ("tables", "src/telemetry/span_attr.def",
     'SPAN_ATTR(LOST, TEXT, "a", "b", "c")\n', "LOST is used nowhere",
     'SPAN_ATTR(TOLD, TEXT, "a", "b", "c")\n'),
    ("tables", "fcgi/routes.def", 'ROUTE(GET, "/x", lost_get, A)\n',
     "lost_get of", 'ROUTE(GET, "/x", x_get, A)\n'),
    ("tables", "fcgi/routes.def",
     'ROUTE(GET, "/x", x_get, "op", "s")\nANALYTIC("lost")\n',
     '"lost" is analytic, but no route',
     'ROUTE(GET, "/x", x_get, "op", "s")\nANALYTIC("op")\n'),
    ("tables", "fcgi/routes.def",
     'ROUTE(GET, "/x", x_get, "op", "s")\nCACHED("lost", RATINGS)\n',
     '"lost" is cached, but no route',
     'ROUTE(GET, "/x", x_get, "op", "s")\nCACHED("op", RATINGS)\n'),
    ("slo", "scripts/load_test.js", SLO_SCRIPT.replace("p(95)<500", "p(95)<501"),
     "http_req_duration is ['p(95)<501']", SLO_SCRIPT),
    ("slo", "scripts/load_test.js", SLO_SCRIPT.replace("|| 50", "|| 49"),
     "http_reqs is ['rate>49']", SLO_SCRIPT),
    ("slo", "scripts/load_test.js",
     SLO_SCRIPT.replace("    http_reqs", "    other: ['rate>1'],\n    http_reqs"
                        ).replace("'", '"'),
     "other is ['rate>1'], src/metrics/slo.def says None", SLO_SCRIPT),
    ("slo", "conf/prometheus/aragora-rules.yml",
     SLO_RULES.replace("> 0.5", "> 0.6"), "Slow is 'p95 > 0.6'", SLO_RULES),
    ("slo", "conf/prometheus/aragora-rules.yml",
     SLO_RULES + "      - alert: Other\n        expr: p95 > 0.7\n",
     "Other is about an objective", SLO_RULES),
    ("slo", "conf/grafana/aragora.json", SLO_PANELS.replace("0.5", "0.4"),
     "Times changes at [0.4], src/metrics/slo.def says 0.5", SLO_PANELS),
]

# More of a file that stands around the case anyway.
def docs_case(path, bad, complaint, good):
    return ("docs", path, DOCS.get(path, "") + bad, complaint,
            DOCS.get(path, "") + good)


DOCS = {
    "README.md": "`fcgi/` `ws-bridge/` `src/base/` `src/cli/` "
                 "`src/settings/` `docs/` `conf/` `tests/`\n## What it does\n",
    "docs/architecture.md":
        "`fcgi/` `ws-bridge/` `src/base/` `src/cli/` `src/settings/`\n",
    "docs/scaling.md": "30 MB, 1,000 debates\n",
    "docs/runbook.md": "### OneAlert\n",
    "docs/generate.py": "",
    "conf/prometheus/aragora-rules.yml":
        "  - alert: OneAlert\n    runbook_url: "
        "\"docs/runbook.md#onealert\"\n",
    "src/settings/settings.def":
        'SETTING(one, INT, "ARAGORA_ONE", "1", 0, 9, "x", 0, "One.")\n',
    "src/base/a.c": "\nsome_function(void)\n{\n\tlog_info(\"store.back\", "
                    "\"x\");\n}\n",
    "src/cli/cmd.h": "", "src/cli/main.c": "",
    "src/cli/cmd_copy.c": '{"from", required_argument, NULL, 1}\n',
    "fcgi/a.c": "\n", "ws-bridge/a.c": "\n",
    "tests/lint/docs_foreign.txt": "# none\nforeign_name\n",
}
CASES += [
    docs_case("README.md", "[a](docs/none.md)\n", "no such file: docs/none",
              "[a](docs/runbook.md#onealert)\n"),
    docs_case("README.md", "[a](docs/runbook.md#two)\n", "no such heading",
              "[a](#what-it-does)\n"),
    docs_case("README.md", "`ARAGORA_TWO`\n", "no such setting",
              "`ARAGORA_ONE`\n"),
    docs_case("README.md", "`base/b.c`\n", "no such file: base/b.c",
              "`base/a.c`, `*.def`\n"),
    docs_case("README.md", "`other_function()`\n", "no such name",
              "`some_function()`, `foreign_name`\n"),
    docs_case("README.md", "`store.gone`\n", "no such line of the log",
              "`store.back`\n"),
    docs_case("README.md", "    aragora dance\n", "no such command: dance",
              "    aragora copy --from X\n"),
    docs_case("README.md", "`aragora copy --sideways`\n",
              "aragora copy has no --sideways", "`aragora copy --from X`\n"),
    docs_case("README.md", "| 2,000 | x |\n", "2,000 is not in",
              "| 1,000 | 30 MB |\n"),
    docs_case("README.md", "x" * 121 + "\n", "over 120 columns",
              "x" * 120 + "\n"),
    ("docs", "docs/architecture.md", "`fcgi/` `ws-bridge/` `src/base/`\n",
     "src/cli/ is not in the map", DOCS["docs/architecture.md"]),
    docs_case("docs/runbook.md", "### TwoAlert\n", "TwoAlert is no alert",
              "## Two\n"),
    docs_case("conf/prometheus/aragora-rules.yml", "  - alert: Two\n",
              "Two has no entry", ""),
]

# What the migrations test needs: the first two migrations, one released.
ONE = "CREATE TABLE one (a TEXT);\n"
MIGRATIONS = {
    "src/store/sql/0001_one.sql": ONE,
    "src/store/sql/0002_two.pgsql.sql": "SELECT 2;\n",
    "src/store/Makefile.inc":
        "src/store/sql/0001_one.sql src/store/sql/0002_two.pgsql.sql "
        "src/store/sql/0003_three.sql\n",
    "tests/lint/migrations.txt":
        f"0001_one.sql {hashlib.sha256(ONE.encode()).hexdigest()}\n",
}

# What the tables test needs to stand around a case.
TABLES = {
    "src/settings/settings.def":
        'SETTING(one, INT, "ARAGORA_ONE", "1", 0, 9, "x", 0, "One, (a).")\n'
        'SETTING(two, STR, "ARAGORA_TWO", "", 0, 0, "", 0, "Two \\"q\\".")\n',
    "src/settings/settings_start.c":
        "\nsettings_start(const char *p)\n{\n}\n",
    "src/use.c":
        "x = settings->one + s->two; /* t->three */\n"
        "EVENT_VOTE; METRIC_SEEN; HISTOGRAM_TIMED; STMT_PING; "
        "SPAN_ATTR_TOLD;\n",
    "src/bus/event.def": 'EVENT(VOTE, "vote", 1, "", "x")\n',
    "src/metrics/metric.def": 'METRIC(SEEN, GAUGE, "a", "", "b")\n',
    "src/metrics/histogram.def": 'HISTOGRAM(TIMED, "a", "", "b")\n',
    "src/telemetry/span_attr.def": 'SPAN_ATTR(TOLD, TEXT, "a", "b", "c")\n',
    "src/store/stmt.def": 'STMT(PING, "", 1, "SELECT 1", NULL)\n',
    "fcgi/routes.def": 'ROUTE(GET, "/x", x_get, A)\n',
    "fcgi/h_x.c": "static enum x\nx_get(struct req *r)\n{\n}\n",
    "tests/lint/settings_unused.txt": "",
}

# Where a statement and its tables are.
TENANT_TABLES = "#define STMT_TENANT_TABLES \"'rows'\"\n"
TENANCY = {
    "src/store/stmt.def":
        TENANT_TABLES + 'STMT(PING, NONE, "", 1, "SELECT 1", NULL)\n',
    "src/store/sql/0001_init.sql":
        "CREATE TABLE rows (\n\ttenant TEXT NOT NULL,\n\ta TEXT\n);\n"
        "FOREACH t IN ARRAY ARRAY['rows']\n",
}


def write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as f:
        f.write(text)


def run(lint, path, text):
    root = tempfile.mkdtemp(prefix="lint-")
    try:
        if lint == "migrations":
            for name, content in MIGRATIONS.items():
                write(root, name, content)
        if lint == "tables":
            for name, content in TABLES.items():
                write(root, name, content)
            if path == "src/use.c":
                text += "EVENT_VOTE; METRIC_SEEN; HISTOGRAM_TIMED; " \
                        "STMT_PING; SPAN_ATTR_TOLD;\n"
        elif lint == "docs":
            for name, content in DOCS.items():
                write(root, name, content)
        elif lint == "tenancy":
            for name, content in TENANCY.items():
                write(root, name, content)
            if path == "src/store/stmt.def":
                text = TENANT_TABLES + text
        elif lint == "slo":
            write(root, "src/metrics/slo.def", SLO)
            write(root, "scripts/load_test.js", SLO_SCRIPT)
            write(root, "conf/prometheus/aragora-rules.yml", SLO_RULES)
            write(root, "conf/grafana/aragora.json", SLO_PANELS)
        elif lint == "size":
            write(root, "src/base/other.c", "static int\nf(void)\n{\n}\n")
        write(root, path, text)
        done = subprocess.run(
            [sys.executable, "-B", os.path.join(HERE, f"lint_{lint}.py")],
            env={**os.environ, "srcdir": root}, capture_output=True,
            text=True)
        return done.returncode, done.stdout + done.stderr
    finally:
        shutil.rmtree(root)


def main():
    report = tree.Report()
    for lint, path, bad, complaint, good in CASES:
        if lint == "shell" and not shutil.which("shellcheck"):
            continue
        status, said = run(lint, path, bad)
        if status != 1 or complaint not in said:
            report.find(f"lint_{lint}", f"misses '{complaint}':\n{said}")
        status, said = run(lint, path, good)
        if status != 0:
            report.find(f"lint_{lint}", f"refuses good {path}:\n{said}")
    report.done(len(CASES))


main()
