#!/bin/sh
# SPDX-License-Identifier: MIT
# The store suite on a private PostgreSQL: its own cluster, Unix socket only.
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
if [ -z "$bin" ]; then
	echo "SKIP: no PostgreSQL server programs under /usr/lib/postgresql"
	exit 77
fi
dir=$(mktemp -d)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
	chown postgres "$dir"
	as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
fi
stop() {
	(cd / && as "$bin/pg_ctl" -D "$dir/data" -m immediate stop) >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap stop EXIT INT TERM
here=$(pwd)
cd /
as "$bin/initdb" -D "$dir/data" -U aragora -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 || {
	cat "$dir/initdb.log"
	exit 1
}
as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/data/log" \
	-o "-k $dir -c listen_addresses= -c fsync=off" start >/dev/null
cd "$here"
STORE_TEST_PGURL="postgresql://aragora@/postgres?host=$dir" \
	./tests/store/check_store
