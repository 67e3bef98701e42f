/* SPDX-License-Identifier: MIT */
#include "runner/hook.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "debate/batch_view.h"
#include "llm/llm_http.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store_batch.h"

#define HOOK_POLL_MS	1000
#define HOOK_SENDING	8 /* at once */
#define HOOK_CONNECT_S	5
#define HOOK_TIMEOUT_MS 10000
/* What is taken is sent or given back before that. */
#define HOOK_LEASE_US  INT64_C(20000000)
#define HOOK_TRIES     10 /* then it is given up: after 17 minutes */
#define HOOK_FIRST_US  INT64_C(1000000)
#define HOOK_ERROR_MAX 200
#define HOOK_HEADERS   40
/* Of the headers that the asker names: this one is not sent, it signs. */
#define HOOK_SECRET "X-Webhook-Secret"

struct hook {
	const struct settings *settings;
	struct store *store;
	struct loop *loop;
	struct llm_http *http;
	struct loop_timer poll;
	struct list sending;
	int n_sending;
	pthread_t thread;
};

struct hook_message {
	struct list link;
	struct hook *hook;
	struct arena *arena; /* everything of it, itself too */
	struct store_webhook webhook;
	struct llm_transfer *transfer;
	struct loop_timer timeout;
};

static void
hook_message_free(struct hook_message *m)
{
	struct arena *a = m->arena;

	loop_timer_del(m->hook->loop, &m->timeout);
	llm_transfer_close(&m->transfer);
	list_del(&m->link);
	m->hook->n_sending--;
	arena_free(&a);
}

/* Twice as long after each try. */
static int64_t
hook_due(int64_t tries)
{
	return clock_wall_us() +
	    (HOOK_FIRST_US << (tries < 20 ? tries - 1 : 20));
}

/* is_hopeless: no later try would do better. */
static void
hook_failed(struct hook_message *m, const char *why, bool is_hopeless)
{
	const struct store_webhook *w = &m->webhook;
	bool is_over = is_hopeless || w->tries >= HOOK_TRIES;
	char error[HOOK_ERROR_MAX];

	snprintf(error, sizeof(error), "%s", why);
	metric_add(
	    is_over ? METRIC_WEBHOOKS_GIVEN_UP : METRIC_WEBHOOKS_FAILED, 1);
	log_info(is_over ? "webhook.given_up" : "webhook.failed",
	    "batch_id=%s tries=%lld reason=%s", w->batch_id,
	    (long long)w->tries, error);
	/* Not written: it is owed still, and its lease runs out. */
	(void)!store_webhook_done(m->hook->store, w,
	    is_over ? STORE_WEBHOOK_GIVEN_UP : STORE_WEBHOOK_OWED,
	    is_over ? 0 : hook_due(w->tries), error);
	hook_message_free(m);
}

static void
hook_on_header(
    void *arg UNUSED, const char *name UNUSED, const char *value UNUSED)
{
}

static bool
hook_on_body(void *arg UNUSED, long status UNUSED, const char *type UNUSED,
    const char *data UNUSED, size_t len UNUSED)
{
	return true;
}

static void
hook_on_end(
    void *arg, enum llm_transfer_end end, long status, const char *reason)
{
	struct hook_message *m = arg;
	char text[64];

	m->transfer = NULL;
	if (end == LLM_TRANSFER_OK && status / 100 != 2) {
		snprintf(text, sizeof(text), "HTTP status %ld", status);
		hook_failed(m, text, false);
		return;
	}
	if (end != LLM_TRANSFER_OK) {
		hook_failed(m, reason, end == LLM_TRANSFER_DENIED);
		return;
	}
	metric_add(METRIC_WEBHOOKS_SENT, 1);
	log_info("webhook.sent", "batch_id=%s tries=%lld", m->webhook.batch_id,
	    (long long)m->webhook.tries);
	(void)!store_webhook_done(
	    m->hook->store, &m->webhook, STORE_WEBHOOK_SENT, 0, NULL);
	hook_message_free(m);
}

static void
hook_on_timeout(struct loop_timer *t)
{
	hook_failed(t->arg, "no answer in time", false);
}

/* The lines that the asker wants, and ours; *n of them. */
static const char **
hook_headers(struct hook_message *m, const struct store_batch *b,
    const char *body, size_t *n)
{
	const char **lines = ARENA_ARRAY(m->arena, HOOK_HEADERS, const char *);
	const struct json *wanted = NULL, *value;
	const char *text = b->webhook_headers, *key;
	char mac[ID_HASH_SIZE];

	lines[(*n)++] = arena_printf(
	    m->arena, "X-Aragora-Delivery: %s", m->webhook.batch_id);
	if (text == NULL ||
	    json_parse(m->arena, text, strlen(text), NULL, &wanted, NULL) !=
		ERR_OK)
		return lines;
	for (void *it = NULL;
	     *n < HOOK_HEADERS - 1 && json_next(wanted, &it, &key, &value);) {
		const char *line = json_str(value, NULL);
		if (line != NULL && strcasecmp(key, HOOK_SECRET) != 0) {
			lines[(*n)++] =
			    arena_printf(m->arena, "%s: %s", key, line);
		} else if (line != NULL) {
			id_hmac_sha256(line, body, strlen(body), mac);
			lines[(*n)++] = arena_printf(
			    m->arena, "X-Aragora-Signature: sha256=%s", mac);
		}
	}
	return lines;
}

static enum err
hook_read(struct hook_message *m, struct store_batch *b, const char **body)
{
	const struct store_webhook *w = &m->webhook;
	struct store_batch_item *items = NULL;
	size_t n = 0;

	enum err e = store_batch_get(
	    m->hook->store, m->arena, w->tenant, w->batch_id, b);
	if (e == ERR_OK)
		e = store_batch_items(m->hook->store, m->arena, w->tenant,
		    w->batch_id, &items, &n);
	if (e != ERR_OK)
		return e;
	*body = batch_view_text(m->arena, b, items, n, clock_wall_us());
	return *body != NULL && b->webhook_url != NULL ? ERR_OK : ERR_TOO_LARGE;
}

static void
hook_send(struct hook_message *m)
{
	const struct llm_transfer_ops ops = {.on_header = hook_on_header,
	    .on_body = hook_on_body,
	    .on_end = hook_on_end,
	    .arg = m};
	const struct settings *s = m->hook->settings;
	struct store_batch b;
	const char *body = NULL;
	size_t n = 0;

	enum err e = hook_read(m, &b, &body);
	if (e != ERR_OK) {
		hook_failed(m, err_text(e), e == ERR_TOO_LARGE);
		return;
	}
	const char **lines = hook_headers(m, &b, body, &n);
	m->transfer = llm_transfer_start(m->hook->http,
	    &(struct llm_transfer_spec){.url = b.webhook_url,
		.auth = "",
		.header = "",
		.key = "",
		.body = body,
		.body_len = strlen(body),
		.connect_timeout_s = HOOK_CONNECT_S,
		.is_offline = s->offline,
		.may_be_private = s->webhook_allow_localhost,
		.is_foreign = true,
		.headers = lines,
		.n_headers = n},
	    &ops);
	if (m->transfer == NULL) {
		hook_failed(m, "the transfer did not begin", false);
		return;
	}
	loop_timer_set(m->hook->loop, &m->timeout, HOOK_TIMEOUT_MS);
}

static void
hook_add(struct hook *h, const struct store_webhook *w)
{
	struct arena *a = arena_new(0);
	struct hook_message *m = ARENA_NEW(a, struct hook_message);

	m->hook = h;
	m->arena = a;
	m->webhook =
	    (struct store_webhook){.tenant = arena_strdup(a, w->tenant),
		.batch_id = arena_strdup(a, w->batch_id),
		.tries = w->tries};
	m->timeout = (struct loop_timer){.fn = hook_on_timeout, .arg = m};
	list_add_tail(&h->sending, &m->link);
	h->n_sending++;
	hook_send(m);
}

static void
hook_on_poll(struct loop_timer *t)
{
	struct hook *h = t->arg;
	struct store_webhook *rows = NULL;
	size_t n = 0;

	if (h->n_sending < HOOK_SENDING) {
		struct arena *a = arena_new(0);
		/* While the database is away nothing is known to be owed. */
		if (store_webhook_claim(h->store, a, clock_wall_us(),
			HOOK_LEASE_US, HOOK_SENDING - h->n_sending, &rows,
			&n) != ERR_OK)
			n = 0;
		for (size_t i = 0; i < n; i++)
			hook_add(h, &rows[i]);
		arena_free(&a);
	}
	loop_timer_set(h->loop, t, HOOK_POLL_MS);
}

static void *
hook_run(void *arg)
{
	struct hook *h = arg;

	if (loop_run(h->loop) != ERR_OK)
		log_error("webhook.loop", "stopped");
	list_for_each (it, &h->sending) {
		struct hook_message *m =
		    LIST_ENTRY(it, struct hook_message, link);
		(void)!store_webhook_done(h->store, &m->webhook,
		    STORE_WEBHOOK_OWED, clock_wall_us(), "interrupted");
		hook_message_free(m);
	}
	return NULL;
}

enum err
hook_new(
    struct hook **out, const struct settings *settings, struct store *store)
{
	struct hook *h = mem_zalloc(sizeof(*h));

	h->settings = settings;
	h->store = store;
	h->poll = (struct loop_timer){.fn = hook_on_poll, .arg = h};
	list_init(&h->sending);
	enum err e = loop_new(&h->loop);
	if (e == ERR_OK)
		e = llm_http_new(&h->http, h->loop);
	if (e == ERR_OK)
		loop_timer_set(h->loop, &h->poll, 0);
	if (e == ERR_OK && pthread_create(&h->thread, NULL, hook_run, h) != 0)
		e = ERR_IO;
	if (e != ERR_OK) {
		llm_http_free(&h->http);
		loop_free(&h->loop);
		free(h);
		return e;
	}
	*out = h;
	return ERR_OK;
}

void
hook_free(struct hook **hook)
{
	struct hook *h = *hook;

	if (h == NULL)
		return;
	loop_stop(h->loop);
	pthread_join(h->thread, NULL);
	loop_timer_del(h->loop, &h->poll);
	llm_http_free(&h->http);
	loop_free(&h->loop);
	free(h);
	*hook = NULL;
}
