/* SPDX-License-Identifier: MIT */
#include "debate/replay.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "debate/audience.h"
#include "debate/engine.h"

struct replay {
	struct arena *a;
	const struct store_debate *row;
	const struct store_turn *turns; /* in order of seq */
	size_t n_turns;
	const struct store_event *events;
	size_t n_events;
	struct debate *d;
	struct debate_replay *out;
};

static void
replay_differ(struct replay *r, int64_t seq, const char *field,
    const char *stored, const char *replayed)
{
	r->out->seq = seq;
	r->out->field = field;
	r->out->stored = arena_strdup(r->a, stored);
	r->out->replayed = arena_strdup(r->a, replayed);
}

static void
replay_compare(
    struct replay *r, const struct store_event *x, const struct store_event *y)
{
	int64_t seq = (int64_t)r->out->n_events + 1;

	if (x->seq != seq)
		replay_differ(r, seq, "events", NULL, y->type);
	else if (!str_eq(x->type, y->type))
		replay_differ(r, seq, "type", x->type, y->type);
	else if (x->round != y->round)
		replay_differ(r, seq, "round",
		    arena_printf(r->a, "%lld", (long long)x->round),
		    arena_printf(r->a, "%lld", (long long)y->round));
	else if ((x->agent == NULL) != (y->agent == NULL) ||
	    (x->agent != NULL && !str_eq(x->agent, y->agent)))
		replay_differ(r, seq, "agent", x->agent, y->agent);
	else if (!str_eq(x->data, y->data))
		replay_differ(r, seq, "data", x->data, y->data);
	else
		r->out->n_events++;
}

/* A vote or a suggestion: told when it came, and an input of the turn that
 * took it up. */
static bool
replay_is_said(const struct store_event *e)
{
	return str_eq(e->type, audience_event_type(STORE_HUMAN_VOTE)) ||
	    str_eq(e->type, audience_event_type(STORE_HUMAN_SUGGESTION));
}

/* The event of an input says what the turn took up. */
static void
replay_check_said(struct replay *r, const struct json *j)
{
	bool is_vote = str_eq(json_get_str(j, "kind", ""), "vote");
	struct store_human in = {.seq = json_get_int(j, "seq", 0),
	    .kind = is_vote ? STORE_HUMAN_VOTE : STORE_HUMAN_SUGGESTION,
	    .who = json_get_str(j, "who", ""),
	    .choice = json_get_str(j, "choice", ""),
	    .text = json_get_str(j, "text", ""),
	    .intensity = json_get_int(j, "intensity", 0)};
	const char *type = audience_event_type(in.kind);
	const char *data = audience_event_data(r->a, &in);

	if (in.seq < 1 || (size_t)in.seq > r->n_events ||
	    r->events[in.seq - 1].seq != in.seq) {
		replay_differ(r, in.seq, "events", NULL, type);
		return;
	}
	const struct store_event *e = &r->events[in.seq - 1];
	if (!str_eq(e->type, type))
		replay_differ(r, in.seq, "type", e->type, type);
	else if (!str_eq(e->data, data))
		replay_differ(r, in.seq, "data", e->data, data);
}

/* Each input that was told of until now is one that a turn took up. */
static void
replay_check_heard(struct replay *r, const struct store_turn *t)
{
	const struct json_limits limits = {.max_bytes = 1u << 30};
	const struct json *j = NULL;

	if (t->parsed == NULL ||
	    json_parse(r->a, t->parsed, strlen(t->parsed), &limits, &j, NULL) !=
		ERR_OK)
		return;
	const struct json *list = json_get(j, "inputs");
	for (size_t i = 0; i < json_len(list) && r->out->seq == 0; i++)
		replay_check_said(r, json_at(list, i));
}

/* What people did to it from outside stands between the engine's events. */
static void
replay_skip(struct replay *r)
{
	static const char *const outside[] = {
	    "debate_paused", "debate_resumed"};

	for (; r->out->n_events < r->n_events; r->out->n_events++) {
		const struct store_event *said = &r->events[r->out->n_events];
		if (replay_is_said(said) &&
		    said->seq == (int64_t)r->out->n_events + 1)
			continue;
		const struct store_event *e = &r->events[r->out->n_events];
		bool is_outside = false;
		for (size_t i = 0; i < ARRAY_LEN(outside); i++)
			is_outside = is_outside || str_eq(e->type, outside[i]);
		if (!is_outside || e->seq != (int64_t)r->out->n_events + 1)
			break;
		r->out->has_input = true;
	}
}

/* The events of one transition against those that are stored. */
static void
replay_check(struct replay *r, const struct store_transition *t)
{
	for (size_t i = 0; r->out->seq == 0 && i < t->n_events; i++) {
		replay_skip(r);
		size_t at = r->out->n_events;
		if (at < r->n_events)
			replay_compare(r, &r->events[at], &t->events[i]);
		else
			replay_differ(r, (int64_t)at + 1, "events", NULL,
			    t->events[i].type);
	}
}

/* When the debate began: its first calls went out then. */
static int64_t
replay_first_clock(const struct replay *r)
{
	for (size_t i = 0; i < r->n_turns; i++)
		if (r->turns[i].round == 1 &&
		    str_eq(
			r->turns[i].phase, debate_phase_name(DEBATE_PROPOSE)))
			return r->turns[i].started_us;
	return 0;
}

static enum err
replay_begin(struct replay *r, struct err_info *info)
{
	struct store_debate row = *r->row;
	struct debate_output out;
	int64_t now = replay_first_clock(r);

	row.phase = debate_phase_name(DEBATE_NEW);
	row.round = 0;
	if (now == 0) /* it ended before it began */
		return ERR_OK;
	enum err e = debate_restore(&r->d, &row, NULL, 0, now, info);
	if (e != ERR_OK)
		return e;
	debate_start(r->d, now, &out);
	replay_check(r, &out.transition);
	return ERR_OK;
}

static enum err
replay_turns(struct replay *r, struct err_info *info)
{
	struct debate_output out;

	for (size_t i = 0; i < r->n_turns && r->out->seq == 0; i++) {
		const struct store_turn *t = &r->turns[i];
		/* Refusals are the engine's own. */
		if (t->state == STORE_TURN_STARTED ||
		    afford_is_refusal(t->error))
			continue;
		replay_check_heard(r, t);
		enum err e = r->d != NULL
		    ? debate_replay_turn(r->d, t, &out, info)
		    : ERR_NOT_FOUND;
		if (e == ERR_NOT_FOUND) {
			replay_differ(r, t->seq, "turns", t->step_key, NULL);
			return ERR_OK;
		}
		if (e != ERR_OK)
			return e;
		r->out->n_turns++;
		if (r->out->seq == 0)
			replay_check(r, &out.transition);
	}
	return ERR_OK;
}

/* When it ended, as its result tells; 0 = not recorded. */
static int64_t
replay_last_clock(const struct replay *r)
{
	const struct json_limits limits = {.max_bytes = 32u << 20};
	const struct json *j = NULL;

	if (r->row->result == NULL ||
	    json_parse(r->a, r->row->result, strlen(r->row->result), &limits,
		&j, NULL) != ERR_OK)
		return 0;
	return json_get_int(j, "ended_us", 0);
}

/* The clock or the database ended it, not an answer. */
static void
replay_fail(struct replay *r)
{
	const char *why = r->row->error != NULL ? r->row->error : "";
	int64_t now = replay_last_clock(r);
	struct debate_output out;

	if (str_starts(why, "storage_refused"))
		debate_abandon(r->d, why, now, &out);
	else
		debate_fail(r->d, why, now, &out);
	replay_check(r, &out.transition);
}

/* Somebody ended it: what that event says of the moment is an input. */
static void
replay_cancel(struct replay *r)
{
	const struct store_event *e = &r->events[r->out->n_events];
	const struct json_limits limits = {.max_bytes = 32u << 20};
	const struct json *j = NULL;
	bool is_read = json_parse(r->a, e->data, strlen(e->data), &limits, &j,
			   NULL) == ERR_OK;
	const char *status =
	    is_read ? json_get_str(j, "status", "none") : "unreadable";

	if (e->seq != (int64_t)r->out->n_events + 1)
		replay_differ(r, (int64_t)r->out->n_events + 1, "events", NULL,
		    "debate_end");
	else if (!str_eq(e->type, "debate_end"))
		replay_differ(r, e->seq, "type", e->type, "debate_end");
	else if (!str_eq(status, "cancelled"))
		replay_differ(r, e->seq, "status", status, "cancelled");
	else {
		r->out->n_events++;
		r->out->has_input = true;
	}
}

static void
replay_end(struct replay *r)
{
	bool is_done = r->d != NULL && debate_phase(r->d) == DEBATE_DONE;

	if (r->out->seq == 0)
		replay_skip(r);
	r->out->is_open = !store_status_is_final(r->row->status);
	if (r->out->seq == 0 && !is_done && r->row->status == STORE_FAILED &&
	    r->d != NULL)
		replay_fail(r);
	else if (r->out->seq == 0 && r->row->status == STORE_CANCELLED &&
	    r->out->n_events < r->n_events)
		replay_cancel(r);
	else if (r->out->seq == 0 && !is_done &&
	    r->row->status == STORE_COMPLETED)
		replay_differ(r, (int64_t)r->out->n_events + 1, "turns", NULL,
		    "an answer that the debate waits for");
	if (r->out->seq == 0 && r->out->n_events < r->n_events)
		replay_differ(r, r->events[r->out->n_events].seq, "events",
		    r->events[r->out->n_events].type, NULL);
}

enum err
debate_replay(struct arena *a, const struct store_debate *row,
    const struct store_turn *turns, size_t n_turns,
    const struct store_event *events, size_t n_events,
    struct debate_replay *out, struct debate **d, struct err_info *info)
{
	struct replay r = {.a = a,
	    .row = row,
	    .turns = turns,
	    .n_turns = n_turns,
	    .events = events,
	    .n_events = n_events,
	    .out = out};

	*out = (struct debate_replay){0};
	*d = NULL;
	if ((row->status == STORE_COMPLETED || row->status == STORE_FAILED) &&
	    replay_last_clock(&r) == 0)
		return err_set(info, ERR_UNSUPPORTED, "result",
		    "the record has no clock: the debate was made by a "
		    "program that did not keep it");
	enum err e = replay_begin(&r, info);
	if (e == ERR_OK)
		e = replay_turns(&r, info);
	if (e == ERR_OK)
		replay_end(&r);
	*d = r.d;
	return e;
}
