/* SPDX-License-Identifier: MIT
 *
 * The event log and the turns: what a debate has done so far.
 */
#include "store/store_tx.h"

enum err
store_event_put(struct db *db, struct arena *a, const char *debate_id,
    const struct store_event *e)
{
	return DB_RUN(db, STMT_EVENT_INSERT, a, NULL, DB_TEXT(debate_id),
	    DB_INT(e->seq), DB_TEXT(e->type), DB_INT(e->round),
	    DB_TEXT(e->agent), DB_INT(e->created_us), DB_TEXT(e->data));
}

struct store_events {
	struct arena *a;
	const char *id;
	int64_t since, limit;
	struct store_event *rows;
	struct store_turn *turns;
	size_t n;
	const char *const *ids;
	int64_t *heads;
};

static enum err
store_event_list_tx(struct db *db, void *arg)
{
	struct store_events *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_EVENT_LIST, q->a, &r, DB_TEXT(q->id),
	    DB_INT(q->since), DB_INT(q->limit));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->rows = ARENA_ARRAY(q->a, r.rows + 1, struct store_event);
	for (size_t i = 0; i < r.rows; i++)
		q->rows[i] = (struct store_event){.seq = db_int(&r, i, 0),
		    .type = db_text(&r, i, 1),
		    .round = db_int(&r, i, 2),
		    .agent = db_text(&r, i, 3),
		    .created_us = db_int(&r, i, 4),
		    .data = db_text(&r, i, 5)};
	return ERR_OK;
}

enum err
store_event_list(struct store *store, struct arena *a, const char *debate_id,
    int64_t since, int64_t limit, struct store_event **rows, size_t *n)
{
	struct store_events q = {
	    .a = a, .id = debate_id, .since = since, .limit = limit};
	enum err e = store_tx(store, false, store_event_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
store_event_heads_tx(struct db *db, void *arg)
{
	struct store_events *q = arg;

	for (size_t i = 0; i < q->n; i++) {
		struct db_result r;
		enum err e =
		    DB_RUN(db, STMT_DEBATE_HEAD, q->a, &r, DB_TEXT(q->ids[i]));
		if (e != ERR_OK)
			return e;
		q->heads[i] = r.rows > 0 ? db_int(&r, 0, 0) : -1;
	}
	return ERR_OK;
}

enum err
store_event_heads(struct store *store, struct arena *a,
    const char *const *debate_ids, size_t n, int64_t *heads)
{
	struct store_events q = {
	    .a = a, .ids = debate_ids, .n = n, .heads = heads};
	return store_tx(store, false, store_event_heads_tx, &q, NULL);
}

enum err
store_turn_put(struct db *db, struct arena *a, const char *debate_id,
    const struct store_turn *t)
{
	return DB_RUN(db, STMT_TURN_UPSERT, a, NULL, DB_TEXT(debate_id),
	    DB_TEXT(t->step_key), DB_INT(t->round), DB_TEXT(t->phase),
	    DB_TEXT(t->agent), DB_TEXT(t->target), DB_TEXT(t->role),
	    DB_INT(t->state), DB_INT(t->attempt), DB_TEXT(t->content),
	    DB_TEXT(t->parsed), DB_TEXT(t->error), DB_INT(t->tokens_in),
	    DB_INT(t->tokens_out), DB_INT(t->seq), DB_INT(t->started_us),
	    DB_INT(t->finished_us));
}

static enum err
store_turn_list_tx(struct db *db, void *arg)
{
	struct store_events *q = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_TURN_LIST, q->a, &r, DB_TEXT(q->id));
	if (e != ERR_OK)
		return e;
	q->n = r.rows;
	q->turns = ARENA_ARRAY(q->a, r.rows + 1, struct store_turn);
	for (size_t i = 0; i < r.rows; i++)
		q->turns[i] = (struct store_turn){.step_key = db_text(&r, i, 0),
		    .round = db_int(&r, i, 1),
		    .phase = db_text(&r, i, 2),
		    .agent = db_text(&r, i, 3),
		    .target = db_text(&r, i, 4),
		    .role = db_text(&r, i, 5),
		    .state = (enum store_turn_state)db_int(&r, i, 6),
		    .attempt = db_int(&r, i, 7),
		    .content = db_text(&r, i, 8),
		    .parsed = db_text(&r, i, 9),
		    .error = db_text(&r, i, 10),
		    .tokens_in = db_int(&r, i, 11),
		    .tokens_out = db_int(&r, i, 12),
		    .seq = db_int(&r, i, 13),
		    .started_us = db_int(&r, i, 14),
		    .finished_us = db_int(&r, i, 15)};
	return ERR_OK;
}

enum err
store_turn_list(struct store *store, struct arena *a, const char *debate_id,
    struct store_turn **rows, size_t *n)
{
	struct store_events q = {.a = a, .id = debate_id};
	enum err e = store_tx(store, false, store_turn_list_tx, &q, NULL);

	*rows = q.turns;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}
