/* SPDX-License-Identifier: MIT
 *
 * What is read from a line is written again and compared, so that no byte is
 * left out: a space, another spelling of a character or a second member of the
 * same name would be a difference.
 */
#include "receipt/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "receipt/export_impl.h"
#include "receipt/receipt.h"

#define VERIFY_LINE_MAX	 ((size_t)64 << 20)
#define VERIFY_LINE_HEAD 4096 /* an event before its data */
#define VERIFY_DEPTH	 64

struct verify {
	const struct receipt_keys *keys;
	struct verify_report *report;
	const char *at, *end;
	struct arena *arena; /* of the file */
	struct arena *line;
	struct receipt receipt;
	const struct json *config, *result;
	struct chain chain;
};

static enum err PRINTF(3, 4)
    verify_fail(struct verify *v, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->report->why, sizeof(v->report->why), fmt, ap);
	va_end(ap);
	return e;
}

/* The next line without its newline; false at the end of the file. */
static bool
verify_line(struct verify *v, const char **text, size_t *len)
{
	const char *nl = v->at == v->end
	    ? NULL
	    : memchr(v->at, '\n', (size_t)(v->end - v->at));

	if (nl == NULL)
		return false;
	*text = v->at;
	*len = (size_t)(nl - v->at);
	v->at = nl + 1;
	return true;
}

static bool
verify_starts(const char *text, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(text, prefix, n) == 0;
}

static enum err
verify_json(struct verify *v, struct arena *a, const char *what,
    const char *text, size_t len, const struct json **out)
{
	const struct json_limits limits = {
	    .max_bytes = VERIFY_LINE_MAX, .max_depth = VERIFY_DEPTH};
	struct err_info info = {0};

	if (json_parse(a, text, len, &limits, out, &info) == ERR_OK)
		return ERR_OK;
	return verify_fail(v, ERR_SYNTAX, "%s: %s", what, info.text);
}

/* ---- the receipt ---- */

static enum err
verify_signature(struct verify *v, const char *text, size_t len,
    const char *signature, size_t signature_len)
{
	const struct receipt *r = &v->receipt;

	if (!str_eq(r->algorithm, RECEIPT_ALGORITHM))
		return verify_fail(v, ERR_UNSUPPORTED, "%s",
		    str_eq(r->algorithm, RECEIPT_UNSIGNED)
			? "the receipt is not signed"
			: "the receipt is signed with an unknown algorithm");
	if (r->key_id == NULL || strlen(r->key_id) >= RECEIPT_KEY_ID_SIZE)
		return verify_fail(v, ERR_SYNTAX, "the receipt names no key");
	snprintf(v->report->key_id, sizeof(v->report->key_id), "%s", r->key_id);
	enum err e = receipt_keys_verify(v->keys, r->key_id, text, len,
	    arena_strndup(v->arena, signature, signature_len));
	if (e == ERR_NOT_FOUND)
		return verify_fail(
		    v, e, "no key with the id %s is known here", r->key_id);
	if (e != ERR_OK)
		return verify_fail(
		    v, e, "the signature is not over this receipt");
	return ERR_OK;
}

/* Where the signature begins: behind the last of its name. */
static const char *
verify_find_last(const char *text, size_t len, const char *needle)
{
	size_t n = strlen(needle);

	for (size_t i = len; i >= n; i--)
		if (memcmp(text + i - n, needle, n) == 0)
			return text + i;
	return NULL;
}

static enum err
verify_receipt(struct verify *v)
{
	static const char head[] =
	    "{\"format\":\"" EXPORT_FORMAT "\",\"receipt\":";
	static const char name[] = ",\"signature\":";
	struct err_info info = {0};
	const char *line;
	size_t len;

	if (!verify_line(v, &line, &len) || !verify_starts(line, len, head))
		return verify_fail(v, ERR_SYNTAX,
		    "this is no export in the form " EXPORT_FORMAT);
	const char *text = line + sizeof(head) - 1;
	const char *after = verify_find_last(line, len, name);
	if (after == NULL || after - (sizeof(name) - 1) < text)
		return verify_fail(v, ERR_SYNTAX, "the signature is missing");
	size_t text_len = (size_t)(after - text) - (sizeof(name) - 1);
	if (text_len == 4 && memcmp(text, "null", 4) == 0)
		return verify_fail(v, ERR_UNSUPPORTED,
		    "there is no receipt: the debate was not finished");
	if (receipt_read(v->arena, text, text_len, &v->receipt, &info) !=
	    ERR_OK)
		return verify_fail(v, ERR_SYNTAX, "the receipt: %s", info.text);
	snprintf(v->report->debate_id, sizeof(v->report->debate_id), "%s",
	    v->receipt.debate_id);
	size_t rest = (size_t)(line + len - after);
	if (rest == 5 && memcmp(after, "null,", 5) == 0)
		return verify_fail(
		    v, ERR_UNSUPPORTED, "the receipt is not signed");
	if (rest < 3 || after[0] != '"' || after[rest - 2] != '"' ||
	    after[rest - 1] != ',')
		return verify_fail(v, ERR_SYNTAX, "the signature is damaged");
	return verify_signature(v, text, text_len, after + 1, rest - 3);
}

/* ---- configuration, result, summary ---- */

/* "name":TEXT, where TEXT has the hash the receipt names. */
static enum err
verify_part(struct verify *v, const char *name, const char *hash,
    const char **text, const struct json **out)
{
	const char *prefix = arena_printf(v->arena, "\"%s\":", name);
	char actual[ID_HASH_SIZE];
	const char *line;
	size_t len;

	*text = NULL;
	if (!verify_line(v, &line, &len) || !verify_starts(line, len, prefix) ||
	    len < strlen(prefix) + 2 || line[len - 1] != ',')
		return verify_fail(
		    v, ERR_SYNTAX, "the %s is missing or damaged", name);
	*text = arena_strndup(
	    v->arena, line + strlen(prefix), len - strlen(prefix) - 1);
	if (hash == NULL)
		return str_eq(*text, "null")
		    ? ERR_OK
		    : verify_fail(
			  v, ERR_DENIED, "the receipt knows of no %s", name);
	id_sha256(*text, strlen(*text), actual);
	if (!str_eq(actual, hash))
		return verify_fail(v, ERR_DENIED, "the %s was changed", name);
	return verify_json(v, v->arena, name, *text, strlen(*text), out);
}

static enum err
verify_summary(struct verify *v)
{
	struct buf again;
	const char *line;
	size_t len;

	buf_init(&again, VERIFY_LINE_MAX);
	export_json_summary(&again, v->receipt.debate_id, v->receipt.status,
	    v->config, v->result);
	buf_puts(&again, "\"events\":[\n");
	len = again.len;
	line = v->at;
	bool is_same = (size_t)(v->end - line) >= len &&
	    memcmp(line, buf_text(&again), len) == 0;
	buf_release(&again);
	if (!is_same)
		return verify_fail(v, ERR_SYNTAX,
		    "the summary does not follow from configuration and "
		    "result");
	v->at += len;
	return ERR_OK;
}

/* ---- events ---- */

/* The event of a line; its data is the text behind what is written of it. */
static enum err
verify_event_read(struct verify *v, const char *line, size_t len,
    struct store_event *e, const char **hash)
{
	const struct json *j = NULL;
	struct buf again;

	enum err err = verify_json(v, v->line, "event", line, len, &j);
	if (err != ERR_OK)
		return err;
	*e = (struct store_event){.seq = json_get_int(j, "seq", 0),
	    .type = json_get_str(j, "type", NULL),
	    .round = json_get_int(j, "round", -1),
	    .agent = json_get_str(j, "agent", NULL),
	    .created_us = json_get_int(j, "created_us", 0)};
	*hash = json_get_str(j, "hash", NULL);
	buf_init(&again, len + VERIFY_LINE_HEAD);
	export_json_event(&again, e, *hash);
	size_t head = again.len;
	bool is_same = e->type != NULL && *hash != NULL && head + 2 < len &&
	    memcmp(line, buf_text(&again), head) == 0 && line[len - 1] == '}';
	buf_release(&again);
	if (!is_same)
		return verify_fail(v, ERR_SYNTAX, "the event is damaged");
	e->data = arena_strndup(v->line, line + head, len - head - 1);
	return ERR_OK;
}

static enum err
verify_event(struct verify *v, const char *line, size_t len)
{
	int64_t wanted = v->report->events + 1;
	struct store_event e;
	char hex[ID_HASH_SIZE];
	const char *hash;

	arena_clear(v->line);
	v->report->event = wanted;
	enum err err = verify_event_read(v, line, len, &e, &hash);
	if (err != ERR_OK)
		return err;
	if (e.seq != wanted)
		return verify_fail(v, ERR_DENIED,
		    "event %lld stands where event %lld belongs",
		    (long long)e.seq, (long long)wanted);
	if (wanted > v->receipt.events)
		return verify_fail(v, ERR_DENIED,
		    "the receipt knows of %lld events only",
		    (long long)v->receipt.events);
	chain_add(&v->chain, &e);
	chain_hex(&v->chain, hex);
	if (!str_eq(hex, hash))
		return verify_fail(v, ERR_DENIED,
		    "event %lld does not have the hash it had",
		    (long long)wanted);
	v->report->events++;
	v->report->event = 0;
	return ERR_OK;
}

static enum err
verify_events(struct verify *v, const char *config)
{
	const char *line;
	size_t len;
	bool is_more = v->receipt.events > 0;

	chain_start(&v->chain, v->receipt.debate_id, config);
	while (is_more) {
		if (!verify_line(v, &line, &len) || len == 0) {
			v->report->event = v->report->events + 1;
			return verify_fail(v, ERR_SYNTAX,
			    "the file ends before event %lld",
			    (long long)v->report->event);
		}
		if (verify_starts(line, len, "]}")) {
			v->report->event = v->report->events + 1;
			return verify_fail(v, ERR_DENIED,
			    "event %lld is missing",
			    (long long)v->report->event);
		}
		is_more = line[len - 1] == ',';
		enum err e = verify_event(v, line, is_more ? len - 1 : len);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static enum err
verify_end(struct verify *v)
{
	static const char tail[] = "]}\n";
	char hex[ID_HASH_SIZE];

	if (v->report->events != v->receipt.events) {
		v->report->event = v->report->events + 1;
		return verify_fail(v, ERR_DENIED,
		    "%lld of %lld events are there",
		    (long long)v->report->events, (long long)v->receipt.events);
	}
	chain_hex(&v->chain, hex);
	if (!str_eq(hex, v->receipt.head))
		return verify_fail(v, ERR_DENIED,
		    "the chain does not end where the receipt says");
	if ((size_t)(v->end - v->at) != sizeof(tail) - 1 ||
	    memcmp(v->at, tail, sizeof(tail) - 1) != 0)
		return verify_fail(
		    v, ERR_SYNTAX, "the end of the file is damaged");
	return ERR_OK;
}

enum err
verify_export(const struct receipt_keys *keys, const char *text, size_t len,
    struct verify_report *report)
{
	struct verify v = {.keys = keys,
	    .report = report,
	    .at = text,
	    .end = text + len,
	    .arena = arena_new(0),
	    .line = arena_new(0)};
	const char *config = NULL, *result = NULL;

	*report = (struct verify_report){.events = 0};
	enum err e = verify_receipt(&v);
	if (e == ERR_OK)
		e = verify_part(
		    &v, "config", v.receipt.config_sha256, &config, &v.config);
	if (e == ERR_OK)
		e = verify_part(
		    &v, "result", v.receipt.result_sha256, &result, &v.result);
	if (e == ERR_OK)
		e = verify_summary(&v);
	if (e == ERR_OK)
		e = verify_events(&v, config);
	if (e == ERR_OK)
		e = verify_end(&v);
	arena_free(&v.line);
	arena_free(&v.arena);
	return e;
}
