# SPDX-License-Identifier: MIT
"""Each foreign library behind one file or folder, and calls that are kept
for one place."""
import re

import tree

# (pattern of the code without comments, where it may stand, why)
RULES = [
    (r'#\s*include\s+[<"](libpq|postgres|pg_config|pgtypes)',
     r"src/store/(db_\w+|copy_pgsql\w*)\.[ch]",
     "libpq belongs to the store's drivers"),
    (r'#\s*include\s+[<"]sqlite3', r"src/store/(db_\w+|copy_sqlite)\.[ch]",
     "SQLite belongs to the store's drivers"),
    (r"\b(PQ[a-z]\w+|sqlite3_\w+)\s*\(",
     r"src/store/(db_\w+|copy_(pgsql\w*|sqlite))\.[ch]",
     "database calls belong to the store's drivers"),
    (r"\b(PQexec|sqlite3_exec)\s*\(",
     r"src/store/(db_\w+|copy_(pgsql\w*|sqlite)|migrate|store_migrate)\.c",
     "statements live in stmt.def; only drivers, migrations and the copy run "
     "text"),
    (r'#\s*include\s+[<"]hiredis', r"src/\w+/\w+_redis\.[ch]",
     "hiredis belongs to *_redis.c"),
    (r"\bredis(v?Append)?Command\s*\(", r"(?!)",
     "redisCommandArgv only: %s takes no binary text"),
    (r'#\s*include\s+[<"]curl/', r"src/(llm/llm_http|auth/fetch|telemetry/otlp_post)\.c",
     "curl belongs to llm_http.c, fetch.c and otlp_post.c"),
    (r'#\s*include\s+[<"]sodium', r"src/auth/password\.c",
     "libsodium belongs to password.c"),
    (r'#\s*include\s+[<"](fcgiapp|fcgi_|fastcgi)',
     r"fcgi/transport_fcgi\.c", "libfcgi belongs to transport_fcgi.c"),
    (r'#\s*include\s+[<"]zlib\.h', r"ws-bridge/ws_deflate\.c",
     "zlib belongs to ws_deflate.c"),
    (r"\bsetlocale\s*\(", r"(?!)", "number text must not follow a locale"),
    (r"\b(system|popen)\s*\(", r"(?!)", "no shell"),
    (r"\bfopen\s*\([^;]*,\s*\"[rwa+b]*\"", r"(?!)",
     "open files with O_CLOEXEC: mode \"...e\""),
]
# Session state does not survive a pooler in transaction mode.
SQL_SET = re.compile(r"(?:^|;)\s*SET\s+(?!LOCAL\b)\w", re.I)
SQL_SESSION = re.compile(r"\b(?:UN)?LISTEN\s+\w|\bpg_advisory_lock\b"
                         r"|\bCREATE\s+TEMP", re.I)
LITERAL = r'"(?:\\.|[^"\\\n])*"'


def sql_texts(path):
    """(line, text) of each run of adjacent string literals of a C file, or
    the whole of a .sql file."""
    text = tree.read(path)
    if path.endswith(".sql"):
        yield 1, re.sub(r"--[^\n]*", "", text)
        return
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  text, flags=re.S)
    for m in re.finditer(rf"{LITERAL}(?:\s*{LITERAL})*", text):
        joined = "".join(q[1:-1] for q in re.findall(LITERAL, m.group(0)))
        yield text.count("\n", 0, m.start()) + 1, joined


def check_sql(report, path):
    for n, text in sql_texts(path):
        if SQL_SET.search(text):
            report.find(f"{path}:{n}", "SET without LOCAL: " + text[:60])
        if SQL_SESSION.search(text):
            report.find(f"{path}:{n}", "session state: " + text[:60])


def check_packages(report):
    """What a build needs here, the Debian package asks for."""
    text = tree.read("scripts/packages.sh")
    build = re.search(r"^\tbuild\)(.*?);;", text, re.M | re.S)[1]
    control = tree.read("debian/control")
    for name in re.findall(r"\b(?:lib|zlib)[\w.+-]*-dev\b", build):
        if name != "libc6-dev" and not re.search(
                rf"(?<![\w-]){re.escape(name)}\b", control):
            report.find("debian/control", f"does not ask for {name}")


def main():
    report = tree.Report()
    if tree.exists("debian/control"):
        check_packages(report)
    paths = tree.files(".c", ".h", under=("src", "fcgi", "ws-bridge"))
    for path in paths:
        # A rule that speaks of a string literal sees the literals.
        with_text = tree.strip_c(tree.read(path), strings=False).splitlines()
        without = tree.strip_c(tree.read(path)).splitlines()
        for pattern, where, why in RULES:
            if re.fullmatch(where, path):
                continue
            lines = with_text if '"' in pattern else without
            for n, line in enumerate(lines, 1):
                if re.search(pattern, line):
                    report.find(f"{path}:{n}", why)
    sql = tree.files(".c", ".h", ".def", ".sql", under=("src/store",))
    for path in sql:
        check_sql(report, path)
    report.done(len(paths) + len(sql))


main()
