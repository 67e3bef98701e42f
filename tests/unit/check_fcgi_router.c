/* SPDX-License-Identifier: MIT
 *
 * The route table itself, and finding a row of it.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fcgi/router.h"
#include "fcgi/schemas.h"

static struct router *router;
static struct arena *arena;

static void
setup(void)
{
	router = router_new();
	arena = arena_new(0);
}

static void
teardown(void)
{
	router_free(&router);
	arena_free(&arena);
}

static enum err
find(enum http_method method, const char *uri, struct router_match *m)
{
	struct err_info info = {0};
	struct url u;

	ck_assert_int_eq(url_parse(arena, uri, "", &u, &info), ERR_OK);
	return router_find(router, method, &u, m);
}

static bool
is_tag(const char *name)
{
	for (size_t i = 0; i < route_tag_count(); i++)
		if (str_eq(route_tag_at(i)->name, name))
			return true;
	return false;
}

/* Every answer and body is a schema or a kind of text. */
static bool
is_shape(const char *name)
{
	return route_text_type(name) != NULL || schema_find(name) != NULL;
}

START_TEST(test_rows_are_whole)
{
	const struct route *r = route_at((size_t)_i);

	ck_assert_int_eq(r->pattern[0], '/');
	ck_assert_str_ne(r->handler, "");
	ck_assert(is_shape(r->answer));
	ck_assert(*r->body == '\0' || is_shape(r->body));
	ck_assert(is_tag(r->tag));
	ck_assert_uint_gt(strlen(r->summary), 10);
	ck_assert_str_ne(route_auth_name(r->auth), "");
	ck_assert_str_ne(route_rate_name(r->rate), "");
	ck_assert((r->max_body > 0) == http_method_is_unsafe(r->method));
	ck_assert_str_ne(http_status_text(r->status), "Unknown");
	for (size_t i = 0; i < (size_t)_i; i++) {
		ck_assert_str_ne(route_at(i)->operation_id, r->operation_id);
		ck_assert(route_at(i)->method != r->method ||
		    !str_eq(route_at(i)->pattern, r->pattern));
	}
}
END_TEST

/* Every row is reached by a path made from its pattern, under each version. */
START_TEST(test_rows_are_reached)
{
	const struct route *r = route_at((size_t)_i);
	static const char *const versions[] = {"/api/", "/api/v1/", "/api/v2/"};
	struct router_match m;
	char path[256];
	size_t n = 0;

	for (const char *p = r->pattern; *p != '\0'; p++) {
		if (*p == '{') {
			path[n++] = 'x';
			p += strcspn(p, "}");
		} else {
			path[n++] = *p;
		}
	}
	path[n] = '\0';
	ck_assert_int_eq(find(r->method, path, &m), ERR_OK);
	ck_assert_uint_eq(m.index, (size_t)_i);
	if (!str_starts(path, "/api/"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		const char *uri = arena_printf(
		    arena, "%s%s", versions[i], path + strlen("/api/"));
		ck_assert_int_eq(find(r->method, uri, &m), ERR_OK);
		ck_assert_uint_eq(m.index, (size_t)_i);
	}
}
END_TEST

START_TEST(test_params)
{
	struct router_match m;

	ck_assert_int_eq(
	    find(HTTP_GET, "/api/debates/a%2Fb/messages", &m), ERR_OK);
	ck_assert_uint_eq(m.n_params, 1);
	ck_assert_str_eq(m.params[0], "a/b");
	ck_assert_str_eq(m.route->handler, "debate_messages");
	/* a literal part wins over a parameter */
	ck_assert_int_eq(find(HTTP_GET, "/api/debates/slug/s", &m), ERR_OK);
	ck_assert_str_eq(m.route->operation_id, "getDebateBySlug");
	ck_assert_int_eq(find(HTTP_GET, "/api/debates/health", &m), ERR_OK);
	ck_assert_str_eq(m.route->handler, "health_get");
}
END_TEST

START_TEST(test_not_found)
{
	static const char *const paths[] = {"/", "/nothing", "/api",
	    "/api/debates/x/nothing", "/api/v3/debates", "/API/debates",
	    "/api//debates", "/api/debates/x/y/z/1/2/3/4/5/6"};
	struct router_match m;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		for (int method = 0; method < HTTP_METHOD__COUNT; method++)
			ck_assert_int_eq(
			    find((enum http_method)method, paths[i], &m),
			    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_wrong_method)
{
	struct router_match m;

	ck_assert_int_eq(
	    find(HTTP_DELETE, "/api/debates", &m), ERR_UNSUPPORTED);
	ck_assert_str_eq(
	    router_allow(arena, m.allowed), "GET, HEAD, POST, OPTIONS");
	ck_assert_int_eq(
	    find(HTTP_GET, "/api/debates/x/cancel", &m), ERR_UNSUPPORTED);
	ck_assert_str_eq(router_allow(arena, m.allowed), "POST, OPTIONS");
	ck_assert_int_eq(
	    find(HTTP_OPTIONS, "/api/debates", &m), ERR_UNSUPPORTED);
	ck_assert_int_eq(find(HTTP_HEAD, "/api/debates", &m), ERR_OK);
	ck_assert_int_eq(m.route->method, HTTP_GET);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fcgi_router");
	TCase *t = tcase_create("router");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_rows_are_whole, 0, (int)route_count());
	tcase_add_loop_test(t, test_rows_are_reached, 0, (int)route_count());
	tcase_add_test(t, test_params);
	tcase_add_test(t, test_not_found);
	tcase_add_test(t, test_wrong_method);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
