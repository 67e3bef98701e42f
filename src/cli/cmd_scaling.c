/* SPDX-License-Identifier: MIT
 *
 * aragora scaling: what the table of scaling.def would do now, and why.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "store/store_bridge.h"

#define SCALING_SECONDS	    2
#define SCALING_SECONDS_MAX 600
#define SCALING_LEASES	    2 /* a runner not seen for longer is gone */
#define SCALING_OUT_MAX	    65536

enum scaling {
#define SCALE(id, ...) SCALING_##id,
#include "cli/scaling.def"
#undef SCALE
	SCALING__COUNT
};

static const struct {
	const char *name, *what;
	double up, down;
	int up_minutes, down_minutes;
} scaling_rows[SCALING__COUNT] = {
#define SCALE(id, word, high, high_min, low, low_min, text)                    \
	[SCALING_##id] = {.name = word,                                        \
	    .what = text,                                                      \
	    .up = high,                                                        \
	    .down = low,                                                       \
	    .up_minutes = high_min,                                            \
	    .down_minutes = low_min},
#include "cli/scaling.def"
#undef SCALE
};

/* ---- what is now ---- */

/* Clock ticks since the machine started. */
static bool
scaling_ticks(double *busy, double *all)
{
	unsigned long long t[8] = {0};
	FILE *f = fopen("/proc/stat", "re");

	if (f == NULL)
		return false;
	int n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0],
	    &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]);
	fclose(f);
	*all = 0;
	for (int i = 0; i < n; i++)
		*all += (double)t[i];
	*busy = *all - (double)t[3] - (double)t[4]; /* idle, waiting for I/O */
	return n >= 4;
}

static double
scaling_cpu(int seconds)
{
	struct timespec pause = {.tv_sec = seconds};
	double busy[2], all[2];

	if (!scaling_ticks(&busy[0], &all[0]))
		return 0;
	nanosleep(&pause, NULL);
	if (!scaling_ticks(&busy[1], &all[1]) || all[1] <= all[0])
		return 0;
	return (busy[1] - busy[0]) / (all[1] - all[0]);
}

static double
scaling_memory(void)
{
	char line[128];
	unsigned long long total = 0, left = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "MemTotal: %llu", &total);
		sscanf(line, "MemAvailable: %llu", &left);
	}
	if (f != NULL)
		fclose(f);
	return total == 0 ? 0 : 1 - (double)left / (double)total;
}

struct scaling_look {
	double now[SCALING__COUNT];
	double room;	 /* debates that the runners may drive */
	double oldest_s; /* the first of the queue has waited */
};

/* Debates over what the runners may drive. Some without a runner are more
 * than any may. */
static enum err
scaling_debates(struct store *store, const struct settings *s, struct arena *a,
    struct scaling_look *l)
{
	struct store_runner *rows;
	struct store_counts counts;
	int64_t capacity = 0;
	size_t n = 0;

	enum err e = store_debate_counts(store, &counts);
	if (e == ERR_OK)
		e = store_runner_list(
		    store, a, s->lease * SCALING_LEASES * 1000000, &rows, &n);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < n; i++)
		capacity += rows[i].capacity;
	double wanted = (double)(counts.pending + counts.active);
	l->room = (double)capacity;
	l->oldest_s = (double)counts.oldest_us / 1e6;
	l->now[SCALING_DEBATES] = capacity > 0 ? wanted / (double)capacity
	    : wanted > 0		       ? 1
					       : 0;
	return ERR_OK;
}

/* The host whose bridges hold the most. */
static enum err
scaling_websockets(struct store *store, struct arena *a, double *out)
{
	struct store_bridge *rows;
	size_t n;

	enum err e = store_bridge_list(store, a, &rows, &n);
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		int64_t sum = 0;
		for (size_t k = 0; k < n; k++)
			if (str_eq(rows[k].host, rows[i].host))
				sum += rows[k].connections;
		if ((double)sum > *out)
			*out = (double)sum;
	}
	return e;
}

static enum err
scaling_take_look(struct store *store, const struct settings *s, int seconds,
    struct scaling_look *l)
{
	struct arena *a = arena_new(0);

	*l = (struct scaling_look){0};
	l->now[SCALING_CPU] = scaling_cpu(seconds);
	l->now[SCALING_MEMORY] = scaling_memory();
	enum err e = scaling_debates(store, s, a, l);
	if (e == ERR_OK)
		e = scaling_websockets(store, a, &l->now[SCALING_WEBSOCKETS]);
	arena_free(&a);
	return e;
}

/* ---- what follows ---- */

enum scaling_advice { SCALING_STAY, SCALING_UP, SCALING_DOWN };

static enum scaling_advice
scaling_judge(const double *now)
{
	bool is_low = true;

	for (int i = 0; i < SCALING__COUNT; i++) {
		if (now[i] > scaling_rows[i].up)
			return SCALING_UP;
		is_low = is_low && now[i] < scaling_rows[i].down;
	}
	return is_low ? SCALING_DOWN : SCALING_STAY;
}

static const char *const scaling_words[] = {
    [SCALING_STAY] = "stay", [SCALING_UP] = "up", [SCALING_DOWN] = "down"};

/* The reason in one line, and how long it must hold. */
static void
scaling_reason(
    struct buf *out, const struct scaling_look *l, enum scaling_advice advice)
{
	const double *now = l->now;
	int minutes = 0;

	for (int i = 0; i < SCALING__COUNT; i++) {
		bool is_up =
		    advice == SCALING_UP && now[i] > scaling_rows[i].up;
		if (!is_up && advice != SCALING_DOWN)
			continue;
		buf_printf(out, "%s%s %.2f is %s %g", out->len > 0 ? ", " : "",
		    scaling_rows[i].name, now[i], is_up ? "above" : "below",
		    is_up ? scaling_rows[i].up : scaling_rows[i].down);
		if (i == SCALING_DEBATES && is_up && l->oldest_s >= 1)
			buf_printf(out,
			    " (the first of the queue has waited "
			    "%.0f s)",
			    l->oldest_s);
		int holds = is_up ? scaling_rows[i].up_minutes
				  : scaling_rows[i].down_minutes;
		if (minutes == 0 || holds > minutes)
			minutes = holds;
	}
	if (advice == SCALING_STAY)
		buf_puts(out,
		    "nothing is above its upper bound, and not everything is "
		    "below its lower one");
	else
		buf_printf(out, "; act when it holds for %d minutes", minutes);
}

static void
scaling_print(const struct scaling_look *l, enum scaling_advice advice,
    const char *reason)
{
	printf(
	    "%-11s %8s %10s %10s\n", "signal", "now", "up above", "down below");
	for (int i = 0; i < SCALING__COUNT; i++)
		printf("%-11s %8.2f %10g %10g  %s\n", scaling_rows[i].name,
		    l->now[i], scaling_rows[i].up, scaling_rows[i].down,
		    scaling_rows[i].what);
	printf("\n%s: %s\n", scaling_words[advice], reason);
	if (l->oldest_s >= 1)
		printf("The first debate of the queue has waited %.0f s.\n",
		    l->oldest_s);
	if (l->room == 0)
		puts("No runner is alive: the debates of the queue wait.");
}

static void
scaling_print_json(const struct scaling_look *l, enum scaling_advice advice,
    const char *reason)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, SCALING_OUT_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "advice", scaling_words[advice]);
	json_w_str(&w, "reason", reason);
	json_w_num(&w, "capacity", l->room);
	json_w_num(&w, "oldest_queued_seconds", l->oldest_s);
	json_w_begin(&w, "signals");
	for (int i = 0; i < SCALING__COUNT; i++) {
		json_w_begin(&w, scaling_rows[i].name);
		json_w_num(&w, "now", l->now[i]);
		json_w_num(&w, "up", scaling_rows[i].up);
		json_w_int(&w, "up_minutes", scaling_rows[i].up_minutes);
		json_w_num(&w, "down", scaling_rows[i].down);
		json_w_int(&w, "down_minutes", scaling_rows[i].down_minutes);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
	puts(buf_text(&b));
	buf_release(&b);
}

static enum cmd_exit
scaling_tell(
    struct store *store, const struct settings *s, int seconds, bool is_json)
{
	struct scaling_look look;
	struct err_info info = {0};
	struct buf reason;

	enum err e = scaling_take_look(store, s, seconds, &look);
	if (e != ERR_OK) {
		err_set(&info, e, "", "%s", err_text(e));
		return cmd_fail(
		    CMD_UNAVAILABLE, "the debates and bridges", &info);
	}
	buf_init(&reason, SCALING_OUT_MAX);
	enum scaling_advice advice = scaling_judge(look.now);
	scaling_reason(&reason, &look, advice);
	(is_json ? scaling_print_json : scaling_print)(
	    &look, advice, buf_text(&reason));
	buf_release(&reason);
	return CMD_OK;
}

static enum cmd_exit
scaling_run(int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
	    {"seconds", required_argument, NULL, 's'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	struct settings *settings;
	struct store *store;
	int64_t seconds = SCALING_SECONDS;
	bool is_json = false;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_scaling, stdout);
			return CMD_OK;
		}
		if (c == 'j')
			is_json = true;
		else if (c == 's' &&
		    str_to_i64(optarg, 1, SCALING_SECONDS_MAX, &seconds) !=
			ERR_OK)
			return cmd_usage(&cmd_scaling,
			    "--seconds '%s' is not from 1 to %d", optarg,
			    SCALING_SECONDS_MAX);
		else if (c != 's' && !cmd_common(c, optarg))
			return cmd_usage(&cmd_scaling, "bad option");
	}
	if (optind < argc)
		return cmd_usage(
		    &cmd_scaling, "'%s' is not expected", argv[optind]);
	enum cmd_exit status =
	    cmd_open("aragora scaling", false, &settings, &store);
	if (status != CMD_OK)
		return status;
	status = scaling_tell(store, settings, (int)seconds, is_json);
	store_close(&store);
	settings_free(&settings);
	return status;
}

const struct cmd cmd_scaling = {
    .name = "scaling",
    .args = "[--seconds N] [--json]",
    .summary = "Say from live figures whether to add or take away a host.",
    .help = "  --seconds N         look at the processors for so long (2)\n"
	    "  --json              for programs\n" CMD_COMMON_HELP
	    "\nOne look is no trend: the answer says how long it must hold. "
	    "The same rules\nfor Prometheus are in conf/prometheus.\n",
    .run = scaling_run,
};
