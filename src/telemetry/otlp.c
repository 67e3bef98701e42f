/* SPDX-License-Identifier: MIT */
#include "telemetry/otlp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

#define OTLP_PAUSE_MS	    INT64_C(1000)
#define OTLP_PAUSE_MAX_MS   INT64_C(30000)
#define OTLP_RETRY_AFTER_MS INT64_C(300000) /* longest that is heeded */
#define OTLP_STATUS_ERROR   2
#define OTLP_FLAGS	    0xffu
#define OTLP_REJECTED_MAX   INT64_C(1000000000)

/* ---- the message ---- */

/* 64-bit numbers are texts in this mapping. */
static void
otlp_w_int64(struct json_w *w, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	json_w_str(w, key, text);
}

static void
otlp_w_text(struct json_w *w, const char *key, const char *value)
{
	json_w_begin(w, NULL);
	json_w_str(w, "key", key);
	json_w_begin(w, "value");
	json_w_str(w, "stringValue", value);
	json_w_end(w);
	json_w_end(w);
}

static void
otlp_w_number(struct json_w *w, const char *key, int64_t value)
{
	json_w_begin(w, NULL);
	json_w_str(w, "key", key);
	json_w_begin(w, "value");
	otlp_w_int64(w, "intValue", value);
	json_w_end(w);
	json_w_end(w);
}

static const char *
otlp_service(const struct otlp_sender *s)
{
	const char *said = otel_pairs_get(s->extra, "service.name");

	if (!str_is_empty(s->service))
		return s->service;
	return !str_is_empty(said) ? said : s->program;
}

static void
otlp_w_resource(struct json_w *w, const struct otlp_sender *s)
{
	const struct otel_pair own[] = {{"service.version", PACKAGE_VERSION},
	    {"service.instance.id", s->instance},
	    {"process.executable.name", s->program}};

	json_w_begin(w, "resource");
	json_w_begin_array(w, "attributes");
	otlp_w_text(w, "service.name", otlp_service(s));
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (otel_pairs_get(s->extra, own[i].key) == NULL)
			otlp_w_text(w, own[i].key, own[i].value);
	for (size_t i = 0; i < s->extra->n; i++)
		/* The first of a name counts, as for otel_pairs_get. */
		if (!str_eq(s->extra->rows[i].key, "service.name") &&
		    otel_pairs_get(s->extra, s->extra->rows[i].key) ==
			s->extra->rows[i].value)
			otlp_w_text(
			    w, s->extra->rows[i].key, s->extra->rows[i].value);
	json_w_end_array(w);
	json_w_end(w);
}

void
otlp_begin(struct buf *out, const struct otlp_sender *sender)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_begin_array(&w, "resourceSpans");
	json_w_begin(&w, NULL);
	otlp_w_resource(&w, sender);
	json_w_begin_array(&w, "scopeSpans");
	json_w_begin(&w, NULL);
	json_w_begin(&w, "scope");
	json_w_str(&w, "name", "aragora");
	json_w_str(&w, "version", PACKAGE_VERSION);
	json_w_end(&w);
	json_w_begin_array(&w, "spans");
}

static void
otlp_w_attributes(struct json_w *w, const struct span *s)
{
	json_w_begin_array(w, "attributes");
	for (size_t i = 0; i < s->n_attrs; i++) {
		const struct span_value *v = &s->attrs[i];
		if (span_attr_is_int(v->id))
			otlp_w_number(w, span_attr_name(v->id), v->number);
		else
			otlp_w_text(
			    w, span_attr_name(v->id), s->text + v->number);
	}
	json_w_end_array(w);
}

void
otlp_add(struct buf *out, const struct span *s)
{
	struct json_w w;
	int64_t end_us = s->end_us > s->start_us ? s->end_us : s->start_us;

	json_w_init(&w, out);
	w.needs_comma = out->len > 0 && out->data[out->len - 1] == '}';
	json_w_begin(&w, NULL);
	json_w_str(&w, "traceId", s->trace.id);
	json_w_str(&w, "spanId", s->trace.span);
	if (s->parent[0] != '\0')
		json_w_str(&w, "parentSpanId", s->parent);
	json_w_int(&w, "flags", s->trace.flags & OTLP_FLAGS);
	json_w_str(&w, "name", span_name(s));
	json_w_int(&w, "kind", s->kind);
	otlp_w_int64(&w, "startTimeUnixNano", s->start_us * 1000);
	otlp_w_int64(&w, "endTimeUnixNano", end_us * 1000);
	otlp_w_attributes(&w, s);
	if (s->is_error) {
		json_w_begin(&w, "status");
		json_w_int(&w, "code", OTLP_STATUS_ERROR);
		json_w_end(&w);
	}
	json_w_end(&w);
}

void
otlp_end(struct buf *out)
{
	buf_puts(out, "]}]}]}");
}

/* ---- the answer ---- */

enum otlp_verdict
otlp_judge(long status)
{
	if (status >= 200 && status < 300)
		return OTLP_TAKEN;
	return status == 0 || status == 429 || status == 502 || status == 503 ||
		status == 504
	    ? OTLP_AGAIN
	    : OTLP_REFUSED;
}

int64_t
otlp_pause_ms(int attempts, int64_t retry_after_ms, uint32_t random)
{
	int64_t pause = OTLP_PAUSE_MS;

	for (int i = 1; i < attempts && pause < OTLP_PAUSE_MAX_MS; i++)
		pause *= 2;
	if (pause > OTLP_PAUSE_MAX_MS)
		pause = OTLP_PAUSE_MAX_MS;
	/* Processes that lost the collector together come back apart. */
	pause = pause / 2 + (int64_t)(random % (uint32_t)(pause / 2 + 1));
	if (retry_after_ms > OTLP_RETRY_AFTER_MS)
		retry_after_ms = OTLP_RETRY_AFTER_MS;
	return retry_after_ms > pause ? retry_after_ms : pause;
}

/* As a text or as a number: both are read. */
static int64_t
otlp_count(const struct json *j)
{
	const char *text = json_str(j, NULL);
	int64_t n = 0;

	if (text != NULL ? str_to_i64(text, 0, OTLP_REJECTED_MAX, &n) != ERR_OK
			 : !json_int(j, &n))
		return 0;
	return n;
}

int64_t
otlp_rejected(const char *answer, size_t len, int64_t n)
{
	struct arena *a = arena_new(0);
	const struct json *j = NULL;
	int64_t rejected = 0;

	if (len > 0 && json_parse(a, answer, len, NULL, &j, NULL) == ERR_OK)
		rejected = otlp_count(
		    json_get(json_get(j, "partialSuccess"), "rejectedSpans"));
	arena_free(&a);
	if (rejected < 0)
		return 0;
	return rejected < n ? rejected : n;
}
