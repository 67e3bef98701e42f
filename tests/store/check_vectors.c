/* SPDX-License-Identifier: MIT
 *
 * The vectors of finished debates: written with the end, found by likeness,
 * within one tenant and one model.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "debate/similar.h"
#include "llm/vector.h"
#include "tests/store/store_kit.h"

#define VECTORS_CROWD 300 /* more than a page */
#define VECTORS_GROUP 50  /* that end at the same time */
#define VECTORS_OTHER "other"

/* n debates under way. */
static struct store_debate *
vectors_running(const char *tenant, size_t n)
{
	struct store_debate *all =
	    ARENA_ARRAY(kit.arena, n, struct store_debate);
	size_t got = 0;

	for (size_t i = 0; i < n; i++)
		kit_create_for(tenant, "Tea?", 0);
	while (got < n) {
		struct store_debate *rows;
		size_t more;
		ck_assert_int_eq(store_claim(kit.store, kit.arena, "r1",
				     KIT_LEASE_US, 50, &rows, &more),
		    ERR_OK);
		ck_assert_uint_gt(more, 0);
		ck_assert_uint_le(got + more, n);
		memcpy(all + got, rows, more * sizeof(*rows));
		got += more;
	}
	return all;
}

/* They end in one transaction, each with its vector. */
static void
vectors_end(const struct store_debate *d, size_t n,
    const struct store_vector *vectors, enum err outcome)
{
	struct store_transition *list =
	    ARENA_ARRAY(kit.arena, n, struct store_transition);
	struct store_transition **t =
	    ARENA_ARRAY(kit.arena, n, struct store_transition *);
	struct store_event *events =
	    ARENA_ARRAY(kit.arena, n, struct store_event);

	for (size_t i = 0; i < n; i++) {
		events[i] =
		    (struct store_event){.type = "debate_end", .data = "{}"};
		list[i] = (struct store_transition){.tenant = d[i].tenant,
		    .debate_id = d[i].id,
		    .lease_epoch = d[i].lease_epoch,
		    .events = &events[i],
		    .n_events = 1,
		    .status = STORE_COMPLETED,
		    .phase = "done",
		    .round = 1,
		    .vector = vectors[i]};
		t[i] = &list[i];
	}
	ck_assert_int_eq(store_commit(kit.store, t, n), ERR_OK);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(list[i].outcome, outcome);
}

static struct store_vector
vectors_of(const char *text)
{
	struct store_vector v;

	similar_of_text(kit.arena, text, &v);
	return v;
}

static const char *
vectors_finished(const char *tenant, const char *text)
{
	struct store_debate *d = vectors_running(tenant, 1);
	const struct store_vector v = vectors_of(text);

	vectors_end(d, 1, &v, ERR_OK);
	return d->id;
}

static struct similar_result
vectors_find(
    const char *tenant, const char *except, const char *text, size_t limit)
{
	struct similar_query q = {.tenant = tenant,
	    .except = except,
	    .vector = vectors_of(text),
	    .limit = limit};
	struct similar_result r;

	ck_assert_int_eq(similar_find(kit.store, kit.arena, &q, &r), ERR_OK);
	return r;
}

START_TEST(test_vector_kept)
{
	const char *id = vectors_finished(STORE_TENANT_DEFAULT, "black tea");
	const char *none = kit_create("Tea?", 0);
	struct store_vector v;

	ck_assert_int_eq(store_vector_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, &v),
	    ERR_OK);
	ck_assert_str_eq(v.model, VECTOR_HASH_MODEL);
	ck_assert_int_eq(v.dimension, VECTOR_HASH_DIMENSION);
	ck_assert_str_eq(v.data, vectors_of("black tea").data);
	ck_assert_int_eq(
	    store_vector_get(kit.store, kit.arena, VECTORS_OTHER, id, &v),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(store_vector_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, none, &v),
	    ERR_NOT_FOUND);
}
END_TEST

/* Whose lease is gone writes no vector either. */
START_TEST(test_vector_fenced)
{
	struct store_debate *d = vectors_running(STORE_TENANT_DEFAULT, 1);
	struct store_vector v = vectors_of("black tea");

	d->lease_epoch--;
	vectors_end(d, 1, &v, ERR_FENCED);
	ck_assert_int_eq(store_vector_get(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, d->id, &v),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_similar_order)
{
	const char *tenant = STORE_TENANT_DEFAULT;
	const char *self =
	    vectors_finished(tenant, "Which green tea is best in the morning?");
	const char *near =
	    vectors_finished(tenant, "Which green tea is best in the evening?");
	const char *far =
	    vectors_finished(tenant, "How many penguins swim in winter?");
	const char *middle =
	    vectors_finished(tenant, "Which tea goes with bread?");
	struct similar_result r = vectors_find(
	    tenant, self, "Which green tea is best in the morning?", 10);

	ck_assert_uint_eq(r.n, 3);
	ck_assert_int_eq(r.scanned, 4);
	ck_assert(!r.is_cut);
	ck_assert_str_eq(r.hits[0].debate_id, near);
	ck_assert_str_eq(r.hits[1].debate_id, middle);
	ck_assert_str_eq(r.hits[2].debate_id, far);
	for (size_t i = 1; i < r.n; i++)
		ck_assert(r.hits[i].score < r.hits[i - 1].score);
	r = vectors_find(tenant, NULL,
	    "Which green tea is best in the "
	    "morning?",
	    2);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_str_eq(r.hits[0].debate_id, self);
	ck_assert(r.hits[0].score > 0.999999);
	ck_assert_str_eq(r.hits[1].debate_id, near);
}
END_TEST

/* However like they are: not another tenant's, not another model's, not those
 * of another length under the same name. */
START_TEST(test_similar_apart)
{
	const char *mine = vectors_finished(STORE_TENANT_DEFAULT, "black tea");
	const char *theirs = vectors_finished(VECTORS_OTHER, "black tea");
	struct store_debate *d = vectors_running(STORE_TENANT_DEFAULT, 2);
	struct store_vector v[2] = {
	    vectors_of("black tea"), vectors_of("black tea")};

	v[0].model = "openai/m";
	v[1].dimension = 3;
	v[1].data = "AACAPwAAgD8AAIA/";
	vectors_end(d, 2, v, ERR_OK);
	struct similar_result r =
	    vectors_find(STORE_TENANT_DEFAULT, NULL, "black tea", 10);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.hits[0].debate_id, mine);
	ck_assert_int_eq(r.scanned, 1);
	r = vectors_find(VECTORS_OTHER, NULL, "black tea", 10);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.hits[0].debate_id, theirs);
	r = vectors_find("nobody", NULL, "black tea", 10);
	ck_assert_uint_eq(r.n, 0);
	/* What is no vector finds nothing. */
	struct similar_query q = {
	    .tenant = STORE_TENANT_DEFAULT, .vector = v[1], .limit = 3};
	q.vector.dimension = 4;
	ck_assert_int_eq(
	    similar_find(kit.store, kit.arena, &q, &r), ERR_INVALID);
}
END_TEST

/* All pages, each row once, though many have the same time; and no more than
 * may be looked at. */
START_TEST(test_similar_pages)
{
	struct store_debate *d =
	    vectors_running(STORE_TENANT_DEFAULT, VECTORS_CROWD);
	struct store_vector v[VECTORS_GROUP];
	bool has_seen[VECTORS_CROWD] = {false};
	size_t seen = 0;

	for (size_t i = 0; i < VECTORS_CROWD; i += VECTORS_GROUP) {
		for (size_t k = 0; k < VECTORS_GROUP; k++)
			v[k] = vectors_of(
			    arena_printf(kit.arena, "tea number %zu", i + k));
		vectors_end(d + i, VECTORS_GROUP, v, ERR_OK);
	}
	struct store_vector_scan scan = {.tenant = STORE_TENANT_DEFAULT,
	    .model = VECTOR_HASH_MODEL,
	    .dimension = VECTOR_HASH_DIMENSION};
	for (size_t n = 7; n == 7;) {
		struct store_vector_row *rows;
		ck_assert_int_eq(store_vector_next(
				     kit.store, kit.arena, &scan, 7, &rows, &n),
		    ERR_OK);
		for (size_t i = 0; i < n; i++, seen++)
			for (size_t k = 0; k < VECTORS_CROWD; k++)
				if (str_eq(d[k].id, rows[i].debate_id)) {
					ck_assert(!has_seen[k]);
					has_seen[k] = true;
				}
	}
	ck_assert_uint_eq(seen, VECTORS_CROWD);
	struct similar_result r = vectors_find(
	    STORE_TENANT_DEFAULT, NULL, "tea number 17", VECTORS_CROWD);
	ck_assert_uint_eq(r.n, VECTORS_CROWD);
	ck_assert_int_eq(r.scanned, VECTORS_CROWD);
	ck_assert_str_eq(r.hits[0].debate_id, d[17].id);

	struct similar_query q = {.tenant = STORE_TENANT_DEFAULT,
	    .vector = vectors_of("tea number 17"),
	    .limit = 5,
	    .max_scanned = 100};
	ck_assert_int_eq(similar_find(kit.store, kit.arena, &q, &r), ERR_OK);
	ck_assert(r.is_cut);
	ck_assert_int_lt(r.scanned, VECTORS_CROWD);
	ck_assert_uint_eq(r.n, 5);
}
END_TEST

/* The events of one type, and of no other tenant. */
START_TEST(test_events_of_type)
{
	const char *id = kit_create("Tea?", 0);
	struct store_debate d = kit_claim("r1");
	struct store_event *rows;
	size_t n;

	ck_assert_int_eq(kit_step(&d, 3, STORE_RUNNING), ERR_OK);
	ck_assert_int_eq(
	    store_event_list_type(kit.store, kit.arena, STORE_TENANT_DEFAULT,
		id, "agent_message", 2, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(rows[1].seq, 2);
	ck_assert_int_eq(store_event_list_type(kit.store, kit.arena,
			     STORE_TENANT_DEFAULT, id, "vote", 9, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(store_event_list_type(kit.store, kit.arena,
			     VECTORS_OTHER, id, "agent_message", 9, &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
}
END_TEST

void
add_vectors(TCase *t)
{
	tcase_add_test(t, test_vector_kept);
	tcase_add_test(t, test_vector_fenced);
	tcase_add_test(t, test_similar_order);
	tcase_add_test(t, test_similar_apart);
	tcase_add_test(t, test_similar_pages);
	tcase_add_test(t, test_events_of_type);
}
