/* SPDX-License-Identifier: MIT
 *
 * Batches: all or none, read from their debates, tried again, their message
 * owed until somebody takes it; and Idempotency-Keys for all that makes
 * something.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "store/store_batch.h"
#include "store/store_evidence.h"
#include "store/store_human.h"
#include "store/store_key.h"
#include "tests/store/store_kit.h"

#define BATCH_QUEUE 10
#define BATCH_US    INT64_C(1000000)

static struct store_key
batch_key(struct arena *a, const char *text, const char *hash)
{
	return (struct store_key){
	    .a = a, .text = text, .target = "POST /batch", .hash = hash};
}

/* n debates "<id>-0".. as one batch. */
static enum err
batch_create(struct arena *a, const char *tenant, const char *id, size_t n,
    struct store_key *key, struct err_info *info)
{
	struct store_debate *rows = ARENA_ARRAY(a, n, struct store_debate);
	const char **items = ARENA_ARRAY(a, n, const char *);
	const struct store_batch b = {.id = id,
	    .tenant = tenant,
	    .metadata = "{\"a\":1}",
	    .webhook_url = "https://example.org/",
	    .key = key};
	size_t at;

	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct store_debate){
		    .id = arena_printf(a, "%s-%zu", id, i),
		    .tenant = tenant,
		    .task = "t",
		    .config = "{}",
		    .total_rounds = 2,
		    .priority = (int64_t)i};
		items[i] = arena_printf(a, "item_%zu", i);
	}
	return store_batch_create(
	    kit.store, a, &b, rows, items, n, BATCH_QUEUE, &at, info);
}

static struct store_batch
batch_read(const char *id)
{
	struct store_batch b;

	ck_assert_int_eq(
	    store_batch_get(kit.store, kit.arena, STORE_TENANT_DEFAULT, id, &b),
	    ERR_OK);
	return b;
}

static int64_t
batch_pending(void)
{
	struct store_counts now;

	ck_assert_int_eq(store_debate_counts(kit.store, &now), ERR_OK);
	return now.pending;
}

static void
batch_end(const char *id, enum store_status status)
{
	struct store_debate d;
	struct store_event event = {.type = "debate_end", .data = "{}"};

	if (status == STORE_CANCELLED) {
		ck_assert_int_eq(store_debate_cancel(kit.store,
				     STORE_TENANT_DEFAULT, id, &event),
		    ERR_OK);
		return;
	}
	ck_assert_int_eq(
	    store_claim_one(kit.store, kit.arena, "r1", KIT_LEASE_US, id, &d),
	    ERR_OK);
	ck_assert_int_eq(kit_step(&d, 1, status), ERR_OK);
}

START_TEST(test_all_or_none)
{
	struct err_info info = {0};
	struct store_batch_item *items;
	size_t n;

	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 7, NULL, &info),
	    ERR_OK);
	ck_assert_int_eq(batch_pending(), 7);
	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b2", 4, NULL, &info),
	    ERR_BUSY);
	ck_assert_str_eq(info.field, "queue");
	ck_assert_int_eq(batch_pending(), 7);
	/* One of its ids is taken: nothing of it is there. */
	ck_assert_int_eq(
	    batch_create(kit.arena, "other", "b1", 2, NULL, &info), ERR_EXISTS);
	ck_assert_int_eq(batch_pending(), 7);
	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b2", 3, NULL, &info),
	    ERR_OK);
	ck_assert_int_eq(batch_pending(), 10);
	ck_assert_int_eq(store_batch_items(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "b1", &items, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 7);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(items[i].place, (int64_t)i);
		ck_assert_str_eq(
		    items[i].debate->id, arena_printf(kit.arena, "b1-%zu", i));
		ck_assert_int_eq(items[i].debate->priority, (int64_t)i);
	}
	ck_assert_str_eq(batch_read("b1").metadata, "{\"a\":1}");
}
END_TEST

/* What a batch has come to, whatever its debates are. */
START_TEST(test_status)
{
	static const struct {
		enum store_status ends[3];
		size_t n;
		const char *status;
	} cases[] = {{{STORE_PENDING}, 0, "pending"},
	    {{STORE_COMPLETED}, 1, "processing"},
	    {{STORE_COMPLETED, STORE_COMPLETED, STORE_COMPLETED}, 3,
		"completed"},
	    {{STORE_COMPLETED, STORE_FAILED, STORE_CANCELLED}, 3, "partial"},
	    {{STORE_FAILED, STORE_CANCELLED, STORE_FAILED}, 3, "failed"},
	    {{STORE_CANCELLED, STORE_CANCELLED, STORE_CANCELLED}, 3,
		"cancelled"}};
	struct err_info info = {0};
	struct store_batch *rows;
	struct store_batch_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .limit = 100};
	struct store_queue q;
	int64_t total;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *id = arena_printf(kit.arena, "b%zu", i);
		ck_assert_int_eq(batch_create(kit.arena, STORE_TENANT_DEFAULT,
				     id, 3, NULL, &info),
		    ERR_OK);
		for (size_t k = 0; k < cases[i].n; k++)
			batch_end(arena_printf(kit.arena, "%s-%zu", id, k),
			    cases[i].ends[k]);
		struct store_batch b = batch_read(id);
		ck_assert_str_eq(b.sums.status, cases[i].status);
		ck_assert_int_eq(b.sums.total, 3);
		f.status = cases[i].status;
		ck_assert_int_eq(store_batch_list(kit.store, kit.arena, &f,
				     &rows, &n, &total),
		    ERR_OK);
		ck_assert_uint_eq(n, 1);
		ck_assert_str_eq(rows[0].id, id);
	}
	f.status = NULL;
	ck_assert_int_eq(
	    store_batch_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, ARRAY_LEN(cases));
	ck_assert_str_eq(rows[0].id, "b5"); /* the newest */
	ck_assert_int_eq(
	    store_queue_read(kit.store, kit.arena, STORE_TENANT_DEFAULT,
		clock_wall_us(), BATCH_US, &q),
	    ERR_OK);
	ck_assert_int_eq(q.batches, ARRAY_LEN(cases));
	ck_assert_uint_eq(q.n_states, ARRAY_LEN(cases));
	ck_assert_int_eq(q.pending, 5);
	ck_assert_int_eq(q.running, 0);
	ck_assert_int_eq(q.completed_today, 5);
	ck_assert_int_eq(q.capacity, 0);
	ck_assert_int_eq(q.end_us, 0);
}
END_TEST

START_TEST(test_deleted)
{
	struct err_info info = {0};
	struct store_batch_item *items;
	size_t n;

	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 2, NULL, &info),
	    ERR_OK);
	batch_end("b1-0", STORE_COMPLETED);
	ck_assert_int_eq(
	    store_debate_delete(kit.store, STORE_TENANT_DEFAULT, "b1-1"),
	    ERR_OK);
	ck_assert_int_eq(store_batch_items(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "b1", &items, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_ptr_nonnull(items[0].debate);
	ck_assert_ptr_null(items[1].debate);
	ck_assert_str_eq(batch_read("b1").sums.status, "partial");
}
END_TEST

START_TEST(test_pages)
{
	struct err_info info = {0};
	struct store_batch *rows;
	struct store_batch_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .limit = 2};
	const char *seen = "";
	int64_t total;
	size_t n = 2;

	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(
		    batch_create(kit.arena, STORE_TENANT_DEFAULT,
			arena_printf(kit.arena, "b%d", i), 1, NULL, &info),
		    ERR_OK);
	for (int page = 0; n == 2; page++) {
		ck_assert_int_eq(store_batch_list(kit.store, kit.arena, &f,
				     &rows, &n, &total),
		    ERR_OK);
		for (size_t i = 0; i < n; i++)
			seen = arena_printf(
			    kit.arena, "%s%s", seen, rows[i].id + 1);
		if (n == 0)
			break;
		f.before_us = rows[n - 1].created_us;
		f.before_id = rows[n - 1].id;
		/* A newer one, in front of what was read. */
		ck_assert_int_eq(
		    batch_create(kit.arena, STORE_TENANT_DEFAULT,
			arena_printf(kit.arena, "n%d", page), 1, NULL, &info),
		    ERR_OK);
	}
	ck_assert_str_eq(seen, "43210");
}
END_TEST

static enum err
batch_again(const char *debate_id, const char *new_id)
{
	struct store_batch b = batch_read("b1");
	const struct store_batch_item item = {
	    .place = 1, .debate_id = debate_id};
	const struct store_debate d = {.id = new_id,
	    .tenant = STORE_TENANT_DEFAULT,
	    .task = "t",
	    .config = "{}"};
	struct err_info info;
	size_t at;

	return store_batch_retry(
	    kit.store, kit.arena, &b, &item, &d, 1, BATCH_QUEUE, &at, &info);
}

START_TEST(test_retry)
{
	struct err_info info = {0};
	struct store_batch_item *items;
	size_t n;

	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 2, NULL, &info),
	    ERR_OK);
	batch_end("b1-0", STORE_COMPLETED);
	batch_end("b1-1", STORE_FAILED);
	ck_assert_str_eq(batch_read("b1").sums.status, "partial");
	ck_assert_int_eq(batch_again("b1-1", "again"), ERR_OK);
	ck_assert_int_eq(batch_again("b1-1", "too"), ERR_CONFLICT);
	ck_assert_int_eq(batch_pending(), 1);
	ck_assert_int_eq(store_batch_items(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "b1", &items, &n),
	    ERR_OK);
	ck_assert_str_eq(items[1].debate->id, "again");
	ck_assert_str_eq(items[1].item_id, "item_1");
	ck_assert_int_eq(items[1].retries, 1);
	ck_assert_str_eq(batch_read("b1").sums.status, "processing");
	batch_end("again", STORE_COMPLETED);
	ck_assert_str_eq(batch_read("b1").sums.status, "completed");
}
END_TEST

static size_t
batch_owed(int64_t now_us, struct store_webhook **rows)
{
	size_t n;

	ck_assert_int_eq(store_webhook_claim(kit.store, kit.arena, now_us,
			     BATCH_US, 10, rows, &n),
	    ERR_OK);
	return n;
}

/* Owed once it is over, by one runner at a time, until it is done. */
START_TEST(test_webhook)
{
	struct err_info info = {0};
	struct store_webhook *w, *later;
	int64_t now = clock_wall_us();

	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 2, NULL, &info),
	    ERR_OK);
	ck_assert_uint_eq(batch_owed(now, &w), 0);
	batch_end("b1-0", STORE_COMPLETED);
	ck_assert_uint_eq(batch_owed(now, &w), 0);
	batch_end("b1-1", STORE_FAILED);
	ck_assert_uint_eq(batch_owed(now, &w), 1);
	ck_assert_str_eq(w->batch_id, "b1");
	ck_assert_str_eq(w->tenant, STORE_TENANT_DEFAULT);
	ck_assert_int_eq(w->tries, 1);
	ck_assert_uint_eq(batch_owed(now, &later), 0);
	/* Its runner died: another has it, and the first has no say. */
	ck_assert_uint_eq(batch_owed(now + BATCH_US, &later), 1);
	ck_assert_int_eq(later->tries, 2);
	ck_assert_int_eq(
	    store_webhook_done(kit.store, w, STORE_WEBHOOK_SENT, 0, NULL),
	    ERR_FENCED);
	ck_assert_int_eq(
	    store_webhook_done(kit.store, later, STORE_WEBHOOK_OWED,
		now + 5 * BATCH_US, "HTTP 500"),
	    ERR_OK);
	ck_assert_str_eq(batch_read("b1").webhook_error, "HTTP 500");
	ck_assert_uint_eq(batch_owed(now + 4 * BATCH_US, &w), 0);
	ck_assert_uint_eq(batch_owed(now + 5 * BATCH_US, &w), 1);
	ck_assert_int_eq(w->tries, 3);
	ck_assert_int_eq(
	    store_webhook_done(kit.store, w, STORE_WEBHOOK_SENT, 0, NULL),
	    ERR_OK);
	struct store_batch b = batch_read("b1");
	ck_assert_int_eq(b.webhook_state, STORE_WEBHOOK_SENT);
	ck_assert_int_gt(b.webhook_done_us, 0);
	ck_assert_ptr_null(b.webhook_error);
	ck_assert_uint_eq(batch_owed(now + 100 * BATCH_US, &w), 0);
	/* Tried again, it is owed again. */
	ck_assert_int_eq(batch_again("b1-1", "again"), ERR_OK);
	ck_assert_uint_eq(batch_owed(now + 100 * BATCH_US, &w), 0);
	batch_end("again", STORE_COMPLETED);
	ck_assert_uint_eq(batch_owed(now + 100 * BATCH_US, &w), 1);
	ck_assert_int_eq(w->tries, 1);
	ck_assert_int_eq(
	    store_webhook_done(kit.store, w, STORE_WEBHOOK_GIVEN_UP, 0, "no"),
	    ERR_OK);
	ck_assert_uint_eq(batch_owed(now + 200 * BATCH_US, &w), 0);
}
END_TEST

START_TEST(test_tenants)
{
	struct err_info info = {0};
	struct store_batch b, *rows;
	struct store_batch_item *items;
	struct store_batch_filter f = {.tenant = "other", .limit = 10};
	struct store_queue q;
	int64_t total;
	size_t n;

	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 2, NULL, &info),
	    ERR_OK);
	ck_assert_int_eq(
	    store_batch_get(kit.store, kit.arena, "other", "b1", &b),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_batch_items(kit.store, kit.arena, "other", "b1", &items, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(
	    store_batch_list(kit.store, kit.arena, &f, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(total, 0);
	ck_assert_int_eq(store_queue_read(kit.store, kit.arena, "other",
			     clock_wall_us(), BATCH_US, &q),
	    ERR_OK);
	ck_assert_int_eq(q.pending, 0);
	ck_assert_int_eq(q.batches, 0);
}
END_TEST

/* ---- keys ---- */

struct batch_racer {
	const char *id;
	enum err e;
	bool is_mine;
};

static void *
batch_race(void *slot)
{
	struct batch_racer *r = slot;
	struct arena *a = arena_new(0);
	struct store_key key = batch_key(a, "key", "hash");
	struct err_info info = {0};

	r->e = batch_create(a, STORE_TENANT_DEFAULT, r->id, 3, &key, &info);
	r->is_mine = r->e == ERR_OK && !key.is_replay;
	ck_assert(r->e != ERR_OK || r->is_mine == str_eq(key.ref, r->id));
	arena_free(&a);
	return NULL;
}

/* One request sent several times at once makes one batch. */
START_TEST(test_race)
{
	struct batch_racer racers[KIT_THREADS] = {
	    {.id = "a"}, {.id = "b"}, {.id = "c"}, {.id = "d"}};
	pthread_t threads[KIT_THREADS];
	int mine = 0;

	for (size_t i = 0; i < KIT_THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, batch_race, &racers[i]),
		    0);
	for (size_t i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(racers[i].e, ERR_OK);
		mine += racers[i].is_mine;
	}
	ck_assert_int_eq(mine, 1);
	ck_assert_int_eq(batch_pending(), 3);
}
END_TEST

START_TEST(test_keys)
{
	struct err_info info = {0};
	struct store_key key = batch_key(kit.arena, "k", "h");
	struct store_key other = batch_key(kit.arena, "k", "h");
	int64_t n;

	/* What was refused has no key. */
	ck_assert_int_eq(batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1",
			     BATCH_QUEUE + 1, &key, &info),
	    ERR_BUSY);
	ck_assert_ptr_null(key.ref);
	ck_assert_int_eq(store_key_find(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &key, &info),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b1", 2, &key, &info),
	    ERR_OK);
	ck_assert_str_eq(key.ref, "b1");
	/* Its answer, kept once. */
	ck_assert_int_eq(store_key_answer(kit.store, STORE_TENANT_DEFAULT, &key,
			     201, "{\"a\":1}"),
	    ERR_OK);
	ck_assert_int_eq(store_key_answer(kit.store, STORE_TENANT_DEFAULT, &key,
			     201, "{\"a\":2}"),
	    ERR_OK);
	ck_assert_int_eq(store_key_find(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &key, &info),
	    ERR_OK);
	ck_assert_int_eq(key.status, 201);
	ck_assert_str_eq(key.answer, "{\"a\":1}");
	/* Another body, another place, another tenant. */
	other.hash = "h2";
	ck_assert_int_eq(store_key_find(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &other, &info),
	    ERR_CONFLICT);
	ck_assert_str_eq(info.field, "Idempotency-Key");
	other = batch_key(kit.arena, "k", "h");
	other.target = "POST /debates";
	ck_assert_int_eq(batch_create(kit.arena, STORE_TENANT_DEFAULT, "b2", 1,
			     &other, &info),
	    ERR_CONFLICT);
	other = batch_key(kit.arena, "k", "h");
	ck_assert_int_eq(
	    batch_create(kit.arena, "other", "b2", 1, &other, &info), ERR_OK);
	ck_assert(!other.is_replay);
	/* A day later it is nobody's. */
	ck_assert_int_eq(
	    store_key_sweep(kit.store, clock_wall_us(), &n), ERR_OK);
	ck_assert_int_eq(n, 0);
	kit_script("UPDATE request_keys SET created_us = created_us - "
		   "86400000001 WHERE tenant = 'default'");
	ck_assert_int_eq(store_key_find(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, &key, &info),
	    ERR_NOT_FOUND);
	key.hash = "h3";
	ck_assert_int_eq(
	    batch_create(kit.arena, STORE_TENANT_DEFAULT, "b3", 1, &key, &info),
	    ERR_OK);
	ck_assert(!key.is_replay);
	ck_assert_int_eq(store_key_sweep(kit.store,
			     clock_wall_us() + STORE_KEY_AGE_US + 1, &n),
	    ERR_OK);
	ck_assert_int_eq(n, 2);
}
END_TEST

/* Notes and inputs of people too: once, with the name they were given. */
START_TEST(test_keyed_parts)
{
	const char *id = kit_create("Tea?", 0);
	struct store_key key = batch_key(kit.arena, "note", "h");
	struct store_note note = {
	    .id = "n1", .text = "x", .created_us = 1, .key = &key};
	struct store_event event = {
	    .type = "audience_suggestion", .data = "{}"};
	struct store_human in = {.kind = STORE_HUMAN_SUGGESTION,
	    .who = "ann",
	    .text = "Why?",
	    .key = &key};
	enum store_status status;
	struct store_note *notes;
	size_t n;

	for (int i = 0; i < 2; i++) {
		note.id = i == 0 ? "n1" : "n2";
		ck_assert_int_eq(
		    store_note_add(kit.store, STORE_TENANT_DEFAULT, id, &note),
		    ERR_OK);
		ck_assert_int_eq(key.is_replay, i);
		ck_assert_str_eq(key.ref, "n1");
	}
	ck_assert_int_eq(store_note_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &notes, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	key = batch_key(kit.arena, "input", "h");
	for (int i = 0; i < 2; i++) {
		in.seq = 0;
		ck_assert_int_eq(
		    store_human_add(kit.store, STORE_TENANT_DEFAULT, id, &in,
			&event, 9, &status),
		    ERR_OK);
		ck_assert_int_eq(key.is_replay, i);
		ck_assert_int_eq(in.seq, 1);
	}
	kit_check_events(id, 1);
}
END_TEST

/* ---- evidence, exports, what was agreed on, places in lists ---- */

START_TEST(test_evidence)
{
	const char *id = kit_create("Tea?", 0);
	struct store_key key = batch_key(kit.arena, "e", "h");
	struct store_evidence in = {.id = "e1",
	    .text = "A \"study\"",
	    .metadata = "{}",
	    .created_us = 1,
	    .key = &key};
	struct store_evidence *rows;
	size_t n;

	ck_assert_int_eq(
	    store_evidence_add(kit.store, STORE_TENANT_DEFAULT, id, &in),
	    ERR_OK);
	in.id = "e2";
	ck_assert_int_eq(
	    store_evidence_add(kit.store, STORE_TENANT_DEFAULT, id, &in),
	    ERR_OK);
	ck_assert_str_eq(key.ref, "e1");
	in.key = NULL;
	in.source = "book";
	in.created_us = 2;
	ck_assert_int_eq(
	    store_evidence_add(kit.store, STORE_TENANT_DEFAULT, id, &in),
	    ERR_OK);
	ck_assert_int_eq(
	    store_evidence_list(kit.store, kit.arena, "other", id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_evidence_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].text, "A \"study\"");
	ck_assert_ptr_null(rows[0].source);
	ck_assert_str_eq(rows[1].source, "book");
	/* It goes with its debate. */
	ck_assert_int_eq(
	    store_debate_delete(kit.store, STORE_TENANT_DEFAULT, id), ERR_OK);
	ck_assert_int_eq(store_evidence_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(test_export)
{
	const struct store_export_job in = {.id = "x1",
	    .tenant = STORE_TENANT_DEFAULT,
	    .format = "md",
	    .debate_ids = "[\"a\"]",
	    .created_us = 7};
	struct store_export_job out;

	ck_assert_int_eq(store_export_add(kit.store, &in), ERR_OK);
	ck_assert_int_eq(
	    store_export_get(kit.store, kit.arena, "other", "x1", &out),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_export_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, "x1", &out),
	    ERR_OK);
	ck_assert_str_eq(out.format, "md");
	ck_assert_str_eq(out.debate_ids, "[\"a\"]");
	ck_assert_int_eq(out.created_us, 7);
}
END_TEST

static void
batch_agree(double confidence, const char *result)
{
	kit_create("Agreed?", 0);
	struct store_debate d = kit_claim("r1");
	struct store_transition t = {.tenant = d.tenant,
	    .debate_id = d.id,
	    .lease_epoch = d.lease_epoch,
	    .status = STORE_COMPLETED,
	    .phase = "done",
	    .round = 1,
	    .result = result,
	    .confidence = confidence,
	    .consensus_reached = true};
	struct store_transition *one = &t;

	ck_assert_int_eq(store_commit(kit.store, &one, 1), ERR_OK);
	ck_assert_int_eq(t.outcome, ERR_OK);
}

START_TEST(test_agreed)
{
	struct store_agreed *rows;
	size_t n;

	batch_agree(0.9,
	    "{\"consensus\":{\"strength\":\"strong\",\"dissent\":[\"x\"]}}");
	batch_agree(
	    0.5, "{\"consensus\":{\"strength\":\"strong\",\"dissent\":[]}}");
	batch_agree(0.8, "{}");
	ck_assert_int_eq(store_agreed_list(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, 0.8, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].strength, "none");
	ck_assert_int_eq(rows[0].debates, 1);
	ck_assert_int_eq(rows[0].firm, 1);
	ck_assert_str_eq(rows[1].strength, "strong");
	ck_assert_int_eq(rows[1].debates, 2);
	ck_assert_int_eq(rows[1].firm, 1);
	ck_assert_int_eq(rows[1].dissents, 1);
}
END_TEST

/* By each order and both ways, page by page, with new ones in front. */
START_TEST(test_places)
{
	struct store_debate_filter f = {
	    .tenant = STORE_TENANT_DEFAULT, .status = -1, .limit = 100};
	struct store_debate *all, *rows;
	int64_t total;
	size_t n_all, n, seen;

	for (int i = 0; i < 7; i++)
		kit_create("Where?", 0);
	batch_agree(0.4, "{}");
	batch_agree(0.9, "{}");
	for (int order = 0; order < STORE_ORDER__COUNT * 2; order++) {
		f.order = (enum store_order)(order / 2);
		f.is_ascending = order % 2 == 1;
		f.limit = 100;
		f.after_id = NULL;
		ck_assert_int_eq(store_debate_list(kit.store, kit.arena, &f,
				     &all, &n_all, &total),
		    ERR_OK);
		f.limit = 2;
		for (seen = 0; seen < n_all; seen += n) {
			ck_assert_int_eq(store_debate_list(kit.store, kit.arena,
					     &f, &rows, &n, &total),
			    ERR_OK);
			ck_assert_uint_gt(n, 0);
			for (size_t i = 0; i < n && seen + i < n_all; i++)
				ck_assert_str_eq(rows[i].id, all[seen + i].id);
			f.after_id = rows[n - 1].id;
			f.after_key = store_debate_key(&f, &rows[n - 1]);
			if (f.order == STORE_BY_CREATED && !f.is_ascending)
				kit_create("New?", 0);
		}
	}
}
END_TEST

void
add_batches(TCase *t)
{
	tcase_add_test(t, test_all_or_none);
	tcase_add_test(t, test_status);
	tcase_add_test(t, test_deleted);
	tcase_add_test(t, test_pages);
	tcase_add_test(t, test_retry);
	tcase_add_test(t, test_webhook);
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_race);
	tcase_add_test(t, test_keys);
	tcase_add_test(t, test_keyed_parts);
	tcase_add_test(t, test_evidence);
	tcase_add_test(t, test_export);
	tcase_add_test(t, test_agreed);
	tcase_add_test(t, test_places);
}
