/* SPDX-License-Identifier: MIT
 *
 * Three kinds of records: a question of some texts; an entry of the cache,
 * whose vector is there or on its way; a batch, which is one model call for
 * the entries that it will fill. A question holds no entry longer than until
 * its vector is there, so entries may go at any time.
 */
#include "llm/llm_embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_provider.h"
#include "llm/vector.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

#define EMBED_BATCH_TEXTS 64
#define EMBED_BATCH_BYTES (256u << 10)
#define EMBED_BUCKETS_MIN 64u
#define EMBED_BUCKETS_MAX (1u << 16)

struct embed_batch;

struct embed_entry {
	struct list link;   /* of the cache: the last used first */
	struct list bucket; /* of the hash table */
	char key[ID_HASH_SIZE];
	struct embed_batch *batch; /* that will fill it; NULL = filled */
	int16_t *vector;
	size_t dimension;
	int64_t expires_ms;
};

struct embed_batch {
	struct list link;
	struct llm_embedder *embedder;
	struct llm_call *call;
	/* The question that keeps the books of its requests: the first that
	 * waits. Another may take over; what it has counted is not known. */
	struct llm_embed_call *keeper;
	int64_t asked; /* number that waits for leave, 0 = none */
	bool is_handed_on;
	struct embed_entry *entries[EMBED_BATCH_TEXTS];
	size_t n;
	size_t dimension; /* wanted, 0 = any */
};

struct embed_slot {
	struct embed_entry *entry; /* waited for, else NULL */
	const int16_t *vector;	   /* on the question's arena */
	size_t dimension;
};

struct llm_embed_call {
	struct list link;
	struct llm_embedder *embedder;
	struct llm_call_ops ops;
	struct arena *arena;
	const char *provider, *model;
	struct embed_slot *slots;
	size_t n;
	size_t n_cached;
	struct loop_timer timer; /* all is there, or an error */
	enum llm_error_class error;
	const char *message;
	int64_t tokens, cost_udollar, attempts;
	bool is_estimated;
	int64_t started_ms;
};

struct llm_embedder {
	const struct settings *settings;
	struct loop *loop;
	struct llm *llm;
	struct list calls, batches;
	struct list used; /* entries that are filled */
	size_t n_used;
	struct list *buckets;
	size_t n_buckets; /* a power of two */
};

/* ---- the cache ---- */

static struct list *
embed_bucket(struct llm_embedder *e, const char *key)
{
	return &e->buckets[str_hash(key, strlen(key), 0) *
		    0x9e3779b97f4a7c15ULL >>
		32 &
	    (e->n_buckets - 1)];
}

static struct embed_entry *
embed_find(struct llm_embedder *e, const char *key)
{
	list_for_each (it, embed_bucket(e, key)) {
		struct embed_entry *x =
		    LIST_ENTRY(it, struct embed_entry, bucket);
		if (str_eq(x->key, key))
			return x;
	}
	return NULL;
}

static void
embed_entry_free(struct llm_embedder *e, struct embed_entry *x)
{
	e->n_used -= x->batch == NULL;
	list_del(&x->link);
	list_del(&x->bucket);
	heap_free(HEAP_CACHE, x->vector);
	heap_free(HEAP_CACHE, x);
}

static struct embed_entry *
embed_entry_new(struct llm_embedder *e, const char *key)
{
	struct embed_entry *x = heap_take(HEAP_CACHE, mem_zalloc(sizeof(*x)));

	snprintf(x->key, sizeof(x->key), "%s", key);
	list_init(&x->link);
	list_add_tail(embed_bucket(e, key), &x->bucket);
	return x;
}

/* No more than fit, and none that is too old. */
static void
embed_trim(struct llm_embedder *e)
{
	size_t max = (size_t)e->settings->embedding_cache_size;

	while (e->n_used > max)
		embed_entry_free(
		    e, LIST_ENTRY(e->used.prev, struct embed_entry, link));
}

static void
embed_fill(
    struct llm_embedder *e, struct embed_entry *x, const float *from, size_t n)
{
	x->batch = NULL;
	x->dimension = n;
	x->vector = heap_take(HEAP_CACHE, mem_array(n, sizeof(*x->vector)));
	/* A vector of zeros is like no other. */
	if (!vector_fix(x->vector, from, n))
		memset(x->vector, 0, n * sizeof(*x->vector));
	x->expires_ms =
	    clock_mono_ms() + e->settings->embedding_cache_ttl * 1000;
	list_add_head(&e->used, &x->link);
	e->n_used++;
}

/* ---- questions ---- */

static bool
embed_waits(const struct llm_embed_call *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->slots[i].entry != NULL)
			return true;
	return false;
}

static void
embed_slot_take(
    struct llm_embed_call *c, struct embed_slot *s, const struct embed_entry *x)
{
	int16_t *copy = arena_array(c->arena, x->dimension, sizeof(*copy));

	memcpy(copy, x->vector, x->dimension * sizeof(*copy));
	s->vector = copy;
	s->dimension = x->dimension;
	s->entry = NULL;
}

static void
embed_call_free(struct llm_embed_call *c)
{
	struct arena *a = c->arena; /* holds c itself */

	loop_timer_del(c->embedder->loop, &c->timer);
	list_del(&c->link);
	arena_free(&a);
}

static const char *
embed_call_record(struct llm_embed_call *c)
{
	const int16_t **vectors = ARENA_ARRAY(c->arena, c->n, const int16_t *);

	for (size_t i = 0; i < c->n; i++)
		vectors[i] = c->slots[i].vector;
	return llm_embed_record(c->arena,
	    arena_printf(c->arena, "%s/%s", c->provider, c->model),
	    c->slots[0].dimension, c->n_cached, vectors, c->n);
}

/* Vectors that were remembered may be of another length than those that came:
 * the model behind the name has changed. */
static bool
embed_is_uniform(const struct llm_embed_call *c)
{
	for (size_t i = 1; i < c->n; i++)
		if (c->slots[i].dimension != c->slots[0].dimension)
			return false;
	return true;
}

static void
embed_on_timer(struct loop_timer *t)
{
	struct llm_embed_call *c = t->arg;

	if (c->error == LLM_ERR_NONE && !embed_is_uniform(c)) {
		c->error = LLM_ERR_SERVER;
		c->message = "the model's embeddings have changed their length";
	}
	const char *text = c->error == LLM_ERR_NONE ? embed_call_record(c) : "";
	const struct llm_result result = {.error = c->error,
	    .message = c->message,
	    .text = text,
	    .text_len = strlen(text),
	    .tokens_in = c->tokens,
	    .is_usage_estimated = c->is_estimated,
	    .attempts = c->attempts,
	    .duration_ms = clock_mono_ms() - c->started_ms,
	    .cost_udollar = c->cost_udollar,
	    .provider = c->provider,
	    .model = c->model};
	struct llm_call_ops ops = c->ops;
	struct arena *a = c->arena; /* the result hangs on it */
	list_del(&c->link);
	ops.on_done(ops.arg, &result);
	arena_free(&a);
}

static void
embed_call_ready(struct llm_embed_call *c)
{
	loop_timer_set(c->embedder->loop, &c->timer, 0);
}

/* ---- batches ---- */

static bool
embed_call_is_of(const struct llm_embed_call *c, const struct embed_batch *b)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->slots[i].entry != NULL && c->slots[i].entry->batch == b)
			return true;
	return false;
}

/* The batch's entries go, and with them what waits for them. */
static void
embed_batch_drop(struct embed_batch *b)
{
	llm_call_cancel(&b->call);
	for (size_t i = 0; i < b->n; i++)
		embed_entry_free(b->embedder, b->entries[i]);
	list_del(&b->link);
	heap_free(HEAP_CALLS, b);
}

static void
embed_batch_fail(
    struct embed_batch *b, enum llm_error_class error, const char *message)
{
	list_for_each (it, &b->embedder->calls) {
		struct llm_embed_call *c =
		    LIST_ENTRY(it, struct llm_embed_call, link);
		if (!embed_call_is_of(c, b))
			continue;
		c->error = error;
		c->message = arena_strdup(c->arena, message);
		for (size_t i = 0; i < c->n; i++)
			c->slots[i].entry = NULL;
		embed_call_ready(c);
	}
	embed_batch_drop(b);
}

/* What it has cost is the first one's who waits for it. */
static void
embed_batch_charge(struct embed_batch *b, const struct llm_result *r)
{
	list_for_each (it, &b->embedder->calls) {
		struct llm_embed_call *c =
		    LIST_ENTRY(it, struct llm_embed_call, link);
		if (!embed_call_is_of(c, b))
			continue;
		c->tokens += r->tokens_in;
		c->attempts += r->attempts;
		c->is_estimated = c->is_estimated || r->is_usage_estimated;
		c->cost_udollar = r->cost_udollar < 0 || c->cost_udollar < 0
		    ? -1
		    : c->cost_udollar + r->cost_udollar;
		return;
	}
}

/* ---- who keeps the books of a batch ---- */

static struct llm_embed_call *
embed_batch_first(struct embed_batch *b)
{
	list_for_each (it, &b->embedder->calls) {
		struct llm_embed_call *c =
		    LIST_ENTRY(it, struct llm_embed_call, link);
		if (embed_call_is_of(c, b))
			return c;
	}
	return NULL;
}

static bool
embed_on_next(void *arg, struct llm_attempt *next)
{
	struct embed_batch *b = arg;

	if (b->keeper == NULL)
		b->keeper = embed_batch_first(b);
	if (b->keeper == NULL || b->keeper->ops.on_next == NULL)
		return true;
	bool may_go = b->keeper->ops.on_next(b->keeper->ops.arg, next);
	b->asked = may_go ? 0 : next->number;
	return may_go;
}

static void
embed_on_attempt(void *arg, const struct llm_attempt *attempt)
{
	struct embed_batch *b = arg;
	struct llm_attempt a = *attempt;

	if (b->keeper == NULL || b->keeper->ops.on_attempt == NULL)
		return;
	/* It wrote down one request of its own, and it is this one. */
	if (b->is_handed_on)
		a.number = 0;
	b->is_handed_on = false;
	b->keeper->ops.on_attempt(b->keeper->ops.arg, &a);
}

/* The keeper is gone: the next that waits has its own request written down,
 * and this is it. */
static void
embed_hand_on(struct llm_embedder *e, const struct llm_embed_call *gone)
{
	list_for_each (it, &e->batches) {
		struct embed_batch *b =
		    LIST_ENTRY(it, struct embed_batch, link);
		if (b->keeper != gone)
			continue;
		b->keeper = embed_batch_first(b);
		b->is_handed_on = true;
		int64_t asked = b->asked;
		b->asked = 0;
		if (b->keeper != NULL && asked > 0)
			llm_call_go(b->call, asked);
	}
}

void
llm_embed_go(struct llm_embed_call *c, int64_t number)
{
	list_for_each (it, &c->embedder->batches) {
		struct embed_batch *b =
		    LIST_ENTRY(it, struct embed_batch, link);
		if (b->keeper != c || b->asked != number)
			continue;
		b->asked = 0;
		llm_call_go(b->call, number);
		return;
	}
}

static void
embed_batch_fill(struct embed_batch *b, const float *vectors, size_t dimension)
{
	struct llm_embedder *e = b->embedder;

	for (size_t i = 0; i < b->n; i++)
		embed_fill(
		    e, b->entries[i], vectors + i * dimension, dimension);
	list_for_each (it, &e->calls) {
		struct llm_embed_call *c =
		    LIST_ENTRY(it, struct llm_embed_call, link);
		bool has_waited = embed_waits(c);
		for (size_t i = 0; has_waited && i < c->n; i++) {
			struct embed_slot *s = &c->slots[i];
			if (s->entry != NULL && s->entry->batch == NULL)
				embed_slot_take(c, s, s->entry);
		}
		if (has_waited && !embed_waits(c))
			embed_call_ready(c);
	}
	embed_trim(e);
	list_del(&b->link);
	heap_free(HEAP_CALLS, b);
}

static void
embed_on_done(void *arg, const struct llm_result *r)
{
	struct embed_batch *b = arg;
	struct arena *a = arena_new(0);
	const float *vectors = NULL;
	size_t dimension = 0;

	b->call = NULL; /* dead after this */
	embed_batch_charge(b, r);
	if (r->error == LLM_ERR_NONE)
		vectors = llm_embed_vectors(
		    a, r->text, r->text_len, b->n, &dimension);
	if (r->error != LLM_ERR_NONE)
		embed_batch_fail(b, r->error, r->message);
	else if (vectors == NULL)
		embed_batch_fail(b, LLM_ERR_BAD_REQUEST,
		    "the provider sent more or fewer embeddings than texts");
	else if (b->dimension != 0 && dimension != b->dimension)
		embed_batch_fail(b, LLM_ERR_BAD_REQUEST,
		    "the embeddings are of another length than "
		    "ARAGORA_EMBEDDING_DIMENSION says");
	else
		embed_batch_fill(b, vectors, dimension);
	arena_free(&a);
}

/* What is asked of a batch that is being filled with texts. */
struct embed_asking {
	struct llm_embedder *e;
	const struct llm_agent *agent;
	struct embed_batch *batch; /* NULL = none has been begun */
	struct llm_block texts[EMBED_BATCH_TEXTS];
	size_t bytes;
};

static void
embed_send(struct embed_asking *q)
{
	struct embed_batch *b = q->batch;

	if (b == NULL)
		return;
	const struct llm_request request = {.task = LLM_EMBED,
	    .system = "",
	    .question = "",
	    .context = "",
	    .instruction = "",
	    .nonce = "",
	    .blocks = q->texts,
	    .n_blocks = b->n,
	    .dimension = (int64_t)b->dimension};
	b->call = llm_call_start(q->e->llm, q->agent, &request,
	    &(struct llm_call_ops){.on_done = embed_on_done,
		.on_next = embed_on_next,
		.on_attempt = embed_on_attempt,
		.arg = b});
	q->batch = NULL;
	q->bytes = 0;
}

static void
embed_ask(struct embed_asking *q, struct embed_entry *x, const char *text)
{
	size_t len = strlen(text);

	if (q->batch != NULL &&
	    (q->batch->n == EMBED_BATCH_TEXTS ||
		q->bytes + len > EMBED_BATCH_BYTES))
		embed_send(q);
	if (q->batch == NULL) {
		q->batch = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*q->batch)));
		q->batch->embedder = q->e;
		q->batch->dimension =
		    (size_t)q->e->settings->embedding_dimension;
		list_add_tail(&q->e->batches, &q->batch->link);
	}
	x->batch = q->batch;
	q->texts[q->batch->n] = (struct llm_block){.label = "", .text = text};
	q->batch->entries[q->batch->n++] = x;
	q->bytes += len;
}

/* ---- starting ---- */

/* No provider takes an empty text. */
static const char *
embed_text(struct arena *a, const char *text)
{
	size_t len = strlen(text);

	if (len == 0)
		return " ";
	return len <= LLM_EMBED_TEXT_MAX
	    ? text
	    : arena_strndup(
		  a, text, str_utf8_cut(text, len, LLM_EMBED_TEXT_MAX));
}

static void
embed_key(struct arena *a, const struct llm_agent *agent, int64_t dimension,
    const char *text, char *out)
{
	const char *all = arena_printf(a, "%s|%s|%lld|%s", agent->row->name,
	    llm_agent_model(agent), (long long)dimension, text);

	id_sha256(all, strlen(all), out);
}

static void
embed_slot_start(struct embed_asking *q, struct llm_embed_call *c, size_t i,
    const char *text)
{
	struct llm_embedder *e = q->e;
	char key[ID_HASH_SIZE];

	text = embed_text(c->arena, text);
	embed_key(
	    c->arena, q->agent, e->settings->embedding_dimension, text, key);
	struct embed_entry *x = embed_find(e, key);
	if (x != NULL && x->batch == NULL && x->expires_ms <= clock_mono_ms()) {
		embed_entry_free(e, x);
		x = NULL;
	}
	metric_add(x != NULL ? METRIC_EMBED_HITS : METRIC_EMBED_MISSES, 1);
	c->n_cached += x != NULL;
	if (x == NULL) {
		x = embed_entry_new(e, key);
		embed_ask(q, x, text);
	}
	if (x->batch != NULL) {
		c->slots[i].entry = x;
		return;
	}
	list_del(&x->link);
	list_add_head(&e->used, &x->link);
	embed_slot_take(c, &c->slots[i], x);
}

struct llm_embed_call *
llm_embed_start(struct llm_embedder *e, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops)
{
	struct arena *a = arena_new_for(HEAP_CALLS, 0);
	struct llm_embed_call *c = ARENA_NEW(a, struct llm_embed_call);
	struct embed_asking q = {.e = e, .agent = agent};

	*c = (struct llm_embed_call){.embedder = e,
	    .ops = *ops,
	    .arena = a,
	    .provider = agent->row->provider,
	    .model = arena_strdup(a, llm_agent_model(agent)),
	    .message = "",
	    .n = request->n_blocks,
	    .started_ms = clock_mono_ms()};
	c->timer = (struct loop_timer){.fn = embed_on_timer, .arg = c};
	c->slots = ARENA_ARRAY(a, c->n + 1, struct embed_slot);
	list_add_tail(&e->calls, &c->link);
	if (c->n == 0 || c->n > LLM_EMBED_TEXTS_MAX) {
		c->error = LLM_ERR_BAD_REQUEST;
		c->message = "so many texts are not embedded at once";
		c->n = 0;
	}
	for (size_t i = 0; i < c->n; i++)
		embed_slot_start(&q, c, i, request->blocks[i].text);
	embed_send(&q);
	if (!embed_waits(c))
		embed_call_ready(c);
	return c;
}

/* Batches that nobody waits for any more. */
static void
embed_drop_idle(struct llm_embedder *e)
{
	list_for_each (it, &e->batches) {
		struct embed_batch *b =
		    LIST_ENTRY(it, struct embed_batch, link);
		bool is_wanted = false;
		list_for_each (it2, &e->calls)
			is_wanted = is_wanted ||
			    embed_call_is_of(
				LIST_ENTRY(it2, struct llm_embed_call, link),
				b);
		if (!is_wanted)
			embed_batch_drop(b);
	}
}

void
llm_embed_cancel(struct llm_embed_call **call)
{
	struct llm_embed_call *c = *call;
	struct llm_embedder *e;

	*call = NULL;
	if (c == NULL)
		return;
	e = c->embedder;
	list_del(&c->link);
	list_init(&c->link);
	embed_drop_idle(e);
	embed_hand_on(e, c);
	embed_call_free(c);
}

/* ---- the embedder ---- */

void
llm_embedder_new(struct llm_embedder **out, const struct settings *settings,
    struct loop *loop, struct llm *llm)
{
	struct llm_embedder *e = mem_zalloc(sizeof(*e));
	size_t n = EMBED_BUCKETS_MIN;

	while (
	    n < (size_t)settings->embedding_cache_size && n < EMBED_BUCKETS_MAX)
		n *= 2;
	e->settings = settings;
	e->loop = loop;
	e->llm = llm;
	list_init(&e->calls);
	list_init(&e->batches);
	list_init(&e->used);
	e->n_buckets = n;
	e->buckets = heap_take(HEAP_CACHE, mem_array(n, sizeof(*e->buckets)));
	for (size_t i = 0; i < n; i++)
		list_init(&e->buckets[i]);
	*out = e;
}

void
llm_embedder_free(struct llm_embedder **out)
{
	struct llm_embedder *e = *out;

	if (e == NULL)
		return;
	list_for_each (it, &e->calls)
		embed_call_free(LIST_ENTRY(it, struct llm_embed_call, link));
	embed_drop_idle(e);
	while (e->n_used > 0)
		embed_entry_free(
		    e, LIST_ENTRY(e->used.next, struct embed_entry, link));
	heap_free(HEAP_CACHE, e->buckets);
	free(e);
	*out = NULL;
}
