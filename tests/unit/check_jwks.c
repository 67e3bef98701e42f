/* SPDX-License-Identifier: MIT
 *
 * Keys from a URL: fetched again for an unknown kid but not more often than
 * allowed, and kept while the issuer is away.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "auth/fetch.h"
#include "auth/jwks.h"
#include "tests/unit/check_run.h"
#include "tests/unit/jwt_kit.h"

#define LONG_MS 3600000 /* never within a test */

/* What the pretended URL answers. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t let_go;
	bool is_held; /* fetches wait */
	enum err err;
	const char *json;
} issuer = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .let_go = PTHREAD_COND_INITIALIZER};
static _Atomic int n_asked;

static struct arena *arena;
static char *first, *second;

static void
setup(void)
{
	EVP_PKEY *a = kit_ec();
	EVP_PKEY *b = kit_ec();

	arena = arena_new(0);
	first = arena_printf(
	    arena, "{\"keys\":[%s]}", kit_jwk(arena, a, "one", ""));
	second = arena_printf(arena, "{\"keys\":[%s,%s]}",
	    kit_jwk(arena, a, "one", ""), kit_jwk(arena, b, "two", ""));
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	issuer.json = first;
	issuer.err = ERR_OK;
	atomic_store(&n_asked, 0);
}

static void
teardown(void)
{
	arena_free(&arena);
}

static void
answer(enum err e, const char *json)
{
	pthread_mutex_lock(&issuer.lock);
	issuer.err = e;
	issuer.json = json;
	pthread_mutex_unlock(&issuer.lock);
}

static enum err
fetch(const char *url, struct buf *out, struct err_info *info)
{
	ck_assert_str_eq(url, "https://issuer.example/keys");
	pthread_mutex_lock(&issuer.lock);
	atomic_fetch_add(&n_asked, 1);
	while (issuer.is_held)
		pthread_cond_wait(&issuer.let_go, &issuer.lock);
	enum err e = issuer.err;
	if (e == ERR_OK)
		buf_puts(out, issuer.json);
	else
		err_set(info, e, "", "the issuer is away");
	pthread_mutex_unlock(&issuer.lock);
	return e;
}

static struct jwks_options
options(int64_t again_ms)
{
	return (struct jwks_options){.secret = "",
	    .json = "",
	    .url = "https://issuer.example/keys",
	    .fetch = fetch,
	    .fresh_ms = LONG_MS,
	    .again_ms = again_ms,
	    .retry_ms = LONG_MS,
	    .wait_ms = LONG_MS};
}

static struct jwks *
opened(const struct jwks_options *o)
{
	struct err_info info = {0};
	struct jwks *j = NULL;

	ck_assert_msg(jwks_open(&j, o, &info) == ERR_OK, "%s", info.text);
	return j;
}

START_TEST(test_rotation)
{
	struct jwks_options o = options(0);
	struct jwks *j = opened(&o);
	struct jwk_set *set = NULL;

	ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	ck_assert_ptr_null(jwk_find(set, JWK_ES256, "two"));
	answer(ERR_OK, second);
	ck_assert(jwks_renew(j, &set));
	ck_assert_ptr_nonnull(jwk_find(set, JWK_ES256, "two"));
	ck_assert_int_eq(jwks_fetches(j), 2);
	jwk_set_unref(&set);
	jwks_close(&j);
	ck_assert_int_eq(atomic_load(&n_asked), 2);
}
END_TEST

START_TEST(test_unknown_kid_asks_once)
{
	struct jwks_options o = options(LONG_MS);
	struct jwks *j = opened(&o);
	struct jwk_set *set = NULL;

	ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	answer(ERR_OK, second);
	for (int i = 0; i < 100; i++)
		ck_assert(!jwks_renew(j, &set));
	ck_assert_int_eq(jwks_fetches(j), 1);
	jwk_set_unref(&set);
	jwks_close(&j);
}
END_TEST

START_TEST(test_failure_keeps_the_keys)
{
	static const enum err errors[] = {ERR_DOWN, ERR_TIMEOUT, ERR_INVALID};
	struct jwks_options o = options(0);
	struct jwks *j = opened(&o);
	struct jwk_set *set = NULL;
	struct jwk_set *again = NULL;

	ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		answer(errors[i], NULL);
		ck_assert(!jwks_renew(j, &set));
	}
	/* What is no key set is no answer either. */
	answer(ERR_OK, "<html>maintenance</html>");
	ck_assert(!jwks_renew(j, &set));
	answer(ERR_OK, "");
	ck_assert(!jwks_renew(j, &set));
	ck_assert_int_eq(jwks_fetches(j), 6);
	ck_assert_int_eq(jwks_get(j, &again), ERR_OK);
	ck_assert_ptr_eq(set, again);
	ck_assert_ptr_nonnull(jwk_find(again, JWK_ES256, "one"));
	jwk_set_unref(&again);
	answer(ERR_OK, second);
	ck_assert(jwks_renew(j, &set));
	jwk_set_unref(&set);
	jwks_close(&j);
}
END_TEST

START_TEST(test_never_fetched)
{
	struct jwks_options o = options(LONG_MS);
	struct jwk_set *set = NULL;

	answer(ERR_DOWN, NULL);
	struct jwks *j = opened(&o);
	ck_assert_int_eq(jwks_get(j, &set), ERR_DOWN);
	ck_assert_ptr_null(set);
	ck_assert(!jwks_is_complete(j));
	jwks_close(&j);
	/* A retry after a failure is on its own account. */
	o.retry_ms = 0;
	j = opened(&o);
	answer(ERR_OK, first);
	while (jwks_get(j, &set) != ERR_OK)
		;
	ck_assert(jwks_is_complete(j));
	jwk_set_unref(&set);
	jwks_close(&j);
}
END_TEST

/* The thread refreshes what has grown old without being asked. */
START_TEST(test_refresh)
{
	struct jwks_options o = options(LONG_MS);
	struct jwk_set *set = NULL;

	o.fresh_ms = 1;
	struct jwks *j = opened(&o);
	answer(ERR_OK, second);
	do {
		jwk_set_unref(&set);
		ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	} while (jwk_find(set, JWK_ES256, "two") == NULL);
	jwk_set_unref(&set);
	jwks_close(&j);
}
END_TEST

/* A slow issuer holds nobody longer than agreed, and nobody with a key. */
START_TEST(test_slow)
{
	struct jwks_options o = options(0);
	struct err_info info = {0};
	struct jwk_set *set = NULL;

	issuer.is_held = true;
	o.wait_ms = 20;
	struct jwks *j = opened(&o);
	ck_assert_int_eq(jwks_get(j, &set), ERR_DOWN);
	pthread_mutex_lock(&issuer.lock);
	issuer.is_held = false;
	pthread_cond_broadcast(&issuer.let_go);
	pthread_mutex_unlock(&issuer.lock);
	while (jwks_get(j, &set) != ERR_OK)
		;
	jwk_set_unref(&set);
	jwks_close(&j);

	/* A secret works at once. */
	issuer.is_held = true;
	o.secret = KIT_SECRET;
	o.wait_ms = LONG_MS;
	ck_assert_int_eq(jwks_open(&j, &o, &info), ERR_OK);
	ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	ck_assert_ptr_nonnull(jwk_find(set, JWK_HS256, NULL));
	jwk_set_unref(&set);
	pthread_mutex_lock(&issuer.lock);
	issuer.is_held = false;
	pthread_cond_broadcast(&issuer.let_go);
	pthread_mutex_unlock(&issuer.lock);
	jwks_close(&j);
}
END_TEST

START_TEST(test_without_url)
{
	struct jwks_options o = options(0);
	struct err_info info = {0};
	struct jwks *j = NULL;
	struct jwk_set *set = NULL;

	o.url = "";
	o.json = first;
	o.json_len = strlen(first);
	ck_assert_int_eq(jwks_open(&j, &o, &info), ERR_OK);
	ck_assert_int_eq(jwks_get(j, &set), ERR_OK);
	ck_assert(!jwks_renew(j, &set));
	ck_assert(jwks_is_complete(j));
	jwk_set_unref(&set);
	jwks_close(&j);
	ck_assert_int_eq(atomic_load(&n_asked), 0);
	o.json = "{}";
	o.json_len = 2;
	ck_assert_int_eq(jwks_open(&j, &o, &info), ERR_INVALID);
	ck_assert_ptr_null(j);
	o.json_len = 0;
	o.secret = "too short";
	ck_assert_int_eq(jwks_open(&j, &o, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "secret");
}
END_TEST

static const struct {
	const char *url;
	bool is_good;
} urls[] = {
    {"https://p.supabase.co/auth/v1/.well-known/jwks.json", true},
    {"http://127.0.0.1:54321/auth/v1/.well-known/jwks.json", true},
    {"http://[::1]:9/", true},
    {"http://localhost/keys", true},
    {"http://p.supabase.co/keys", false},
    {"http://localhost.example.org/keys", false},
    {"http://127.0.0.1.example.org/keys", false},
    {"https://user:pass@p.supabase.co/keys", false},
    {"file:///etc/passwd", false},
    {"ftp://127.0.0.1/keys", false},
    {"p.supabase.co/keys", false},
    {"https://", false},
    {"", false},
};

START_TEST(test_urls)
{
	struct err_info info = {0};

	ck_assert_int_eq(
	    fetch_check_url(urls[_i].url, &info) == ERR_OK, urls[_i].is_good);
	ck_assert_int_eq(info.text[0] == '\0', urls[_i].is_good);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_rotation);
	tcase_add_test(t, test_unknown_kid_asks_once);
	tcase_add_test(t, test_failure_keeps_the_keys);
	tcase_add_test(t, test_never_fetched);
	tcase_add_test(t, test_refresh);
	tcase_add_test(t, test_slow);
	tcase_add_test(t, test_without_url);
	tcase_add_loop_test(t, test_urls, 0, ARRAY_LEN(urls));
	tcase_set_timeout(t, 60);
}

int
main(void)
{
	return check_run("jwks", add_tests);
}
