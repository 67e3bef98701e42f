/* SPDX-License-Identifier: MIT
 *
 * The turns: one row per model call.
 */
#include <stdlib.h>
#include <string.h>

#include "store/store_tx.h"

enum err
store_turn_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_turn *t)
{
	return DB_QUEUE(db, STMT_TURN_UPSERT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(debate_id), DB_TEXT(t->step_key), DB_INT(t->round),
	    DB_TEXT(t->phase), DB_TEXT(t->agent), DB_TEXT(t->target),
	    DB_TEXT(t->role), DB_INT(t->state), DB_INT(t->attempt),
	    DB_TEXT(t->content), DB_TEXT(t->parsed), DB_TEXT(t->error),
	    DB_INT(t->tokens_in), DB_INT(t->tokens_out), DB_INT(t->seq),
	    DB_INT(t->started_us), DB_INT(t->finished_us));
}

struct store_turns {
	struct arena *a;
	const char *tenant;
	const char *id;
	struct store_turn *rows;
	size_t n;
};

/* Sorted here: the order of texts is another one in each database. */
static int
store_turn_order(const void *x, const void *y)
{
	const struct store_turn *a = x;
	const struct store_turn *b = y;

	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return strcmp(a->step_key, b->step_key);
}

void
store_turns_from(const struct db_result *r, struct arena *a,
    struct store_turn **rows, size_t *n)
{
	struct store_turn *t = ARENA_ARRAY(a, r->rows + 1, struct store_turn);

	for (size_t i = 0; i < r->rows; i++)
		t[i] = (struct store_turn){.step_key = db_text(r, i, 0),
		    .round = db_int(r, i, 1),
		    .phase = db_text(r, i, 2),
		    .agent = db_text(r, i, 3),
		    .target = db_text(r, i, 4),
		    .role = db_text(r, i, 5),
		    .state = (enum store_turn_state)db_int(r, i, 6),
		    .attempt = db_int(r, i, 7),
		    .content = db_text(r, i, 8),
		    .parsed = db_text(r, i, 9),
		    .error = db_text(r, i, 10),
		    .tokens_in = db_int(r, i, 11),
		    .tokens_out = db_int(r, i, 12),
		    .seq = db_int(r, i, 13),
		    .started_us = db_int(r, i, 14),
		    .finished_us = db_int(r, i, 15),
		    .key_attempt = db_int(r, i, 16)};
	qsort(t, r->rows, sizeof(*t), store_turn_order);
	*rows = t;
	*n = r->rows;
}

static enum err
store_turn_list_tx(struct db *db, void *arg)
{
	struct store_turns *q = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_TURN_LIST, q->a, &r, DB_TEXT(q->tenant), DB_TEXT(q->id));
	if (e == ERR_OK)
		store_turns_from(&r, q->a, &q->rows, &q->n);
	return e;
}

enum err
store_turn_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_turn **rows, size_t *n)
{
	struct store_turns q = {.a = a, .tenant = tenant, .id = debate_id};
	enum err e = store_tx(store, DB_READ_ONE, store_turn_list_tx, &q, NULL);

	*rows = q.rows;
	*n = e == ERR_OK ? q.n : 0;
	return e;
}
