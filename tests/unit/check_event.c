/* SPDX-License-Identifier: MIT
 *
 * The envelope of an event, and the table.
 */
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "bus/event.h"
#include "check_run.h"

static struct arena *arena;

static void
setup(void)
{
	arena = arena_new(0);
}

static void
teardown(void)
{
	arena_free(&arena);
}

static const struct json *
encode(const struct event *e)
{
	const struct json *j = NULL;
	struct err_info info = {0};
	struct buf b;

	buf_init(&b, 4096);
	event_encode(&b, e);
	ck_assert_msg(
	    json_parse(arena, buf_text(&b), b.len, NULL, &j, &info) == ERR_OK,
	    "%s: %s", info.text, buf_text(&b));
	ck_assert_ptr_null(strchr(buf_text(&b), '\n'));
	buf_release(&b);
	return j;
}

START_TEST(test_stored)
{
	const struct json *j =
	    encode(&(struct event){.type = event_name(EVENT_CRITIQUE),
		.debate_id = "adhoc_1",
		.seq = 17,
		.round = 2,
		.agent = "a \"b\"",
		.created_us = 1767225600123456,
		.data = "{\"content\":\"x\"}"});

	ck_assert_str_eq(json_get_str(j, "type", ""), "critique");
	ck_assert_str_eq(json_get_str(j, "debate_id", ""), "adhoc_1");
	ck_assert_str_eq(json_get_str(j, "loop_id", ""), "adhoc_1");
	ck_assert_int_eq(json_get_int(j, "seq", 0), 17);
	ck_assert_int_eq(json_get_int(j, "round", 0), 2);
	ck_assert_str_eq(json_get_str(j, "agent", ""), "a \"b\"");
	ck_assert_double_eq_tol(
	    json_get_num(j, "timestamp", 0), 1767225600.123456, 1e-7);
	ck_assert_ptr_null(json_get(j, "replayed"));
	const struct json *data = json_get(j, "data");
	ck_assert_str_eq(json_get_str(data, "content", ""), "x");
	ck_assert_str_eq(json_get_str(data, "debate_id", ""), "adhoc_1");
	ck_assert_str_eq(json_get_str(data, "loop_id", ""), "adhoc_1");
	ck_assert_int_eq(json_get_int(data, "round", 0), 2);
	ck_assert_int_eq(json_get_int(data, "round_number", 0), 2);
	ck_assert_str_eq(json_get_str(data, "agent", ""), "a \"b\"");
	ck_assert_uint_eq(json_len(data), 6);
}
END_TEST

START_TEST(test_connection)
{
	const struct json *j =
	    encode(&(struct event){.type = event_name(EVENT_PONG),
		.created_us = 1,
		.data = "{\"client_ts\":null}"});

	ck_assert_uint_eq(json_len(j), 3); /* type, timestamp, data */
	ck_assert_uint_eq(json_len(json_get(j, "data")), 1);
	/* data is an object whatever there is to say. */
	j = encode(&(struct event){.type = event_name(EVENT_PONG)});
	ck_assert_int_eq(json_kind(json_get(j, "data")), JSON_OBJECT);
	ck_assert_uint_eq(json_len(json_get(j, "data")), 0);
	j = encode(&(struct event){
	    .type = event_name(EVENT_SYNC), .debate_id = "d", .data = "{}"});
	ck_assert_uint_eq(json_len(json_get(j, "data")), 2);
	j = encode(&(struct event){.type = event_name(EVENT_VOTE),
	    .debate_id = "d",
	    .seq = 1,
	    .data = "{}",
	    .is_replayed = true});
	ck_assert(json_get_bool(j, "replayed", false));
}
END_TEST

START_TEST(test_trace)
{
	struct event e = {.type = event_name(EVENT_VOTE),
	    .debate_id = "d",
	    .trace_parent =
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};

	ck_assert_str_eq(json_get_str(encode(&e), "correlation_id", ""),
	    "4bf92f3577b34da6a3ce929d0e0e4736");
	e.trace_parent = "";
	ck_assert_ptr_null(json_get(encode(&e), "correlation_id"));
	e.trace_parent = NULL;
	ck_assert_ptr_null(json_get(encode(&e), "correlation_id"));
}
END_TEST

START_TEST(test_table)
{
	for (int i = 0; i < EVENT__COUNT; i++) {
		const struct event_row *row = event_row((enum event_type)i);
		ck_assert_str_eq(row->name, event_name((enum event_type)i));
		ck_assert(*row->fields != '\0' && *row->help != '\0');
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(
			    row->name, event_name((enum event_type)k));
	}
	ck_assert(event_row(EVENT_DEBATE_END)->is_stored);
	ck_assert(!event_row(EVENT_TOKEN_DELTA)->is_stored);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_stored);
	tcase_add_test(t, test_connection);
	tcase_add_test(t, test_trace);
	tcase_add_test(t, test_table);
}

int
main(void)
{
	return check_run("event", add_tests);
}
