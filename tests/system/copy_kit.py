# SPDX-License-Identifier: MIT
"""What the tests of `aragora copy` share: databases full of debates, made by
one statement a table, and an independent look at both sides."""
import contextlib
import json
import os
import signal
import sqlite3
import subprocess

import psycopg2

import stack as st

# A number from 0 to 99 for each debate, the same in both languages.
FILL_SQLITE = """
WITH RECURSIVE n (i) AS (SELECT {first} UNION ALL
    SELECT i + 1 FROM n WHERE i + 1 < {last})
INSERT INTO debates (id, tenant, owner, slug, task, config, status, phase,
    round, total_rounds, priority, result, confidence, consensus_reached,
    last_seq, created_us, updated_us, attempts, idempotency_key, request_hash)
SELECT 'adhoc_' || printf('%08x', i * 2654435761 % 4294967296),
    CASE i % 7 WHEN 0 THEN 'other' ELSE 'default' END,
    CASE i % 3 WHEN 0 THEN NULL ELSE 'owner' || i END, 'slug-' || i,
    'Tea or coffee, ' || i || '?' || char(10) || char(9) || '\\N \\ ' ||
    char(8217, 128021, 7, 13), '{{"rounds": 2}}', 'completed', 'done', 2, 2,
    i % 10 - 5, CASE i % 4 WHEN 0 THEN '' ELSE '{{"answer": ' || i || '}}' END,
    i / 3.0 * CASE i % 2 WHEN 0 THEN 1e-300 ELSE -1 END, i % 2, {events},
    1700000000000000 + i, 9223372036854775807 - i, 1,
    CASE i % 5 WHEN 0 THEN 'key-' || i ELSE NULL END, 'hash' FROM n;
INSERT INTO events (debate_id, seq, tenant, type, round, agent, created_us,
    data) SELECT d.id, s.value, d.tenant, 'agent_message', s.value,
    CASE s.value WHEN 1 THEN NULL ELSE 'demo' END, d.created_us + s.value,
    '{{"content": "' || d.slug || '"}}'
    FROM debates d, json_each({seqs}) s
    WHERE d.created_us BETWEEN 1700000000000000 + {first}
        AND 1700000000000000 + {last} - 1;
INSERT INTO turns (debate_id, step_key, tenant, round, phase, agent, role,
    state, attempt, content, tokens_in, started_us)
    SELECT d.id, 'r' || s.value || '/propose/demo', d.tenant, s.value,
    'propose', 'demo', 'proposer', 2, 1, d.task, 17, d.created_us
    FROM debates d, json_each({turns}) s
    WHERE d.created_us BETWEEN 1700000000000000 + {first}
        AND 1700000000000000 + {last} - 1;
"""


# A row in each of the other tables.
FILL_ONE_ROW = (
    "INSERT INTO runners VALUES ('runner1', 'host', 1, 2, 0, 3, '[]')",
    "INSERT INTO bridges VALUES ('bridge1', 'host', 1, 2, 3, 4, 5, 6)",
    "INSERT INTO tokens (id, tenant, name, prefix, hash, tier, created_us) "
    "VALUES ('tok_1', 'default', 'ci', 'ara_', 'h', 'free', 5)",
    "INSERT INTO tenants VALUES ('org_1', 'One', 'one', 'user_1', 'free', "
    "'active', '{}', -1, 3, 5, 6)",
    "INSERT INTO users VALUES ('user_1', 'org_1', 'ann@example.org', 'Ann', "
    "'$argon2id$', 'owner', NULL, '{}', 2, 1, 5, 6, 7)",
    "INSERT INTO sessions VALUES ('ses_1', 'org_1', 'user_1', 'h', 'curl', "
    "'192.0.2.1', 5, 6, 7, 0)",
    "INSERT INTO preferences VALUES ('org_1', 'user_1', '{\"a\": 1}', 7)",
    "INSERT INTO login_attempts VALUES ('h', 1, 2, 3)",
    "INSERT INTO receipts SELECT id, tenant, '{\"a\": 1}', NULL, '[\"m\"]', 7 "
    "FROM debates ORDER BY id LIMIT 1",
    "INSERT INTO debate_vectors SELECT id, tenant, 'model', 2, "
    "'AACAPwAAAAA=', 7 FROM debates ORDER BY id LIMIT 1",
    "INSERT INTO debate_notes SELECT 'note_1', id, tenant, 'a note', 7 FROM "
    "debates ORDER BY id LIMIT 1",
    "INSERT INTO human_inputs SELECT id, 4, tenant, 0, 'ann', 'demo', NULL, "
    "5, 9 FROM debates ORDER BY id LIMIT 1",
    "INSERT INTO attempts SELECT id, '1/propose/demo/', 1, tenant, 1, 1, "
    "'first', 1, 'hash', 'demo', 'm', 3, 4, 0, -1, 200, NULL, 7, 8 FROM "
    "debates ORDER BY id LIMIT 1",
    "INSERT INTO request_keys VALUES ('default', 'k', 'POST /x', 'h', 'adhoc_1', "
    "201, '{}', 7)",
    "INSERT INTO batches VALUES ('batch_1', 'default', NULL, 0, 0, '{}', NULL, "
    "NULL, 0, 0, 0, 0, NULL, 7)",
    "INSERT INTO batch_items VALUES ('batch_1', 0, 'default', 'item_1', "
    "'adhoc_1', 0)",
    "INSERT INTO debate_evidence SELECT 'ev_1', id, tenant, 'text', 'book', "
    "'{}', 7 FROM debates ORDER BY id LIMIT 1",
    "INSERT INTO export_jobs VALUES ('export_1', 'default', 'json', '[]', 7)",
    "INSERT INTO memory_boards VALUES ('default', 1)",
    "INSERT INTO memories VALUES ('default', 'mem_1', 'k', 2, 'general', "
    "'text', '{}', '', 4, 500000, 100000, 0, 0, 1, 2, 3, 4, 5, 6)",
    "INSERT INTO memory_tallies VALUES ('default', 3600000000, 'stored', 2, "
    "9)",
    "INSERT INTO agent_rules VALUES ('default', 'demo', 1, 'why', 5, 2, 0, "
    "7)",
    "INSERT INTO rating_adjustments VALUES ('default', 'adj_1', 'demo', -500, "
    "1499500, 'why', '', 'tok_1', 7)",
    "INSERT INTO rating_boards VALUES ('default', 1)",
    "INSERT INTO ratings VALUES ('default', '', 'demo', 1500000, 1, 1, 0, 1, "
    "7, 3, 2)",
    "INSERT INTO source_ratings VALUES ('default', 'votes', '', 'demo', "
    "1500000, 1, 1, 0, 1, 7)",
    "INSERT INTO matches VALUES ('adhoc_1', 'default', '', 'demo', 'votes', "
    "500000, '[]', 7, 2, 8)",
    "INSERT INTO match_players VALUES ('adhoc_1', 'demo', 'default', '', "
    "1, 1500000, -16000, 7, 1484000, -16000, 'demo')",
    "INSERT INTO budget_limits VALUES ('default', '', 'day', 5, -1)",
    "INSERT INTO budget_use VALUES ('default', '', 'day', 0, 1, 2, 3, 4)",
    "INSERT INTO budget_grants VALUES ('adhoc_1', 'default', '', 0, 0, 3, 4, "
    "1, 2, 1)",
    "INSERT INTO calibration VALUES ('default', '', 'demo', 9, 1, 1, "
    "950000, 2500)",
)


class Lite:
    """A migrated SQLite database."""

    def __init__(self, path):
        self.path = str(path)
        self.url = f"sqlite:{self.path}"
        migrate(self.url)

    def connect(self):
        c = sqlite3.connect(self.path, timeout=st.WAIT, isolation_level=None)
        c.execute("PRAGMA foreign_keys=ON")
        return contextlib.closing(c)

    def run(self, sql, *args):
        with self.connect() as c:
            return c.execute(sql, args).fetchall()

    def fill(self, n, first=0, events=3, turns=1):
        with self.connect() as c:
            c.executescript("BEGIN; " + FILL_SQLITE.format(
                first=first, last=first + n, events=events,
                seqs="'" + json.dumps(list(range(1, events + 1))) + "'",
                turns="'" + json.dumps(list(range(1, turns + 1))) + "'") +
                "COMMIT;")
            if first == 0:
                for statement in FILL_ONE_ROW:
                    c.execute(statement)

    def tables(self):
        return [r[0] for r in self.run(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND "
            "name NOT LIKE 'sqlite_%'")]

    def left(self):
        """What a copy has left behind."""
        return [r[0] for r in self.run(
            "SELECT name FROM sqlite_schema WHERE name LIKE 'aragora_copy%'")]


class Pg:
    """A migrated PostgreSQL database."""

    def __init__(self, url):
        self.url = url
        migrate(url)

    def connect(self):
        c = psycopg2.connect(self.url)
        c.autocommit = True
        return contextlib.closing(c)

    def run(self, sql, *args):
        with self.connect() as c, c.cursor() as cur:
            cur.execute(sql, args or None)
            return cur.fetchall() if cur.description else []

    def tables(self):
        return [r[0] for r in self.run(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND "
            "relnamespace = 'public'::regnamespace")]

    def left(self):
        return [r[0] for r in self.run(
            "SELECT relname FROM pg_class WHERE relname LIKE 'aragora_copy%' "
            "UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE "
            "'aragora_copy%' UNION ALL SELECT proname FROM pg_proc WHERE "
            "proname LIKE 'aragora_copy%'")]


def environment():
    return {k: v for k, v in os.environ.items()
            if not k.startswith(("ARAGORA_", "OPENAI_", "PG"))}


def migrate(url):
    subprocess.run([st.Stack.program("aragora"), "migrate", "up",
                    "--database-url", url], env=environment(), check=True,
                   stdout=subprocess.DEVNULL)


def command(source, target, *args):
    return [st.Stack.program("aragora"), "copy", "--from", source.url, "--to",
            target.url, *args]


def empty(db):
    """Every row goes; what refers to debates before these."""
    for name in (*(set(ours(db)) - {"debates"}), "debates"):
        db.run(f"DELETE FROM {name}")


def copy(source, target, *args, status=0):
    """Runs to its end; the report."""
    r = subprocess.run(command(source, target, "--json", "-", *args),
                       env=environment(), text=True, capture_output=True,
                       check=False, timeout=10 * st.WAIT)
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    assert "Sanitizer" not in r.stderr, r.stderr
    return json.loads(r.stdout)


def until_marked(source, target, sig=signal.SIGKILL):
    """Ends a copy while it is in the middle of the debates: it writes more
    lines than the pipe holds, and this reader holds none."""
    p = subprocess.Popen(command(source, target, "--batch", "10"),
                         env=environment(), bufsize=0,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         pipesize=4096)
    for line in p.stderr:
        if line.startswith(b"copy debates: 30 rows so far"):
            p.send_signal(sig)
            break
    p.stderr.read()
    assert p.wait(st.WAIT) == -sig


def as_behind(source, target, write):
    """A copy whose triggers stand, then a write, before it ends."""
    p = subprocess.Popen(command(source, target, "--wait-writers=600"),
                         env=environment(), text=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for line in p.stderr:
        if "stop the workers" in line:
            break
    write()
    for line in p.stderr:
        if line.startswith("follow: "):
            break
    p.kill()
    p.stderr.read()
    p.wait(st.WAIT)


def table(report, name):
    return next(t for t in report["tables"] if t["name"] == name)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def content(db, name):
    """Every row as the database's own driver for Python reads it."""
    if isinstance(db, Pg):
        columns = ", ".join(sorted(quoted(r[0]) for r in db.run(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0 AND NOT attisdropped", name)))
    else:
        columns = ", ".join(sorted(quoted(r[1]) for r in db.run(
            f"PRAGMA table_xinfo({name})")))
    return sorted(db.run(f'SELECT {columns} FROM "{name}"'), key=repr)


def ours(db):
    return sorted(t for t in db.tables() if t != "schema_migrations"
                  and not t.startswith("aragora_copy_"))


def check_equal(a, b):
    assert ours(a) == ours(b)
    for name in ours(a):
        assert content(a, name) == content(b, name), name
    assert not a.left() and not b.left()
