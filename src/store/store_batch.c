/* SPDX-License-Identifier: MIT */
#include "store/store_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "store/store_budget.h"
#include "store/store_key.h"
#include "store/store_tx.h"

#define BATCH_DAY_US INT64_C(86400000000)
#define BATCH_PACE   50 /* debates that tell how long one takes */

struct batch_call {
	struct arena *a;
	const struct store_batch *b;
	const struct store_batch_item *items;
	const struct store_debate *debates;
	const char *const *item_ids;
	size_t n;
	int64_t max_queued;
	size_t at;
	bool is_uncertain; /* an earlier COMMIT of the same */
	struct err_info *info;
	/* reads */
	const char *tenant, *id;
	struct store_batch *out;
	struct store_batch_item *rows;
	size_t n_rows;
};

const char *
store_webhook_name(enum store_webhook_state state)
{
	static const char *const names[STORE_WEBHOOK__COUNT] = {
	    "none", "waiting", "sent", "given_up"};

	return names[state];
}

/* ---- write ---- */

/* All debates of one asker: where the first has no limits, none has. */
static enum err
batch_put(struct db *db, struct batch_call *c)
{
	enum err e = ERR_OK;

	for (c->at = 0; c->at < c->n; c->at++) {
		const struct store_debate *d = &c->debates[c->at];
		const struct store_budget_ask *first = c->debates[0].budget;
		bool is_limited =
		    c->at == 0 || (first != NULL && first->is_granted);
		e = store_debate_put(
		    db, c->a, d, is_limited ? d->budget : NULL, c->info);
		if (e != ERR_OK)
			return e;
	}
	c->at = 0;
	return ERR_OK;
}

static enum err
batch_insert(struct db *db, struct batch_call *c)
{
	const struct store_batch *b = c->b;

	enum err e = DB_QUEUE(db, STMT_BATCH_INSERT, c->a, NULL,
	    DB_TEXT(b->tenant), DB_TEXT(b->id), DB_TEXT(b->owner),
	    DB_INT(b->priority), DB_INT(b->max_parallel), DB_TEXT(b->metadata),
	    DB_TEXT(b->webhook_url), DB_TEXT(b->webhook_headers),
	    DB_INT(b->webhook_url != NULL ? STORE_WEBHOOK_OWED
					  : STORE_WEBHOOK_NONE),
	    DB_INT(clock_wall_us()));
	for (size_t i = 0; e == ERR_OK && i < c->n; i++)
		e = DB_QUEUE(db, STMT_BATCH_ITEM_INSERT, c->a, NULL,
		    DB_TEXT(b->tenant), DB_TEXT(b->id), DB_INT((int64_t)i),
		    DB_TEXT(c->item_ids[i]), DB_TEXT(c->debates[i].id));
	return e;
}

/* Of a batch with a bound, behind its items and debates. */
static enum err
batch_bind(struct db *db, struct batch_call *c)
{
	if (c->b->max_parallel == 0)
		return ERR_OK;
	return DB_QUEUE(db, STMT_BATCH_BIND, c->a, NULL, DB_TEXT(c->b->tenant),
	    DB_TEXT(c->b->id));
}

static enum err
batch_create_tx(struct db *db, void *arg)
{
	struct batch_call *c = arg;
	const struct store_batch *b = c->b;
	struct db_result r;

	enum err e =
	    store_key_claim(db, c->a, b->tenant, b->key, b->id, c->info);
	if (e != ERR_OK || store_key_is_made(b->key))
		return e;
	if (c->is_uncertain) {
		e = DB_RUN(db, STMT_BATCH_GET, c->a, &r, DB_TEXT(b->tenant),
		    DB_TEXT(b->id));
		if (e != ERR_OK || r.rows > 0)
			return e;
	}
	e = store_debate_room(
	    db, c->a, &c->debates[0], (int64_t)c->n, c->max_queued, c->info);
	if (e == ERR_OK)
		e = batch_insert(db, c);
	if (e == ERR_OK)
		e = batch_put(db, c);
	return e == ERR_OK ? batch_bind(db, c) : e;
}

static enum err
batch_write(struct store *store, struct batch_call *c, store_tx_fn fn)
{
	enum err e = store_tx(store, DB_WRITE, fn, c, c->info);

	if (e == ERR_UNCERTAIN) {
		c->is_uncertain = true;
		e = store_tx(store, DB_WRITE, fn, c, c->info);
		if (e != ERR_OK && e != ERR_CONFLICT)
			e = ERR_UNCERTAIN;
	}
	if (c->b->key != NULL && e != ERR_OK)
		c->b->key->ref = NULL;
	return e;
}

enum err
store_batch_create(struct store *store, struct arena *a,
    const struct store_batch *b, const struct store_debate *debates,
    const char *const *item_ids, size_t n, int64_t max_queued, size_t *at,
    struct err_info *info)
{
	struct batch_call c = {.a = a,
	    .b = b,
	    .debates = debates,
	    .item_ids = item_ids,
	    .n = n,
	    .max_queued = max_queued,
	    .info = info};
	enum err e = batch_write(store, &c, batch_create_tx);

	*at = c.at;
	return e;
}

/* Each item has its new debate already? Then an uncertain COMMIT landed. */
static enum err
batch_retry_landed(struct db *db, struct batch_call *c, bool *is_landed)
{
	struct db_result r;

	*is_landed = false;
	if (!c->is_uncertain)
		return ERR_OK;
	enum err e = DB_RUN(db, STMT_DEBATE_GET, c->a, &r,
	    DB_TEXT(c->b->tenant), DB_TEXT(c->debates[0].id));
	*is_landed = e == ERR_OK && r.rows > 0;
	return e;
}

static enum err
batch_retry_tx(struct db *db, void *arg)
{
	struct batch_call *c = arg;
	const struct store_batch *b = c->b;
	struct db_result r;
	bool is_landed;

	enum err e =
	    store_key_claim(db, c->a, b->tenant, b->key, b->id, c->info);
	if (e != ERR_OK || store_key_is_made(b->key))
		return e;
	e = batch_retry_landed(db, c, &is_landed);
	if (e != ERR_OK || is_landed)
		return e;
	e = store_debate_room(
	    db, c->a, &c->debates[0], (int64_t)c->n, c->max_queued, c->info);
	if (e == ERR_OK)
		e = batch_put(db, c);
	for (size_t i = 0; e == ERR_OK && i < c->n; i++) {
		e = DB_RUN(db, STMT_BATCH_ITEM_AGAIN, c->a, &r,
		    DB_TEXT(b->tenant), DB_TEXT(b->id),
		    DB_INT(c->items[i].place), DB_TEXT(c->items[i].debate_id),
		    DB_TEXT(c->debates[i].id));
		if (e == ERR_OK && r.rows == 0)
			e = err_set(c->info, ERR_CONFLICT, "",
			    "the batch was tried again by somebody else");
	}
	if (e == ERR_OK)
		e = batch_bind(db, c);
	if (e != ERR_OK)
		return e;
	return DB_QUEUE(db, STMT_WEBHOOK_ARM, c->a, NULL, DB_TEXT(b->tenant),
	    DB_TEXT(b->id), DB_INT(clock_wall_us()));
}

enum err
store_batch_retry(struct store *store, struct arena *a,
    const struct store_batch *b, const struct store_batch_item *items,
    const struct store_debate *debates, size_t n, int64_t max_queued,
    size_t *at, struct err_info *info)
{
	struct batch_call c = {.a = a,
	    .b = b,
	    .items = items,
	    .debates = debates,
	    .n = n,
	    .max_queued = max_queued,
	    .info = info};
	enum err e = batch_write(store, &c, batch_retry_tx);

	*at = c.at;
	return e;
}

/* ---- read ---- */

static struct store_batch
batch_from(const struct db_result *r, size_t row)
{
	int64_t state = db_int(r, row, 8);

	return (struct store_batch){.id = db_text(r, row, 0),
	    .tenant = db_text(r, row, 1),
	    .owner = db_text(r, row, 2),
	    .priority = db_int(r, row, 3),
	    .max_parallel = db_int(r, row, 4),
	    .metadata = db_text(r, row, 5),
	    .webhook_url = db_text(r, row, 6),
	    .webhook_headers = db_text(r, row, 7),
	    .webhook_state = state >= 0 && state < STORE_WEBHOOK__COUNT
		? (enum store_webhook_state)state
		: STORE_WEBHOOK_NONE,
	    .webhook_tries = db_int(r, row, 9),
	    .webhook_due_us = db_int(r, row, 10),
	    .webhook_done_us = db_int(r, row, 11),
	    .webhook_error = db_text(r, row, 12),
	    .created_us = db_int(r, row, 13)};
}

static struct store_batch_sums
batch_sums_from(const struct db_result *r)
{
	return (struct store_batch_sums){.status = db_text(r, 0, 0),
	    .total = db_int(r, 0, 1),
	    .completed = db_int(r, 0, 2),
	    .failed = db_int(r, 0, 3),
	    .running = db_int(r, 0, 4),
	    .queued = db_int(r, 0, 5),
	    .started_us = db_int(r, 0, 6),
	    .completed_us = db_int(r, 0, 7),
	    .updated_us = db_int(r, 0, 8),
	    .retries = db_int(r, 0, 9)};
}

static enum err
batch_get_tx(struct db *db, void *arg)
{
	struct batch_call *c = arg;
	struct db_result r, sums;

	enum err e = DB_QUEUE(
	    db, STMT_BATCH_GET, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_BATCH_SUMS, c->a, &sums, DB_TEXT(c->tenant),
		    DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*c->out = batch_from(&r, 0);
	c->out->sums = batch_sums_from(&sums);
	return ERR_OK;
}

enum err
store_batch_get(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_batch *out)
{
	struct batch_call c = {.a = a, .tenant = tenant, .id = id, .out = out};

	return store_tx(store, DB_READ, batch_get_tx, &c, NULL);
}

static int
batch_compare(const void *x, const void *y)
{
	const struct store_debate *a = x;
	const struct store_debate *b = y;

	return strcmp(a->id, b->id);
}

static enum err
batch_items_tx(struct db *db, void *arg)
{
	struct batch_call *c = arg;
	struct db_result r, debates;

	enum err e = DB_QUEUE(
	    db, STMT_BATCH_ITEMS, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_BATCH_DEBATES, c->a, &debates,
		    DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	struct store_debate *rows =
	    ARENA_ARRAY(c->a, debates.rows + 1, struct store_debate);
	for (size_t i = 0; i < debates.rows; i++)
		store_debate_from(&debates, i, &rows[i]);
	qsort(rows, debates.rows, sizeof(*rows), batch_compare);
	c->n_rows = r.rows;
	c->rows = ARENA_ARRAY(c->a, r.rows + 1, struct store_batch_item);
	for (size_t i = 0; i < r.rows; i++) {
		const struct store_debate wanted = {.id = db_text(&r, i, 2)};
		c->rows[i] =
		    (struct store_batch_item){.place = db_int(&r, i, 0),
			.item_id = db_text(&r, i, 1),
			.debate_id = wanted.id,
			.retries = db_int(&r, i, 3),
			.debate = bsearch(&wanted, rows, debates.rows,
			    sizeof(*rows), batch_compare)};
	}
	return ERR_OK;
}

enum err
store_batch_items(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_batch_item **rows, size_t *n)
{
	struct batch_call c = {.a = a, .tenant = tenant, .id = id};
	enum err e = store_tx(store, DB_READ, batch_items_tx, &c, NULL);

	*rows = c.rows;
	*n = e == ERR_OK ? c.n_rows : 0;
	return e;
}

struct batch_list {
	struct arena *a;
	const struct store_batch_filter *f;
	struct store_batch *rows;
	size_t n;
	int64_t total;
};

static enum err
batch_list_tx(struct db *db, void *arg)
{
	struct batch_list *l = arg;
	const struct store_batch_filter *f = l->f;
	const char *status = f->status != NULL ? f->status : "";
	struct db_result r, count;

	enum err e = DB_QUEUE(db, STMT_BATCH_COUNT, l->a, &count,
	    DB_TEXT(f->tenant), DB_TEXT(status));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_BATCH_LIST, l->a, &r, DB_TEXT(f->tenant),
		    DB_TEXT(status),
		    DB_INT(f->before_us > 0 ? f->before_us : INT64_MAX),
		    DB_TEXT(f->before_id != NULL ? f->before_id : ""),
		    DB_INT(f->limit), DB_INT(f->offset));
	if (e != ERR_OK)
		return e;
	struct db_result *sums =
	    ARENA_ARRAY(l->a, r.rows + 1, struct db_result);
	l->total = db_int(&count, 0, 0);
	l->rows = ARENA_ARRAY(l->a, r.rows + 1, struct store_batch);
	for (size_t i = 0; e == ERR_OK && i < r.rows; i++) {
		l->rows[i] = batch_from(&r, i);
		e = DB_QUEUE(db, STMT_BATCH_SUMS, l->a, &sums[i],
		    DB_TEXT(f->tenant), DB_TEXT(l->rows[i].id));
	}
	if (e == ERR_OK)
		e = db_sync(db);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < r.rows; i++)
		l->rows[i].sums = batch_sums_from(&sums[i]);
	l->n = r.rows;
	return ERR_OK;
}

enum err
store_batch_list(struct store *store, struct arena *a,
    const struct store_batch_filter *f, struct store_batch **rows, size_t *n,
    int64_t *total)
{
	struct batch_list l = {.a = a, .f = f};
	enum err e = store_tx(store, DB_READ, batch_list_tx, &l, NULL);

	*rows = l.rows;
	*n = e == ERR_OK ? l.n : 0;
	*total = l.total;
	return e;
}

/* ---- queue ---- */

struct batch_queue {
	struct arena *a;
	const char *tenant;
	int64_t now_us, max_age_us;
	struct store_queue *q;
};

/* When all that waits and runs will be done, as long as debates take now. */
static int64_t
batch_queue_end(const struct store_queue *q, int64_t pace_us, int64_t now_us)
{
	int64_t left = q->pending + q->running;

	if (left == 0 || q->capacity == 0 || pace_us == 0)
		return 0;
	return now_us + (left + q->capacity - 1) / q->capacity * pace_us;
}

static void
batch_queue_states(struct batch_queue *b, const struct db_result *r)
{
	struct store_queue *q = b->q;

	q->n_states = r->rows;
	q->states = ARENA_ARRAY(b->a, r->rows + 1, struct store_batch_state);
	for (size_t i = 0; i < r->rows; i++) {
		q->states[i].status = db_text(r, i, 0);
		q->states[i].n = db_int(r, i, 1);
		q->batches += q->states[i].n;
	}
}

static enum err
batch_queue_tx(struct db *db, void *arg)
{
	struct batch_queue *b = arg;
	struct db_result load, past, states, pace, runners;
	int64_t today = b->now_us - b->now_us % BATCH_DAY_US;
	struct store_queue *q = b->q;

	*q = (struct store_queue){0};
	enum err e =
	    DB_QUEUE(db, STMT_QUEUE_LOAD, b->a, &load, DB_TEXT(b->tenant));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_QUEUE_PAST, b->a, &past,
		    DB_TEXT(b->tenant), DB_INT(today - BATCH_DAY_US),
		    DB_INT(today));
	if (e == ERR_OK)
		e = DB_QUEUE(
		    db, STMT_BATCH_STATES, b->a, &states, DB_TEXT(b->tenant));
	if (e == ERR_OK)
		e = DB_QUEUE(db, STMT_DEBATE_PACE, b->a, &pace,
		    DB_TEXT(b->tenant), DB_INT(BATCH_PACE));
	if (e == ERR_OK)
		e = DB_RUN(db, STMT_RUNNER_LIST, b->a, &runners,
		    DB_INT(b->now_us - b->max_age_us));
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < load.rows; i++)
		*(str_eq(db_text(&load, i, 0), "pending") ? &q->pending
							  : &q->running) =
		    db_int(&load, i, 1);
	for (size_t i = 0; i < runners.rows; i++)
		q->capacity += db_int(&runners, i, 3);
	q->runners = (int64_t)runners.rows;
	q->completed_today = db_int(&past, 0, 0);
	if (db_int(&past, 0, 1) > 0)
		q->wait_us = db_int(&past, 0, 2) / db_int(&past, 0, 1);
	q->end_us = batch_queue_end(q, db_int(&pace, 0, 0), b->now_us);
	batch_queue_states(b, &states);
	return ERR_OK;
}

enum err
store_queue_read(struct store *store, struct arena *a, const char *tenant,
    int64_t now_us, int64_t max_age_us, struct store_queue *out)
{
	struct batch_queue b = {.a = a,
	    .tenant = tenant,
	    .now_us = now_us,
	    .max_age_us = max_age_us,
	    .q = out};

	return store_tx(store, DB_READ, batch_queue_tx, &b, NULL);
}

/* ---- webhooks ---- */

struct batch_hook {
	struct arena *a;
	int64_t now_us, lease_us, max;
	struct store_webhook *rows;
	size_t n;
	const struct store_webhook *w;
	enum store_webhook_state state;
	int64_t due_us;
	const char *error;
};

static enum err
webhook_claim_tx(struct db *db, void *arg)
{
	struct batch_hook *h = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_WEBHOOK_CLAIM, h->a, &r, DB_INT(h->now_us),
	    DB_INT(h->now_us + h->lease_us), DB_INT(h->max));
	if (e != ERR_OK)
		return e;
	h->n = r.rows;
	h->rows = ARENA_ARRAY(h->a, r.rows + 1, struct store_webhook);
	for (size_t i = 0; i < r.rows; i++)
		h->rows[i] =
		    (struct store_webhook){.batch_id = db_text(&r, i, 0),
			.tenant = db_text(&r, i, 1),
			.tries = db_int(&r, i, 2)};
	return ERR_OK;
}

enum err
store_webhook_claim(struct store *store, struct arena *a, int64_t now_us,
    int64_t lease_us, int64_t max, struct store_webhook **rows, size_t *n)
{
	struct batch_hook h = {
	    .a = a, .now_us = now_us, .lease_us = lease_us, .max = max};
	enum err e = store_tx(store, DB_WRITE, webhook_claim_tx, &h, NULL);

	*rows = h.rows;
	*n = e == ERR_OK ? h.n : 0;
	return e;
}

static enum err
webhook_done_tx(struct db *db, void *arg)
{
	struct batch_hook *h = arg;
	bool is_over = h->state != STORE_WEBHOOK_OWED;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_WEBHOOK_DONE, h->a, &r,
	    DB_TEXT(h->w->tenant), DB_TEXT(h->w->batch_id), DB_INT(h->w->tries),
	    DB_INT(h->state), DB_INT(h->due_us),
	    DB_INT(is_over ? clock_wall_us() : 0), DB_TEXT(h->error));
	return e == ERR_OK && r.rows == 0 ? ERR_FENCED : e;
}

enum err
store_webhook_done(struct store *store, const struct store_webhook *w,
    enum store_webhook_state state, int64_t due_us, const char *error)
{
	struct batch_hook h = {.a = arena_new(0),
	    .w = w,
	    .state = state,
	    .due_us = due_us,
	    .error = error};
	enum err e = store_tx(store, DB_WRITE, webhook_done_tx, &h, NULL);

	arena_free(&h.a);
	return e;
}
