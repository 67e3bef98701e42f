/* SPDX-License-Identifier: MIT
 *
 * aragora copy: a database into another one, compared at the end.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "cli/show.h"
#include "store/copy.h"

#define COPY_WAIT_DEFAULT "10"
#define COPY_WAIT_MAX	  86400
#define COPY_BATCH_MAX	  1000000
#define COPY_BAR_WIDTH	  24
#define COPY_JSON_MAX	  ((size_t)16 << 20)

struct copy_line {
	struct show show;
	enum copy_phase phase; /* of the last line */
	bool is_begun;
	bool is_waiting;
	bool is_told; /* to stop the writers */
};

static void
copy_bar(char *out, size_t size, const struct copy_progress *p)
{
	char bar[COPY_BAR_WIDTH + 1];
	int64_t share = p->total > 0 ? p->rows * 100 / p->total : 0;
	size_t done;

	share = share > 100 ? 100 : share;
	done = (size_t)share * COPY_BAR_WIDTH / 100;
	memset(bar, '-', COPY_BAR_WIDTH);
	memset(bar, '#', done);
	bar[COPY_BAR_WIDTH] = '\0';
	if (p->total > 0)
		snprintf(out, size, "%s %s [%s] %lld%% %lld of %lld rows",
		    copy_phase_name(p->phase), p->table, bar, (long long)share,
		    (long long)p->rows, (long long)p->total);
	else
		snprintf(out, size, "%s %s %lld rows",
		    copy_phase_name(p->phase), p->table, (long long)p->rows);
}

static void
copy_say(struct copy_line *l, const char *text)
{
	show_status(&l->show, "");
	fprintf(l->show.to, "%s\n", text);
	fflush(l->show.to);
}

static void
copy_say_phase(struct copy_line *l, enum copy_phase phase)
{
	static const char *const texts[COPY_PHASE__COUNT] = {
	    [COPY_PHASE_CHECK] = "checking both databases; nothing is written",
	    [COPY_PHASE_RESUME] = "going on with a copy that was interrupted",
	    [COPY_PHASE_COPY] =
		"copying a snapshot; the source may be written to",
	    [COPY_PHASE_FOLLOW] = "following what changed meanwhile",
	    [COPY_PHASE_VERIFY] = "comparing both sides"};

	if (l->is_begun && l->phase == phase)
		return;
	l->is_begun = true;
	l->phase = phase;
	copy_say(l, texts[phase]);
	if (phase == COPY_PHASE_FOLLOW && l->is_waiting && !l->is_told) {
		l->is_told = true;
		copy_say(l,
		    "stop the workers, the runner and the bridge now; the copy "
		    "ends when nothing is written any more");
	}
}

/* On a terminal a bar that the next one replaces, else a line per batch. */
static void
copy_show(void *arg, const struct copy_progress *p)
{
	struct copy_line *l = arg;
	char text[256];

	copy_say_phase(l, p->phase);
	if (p->table == NULL) {
		if (p->is_end) {
			snprintf(text, sizeof(text), "%s: %lld changes",
			    copy_phase_name(p->phase), (long long)p->rows);
			copy_say(l, text);
		}
		return;
	}
	copy_bar(text, sizeof(text), p);
	if (l->show.is_live && !p->is_end) {
		show_status(&l->show, text);
		return;
	}
	if (!p->is_end && p->phase != COPY_PHASE_COPY)
		return;
	snprintf(text, sizeof(text), "%s %s: %lld rows%s",
	    copy_phase_name(p->phase), p->table, (long long)p->rows,
	    p->is_end ? ", done" : " so far");
	copy_say(l, text);
}

static void
copy_print_problem(FILE *to, const struct copy_problem *p)
{
	fprintf(to, "  %s%s%s%s%s%s%s\n", p->table,
	    *p->column != '\0' ? "." : "", p->column,
	    *p->key != '\0' ? " " : "", p->key, *p->table != '\0' ? ": " : "",
	    p->text);
}

static void
copy_print_table(FILE *to, const struct copy_table_report *t)
{
	fprintf(to, "  %-12s %10lld rows, %lld in the target", t->name,
	    (long long)t->source_rows, (long long)t->target_rows);
	if (t->source_hash != NULL)
		fprintf(to, ", %.12s %.12s", t->source_hash, t->target_hash);
	if (t->first == NULL) {
		fputs("\n", to);
		return;
	}
	fprintf(to,
	    "\n    %lld rows in %lld of %lld ranges differ; first, after %s "
	    "up to %s:\n  ",
	    (long long)t->rows_wrong, (long long)t->differing,
	    (long long)t->ranges,
	    t->range_from != NULL ? t->range_from : "the beginning",
	    t->range_to != NULL ? t->range_to : "the end");
	copy_print_problem(to, t->first);
}

static void
copy_print(FILE *to, const struct copy_report *r)
{
	static const char *const texts[COPY_STATE__COUNT] = {
	    [COPY_FAILED] = "stopped: run the same command again to go on",
	    [COPY_REFUSED] = "refused: mend this first, then run it again",
	    [COPY_CHECKED] = "checked: the copy can begin; nothing was written",
	    [COPY_DIFFERENT] = "different: the target is not the source",
	    [COPY_BEHIND] =
		"behind: the target is the source of a moment ago, but the "
		"source is still\nwritten to; run the same command again to "
		"follow, with --wait-writers to the end",
	    [COPY_EQUAL] = "equal: both sides hold the same",
	    [COPY_COMPLETE] = "complete: both sides hold the same and the "
			      "source is watched no more",
	    [COPY_ABORTED] = "aborted: triggers, log and marks are gone; what "
			     "the target holds stays"};

	for (size_t i = 0; i < r->n_notes; i++) {
		fputs("note:", to);
		copy_print_problem(to, &r->notes[i]);
	}
	for (size_t i = 0; i < r->n_problems && i < COPY_PROBLEMS_MAX; i++)
		copy_print_problem(to, &r->problems[i]);
	if (r->n_problems > COPY_PROBLEMS_MAX)
		fprintf(
		    to, "  and %zu more\n", r->n_problems - COPY_PROBLEMS_MAX);
	for (size_t i = 0; i < r->n_tables && r->n_problems == 0 &&
	     r->state != COPY_FAILED && r->state != COPY_ABORTED;
	     i++)
		copy_print_table(to, &r->tables[i]);
	if (r->behind > 0)
		fprintf(to, "%lld changes are not in the target\n",
		    (long long)r->behind);
	fprintf(to, "%s\n", texts[r->state]);
}

/* path: "-" = standard output. */
static bool
copy_write_json(
    const char *path, const struct copy_report *r, const struct err_info *error)
{
	bool is_stdout = str_eq(path, "-");
	FILE *to = is_stdout ? stdout : fopen(path, "we");
	struct buf b;
	bool is_done = to != NULL;

	buf_init(&b, COPY_JSON_MAX);
	copy_report_json(r, error, &b);
	is_done = is_done && !b.is_overflowed &&
	    fwrite(b.data, 1, b.len, to) == b.len && fflush(to) == 0;
	if (to != NULL && !is_stdout)
		is_done = fclose(to) == 0 && is_done;
	buf_release(&b);
	if (!is_done)
		fprintf(stderr, "aragora copy: cannot write '%s'\n", path);
	return is_done;
}

static enum cmd_exit
copy_exit(enum copy_state state)
{
	switch (state) {
	case COPY_CHECKED:
	case COPY_EQUAL:
	case COPY_COMPLETE:
	case COPY_ABORTED:
		return CMD_OK;
	case COPY_FAILED:
	case COPY_REFUSED:
	case COPY_DIFFERENT:
	case COPY_BEHIND:
	case COPY_STATE__COUNT:
		break;
	}
	return CMD_NOT_DONE;
}

static enum cmd_exit
copy_fail(enum err e, const struct err_info *info)
{
	return cmd_fail(e == ERR_SCHEMA || e == ERR_INVALID ? CMD_CONFIG
		: e == ERR_DOWN || e == ERR_BUSY	    ? CMD_UNAVAILABLE
							    : CMD_NOT_DONE,
	    "copy", info);
}

static enum cmd_exit
copy_go(const struct copy_options *o, const char *json)
{
	struct settings *settings = settings_start("aragora");
	struct arena *a = arena_new(0);
	struct err_info info = {0};
	struct copy_report *r = ARENA_NEW(a, struct copy_report);
	struct copy_line *line = o->arg;

	enum err e = copy_run(settings, o, a, r, &info);
	show_status(&line->show, "");
	enum cmd_exit code =
	    e == ERR_OK ? copy_exit(r->state) : copy_fail(e, &info);
	if (json == NULL || !str_eq(json, "-"))
		copy_print(stdout, r);
	if (json != NULL &&
	    !copy_write_json(json, r, e == ERR_OK ? NULL : &info) &&
	    code == CMD_OK)
		code = CMD_NOT_DONE;
	arena_free(&a);
	settings_free(&settings);
	return code;
}

struct copy_flags {
	struct copy_options o;
	const char *json;
	bool is_bad; /* complained about */
	bool is_help;
};

static void
copy_number(struct copy_flags *f, const char *name, const char *value,
    int64_t max, int64_t *out)
{
	if (str_to_i64(value, 1, max, out) == ERR_OK)
		return;
	f->is_bad = true;
	cmd_usage(&cmd_copy, "%s: must be 1 to %lld", name, (long long)max);
}

static void
copy_option(struct copy_flags *f, int option, const char *value)
{
	int64_t seconds = 0;

	switch (option) {
	case 'f':
		f->o.from = value;
		break;
	case 't':
		f->o.to = value;
		break;
	case 'n':
		f->o.is_dry_run = true;
		break;
	case 'v':
		f->o.is_verify_only = true;
		break;
	case 'a':
		f->o.is_abort = true;
		break;
	case 'w':
		copy_number(f, "--wait-writers",
		    value != NULL ? value : COPY_WAIT_DEFAULT, COPY_WAIT_MAX,
		    &seconds);
		f->o.wait_ms = seconds * 1000;
		break;
	case 'b':
		copy_number(
		    f, "--batch", value, COPY_BATCH_MAX, &f->o.batch_rows);
		break;
	case 'j':
		f->json = value;
		break;
	case 'h':
		f->is_help = true;
		break;
	default:
		f->is_bad = true;
		cmd_usage(&cmd_copy, "bad option");
	}
}

static enum cmd_exit
copy_cmd_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"from", required_argument, NULL, 'f'},
	    {"to", required_argument, NULL, 't'},
	    {"dry-run", no_argument, NULL, 'n'},
	    {"verify-only", no_argument, NULL, 'v'},
	    {"abort", no_argument, NULL, 'a'},
	    {"wait-writers", optional_argument, NULL, 'w'},
	    {"batch", required_argument, NULL, 'b'},
	    {"json", required_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct copy_flags f = {.o.batch_rows = COPY_BATCH_DEFAULT};
	struct copy_line line = {0};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		copy_option(&f, c, optarg);
		if (f.is_bad)
			return CMD_USAGE;
	}
	if (f.is_help) {
		cmd_print_help(&cmd_copy, stdout);
		return CMD_OK;
	}
	if (optind < argc)
		return cmd_usage(&cmd_copy, "unexpected argument");
	if (f.o.from == NULL || f.o.to == NULL)
		return cmd_usage(&cmd_copy, "%s is missing",
		    f.o.from == NULL ? "--from" : "--to");
	if (f.o.is_dry_run + f.o.is_verify_only + f.o.is_abort > 1)
		return cmd_usage(&cmd_copy,
		    "--dry-run, --verify-only and --abort exclude each other");
	show_init(&line.show, stderr);
	line.is_waiting = f.o.wait_ms > 0;
	f.o.progress = copy_show;
	f.o.arg = &line;
	return copy_go(&f.o, f.json);
}

const struct cmd cmd_copy = {
    .name = "copy",
    .args = "--from URL --to URL [OPTION...]",
    .summary = "Copy a database into another one, SQLite or PostgreSQL.",
    .help =
	"  --from URL          sqlite:PATH or postgresql://...\n"
	"  --to URL            ditto; `aragora migrate` made its schema, and\n"
	"                      it is empty or holds part of this copy\n"
	"  --dry-run           only check both; nothing is written\n"
	"  --wait-writers[=SECONDS]\n"
	"                      follow the source until nothing was written to\n"
	"                      it for so long (10)\n"
	"  --verify-only       only compare both\n"
	"  --abort             remove the copy's triggers, log and marks\n"
	"  --batch ROWS        rows of one transaction (10000)\n"
	"  --json FILE         report as JSON, - for standard output\n"
	"\nThe server may run on the source meanwhile. Killed at any moment,\n"
	"the copy goes on when it is run again. It ends with a comparison of\n"
	"every row. On PostgreSQL it runs as the role that owns the tables;\n"
	"a password is better kept in ~/.pgpass or PGPASSWORD than in a URL.\n"
	"\nExit status 0 when both sides hold the same (--dry-run: when the\n"
	"copy can begin), 1 on any difference and when the source is still\n"
	"being written to.\n",
    .run = copy_cmd_run,
};
