# SPDX-License-Identifier: MIT
# Numbered .sql files to one C header: migrate_sql[n - 1] is migration n, for
# both databases in NNNN_name.sql, or for one in NNNN_name.sqlite.sql and
# NNNN_name.pgsql.sql. Where a database has nothing to do its text is "".
function finish() {
	if (kind != "")
		text[version, kind] = body
	body = ""
}
FNR == 1 {
	finish()
	n = split(FILENAME, path, "/")
	version = substr(path[n], 1, 4) + 0
	if (version > count)
		count = version
	kind = "both"
	if (path[n] ~ /\.sqlite\.sql$/)
		kind = "sqlite"
	if (path[n] ~ /\.pgsql\.sql$/)
		kind = "pgsql"
}
{
	gsub(/\\/, "&&")
	gsub(/"/, "\\\"")
	gsub(/\t/, "\\t")
	body = body "\n\t    \"" $0 "\\n\""
}
function show(version, kind) {
	if ((version, "both") in text)
		kind = "both"
	if (!((version, kind) in text))
		return "\"\""
	return text[version, kind]
}
END {
	finish()
	print "/* Generated from src/store/sql/. */"
	print "#pragma once"
	print "static const struct { const char *sqlite, *pgsql; } migrate_sql[] = {"
	for (i = 1; i <= count; i++)
		print "\t{.sqlite = " show(i, "sqlite") ",\n\t.pgsql = " \
		    show(i, "pgsql") "},"
	print "};"
	print "#define MIGRATE_COUNT \\"
	print "\t((int)(sizeof(migrate_sql) / sizeof(migrate_sql[0])))"
}
