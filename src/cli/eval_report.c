/* SPDX-License-Identifier: MIT
 *
 * What came of it, protocol beside protocol.
 */
#include "cli/eval.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

struct report_row {
	const struct eval_protocol *protocol;
	int64_t n; /* questions that came to an end */
	int64_t right, before_right;
	int64_t to_right, to_wrong; /* by the debate */
	int64_t abstained, reached, rounds;
	int64_t failed;	       /* came to no end */
	struct eval_cost cost; /* with that of those that did not end */
	/* against the first protocol, on the questions that both ended */
	int64_t pairs, gained, lost;
};

/* ---- counting ---- */

static bool
report_is_right(const struct eval_run *run, const char *answer)
{
	return answer != NULL && str_eq(answer, run->item->key.text);
}

static void
report_count(struct report_row *row, const struct eval_run *run)
{
	bool is_right = report_is_right(run, run->answer);
	bool was_right = report_is_right(run, run->before);

	eval_cost_add(&row->cost, &run->cost);
	row->failed += run->state == EVAL_FAILED;
	if (run->state != EVAL_DONE)
		return;
	row->n++;
	row->right += is_right;
	row->before_right += was_right;
	row->to_right += is_right && !was_right;
	row->to_wrong += was_right && !is_right;
	row->abstained += run->answer == NULL;
	row->reached += run->is_reached;
	row->rounds += run->rounds;
}

static void
report_pair(struct report_row *row, const struct eval_run *first,
    const struct eval_run *run)
{
	if (first->state != EVAL_DONE || run->state != EVAL_DONE)
		return;
	bool was_right = report_is_right(first, first->answer);
	bool is_right = report_is_right(run, run->answer);
	row->pairs++;
	row->gained += is_right && !was_right;
	row->lost += was_right && !is_right;
}

static const struct eval_run *
report_run(const struct eval *e, size_t item, size_t protocol)
{
	return &e->runs[item * e->n_protocols + protocol];
}

static void
report_row(const struct eval *e, size_t p, struct report_row *row)
{
	*row = (struct report_row){.protocol = &e->protocols[p]};
	for (size_t i = 0; i < e->n_items; i++) {
		report_count(row, report_run(e, i, p));
		report_pair(row, report_run(e, i, 0), report_run(e, i, p));
	}
}

static double
report_share(int64_t part, int64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

static bool
report_is_complete(const struct eval *e)
{
	for (size_t i = 0; i < e->n_runs; i++)
		if (e->runs[i].state != EVAL_DONE)
			return false;
	return true;
}

/* ---- what must be said with it ---- */

static const char *
report_note(const struct eval *e, struct arena *a, size_t at)
{
	size_t n = 0;

	if (e->are_alike && n++ == at)
		return "all seats of a debate are the same model: different "
		       "models are the main cause of what debates gain";
	for (size_t i = 0; i < e->n_protocols; i++) {
		const struct eval_protocol *p = &e->protocols[i];
		if (p->like == NULL || p->like_share == 0 || n++ != at)
			continue;
		return arena_printf(a,
		    "%s asks %lld seats, which cost %.0f %% of the tokens of "
		    "%s",
		    p->label, (long long)p->samples, 100 * p->like_share,
		    p->like->label);
	}
	if (!report_is_complete(e) && n++ == at)
		return "not all questions came to an end under all protocols: "
		       "run it again with the same --out to go on";
	return NULL;
}

/* ---- as JSON ---- */

static void
report_json_interval(struct json_w *w, const char *key, struct eval_interval x)
{
	json_w_begin_array(w, key);
	json_w_num(w, NULL, x.low);
	json_w_num(w, NULL, x.high);
	json_w_end_array(w);
}

/* Right answers by the questions' domains. */
static void
report_json_domains(const struct eval *e, struct json_w *w, size_t p)
{
	json_w_begin(w, "domains");
	for (size_t i = 0; i < e->n_items; i++) {
		const char *domain = e->items[i].domain;
		struct report_row row = {0};
		size_t k = 0;
		while (!str_eq(e->items[k].domain, domain))
			k++;
		if (k < i)
			continue; /* had its turn */
		for (; k < e->n_items; k++)
			if (str_eq(e->items[k].domain, domain))
				report_count(&row, report_run(e, k, p));
		json_w_begin(w, domain);
		json_w_int(w, "questions", row.n);
		json_w_int(w, "right", row.right);
		json_w_num(w, "accuracy", report_share(row.right, row.n));
		report_json_interval(
		    w, "interval", eval_wilson(row.right, row.n));
		json_w_end(w);
	}
	json_w_end(w);
}

static void
report_json_against(
    const struct eval *e, struct json_w *w, const struct report_row *row)
{
	json_w_begin(w, "against_first");
	json_w_int(w, "questions", row->pairs);
	json_w_int(w, "gained", row->gained);
	json_w_int(w, "lost", row->lost);
	json_w_num(
	    w, "difference", report_share(row->gained - row->lost, row->pairs));
	report_json_interval(w, "interval",
	    eval_bootstrap(
		row->gained, row->lost, row->pairs, (uint64_t)e->seed));
	json_w_num(w, "p", eval_mcnemar(row->gained, row->lost));
	json_w_end(w);
}

static void
report_json_row(const struct eval *e, struct json_w *w, size_t p)
{
	struct report_row row;

	report_row(e, p, &row);
	json_w_begin(w, NULL);
	json_w_str(w, "protocol", row.protocol->label);
	if (row.protocol->samples > 0)
		json_w_int(w, "samples", row.protocol->samples);
	json_w_int(w, "questions", row.n);
	json_w_int(w, "right", row.right);
	json_w_num(w, "accuracy", report_share(row.right, row.n));
	report_json_interval(w, "interval", eval_wilson(row.right, row.n));
	json_w_int(w, "before_right", row.before_right);
	json_w_num(w, "before_accuracy", report_share(row.before_right, row.n));
	json_w_int(w, "wrong_to_right", row.to_right);
	json_w_int(w, "right_to_wrong", row.to_wrong);
	json_w_int(w, "abstentions", row.abstained);
	json_w_int(w, "consensus_reached", row.reached);
	json_w_num(w, "rounds", report_share(row.rounds, row.n));
	json_w_int(w, "failed", row.failed);
	json_w_int(w, "calls", row.cost.calls);
	json_w_int(w, "requests", row.cost.requests);
	json_w_int(w, "tokens_in", row.cost.tokens_in);
	json_w_int(w, "tokens_out", row.cost.tokens_out);
	json_w_int(w, "cost_udollar", row.cost.udollar);
	json_w_int(w, "calls_without_price", row.cost.unpriced);
	if (p > 0)
		report_json_against(e, w, &row);
	report_json_domains(e, w, p);
	json_w_end(w);
}

static void
report_json(const struct eval *e, struct arena *a)
{
	const char *note;
	struct buf b;
	struct json_w w;

	buf_init(&b, EVAL_LINE_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_int(&w, "questions", (int64_t)e->n_items);
	json_w_int(&w, "seed", e->seed);
	json_w_num(&w, "level", EVAL_LEVEL);
	json_w_bool(&w, "complete", report_is_complete(e));
	json_w_bool(&w, "interrupted", e->is_interrupted);
	json_w_begin_array(&w, "protocols");
	for (size_t i = 0; i < e->n_protocols; i++)
		report_json_row(e, &w, i);
	json_w_end_array(&w);
	json_w_begin_array(&w, "notes");
	for (size_t i = 0; (note = report_note(e, a, i)) != NULL; i++)
		json_w_str(&w, NULL, note);
	json_w_end_array(&w);
	json_w_end(&w);
	puts(buf_text(&b));
	buf_release(&b);
}

/* ---- as tables ---- */

static int
report_width(const struct eval *e)
{
	int width = (int)strlen("protocol");

	for (size_t i = 0; i < e->n_protocols; i++)
		if ((int)strlen(e->protocols[i].label) > width)
			width = (int)strlen(e->protocols[i].label);
	return width;
}

static const char *
report_percent(struct arena *a, int64_t part, int64_t whole)
{
	return whole > 0
	    ? arena_printf(a, "%.1f", 100 * report_share(part, whole))
	    : "-";
}

static void
report_print_accuracy(struct arena *a, int width, const struct report_row *row)
{
	struct eval_interval x = eval_wilson(row->right, row->n);

	printf("%-*s %6lld %7s %13s %7s %6lld %6lld %7lld %6lld\n", width,
	    row->protocol->label, (long long)row->n,
	    report_percent(a, row->right, row->n),
	    arena_printf(a, "%.1f to %.1f", 100 * x.low, 100 * x.high),
	    report_percent(a, row->before_right, row->n),
	    (long long)row->to_right, (long long)row->to_wrong,
	    (long long)row->abstained, (long long)row->failed);
}

static void
report_print_cost(int width, const struct report_row *row)
{
	printf("%-*s %8lld %8lld %12lld %12lld %14lld%s\n", width,
	    row->protocol->label, (long long)row->cost.calls,
	    (long long)row->cost.requests, (long long)row->cost.tokens_in,
	    (long long)row->cost.tokens_out, (long long)row->cost.udollar,
	    row->cost.unpriced > 0 ? " and calls without a known price" : "");
}

static void
report_print_against(const struct eval *e, struct arena *a, int width,
    const struct report_row *row)
{
	struct eval_interval x = eval_bootstrap(
	    row->gained, row->lost, row->pairs, (uint64_t)e->seed);

	printf("%-*s %6lld %6lld %6lld %+10.1f %15s %8.4f\n", width,
	    row->protocol->label, (long long)row->pairs, (long long)row->gained,
	    (long long)row->lost,
	    100 * report_share(row->gained - row->lost, row->pairs),
	    arena_printf(a, "%+.1f to %+.1f", 100 * x.low, 100 * x.high),
	    eval_mcnemar(row->gained, row->lost));
}

static void
report_print(const struct eval *e, struct arena *a)
{
	int width = report_width(e);
	struct report_row *rows =
	    ARENA_ARRAY(a, e->n_protocols + 1, struct report_row);
	const char *note;

	for (size_t i = 0; i < e->n_protocols; i++)
		report_row(e, i, &rows[i]);
	printf("%-*s %6s %7s %13s %7s %6s %6s %7s %6s\n", width, "protocol",
	    "asked", "right %", "95 %", "before", "w>r", "r>w", "abstain",
	    "failed");
	for (size_t i = 0; i < e->n_protocols; i++)
		report_print_accuracy(a, width, &rows[i]);
	printf("\n%-*s %8s %8s %12s %12s %14s\n", width, "protocol", "calls",
	    "requests", "tokens in", "tokens out", "micro-dollars");
	for (size_t i = 0; i < e->n_protocols; i++)
		report_print_cost(width, &rows[i]);
	if (e->n_protocols > 1)
		printf("\n%-*s %6s %6s %6s %10s %15s %8s\n", width, "protocol",
		    "pairs", "gained", "lost", "difference", "95 %", "p");
	for (size_t i = 1; i < e->n_protocols; i++)
		report_print_against(e, a, width, &rows[i]);
	for (size_t i = 0; (note = report_note(e, a, i)) != NULL; i++)
		printf("%sNote: %s.\n", i == 0 ? "\n" : "", note);
}

void
eval_report(const struct eval *e, bool is_json)
{
	struct arena *a = arena_new(0);

	if (is_json)
		report_json(e, a);
	else
		report_print(e, a);
	arena_free(&a);
}
