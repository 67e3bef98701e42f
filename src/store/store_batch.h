/* SPDX-License-Identifier: MIT
 *
 * Batches: debates that are asked for together, all of them or none. A batch
 * is its items, an item is a debate; what a batch has come to is read from the
 * debates each time. An item that is tried again has another debate from then
 * on. At its end a batch may owe somebody a message (webhook): a row says so
 * until it was taken or given up, whichever runner sends it and however often
 * one dies.
 */
#pragma once

#include "store/store.h"

#define STORE_BATCH_MAX 1000 /* items */

enum store_webhook_state {
	STORE_WEBHOOK_NONE,
	STORE_WEBHOOK_OWED,
	STORE_WEBHOOK_SENT,
	STORE_WEBHOOK_GIVEN_UP,
	STORE_WEBHOOK__COUNT
};
const char *store_webhook_name(enum store_webhook_state state);

/* What its debates have come to. */
struct store_batch_sums {
	/* pending, processing, completed, partial, failed or cancelled */
	const char *status;
	/* The rest of total was cancelled or taken away. */
	int64_t total, completed, failed, running, queued;
	int64_t started_us, completed_us, updated_us; /* first, last, last */
	int64_t retries;
};

struct store_batch {
	const char *id;
	const char *tenant;
	const char *owner; /* may be NULL */
	int64_t priority;
	int64_t max_parallel;	 /* of its debates at once, 0 = any number */
	const char *metadata;	 /* JSON object */
	const char *webhook_url; /* NULL = none */
	const char *webhook_headers; /* JSON object of strings, or NULL */
	enum store_webhook_state webhook_state;
	int64_t webhook_tries, webhook_due_us, webhook_done_us;
	const char *webhook_error; /* of the last try, NULL = none */
	int64_t created_us;
	struct store_batch_sums sums; /* read only */
	struct store_key *key; /* read and answered by create; NULL = none */
};

struct store_batch_item {
	int64_t place; /* 0.. */
	const char *item_id;
	const char *debate_id;
	int64_t retries;
	const struct store_debate *debate; /* NULL = it was taken away */
};

/* Inserts the batch (id, tenant, owner, priority, max_parallel, metadata,
 * webhook_url and webhook_headers are read) and its n debates, each with the
 * item of the same place, in one transaction. Errors as store_debate_create;
 * *at is the debate that one is about. */
enum err store_batch_create(struct store *store, struct arena *a,
    const struct store_batch *b, const struct store_debate *debates,
    const char *const *item_ids, size_t n, int64_t max_queued, size_t *at,
    struct err_info *info) MUST_CHECK;
/* With its sums. */
enum err store_batch_get(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_batch *out) MUST_CHECK;
/* In order of place; none when there is no such batch. */
enum err store_batch_items(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_batch_item **rows,
    size_t *n) MUST_CHECK;

struct store_batch_filter {
	const char *tenant;
	const char *status; /* NULL = any */
	/* Those older than this place in the order; 0 = from the start. */
	int64_t before_us;
	const char *before_id;
	int64_t limit, offset;
};
/* Newest first, with their sums; *total without limit, offset and place. */
enum err store_batch_list(struct store *store, struct arena *a,
    const struct store_batch_filter *f, struct store_batch **rows, size_t *n,
    int64_t *total) MUST_CHECK;

/* Give items other debates, as create inserts them, and owe the message again:
 * items[i] gets debates[i]. ERR_CONFLICT: somebody else did. */
enum err store_batch_retry(struct store *store, struct arena *a,
    const struct store_batch *b, const struct store_batch_item *items,
    const struct store_debate *debates, size_t n, int64_t max_queued,
    size_t *at, struct err_info *info) MUST_CHECK;

/* ---- the queue of a tenant ---- */
struct store_queue {
	int64_t pending, running;
	int64_t capacity; /* of the runners that were seen, all tenants' */
	int64_t runners;
	int64_t completed_today; /* UTC */
	int64_t wait_us;	 /* mean of those begun lately, 0 = none */
	int64_t end_us; /* when the queue will be done, 0 = not known */
	int64_t batches;
	struct store_batch_state {
		const char *status;
		int64_t n;
	} * states;
	size_t n_states;
};
enum err store_queue_read(struct store *store, struct arena *a,
    const char *tenant, int64_t now_us, int64_t max_age_us,
    struct store_queue *out) MUST_CHECK;

/* ---- messages at the end of batches (runner) ---- */
struct store_webhook {
	const char *tenant;
	const char *batch_id;
	int64_t tries; /* with this one */
};
/* Of batches that are over: at most max, which nobody else gets before
 * lease_us have passed. */
enum err store_webhook_claim(struct store *store, struct arena *a,
    int64_t now_us, int64_t lease_us, int64_t max, struct store_webhook **rows,
    size_t *n) MUST_CHECK;
/* Owed: again at due_us. ERR_FENCED: a later try is under way. */
enum err store_webhook_done(struct store *store, const struct store_webhook *w,
    enum store_webhook_state state, int64_t due_us, const char *error)
    MUST_CHECK;
