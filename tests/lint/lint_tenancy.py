# SPDX-License-Identifier: MIT
"""Every statement of stmt.def keeps to its scope. TENANT: as many predicates
`tenant = $1` as tables of tenants, and nothing but $1 goes into a tenant
column. SYSTEM: on PostgreSQL no such table by name, only functions aragora_*.
NONE: no such table at all. The tables of tenants are those of the migrations
that have a column tenant; on PostgreSQL each of them has row level
security, and STMT_TENANT_TABLES, by which the service looks whether it holds
for its role, names them all."""
import re

import tree

PATH = "src/store/stmt.def"
SQL = "src/store/sql/"


def tenant_tables():
    found = set()
    for path in tree.files(".sql", under=("src",)):
        text = re.sub(r"--[^\n]*", "", tree.read(path))
        for name, body in re.findall(
                r"CREATE TABLE (\w+) \((.*?)\n\);", text, flags=re.S):
            if re.search(r"^\s*tenant TEXT NOT NULL", body, flags=re.M):
                found.add(name)
    return found


def secured_tables():
    text = "".join(tree.read(p) for p in tree.files(".sql", under=("src",)))
    return {name for names in re.findall(r"FOREACH t IN ARRAY ARRAY\[(.*?)\]",
                                         text, flags=re.S)
            for name in re.findall(r"'(\w+)'", names)}


def macros():
    text = tree.strip_c(tree.read(PATH), strings=False)
    text = text.replace("\\\n", " ")
    return dict(re.findall(r"^#define (STMT_\w+)[ \t]+(.*)$", text,
                           flags=re.M))


def expand(arg, defined):
    while True:
        more = re.sub(r"\bSTMT_\w+", lambda m: defined[m.group(0)], arg)
        if more == arg:
            return tree.unquote(arg)
        arg = more


def mentions(sql, tables):
    names = "|".join(sorted(tables))
    return re.findall(
        rf"\b(?:FROM|JOIN|UPDATE|INTO) (?:{names})\b", sql)


def check_tenant(report, name, params, sql, tables):
    if not params.startswith("t"):
        report.find(PATH, f"{name}: $1 is no tenant")
    n = len(mentions(sql, tables))
    predicates = len(re.findall(r"\btenant = \$1\b", sql))
    insert = re.match(r"INSERT INTO (\w+) \(tenant, .*?\) (VALUES \(|SELECT )\$1, ", sql)
    if n != predicates + bool(insert):
        report.find(PATH, f"{name}: {n} tables of tenants, "
                          f"{predicates + bool(insert)} times tenant = $1")
    if re.search(r"\bSET\b.*\btenant = .*\bWHERE\b", sql):
        report.find(PATH, f"{name}: moves a row to another tenant")


def check_row(report, row, defined, tables):
    name, scope, params = row[0], row[1], tree.unquote(row[2])
    sql = expand(row[4], defined)
    pgsql = sql if row[5] == "NULL" else expand(row[5], defined)
    if scope == "TENANT":
        for text in {sql, pgsql}:
            check_tenant(report, name, params, text, tables)
    elif scope == "SYSTEM":
        if mentions(pgsql, tables) or "aragora_" not in pgsql:
            report.find(PATH, f"{name}: goes past row level security "
                              "without a function aragora_*")
    elif scope == "NONE":
        if mentions(sql, tables) or mentions(pgsql, tables):
            report.find(PATH, f"{name}: touches a table of tenants")
    else:
        report.find(PATH, f"{name}: no scope {scope}")


def check_list(report, defined, tables):
    listed = re.findall(r"'(\w+)'", defined.get("STMT_TENANT_TABLES", ""))
    for name in sorted(tables - set(listed)):
        report.find(PATH, f"STMT_TENANT_TABLES lacks {name}")
    for name in sorted(set(listed) - tables):
        report.find(PATH, f"STMT_TENANT_TABLES: {name} is no table of tenants")


def main():
    report = tree.Report()
    tables = tenant_tables()
    for name in sorted(tables - secured_tables()):
        report.find(SQL, f"{name} has no row level security")
    defined = macros()
    check_list(report, defined, tables)
    table = tree.rows(PATH, "STMT")
    for row in table:
        check_row(report, row, defined, tables)
    report.done(len(table))


main()
