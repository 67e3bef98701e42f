/* SPDX-License-Identifier: MIT */
#include "receipt/receipt.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "settings/settings.h"

#define RECEIPT_BYTES_MAX 8192
#define RECEIPT_PAGE	  32 /* events at once */
#define RECEIPT_MARKS_MAX ((size_t)64 << 20)

enum err
receipt_keys_open(struct receipt_keys **out, const struct settings *settings,
    struct err_info *info)
{
	struct err_info why = {0};

	*out = receipt_keys_new();
	if (*settings->receipt_key == '\0')
		return ERR_OK;
	enum err e = receipt_keys_add(*out, settings->receipt_key, &why);
	if (e != ERR_OK) {
		receipt_keys_free(out);
		err_set(info, e, "ARAGORA_RECEIPT_KEY", "%s", why.text);
	}
	return e;
}

/* ---- its text ---- */

void
receipt_write(struct buf *out, const struct receipt *r)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "format", RECEIPT_FORMAT);
	json_w_str(&w, "debate_id", r->debate_id);
	json_w_str(&w, "status", r->status);
	json_w_str(&w, "config_sha256", r->config_sha256);
	json_w_str(&w, "result_sha256", r->result_sha256);
	json_w_int(&w, "events", r->events);
	json_w_str(&w, "head", r->head);
	json_w_time(&w, "created_at", r->created_us);
	json_w_time(&w, "started_at", r->started_us);
	json_w_time(&w, "completed_at", r->completed_us);
	json_w_time(&w, "sealed_at", r->sealed_us);
	json_w_str(&w, "program", r->program);
	json_w_str(&w, "algorithm", r->algorithm);
	json_w_str(&w, "key_id", r->key_id);
	json_w_end(&w);
}

static int64_t
receipt_time(const struct json *j, const char *key)
{
	const char *text = json_get_str(j, key, NULL);
	int64_t us = 0;

	return text != NULL && clock_parse_iso(text, &us) == ERR_OK ? us : 0;
}

enum err
receipt_read(struct arena *a, const char *text, size_t len, struct receipt *out,
    struct err_info *info)
{
	const struct json *j = NULL;
	struct buf again;

	enum err e = json_parse(a, text, len, NULL, &j, info);
	if (e != ERR_OK)
		return e;
	*out = (struct receipt){.debate_id = json_get_str(j, "debate_id", NULL),
	    .status = json_get_str(j, "status", NULL),
	    .config_sha256 = json_get_str(j, "config_sha256", NULL),
	    .result_sha256 = json_get_str(j, "result_sha256", NULL),
	    .events = json_get_int(j, "events", -1),
	    .head = json_get_str(j, "head", NULL),
	    .created_us = receipt_time(j, "created_at"),
	    .started_us = receipt_time(j, "started_at"),
	    .completed_us = receipt_time(j, "completed_at"),
	    .sealed_us = receipt_time(j, "sealed_at"),
	    .program = json_get_str(j, "program", NULL),
	    .algorithm = json_get_str(j, "algorithm", NULL),
	    .key_id = json_get_str(j, "key_id", NULL)};
	buf_init(&again, RECEIPT_BYTES_MAX);
	receipt_write(&again, out);
	bool is_same = again.len == len && memcmp(again.data, text, len) == 0;
	buf_release(&again);
	if (!is_same || out->debate_id == NULL || out->status == NULL ||
	    out->config_sha256 == NULL || out->head == NULL ||
	    out->algorithm == NULL)
		return err_set(info, ERR_SYNTAX, "receipt",
		    "is not a receipt in the form " RECEIPT_FORMAT);
	return ERR_OK;
}

/* ---- sealing ---- */

struct receipt_walk {
	struct chain chain;
	int64_t events;
	struct buf marks; /* the chain after each event, hex */
};

/* The chain over the stored events, a page at a time. */
static enum err
receipt_walk(
    struct store *store, const struct store_debate *d, struct receipt_walk *w)
{
	struct arena *page = arena_new(0);
	struct store_event *rows;
	char hex[ID_HASH_SIZE];
	int64_t seq = 0;
	size_t n;
	enum err e;

	chain_start(&w->chain, d->id, d->config);
	do {
		arena_clear(page);
		e = store_event_list(store, page, d->tenant, d->id, seq,
		    RECEIPT_PAGE, &rows, &n);
		for (size_t i = 0; i < n; i++) {
			chain_add(&w->chain, &rows[i]);
			chain_hex(&w->chain, hex);
			buf_puts(&w->marks, hex);
			seq = rows[i].seq;
		}
		w->events += (int64_t)n;
	} while (e == ERR_OK && n == RECEIPT_PAGE);
	arena_free(&page);
	return e == ERR_OK && w->marks.is_overflowed ? ERR_TOO_LARGE : e;
}

static const char *
receipt_sha256(struct arena *a, const char *text)
{
	char hash[ID_HASH_SIZE];

	if (text == NULL)
		return NULL;
	id_sha256(text, strlen(text), hash);
	return arena_strdup(a, hash);
}

static enum err
receipt_make(const struct receipt_keys *keys, struct arena *a,
    const struct store_debate *d, const struct receipt_walk *w,
    struct store_receipt *out)
{
	char head[ID_HASH_SIZE], signature[RECEIPT_SIGNATURE_SIZE];
	const char *signer = receipt_keys_signer(keys);
	struct buf text;
	enum err e = ERR_OK;

	chain_hex(&w->chain, head);
	struct receipt r = {.debate_id = d->id,
	    .status = store_status_name(d->status),
	    .config_sha256 = receipt_sha256(a, d->config),
	    .result_sha256 = receipt_sha256(a, d->result),
	    .events = w->events,
	    .head = head,
	    .created_us = d->created_us,
	    .started_us = d->started_us,
	    .completed_us = d->completed_us,
	    .sealed_us = clock_wall_us(),
	    .program = "aragora " PACKAGE_VERSION,
	    .algorithm = signer != NULL ? RECEIPT_ALGORITHM : RECEIPT_UNSIGNED,
	    .key_id = signer};
	buf_init(&text, RECEIPT_BYTES_MAX);
	receipt_write(&text, &r);
	if (text.is_overflowed)
		e = ERR_TOO_LARGE;
	if (e == ERR_OK && signer != NULL)
		e = receipt_keys_sign(
		    keys, buf_text(&text), text.len, signature);
	*out = (struct store_receipt){.text = arena_strdup(a, buf_text(&text)),
	    .signature = e == ERR_OK && signer != NULL
		? arena_strdup(a, signature)
		: NULL,
	    .marks = arena_strdup(a, buf_text(&w->marks))};
	buf_release(&text);
	return e;
}

enum err
receipt_seal(struct store *store, const struct receipt_keys *keys,
    struct arena *a, const char *tenant, const char *id,
    struct store_receipt *out)
{
	struct receipt_walk w = {.events = 0};
	struct store_receipt mine;
	struct store_debate d;

	enum err e = store_receipt_get(store, a, tenant, id, out);
	if (e != ERR_NOT_FOUND)
		return e;
	e = store_debate_get(store, a, tenant, id, &d);
	if (e != ERR_OK)
		return e;
	if (!store_status_is_final(d.status))
		return ERR_CONFLICT;
	buf_init(&w.marks, RECEIPT_MARKS_MAX);
	e = receipt_walk(store, &d, &w);
	if (e == ERR_OK)
		e = receipt_make(keys, a, &d, &w, &mine);
	buf_release(&w.marks);
	/* Of two that seal at once the first one's receipt stays. */
	if (e == ERR_OK)
		e = store_receipt_put(store, tenant, d.id, &mine);
	if (e == ERR_OK)
		e = store_receipt_get(store, a, tenant, d.id, out);
	return e;
}
