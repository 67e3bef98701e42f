/* SPDX-License-Identifier: MIT
 *
 * aragora debate: ask, watch, read. The debate goes through the store like
 * any other; when no runner is alive, one is started for it.
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "cli/child.h"
#include "cli/cmd.h"
#include "cli/live.h"
#include "cli/show.h"
#include "debate/config.h"
#include "debate/grant.h"
#include "debate/view.h"

#define DEBATE_LOOK_MS	   500 /* at the table, when the bus is silent */
#define DEBATE_POLL_MS	   100 /* when there is no bus */
#define DEBATE_PAGE	   200
#define DEBATE_PATIENCE_MS 3000 /* until we run it ourselves */
#define DEBATE_STARTS	   3	/* of runners of our own */
#define DEBATE_ERRORS	   16
#define DEBATE_DOWN_MS	   30000
#define DEBATE_STATUS_MAX  1024
#define DEBATE_STOP_MS	   8000 /* as `aragora serve` gives */
#define DEBATE_FAREWELL_MS 2000 /* to end by itself */

struct debate_cmd {
	struct settings *settings;
	struct store *store;
	struct bus *bus;
	struct arena *arena;
	bool is_json;
	struct show show;
	char id[ID_SIZE];
	int64_t seen;	   /* last event shown */
	struct live *live; /* NULL = no bus */
	pid_t runner;	   /* our own, 0 = none */
	int starts;	   /* of such */
	int64_t tend_ms;   /* when to look for a runner again */
	bool is_told;	   /* that all runners are busy */
	int64_t down_since_ms;
	bool is_over;
};

static volatile sig_atomic_t debate_interrupts;

static void
debate_on_signal(int sig UNUSED)
{
	if (++debate_interrupts > 1)
		_exit(CMD_NOT_DONE);
}

struct debate_ask {
	const char *question;
	const char *agents;
	const char *rounds;
	const char *consensus;
	const char *context;
	const char *seed;
};

static void
debate_number(struct json_w *w, const char *key, const char *text)
{
	int64_t n;

	if (text == NULL)
		return;
	if (str_to_i64(text, INT64_MIN + 1, INT64_MAX, &n) == ERR_OK)
		json_w_int(w, key, n);
	else
		json_w_str(w, key, text); /* refused with the field named */
}

/* The body that a client would have sent: one reader for both ways. */
static const struct json *
debate_body(struct arena *a, const struct debate_ask *ask)
{
	const struct json *body = NULL;
	struct buf b;
	struct json_w w;

	buf_init(&b, 4u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "task", ask->question);
	if (ask->agents != NULL)
		json_w_str(&w, "agents", ask->agents);
	debate_number(&w, "rounds", ask->rounds);
	debate_number(&w, "seed", ask->seed);
	if (ask->consensus != NULL)
		json_w_str(&w, "consensus", ask->consensus);
	if (ask->context != NULL)
		json_w_str(&w, "context", ask->context);
	json_w_end(&w);
	if (json_parse(a, buf_text(&b), b.len, NULL, &body, NULL) != ERR_OK)
		body = NULL;
	buf_release(&b);
	return body;
}

static enum cmd_exit
debate_create(struct debate_cmd *d, const struct debate_ask *ask)
{
	struct debate_config config;
	struct debate_config_error errors[DEBATE_ERRORS];
	size_t n = DEBATE_ERRORS;
	bool is_missing;
	struct err_info info = {0};

	if (debate_config_read(d->arena, d->settings,
		debate_body(d->arena, ask), &config, errors, &n,
		&is_missing) != ERR_OK) {
		for (size_t i = 0; i < n; i++)
			fprintf(stderr, "aragora debate: %s %s\n",
			    errors[i].field, errors[i].message);
		return CMD_USAGE;
	}
	struct debate_grant grant;
	debate_grant_init(&grant, d->arena, d->settings, &config);
	id_make(d->id, "adhoc_", 4);
	struct store_debate row = {.id = d->id,
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = config.task,
	    .config = debate_config_write(d->arena, &config),
	    .total_rounds = config.rounds,
	    .budget = &grant.ask};
	enum err e = store_debate_create(
	    d->store, d->arena, &row, d->settings->max_queued_debates, &info);
	if (e != ERR_OK) {
		if (*info.text == '\0')
			err_set(&info, e, "", "%s", err_text(e));
		return cmd_fail(CMD_UNAVAILABLE, "debate", &info);
	}
	(void)!bus_wake(d->bus);
	return CMD_OK;
}

enum debate_place {
	DEBATE_HELD,	/* a runner drives it, or it is over */
	DEBATE_OFFERED, /* some runner has room for it */
	DEBATE_QUEUED,	/* all runners are busy */
	DEBATE_ORPHAN	/* no runner is alive */
};

static enum debate_place
debate_place(struct debate_cmd *d)
{
	struct arena *a = arena_new(0);
	enum debate_place place = DEBATE_HELD;
	struct store_debate row;
	struct store_runner *rows;
	size_t n = 0;

	enum err e =
	    store_debate_get(d->store, a, STORE_TENANT_DEFAULT, d->id, &row);
	bool is_waiting = e == ERR_OK && !store_status_is_final(row.status) &&
	    row.lease_until_us < clock_wall_us();
	if (is_waiting)
		e = store_runner_list(
		    d->store, a, d->settings->lease * 1000000, &rows, &n);
	if (is_waiting && e == ERR_OK)
		place = n > 0 ? DEBATE_QUEUED : DEBATE_ORPHAN;
	for (size_t i = 0; place == DEBATE_QUEUED && i < n; i++)
		if (rows[i].active < rows[i].capacity)
			place = DEBATE_OFFERED;
	arena_free(&a);
	return place;
}

/* A runner of our own for this debate; it dies with us. */
static void
debate_start_runner(struct debate_cmd *d)
{
	static const char complaint[] = "aragora: cannot run aragora-runner\n";
	char *program = path_program("aragora-runner");
	pid_t parent = getpid();

	fflush(NULL);
	d->starts++;
	d->runner = fork();
	if (d->runner == 0) { /* there are threads: nothing that may lock */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setpgid(0, 0); /* Ctrl-C is ours to handle */
		if (getppid() != parent)
			_exit(CMD_UNAVAILABLE);
		execl(program, program, "--debate", d->id, (char *)NULL);
		if (write(STDERR_FILENO, complaint, strlen(complaint)) < 0)
			_exit(CMD_NOT_DONE);
		_exit(CMD_UNAVAILABLE);
	}
	free(program);
}

/* It ends with the debate; asked to end before, it has its time to give the
 * debate back. */
static void
debate_stop_runner(struct debate_cmd *d)
{
	struct child c = {
	    .name = "aragora-runner", .pid = d->runner, .stop_signal = SIGTERM};

	d->runner = 0;
	if (d->is_over && child_wait_some(&c, 1, DEBATE_FAREWELL_MS))
		return;
	child_stop(&c);
	child_wait_all(&c, 1, DEBATE_STOP_MS);
}

/* Events that are new; false when the database did not answer. */
static bool
debate_follow(struct debate_cmd *d)
{
	const struct json_limits limits = {
	    .max_bytes = 32u << 20, .max_depth = 60};
	struct arena *a = arena_new(0);
	struct store_event *rows;
	size_t n;

	enum err e = store_event_list(d->store, a, STORE_TENANT_DEFAULT, d->id,
	    d->seen, DEBATE_PAGE, &rows, &n);
	for (size_t i = 0; i < n; i++) {
		const struct json *data = NULL;
		d->seen = rows[i].seq;
		d->is_over = str_eq(rows[i].type, "debate_end");
		if (json_parse(a, rows[i].data, strlen(rows[i].data), &limits,
			&data, NULL) == ERR_OK &&
		    !d->is_json)
			show_event(&d->show, &rows[i], data);
	}
	arena_free(&a);
	return e == ERR_OK;
}

static void
debate_cancel(struct debate_cmd *d)
{
	struct store_debate row;
	struct store_event end = {.type = "debate_end"};

	if (store_debate_get(d->store, d->arena, STORE_TENANT_DEFAULT, d->id,
		&row) != ERR_OK)
		return;
	row.status = STORE_CANCELLED;
	end.data = debate_end_data(d->arena, &row, NULL, 0, "cancelled",
	    "interrupted", clock_wall_us());
	if (store_debate_cancel(d->store, STORE_TENANT_DEFAULT, d->id, &end) ==
	    ERR_OK)
		(void)!bus_wake_over(d->bus, d->id);
}

/* Our own runner has ended, and the debate has not? */
static enum cmd_exit
debate_reap_runner(struct debate_cmd *d)
{
	int status;

	if (d->runner <= 0 || waitpid(d->runner, &status, WNOHANG) != d->runner)
		return CMD_OK;
	d->runner = 0;
	d->tend_ms = 0;
	debate_follow(d); /* what it wrote last */
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	if (d->is_over || (code != CMD_UNAVAILABLE && code != CMD_CONFIG))
		return CMD_OK;
	fprintf(
	    stderr, "aragora debate: the runner ended with status %d\n", code);
	return CMD_UNAVAILABLE;
}

/* See to it that somebody drives the debate: the runners there are, after
 * some time we ourselves. */
static enum cmd_exit
debate_tend(struct debate_cmd *d, int64_t now)
{
	bool is_first = d->tend_ms == 0 && d->starts == 0;

	if (d->runner > 0 || now < d->tend_ms)
		return CMD_OK;
	d->tend_ms = now + DEBATE_PATIENCE_MS;
	switch (debate_place(d)) {
	case DEBATE_HELD:
		return CMD_OK;
	case DEBATE_QUEUED:
		if (!d->is_told)
			fputs("aragora debate: all runners are busy; waiting\n",
			    stderr);
		d->is_told = true;
		return CMD_OK;
	case DEBATE_OFFERED:
		if (is_first)
			return CMD_OK;
		break;
	case DEBATE_ORPHAN:
		break;
	}
	if (d->starts == DEBATE_STARTS) {
		fprintf(stderr,
		    "aragora debate: %d runners ended before the debate did\n",
		    DEBATE_STARTS);
		return CMD_UNAVAILABLE;
	}
	debate_start_runner(d);
	return CMD_OK;
}

/* Show who is writing, and wait for news. */
static void
debate_wait(struct debate_cmd *d)
{
	struct timespec ts = {.tv_nsec = DEBATE_POLL_MS * 1000000L};
	struct buf b;

	if (d->live == NULL) {
		nanosleep(&ts, NULL);
		return;
	}
	buf_init(&b, DEBATE_STATUS_MAX);
	live_writers(d->live, &b);
	if (!d->is_json)
		show_status(&d->show, buf_text(&b));
	buf_release(&b);
	live_wait(d->live, DEBATE_LOOK_MS);
}

static enum cmd_exit
debate_watch(struct debate_cmd *d)
{
	enum cmd_exit code = CMD_OK;
	bool is_cancelled = false;

	while (!d->is_over && code == CMD_OK) {
		int64_t now = clock_mono_ms();
		if (debate_follow(d))
			d->down_since_ms = now;
		if (now - d->down_since_ms > DEBATE_DOWN_MS) {
			fprintf(stderr,
			    "aragora debate: the database does not answer; "
			    "the debate %s goes on there\n",
			    d->id);
			return CMD_UNAVAILABLE;
		}
		if (debate_interrupts > 0 && !is_cancelled) {
			is_cancelled = true;
			debate_cancel(d);
			continue;
		}
		code = debate_reap_runner(d);
		if (code == CMD_OK && !d->is_over && !is_cancelled)
			code = debate_tend(d, now);
		if (code == CMD_OK && !d->is_over)
			debate_wait(d);
	}
	if (!d->is_json)
		show_status(&d->show, "");
	return code;
}

static enum cmd_exit
debate_conclude(struct debate_cmd *d)
{
	struct store_debate row;
	struct store_turn *turns;
	size_t n;
	struct buf b;
	struct json_w w;

	if (store_debate_get(d->store, d->arena, STORE_TENANT_DEFAULT, d->id,
		&row) != ERR_OK ||
	    store_turn_list(d->store, d->arena, STORE_TENANT_DEFAULT, d->id,
		&turns, &n) != ERR_OK)
		return CMD_UNAVAILABLE;
	if (d->is_json) {
		buf_init(&b, 256u << 20);
		json_w_init(&w, &b);
		json_w_begin(&w, NULL);
		debate_view_members(&w, d->arena, &row, turns, n,
		    DEBATE_VIEW_FULL, clock_wall_us());
		json_w_end(&w);
		puts(buf_text(&b));
		buf_release(&b);
	}
	return row.status == STORE_COMPLETED ? CMD_OK : CMD_NOT_DONE;
}

static enum cmd_exit
debate_do(struct debate_cmd *d, const struct debate_ask *ask)
{
	struct err_info info = {0};
	struct sigaction stop = {.sa_handler = debate_on_signal};

	enum cmd_exit code = cmd_open("aragora", true, &d->settings, &d->store);
	if (code != CMD_OK)
		return code;
	if (bus_open(&d->bus, d->settings, &info) != ERR_OK)
		code = cmd_fail(CMD_CONFIG, "bus", &info);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->down_since_ms = clock_mono_ms();
	if (code == CMD_OK)
		code = debate_create(d, ask);
	/* For the runner we may start; before there are threads. */
	setenv("ARAGORA_LOG_LEVEL", "WARNING", 0);
	if (code == CMD_OK &&
	    live_open(&d->live, d->settings, d->id,
		d->show.is_live && !d->is_json, &info) != ERR_OK)
		log_debug("debate.live", "reason=\"%s\"", info.text);
	if (code == CMD_OK)
		code = debate_watch(d);
	if (code == CMD_OK)
		code = debate_conclude(d);
	debate_stop_runner(d);
	live_close(&d->live);
	bus_close(&d->bus);
	store_close(&d->store);
	settings_free(&d->settings);
	return code;
}

static enum cmd_exit
debate_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"agents", required_argument, NULL, 'a'},
	    {"rounds", required_argument, NULL, 'r'},
	    {"consensus", required_argument, NULL, 'c'},
	    {"context", required_argument, NULL, 'x'},
	    {"seed", required_argument, NULL, 's'},
	    {"json", no_argument, NULL, 'j'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	struct debate_ask ask = {0};
	struct debate_cmd d = {0};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'a':
			ask.agents = optarg;
			break;
		case 'r':
			ask.rounds = optarg;
			break;
		case 'c':
			ask.consensus = optarg;
			break;
		case 'x':
			ask.context = optarg;
			break;
		case 's':
			ask.seed = optarg;
			break;
		case 'j':
			d.is_json = true;
			break;
		case 'h':
			cmd_print_help(&cmd_debate, stdout);
			return CMD_OK;
		default:
			if (!cmd_common(c, optarg))
				return cmd_usage(&cmd_debate, "bad option");
		}
	}
	if (argc - optind != 1)
		return cmd_usage(&cmd_debate, "expected one question");
	ask.question = argv[optind];
	show_init(&d.show, stdout);
	d.arena = arena_new(0);
	enum cmd_exit code = debate_do(&d, &ask);
	arena_free(&d.arena);
	return code;
}

const struct cmd cmd_debate = {
    .name = "debate",
    .args = "\"QUESTION\" [OPTION...]",
    .summary = "Debate a question, show it live, print the answer.",
    .help =
	"  --agents A,B,C      who debates; default: every agent with a key, "
	"else\n"
	"                      three offline demo agents\n"
	"  --rounds N          rounds of critique and revision\n"
	"  --consensus RULE    majority, supermajority, unanimous, judge,\n"
	"                      weighted, hybrid, any or none\n"
	"  --context TEXT      what the agents should know\n"
	"  --seed N            same question and seed: same demo debate\n"
	"  --json              print only the finished debate as "
	"JSON\n" CMD_COMMON_HELP
	"\nWorks with a running server on the same data, and without one.\n"
	"Ctrl-C cancels the debate. Exit status 1 when it did not complete.\n",
    .run = debate_run,
};
