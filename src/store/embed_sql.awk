# SPDX-License-Identifier: MIT
# Migrations to one C file, the rows of store/migrate.h. A migration is one
# file NNNN_name.sql, or NNNN_name.sqlite.sql and NNNN_name.pgsql.sql, of which
# one may be missing: nothing to do there. Notes in the text, each a line:
#   -- min-binary: N   programs whose newest migration is N or newer work with
#                      the database afterwards (else: this one's number)
#   -- optional        this program also works before it is applied
#   -- no-transaction  (.pgsql.sql) one CREATE or DROP INDEX CONCURRENTLY
function fail(why) {
	print FILENAME ": " why > "/dev/stderr"
	is_failed = 1
	exit 1
}
function row_end() {
	if (version == 0)
		return
	rows = rows "\t{\n\t\t.version = " version ",\n\t\t.name = \"" name \
	    "\",\n\t\t.min_binary = " min_binary ",\n\t\t.sqlite = " \
	    (has["sqlite"] ? "sql_" version "_sqlite" : "\"\"") \
	    ",\n\t\t.pgsql = " \
	    (has["pgsql"] ? "sql_" version "_pgsql" : "\"\"") \
	    (index_name != "" ? ",\n\t\t.index = \"" index_name "\"" : "") \
	    ",\n\t\t.is_building = " (is_building ? "true" : "false") \
	    ",\n\t\t.is_optional = " (is_optional ? "true" : "false") \
	    ",\n\t},\n"
	if (!is_optional)
		min = version
	newest = version
}
function text_end() {
	if (kind == "")
		return
	print "\t\"\";"
	if (kind == "both") {
		print "#define sql_" version "_sqlite sql_" version "_both"
		print "#define sql_" version "_pgsql sql_" version "_both"
		has["sqlite"] = has["pgsql"] = 1
	} else {
		has[kind] = 1
	}
	if (is_alone)
		alone_end()
	kind = ""
}
# The one statement of a migration outside a transaction: its index's name.
function alone_end() {
	if (kind != "pgsql")
		fail_at(path, "only a .pgsql.sql may say no-transaction")
	gsub(/[ \t]+/, " ", body)
	if (body !~ /^ *(CREATE( UNIQUE)? INDEX CONCURRENTLY [a-z0-9_]+ ON |DROP INDEX CONCURRENTLY IF EXISTS [a-z0-9_]+ *;)[^;]*;? *$/)
		fail_at(path, "no-transaction takes one CREATE INDEX " \
		    "CONCURRENTLY name ON or DROP INDEX CONCURRENTLY IF " \
		    "EXISTS name")
	split(body, word, " ")
	for (i = 1; i in word; i++)
		if (word[i] == "CONCURRENTLY")
			break
	index_name = word[word[i + 1] == "IF" ? i + 3 : i + 1]
	sub(/;$/, "", index_name)
	is_building = body ~ /^ *CREATE/
}
function fail_at(where, why) {
	FILENAME = where
	fail(why)
}
function file_start(   base, v, k) {
	text_end()
	path = FILENAME
	base = path
	sub(/.*\//, "", base)
	if (base !~ /^[0-9][0-9][0-9][0-9]_[a-z0-9_]+(\.sqlite|\.pgsql)?\.sql$/)
		fail("is not called NNNN_name[.sqlite|.pgsql].sql")
	v = substr(base, 1, 4) + 0
	sub(/^[0-9]+_/, "", base)
	k = base ~ /\.sqlite\.sql$/ ? "sqlite" : \
	    base ~ /\.pgsql\.sql$/ ? "pgsql" : "both"
	sub(/\..*/, "", base)
	if (v < version || v == 0)
		fail("comes after migration " version)
	if (v == version && (base != name || k == "both" || ("both" in has) || \
	    (k in has)))
		fail("migration " v " stands twice")
	if (v > version) {
		row_end()
		version = min_binary = v
		name = base
		index_name = ""
		is_building = 0
		is_optional = 0
		delete has["both"]
		delete has["sqlite"]
		delete has["pgsql"]
	}
	kind = k
	if (k == "both")
		has["both"] = 1
	is_alone = 0
	body = ""
	print "static const char sql_" v "_" k "[] ="
}
BEGIN {
	print "/* Generated from the migrations' texts. */"
	print "#include \"store/migrate.h\"\n"
	print "#include \"base/str.h\"\n"
}
FNR == 1 { file_start() }
/^-- min-binary: [0-9]+$/ { min_binary = $3 + 0 }
/^-- optional$/ { is_optional = 1 }
/^-- no-transaction$/ { is_alone = 1 }
!/^--/ { body = body " " $0 }
{
	gsub(/\\/, "\\\\&")
	gsub(/"/, "\\\\&")
	gsub(/\t/, "\\t")
	print "\t\"" $0 "\\n\""
}
END {
	if (is_failed)
		exit 1
	text_end()
	row_end()
	print "\nstatic const struct migrate_row migrate_rows[] = {"
	printf "%s", rows
	print "};\n"
	print "const struct migrate_list migrate_list = {"
	print "\t.rows = migrate_rows,"
	print "\t.n = ARRAY_LEN(migrate_rows),"
	print "\t.min = " min + 0 ","
	print "\t.newest = " newest + 0 ","
	print "};"
}
