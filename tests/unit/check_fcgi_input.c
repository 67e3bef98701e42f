/* SPDX-License-Identifier: MIT
 *
 * Declared inputs, the error envelope and the header guard.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fcgi/input.h"
#include "settings/settings.h"

struct values {
	const char *text;
	int64_t number, limit, offset, since, share;
	int truth, choice;
};

static const struct input rows[] = {
    {.key = "text",
	.kind = INPUT_TEXT,
	.max = 5,
	.offset = offsetof(struct values, text)},
    {.key = "number",
	.kind = INPUT_INT,
	.is_required = true,
	.min = -2,
	.max = 9,
	.offset = offsetof(struct values, number)},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct values, limit)},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct values, offset)},
    {.key = "since",
	.kind = INPUT_TIME,
	.offset = offsetof(struct values, since)},
    {.key = "truth",
	.kind = INPUT_BOOL,
	.offset = offsetof(struct values, truth)},
    {.key = "choice",
	.kind = INPUT_CHOICE,
	.choices = "red|green|",
	.offset = offsetof(struct values, choice)},
    {.key = "share",
	.kind = INPUT_SHARE,
	.fallback = -1,
	.offset = offsetof(struct values, share)},
};
static const struct input_list list = {rows, ARRAY_LEN(rows)};

static struct arena *arena;
static struct settings *settings;
static struct app app;
static struct req req;
static struct buf head, body;
static struct res res;

static void
setup(void)
{
	struct buf errors;

	buf_init(&errors, 4096);
	ck_assert_int_eq(settings_load(&settings, &errors), ERR_OK);
	buf_release(&errors);
	arena = arena_new(0);
	app.settings = settings;
	req = (struct req){.app = &app, .arena = arena};
	buf_init(&head, 65536);
	buf_init(&body, 65536);
	res_init(&res, &head, &body, "trace-1");
}

static void
teardown(void)
{
	buf_release(&head);
	buf_release(&body);
	arena_free(&arena);
	settings_free(&settings);
}

static enum http_status
read_query(const char *query, struct values *out)
{
	struct err_info info = {0};
	const char *uri = arena_printf(arena, "/x?%s", query);

	ck_assert_int_eq(url_parse(arena, uri, "", &req.url, &info), ERR_OK);
	return input_read_query(&req, &list, out, &res);
}

static enum http_status
read_body(const char *text, struct values *out)
{
	struct err_info info = {0};

	ck_assert_int_eq(
	    json_parse(arena, text, strlen(text), NULL, &req.body, &info),
	    ERR_OK);
	return input_read_body(&req, &list, out, &res);
}

static const struct json *
answer(void)
{
	const struct json *j;
	struct err_info info = {0};

	ck_assert_int_eq(
	    json_parse(arena, body.data, body.len, NULL, &j, &info), ERR_OK);
	return j;
}

START_TEST(test_query)
{
	struct values v;

	ck_assert_int_eq(read_query("number=7&text=abc&limit=5&offset=3&"
				    "since=2026-01-01T00:00:00Z&truth=yes&"
				    "choice=green&unknown=1",
			     &v),
	    HTTP_OK);
	ck_assert_str_eq(v.text, "abc");
	ck_assert_int_eq(v.number, 7);
	ck_assert_int_eq(v.limit, 5);
	ck_assert_int_eq(v.offset, 3);
	ck_assert_int_eq(v.since, INT64_C(1767225600000000));
	ck_assert_int_eq(v.truth, 1);
	ck_assert_int_eq(v.choice, 1);
}
END_TEST

START_TEST(test_defaults)
{
	struct values v;

	ck_assert_int_eq(read_query("number=-2&choice=&text=", &v), HTTP_OK);
	ck_assert_ptr_null(v.text);
	ck_assert_int_eq(v.limit, settings->default_pagination);
	ck_assert_int_eq(v.offset, 0);
	ck_assert_int_eq(v.since, 0);
	ck_assert_int_eq(v.truth, -1);
	ck_assert_int_eq(v.choice, -1);
}
END_TEST

START_TEST(test_shares)
{
	static const struct {
		const char *text;
		int64_t ppm; /* -1 = refused */
	} cases[] = {{"0", 0}, {"1", 1000000}, {"0.25", 250000}, {"1e-6", 1},
	    {"0.9999999", 1000000}, {"-0.1", -1}, {"1.01", -1}, {"half", -1},
	    {"nan", -1}, {"0x1", -1}};
	struct values v;

	ck_assert_int_eq(read_query("number=1", &v), HTTP_OK);
	ck_assert_int_eq(v.share, -1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum http_status status = read_query(
		    arena_printf(arena, "number=1&share=%s", cases[i].text),
		    &v);
		ck_assert_int_eq(
		    status, cases[i].ppm < 0 ? HTTP_BAD_REQUEST : HTTP_OK);
		if (cases[i].ppm >= 0)
			ck_assert_int_eq(v.share, cases[i].ppm);
	}
	ck_assert_int_eq(
	    read_body("{\"number\": 1, \"share\": 0.5}", &v), HTTP_OK);
	ck_assert_int_eq(v.share, 500000);
	ck_assert_int_eq(read_body("{\"number\": 1, \"share\": \"1\"}", &v),
	    HTTP_BAD_REQUEST);
}
END_TEST

/* Of an object within the body, and only its first fault. */
START_TEST(test_object)
{
	struct values v;
	struct err_info info = {0};

	ck_assert_int_eq(read_body("{\"number\": 1, \"all\": [{\"number\": 3,"
				   "\"choice\": \"red\"}, {\"limit\": 1},"
				   "{\"number\": 99}]}",
			     &v),
	    HTTP_OK);
	const struct json *all = json_get(req.body, "all");
	ck_assert_int_eq(
	    input_read_object(&req, &list, json_at(all, 0), &v, &info), ERR_OK);
	ck_assert_int_eq(v.number, 3);
	ck_assert_int_eq(v.choice, 0);
	ck_assert_int_eq(
	    input_read_object(&req, &list, json_at(all, 1), &v, &info),
	    ERR_NOT_FOUND);
	ck_assert_str_eq(info.field, "number");
	ck_assert_int_eq(
	    input_read_object(&req, &list, json_at(all, 2), &v, &info),
	    ERR_INVALID);
}
END_TEST

START_TEST(test_pages_are_clamped)
{
	struct values v;

	ck_assert_int_eq(
	    read_query("number=1&limit=100000&offset=-4", &v), HTTP_OK);
	ck_assert_int_eq(v.limit, settings->max_api_limit);
	ck_assert_int_eq(v.offset, 0);
	ck_assert_int_eq(read_query("number=1&limit=0", &v), HTTP_OK);
	ck_assert_int_eq(v.limit, 1);
	ck_assert_int_eq(
	    read_query("number=1&limit=ten&offset=x", &v), HTTP_OK);
	ck_assert_int_eq(v.limit, settings->default_pagination);
	ck_assert_int_eq(v.offset, 0);
}
END_TEST

START_TEST(test_every_error_is_named)
{
	struct values v;

	ck_assert_int_eq(
	    read_query("text=toolong&number=10&since=monday&truth=maybe&"
		       "choice=blue",
		&v),
	    HTTP_BAD_REQUEST);
	const struct json *j = answer();
	const struct json *errors = json_get(j, "errors");
	static const char *const names[] = {
	    "text", "number", "since", "truth", "choice"};
	ck_assert_uint_eq(json_len(errors), ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_str_eq(
		    json_get_str(json_at(errors, i), "field", ""), names[i]);
	ck_assert_str_eq(json_get_str(j, "code", ""), "INVALID_VALUE");
	ck_assert_str_eq(json_get_str(j, "field", ""), "text");
	ck_assert_str_eq(json_get_str(j, "trace_id", ""), "trace-1");
	ck_assert_ptr_nonnull(strstr(
	    json_get_str(json_at(errors, 4), "message", ""), "red|green"));
}
END_TEST

/* Each kind of error is one problem too, and only where that was asked for. */
START_TEST(test_problem)
{
	static const struct err_info info = {.field = "x", .text = "is bad"};

	res.is_problem_wanted = true;
	ck_assert_int_eq(res_err(&res, ERR_INVALID, &info), HTTP_BAD_REQUEST);
	ck_assert_str_eq(res.content_type, "application/problem+json");
	const struct json *j = answer();
	ck_assert_str_eq(json_get_str(j, "type", ""), "about:blank");
	ck_assert_str_eq(json_get_str(j, "title", ""), "Bad Request");
	ck_assert_int_eq(json_get_int(j, "status", 0), 400);
	ck_assert_str_eq(json_get_str(j, "detail", ""), "x is bad");
	ck_assert_str_eq(json_get_str(j, "error", ""), "x is bad");
	ck_assert_str_eq(json_get_str(j, "trace_id", ""), "trace-1");
	ck_assert_uint_eq(json_len(json_get(j, "errors")), 1);
	ck_assert_int_eq(res_limited(&res, 3, 60, 0), HTTP_TOO_MANY);
	ck_assert_str_eq(json_get_str(answer(), "type", ""),
	    "https://iana.org/assignments/http-problem-types#quota-exceeded");
	ck_assert_str_eq(
	    json_str(json_at(json_get(answer(), "violated-policies"), 0), NULL),
	    RES_POLICY);
	/* What is no error stays what it is. */
	res_json(&res);
	ck_assert_int_eq(res_json_end(&res, HTTP_OK), HTTP_OK);
	ck_assert_str_eq(res.content_type, "application/json");
	ck_assert_uint_eq(json_len(answer()), 0);
}
END_TEST

START_TEST(test_accept)
{
	static const struct {
		const char *accept;
		int weight; /* of application/problem+json */
		bool is_wanted;
	} cases[] = {
	    {"", -1, false},
	    {"*/*", -1, false},
	    {"application/json", -1, false},
	    {"application/problem+jsonx", -1, false},
	    {"application/problem+json", 1000, true},
	    {"APPLICATION/Problem+JSON", 1000, true},
	    {"text/html, application/problem+json;q=0.5", 500, true},
	    {"application/json, application/problem+json", 1000, true},
	    {"application/json, application/problem+json;q=0.9", 900, false},
	    {"application/json;q=0.1,application/problem+json; q=0.25", 250,
		true},
	    {"application/problem+json;q=0", 0, false},
	    {"application/problem+json;q=0.000", 0, false},
	    {"application/problem+json;q=x", 0, false},
	    {"application/problem+json;q=", 0, false},
	    {"application/problem+json;profile=\"a\";q=0.1234", 123, true},
	    {",,application/problem+json\t;Q=1.000", 1000, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ck_assert_msg(
		    http_accept_weight(cases[i].accept,
			"application/problem+json") == cases[i].weight,
		    "%s", cases[i].accept);
		ck_assert_msg(
		    res_accepts_problem(cases[i].accept) == cases[i].is_wanted,
		    "%s", cases[i].accept);
	}
}
END_TEST

START_TEST(test_required)
{
	struct values v;

	ck_assert_int_eq(read_query("text=a", &v), HTTP_BAD_REQUEST);
	ck_assert_str_eq(json_get_str(answer(), "code", ""), "MISSING_FIELD");
	ck_assert_str_eq(json_get_str(answer(), "field", ""), "number");
}
END_TEST

START_TEST(test_body)
{
	struct values v;

	ck_assert_int_eq(read_body("{\"number\":3,\"text\":\"abc\","
				   "\"truth\":false,\"choice\":null,"
				   "\"other\":[1]}",
			     &v),
	    HTTP_OK);
	ck_assert_int_eq(v.number, 3);
	ck_assert_str_eq(v.text, "abc");
	ck_assert_int_eq(v.truth, 0);
	ck_assert_int_eq(v.choice, -1);
	ck_assert_int_eq(
	    read_body("{\"number\":\"3\",\"text\":7,\"truth\":1}", &v),
	    HTTP_BAD_REQUEST);
	ck_assert_uint_eq(json_len(json_get(answer(), "errors")), 3);
	ck_assert_int_eq(read_body("{\"number\":1.5}", &v), HTTP_BAD_REQUEST);
}
END_TEST

START_TEST(test_headers_are_guarded)
{
	ck_assert_int_eq(res_header(&res, "X-A", "fine; q=1"), ERR_OK);
	ck_assert_int_eq(
	    res_header(&res, "X-B", "a\r\nSet-Cookie: x"), ERR_INVALID);
	ck_assert_int_eq(res_header(&res, "X-B", "a\nb"), ERR_INVALID);
	ck_assert_int_eq(res_header(&res, "X B", "a"), ERR_INVALID);
	ck_assert_int_eq(res_header(&res, "X:B", "a"), ERR_INVALID);
	ck_assert_int_eq(res_header(&res, "", "a"), ERR_INVALID);
	ck_assert_str_eq(buf_text(&head), "X-A: fine; q=1\r\n");
}
END_TEST

/* Each error of the program has an answer a client can act on. */
START_TEST(test_error_table)
{
	const struct http_error *h = http_error((enum err)_i);
	struct err_info info = {"somewhere", "a detail of ours"};

	ck_assert_str_ne(http_status_text(h->status), "Unknown");
	if (_i == ERR_OK)
		return;
	ck_assert_int_ge(h->status, HTTP_BAD_REQUEST);
	ck_assert_str_ne(h->code, "");
	ck_assert((h->status == HTTP_UNAVAILABLE) == (h->retry_after_s > 0));
	res_err(&res, (enum err)_i, &info);
	const struct json *j = answer();
	ck_assert_int_eq(res.status, h->status);
	ck_assert_str_eq(json_get_str(j, "code", ""), h->code);
	ck_assert_str_ne(json_get_str(j, "error", ""), "");
	ck_assert_str_eq(
	    json_get_str(j, "message", ""), json_get_str(j, "error", "-"));
	bool is_ours = h->status >= HTTP_INTERNAL_ERROR;
	ck_assert(is_ours ==
		(strstr(json_get_str(j, "error", ""), "detail") == NULL) ||
	    !h->is_shown);
	ck_assert_int_eq(json_get_int(j, "retry_after", 0), h->retry_after_s);
	ck_assert((strstr(buf_text(&head), "Retry-After: ") != NULL) ==
	    (h->retry_after_s > 0));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fcgi_input");
	TCase *t = tcase_create("input");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_query);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_shares);
	tcase_add_test(t, test_object);
	tcase_add_test(t, test_pages_are_clamped);
	tcase_add_test(t, test_every_error_is_named);
	tcase_add_test(t, test_problem);
	tcase_add_test(t, test_accept);
	tcase_add_test(t, test_required);
	tcase_add_test(t, test_body);
	tcase_add_test(t, test_headers_are_guarded);
	tcase_add_loop_test(t, test_error_table, 0, ERR__COUNT);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
