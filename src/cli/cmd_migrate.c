/* SPDX-License-Identifier: MIT
 *
 * aragora migrate: the only writer of the schema beside `serve` and `debate`
 * on an empty database.
 */
#include <getopt.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "store/schema.h"

#define MIGRATE_JSON_MAX (16 << 20)

struct migrate {
	struct arena *a;
	struct settings *settings;
	bool is_json;
	bool is_dry;
	struct store_schema schema;
	struct buf out;
	struct json_w w;
};

static void
migrate_json_begin(struct migrate *m)
{
	buf_init(&m->out, MIGRATE_JSON_MAX);
	json_w_init(&m->w, &m->out);
	json_w_begin(&m->w, NULL);
	json_w_int(&m->w, "schema", m->schema.have);
	json_w_begin(&m->w, "schema_range");
	json_w_int(&m->w, "min", m->schema.min);
	json_w_int(&m->w, "max", m->schema.want);
	json_w_end(&m->w);
	json_w_int(&m->w, "min_binary", m->schema.min_binary);
	json_w_bool(&m->w, "served", m->schema.is_served);
}

static void
migrate_json_end(struct migrate *m)
{
	json_w_end(&m->w);
	puts(buf_text(&m->out));
	buf_release(&m->out);
}

/* One line: what the two have to do with each other. */
static void
migrate_print_schema(const struct store_schema *s)
{
	printf("database schema %lld, program schema %lld", (long long)s->have,
	    (long long)s->want);
	if (s->have < s->want)
		printf(": run `aragora migrate up`");
	else if (!s->is_served)
		printf(": upgrade the program, at least to %lld",
		    (long long)s->min_binary);
	else if (s->have > s->want)
		printf(": newer, but this program still works with it");
	putchar('\n');
}

static enum cmd_exit
migrate_exit(const struct migrate *m)
{
	const struct store_schema *s = &m->schema;

	return s->have >= s->want && s->is_served ? CMD_OK : CMD_NOT_DONE;
}

/* ---- status ---- */

static const char *
migrate_state(const struct schema_row *row)
{
	if (row->is_altered)
		return "altered";
	if (row->sql == NULL)
		return "unknown";
	return row->is_applied ? "applied" : "pending";
}

static void
migrate_json_row(struct json_w *w, const struct schema_row *row, bool is_plan)
{
	json_w_begin(w, NULL);
	json_w_int(w, "version", row->version);
	json_w_str(w, "name", row->name);
	json_w_str(w, "sha256", row->sha256);
	json_w_str(w, "state", migrate_state(row));
	json_w_time(w, "applied", row->applied_us);
	json_w_int(w, "min_binary", row->min_binary);
	json_w_bool(w, "transaction", !row->is_alone);
	if (is_plan)
		json_w_str(w, "sql", row->sql);
	json_w_end(w);
}

static void
migrate_print_row(const struct schema_row *row)
{
	char when[CLOCK_ISO_SIZE] = "-";

	if (row->applied_us != 0)
		clock_iso(row->applied_us, when);
	printf("%04lld  %-8s  %-27s  %s  %s\n", (long long)row->version,
	    migrate_state(row), when, row->sha256, row->name);
}

static enum err
migrate_status(struct migrate *m, enum cmd_exit *code, struct err_info *info)
{
	struct schema_row *rows;
	size_t n;

	enum err e =
	    schema_status(m->settings, m->a, &m->schema, &rows, &n, info);
	if (e != ERR_OK)
		return e;
	if (m->is_json) {
		migrate_json_begin(m);
		json_w_begin_array(&m->w, "migrations");
	}
	*code = migrate_exit(m);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].is_altered)
			*code = CMD_NOT_DONE;
		if (m->is_json)
			migrate_json_row(&m->w, &rows[i], false);
		else
			migrate_print_row(&rows[i]);
	}
	if (m->is_json) {
		json_w_end_array(&m->w);
		migrate_json_end(m);
	} else {
		migrate_print_schema(&m->schema);
	}
	return ERR_OK;
}

/* ---- up ---- */

/* What would run, as a script that psql or sqlite3 takes. */
static enum err
migrate_plan(struct migrate *m, struct err_info *info)
{
	struct schema_row *rows;
	size_t n, pending = 0;

	enum err e =
	    schema_status(m->settings, m->a, &m->schema, &rows, &n, info);
	if (e != ERR_OK)
		return e;
	if (m->is_json) {
		migrate_json_begin(m);
		json_w_begin_array(&m->w, "pending");
	}
	for (size_t i = 0; i < n; i++) {
		if (rows[i].is_applied)
			continue;
		pending++;
		if (m->is_json)
			migrate_json_row(&m->w, &rows[i], true);
		else
			printf("-- migration %04lld %s%s\n%s\n",
			    (long long)rows[i].version, rows[i].name,
			    rows[i].is_alone ? ", outside of a transaction"
					     : "",
			    rows[i].sql);
	}
	if (m->is_json) {
		json_w_end_array(&m->w);
		migrate_json_end(m);
	} else {
		printf("-- %zu migration%s would be applied\n", pending,
		    pending == 1 ? "" : "s");
	}
	return ERR_OK;
}

static enum err
migrate_up(struct migrate *m, enum cmd_exit *code, struct err_info *info)
{
	int applied = 0;

	if (m->is_dry)
		return migrate_plan(m, info);
	enum err e = store_migrate(m->settings, &applied, info);
	if (e == ERR_OK)
		e = store_schema(m->settings, &m->schema, info);
	if (e != ERR_OK)
		return e;
	*code = migrate_exit(m);
	if (m->is_json) {
		migrate_json_begin(m);
		json_w_int(&m->w, "applied", applied);
		migrate_json_end(m);
		return ERR_OK;
	}
	printf("%d migration%s applied\n", applied, applied == 1 ? "" : "s");
	migrate_print_schema(&m->schema);
	return ERR_OK;
}

/* ---- verify ---- */

static void
migrate_json_difference(struct json_w *w, const struct schema_difference *d)
{
	json_w_begin(w, NULL);
	json_w_str(w, "what", d->what);
	json_w_str(w, "kind", d->kind);
	json_w_str(w, "table", d->table);
	json_w_str(w, "name", d->name);
	json_w_str(w, "want", d->want);
	json_w_str(w, "have", d->have);
	json_w_end(w);
}

static void
migrate_print_difference(const struct schema_difference *d)
{
	bool is_inside = *d->table != '\0' && !str_eq(d->table, d->name);

	printf("%s: %s %s%s%s\n", d->what, d->kind, is_inside ? d->table : "",
	    is_inside ? "." : "", d->name);
	if (d->want != NULL)
		printf("    want: %s\n", d->want);
	if (d->have != NULL)
		printf("    have: %s\n", d->have);
}

static enum err
migrate_verify(struct migrate *m, enum cmd_exit *code, struct err_info *info)
{
	struct schema_difference *rows;
	size_t n;

	enum err e =
	    schema_verify(m->settings, m->a, &m->schema, &rows, &n, info);
	if (e != ERR_OK)
		return e;
	*code = n == 0 ? CMD_OK : CMD_NOT_DONE;
	if (m->is_json) {
		migrate_json_begin(m);
		json_w_bool(&m->w, "ok", n == 0);
		json_w_begin_array(&m->w, "differences");
		for (size_t i = 0; i < n; i++)
			migrate_json_difference(&m->w, &rows[i]);
		json_w_end_array(&m->w);
		migrate_json_end(m);
		return ERR_OK;
	}
	for (size_t i = 0; i < n; i++)
		migrate_print_difference(&rows[i]);
	printf("%zu difference%s from what the migrations make\n", n,
	    n == 1 ? "" : "s");
	migrate_print_schema(&m->schema);
	return ERR_OK;
}

static enum cmd_exit
migrate_failed(enum err e, const struct err_info *info)
{
	bool is_config =
	    e == ERR_SCHEMA || e == ERR_INVALID || e == ERR_UNSUPPORTED;

	return cmd_fail(
	    is_config ? CMD_CONFIG : CMD_UNAVAILABLE, "migrate", info);
}

static const struct migrate_verb {
	const char *name;
	enum err (*run)(
	    struct migrate *m, enum cmd_exit *code, struct err_info *info);
} migrate_verbs[] = {
    {"up", migrate_up},
    {"status", migrate_status},
    {"verify", migrate_verify},
};

static const struct migrate_verb *
migrate_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(migrate_verbs); i++)
		if (name == NULL || str_eq(migrate_verbs[i].name, name))
			return &migrate_verbs[i];
	return NULL;
}

static enum cmd_exit
migrate_run(int argc, char **argv)
{
	static const struct option longs[] = {CMD_COMMON_OPTIONS,
	    {"json", no_argument, NULL, 'j'},
	    {"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	struct migrate m = {0};
	struct err_info info = {0};
	enum cmd_exit code = CMD_OK;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_migrate, stdout);
			return CMD_OK;
		}
		if (c == 'j')
			m.is_json = true;
		else if (c == 'n')
			m.is_dry = true;
		else if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_migrate, "bad option");
	}
	const char *name = optind < argc ? argv[optind++] : NULL;
	const struct migrate_verb *verb = migrate_find(name);
	if (verb == NULL)
		return cmd_usage(&cmd_migrate,
		    "'%s' is none of up, status and verify", name);
	if (optind < argc)
		return cmd_usage(&cmd_migrate, "'%s' is one argument too many",
		    argv[optind]);
	if (m.is_dry && verb->run != migrate_up)
		return cmd_usage(&cmd_migrate,
		    "--dry-run is for up: %s changes nothing", verb->name);
	m.settings = settings_start("aragora");
	m.a = arena_new(0);
	enum err e = verb->run(&m, &code, &info);
	if (e != ERR_OK)
		code = migrate_failed(e, &info);
	arena_free(&m.a);
	settings_free(&m.settings);
	return code;
}

const struct cmd cmd_migrate = {
    .name = "migrate",
    .args = "[up | status | verify] [OPTION...]",
    .summary = "Bring the database schema up to date, show or check it.",
    .help =
	"  up                  apply what is missing (as no word does)\n"
	"  status              list the migrations: version, state, time, "
	"hash,\n"
	"                      name; exit status 1 when some are pending\n"
	"  verify              compare hashes, tables, columns, indexes,\n"
	"                      constraints, policies, triggers and functions\n"
	"                      with what the migrations make; exit status 1 "
	"when\n"
	"                      they differ\n"
	"  --dry-run           print the SQL of up, apply nothing\n"
	"  --json              tell it as JSON\n" CMD_COMMON_HELP
	"\nSeveral may run at once: each migration is applied by one of them.\n"
	"After a failure or a crash run it again; it goes on where it was.\n",
    .run = migrate_run,
};
