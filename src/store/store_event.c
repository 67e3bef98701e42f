/* SPDX-License-Identifier: MIT
 *
 * The event log: what a debate has told so far.
 */
#include "base/str.h"
#include "store/store_tx.h"

enum err
store_event_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_event *e)
{
	return DB_QUEUE(db, STMT_EVENT_INSERT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(debate_id), DB_INT(e->seq), DB_TEXT(e->type),
	    DB_INT(e->round), DB_TEXT(e->agent), DB_INT(e->created_us),
	    DB_TEXT(e->data));
}

enum err
store_event_landed(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_event *e, bool *is_landed)
{
	struct db_result r;

	/* Whoever sent the first try still holds the row while it runs; after
	 * this, that try is either in the table or will never be. */
	enum err err = DB_RUN(
	    db, STMT_DEBATE_LOCK, a, NULL, DB_TEXT(tenant), DB_TEXT(debate_id));
	if (err == ERR_OK)
		err = DB_RUN(db, STMT_EVENT_LIST, a, &r, DB_TEXT(tenant),
		    DB_TEXT(debate_id), DB_INT(e->seq - 1), DB_INT(1));
	*is_landed = err == ERR_OK && r.rows == 1 &&
	    db_int(&r, 0, 0) == e->seq && str_eq(db_text(&r, 0, 1), e->type) &&
	    db_int(&r, 0, 4) == e->created_us;
	return err;
}

struct store_events {
	struct arena *a;
	const char *tenant;
	const char *id;
	const char *type; /* NULL = any */
	int64_t since, limit;
	struct store_event *rows;
	size_t n;
	const char *ids; /* JSON */
	int64_t *heads;
};

static enum err
store_event_list_tx(struct db *db, void *arg)
{
	struct store_events *q = arg;
	struct db_result r;

	enum err e = q->type == NULL
	    ? DB_RUN(db, STMT_EVENT_LIST, q->a, &r, DB_TEXT(q->tenant),
		  DB_TEXT(q->id), DB_INT(q->since), DB_INT(q->limit))
	    : DB_RUN(db, STMT_EVENT_LIST_TYPE, q->a, &r, DB_TEXT(q->tenant),
		  DB_TEXT(q->id), DB_TEXT(q->type), DB_INT(q->limit));
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
		    .data = db_text(&r, i, 5),
		    .trace_parent = db_text(&r, i, 6)};
	return ERR_OK;
}

enum err
store_event_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, int64_t since, int64_t limit,
    struct store_event **rows, size_t *n)
{
	struct store_events q = {.a = a,
	    .tenant = tenant,
	    .id = debate_id,
	    .since = since,
	    .limit = limit};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_event_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

enum err
store_event_list_type(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, const char *type, int64_t limit,
    struct store_event **rows, size_t *n)
{
	struct store_events q = {.a = a,
	    .tenant = tenant,
	    .id = debate_id,
	    .type = type,
	    .limit = limit};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_event_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}

static enum err
store_event_heads_tx(struct db *db, void *arg)
{
	struct store_events *q = arg;
	struct db_result r;

	for (size_t i = 0; i < q->n; i++)
		q->heads[i] = -1;
	enum err e = DB_RUN(db, STMT_DEBATE_HEADS, q->a, &r, DB_TEXT(q->ids));
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++)
		q->heads[db_int(&r, i, 0)] = db_int(&r, i, 1);
	return e;
}

enum err
store_event_heads(struct store *store, struct arena *a,
    const char *const *debate_ids, size_t n, int64_t *heads)
{
	if (n == 0)
		return ERR_OK;
	struct store_events q = {.a = a,
	    .ids = store_id_list(a, debate_ids, NULL, n),
	    .n = n,
	    .heads = heads};
	return store_tx(store, DB_READ_ONE, store_event_heads_tx, &q, NULL);
}
