/* SPDX-License-Identifier: MIT
 *
 * aragora replay: make a recorded debate's events again from what was recorded
 * and compare; count its ballots by another rule. No model is called.
 */
#include <getopt.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "debate/replay.h"

#define REPLAY_PAGE 500
#define REPLAY_SHOW 60 /* characters before and after a difference */

struct replay_options {
	const char *id;
	const char *tenant;
	const char *rule;      /* NULL = as recorded */
	const char *threshold; /* NULL = as recorded */
	bool is_json;
};

/* A debate as the store has it, and what came of it. */
struct replay_case {
	struct arena *a;
	struct store_debate row;
	struct store_turn *turns;
	size_t n_turns;
	struct store_event *events;
	size_t n_events;
	struct debate *debate;
	struct debate_config config;
	struct debate_replay found;
	bool is_recounted;
	enum debate_rule rule;
	struct debate_recount recount, recorded;
};

static enum err
replay_read_events(struct store *store, struct replay_case *c)
{
	size_t cap = (size_t)c->row.last_seq + 1;
	struct store_event *page;
	size_t n;

	c->events = ARENA_ARRAY(c->a, cap, struct store_event);
	for (int64_t since = 0;;) {
		enum err e = store_event_list(store, c->a, c->row.tenant,
		    c->row.id, since, REPLAY_PAGE, &page, &n);
		if (e != ERR_OK || n == 0)
			return e;
		for (size_t i = 0; i < n && c->n_events < cap; i++)
			c->events[c->n_events++] = page[i];
		since = page[n - 1].seq;
	}
}

static enum err
replay_read(struct store *store, const struct replay_options *o,
    struct replay_case *c, struct err_info *info)
{
	enum err e = store_debate_get(store, c->a, o->tenant, o->id, &c->row);

	if (e == ERR_OK)
		e = store_turn_list(
		    store, c->a, o->tenant, c->row.id, &c->turns, &c->n_turns);
	if (e == ERR_OK)
		e = replay_read_events(store, c);
	if (e != ERR_OK)
		return err_set(info, e, "", "%s",
		    e == ERR_NOT_FOUND ? "no such debate" : err_text(e));
	return debate_config_parse(c->a, c->row.config, &c->config, info);
}

/* Rule and threshold of --consensus and --threshold. */
static bool
replay_rule(const struct replay_options *o, struct replay_case *c)
{
	double threshold;
	int rule = 0;

	c->rule = c->config.rule;
	while (o->rule != NULL && rule < DEBATE_RULE__COUNT &&
	    !str_eq(debate_rule_name((enum debate_rule)rule), o->rule))
		rule++;
	if (o->rule != NULL && rule < DEBATE_RULE__COUNT)
		c->rule = (enum debate_rule)rule;
	c->recount.threshold_ppm = c->config.threshold_ppm;
	if (o->threshold != NULL &&
	    str_to_double(o->threshold, &threshold) == ERR_OK)
		c->recount.threshold_ppm =
		    (int64_t)(threshold * CONSENSUS_PPM + 0.5);
	return rule < DEBATE_RULE__COUNT;
}

static void
replay_recount(const struct replay_options *o, struct replay_case *c)
{
	bool is_known = replay_rule(o, c);

	if ((o->rule == NULL && o->threshold == NULL) || !is_known ||
	    c->debate == NULL)
		return;
	c->is_recounted = true;
	debate_recount(
	    c->debate, c->config.rule, c->config.threshold_ppm, &c->recorded);
	debate_recount(
	    c->debate, c->rule, c->recount.threshold_ppm, &c->recount);
}

/* ---- what is said of it ---- */

static void
replay_json_count(struct json_w *w, const char *key, enum debate_rule rule,
    const struct debate_recount *r)
{
	json_w_begin(w, key);
	json_w_str(w, "consensus", debate_rule_name(rule));
	json_w_num(w, "threshold", (double)r->threshold_ppm / CONSENSUS_PPM);
	json_w_bool(w, "reached", r->outcome.is_reached);
	json_w_str(w, "winner", r->winner);
	json_w_num(
	    w, "agreement", (double)r->outcome.share_ppm / CONSENSUS_PPM);
	json_w_num(w, "margin", (double)r->outcome.margin_ppm / CONSENSUS_PPM);
	json_w_str(w, "strength", consensus_strength(&r->outcome));
	json_w_bool(w, "tie", r->outcome.is_tie);
	json_w_int(w, "ballots", r->outcome.valid);
	json_w_int(w, "abstentions", r->outcome.abstained);
	json_w_int(w, "rankings", (int64_t)r->n_rankings);
	json_w_bool(w, "needs_judge", r->needs_judge);
	json_w_end(w);
}

static void
replay_print_json(const struct replay_case *c)
{
	const struct debate_replay *f = &c->found;
	struct json_w w;
	struct buf b;

	buf_init(&b, 128u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "debate_id", c->row.id);
	json_w_str(&w, "status", store_status_name(c->row.status));
	json_w_bool(&w, "identical", f->seq == 0);
	json_w_bool(&w, "open", f->is_open);
	json_w_bool(&w, "cancelled_from_outside", f->has_input);
	json_w_int(&w, "events", (int64_t)f->n_events);
	json_w_int(&w, "turns", (int64_t)f->n_turns);
	if (f->seq != 0) {
		json_w_begin(&w, "difference");
		json_w_int(&w, "seq", f->seq);
		json_w_str(&w, "field", f->field);
		json_w_str(&w, "stored", f->stored);
		json_w_str(&w, "replayed", f->replayed);
		json_w_end(&w);
	}
	if (c->is_recounted) {
		replay_json_count(&w, "recorded", c->config.rule, &c->recorded);
		replay_json_count(&w, "what_if", c->rule, &c->recount);
	}
	json_w_end(&w);
	puts(buf_text(&b));
	buf_release(&b);
}

/* The part of a text where the two part. */
static void
replay_print_side(const char *name, const char *text, size_t at)
{
	size_t from = at > REPLAY_SHOW ? at - REPLAY_SHOW : 0;

	if (text == NULL)
		printf("  %s: nothing\n", name);
	else
		printf("  %s: %s%.*s\n", name, from > 0 ? "..." : "",
		    2 * REPLAY_SHOW, text + from);
}

static void
replay_print_count(
    const char *name, enum debate_rule rule, const struct debate_recount *r)
{
	printf("%s: %s at %.4f: %s, winner %s, share %.4f of %lld ballots, "
	       "%lld abstained%s\n",
	    name, debate_rule_name(rule),
	    (double)r->threshold_ppm / CONSENSUS_PPM,
	    r->outcome.is_reached ? "reached" : "not reached",
	    r->winner != NULL ? r->winner : "nobody",
	    (double)r->outcome.share_ppm / CONSENSUS_PPM,
	    (long long)r->outcome.valid, (long long)r->outcome.abstained,
	    r->needs_judge ? "; a judge would be asked, and none was" : "");
}

static void
replay_print(const struct replay_case *c)
{
	const struct debate_replay *f = &c->found;
	size_t at = 0;

	if (f->seq == 0) {
		printf("identical: %zu events from %zu answers%s%s\n",
		    f->n_events, f->n_turns,
		    f->has_input ? ", and the cancellation" : "",
		    f->is_open ? "; the debate is not over" : "");
	} else {
		while (f->stored != NULL && f->replayed != NULL &&
		    f->stored[at] != '\0' && f->stored[at] == f->replayed[at])
			at++;
		printf(
		    "different: event %lld: %s\n", (long long)f->seq, f->field);
		replay_print_side("stored", f->stored, at);
		replay_print_side("replayed", f->replayed, at);
	}
	if (!c->is_recounted)
		return;
	replay_print_count("recorded", c->config.rule, &c->recorded);
	replay_print_count("what if", c->rule, &c->recount);
}

static enum cmd_exit
replay_show(struct store *store, const struct replay_options *o)
{
	struct replay_case c = {.a = arena_new(0)};
	struct err_info info = {0};
	enum cmd_exit code = CMD_OK;

	enum err e = replay_read(store, o, &c, &info);
	if (e == ERR_OK)
		e = debate_replay(c.a, &c.row, c.turns, c.n_turns, c.events,
		    c.n_events, &c.found, &c.debate, &info);
	if (e != ERR_OK) {
		bool is_theirs = e == ERR_NOT_FOUND || e == ERR_UNSUPPORTED ||
		    e == ERR_INVALID || e == ERR_SYNTAX;
		code = cmd_fail(
		    is_theirs ? CMD_NOT_DONE : CMD_UNAVAILABLE, o->id, &info);
	} else {
		replay_recount(o, &c);
		if (o->is_json)
			replay_print_json(&c);
		else
			replay_print(&c);
		code = c.found.seq == 0 ? CMD_OK : CMD_NOT_DONE;
	}
	debate_free(&c.debate);
	arena_free(&c.a);
	return code;
}

static bool
replay_is_rule(const char *name)
{
	for (int i = 0; i < DEBATE_RULE__COUNT; i++)
		if (str_eq(debate_rule_name((enum debate_rule)i), name))
			return true;
	return false;
}

static enum cmd_exit
replay_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"consensus", required_argument, NULL, 'c'},
	    {"threshold", required_argument, NULL, 't'},
	    {"tenant", required_argument, NULL, 'T'},
	    {"json", no_argument, NULL, 'j'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	struct replay_options o = {.tenant = STORE_TENANT_DEFAULT};
	struct settings *settings = NULL;
	struct store *store = NULL;
	double threshold;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_replay, stdout);
			return CMD_OK;
		}
		if (c == 'c')
			o.rule = optarg;
		else if (c == 't')
			o.threshold = optarg;
		else if (c == 'T')
			o.tenant = optarg;
		else if (c == 'j')
			o.is_json = true;
		else if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_replay, "bad option");
	}
	if (optind + 1 != argc)
		return cmd_usage(&cmd_replay, "expected the id of a debate");
	o.id = argv[optind];
	if (o.rule != NULL && !replay_is_rule(o.rule))
		return cmd_usage(
		    &cmd_replay, "--consensus: no rule '%s'", o.rule);
	if (o.threshold != NULL &&
	    (str_to_double(o.threshold, &threshold) != ERR_OK ||
		!(threshold >= 0.5 && threshold <= 1)))
		return cmd_usage(&cmd_replay, "--threshold must be 0.5 to 1");
	enum cmd_exit code = cmd_open("aragora", false, &settings, &store);
	if (code != CMD_OK)
		return code;
	code = replay_show(store, &o);
	store_close(&store);
	settings_free(&settings);
	return code;
}

const struct cmd cmd_replay = {
    .name = "replay",
    .args = "ID [--consensus RULE] [--threshold SHARE] [--json]",
    .summary = "Make a debate's events again from its record and compare.",
    .help =
	"  --consensus RULE    what another rule would make of the ballots\n"
	"  --threshold SHARE   with another threshold, 0.5 to 1\n"
	"  --tenant NAME       whose debate it is\n"
	"  --json              the same as JSON\n" CMD_COMMON_HELP
	"\nNo model is called. Exit status 1 and the first difference when "
	"the stored\nevents are not those that the record makes.\n",
    .run = replay_run,
};
