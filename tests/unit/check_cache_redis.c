/* SPDX-License-Identifier: MIT
 *
 * The cache of two hosts over a private Redis on a Unix socket: what one
 * computed, dropped or holds, and Redis that is away, refuses, forgets or
 * talks nonsense.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "cache/cache_impl.h"
#include "cache_kit.h"
#include "check_run.h"
#include "metrics/metrics.h"
#include "redis/redis_pool.h"

#define REDIS "/usr/bin/redis-server"
#define SKIP  77
#define KIND  CACHE_PREFERENCES

struct host {
	char *folder;
	struct settings *settings;
	struct redis_pool *pool;
	struct cache *cache;
};

static char folder[64], socket_path[80];
static pid_t redis_pid;
static struct host a, b;

/* ---- Redis ---- */

static int
redis_connect(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", socket_path);
	ck_assert_int_ge(fd, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
redis_start(void)
{
	int fd;

	unlink(socket_path);
	redis_pid = fork();
	if (redis_pid == 0) {
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(1);
		execl(REDIS, REDIS, "--port", "0", "--unixsocket", socket_path,
		    "--save", "", (char *)NULL);
		_exit(127);
	}
	while ((fd = redis_connect()) < 0)
		kit_nap();
	close(fd);
}

static void
redis_stop(void)
{
	if (redis_pid <= 0)
		return;
	kill(redis_pid, SIGKILL);
	waitpid(redis_pid, NULL, 0);
	redis_pid = 0;
}

/* The answer as it comes; static memory. */
static const char *
redis_say(const char *command)
{
	static char answer[65536];
	size_t len = 0;
	int fd = redis_connect();

	ck_assert_int_ge(fd, 0);
	dprintf(fd, "%s\r\nQUIT\r\n", command);
	for (ssize_t n = 1; n > 0 && len < sizeof(answer) - 1; len += (size_t)n)
		n = read(fd, answer + len, sizeof(answer) - 1 - len);
	answer[len] = '\0';
	close(fd);
	return answer;
}

/* Keys that match, one a line, as texts on static memory. */
static size_t
redis_keys(const char *pattern, char keys[][192], size_t max)
{
	char command[256];
	size_t n = 0;

	snprintf(command, sizeof(command), "KEYS %s", pattern);
	for (const char *p = redis_say(command); *p != '\0' && n < max; p++) {
		if (!str_starts(p, "aragora:"))
			continue;
		size_t len = strcspn(p, "\r");
		snprintf(keys[n++], 192, "%.*s", (int)len, p);
		p += len;
	}
	return n;
}

/* ---- hosts ---- */

static void
host_open(struct host *h, const char *name)
{
	struct err_info info = {0};

	h->folder = mem_printf("%s/%s", folder, name);
	h->settings = kit_settings(h->folder);
	ck_assert_int_eq(redis_pool_open(&h->pool, h->settings, &info), ERR_OK);
	/* Both have one database. */
	h->cache = kit_cache(h->settings, h->pool);
}

static void
host_close(struct host *h)
{
	cache_close(&h->cache);
	redis_pool_close(&h->pool);
	settings_free(&h->settings);
	free(h->folder);
}

static void
setup(void)
{
	char url[128];

	kit_folder(folder, sizeof(folder));
	snprintf(socket_path, sizeof(socket_path), "%s/redis.sock", folder);
	snprintf(url, sizeof(url), "unix:%s", socket_path);
	setenv("ARAGORA_REDIS_URL", url, 1);
	setenv("ARAGORA_DATABASE_URL", "postgresql://localhost/x", 1);
	setenv("ARAGORA_REDIS_FAILURE_THRESHOLD", "3", 1);
	setenv("ARAGORA_REDIS_MAX_CONNECTIONS", "2", 1);
	host_open(&a, "a");
	host_open(&b, "b");
}

static void
teardown(void)
{
	host_close(&a);
	host_close(&b);
	redis_stop();
	kit_remove(folder);
}

/* Wait for what a busy machine may answer late: nothing is lost by a value
 * that is computed once more. */
static void
until_kept(struct host *h, const char *value)
{
	while (!str_eq(kit_look(h->cache, KIND, "t", "k"), value)) {
		kit_keep(h->cache, KIND, "t", "k", value);
		kit_nap();
	}
}

static void
until_shared(struct host *from, struct host *to, const char *value)
{
	until_kept(from, value);
	while (!str_eq(kit_look(to->cache, KIND, "t", "k"), value)) {
		cache_drop(from->cache, KIND, "t");
		until_kept(from, value);
		kit_nap();
	}
}

START_TEST(test_shared)
{
	char keys[8][192];

	redis_start();
	until_shared(&a, &b, "one");
	/* Nobody's name is written down there. */
	size_t n = redis_keys("*", keys, ARRAY_LEN(keys));
	ck_assert_uint_ge(n, 2);
	for (size_t i = 0; i < n; i++) {
		char command[256];
		ck_assert(str_starts(keys[i], "aragora:cache:"));
		snprintf(command, sizeof(command), "PTTL %s", keys[i]);
		ck_assert_int_gt(strtoll(redis_say(command) + 1, NULL, 10), 0);
	}
	cache_drop(b.cache, KIND, "t");
	ck_assert_str_eq(kit_look(a.cache, KIND, "t", "k"), "");
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "");
	until_shared(&b, &a, "two");
	ck_assert_str_eq(kit_look(a.cache, KIND, "u", "k"), "");
}
END_TEST

/* A copy ends with what it was copied from. */
START_TEST(test_rest_of_life)
{
	char keys[8][192], command[256];

	redis_start();
	until_kept(&a, "one");
	size_t n = redis_keys("aragora:cache:????????????????:*", keys, 8);
	ck_assert_uint_ge(n, 1);
	for (size_t i = 0; i < n; i++) {
		snprintf(
		    command, sizeof(command), "PEXPIRE %s 100000", keys[i]);
		redis_say(command);
	}
	while (!str_eq(kit_look(b.cache, KIND, "t", "k"), "one"))
		kit_nap();
	atomic_fetch_add(&kit_now_ms, 100001);
	for (size_t i = 0; i < n; i++) {
		snprintf(command, sizeof(command), "DEL %s", keys[i]);
		redis_say(command);
	}
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "");
}
END_TEST

START_TEST(test_hold)
{
	char keys[8][192], command[256];

	redis_start();
	until_shared(&a, &b, "old");
	cache_hold(a.cache, KIND, "t");
	while (!str_eq(kit_look(b.cache, KIND, "t", "k"), "")) {
		cache_hold(a.cache, KIND, "t"); /* its answer came late */
		kit_nap();
	}
	ck_assert(kit_keep(b.cache, KIND, "t", "k", "unsure"));
	ck_assert(kit_keep(b.cache, KIND, "t", "k", "unsure"));
	size_t n = redis_keys("aragora:cache:place:*", keys, 8);
	ck_assert_uint_eq(n, 1);
	snprintf(command, sizeof(command), "PTTL %s", keys[0]);
	int64_t life = strtoll(redis_say(command) + 1, NULL, 10);
	ck_assert(life > 0 && life <= CACHE_HOLD_MS);
	cache_drop(a.cache, KIND, "t");
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "");
	until_shared(&b, &a, "new");
}
END_TEST

/* Without Redis a value lives a moment, on its host alone. */
static void
check_alone(void)
{
	int64_t fallbacks = metric_read(METRIC_CACHE_FALLBACKS);

	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS);
	kit_keep(a.cache, KIND, "t", "alone", "one");
	ck_assert_str_eq(kit_look(a.cache, KIND, "t", "alone"), "one");
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "alone"), "");
	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS - 1);
	ck_assert_str_eq(kit_look(a.cache, KIND, "t", "alone"), "one");
	cache_drop(a.cache, KIND, "t");
	ck_assert_str_eq(kit_look(a.cache, KIND, "t", "alone"), "");
	ck_assert(kit_keep(a.cache, KIND, "t", "alone", "two"));
	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS);
	ck_assert_str_eq(kit_look(a.cache, KIND, "t", "alone"), "");
	ck_assert_int_gt(metric_read(METRIC_CACHE_FALLBACKS), fallbacks);
}

START_TEST(test_killed)
{
	check_alone(); /* it never was there */
	redis_start();
	until_shared(&a, &b, "one");
	redis_stop();
	/* What was kept with its word is believed for a moment only. */
	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS);
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "");
	check_alone();
	for (int i = 0; i < 3; i++) {
		redis_start();
		/* Restarted, it knows no words: nothing from before counts. */
		until_shared(&b, &a, i % 2 == 0 ? "two" : "three");
		redis_stop();
	}
}
END_TEST

/* Whose keys name a revision are a process's own, and Redis is for nothing. */
START_TEST(test_named)
{
	redis_start();
	until_shared(&a, &b, "one");
	ck_assert(kit_keep(a.cache, CACHE_DEBATES, "t", "d 1", "first"));
	ck_assert_str_eq(kit_look(b.cache, CACHE_DEBATES, "t", "d 1"), "");
	ck_assert_str_eq(kit_look(a.cache, CACHE_DEBATES, "u", "d 1"), "");
	ck_assert_str_eq(kit_look(a.cache, CACHE_DEBATES, "t", "d 2"), "");
	redis_stop();
	int64_t fallbacks = metric_read(METRIC_CACHE_FALLBACKS);
	atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS);
	ck_assert_str_eq(kit_look(a.cache, CACHE_DEBATES, "t", "d 1"), "first");
	ck_assert_int_eq(metric_read(METRIC_CACHE_FALLBACKS), fallbacks);
}
END_TEST

/* It answers, but takes no writes: a drop that it was not told of is told as
 * soon as it can be. */
START_TEST(test_owed)
{
	redis_start();
	until_shared(&a, &b, "old");
	redis_say("CONFIG SET min-replicas-to-write 1");
	cache_drop(a.cache, KIND, "t");
	redis_say("CONFIG SET min-replicas-to-write 0");
	/* The other host cannot know yet. */
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "old");
	while (!str_eq(kit_look(b.cache, KIND, "t", "k"), "")) {
		ck_assert_str_eq(kit_look(a.cache, KIND, "t", "k"), "");
		kit_nap();
	}
}
END_TEST

START_TEST(test_frozen)
{
	redis_start();
	until_shared(&a, &b, "one");
	kill(redis_pid, SIGSTOP);
	check_alone();
	kill(redis_pid, SIGCONT);
	until_shared(&a, &b, "two"); /* it tells what it owes */
}
END_TEST

/* What is there is not ours. */
START_TEST(test_spoilt)
{
	static const struct {
		const char *verb, *rest;
	} spoils[] = {{"SET", "nonsense"}, {"SETRANGE", "70 x"},
	    {"SET", "0123456789abcdeF"}, {"APPEND", "y"}, {"DEL", ""},
	    {"SET", "\"\""}, {"DEL", ""}};
	char keys[16][192], command[4096];

	redis_start();
	until_shared(&a, &b, "one");
	size_t n = redis_keys("*", keys, ARRAY_LEN(keys));
	ck_assert_uint_ge(n, 2);
	for (size_t i = 0; i < n; i++) {
		snprintf(command, sizeof(command), "%s %s %s", spoils[_i].verb,
		    keys[i], spoils[_i].rest);
		redis_say(command);
		if (_i == 6) { /* another type */
			snprintf(
			    command, sizeof(command), "LPUSH %s x", keys[i]);
			redis_say(command);
		}
	}
	atomic_fetch_add(&kit_now_ms, 3600 * 1000);
	ck_assert_str_eq(kit_look(b.cache, KIND, "t", "k"), "");
	until_shared(&a, &b, "two");
}
END_TEST

/* Somebody else answers at the address. */
static const char *const nonsense[] = {"HTTP/1.1 400 Bad\r\n\r\n", "$-7\r\n",
    "*3\r\n:1\r\n:2\r\n:3\r\n", "+OK\r\n+OK\r\n+OK\r\n", "-ERR unknown\r\n",
    "-LOADING\r\n", "$99999999999999999999\r\n", ":1\r\n", "*1000000000\r\n",
    "", "\r\n\r\n", "$3\r\n!!!\r\n"};

static void *
talk_nonsense(void *arg)
{
	const char *text = arg;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char question[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", socket_path);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(fd, 16) != 0)
		return NULL;
	for (;;) {
		int c = accept(fd, NULL, NULL);
		if (c < 0 || read(c, question, sizeof(question)) <= 0)
			break;
		if (str_starts(question, "END"))
			break;
		dprintf(c, "%s", text);
		close(c);
	}
	close(fd);
	return arg;
}

START_TEST(test_nonsense)
{
	pthread_t thread;
	int fd;

	ck_assert_int_eq(pthread_create(&thread, NULL, talk_nonsense,
			     (void *)(uintptr_t)nonsense[_i]),
	    0);
	while ((fd = redis_connect()) < 0)
		kit_nap();
	for (int i = 0; i < 20; i++) {
		atomic_fetch_add(&kit_now_ms, CACHE_ALONE_MS);
		ck_assert(kit_keep(a.cache, KIND, "t", "k", "one"));
		cache_hold(a.cache, KIND, "t");
		cache_drop(a.cache, KIND, "t");
		ck_assert_str_eq(kit_look(a.cache, KIND, "t", "k"), "");
	}
	dprintf(fd, "END\r\n");
	close(fd);
	while ((fd = redis_connect()) >= 0) {
		dprintf(fd, "END\r\n");
		close(fd);
		kit_nap();
	}
	pthread_join(thread, NULL);
}
END_TEST

/* ---- connections ---- */

enum { THREADS = 8, ROUNDS = 200 };

static void *
ask_often(void *arg)
{
	char key[16];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(key, sizeof(key), "%d", i % 10);
		kit_keep(a.cache, KIND, arg, key, "value");
		if (i % 50 == 0)
			cache_drop(a.cache, KIND, arg);
	}
	return NULL;
}

START_TEST(test_connections)
{
	static const char *const tenants[] = {"t", "u"};
	pthread_t threads[THREADS];
	int most = 0;

	redis_start();
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often,
				     (void *)(uintptr_t)tenants[i % 2]),
		    0);
	for (int i = 0; i < 50; i++) {
		int n = 0;
		const char *p = redis_say("CLIENT LIST");
		for (; (p = strstr(p, "id=")) != NULL; p++)
			n++;
		most = n > most ? n : most;
		kit_nap();
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* The one that asks, and ARAGORA_REDIS_MAX_CONNECTIONS; two more may
	 * still be on their way out. */
	ck_assert_int_ge(most, 2);
	ck_assert_int_le(most, 1 + 2 + 2);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_rest_of_life);
	tcase_add_test(t, test_hold);
	tcase_add_test(t, test_killed);
	tcase_add_test(t, test_named);
	tcase_add_test(t, test_owed);
	tcase_add_test(t, test_frozen);
	tcase_add_loop_test(t, test_spoilt, 0, 7);
	tcase_add_loop_test(t, test_nonsense, 0, (int)ARRAY_LEN(nonsense));
	tcase_add_test(t, test_connections);
}

int
main(void)
{
	if (access(REDIS, X_OK) != 0) {
		puts("SKIP: no " REDIS);
		return SKIP;
	}
	return check_run("cache_redis", add_tests);
}
