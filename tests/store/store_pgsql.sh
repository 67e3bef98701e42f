#!/bin/sh
# SPDX-License-Identifier: MIT
# The store suite on a private PostgreSQL: its own cluster, Unix socket only.
set -eu
bin=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' \
	2>/dev/null | sort -V | tail -1)
bin=${bin%/initdb}
if [ -z "$bin" ]; then
	echo "SKIP: no PostgreSQL server programs under /usr/lib/postgresql"
	exit 77
fi
dir=$(mktemp -d)
user=
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
	chown postgres "$dir"
	user="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
# The suite stops and starts the server with this.
cat >"$dir/ctl" <<EOF
cd / && exec $user $bin/pg_ctl -D $dir/data -w -m fast -l $dir/data/log \\
	-o "-k $dir -c listen_addresses= -c fsync=off" "\$@"
EOF
stop() {
	sh "$dir/ctl" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap stop EXIT INT TERM
# An order of texts that is not SQLite's, where the server can have one.
init() {
	# shellcheck disable=SC2086 # words of a command
	(cd / && $user "$bin/initdb" -D "$dir/data" -U aragora -A trust \
		--no-sync -E UTF8 --locale=C.UTF-8 "$@" >"$dir/initdb.log" 2>&1)
}
init --locale-provider=icu --icu-locale=en || {
	rm -rf "$dir/data"
	init
} || {
	cat "$dir/initdb.log"
	exit 1
}
sh "$dir/ctl" start >/dev/null
STORE_TEST_PGURL="postgresql://aragora@/postgres?host=$dir"
STORE_TEST_PGSOCKET="$dir/.s.PGSQL.5432"
STORE_TEST_PGCTL="sh $dir/ctl"
export STORE_TEST_PGURL STORE_TEST_PGSOCKET STORE_TEST_PGCTL
./tests/store/check_store
