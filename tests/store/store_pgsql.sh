#!/bin/sh
# SPDX-License-Identifier: MIT
# The store suite on a private PostgreSQL: its own cluster, Unix sockets only.
# As the owner of the tables; as a role that row level security holds; the same
# with statements kept on the server; and through PgBouncer in transaction
# mode with a single server connection.
set -eu
bin=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' \
	2>/dev/null | sort -V | tail -1)
bin=${bin%/initdb}
if [ -z "$bin" ]; then
	echo "SKIP: no PostgreSQL server programs under /usr/lib/postgresql"
	exit 77
fi
dir=$(mktemp -d)
PATH=$PATH:/usr/sbin # where pgbouncer is
user=
if [ "$(id -u)" = 0 ]; then # neither program runs as root
	chown postgres "$dir"
	user="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
# The suite stops and starts the server with this.
cat >"$dir/ctl" <<EOF
cd / && exec $user $bin/pg_ctl -D $dir/data -w -m fast -l $dir/data/log \\
	-o "-k $dir -c listen_addresses= -c fsync=off" "\$@"
EOF
stop() {
	if [ -f "$dir/pooler/pid" ]; then
		kill "$(cat "$dir/pooler/pid")" 2>/dev/null || true
	fi
	sh "$dir/ctl" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap stop EXIT INT TERM
# An order of texts that is not SQLite's, where the server can have one.
init() {
	# shellcheck disable=SC2086 # words of a command
	(cd / && $user "$bin/initdb" -D "$dir/data" -U postgres -A trust \
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
sql() {
	"$bin/psql" -qX -v ON_ERROR_STOP=1 -h "$dir" -U postgres -d "$1" -c "$2"
}
sql postgres "CREATE ROLE aragora_owner LOGIN"
# The suite ends the service's connections.
sql postgres "GRANT pg_signal_backend TO aragora_owner"
sql postgres "CREATE ROLE aragora_app LOGIN"
sql postgres "CREATE ROLE bystander LOGIN"
sql postgres "CREATE DATABASE aragora OWNER aragora_owner"

url() {
	echo "postgresql://$1@/aragora?host=$2"
}
STORE_TEST_PGSOCKET="$dir/.s.PGSQL.5432"
STORE_TEST_PGCTL="sh $dir/ctl"
export STORE_TEST_PGSOCKET STORE_TEST_PGCTL
echo "# as the owner"
STORE_TEST_PGURL=$(url aragora_owner "$dir") STORE_TEST_PGUSER=aragora_owner \
	./tests/store/check_store

STORE_TEST_PGOWNER=$(url aragora_owner "$dir")
STORE_TEST_PGUSER=aragora_app
STORE_TEST_SUPER=$(url postgres "$dir")
STORE_TEST_BYSTANDER=$(url bystander "$dir")
export STORE_TEST_PGOWNER STORE_TEST_PGUSER STORE_TEST_SUPER \
	STORE_TEST_BYSTANDER
echo "# as the service's role"
STORE_TEST_PGURL=$(url aragora_app "$dir") ./tests/store/check_store
echo "# with statements kept on the server"
ARAGORA_DB_PREPARE=server STORE_TEST_PGURL=$(url aragora_app "$dir") \
	./tests/store/check_store

mkdir "$dir/pooler"
cat >"$dir/pooler/ini" <<EOF
[databases]
aragora = host=$dir
[pgbouncer]
unix_socket_dir = $dir/pooler
listen_port = 5432
listen_addr =
auth_type = trust
auth_file = $dir/pooler/users
pool_mode = transaction
default_pool_size = 1
pidfile = $dir/pooler/pid
logfile = $dir/pooler/log
EOF
echo '"aragora_app" ""' >"$dir/pooler/users"
if [ -n "$user" ]; then
	chown -R postgres "$dir/pooler"
fi
# shellcheck disable=SC2086 # words of a command
(cd / && $user pgbouncer -q -d "$dir/pooler/ini")
STORE_TEST_POOLED=1
STORE_TEST_PGURL=$(url aragora_app "$dir/pooler")
export STORE_TEST_POOLED STORE_TEST_PGURL
echo "# through PgBouncer"
./tests/store/check_store
echo "# through PgBouncer, which loses prepared statements"
CK_RUN_CASE=tenancy ARAGORA_DB_PREPARE=server ./tests/store/check_store
