/* SPDX-License-Identifier: MIT
 *
 * The cache without Redis: lives, bounds, one computation for all who wait,
 * and writes that no reader of any thread or process misses.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cache/cache_impl.h"
#include "cache_kit.h"
#include "check_run.h"
#include "metrics/metrics.h"

static char folder[64];
static struct settings *settings;
static struct cache *cache;

static void
open_cache(void)
{
	settings = kit_settings(folder);
	cache = kit_cache(settings, NULL);
}

static void
setup(void)
{
	kit_folder(folder, sizeof(folder));
	unsetenv("ARAGORA_REDIS_URL");
	unsetenv("ARAGORA_CACHE_TTL");
	open_cache();
}

static void
teardown(void)
{
	cache_close(&cache);
	settings_free(&settings);
	kit_remove(folder);
}

/* ---- lives ---- */

START_TEST(test_lives)
{
	static const int64_t lives_s[] = {[CACHE_RATINGS] = 60,
	    [CACHE_TRENDING] = 300,
	    [CACHE_SUMMARIES] = 3600,
	    [CACHE_PREFERENCES] = 3600,
	    [CACHE_ANALYTICS] = 300,
	    [CACHE_DEBATES] = 3600};
	enum cache_kind kind = (enum cache_kind)_i;
	int64_t hits = metric_read(METRIC_CACHE_HITS_RATINGS);

	ck_assert(kit_keep(cache, kind, "t", "k", "one"));
	atomic_fetch_add(&kit_now_ms, lives_s[kind] * 1000 - 1);
	ck_assert_str_eq(kit_look(cache, kind, "t", "k"), "one");
	ck_assert(!kit_keep(cache, kind, "t", "k", "two"));
	atomic_fetch_add(&kit_now_ms, 1);
	ck_assert_str_eq(kit_look(cache, kind, "t", "k"), "");
	ck_assert(kit_keep(cache, kind, "t", "k", "two"));
	ck_assert_str_eq(kit_look(cache, kind, "t", "k"), "two");
	ck_assert_int_eq(metric_read(METRIC_CACHE_HITS_RATINGS) - hits,
	    kind == CACHE_RATINGS ? 3 : 0);
}
END_TEST

START_TEST(test_setting)
{
	cache_close(&cache);
	settings_free(&settings);
	setenv("ARAGORA_CACHE_TTL", "7", 1);
	open_cache();
	ck_assert(kit_keep(cache, CACHE_ANALYTICS, "t", "k", "one"));
	atomic_fetch_add(&kit_now_ms, 6999);
	ck_assert_str_eq(kit_look(cache, CACHE_ANALYTICS, "t", "k"), "one");
	atomic_fetch_add(&kit_now_ms, 1);
	ck_assert_str_eq(kit_look(cache, CACHE_ANALYTICS, "t", "k"), "");
	cache_close(&cache);
	settings_free(&settings);
	setenv("ARAGORA_CACHE_TTL", "0", 1);
	open_cache();
	for (int i = 0; i < 3; i++)
		ck_assert(kit_keep(cache, CACHE_ANALYTICS, "t", "k", "one"));
	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "one"));
	ck_assert(!kit_keep(cache, CACHE_RATINGS, "t", "k", "one"));
}
END_TEST

START_TEST(test_names)
{
	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "one"));
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "u", "k"), "");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "l"), "");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "tk", ""), "");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "", "tk"), "");
	ck_assert_str_eq(kit_look(cache, CACHE_TRENDING, "t", "k"), "");
	/* A drop is of one kind and tenant. */
	ck_assert(kit_keep(cache, CACHE_RATINGS, "u", "k", "two"));
	ck_assert(kit_keep(cache, CACHE_TRENDING, "t", "k", "three"));
	cache_drop(cache, CACHE_RATINGS, "t");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "k"), "");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "u", "k"), "two");
	ck_assert_str_eq(kit_look(cache, CACHE_TRENDING, "t", "k"), "three");
}
END_TEST

/* No cache, no error. */
START_TEST(test_none)
{
	ck_assert(kit_keep(NULL, CACHE_RATINGS, "t", "k", "one"));
	ck_assert_str_eq(kit_look(NULL, CACHE_RATINGS, "t", "k"), "");
	cache_hold(NULL, CACHE_RATINGS, "t");
	cache_drop(NULL, CACHE_RATINGS, "t");
}
END_TEST

/* Where processes cannot see each other's writes, a value lives a moment. */
START_TEST(test_no_file)
{
	cache_close(&cache);
	settings_free(&settings);
	settings = kit_settings("/dev/null/x");
	cache = kit_cache(settings, NULL);
	ck_assert(kit_keep(cache, CACHE_SUMMARIES, "t", "k", "one"));
	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS - 1);
	ck_assert_str_eq(kit_look(cache, CACHE_SUMMARIES, "t", "k"), "one");
	atomic_fetch_add(&kit_now_ms, 1);
	ck_assert_str_eq(kit_look(cache, CACHE_SUMMARIES, "t", "k"), "");
}
END_TEST

/* ---- bounds ---- */

static bool
keep_large(const char *key, size_t len)
{
	char *value = mem_alloc(len + 1);

	memset(value, 'x', len);
	value[len] = '\0';
	bool is_computed = kit_keep(cache, CACHE_TRENDING, "t", key, value);
	free(value);
	return is_computed;
}

START_TEST(test_bound)
{
	enum { LEN = 10000, N = 2000 };
	int64_t before = metric_read(METRIC_CACHE_EVICTED_TRENDING);
	char key[16];

	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "other kind"));
	int64_t others = metric_read(METRIC_CACHE_BYTES);
	ck_assert(keep_large("used", LEN));
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "%d", i);
		ck_assert(keep_large(key, LEN));
		ck_assert(!keep_large("used", LEN));
		ck_assert_int_le(metric_read(METRIC_CACHE_BYTES) - others,
		    (int64_t)cache_kind_bytes(CACHE_TRENDING));
	}
	int64_t kept = metric_read(METRIC_CACHE_ENTRIES) - 1;
	ck_assert_int_gt(kept, 90);
	ck_assert_int_eq(
	    metric_read(METRIC_CACHE_EVICTED_TRENDING) - before, N + 1 - kept);
	/* The last ones are there, in the order of use. */
	for (int i = 0; i < kept - 1; i++) {
		snprintf(key, sizeof(key), "%d", N - 1 - i);
		ck_assert(!keep_large(key, LEN));
	}
	snprintf(key, sizeof(key), "%lld", (long long)(N - kept));
	ck_assert_str_eq(kit_look(cache, CACHE_TRENDING, "t", key), "");
	ck_assert_str_eq(
	    kit_look(cache, CACHE_RATINGS, "t", "k"), "other kind");
}
END_TEST

START_TEST(test_too_large)
{
	size_t max = cache_kind_max(CACHE_TRENDING);

	ck_assert(kit_keep(cache, CACHE_TRENDING, "t", "k", "small"));
	ck_assert(keep_large("large", max));
	ck_assert(keep_large("large", max));
	ck_assert_str_eq(kit_look(cache, CACHE_TRENDING, "t", "k"), "small");
	cache_close(&cache);
	ck_assert_int_eq(metric_read(METRIC_CACHE_BYTES), 0);
	ck_assert_int_eq(metric_read(METRIC_CACHE_ENTRIES), 0);
}
END_TEST

/* ---- one computation ---- */

enum { THREADS = 8 };

struct asker {
	pthread_t thread;
	const char *key;
	bool was_hit;
	char text[32];
};

static atomic_int computed, asking;
static atomic_bool may_end, is_failing;

static void *
ask(void *arg)
{
	struct asker *a = arg;
	struct cache_turn turn;
	struct buf out;

	buf_init(&out, 1 << 20);
	atomic_fetch_add(&asking, 1);
	a->was_hit = cache_get(cache, CACHE_RATINGS, "t", a->key, &out, &turn);
	if (a->was_hit) {
		snprintf(a->text, sizeof(a->text), "%s", buf_text(&out));
	} else {
		snprintf(a->text, sizeof(a->text), "value %d",
		    atomic_fetch_add(&computed, 1));
		while (!atomic_load(&may_end))
			kit_nap();
		if (atomic_load(&is_failing))
			cache_give_up(cache, &turn);
		else
			cache_put(cache, &turn, a->text, strlen(a->text));
	}
	buf_release(&out);
	return NULL;
}

static void
ask_all(struct asker *askers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		askers[i].key = "same";
		ck_assert_int_eq(
		    pthread_create(&askers[i].thread, NULL, ask, &askers[i]),
		    0);
		/* The first one computes before the others ask. */
		while (i == 0 && atomic_load(&computed) == 0)
			kit_nap();
	}
}

static void
join_all(struct asker *askers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pthread_join(askers[i].thread, NULL);
}

START_TEST(test_single_flight)
{
	struct asker askers[THREADS];

	ask_all(askers, THREADS);
	while (atomic_load(&asking) < THREADS)
		kit_nap();
	atomic_store(&may_end, true);
	join_all(askers, THREADS);
	ck_assert_int_eq(atomic_load(&computed), 1);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_str_eq(askers[i].text, "value 0");
}
END_TEST

/* An error is nobody else's, and not asked for one after another. */
START_TEST(test_failing_flight)
{
	struct asker askers[THREADS];

	atomic_store(&is_failing, true);
	ask_all(askers, THREADS);
	while (atomic_load(&asking) < THREADS)
		kit_nap();
	atomic_store(&may_end, true);
	join_all(askers, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert(!askers[i].was_hit);
	ck_assert_int_eq(atomic_load(&computed), THREADS);
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "same"), "");
}
END_TEST

/* Nobody waits longer than CACHE_WAIT_MS. */
START_TEST(test_long_flight)
{
	struct asker askers[2];

	ask_all(askers, 2);
	while (atomic_load(&computed) < 2)
		kit_nap();
	atomic_store(&may_end, true);
	join_all(askers, 2);
	ck_assert(!askers[0].was_hit && !askers[1].was_hit);
}
END_TEST

/* Who asks after a write does not get what was begun before it. */
START_TEST(test_old_flight)
{
	struct asker askers[2];

	ask_all(askers, 1);
	cache_drop(cache, CACHE_RATINGS, "t");
	askers[1].key = "same";
	ck_assert_int_eq(
	    pthread_create(&askers[1].thread, NULL, ask, &askers[1]), 0);
	while (atomic_load(&computed) < 2)
		kit_nap();
	atomic_store(&may_end, true);
	join_all(askers, 2);
	ck_assert(!askers[1].was_hit);
	/* Whichever landed last. */
	const char *kept = kit_look(cache, CACHE_RATINGS, "t", "same");
	ck_assert(str_eq(kept, "") || str_eq(kept, "value 1"));
}
END_TEST

/* ---- writes ---- */

START_TEST(test_drop_meanwhile)
{
	struct cache_turn turn;
	struct buf out;

	buf_init(&out, 1 << 20);
	ck_assert(!cache_get(cache, CACHE_RATINGS, "t", "k", &out, &turn));
	cache_drop(cache, CACHE_RATINGS, "t");
	cache_put(cache, &turn, "old", 3);
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "k"), "");
	buf_release(&out);
}
END_TEST

START_TEST(test_hold)
{
	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "old"));
	ck_assert(kit_keep(cache, CACHE_RATINGS, "u", "k", "other"));
	cache_hold(cache, CACHE_RATINGS, "t");
	for (int i = 0; i < 3; i++)
		ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "unsure"));
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "u", "k"), "other");
	cache_drop(cache, CACHE_RATINGS, "t");
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "k"), "");
	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "k", "new"));
	/* A writer that died holds nothing for long. */
	cache_hold(cache, CACHE_RATINGS, "t");
	atomic_fetch_add(&kit_now_ms, CACHE_HOLD_MS - 1);
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "k"), "");
	atomic_fetch_add(&kit_now_ms, 1);
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "k"), "new");
	/* Nor does one of another start of the machine, when clocks began
	 * again. */
	cache_hold(cache, CACHE_RATINGS, "t");
	atomic_store(&kit_now_ms, 5);
	ck_assert(kit_keep(cache, CACHE_RATINGS, "t", "l", "after"));
	ck_assert_str_eq(kit_look(cache, CACHE_RATINGS, "t", "l"), "after");
}
END_TEST

/* What is written, and readers that compute it. No reader may get a version
 * older than one it has seen before it asked. */
struct writes {
	_Atomic int64_t version;
	atomic_bool is_over;
	_Atomic int64_t hits;
};

enum { WRITES = 3000, READERS = 3 };

static void
write_all(struct cache *c, struct writes *w)
{
	for (int64_t v = 1; v <= WRITES; v++) {
		cache_hold(c, CACHE_RATINGS, "t");
		atomic_store(&w->version, v);
		cache_drop(c, CACHE_RATINGS, "t");
		if (v % 100 == 0)
			kit_nap();
	}
	atomic_store(&w->is_over, true);
}

static bool
read_all(struct cache *c, struct writes *w)
{
	struct cache_turn turn;
	struct buf out;
	bool is_right = true;

	buf_init(&out, 1 << 10);
	while (is_right && !atomic_load(&w->is_over)) {
		int64_t seen = atomic_load(&w->version), got = 0;
		buf_clear(&out);
		if (cache_get(c, CACHE_RATINGS, "t", "v", &out, &turn)) {
			memcpy(&got, out.data, sizeof(got));
			atomic_fetch_add(&w->hits, 1);
		} else {
			got = atomic_load(&w->version);
			cache_put(c, &turn, &got, sizeof(got));
		}
		is_right = got >= seen;
	}
	buf_release(&out);
	return is_right;
}

static struct writes *
writes_map(void)
{
	struct writes *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(w, MAP_FAILED);
	return w;
}

static void *
read_thread(void *arg)
{
	return read_all(cache, arg) ? arg : NULL;
}

START_TEST(test_threads)
{
	struct writes *w = writes_map();
	pthread_t threads[READERS];
	void *result;

	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, read_thread, w), 0);
	write_all(cache, w);
	for (int i = 0; i < READERS; i++) {
		pthread_join(threads[i], &result);
		ck_assert_ptr_nonnull(result);
	}
	ck_assert_int_gt(atomic_load(&w->hits), 0);
	munmap(w, sizeof(*w));
}
END_TEST

START_TEST(test_processes)
{
	struct writes *w = writes_map();
	pid_t pids[READERS + 1];
	int status;

	for (int i = 0; i <= READERS; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		struct cache *mine = kit_cache(settings, NULL);
		if (i < READERS)
			_exit(read_all(mine, w) ? 0 : 1);
		write_all(mine, w);
		_exit(0);
	}
	for (int i = 0; i <= READERS; i++) {
		waitpid(pids[i], &status, 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_gt(atomic_load(&w->hits), 0);
	munmap(w, sizeof(*w));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_lives, 0, CACHE__COUNT);
	tcase_add_test(t, test_setting);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_none);
	tcase_add_test(t, test_no_file);
	tcase_add_test(t, test_bound);
	tcase_add_test(t, test_too_large);
	tcase_add_test(t, test_single_flight);
	tcase_add_test(t, test_failing_flight);
	tcase_add_test(t, test_long_flight);
	tcase_add_test(t, test_old_flight);
	tcase_add_test(t, test_drop_meanwhile);
	tcase_add_test(t, test_hold);
	tcase_add_test(t, test_threads);
	tcase_add_test(t, test_processes);
}

int
main(void)
{
	return check_run("cache", add_tests);
}
