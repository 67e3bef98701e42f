/* SPDX-License-Identifier: MIT
 *
 * An input takes the debate's row, as the writer of the debate does: whatever
 * was accepted before the votes were closed is in the table when they are
 * read.
 */
#include "store/store_human.h"

#include "base/clock.h"
#include "base/str.h"
#include "store/store_key.h"
#include "store/store_tx.h"

struct store_human_call {
	struct arena *a;
	const char *tenant;
	const char *id;
	struct store_human *in;
	struct store_event *event;
	int64_t max;
	enum store_status status;
	int64_t since;
	struct store_human *rows;
	size_t n;
};

/* Why was it not taken? */
static enum err
store_human_look(struct db *db, struct store_human_call *c)
{
	struct db_result r;
	struct store_debate d;

	enum err e = DB_RUN(
	    db, STMT_DEBATE_GET, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	store_debate_from(&r, 0, &d);
	c->status = d.status;
	return ERR_CONFLICT;
}

static enum err
store_human_put(struct db *db, struct store_human_call *c)
{
	const struct store_human *in = c->in;

	enum err e = DB_QUEUE(db, STMT_HUMAN_INSERT, c->a, NULL,
	    DB_TEXT(c->tenant), DB_TEXT(c->id), DB_INT(in->seq),
	    DB_INT(in->kind), DB_TEXT(in->who), DB_TEXT(in->choice),
	    DB_TEXT(in->text), DB_INT(in->intensity), DB_INT(in->created_us));
	if (e != ERR_OK)
		return e;
	return store_event_put(db, c->a, c->tenant, c->id, c->event);
}

/* Taken before, under the same key. */
static enum err
store_human_made(struct store_human_call *c)
{
	const char *seq = c->in->key->ref;

	return str_to_i64(seq, 0, INT64_MAX, &c->in->seq) == ERR_OK
	    ? ERR_OK
	    : ERR_INTERNAL;
}

static enum err
store_human_add_tx(struct db *db, void *arg)
{
	struct store_human_call *c = arg;
	struct store_key *key = c->in->key;
	struct err_info info;
	struct db_result r;

	enum err e = store_key_claim(db, c->a, c->tenant, key, "", &info);
	if (e != ERR_OK)
		return e;
	if (store_key_is_made(key))
		return store_human_made(c);
	e = DB_RUN(
	    db, STMT_DEBATE_HEAR, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return store_human_look(db, c);
	c->event->seq = c->in->seq = db_int(&r, 0, 0);
	c->event->round = db_int(&r, 0, 1);
	c->event->created_us = c->in->created_us = clock_wall_us();
	e = DB_RUN(
	    db, STMT_HUMAN_COUNT, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (db_int(&r, 0, 0) >= c->max)
		return ERR_TOO_LARGE;
	if (key != NULL)
		e = store_key_rename(db, c->a, c->tenant, key,
		    arena_printf(key->a, "%lld", (long long)c->in->seq));
	if (e != ERR_OK)
		return e;
	return store_human_put(db, c);
}

/* After a COMMIT whose answer was lost: once, whichever way it went. */
static enum err
store_human_again_tx(struct db *db, void *arg)
{
	struct store_human_call *c = arg;
	bool is_landed = false;

	enum err e = store_event_landed(
	    db, c->a, c->tenant, c->id, c->event, &is_landed);
	if (e != ERR_OK || is_landed)
		return e;
	return store_human_add_tx(db, arg);
}

enum err
store_human_add(struct store *store, const char *tenant, const char *debate_id,
    struct store_human *in, struct store_event *event, int64_t max,
    enum store_status *status)
{
	struct store_human_call c = {.a = arena_new(0),
	    .tenant = tenant,
	    .id = debate_id,
	    .in = in,
	    .event = event,
	    .max = max};

	enum err e = store_tx(store, DB_WRITE, store_human_add_tx, &c, NULL);
	if (e == ERR_UNCERTAIN)
		e = store_tx(store, DB_WRITE, store_human_again_tx, &c, NULL);
	*status = c.status;
	arena_free(&c.a);
	return e;
}

static enum err
store_human_list_tx(struct db *db, void *arg)
{
	struct store_human_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_HUMAN_LIST, c->a, &r, DB_TEXT(c->tenant),
	    DB_TEXT(c->id), DB_INT(c->since));
	if (e != ERR_OK)
		return e;
	c->n = r.rows;
	c->rows = ARENA_ARRAY(c->a, r.rows + 1, struct store_human);
	for (size_t i = 0; i < r.rows; i++)
		c->rows[i] = (struct store_human){.seq = db_int(&r, i, 0),
		    .kind = db_int(&r, i, 1) == STORE_HUMAN_VOTE
			? STORE_HUMAN_VOTE
			: STORE_HUMAN_SUGGESTION,
		    .who = db_text(&r, i, 2),
		    .choice = db_text(&r, i, 3),
		    .text = db_text(&r, i, 4),
		    .intensity = db_int(&r, i, 5),
		    .created_us = db_int(&r, i, 6)};
	return ERR_OK;
}

enum err
store_human_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, int64_t since, struct store_human **rows, size_t *n)
{
	struct store_human_call c = {
	    .a = a, .tenant = tenant, .id = debate_id, .since = since};
	enum err e =
	    store_tx(store, DB_READ_ONE, store_human_list_tx, &c, NULL);

	*rows = c.rows;
	*n = e == ERR_OK ? c.n : 0;
	return e;
}
