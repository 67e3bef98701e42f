/* SPDX-License-Identifier: MIT
 *
 * Debates in this process: the pure engine, its calls over the model machine,
 * many at once, and no database.
 */
#include "cli/eval.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_embed.h"

struct eval_call {
	struct list link;
	struct eval_run *run;
	struct debate_call call;
	/* One of the two; both NULL = waiting. */
	struct llm_call *llm_call;
	struct llm_embed_call *embed_call;
};

/* While it goes on. */
struct eval_driver {
	struct eval *e;
	struct loop *loop;
	struct llm *llm;
	struct llm_embedder *embedder;
	struct list waiting, calling;
	int64_t n_calling, n_open;
	size_t next;	/* run that was not looked at yet */
	bool is_second; /* protocols that wait for others' costs, too */
	bool is_stopping;
	enum err err;
	struct err_info *info;
	struct loop_timer begin;
	struct loop_watch signals;
	int n_signals;
};

static void driver_pump(struct eval_driver *d);

/* ---- which runs ---- */

static bool
driver_is_of_pass(const struct eval_driver *d, const struct eval_run *run)
{
	return (run->protocol->like != NULL) == d->is_second;
}

static int
driver_order(const void *x, const void *y)
{
	const struct eval_run *const *a = x;
	const struct eval_run *const *b = y;

	return strcmp((*a)->key, (*b)->key);
}

/* Whatever changes what is asked changes the key. */
static enum err
driver_key(struct eval_driver *d, struct eval_run *run)
{
	struct debate_config config;
	struct debate_config_error error;
	struct arena *a = arena_new(0);
	size_t n = 1;

	enum err err = eval_plan_config(
	    d->e, a, run->protocol, run->item, &config, &error, &n);
	if (err == ERR_OK) {
		const char *text =
		    arena_printf(a, "%s\n%s\n%s", run->protocol->label,
			run->item->id, debate_config_write(a, &config));
		id_sha256(text, strlen(text), run->key);
	} else {
		err_set(d->info, err, run->protocol->label, "%s: %s",
		    n > 0 ? error.field : "", n > 0 ? error.message : "");
	}
	arena_free(&a);
	return err;
}

/* Keys of the pass's runs, and what the journal tells of them. */
static enum err
driver_begin_pass(struct eval_driver *d)
{
	struct eval *e = d->e;
	struct eval_run **all =
	    mem_array(e->n_runs + 1, sizeof(struct eval_run *));
	enum err err = ERR_OK;
	size_t n = 0;

	for (size_t i = 0; d->is_second && i < e->n_protocols; i++)
		if (e->protocols[i].like != NULL)
			eval_plan_samples(e, &e->protocols[i]);
	for (size_t i = 0; err == ERR_OK && i < e->n_runs; i++) {
		if (!driver_is_of_pass(d, &e->runs[i]))
			continue;
		err = driver_key(d, &e->runs[i]);
		all[n++] = &e->runs[i];
	}
	qsort(all, n, sizeof(struct eval_run *), driver_order);
	if (err == ERR_OK)
		err = eval_journal_read(e->journal, e, all, n, d->info);
	free(all);
	d->next = 0;
	return err;
}

static bool
driver_has_second(const struct eval *e)
{
	for (size_t i = 0; i < e->n_protocols; i++)
		if (e->protocols[i].like != NULL)
			return true;
	return false;
}

/* ---- answers ---- */

static const char *
run_answer(struct eval *e, const struct eval_run *run, const char *text)
{
	struct eval_value v;

	return text != NULL &&
		eval_answer_find(e->arena, &run->item->form, text, &v)
	    ? v.text
	    : NULL;
}

static void
run_take_first(struct eval_run *run, const struct store_turn *t)
{
	if (t->state != STORE_TURN_DONE || t->round != 1 ||
	    !str_eq(t->phase, debate_phase_name(DEBATE_PROPOSE)))
		return;
	for (size_t i = 0; i < run->config.n_agents; i++)
		if (str_eq(run->config.agents[i].name, t->agent))
			run->first[i] = run_answer(run->eval, run, t->content);
}

/* What most said before anybody heard of the others; of equals what the
 * earlier seat said, for all seats are alike in that. */
static const char *
run_before(const struct eval_run *run)
{
	const char *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < run->config.n_agents; i++) {
		size_t n = 0;
		for (size_t k = i; k < run->config.n_agents; k++)
			n += run->first[i] != NULL &&
			    str_eq(run->first[i], run->first[k]);
		if (n > most) {
			most = n;
			best = run->first[i];
		}
	}
	return best;
}

/* ---- a debate ---- */

static void
driver_fail(struct eval_driver *d, enum err err, const char *what)
{
	if (err == ERR_OK || d->err != ERR_OK)
		return;
	d->err = err_set(d->info, err, what, "%s", err_text(err));
	d->is_stopping = true;
}

static void
driver_drop(struct eval_driver *d, struct eval_call *c)
{
	d->n_calling -= c->llm_call != NULL || c->embed_call != NULL;
	llm_call_cancel(&c->llm_call);
	llm_embed_cancel(&c->embed_call);
	list_del(&c->link);
	free(c);
}

static void
driver_drop_of(
    struct eval_driver *d, struct list *list, const struct eval_run *run)
{
	list_for_each (it, list) {
		struct eval_call *c = LIST_ENTRY(it, struct eval_call, link);
		if (run == NULL || c->run == run)
			driver_drop(d, c);
	}
}

static void
run_close(struct eval_driver *d, struct eval_run *run)
{
	driver_drop_of(d, &d->waiting, run);
	driver_drop_of(d, &d->calling, run);
	loop_timer_del(d->loop, &run->deadline);
	debate_free(&run->debate);
	run->records = NULL;
	run->first = NULL;
	arena_free(&run->arena);
	d->n_open--;
}

static void
run_end(struct eval_driver *d, struct eval_run *run,
    const struct store_transition *t)
{
	struct eval *e = d->e;
	const struct json_limits limits = {.max_bytes = EVAL_LINE_MAX};
	const struct json *result = NULL;

	if (t->result == NULL ||
	    json_parse(run->arena, t->result, strlen(t->result), &limits,
		&result, NULL) != ERR_OK)
		result = NULL;
	run->state = t->status == STORE_COMPLETED ? EVAL_DONE : EVAL_FAILED;
	run->before = run_before(run);
	run->answer =
	    run_answer(e, run, json_get_str(result, "final_answer", NULL));
	run->is_reached = t->consensus_reached;
	run->rounds = debate_round(run->debate);
	run->error = arena_strdup(e->arena, t->error);
	/* One that failed is tried again the next time. */
	if (run->state == EVAL_DONE)
		driver_fail(d, eval_journal_result(e->journal, run), "--out");
	run_close(d, run);
}

static void
run_apply(struct eval_driver *d, struct eval_run *run,
    const struct debate_output *out)
{
	const struct store_transition *t = &out->transition;

	for (size_t i = 0; i < t->n_turns; i++)
		run_take_first(run, &t->turns[i]);
	for (size_t i = 0; i < out->n_calls && !out->is_done; i++) {
		struct eval_call *c = mem_zalloc(sizeof(*c));
		c->run = run;
		c->call = out->calls[i];
		list_add_tail(&d->waiting, &c->link);
	}
	if (out->is_done)
		run_end(d, run, t);
}

static void
run_on_deadline(struct loop_timer *t)
{
	struct eval_driver *d = t->arg;
	struct eval_run *run = CONTAINER_OF(t, struct eval_run, deadline);
	struct debate_output out;

	driver_drop_of(d, &d->waiting, run);
	driver_drop_of(d, &d->calling, run);
	debate_fail(run->debate, "timeout", clock_wall_us(), &out);
	run_apply(d, run, &out);
	driver_pump(d);
}

static void
run_open(struct eval_driver *d, struct eval_run *run)
{
	struct debate_config_error error;
	struct debate_output out;
	int64_t now = clock_wall_us();
	size_t n = 1;

	if (run->arena == NULL)
		run->arena = arena_new(0);
	run->state = EVAL_OPEN;
	run->eval = d->e;
	d->n_open++;
	enum err err = eval_plan_config(d->e, run->arena, run->protocol,
	    run->item, &run->config, &error, &n);
	if (err != ERR_OK)
		abort(); /* it had a key */
	run->first =
	    ARENA_ARRAY(run->arena, run->config.n_agents + 1, const char *);
	run->debate = debate_new(run->item->id, &run->config, now);
	run->deadline = (struct loop_timer){.fn = run_on_deadline, .arg = d};
	loop_timer_set(
	    d->loop, &run->deadline, d->e->settings->debate_timeout * 1000);
	debate_start(run->debate, now, &out);
	run_apply(d, run, &out);
}

/* ---- calls ---- */

static const struct llm_result *
run_recorded(const struct eval_run *run, const char *step_key)
{
	for (const struct eval_record *r = run->records; r != NULL; r = r->next)
		if (str_eq(r->step_key, step_key))
			return &r->result;
	return NULL;
}

/* The call is over, and c gone. */
static void
call_end(
    struct eval_driver *d, struct eval_call *c, const struct llm_result *result)
{
	struct eval_run *run = c->run;
	const char *step_key = c->call.step_key; /* lives in the debate */
	struct debate_output out;

	list_del(&c->link);
	free(c);
	debate_result(run->debate, step_key, result, clock_wall_us(), &out);
	run_apply(d, run, &out);
}

static struct eval_driver *
call_driver(const struct eval_call *c)
{
	return c->run->deadline.arg;
}

static void
call_on_done(void *arg, const struct llm_result *result)
{
	struct eval_call *c = arg;
	struct eval_driver *d = call_driver(c);
	struct eval_run *run = c->run;
	enum llm_task task = c->call.request.task;
	struct eval_cost cost;

	c->llm_call = NULL;
	c->embed_call = NULL;
	d->n_calling--;
	eval_cost_of(&cost, task, result);
	eval_cost_add(&run->cost, &cost);
	driver_fail(d,
	    eval_journal_call(
		d->e->journal, run, c->call.step_key, task, result),
	    "--out");
	call_end(d, c, result);
	driver_pump(d);
}

static void
call_begin(struct eval_driver *d, struct eval_call *c)
{
	const struct llm_call_ops ops = {.on_done = call_on_done, .arg = c};

	list_del(&c->link);
	list_add_tail(&d->calling, &c->link);
	d->n_calling++;
	switch (c->call.request.task) {
	case LLM_EMBED:
		c->embed_call = llm_embed_start(
		    d->embedder, c->call.agent, &c->call.request, &ops);
		return;
	case LLM_PROPOSE:
	case LLM_CRITIQUE:
	case LLM_REVISE:
	case LLM_VOTE:
	case LLM_JUDGE:
	case LLM_SYNTHESIS:
		c->llm_call = llm_call_start(
		    d->llm, c->call.agent, &c->call.request, &ops);
		return;
	case LLM_AUDIENCE: /* see eval_plan_config */
	case LLM_TASK__COUNT:
		break;
	}
	abort();
}

/* ---- the whole ---- */

static void
driver_open_runs(struct eval_driver *d)
{
	struct eval *e = d->e;

	for (; d->n_open < e->jobs && d->next < e->n_runs; d->next++) {
		struct eval_run *run = &e->runs[d->next];
		if (driver_is_of_pass(d, run) && run->state == EVAL_WAITING)
			run_open(d, run);
	}
}

static void
driver_begin_calls(struct eval_driver *d)
{
	while (!d->is_stopping && d->n_calling < d->e->jobs) {
		driver_open_runs(d);
		if (list_is_empty(&d->waiting))
			return;
		struct eval_call *c =
		    LIST_ENTRY(d->waiting.next, struct eval_call, link);
		const struct llm_result *known =
		    run_recorded(c->run, c->call.step_key);
		if (known != NULL)
			call_end(d, c, known);
		else
			call_begin(d, c);
	}
}

static void
driver_pump(struct eval_driver *d)
{
	for (;;) {
		driver_begin_calls(d);
		if (d->is_stopping || d->n_open > 0 || d->is_second ||
		    !driver_has_second(d->e))
			break;
		d->is_second = true;
		enum err err = driver_begin_pass(d);
		if (err != ERR_OK) {
			d->err = err;
			d->is_stopping = true;
		}
	}
	if (d->n_calling == 0 && (d->is_stopping || d->n_open == 0))
		loop_stop(d->loop);
}

static void
driver_on_begin(struct loop_timer *t)
{
	driver_pump(t->arg);
}

/* The first: no further call begins, and those under way are paid for, so
 * their answers are waited for. The second means now. */
static void
driver_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct eval_driver *d = w->arg;
	struct signalfd_siginfo info;

	while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		d->n_signals++;
	if (d->n_signals == 0)
		return;
	d->e->is_interrupted = true;
	d->is_stopping = true;
	if (d->n_signals > 1)
		driver_drop_of(d, &d->calling, NULL);
	else if (d->n_calling > 0)
		fprintf(stderr,
		    "aragora eval: waiting for %lld calls; once more to end "
		    "now\n",
		    (long long)d->n_calling);
	driver_pump(d);
}

static enum err
driver_watch_signals(struct eval_driver *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	d->signals = (struct loop_watch){
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
	    .fn = driver_on_signal,
	    .arg = d};
	return d->signals.fd >= 0
	    ? loop_watch_add(d->loop, &d->signals, EPOLLIN)
	    : ERR_IO;
}

static enum err
driver_run(struct eval_driver *d)
{
	enum err err = loop_new(&d->loop);

	if (err == ERR_OK)
		err = driver_watch_signals(d);
	if (err == ERR_OK)
		err = llm_new(&d->llm, d->e->settings, d->loop);
	if (err != ERR_OK)
		return err_set(
		    d->info, err, "", "cannot begin: %s", err_text(err));
	llm_embedder_new(&d->embedder, d->e->settings, d->loop, d->llm);
	err = driver_begin_pass(d);
	if (err != ERR_OK)
		return err;
	d->begin = (struct loop_timer){.fn = driver_on_begin, .arg = d};
	loop_timer_set(d->loop, &d->begin, 0);
	err = loop_run(d->loop);
	return err != ERR_OK ? err_set(d->info, err, "", "%s", err_text(err))
			     : d->err;
}

enum err
eval_run(struct eval *e, struct err_info *info)
{
	struct eval_driver d = {.e = e, .info = info, .signals.fd = -1};

	list_init(&d.waiting);
	list_init(&d.calling);
	e->n_runs = e->n_items * e->n_protocols;
	e->runs = mem_array(e->n_runs, sizeof(*e->runs));
	memset(e->runs, 0, e->n_runs * sizeof(*e->runs));
	for (size_t i = 0; i < e->n_runs; i++) {
		e->runs[i].item = &e->items[i / e->n_protocols];
		e->runs[i].protocol = &e->protocols[i % e->n_protocols];
	}
	enum err err = driver_run(&d);
	for (size_t i = 0; i < e->n_runs; i++) {
		if (e->runs[i].state == EVAL_OPEN) {
			run_close(&d, &e->runs[i]);
			e->runs[i].state = EVAL_WAITING;
		}
		arena_free(&e->runs[i].arena);
	}
	llm_embedder_free(&d.embedder);
	llm_free(&d.llm);
	if (d.signals.fd >= 0) {
		loop_watch_del(d.loop, &d.signals);
		close(d.signals.fd);
	}
	loop_free(&d.loop);
	return err;
}
