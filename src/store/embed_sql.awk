# SPDX-License-Identifier: MIT
# Numbered .sql files to one C header: migrate_sql[n - 1] is migration n.
BEGIN {
	print "/* Generated from src/store/sql/. */"
	print "#pragma once"
	print "static const char *const migrate_sql[] = {"
}
FNR == 1 && NR > 1 { print "\t," }
{
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	gsub(/\t/, "\\t")
	print "\t\"" $0 "\\n\""
}
END {
	print "};"
	print "#define MIGRATE_COUNT \\"
	print "\t((int)(sizeof(migrate_sql) / sizeof(migrate_sql[0])))"
}
