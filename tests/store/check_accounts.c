/* SPDX-License-Identifier: MIT
 *
 * Users, sessions, logins that fail, tenants and preferences.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "store/store_account.h"
#include "store/store_tenant.h"
#include "tests/store/store_kit.h"

#define FAR_US	  (clock_wall_us() + INT64_C(3600000000))
#define MINUTE_US INT64_C(60000000)

static const struct store_tenant acme = {.id = "org_acme",
    .name = "Acme",
    .slug = "acme",
    .owner_id = "user_ann",
    .plan = "free",
    .status = "active",
    .settings = "{}",
    .max_debates_month = -1};
static const struct store_user ann = {.id = "user_ann",
    .tenant = "org_acme",
    .email = "ann@example.org",
    .name = "Ann",
    .password_hash = "hash",
    .role = "owner"};
static const struct store_session one = {.id = "ses_1",
    .tenant = "org_acme",
    .user_id = "user_ann",
    .refresh_hash = "r1"};

/* Ann, her tenant and a session. */
static void
make_ann(void)
{
	struct store_session s = one;
	struct err_info info = {0};

	s.expires_us = FAR_US;
	ck_assert_int_eq(
	    store_user_create(kit.store, &acme, &ann, &s, &info), ERR_OK);
}

static int64_t
rev_of(const char *tenant)
{
	int64_t rev = -1;

	ck_assert_int_eq(
	    store_access_revs(kit.store, kit.arena, &tenant, 1, &rev), ERR_OK);
	return rev;
}

static enum err
check_one(const char *id)
{
	struct store_access a;

	return store_session_check(kit.store, kit.arena, "org_acme", id, &a);
}

START_TEST(test_register)
{
	struct store_tenant other = acme;
	struct store_user u = ann;
	struct err_info info = {0};
	struct store_access a;
	struct store_user got;

	make_ann();
	ck_assert_int_eq(
	    store_user_by_email(kit.store, kit.arena, "ann@example.org", &got),
	    ERR_OK);
	ck_assert_str_eq(got.tenant, "org_acme");
	ck_assert_str_eq(got.role, "owner");
	ck_assert(got.is_active);
	ck_assert_int_eq(
	    store_user_get(kit.store, kit.arena, "other", "user_ann", &got),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_session_check(kit.store, kit.arena, "org_acme", "ses_1", &a),
	    ERR_OK);
	ck_assert_str_eq(a.user_id, "user_ann");
	ck_assert_str_eq(a.plan, "free");
	ck_assert_int_eq(
	    store_session_check(kit.store, kit.arena, "other", "ses_1", &a),
	    ERR_NOT_FOUND);

	/* A taken e-mail leaves no tenant behind. */
	other.id = "org_2";
	other.slug = "two";
	u.id = "user_2";
	u.tenant = "org_2";
	ck_assert_int_eq(
	    store_user_create(kit.store, &other, &u, NULL, &info), ERR_EXISTS);
	ck_assert_str_eq(info.field, "email");
	ck_assert_int_eq(
	    store_tenant_get(kit.store, kit.arena, "org_2", &other), ERR_OK);
	ck_assert_int_eq(other.created_us, 0);
	other = acme;
	other.id = "org_3";
	u.email = "bob@example.org";
	ck_assert_int_eq(
	    store_user_create(kit.store, &other, &u, NULL, &info), ERR_EXISTS);
	ck_assert_str_eq(info.field, "slug");
}
END_TEST

struct race_account {
	int i;
	enum err e;
};

static void
race_accounts(void *(*fn)(void *), struct race_account r[KIT_THREADS])
{
	pthread_t threads[KIT_THREADS];

	for (int i = 0; i < KIT_THREADS; i++) {
		r[i] = (struct race_account){.i = i};
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, fn, &r[i]), 0);
	}
	for (int i = 0; i < KIT_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static int
count_err(const struct race_account *r, enum err e)
{
	int n = 0;

	for (int i = 0; i < KIT_THREADS; i++)
		n += r[i].e == e;
	return n;
}

static void *
race_register(void *arg)
{
	struct race_account *r = arg;
	struct store_tenant t = acme;
	struct store_user u = ann;
	struct err_info info = {0};
	char id[16], user[16];

	snprintf(id, sizeof(id), "org_%d", r->i);
	snprintf(user, sizeof(user), "user_%d", r->i);
	t.id = t.slug = u.tenant = id;
	u.id = user;
	r->e = store_user_create(kit.store, &t, &u, NULL, &info);
	return NULL;
}

/* One e-mail, registered several times at once, is one account. */
START_TEST(test_register_race)
{
	struct race_account r[KIT_THREADS];
	struct store_tenant *tenants;
	int64_t total;
	size_t n;

	race_accounts(race_register, r);
	ck_assert_int_eq(count_err(r, ERR_OK), 1);
	ck_assert_int_eq(count_err(r, ERR_EXISTS), KIT_THREADS - 1);
	ck_assert_int_eq(store_tenant_list(kit.store, kit.arena, "", 10, 0,
			     &tenants, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 1);
}
END_TEST

static void *
race_rotate(void *arg)
{
	struct race_account *r = arg;
	char hash[16];

	snprintf(hash, sizeof(hash), "new%d", r->i);
	r->e = store_session_rotate(
	    kit.store, "org_acme", "ses_1", "r1", hash, FAR_US);
	return NULL;
}

/* One refresh token, used several times at once: one use is good, and the
 * others end the session. */
START_TEST(test_rotate_race)
{
	struct race_account r[KIT_THREADS];

	make_ann();
	race_accounts(race_rotate, r);
	ck_assert_int_eq(count_err(r, ERR_OK), 1);
	ck_assert_int_eq(count_err(r, ERR_DENIED), 1);
	ck_assert_int_eq(count_err(r, ERR_NOT_FOUND), KIT_THREADS - 2);
	ck_assert_int_eq(check_one("ses_1"), ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_rotate)
{
	make_ann();
	ck_assert_int_eq(store_session_rotate(kit.store, "org_acme", "ses_1",
			     "r1", "r2", FAR_US),
	    ERR_OK);
	ck_assert_int_eq(store_session_rotate(kit.store, "org_acme", "ses_1",
			     "r2", "r3", FAR_US),
	    ERR_OK);
	ck_assert_int_eq(check_one("ses_1"), ERR_OK);
	int64_t rev = rev_of("org_acme");
	ck_assert_int_eq(store_session_rotate(kit.store, "org_acme", "ses_1",
			     "r1", "r4", FAR_US),
	    ERR_DENIED);
	ck_assert_int_gt(rev_of("org_acme"), rev);
	ck_assert_int_eq(check_one("ses_1"), ERR_NOT_FOUND);
	ck_assert_int_eq(store_session_rotate(kit.store, "org_acme", "ses_1",
			     "r3", "r4", FAR_US),
	    ERR_NOT_FOUND);
}
END_TEST

static void
add_session(const char *id)
{
	struct store_session s = one;

	s.id = id;
	s.expires_us = FAR_US;
	ck_assert_int_eq(store_session_create(kit.store, &s), ERR_OK);
}

START_TEST(test_sessions)
{
	struct store_session late = one;
	struct store_session *rows;
	size_t n;

	make_ann();
	add_session("ses_2");
	add_session("ses_3");
	late.id = "ses_late";
	late.expires_us = 1;
	ck_assert_int_eq(store_session_create(kit.store, &late), ERR_OK);
	ck_assert_int_eq(check_one("ses_late"), ERR_NOT_FOUND);
	ck_assert_int_eq(store_session_list(kit.store, kit.arena, "org_acme",
			     "user_ann", &rows, &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 3);

	int64_t rev = rev_of("org_acme");
	ck_assert_int_eq(
	    store_session_revoke(kit.store, "org_acme", "user_bob", "ses_2"),
	    ERR_NOT_FOUND);
	ck_assert_int_eq(rev_of("org_acme"), rev);
	ck_assert_int_eq(
	    store_session_revoke(kit.store, "org_acme", "user_ann", "ses_2"),
	    ERR_OK);
	ck_assert_int_eq(rev_of("org_acme"), rev + 1);
	ck_assert_int_eq(
	    store_session_revoke(kit.store, "org_acme", "user_ann", "ses_2"),
	    ERR_NOT_FOUND);

	/* Another password keeps one session. */
	ck_assert_int_eq(store_user_set_password(kit.store, "org_acme",
			     "user_ann", "hash2", "ses_3"),
	    ERR_OK);
	ck_assert_int_eq(check_one("ses_1"), ERR_NOT_FOUND);
	ck_assert_int_eq(check_one("ses_3"), ERR_OK);
	add_session("ses_4");
	ck_assert_int_eq(
	    store_session_revoke_all(kit.store, "org_acme", "user_ann", &n),
	    ERR_OK);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(check_one("ses_3"), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_session_revoke_all(kit.store, "org_acme", "user_no", &n),
	    ERR_NOT_FOUND);
}
END_TEST

START_TEST(test_user_changes)
{
	struct store_access a;
	struct store_user u = ann;
	struct store_user *rows;
	int64_t total;
	size_t n;

	make_ann();
	u.name = "Anna";
	u.role = "viewer";
	u.avatar_url = "https://x";
	u.metadata = "{\"a\":1}";
	ck_assert_int_eq(store_user_change(kit.store, &u), ERR_OK);
	ck_assert_int_eq(
	    store_session_check(kit.store, kit.arena, "org_acme", "ses_1", &a),
	    ERR_OK);
	ck_assert_str_eq(a.role, "viewer");
	int64_t version = a.token_version;
	ck_assert_int_eq(
	    store_user_set_active(kit.store, "org_acme", "user_ann", false),
	    ERR_OK);
	ck_assert_int_eq(check_one("ses_1"), ERR_NOT_FOUND);
	ck_assert_int_eq(
	    store_user_set_active(kit.store, "org_acme", "user_ann", true),
	    ERR_OK);
	add_session("ses_5");
	ck_assert_int_eq(
	    store_session_check(kit.store, kit.arena, "org_acme", "ses_5", &a),
	    ERR_OK);
	ck_assert_int_eq(a.token_version, version + 1);
	ck_assert_int_eq(store_user_list(kit.store, kit.arena, "org_acme", 10,
			     0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 1);
	ck_assert_str_eq(rows[0].name, "Anna");
	ck_assert_int_gt(rows[0].last_login_us, 0);
	ck_assert_int_eq(store_user_list(kit.store, kit.arena, "other", 10, 0,
			     &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 0);
	u.tenant = "other";
	ck_assert_int_eq(store_user_change(kit.store, &u), ERR_NOT_FOUND);
}
END_TEST

static enum err
try_login(const struct store_login_gate *g, size_t n)
{
	int64_t wait_us = 0;
	enum err e = store_login_try(kit.store, g, n, &wait_us);

	ck_assert((e == ERR_BUSY) == (wait_us > 0));
	return e;
}

START_TEST(test_login_gate)
{
	const struct store_login_gate gates[] = {
	    {"ann", 3, 15 * MINUTE_US, MINUTE_US, 4 * MINUTE_US},
	    {"address", 5, 15 * MINUTE_US, MINUTE_US, 4 * MINUTE_US}};
	const struct store_login_gate bob[] = {
	    {"bob", 3, 15 * MINUTE_US, MINUTE_US, 4 * MINUTE_US}, gates[1]};

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(try_login(gates, 2), ERR_OK);
	ck_assert_int_eq(try_login(gates, 2), ERR_BUSY);
	/* The refused one counted nowhere: the address has two left. */
	ck_assert_int_eq(try_login(bob, 2), ERR_OK);
	ck_assert_int_eq(store_login_passed(kit.store, bob, 2), ERR_OK);
	ck_assert_int_eq(try_login(bob, 2), ERR_OK);
	ck_assert_int_eq(try_login(bob, 2), ERR_OK);
	ck_assert_int_eq(try_login(bob, 2), ERR_BUSY);
	ck_assert_int_eq(try_login(bob, 1), ERR_OK);
	/* A password that is right opens it. */
	ck_assert_int_eq(store_login_passed(kit.store, gates, 1), ERR_OK);
	ck_assert_int_eq(try_login(gates, 1), ERR_OK);
	/* It lasts: over a restart, too. */
	ck_assert_int_eq(try_login(gates, 1), ERR_OK);
	ck_assert_int_eq(try_login(gates, 1), ERR_OK);
	ck_assert_int_eq(kit_reopen(NULL), ERR_OK);
	ck_assert_int_eq(try_login(gates, 1), ERR_BUSY);
}
END_TEST

static const struct store_login_gate race_gate = {
    "race", 2, 15 * MINUTE_US, MINUTE_US, MINUTE_US};

static void *
race_login(void *arg)
{
	struct race_account *r = arg;
	int64_t wait_us;

	r->e = store_login_try(kit.store, &race_gate, 1, &wait_us);
	return NULL;
}

/* Many at once are not more than many. */
START_TEST(test_login_race)
{
	struct race_account r[KIT_THREADS];

	race_accounts(race_login, r);
	ck_assert_int_eq(count_err(r, ERR_OK), 2);
	ck_assert_int_eq(count_err(r, ERR_BUSY), KIT_THREADS - 2);
}
END_TEST

/* A key goes with its user and its tenant. */
START_TEST(test_key_access)
{
	const struct store_token t = {.id = "key_1",
	    .tenant = "org_acme",
	    .name = "ci",
	    .prefix = "ara_12345678",
	    .hash = "abcd",
	    .tier = "authenticated",
	    .owner = "user_ann",
	    .scopes = "read"};
	struct store_access a;

	make_ann();
	ck_assert_int_eq(store_token_create(kit.store, &t), ERR_OK);
	ck_assert_int_eq(
	    store_token_find(kit.store, kit.arena, "abcd", &a), ERR_OK);
	ck_assert_str_eq(a.role, "owner");
	ck_assert_str_eq(a.status, "active");
	ck_assert_str_eq(a.email, "ann@example.org");
	ck_assert(a.is_active);
	ck_assert_int_eq(
	    store_tenant_set_status(kit.store, "org_acme", "suspended"),
	    ERR_OK);
	ck_assert_int_eq(
	    store_user_set_active(kit.store, "org_acme", "user_ann", false),
	    ERR_OK);
	ck_assert_int_eq(
	    store_token_find(kit.store, kit.arena, "abcd", &a), ERR_OK);
	ck_assert_str_eq(a.status, "suspended");
	ck_assert(!a.is_active);
	int64_t rev = rev_of("org_acme");
	ck_assert_int_eq(store_token_revoke(
			     kit.store, "org_acme", "user_ann", "ara_12345678"),
	    ERR_OK);
	ck_assert_int_eq(rev_of("org_acme"), rev + 1);
}
END_TEST

START_TEST(test_tenants)
{
	struct store_tenant t, *rows;
	int64_t total;
	size_t n;

	/* Without a row. */
	ck_assert_int_eq(
	    store_tenant_get(kit.store, kit.arena, "default", &t), ERR_OK);
	ck_assert_str_eq(t.status, "active");
	ck_assert_str_eq(t.slug, "default");
	ck_assert_int_eq(t.created_us, 0);
	t.name = "Ours";
	t.max_debates_month = 7;
	ck_assert_int_eq(store_tenant_change(kit.store, &t), ERR_OK);
	ck_assert_int_eq(
	    store_tenant_get(kit.store, kit.arena, "default", &t), ERR_OK);
	ck_assert_str_eq(t.name, "Ours");
	ck_assert_str_eq(t.slug, "default");
	ck_assert_int_eq(t.max_debates_month, 7);

	ck_assert_int_eq(store_tenant_create(kit.store, &acme), ERR_OK);
	ck_assert_int_eq(store_tenant_create(kit.store, &acme), ERR_EXISTS);
	t.slug = "acme";
	ck_assert_int_eq(store_tenant_change(kit.store, &t), ERR_EXISTS);
	int64_t rev = rev_of("org_acme");
	ck_assert_int_eq(
	    store_tenant_set_status(kit.store, "org_acme", "suspended"),
	    ERR_OK);
	ck_assert_int_eq(rev_of("org_acme"), rev + 1);
	ck_assert_int_eq(store_tenant_list(kit.store, kit.arena, "suspended",
			     10, 0, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(rows[0].id, "org_acme");
	ck_assert_int_eq(store_tenant_list(
			     kit.store, kit.arena, "", 1, 1, &rows, &n, &total),
	    ERR_OK);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(total, 2);
	ck_assert_int_eq(
	    store_tenant_set_status(kit.store, "org_acme", "deleted"), ERR_OK);
	ck_assert_int_eq(
	    store_tenant_set_status(kit.store, "org_acme", "active"),
	    ERR_NOT_FOUND);

	kit_create_for("org_acme", "one", 0);
	ck_assert_int_eq(
	    store_tenant_debates(kit.store, "org_acme", 0, &total), ERR_OK);
	ck_assert_int_eq(total, 1);
	ck_assert_int_eq(
	    store_tenant_debates(kit.store, "org_acme", FAR_US, &total),
	    ERR_OK);
	ck_assert_int_eq(total, 0);
}
END_TEST

static enum err
merge_count(void *arg, struct arena *a, const char *old, const char **data)
{
	int64_t n = 0;

	sscanf(old, "{\"n\":%ld}", &n);
	*data = arena_printf(a, "{\"n\":%ld}", (long)n + 1);
	return *(bool *)arg ? ERR_TOO_LARGE : ERR_OK;
}

static void *
race_preferences(void *arg)
{
	struct race_account *r = arg;
	struct arena *a = arena_new(0);
	bool is_refused = false;
	const char *data;
	int64_t updated_us;

	r->e = store_preferences_put(kit.store, a, "default", "ann",
	    merge_count, &is_refused, &data, &updated_us);
	arena_free(&a);
	return NULL;
}

START_TEST(test_preferences)
{
	struct race_account r[KIT_THREADS];
	bool is_refused = true;
	const char *data;
	int64_t updated_us = 1;

	ck_assert_int_eq(store_preferences_get(kit.store, kit.arena, "default",
			     "ann", &data, &updated_us),
	    ERR_OK);
	ck_assert_str_eq(data, "{}");
	ck_assert_int_eq(updated_us, 0);
	/* No change at the same time is lost. */
	race_accounts(race_preferences, r);
	ck_assert_int_eq(count_err(r, ERR_OK), KIT_THREADS);
	ck_assert_int_eq(
	    store_preferences_put(kit.store, kit.arena, "default", "ann",
		merge_count, &is_refused, &data, &updated_us),
	    ERR_TOO_LARGE);
	ck_assert_int_eq(store_preferences_get(kit.store, kit.arena, "default",
			     "ann", &data, &updated_us),
	    ERR_OK);
	ck_assert_str_eq(
	    data, arena_printf(kit.arena, "{\"n\":%d}", KIT_THREADS));
	ck_assert_int_gt(updated_us, 0);
	ck_assert_int_eq(store_preferences_get(kit.store, kit.arena, "other",
			     "ann", &data, &updated_us),
	    ERR_OK);
	ck_assert_str_eq(data, "{}");
}
END_TEST

void
add_accounts(TCase *t)
{
	tcase_add_test(t, test_register);
	tcase_add_test(t, test_register_race);
	tcase_add_test(t, test_rotate);
	tcase_add_test(t, test_rotate_race);
	tcase_add_test(t, test_sessions);
	tcase_add_test(t, test_user_changes);
	tcase_add_test(t, test_login_gate);
	tcase_add_test(t, test_login_race);
	tcase_add_test(t, test_key_access);
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_preferences);
}
