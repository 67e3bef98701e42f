/* SPDX-License-Identifier: MIT
 *
 * The transitions of one group as sets: one statement for the steps of a
 * tenant's debates, one for their events, one for their turns, however many
 * they are. PostgreSQL spends most of a small statement on reading and planning
 * it, so this is what makes a group cheaper than its parts.
 *
 * A statement changes a row once. A debate with several transitions in the
 * group, or a turn that is written twice, comes in several statements, in the
 * order of the transitions.
 */
#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "store/store_commit.h"

/* A statement is ended here, and a row that is larger than the rest of the
 * room fails. */
#define STORE_SET_BYTES (1u << 20)
#define STORE_SET_MAX	(512u << 20)

/* One JSON array under way, the parameter of one statement. */
struct store_set {
	struct buf buf;
	struct json_w w;
	size_t n;
};

static void
store_set_begin(struct store_set *s)
{
	buf_init(&s->buf, STORE_SET_MAX);
	json_w_init(&s->w, &s->buf);
	json_w_begin_array(&s->w, NULL);
	s->n = 0;
}

/* Queues the statement, unless there is nothing to say. */
static enum err
store_set_end(struct store_set *s, struct db *db, struct arena *a, enum stmt id,
    const char *tenant, struct db_result *result)
{
	enum err e = ERR_OK;

	json_w_end_array(&s->w);
	if (s->buf.is_overflowed)
		e = err_set(&db->info, ERR_TOO_LARGE, "", "a row is too large");
	else if (s->n > 0)
		e = DB_QUEUE(db, id, a, result, DB_TEXT(tenant),
		    DB_TEXT(buf_text(&s->buf)));
	buf_release(&s->buf);
	return e;
}

static bool
store_set_is_full(const struct store_set *s)
{
	return s->buf.len > STORE_SET_BYTES;
}

/* ---- steps ---- */

static void
store_set_step(struct store_set *s, const struct store_transition *t)
{
	bool is_final = store_status_is_final(t->status);

	s->n++;
	json_w_begin(&s->w, NULL);
	json_w_str(&s->w, "id", t->debate_id);
	json_w_int(&s->w, "epoch", t->lease_epoch);
	json_w_int(&s->w, "n", (int64_t)t->n_events);
	json_w_str(&s->w, "status", store_status_name(t->status));
	json_w_str(&s->w, "phase", t->phase);
	json_w_int(&s->w, "round", t->round);
	json_w_str(&s->w, "result", t->result);
	json_w_str(&s->w, "error", t->error);
	json_w_num(&s->w, "confidence", t->confidence);
	json_w_int(&s->w, "consensus", t->consensus_reached);
	json_w_int(&s->w, "final", is_final);
	json_w_int(&s->w, "release", t->is_release || is_final);
	json_w_end(&s->w);
}

/* How many transitions of the same debate come before it. */
static size_t
store_set_place(const struct store_step *steps, size_t i)
{
	size_t place = 0;

	for (size_t j = 0; j < i; j++)
		place += !steps[j].is_landed &&
		    str_eq(steps[j].t->debate_id, steps[i].t->debate_id);
	return place;
}

/* One statement: those of the place and the tenant of the i-th, from it on. */
static enum err
store_set_steps_of(struct db *db, struct arena *a, struct store_step *steps,
    size_t n, size_t i, int64_t now)
{
	struct db_result *result = ARENA_NEW(a, struct db_result);
	const char *tenant = steps[i].t->tenant;
	struct store_set s;

	store_set_begin(&s);
	for (size_t j = i; j < n && !store_set_is_full(&s); j++) {
		if (steps[j].is_landed || steps[j].answer != NULL ||
		    steps[j].place != steps[i].place ||
		    !str_eq(steps[j].t->tenant, tenant))
			continue;
		store_set_step(&s, steps[j].t);
		steps[j].answer = result;
	}
	json_w_end_array(&s.w);
	enum err e = s.buf.is_overflowed
	    ? err_set(&db->info, ERR_TOO_LARGE, "", "a step is too large")
	    : DB_QUEUE(db, STMT_DEBATE_STEPS, a, result, DB_TEXT(tenant),
		  DB_TEXT(buf_text(&s.buf)), DB_INT(now));
	buf_release(&s.buf);
	return e;
}

enum err
store_set_steps(struct db *db, struct arena *a, struct store_step *steps,
    size_t n, int64_t now)
{
	enum err e = ERR_OK;
	size_t places = 0;

	for (size_t i = 0; i < n; i++) {
		steps[i].place = store_set_place(steps, i);
		if (!steps[i].is_landed && steps[i].place >= places)
			places = steps[i].place + 1;
	}
	for (size_t place = 0; place < places; place++)
		for (size_t i = 0; e == ERR_OK && i < n; i++)
			if (!steps[i].is_landed && steps[i].answer == NULL &&
			    steps[i].place == place)
				e = store_set_steps_of(db, a, steps, n, i, now);
	return e;
}

int64_t
store_set_last_seq(const struct store_step *step)
{
	const struct db_result *r = step->answer;

	for (size_t i = 0; i < r->rows; i++)
		if (str_eq(db_text(r, i, 0), step->t->debate_id))
			return db_int(r, i, 1);
	return -1;
}

/* ---- events ---- */

static void
store_set_event(struct store_set *s, const struct store_transition *t,
    const struct store_event *e)
{
	s->n++;
	json_w_begin(&s->w, NULL);
	json_w_str(&s->w, "debate", t->debate_id);
	json_w_int(&s->w, "seq", e->seq);
	json_w_str(&s->w, "type", e->type);
	json_w_int(&s->w, "round", e->round);
	json_w_str(&s->w, "agent", e->agent);
	json_w_int(&s->w, "created", e->created_us);
	json_w_str(&s->w, "data", e->data);
	json_w_end(&s->w);
}

/* ---- turns ---- */

static void
store_set_turn(struct store_set *s, const struct store_transition *t,
    const struct store_turn *u)
{
	s->n++;
	json_w_begin(&s->w, NULL);
	json_w_str(&s->w, "debate", t->debate_id);
	json_w_str(&s->w, "step", u->step_key);
	json_w_int(&s->w, "round", u->round);
	json_w_str(&s->w, "phase", u->phase);
	json_w_str(&s->w, "agent", u->agent);
	json_w_str(&s->w, "target", u->target);
	json_w_str(&s->w, "role", u->role);
	json_w_int(&s->w, "state", u->state);
	json_w_int(&s->w, "attempt", u->attempt);
	json_w_str(&s->w, "content", u->content);
	json_w_str(&s->w, "parsed", u->parsed);
	json_w_str(&s->w, "error", u->error);
	json_w_int(&s->w, "tokens_in", u->tokens_in);
	json_w_int(&s->w, "tokens_out", u->tokens_out);
	json_w_int(&s->w, "seq", u->seq);
	json_w_int(&s->w, "started", u->started_us);
	json_w_int(&s->w, "finished", u->finished_us);
	json_w_end(&s->w);
}

/* Is the k-th turn of t, or one of its statement, in the set already? */
static bool
store_set_has_turn(const struct store_step *steps, size_t from, size_t at,
    size_t from_turn, size_t k)
{
	const struct store_transition *t = steps[at].t;

	for (size_t i = from; i <= at; i++) {
		const struct store_transition *o = steps[i].t;
		if (!steps[i].is_written || !str_eq(o->debate_id, t->debate_id))
			continue;
		size_t end = i == at ? k : o->n_turns;
		for (size_t j = i == from ? from_turn : 0; j < end; j++)
			if (str_eq(o->turns[j].step_key, t->turns[k].step_key))
				return true;
	}
	return false;
}

/* ---- a tenant's rows ---- */

/* In order; a statement ends where it is large enough or where a turn comes a
 * second time. */
static enum err
store_set_turns_of(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n, const char *tenant)
{
	struct store_set s;
	size_t from = 0, from_turn = 0;
	enum err e = ERR_OK;

	store_set_begin(&s);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		const struct store_transition *t = steps[i].t;
		if (!steps[i].is_written || !str_eq(t->tenant, tenant))
			continue;
		for (size_t k = 0; e == ERR_OK && k < t->n_turns; k++) {
			if (store_set_is_full(&s) ||
			    store_set_has_turn(steps, from, i, from_turn, k)) {
				e = store_set_end(
				    &s, db, a, STMT_TURN_UPSERTS, tenant, NULL);
				store_set_begin(&s);
				from = i;
				from_turn = k;
			}
			store_set_turn(&s, t, &t->turns[k]);
		}
	}
	enum err last =
	    store_set_end(&s, db, a, STMT_TURN_UPSERTS, tenant, NULL);
	return e == ERR_OK ? last : e;
}

static enum err
store_set_events_of(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n, const char *tenant)
{
	struct store_set s;
	enum err e = ERR_OK;

	store_set_begin(&s);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		const struct store_transition *t = steps[i].t;
		if (!steps[i].is_written || !str_eq(t->tenant, tenant))
			continue;
		for (size_t k = 0; e == ERR_OK && k < t->n_events; k++) {
			if (store_set_is_full(&s)) {
				e = store_set_end(&s, db, a, STMT_EVENT_INSERTS,
				    tenant, NULL);
				store_set_begin(&s);
			}
			store_set_event(&s, t, &t->events[k]);
		}
	}
	enum err last =
	    store_set_end(&s, db, a, STMT_EVENT_INSERTS, tenant, NULL);
	return e == ERR_OK ? last : e;
}

static bool
store_set_is_first(const struct store_step *steps, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (str_eq(steps[j].t->tenant, steps[i].t->tenant))
			return false;
	return true;
}

enum err
store_set_rows(
    struct db *db, struct arena *a, const struct store_step *steps, size_t n)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		if (!store_set_is_first(steps, i))
			continue;
		e = store_set_events_of(db, a, steps, n, steps[i].t->tenant);
		if (e == ERR_OK)
			e = store_set_turns_of(
			    db, a, steps, n, steps[i].t->tenant);
	}
	return e;
}
