/* SPDX-License-Identifier: MIT
 *
 * aragora doctor: what would keep this machine from serving, and what to do.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "bus/bus.h"
#include "cli/cmd.h"
#include "cli/supabase.h"
#include "llm/llm.h"
#include "store/store_bridge.h"
#include "store/store_memory.h"

#define DOCTOR_MIN_FREE_MB 200
#define DOCTOR_SWEEP_S	   INT64_C(120)

enum doctor_mark { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

static void PRINTF(3, 4)
    doctor_say(bool *is_failed, enum doctor_mark mark, const char *fmt, ...)
{
	static const char *const marks[] = {"[ok]  ", "[warn]", "[fail]"};
	va_list ap;

	printf("%s ", marks[mark]);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	*is_failed = *is_failed || mark == DOCTOR_FAIL;
}

static void
doctor_folder(const struct settings *s, bool *failed)
{
	struct statvfs fs;

	if (!path_make(s->data_dir) ||
	    access(s->data_dir, R_OK | W_OK | X_OK) != 0) {
		doctor_say(failed, DOCTOR_FAIL,
		    "data folder '%s' is not writable: set ARAGORA_DATA_DIR",
		    s->data_dir);
		return;
	}
	doctor_say(failed, DOCTOR_OK, "data folder '%s'", s->data_dir);
	if (statvfs(s->data_dir, &fs) != 0)
		return;
	unsigned long long mb =
	    (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
	doctor_say(failed, mb < DOCTOR_MIN_FREE_MB ? DOCTOR_FAIL : DOCTOR_OK,
	    "%llu MB free there%s", mb,
	    mb < DOCTOR_MIN_FREE_MB ? ": make room" : "");
}

static void
doctor_runners(struct store *store, const struct settings *s, bool *failed)
{
	struct arena *a = arena_new(0);
	struct store_runner *rows;
	size_t n;

	if (store_runner_list(store, a, s->lease * 2000000, &rows, &n) !=
	    ERR_OK)
		doctor_say(failed, DOCTOR_FAIL, "runners cannot be listed");
	else if (n == 0)
		doctor_say(failed, DOCTOR_WARN,
		    "no runner is alive: start aragora-runner or `aragora "
		    "serve`");
	for (size_t i = 0; i < n; i++)
		doctor_say(failed, DOCTOR_OK, "runner %s on %s: %lld of %lld",
		    rows[i].id, rows[i].host, (long long)rows[i].active,
		    (long long)rows[i].capacity);
	arena_free(&a);
}

/* Not to have one is no fault: not everybody wants live events. */
static void
doctor_bridges(struct store *store, bool *failed)
{
	struct arena *a = arena_new(0);
	struct store_bridge *rows;
	size_t n;

	if (store_bridge_list(store, a, &rows, &n) != ERR_OK)
		doctor_say(failed, DOCTOR_FAIL, "bridges cannot be listed");
	else if (n == 0)
		doctor_say(failed, DOCTOR_WARN,
		    "no bridge is alive: without aragora-ws there are no live "
		    "events");
	for (size_t i = 0; i < n; i++)
		doctor_say(failed, DOCTOR_OK,
		    "bridge %s on %s: %lld WebSockets, %lld event streams, "
		    "%lld subscriptions",
		    rows[i].id, rows[i].host, (long long)rows[i].connections,
		    (long long)rows[i].streams,
		    (long long)rows[i].subscriptions);
	arena_free(&a);
}

/* What is in the tiers, how close a tenant comes to what it may have, and
 * whether the runners' sweeps keep up. */
static void
doctor_memory(struct store *store, bool *failed)
{
	struct store_memory_total totals[MEMORY_TIER__COUNT];
	int64_t now = clock_wall_us();
	size_t behind = 0;

	if (store_memory_totals(store, now, totals) != ERR_OK ||
	    store_memory_behind(
		store, now - DOCTOR_SWEEP_S * 1000000, &behind) != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "memory cannot be read");
		return;
	}
	for (size_t i = 0; i < MEMORY_TIER__COUNT; i++) {
		const struct memory_tier_row *t = &memory_tiers[i];
		const struct store_memory_total *sum = &totals[i];
		doctor_say(failed, DOCTOR_OK,
		    "memory tier %s: %lld entries of %lld tenants, %lld bytes; "
		    "one tenant has at most %lld of %lld entries, %lld of %lld "
		    "bytes",
		    t->name, (long long)sum->count, (long long)sum->tenants,
		    (long long)sum->bytes, (long long)sum->most_count,
		    (long long)t->items, (long long)sum->most_bytes,
		    (long long)t->bytes);
	}
	if (behind == 0)
		doctor_say(failed, DOCTOR_OK, "memory is swept in time");
	else
		doctor_say(failed, DOCTOR_WARN,
		    "the sweep of memory is behind: %zu or more tenants have "
		    "entries that were due %d s ago: is a runner alive?",
		    behind, (int)DOCTOR_SWEEP_S);
}

struct doctor_hosts {
	const char **names;
	size_t n;
};

static void
doctor_host_add(struct doctor_hosts *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(h->names[i], name))
			return;
	h->names[h->n++] = name;
}

/* Hosts that can be known of: this one, and those with a living runner or
 * bridge. */
static int64_t
doctor_hosts(struct store *store, const struct settings *s)
{
	struct arena *a = arena_new(0);
	struct store_runner *runners;
	struct store_bridge *bridges;
	struct doctor_hosts h = {0};
	char here[256] = "";
	size_t n_runners, n_bridges;

	gethostname(here, sizeof(here) - 1);
	if (store_runner_list(
		store, a, s->lease * 2000000, &runners, &n_runners) != ERR_OK)
		n_runners = 0;
	if (store_bridge_list(store, a, &bridges, &n_bridges) != ERR_OK)
		n_bridges = 0;
	h.names = ARENA_ARRAY(a, n_runners + n_bridges + 1, const char *);
	doctor_host_add(&h, here);
	for (size_t i = 0; i < n_runners; i++)
		doctor_host_add(&h, runners[i].host);
	for (size_t i = 0; i < n_bridges; i++)
		doctor_host_add(&h, bridges[i].host);
	arena_free(&a);
	return (int64_t)h.n;
}

/* Does what our hosts may open fit into what the server has? */
static void
doctor_server(const struct store_limits *l, const char *which, int64_t budget,
    int64_t hosts, bool *failed)
{
	int64_t room = l->max - l->reserved;
	const char *whose = "max_connections less those reserved";

	if (l->role >= 0 && l->role < room) {
		room = l->role;
		whose = "the role's connection limit";
	}
	if (l->database >= 0 && l->database < room) {
		room = l->database;
		whose = "the database's connection limit";
	}
	if (l->is_pooled) {
		doctor_say(failed, DOCTOR_OK,
		    "%sa pooler answers for the server: up to %lld connections "
		    "from %lld host(s) go to it (its max_client_conn), and its "
		    "own must stay within %lld (%s)",
		    which, (long long)(budget * hosts), (long long)hosts,
		    (long long)room, whose);
		return;
	}
	int64_t others = l->connected > l->open ? l->connected - l->open : 0;
	bool is_over = budget * hosts > room;
	bool is_tight = !is_over && budget * hosts + others > room;
	doctor_say(failed,
	    is_over	   ? DOCTOR_FAIL
		: is_tight ? DOCTOR_WARN
			   : DOCTOR_OK,
	    "%s%lld host(s) with %lld connections each may open %lld of %lld "
	    "(%s), %lld others are connected now%s",
	    which, (long long)hosts, (long long)budget,
	    (long long)(budget * hosts), (long long)room, whose,
	    (long long)others,
	    is_over || is_tight
		? ": lower ARAGORA_DB_POOL_SIZE or ARAGORA_DB_POOL_MAX_"
		  "OVERFLOW, or raise max_connections"
		: "");
}

static void
doctor_pool(struct store *store, const struct settings *s, bool *failed)
{
	int64_t budget = s->db_pool_size + s->db_pool_max_overflow;
	/* A runner and a bridge beside the workers. */
	int64_t users = s->workers + 2;
	struct err_info info = {0};
	struct store_limits l;

	if (store_limits(store, &l, &info) != ERR_OK) {
		doctor_say(
		    failed, DOCTOR_FAIL, "connection limits: %s", info.text);
		return;
	}
	if (l.is_shared)
		doctor_say(failed, DOCTOR_OK,
		    "the processes of this host share %lld connections: %lld "
		    "open, %lld in line, %lld processes now, this one "
		    "included",
		    (long long)budget, (long long)l.open, (long long)l.waiting,
		    (long long)l.processes);
	else
		doctor_say(failed, DOCTOR_WARN,
		    "the processes of this host cannot share a connection "
		    "budget: each may open %lld, make '%s' writable",
		    (long long)budget, s->data_dir);
	if (s->db_pool_size < users)
		doctor_say(failed, DOCTOR_WARN,
		    "%lld connections are kept open for %lld processes: the "
		    "rest open and close theirs each time, raise "
		    "ARAGORA_DB_POOL_SIZE",
		    (long long)s->db_pool_size, (long long)users);
	doctor_server(&l, "", l.is_shared ? budget : budget * users,
	    doctor_hosts(store, s), failed);
}

/* The Scaling Guide recommends both; they exclude each other. */
static void
doctor_wal_level(struct store *store, const struct settings *s, bool *failed)
{
	struct arena *a = arena_new(0);
	const char *level;

	if (!str_is_empty(s->database_replica_url) &&
	    store_wal_level(store, a, &level) == ERR_OK &&
	    str_eq(level, "minimal"))
		doctor_say(failed, DOCTOR_FAIL,
		    "a replica is configured, but the database has wal_level = "
		    "minimal and can have none: see "
		    "conf/postgresql/README.md");
	arena_free(&a);
}

static void
doctor_replica(struct store *store, const struct settings *s, bool *failed)
{
	int64_t budget = s->db_pool_size + s->db_pool_max_overflow;
	struct err_info info = {0};
	struct store_schema seen;
	struct store_replica r;

	enum err e = store_replica(store, &r, &info);
	if (e == ERR_OK && !r.is_configured)
		return;
	if (e != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "replica: %s", info.text);
		return;
	}
	store_schema_seen(store, &seen, NULL);
	bool is_late = (double)r.lag_ms > s->database_replica_max_lag * 1000;
	doctor_say(failed,
	    !r.is_standby || is_late || r.version != seen.have ? DOCTOR_WARN
							       : DOCTOR_OK,
	    "replica: %s, schema %lld, %.1f s behind of %.1f s allowed; the "
	    "processes of this host share %lld connections to it, besides "
	    "those to the primary",
	    r.is_standby ? "a standby"
			 : "the server is not a standby and not used",
	    (long long)r.version, (double)r.lag_ms / 1000,
	    s->database_replica_max_lag, (long long)budget);
	doctor_server(
	    &r.limits, "replica: ", budget, doctor_hosts(store, s), failed);
}

static void
doctor_database(const struct settings *s, bool *failed)
{
	struct err_info info = {0};
	struct store_schema schema;
	struct store *store = NULL;

	if (store_schema(s, &schema, &info) != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "database: %s", info.text);
		return;
	}
	if (schema.have < schema.want)
		doctor_say(failed, DOCTOR_WARN,
		    "database schema %lld, this program brings %lld: run "
		    "`aragora migrate up`",
		    (long long)schema.have, (long long)schema.want);
	if (schema.have < schema.min)
		return;
	if (store_schema_fits(&schema, &info) != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "%s", info.text);
		return;
	}
	if (store_open(&store, s, &info) != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "database: %s", info.text);
		store_close(&store);
		return;
	}
	doctor_say(failed, DOCTOR_OK, "database %s, schema %lld",
	    store_kind(store), (long long)schema.have);
	if (str_eq(store_kind(store), "postgresql"))
		doctor_pool(store, s, failed);
	doctor_wal_level(store, s, failed);
	doctor_replica(store, s, failed);
	doctor_runners(store, s, failed);
	doctor_bridges(store, failed);
	doctor_memory(store, failed);
	store_close(&store);
}

static void
doctor_supabase(const struct settings *s, bool *failed)
{
	bool is_asked = str_eq(s->db_backend, "supabase");
	struct arena *a = arena_new(0);
	struct buf hints;
	size_t n = 0;

	buf_init(&hints, 4096);
	enum supabase_address kind = supabase_judge(s->database_url, &hints);
	if (kind != SUPABASE_NONE || is_asked)
		doctor_say(failed,
		    kind != SUPABASE_NONE ? DOCTOR_OK : DOCTOR_WARN,
		    "database address: %s", supabase_text(kind));
	char **lines = str_split(a, buf_text(&hints), '\n', &n);
	for (size_t i = 0; i < n; i++)
		doctor_say(failed, DOCTOR_WARN, "%s", lines[i]);
	if (kind == SUPABASE_TRANSACTION && str_eq(s->db_prepare, "server"))
		doctor_say(failed, DOCTOR_WARN,
		    "ARAGORA_DB_PREPARE=server gains nothing behind this "
		    "pooler: leave it at unnamed");
	buf_release(&hints);
	arena_free(&a);
}

/* Users' tokens: are the keys there? */
static void
doctor_users(const struct settings *s, bool *failed)
{
	struct err_info info = {0};
	struct auth *auth = NULL;
	size_t n = 0;

	if (*s->jwt_secret == '\0' && *s->supabase_jwt_secret == '\0' &&
	    *s->supabase_jwks_url == '\0' && *s->jwks_file == '\0')
		return; /* opening would write a secret, maybe as root */
	if (auth_open(&auth, s, &info) != ERR_OK) {
		doctor_say(failed, DOCTOR_FAIL, "%s %s", info.field, info.text);
		return;
	}
	if (!auth_has_provider(auth)) {
		auth_close(&auth);
		return;
	}
	if (auth_ready(auth, &n) != ERR_OK)
		doctor_say(failed, DOCTOR_FAIL,
		    "users' tokens: the key set cannot be fetched: check "
		    "ARAGORA_SUPABASE_JWKS_URL");
	else
		doctor_say(failed, DOCTOR_OK,
		    "users' tokens are accepted: %zu key%s", n,
		    n == 1 ? "" : "s");
	if (*s->jwt_issuer == '\0')
		doctor_say(failed, DOCTOR_WARN,
		    "users' tokens are accepted from any issuer: set "
		    "ARAGORA_JWT_ISSUER");
	auth_close(&auth);
}

static void
doctor_redis(const struct settings *s, bool *failed)
{
	struct err_info info = {0};
	struct bus *bus = NULL;

	if (str_is_empty(s->redis_url)) {
		doctor_say(failed, DOCTOR_OK,
		    "no Redis: one machine, events over local sockets");
		return;
	}
	if (bus_open(&bus, s, &info) != ERR_OK)
		doctor_say(failed, DOCTOR_FAIL, "%s %s", info.field, info.text);
	else if (bus_ping_redis(bus) != ERR_OK)
		doctor_say(failed, DOCTOR_FAIL,
		    "Redis does not answer: check ARAGORA_REDIS_URL");
	else
		doctor_say(failed, DOCTOR_OK, "Redis answers");
	bus_close(&bus);
}

static void
doctor_programs(bool *failed)
{
	static const char *const ours[] = {
	    "aragora-fcgi", "aragora-runner", "aragora-ws"};
	char *nginx = path_find("nginx");

	if (nginx != NULL)
		doctor_say(failed, DOCTOR_OK, "nginx: %s", nginx);
	else
		doctor_say(failed, DOCTOR_WARN,
		    "nginx is not installed: `aragora serve` needs it");
	free(nginx);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		char *path = path_program(ours[i]);
		bool is_there = access(path, X_OK) == 0;
		doctor_say(failed, is_there ? DOCTOR_OK : DOCTOR_FAIL, "%s%s",
		    path, is_there ? "" : " is missing");
		free(path);
	}
}

static void
doctor_agents(const struct settings *s, bool *failed)
{
	struct buf names;
	size_t n = 0;

	buf_init(&names, 4096);
	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		if (*row->key_env == '\0' ||
		    !llm_agent_is_available(row, s, NULL))
			continue;
		buf_printf(&names, "%s%s", n++ > 0 ? ", " : "", row->name);
	}
	if (n > 0)
		doctor_say(failed, DOCTOR_OK, "agents with a key: %s",
		    buf_text(&names));
	else
		doctor_say(failed, DOCTOR_WARN,
		    "no provider key is set: debates use the built-in demo "
		    "agents (see OPENAI_API_KEY, OPENROUTER_API_KEY)");
	buf_release(&names);
}

static enum cmd_exit
doctor_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    CMD_COMMON_OPTIONS, {NULL, 0, NULL, 0}};
	bool failed = false;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_doctor, stdout);
			return CMD_OK;
		}
		if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_doctor, "bad option");
	}
	struct settings *settings = settings_start("aragora");
	doctor_say(&failed, DOCTOR_OK, "settings");
	doctor_folder(settings, &failed);
	doctor_database(settings, &failed);
	doctor_supabase(settings, &failed);
	doctor_users(settings, &failed);
	doctor_redis(settings, &failed);
	doctor_programs(&failed);
	doctor_agents(settings, &failed);
	settings_free(&settings);
	return failed ? CMD_NOT_DONE : CMD_OK;
}

const struct cmd cmd_doctor = {
    .name = "doctor",
    .args = "[OPTION...]",
    .summary = "Check this machine and say what to mend.",
    .help = CMD_COMMON_HELP "\nExit status 1 when a check fails.\n",
    .run = doctor_run,
};
