/* SPDX-License-Identifier: MIT
 *
 * Spans, their queue, their JSON, and what is done about a collector's
 * answers; the settings that say where they go.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "settings/otel.h"
#include "settings/settings.h"
#include "telemetry/otlp.h"
#include "telemetry/sampler.h"
#include "telemetry/span_queue.h"
#include "tests/unit/check_run.h"

#define ID     "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN   "00f067aa0ba902b7"
#define PARENT "b7ad6b7169203331"

static const struct trace trace = {.id = ID, .span = SPAN, .flags = 1};

/* ---- spans ---- */

START_TEST(test_span)
{
	char longer[SPAN_VALUE_MAX + 8];
	struct span s;

	memset(longer, 'x', sizeof(longer));
	/* A character of two bytes stands across the limit. */
	memcpy(longer + SPAN_VALUE_MAX - 1, "\xc3\xa9", 3);
	span_init(&s, &trace, PARENT, SPAN_SERVER, "GET /api/x");
	ck_assert_str_eq(span_name(&s), "GET /api/x");
	span_text(&s, SPAN_ATTR_ROUTE, longer);
	ck_assert_uint_eq(s.n_attrs, 1);
	ck_assert_uint_eq(
	    strlen(s.text + s.attrs[0].number), SPAN_VALUE_MAX - 1);
	span_text(&s, SPAN_ATTR_TENANT, NULL);
	span_text(&s, SPAN_ATTR_TENANT, "");
	ck_assert_uint_eq(s.n_attrs, 1);
	span_http_status(&s, 404);
	ck_assert(!s.is_error);
	span_http_status(&s, 503);
	ck_assert(s.is_error);
	/* What has no room is left out. */
	for (int i = 0; i < 100; i++)
		span_text(&s, SPAN_ATTR_ROUTE, longer);
	ck_assert_uint_le(s.text_len, SPAN_TEXT_MAX);
	for (int i = 0; i < 100; i++)
		span_int(&s, SPAN_ATTR_STATUS, i);
	ck_assert_uint_eq(s.n_attrs, SPAN_ATTRS_MAX);
	ck_assert_str_eq(span_name(&s), "GET /api/x");
}
END_TEST

/* ---- the queue ---- */

static void
put(struct span_queue *q, int64_t number, bool is_taken)
{
	struct span s;

	span_init(&s, &trace, "", SPAN_INTERNAL, "debate");
	s.start_us = number;
	ck_assert_int_eq(span_queue_put(q, &s), is_taken);
}

static int64_t
take(struct span_queue *q)
{
	struct span s;

	return span_queue_take(q, &s) ? s.start_us : -1;
}

START_TEST(test_queue)
{
	struct span_queue q;

	span_queue_init(&q, 4, 3);
	ck_assert_int_eq(take(&q), -1);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			put(&q, i, true);
		put(&q, 4, false);
		ck_assert_uint_eq(span_queue_count(&q), 4);
		ck_assert_int_eq(take(&q), 0);
		put(&q, 5, true); /* around the end */
		put(&q, 6, false);
		ck_assert(span_queue_wait(&q, 1000000));
		for (int i = 1; i < 4; i++)
			ck_assert_int_eq(take(&q), i);
		ck_assert_int_eq(take(&q), 5);
		ck_assert_int_eq(take(&q), -1);
	}
	put(&q, 1, true);
	int64_t before = clock_mono_ms();
	ck_assert(span_queue_wait(&q, 50)); /* one is not enough: it waits */
	ck_assert_int_ge(clock_mono_ms() - before, 50);
	ck_assert(span_queue_pause(&q, 1));
	span_queue_close(&q);
	put(&q, 2, false);
	ck_assert(!span_queue_pause(&q, 1000000));
	ck_assert(span_queue_wait(&q, 1000000)); /* what is left */
	ck_assert_int_eq(take(&q), 1);
	ck_assert(!span_queue_wait(&q, 1000000));
	span_queue_release(&q);
}
END_TEST

#define WRITERS 4
#define EACH	5000

static struct span_queue shared;
static atomic_long n_taken, n_refused;

static void *
writer(void *arg UNUSED)
{
	struct span s;

	span_init(&s, &trace, "", SPAN_INTERNAL, "debate");
	for (int i = 0; i < EACH; i++)
		atomic_fetch_add(
		    span_queue_put(&shared, &s) ? &n_taken : &n_refused, 1);
	return NULL;
}

static void *
reader(void *arg)
{
	struct span s;
	long *n = arg;

	while (span_queue_wait(&shared, 1))
		for (; span_queue_take(&shared, &s); ++*n)
			ck_assert_str_eq(span_name(&s), "debate");
	return NULL;
}

/* Each span is either told of as refused or comes out. */
START_TEST(test_threads)
{
	pthread_t writers[WRITERS], reads;
	long n = 0;

	span_queue_init(&shared, 64, 16);
	ck_assert_int_eq(pthread_create(&reads, NULL, reader, &n), 0);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(
		    pthread_create(&writers[i], NULL, writer, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	span_queue_close(&shared);
	pthread_join(reads, NULL);
	ck_assert_int_eq(n_taken + n_refused, WRITERS * EACH);
	ck_assert_int_eq(n, n_taken);
	span_queue_release(&shared);
}
END_TEST

/* ---- JSON ---- */

static const char *
message(struct buf *b, struct arena *a, const char *service,
    const char *resource, const struct span *spans, size_t n)
{
	struct otel_pairs pairs;
	struct otlp_sender sender = {.service = service,
	    .program = "aragora-x",
	    .instance = "i1",
	    .extra = &pairs};

	ck_assert_int_eq(otel_attributes(a, resource, &pairs, NULL), ERR_OK);
	buf_init(b, 1u << 20);
	otlp_begin(b, &sender);
	for (size_t i = 0; i < n; i++)
		otlp_add(b, &spans[i]);
	otlp_end(b);
	ck_assert_int_eq(
	    json_validate(buf_text(b), b->len, NULL, NULL), ERR_OK);
	return buf_text(b);
}

START_TEST(test_json)
{
	static const char want[] =
	    "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
	    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"mine\"}},"
	    "{\"key\":\"service.version\",\"value\":{\"stringValue\":"
	    "\"" PACKAGE_VERSION "\"}},"
	    "{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":"
	    "\"i1\"}},"
	    "{\"key\":\"process.executable.name\",\"value\":{\"stringValue\":"
	    "\"aragora-x\"}}]},"
	    "\"scopeSpans\":[{\"scope\":{\"name\":\"aragora\",\"version\":"
	    "\"" PACKAGE_VERSION "\"},\"spans\":["
	    "{\"traceId\":\"" ID "\",\"spanId\":\"" SPAN "\","
	    "\"parentSpanId\":\"" PARENT "\",\"flags\":1,"
	    "\"name\":\"GET \\\"x\\\"\",\"kind\":2,"
	    "\"startTimeUnixNano\":\"1795000000123456000\","
	    "\"endTimeUnixNano\":\"1795000000123457000\",\"attributes\":["
	    "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":"
	    "\"500\"}},"
	    "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"500\"}}],"
	    "\"status\":{\"code\":2}},"
	    "{\"traceId\":\"" ID "\",\"spanId\":\"" SPAN "\",\"flags\":1,"
	    "\"name\":\"debate\",\"kind\":1,\"startTimeUnixNano\":\"5000\","
	    "\"endTimeUnixNano\":\"5000\",\"attributes\":[]}]}]}]}";
	struct arena *a = arena_new(0);
	struct span spans[2];
	struct buf b;

	span_init(&spans[0], &trace, PARENT, SPAN_SERVER, "GET \"x\"");
	spans[0].start_us = INT64_C(1795000000123456);
	spans[0].end_us = INT64_C(1795000000123457);
	span_http_status(&spans[0], 500);
	/* A clock that was set back: no end before the begin. */
	span_init(&spans[1], &trace, "", SPAN_INTERNAL, "debate");
	spans[1].start_us = 5;
	spans[1].end_us = 4;
	ck_assert_str_eq(message(&b, a, "mine", "", spans, 2), want);
	buf_release(&b);
	arena_free(&a);
}
END_TEST

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

START_TEST(test_resource)
{
	struct arena *a = arena_new(0);
	struct buf b;

	const char *text = message(
	    &b, a, "", "service.name=a%2Cb,x=1,x=2,service.version=7", NULL, 0);
	ck_assert_uint_eq(count(text, "\"service.name\""), 1);
	ck_assert_uint_eq(count(text, "\"a,b\""), 1);
	ck_assert_uint_eq(count(text, "\"service.version\""), 1);
	ck_assert_uint_eq(count(text, "\"7\""), 1);
	ck_assert_uint_eq(count(text, "\"x\""), 1);
	buf_release(&b);
	text = message(&b, a, "own", "service.name=a", NULL, 0);
	ck_assert_uint_eq(count(text, "\"service.name\""), 1);
	ck_assert_uint_eq(count(text, "\"own\""), 1);
	buf_release(&b);
	text = message(&b, a, "", "", NULL, 0);
	ck_assert_uint_eq(count(text, "\"aragora-x\""), 2);
	buf_release(&b);
	arena_free(&a);
}
END_TEST

/* ---- answers ---- */

START_TEST(test_judge)
{
	static const long again[] = {0, 429, 502, 503, 504};
	static const long refused[] = {
	    100, 301, 307, 400, 401, 403, 404, 413, 500, 501, 505};

	for (long i = 200; i < 300; i++)
		ck_assert_int_eq(otlp_judge(i), OTLP_TAKEN);
	for (size_t i = 0; i < ARRAY_LEN(again); i++)
		ck_assert_int_eq(otlp_judge(again[i]), OTLP_AGAIN);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		ck_assert_int_eq(otlp_judge(refused[i]), OTLP_REFUSED);
}
END_TEST

START_TEST(test_pause)
{
	static const uint32_t randoms[] = {0, 1, 77777, UINT32_MAX};
	int64_t most = 1000;

	for (int n = 1; n < 40; n++) {
		for (size_t i = 0; i < ARRAY_LEN(randoms); i++) {
			int64_t p = otlp_pause_ms(n, -1, randoms[i]);
			ck_assert_int_ge(p, most / 2);
			ck_assert_int_le(p, most);
			/* No sooner than it was asked for, but not for ever. */
			ck_assert_int_eq(
			    otlp_pause_ms(n, 45000, randoms[i]), 45000);
			ck_assert_int_eq(
			    otlp_pause_ms(n, INT64_MAX, randoms[i]), 300000);
		}
		most = most * 2 < 30000 ? most * 2 : 30000;
	}
}
END_TEST

START_TEST(test_rejected)
{
	static const struct {
		const char *text;
		int64_t n;
	} rows[] = {{"", 0}, {"{}", 0}, {"<html>", 0}, {"[]", 0}, {"null", 0},
	    {"{\"partialSuccess\":null}", 0}, {"{\"partialSuccess\":{}}", 0},
	    {"{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}", 3},
	    {"{\"partialSuccess\":{\"rejectedSpans\":4,\"errorMessage\":"
	     "\"no\"}}",
		4},
	    {"{\"partialSuccess\":{\"rejectedSpans\":\"-3\"}}", 0},
	    {"{\"partialSuccess\":{\"rejectedSpans\":-3}}", 0},
	    {"{\"partialSuccess\":{\"rejectedSpans\":\"99\"}}", 9},
	    {"{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}", 0},
	    {"{\"partialSuccess\":{\"rejectedSpans\":true}}", 0},
	    {"{\"partialSuccess\":{\"rejectedSpans\":\"3\"}", 0}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(otlp_rejected(rows[i].text, strlen(rows[i].text),
				  9) == rows[i].n,
		    "%s", rows[i].text);
}
END_TEST

/* ---- which traces ---- */

static bool
is_sampled(const char *name, double ratio, const char *id, int flags)
{
	struct settings s = {.otel_traces_sampler = (char *)(uintptr_t)name,
	    .otel_traces_sampler_arg = ratio};
	struct trace t = {.flags = flags < 0 ? 0 : (unsigned)flags};

	snprintf(t.id, sizeof(t.id), "%s", id);
	sampler_decide(&s, &t, flags >= 0);
	ck_assert_uint_eq(
	    t.flags & ~TRACE_SAMPLED, flags < 0 ? 0 : (unsigned)flags & ~1u);
	return (t.flags & TRACE_SAMPLED) != 0;
}

START_TEST(test_sampler)
{
	static const char low[] = "ffffffffffffffff0000000000000001";
	static const char high[] = "0000000000000001ffffffffffffffff";
	static const struct {
		const char *name;
		double ratio;
		bool begun, unasked, asked; /* none, flags 02 and 03 */
	} rows[] = {{"always_on", 0, true, true, true},
	    {"always_off", 1, false, false, false},
	    {"traceidratio", 1, true, true, true},
	    {"traceidratio", 0, false, false, false},
	    {"parentbased_always_on", 0, true, false, true},
	    {"parentbased_always_off", 1, false, false, true},
	    {"parentbased_traceidratio", 1, true, false, true},
	    {"parentbased_traceidratio", 0, false, false, true}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *name = rows[i].name;
		double ratio = rows[i].ratio;
		ck_assert_int_eq(
		    is_sampled(name, ratio, high, -1), rows[i].begun);
		ck_assert_int_eq(
		    is_sampled(name, ratio, high, 2), rows[i].unasked);
		ck_assert_int_eq(
		    is_sampled(name, ratio, high, 3), rows[i].asked);
	}
	ck_assert(is_sampled("traceidratio", 0.01, low, -1));
	ck_assert(!is_sampled("traceidratio", 0.99, high, -1));
	/* About the share that was asked for, also of ids that count. */
	int n = 0;
	for (unsigned i = 0; i < 4096; i++) {
		uint64_t bytes[2] = {UINT64_C(0x1234567890abcdef),
		    UINT64_C(0xfedcba9876543210) + i};
		char id[TRACE_ID_LEN + 1];
		str_hex(bytes, sizeof(bytes), id);
		n += is_sampled("traceidratio", 0.25, id, -1);
	}
	ck_assert_int_ge(n, 4096 / 5);
	ck_assert_int_le(n, 4096 / 3);
}
END_TEST

/* ---- settings ---- */

START_TEST(test_url)
{
	static const char *const bad[] = {"collector:4318", "ftp://c",
	    "http://", "https:///x", "http://u@c", "http://u:p@c:1/x",
	    "http://c/?k=v", "http://c#x", "http://c d", "http://c\x01",
	    "http://\xc3\xa9"};
	struct arena *a = arena_new(0);
	struct err_info info;
	const char *url;

	ck_assert_int_eq(otel_url(a, "", "", &url, &info), ERR_OK);
	ck_assert_ptr_null(url);
	ck_assert_int_eq(otel_url(a, "http://c:4318", "", &url, &info), ERR_OK);
	ck_assert_str_eq(url, "http://c:4318/v1/traces");
	ck_assert_int_eq(
	    otel_url(a, "https://c/otlp//", "", &url, &info), ERR_OK);
	ck_assert_str_eq(url, "https://c/otlp/v1/traces");
	ck_assert_int_eq(
	    otel_url(a, "http://c", "http://[::1]:9/t/", &url, &info), ERR_OK);
	ck_assert_str_eq(url, "http://[::1]:9/t/");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(
		    otel_url(a, bad[i], "", &url, &info), ERR_INVALID);
		ck_assert_str_eq(info.field, "OTEL_EXPORTER_OTLP_ENDPOINT");
		ck_assert_int_eq(
		    otel_url(a, "", bad[i], &url, &info), ERR_INVALID);
		ck_assert_str_eq(
		    info.field, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
	}
	arena_free(&a);
}
END_TEST

START_TEST(test_pairs)
{
	static const char *const bad[] = {"planted", "=planted", "a=1,planted",
	    "k=planted%", "k=planted%4", "k=planted%zz", "k=planted%0a",
	    "k=planted%00", "k=planted%ff", "k=planted\x7f"};
	struct arena *a = arena_new(0);
	struct otel_pairs p;
	struct err_info info;

	ck_assert_int_eq(otel_headers(a, "", &p, &info), ERR_OK);
	ck_assert_uint_eq(p.n, 0);
	ck_assert_int_eq(
	    otel_headers(
		a, " authorization = Basic%20eDp5PT0= , x-b=1,,", &p, &info),
	    ERR_OK);
	ck_assert_uint_eq(p.n, 2);
	ck_assert_str_eq(otel_pairs_get(&p, "authorization"), "Basic eDp5PT0=");
	ck_assert_str_eq(otel_pairs_get(&p, "x-b"), "1");
	ck_assert_ptr_null(otel_pairs_get(&p, "x-c"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		info = (struct err_info){0};
		ck_assert_msg(otel_headers(a, bad[i], &p, &info) == ERR_INVALID,
		    "%s", bad[i]);
		ck_assert_ptr_null(strstr(info.text, "planted"));
		ck_assert_str_eq(info.field, "OTEL_EXPORTER_OTLP_HEADERS");
		ck_assert_int_eq(
		    otel_attributes(a, bad[i], &p, &info), ERR_INVALID);
		ck_assert_str_eq(info.field, "OTEL_RESOURCE_ATTRIBUTES");
	}
	ck_assert_int_eq(otel_headers(a, "a b=1", &p, &info), ERR_INVALID);
	ck_assert_int_eq(otel_headers(a, "a:b=1", &p, &info), ERR_INVALID);
	ck_assert_int_eq(otel_attributes(a, "a b=1", &p, &info), ERR_OK);
	arena_free(&a);
}
END_TEST

/* The settings refuse them at the start, all at once. */
START_TEST(test_settings)
{
	struct settings *s = NULL;
	struct buf errors;

	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318", 1);
	setenv("OTEL_EXPORTER_OTLP_HEADERS", "planted", 1);
	setenv("OTEL_RESOURCE_ATTRIBUTES", "planted", 1);
	buf_init(&errors, 1u << 16);
	ck_assert_int_eq(settings_load(&s, &errors), ERR_INVALID);
	ck_assert_uint_eq(count(buf_text(&errors), "\n"), 3);
	ck_assert_ptr_null(strstr(buf_text(&errors), "planted"));
	buf_release(&errors);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_span);
	tcase_add_test(t, test_queue);
	tcase_add_test(t, test_threads);
	tcase_add_test(t, test_json);
	tcase_add_test(t, test_resource);
	tcase_add_test(t, test_judge);
	tcase_add_test(t, test_pause);
	tcase_add_test(t, test_rejected);
	tcase_add_test(t, test_sampler);
	tcase_add_test(t, test_url);
	tcase_add_test(t, test_pairs);
	tcase_add_test(t, test_settings);
}

int
main(void)
{
	return check_run("otlp", add_tests);
}
