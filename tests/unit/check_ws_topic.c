/* SPDX-License-Identifier: MIT
 *
 * Frames, rings, topics and output queues: whatever order messages come in,
 * a cursor sees each sequence number once and in order.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "bus/event.h"
#include "ws-bridge/outq.h"
#include "ws-bridge/topic.h"

static struct frame *
frame_of(int64_t seq)
{
	char text[64];
	int n = snprintf(
	    text, sizeof(text), "{\"type\":\"x\",\"seq\":%d}", (int)seq);

	return frame_new(WS_TEXT, seq, text, (size_t)n);
}

static struct page *
page_of(int64_t since, int64_t until)
{
	struct page *p = page_new(since);

	for (int64_t seq = since + 1; seq <= until; seq++)
		page_push(p, frame_of(seq));
	return p;
}

/* Every frame that is to be had behind *cursor must be the next one. */
static enum sub_next
read_all(struct topic *t, int64_t *cursor)
{
	struct frame *f = NULL;
	enum sub_next next;

	while ((next = topic_next(t, *cursor, &f)) == SUB_FRAME) {
		ck_assert_int_eq(f->seq, *cursor + 1);
		(*cursor)++;
	}
	return next;
}

START_TEST(test_in_order)
{
	struct topic t;
	int64_t cursor = 5;

	topic_init(&t, "d", 8);
	topic_start(&t, 5);
	ck_assert_int_eq(topic_offer(&t, frame_of(6)), TOPIC_APPENDED);
	ck_assert_int_eq(topic_offer(&t, frame_of(7)), TOPIC_APPENDED);
	ck_assert_int_eq(topic_offer(&t, frame_of(6)), TOPIC_DROPPED);
	ck_assert_int_eq(topic_offer(&t, frame_of(3)), TOPIC_DROPPED);
	ck_assert_int_eq(read_all(&t, &cursor), SUB_UP_TO_DATE);
	ck_assert_int_eq(cursor, 7);
	topic_release(&t);
}
END_TEST

START_TEST(test_reordered)
{
	static const int64_t order[] = {3, 2, 2, 5, 4, 1, 3, 7, 6};
	struct topic t;
	int64_t cursor = 0;

	topic_init(&t, "d", 16);
	topic_start(&t, 0);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		topic_offer(&t, frame_of(order[i]));
		ck_assert_int_eq(read_all(&t, &cursor), SUB_UP_TO_DATE);
	}
	ck_assert_int_eq(cursor, 7);
	ck_assert(!topic_has_gap(&t));
	topic_release(&t);
}
END_TEST

/* Everything that 200 pseudo-random shuffles of 1..40 with repeats do. */
START_TEST(test_shuffled)
{
	uint32_t state = (uint32_t)_i * 2654435761u + 1;
	struct topic t;
	int64_t cursor = 0;

	topic_init(&t, "d", 64);
	topic_start(&t, 0);
	for (int64_t i = 0; i < 40 * 8; i++) {
		state = state * 1664525u + 1013904223u;
		topic_offer(&t, frame_of(1 + state / 65536 % 40));
		read_all(&t, &cursor);
	}
	/* What never came is read from the table. */
	struct page *p = page_of(t.head, 40);
	topic_add_page(&t, p, false);
	page_unref(&p);
	ck_assert_int_eq(read_all(&t, &cursor), SUB_UP_TO_DATE);
	ck_assert_int_eq(cursor, 40);
	topic_release(&t);
}
END_TEST

START_TEST(test_gap_is_healed_by_rows)
{
	struct topic t;
	int64_t cursor = 2;

	topic_init(&t, "d", 16);
	topic_start(&t, 2);
	ck_assert_int_eq(topic_offer(&t, frame_of(6)), TOPIC_GAP);
	ck_assert_int_eq(topic_offer(&t, frame_of(7)), TOPIC_GAP);
	ck_assert_int_eq(topic_offer(&t, frame_of(6)), TOPIC_GAP);
	ck_assert(topic_has_gap(&t));
	ck_assert_int_eq(read_all(&t, &cursor), SUB_UP_TO_DATE);
	ck_assert_int_eq(cursor, 2);
	struct page *p = page_of(2, 5);
	ck_assert(topic_add_page(&t, p, false));
	ck_assert(!topic_add_page(&t, p, false));
	page_unref(&p);
	ck_assert(!topic_has_gap(&t));
	read_all(&t, &cursor);
	ck_assert_int_eq(cursor, 7);
	topic_release(&t);
}
END_TEST

START_TEST(test_hold_is_bounded)
{
	struct topic t;
	int64_t cursor = 0;

	topic_init(&t, "d", 512);
	topic_start(&t, 0);
	for (int64_t seq = 200; seq > 1; seq--)
		ck_assert_int_eq(topic_offer(&t, frame_of(seq)), TOPIC_GAP);
	ck_assert_uint_eq(t.n_hold, TOPIC_HOLD_MAX);
	/* The nearest were kept. */
	ck_assert_int_eq(topic_offer(&t, frame_of(1)), TOPIC_APPENDED);
	read_all(&t, &cursor);
	ck_assert_int_eq(cursor, TOPIC_HOLD_MAX + 1);
	ck_assert_ptr_null(t.hold);
	topic_release(&t);
}
END_TEST

START_TEST(test_before_start_everything_is_held)
{
	struct topic t;
	int64_t cursor = 4;
	struct frame *f;

	topic_init(&t, "d", 16);
	topic_offer(&t, frame_of(4));
	topic_offer(&t, frame_of(6));
	topic_offer(&t, frame_of(5));
	ck_assert_int_eq(topic_next(&t, 0, &f), SUB_UP_TO_DATE);
	topic_start(&t, 4);
	read_all(&t, &cursor);
	ck_assert_int_eq(cursor, 6);
	topic_release(&t);
}
END_TEST

START_TEST(test_falls_off_the_ring_and_rejoins)
{
	struct topic t;
	int64_t slow = 0;

	topic_init(&t, "d", 4);
	topic_start(&t, 0);
	for (int64_t seq = 1; seq <= 10; seq++)
		topic_offer(&t, frame_of(seq));
	ck_assert_int_eq(ring_oldest(&t.ring), 7);
	ck_assert_int_eq(read_all(&t, &slow), SUB_WANTS_PAGE);
	ck_assert_int_eq(slow, 0);
	struct page *p = page_of(0, 4);
	topic_add_page(&t, p, true);
	page_unref(&p);
	ck_assert_int_eq(read_all(&t, &slow), SUB_WANTS_PAGE);
	ck_assert_int_eq(slow, 4);
	p = page_of(4, 8);
	topic_add_page(&t, p, true);
	page_unref(&p);
	ck_assert_int_eq(read_all(&t, &slow), SUB_UP_TO_DATE);
	ck_assert_int_eq(slow, 10);
	/* Pages go when nobody reads them any more. */
	topic_trim(&t);
	topic_trim(&t);
	slow = 0;
	ck_assert_int_eq(read_all(&t, &slow), SUB_WANTS_PAGE);
	topic_release(&t);
}
END_TEST

START_TEST(test_page_slots_are_reused)
{
	struct topic t;
	struct frame *f;

	topic_init(&t, "d", 4);
	topic_start(&t, 1000);
	for (int64_t since = 0; since < 10; since++) {
		struct page *p = page_of(since, since + 1);
		topic_add_page(&t, p, true);
		page_unref(&p);
	}
	ck_assert_int_eq(topic_next(&t, 9, &f), SUB_FRAME);
	ck_assert_int_eq(topic_next(&t, 9 - TOPIC_PAGES, &f), SUB_WANTS_PAGE);
	topic_release(&t);
}
END_TEST

START_TEST(test_ring_byte_limit)
{
	struct ring r;
	char big[1000];

	memset(big, 'x', sizeof(big));
	ring_init(&r, 100, 2500);
	for (int64_t seq = 1; seq <= 5; seq++)
		ring_push(&r, frame_new(WS_TEXT, seq, big, sizeof(big)));
	ck_assert_uint_eq(r.n, 2);
	ck_assert_int_eq(ring_oldest(&r), 4);
	ck_assert_ptr_null(ring_get(&r, 3));
	ck_assert_ptr_null(ring_get(&r, 6));
	ck_assert_int_eq(ring_get(&r, 5)->seq, 5);
	ring_release(&r);
	/* One frame above the limit is kept alone. */
	ring_init(&r, 100, 10);
	ring_push(&r, frame_new(WS_TEXT, 1, big, sizeof(big)));
	ring_push(&r, frame_new(WS_TEXT, 2, big, sizeof(big)));
	ck_assert_uint_eq(r.n, 1);
	ck_assert_int_eq(ring_get(&r, 2)->seq, 2);
	ring_release(&r);
}
END_TEST

START_TEST(test_ring_wraps)
{
	struct ring r;

	ring_init(&r, 20, 1u << 20);
	for (int64_t seq = 1; seq <= 100; seq++) {
		ring_push(&r, frame_of(seq));
		ck_assert_int_eq(ring_get(&r, seq)->seq, seq);
		int64_t oldest = seq > 20 ? seq - 19 : 1;
		ck_assert_int_eq(ring_oldest(&r), oldest);
		ck_assert_int_eq(ring_get(&r, oldest)->seq, oldest);
		ck_assert_ptr_null(ring_get(&r, oldest - 1));
	}
	ring_release(&r);
}
END_TEST

/* The bytes of everything queued, written in pieces. */
static void
drain(struct outq *q, size_t piece, struct buf *out)
{
	struct outq_vec v;

	while (q->n > 0) {
		size_t left = piece;
		outq_gather(q, &v);
		ck_assert_int_gt(v.n, 0);
		for (int i = 0; i < v.n && left > 0; i++) {
			size_t n =
			    v.iov[i].iov_len < left ? v.iov[i].iov_len : left;
			buf_append(out, v.iov[i].iov_base, n);
			left -= n;
		}
		outq_consume(q, piece - left);
	}
}

START_TEST(test_outq_pieces)
{
	static const char payload[] = "{\"type\":\"x\",\"seq\":1}";
	struct ws_decoder d;
	struct outq q = {0};
	struct buf out;
	size_t used;

	buf_init(&out, 4096);
	outq_push(&q, frame_of(1), FRAME_PLAIN, false);
	outq_push(&q, frame_of(1), FRAME_PLAIN, true);
	outq_push(&q, frame_of(1), FRAME_PLAIN, false);
	size_t bytes = q.bytes;
	drain(&q, (size_t)_i, &out);
	ck_assert_uint_eq(out.len, bytes);
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_ptr_null(q.entries);

	ws_decoder_init(&d, WS_CLIENT, 1000);
	const uint8_t *p = (const uint8_t *)out.data;
	size_t left = out.len;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(
		    ws_decoder_feed(&d, p, left, &used), WS_EVENT_MESSAGE);
		p += used;
		left -= used;
		if (i == 1)
			ck_assert_str_eq(buf_text(&d.message),
			    "{\"replayed\":true,\"type\":\"x\",\"seq\":1}");
		else
			ck_assert_str_eq(buf_text(&d.message), payload);
	}
	ck_assert_uint_eq(left, 0);
	ws_decoder_release(&d);
	buf_release(&out);
}
END_TEST

START_TEST(test_outq_cut_keeps_what_has_begun)
{
	struct outq q = {0};

	for (int i = 0; i < 10; i++)
		outq_push(&q, frame_of(i + 1), FRAME_PLAIN, false);
	outq_consume(&q, 3);
	outq_cut(&q);
	ck_assert_uint_eq(q.n, 1);
	struct frame *f = frame_of(1);
	ck_assert_uint_eq(q.bytes, f->len - 3);
	frame_unref(&f);
	outq_release(&q);

	outq_push(&q, frame_of(1), FRAME_PLAIN, false);
	outq_cut(&q);
	ck_assert_uint_eq(q.n, 0);
	ck_assert_ptr_null(q.entries);
}
END_TEST

/* What the bridge recognises without parsing is what event_encode writes. */
START_TEST(test_end_is_recognised)
{
	struct event e = {.type = event_name(EVENT_DEBATE_END),
	    .debate_id = "d",
	    .seq = 9,
	    .created_us = 1,
	    .data = "{}"};
	struct buf text;

	buf_init(&text, 4096);
	event_encode(&text, &e);
	struct frame *f = frame_new(WS_TEXT, 9, text.data, text.len);
	ck_assert(f->is_end);
	frame_unref(&f);
	buf_clear(&text);
	e.type = event_name(EVENT_CONSENSUS);
	e.data = "{\"type\":\"debate_end\"}";
	event_encode(&text, &e);
	f = frame_new(WS_TEXT, 9, text.data, text.len);
	ck_assert(!f->is_end);
	frame_unref(&f);
	buf_release(&text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_topic");
	TCase *t = tcase_create("topic");
	SRunner *r = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_test(t, test_in_order);
	tcase_add_test(t, test_reordered);
	tcase_add_loop_test(t, test_shuffled, 0, 200);
	tcase_add_test(t, test_gap_is_healed_by_rows);
	tcase_add_test(t, test_hold_is_bounded);
	tcase_add_test(t, test_before_start_everything_is_held);
	tcase_add_test(t, test_falls_off_the_ring_and_rejoins);
	tcase_add_test(t, test_page_slots_are_reused);
	tcase_add_test(t, test_ring_byte_limit);
	tcase_add_test(t, test_ring_wraps);
	tcase_add_loop_test(t, test_outq_pieces, 1, 30);
	tcase_add_test(t, test_outq_cut_keeps_what_has_begun);
	tcase_add_test(t, test_end_is_recognised);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
