/* SPDX-License-Identifier: MIT
 *
 * permessage-deflate: which offers are taken; that what is deflated once comes
 * out whole in each form it is sent in; that inflating stops at its limit.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ws-bridge/outq.h"
#include "ws-bridge/ws_deflate.h"

static const struct {
	const char *offer;
	enum ws_offer expected;
} offers[] = {
    {NULL, WS_OFFER_NONE},
    {"permessage-deflate", WS_OFFER_DEFLATE},
    {"permessage-deflate; client_max_window_bits", WS_OFFER_DEFLATE},
    {"permessage-deflate;client_max_window_bits=10", WS_OFFER_DEFLATE},
    {"permessage-deflate ; server_max_window_bits = \"15\"", WS_OFFER_DEFLATE},
    {"permessage-deflate; server_no_context_takeover; "
     "client_no_context_takeover",
	WS_OFFER_DEFLATE},
    {"x-webkit-deflate-frame, permessage-deflate", WS_OFFER_DEFLATE},
    {"x-other;a=1;b=\"2\"", WS_OFFER_NONE},
    /* what we send is deflated with the largest window */
    {"permessage-deflate; server_max_window_bits=10", WS_OFFER_NONE},
    {"permessage-deflate; server_max_window_bits=10, permessage-deflate",
	WS_OFFER_DEFLATE},
    {"permessage-deflate; server_max_window_bits", WS_OFFER_NONE},
    {"permessage-deflate; client_max_window_bits=7", WS_OFFER_NONE},
    {"permessage-deflate; client_max_window_bits=16", WS_OFFER_NONE},
    {"permessage-deflate; client_max_window_bits=08", WS_OFFER_NONE},
    {"permessage-deflate; client_no_context_takeover=1", WS_OFFER_NONE},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits",
	WS_OFFER_NONE},
    {"permessage-deflate; memory=much", WS_OFFER_NONE},
    {"permessage-deflated", WS_OFFER_NONE},
    {"", WS_OFFER_BAD},
    {",", WS_OFFER_BAD},
    {"permessage-deflate,", WS_OFFER_BAD},
    {"permessage-deflate;", WS_OFFER_BAD},
    {"permessage-deflate; =1", WS_OFFER_BAD},
    {"permessage-deflate; a=", WS_OFFER_BAD},
    {"permessage-deflate; a=\"1", WS_OFFER_BAD},
    {"permessage-deflate; a=\"\"", WS_OFFER_BAD},
    {"permessage-deflate / x", WS_OFFER_BAD},
};

START_TEST(test_offers)
{
	ck_assert_int_eq(
	    ws_deflate_offer(offers[_i].offer), offers[_i].expected);
}
END_TEST

/* RFC 7692 7.2.3: "Hello" in each way the document shows. */
static const struct {
	const char *bytes;
	size_t len;
} hellos[] = {
    {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7},
    {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11},
    {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8},
    {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13},
};

START_TEST(test_hello)
{
	struct ws_deflater *d = ws_deflater_new();
	struct buf out;

	buf_init(&out, 5);
	for (int i = 0; i < 3; i++) {
		buf_clear(&out);
		ck_assert_int_eq(
		    ws_inflate(d, hellos[_i].bytes, hellos[_i].len, &out),
		    WS_INFLATED);
		ck_assert_str_eq(buf_text(&out), "Hello");
	}
	buf_release(&out);
	buf_init(&out, 4);
	ck_assert_int_eq(ws_inflate(d, hellos[_i].bytes, hellos[_i].len, &out),
	    WS_INFLATED_TOO_BIG);
	buf_release(&out);
	ws_deflater_free(&d);
}
END_TEST

START_TEST(test_bad_data)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
	    {"\x07", 1},		     /* reserved block type */
	    {"\x00\x06\x00\xf9\xff\x48", 6}, /* the block goes on */
	    {"\x00\x05\x00\x00\x00", 5},     /* length and complement */
	    {"\xf2\x48\xcd", 3},	     /* ends within a code */
	    {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00", 9}, /* after the last */
	};
	struct ws_deflater *d = ws_deflater_new();
	struct buf out;

	buf_init(&out, 100);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_clear(&out);
		ck_assert_msg(ws_inflate(d, bad[i].bytes, bad[i].len, &out) ==
			WS_INFLATED_BAD,
		    "row %zu", i);
	}
	/* The context is good for the next message. */
	buf_clear(&out);
	ck_assert_int_eq(
	    ws_inflate(d, hellos[0].bytes, hellos[0].len, &out), WS_INFLATED);
	buf_release(&out);
	ws_deflater_free(&d);
}
END_TEST

/* Ten megabytes of one letter in ten kilobytes: nothing is kept of it beyond
 * the limit. */
START_TEST(test_bomb)
{
	size_t size = 10u << 20;
	char *many = mem_alloc(size);
	struct ws_deflater *d = ws_deflater_new();
	struct buf small, out;

	memset(many, 'a', size);
	buf_init(&small, size);
	ck_assert(ws_deflate(d, many, size, &small));
	ck_assert_uint_lt(small.len, 16384);
	buf_init(&out, 65536);
	ck_assert_int_eq(
	    ws_inflate(d, small.data, small.len, &out), WS_INFLATED_TOO_BIG);
	ck_assert_uint_le(out.cap, 2 * 65536);
	buf_release(&out);
	buf_init(&out, size);
	ck_assert_int_eq(
	    ws_inflate(d, small.data, small.len, &out), WS_INFLATED);
	ck_assert_uint_eq(out.len, size);
	ck_assert(memcmp(out.data, many, size) == 0);
	buf_release(&out);
	buf_release(&small);
	ws_deflater_free(&d);
	free(many);
}
END_TEST

static void
text_of(struct buf *b, size_t len)
{
	buf_init(b, len);
	buf_puts(b, "{\"type\":\"agent_message\",\"data\":{\"content\":\"");
	while (b->len + 3 < len)
		buf_putc(b, (char)('a' + b->len * b->len % 23));
	buf_puts(b, "\"}}");
	ck_assert_uint_eq(b->len, len);
}

/* What a client makes of a frame in this form. */
static void
check_ws(struct frame *f, enum frame_form form, bool is_replayed,
    struct ws_deflater *d, const struct buf *want)
{
	struct ws_decoder decoder;
	struct outq_vec v;
	struct outq q = {0};
	struct buf wire, message;
	size_t used;

	outq_push(&q, frame_ref(f), form, is_replayed);
	buf_init(&wire, 1u << 20);
	buf_init(&message, 1u << 20);
	outq_gather(&q, &v);
	for (int i = 0; i < v.n; i++)
		buf_append(&wire, v.iov[i].iov_base, v.iov[i].iov_len);
	ck_assert_uint_eq(wire.len, q.bytes);
	ws_decoder_init(&decoder, WS_CLIENT, 1u << 20);
	decoder.may_deflate = true;
	ck_assert_int_eq(
	    ws_decoder_feed(&decoder, (uint8_t *)wire.data, wire.len, &used),
	    WS_EVENT_MESSAGE);
	ck_assert_uint_eq(used, wire.len);
	ck_assert_int_eq(decoder.is_deflated, form == FRAME_DEFLATED);
	if (decoder.is_deflated)
		ck_assert_int_eq(ws_inflate(d, decoder.message.data,
				     decoder.message.len, &message),
		    WS_INFLATED);
	else
		buf_append(&message, decoder.message.data, decoder.message.len);
	if (is_replayed) {
		ck_assert(strncmp(buf_text(&message), "{\"replayed\":true,",
			      17) == 0);
		ck_assert_str_eq(message.data + 17, want->data + 1);
	} else {
		ck_assert_str_eq(buf_text(&message), want->data);
	}
	ws_decoder_release(&decoder);
	buf_release(&wire);
	buf_release(&message);
	outq_release(&q);
}

START_TEST(test_forms)
{
	static const size_t sizes[] = {200, 1000, 65530, 65540, 300000};
	struct ws_deflater *d = ws_deflater_new();
	struct buf text;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		text_of(&text, sizes[i]);
		struct frame *f = frame_new_event(7, text.data, text.len);
		ck_assert_int_eq(
		    frame_form_for(f, FRAME_DEFLATED, d), FRAME_DEFLATED);
		const void *once = atomic_load(&f->deflated);
		ck_assert_int_eq(
		    frame_form_for(f, FRAME_DEFLATED, NULL), FRAME_DEFLATED);
		ck_assert_ptr_eq(atomic_load(&f->deflated), once);
		for (int replayed = 0; replayed < 2; replayed++) {
			check_ws(f, FRAME_PLAIN, replayed, d, &text);
			check_ws(f, FRAME_DEFLATED, replayed, d, &text);
		}
		frame_unref(&f);
		buf_release(&text);
	}
	ws_deflater_free(&d);
}
END_TEST

/* Neither what is short, nor what does not shrink, nor control frames. */
START_TEST(test_not_worth_it)
{
	struct ws_deflater *d = ws_deflater_new();
	uint8_t noise[1000];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(noise); i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (uint8_t)(x >> 24);
	}
	struct frame *rows[] = {frame_new(WS_TEXT, 1, "{\"type\":\"x\"}", 12),
	    frame_new(WS_TEXT, 0, "", 0),
	    frame_new(WS_BINARY, 0, noise, sizeof(noise)),
	    frame_new(WS_PING, 0, NULL, 0), frame_new_raw(noise, 500)};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(
		    frame_form_for(rows[i], FRAME_DEFLATED, d), FRAME_PLAIN);
		ck_assert_int_eq(
		    frame_form_for(rows[i], FRAME_DEFLATED, d), FRAME_PLAIN);
		frame_unref(&rows[i]);
	}
	ws_deflater_free(&d);
}
END_TEST

/* Server-sent events: an event is its lines and an empty one, whatever the
 * text holds. */
START_TEST(test_sse)
{
	static const struct {
		int64_t seq;
		bool is_replayed;
		const char *payload;
		const char *want;
	} rows[] = {
	    {17, false, "{\"type\":\"vote\",\n\"data\":\r{}}",
		"id: 17\nevent: vote\ndata: {\"type\":\"vote\", \"data\": "
		"{}}\n\n"},
	    {18, true, "{\"type\":\"vote\",\"seq\":18}",
		"id: 18\nevent: vote\ndata: "
		"{\"replayed\":true,\"type\":\"vote\",\"seq\":18}\n\n"},
	    {0, false, "{\"type\":\"token_delta\"}",
		"event: token_delta\ndata: {\"type\":\"token_delta\"}\n\n"},
	    /* a name that cannot stand in a line, and one that is too long */
	    {1, false, "{\"type\":\"a b\"}",
		"id: 1\nevent: message\ndata: {\"type\":\"a b\"}\n\n"},
	    {1, false,
		"{\"type\":"
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
		"id: 1\nevent: message\ndata: {\"type\":"
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n\n"},
	    {INT64_MAX, true, "{}",
		"id: 9223372036854775807\nevent: message\ndata: "
		"{\"replayed\":true,}\n\n"},
	};
	struct frame *f = frame_new_event(
	    rows[_i].seq, rows[_i].payload, strlen(rows[_i].payload));
	struct outq q = {0};
	struct outq_vec v;
	struct buf wire;

	ck_assert_int_eq(frame_form_for(f, FRAME_SSE, NULL), FRAME_SSE);
	outq_push(&q, f, FRAME_SSE, rows[_i].is_replayed);
	outq_gather(&q, &v);
	buf_init(&wire, 1000);
	for (int i = 0; i < v.n; i++)
		buf_append(&wire, v.iov[i].iov_base, v.iov[i].iov_len);
	ck_assert_str_eq(buf_text(&wire), rows[_i].want);
	ck_assert_uint_eq(wire.len, q.bytes);
	buf_release(&wire);
	outq_release(&q);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_deflate");
	TCase *t = tcase_create("deflate");
	SRunner *r = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, test_offers, 0, (int)ARRAY_LEN(offers));
	tcase_add_loop_test(t, test_hello, 0, (int)ARRAY_LEN(hellos));
	tcase_add_test(t, test_bad_data);
	tcase_add_test(t, test_bomb);
	tcase_add_test(t, test_forms);
	tcase_add_test(t, test_not_worth_it);
	tcase_add_loop_test(t, test_sse, 0, 6);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
