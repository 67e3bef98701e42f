/* SPDX-License-Identifier: MIT
 *
 * The bus over local sockets, and over a private Redis when there is one; the
 * event envelope; the shared metrics.
 */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

#define REDIS "/usr/bin/redis-server"

static char folder[64];
static struct settings *settings;
static pid_t redis_pid;

static void
load(void)
{
	struct buf errors;

	settings_free(&settings);
	buf_init(&errors, 4096);
	ck_assert_int_eq(settings_load(&settings, &errors), ERR_OK);
	buf_release(&errors);
}

static void
setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	snprintf(folder, sizeof(folder), "bus-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	setenv("ARAGORA_DATA_DIR", folder, 1);
	unsetenv("ARAGORA_REDIS_URL");
	load();
}

static void
nap(void)
{
	struct timespec ts = {.tv_nsec = 5000000};
	nanosleep(&ts, NULL);
}

static void
redis_start(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/redis.sock", folder);
	unlink(path);
	redis_pid = fork();
	if (redis_pid == 0) {
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(1);
		execl(REDIS, REDIS, "--port", "0", "--unixsocket", path,
		    "--save", "", (char *)NULL);
		_exit(127);
	}
	while (access(path, F_OK) != 0)
		nap();
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

static void
teardown(void)
{
	char command[128];

	redis_stop();
	settings_free(&settings);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* What a subscriber has heard. */
struct heard {
	pthread_mutex_t lock;
	int messages;
	int wakes;
	int gaps;
	int64_t last_seq;
	size_t last_len;
	bool is_wrong; /* a message nobody asked for */
};

static void
on_message(void *arg, const struct bus_message *m)
{
	struct heard *h = arg;

	pthread_mutex_lock(&h->lock);
	if (*m->debate_id == '\0') {
		h->wakes++;
	} else {
		h->messages++;
		h->last_seq = m->seq;
		h->last_len = m->payload_len;
		h->is_wrong = h->is_wrong || str_eq(m->debate_id, "other");
	}
	pthread_mutex_unlock(&h->lock);
}

static void
on_gap(void *arg)
{
	struct heard *h = arg;

	pthread_mutex_lock(&h->lock);
	h->gaps++;
	pthread_mutex_unlock(&h->lock);
}

static struct heard
heard_now(struct heard *h)
{
	pthread_mutex_lock(&h->lock);
	struct heard copy = *h;
	pthread_mutex_unlock(&h->lock);
	return copy;
}

static struct bus_message
message(const char *id, int64_t seq, const char *payload)
{
	return (struct bus_message){.debate_id = id,
	    .seq = seq,
	    .payload = payload,
	    .payload_len = strlen(payload)};
}

/* Publish until the subscriber has heard it: the way there is made on demand
 * on both sides. */
static void
publish_until(struct bus *bus, struct heard *h, const char *id, int64_t seq)
{
	struct bus_message m = message(id, seq, "{}");

	while (heard_now(h).last_seq != seq) {
		(void)!bus_publish(bus, &m, 1);
		nap();
	}
}

static void
exchange(void)
{
	struct heard h = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct bus_sub_ops ops = {
	    .on_message = on_message, .on_gap = on_gap, .arg = &h};
	struct bus *bus = NULL;
	struct bus_sub *sub = NULL;
	struct err_info info = {0};

	ck_assert_int_eq(
	    bus_sub_open(&sub, settings, "test", true, &ops, &info), ERR_OK);
	ck_assert_int_eq(bus_open(&bus, settings, &info), ERR_OK);
	bus_sub_add(sub, "mine");
	publish_until(bus, &h, "mine", 1);
	ck_assert_int_gt(heard_now(&h).gaps, 0);

	/* Another debate's messages do not come; wake-ups do. */
	struct bus_message many[2] = {
	    message("other", 7, "{}"), message("mine", 2, "{\"a\":1}")};
	ck_assert_int_eq(bus_publish(bus, many, 2), ERR_OK);
	while (heard_now(&h).last_seq != 2)
		nap();
	ck_assert_uint_eq(heard_now(&h).last_len, 7);
	ck_assert(!heard_now(&h).is_wrong);
	while (heard_now(&h).wakes == 0) {
		(void)!bus_wake(bus);
		nap();
	}

	/* No longer wanted; then everything is. */
	bus_sub_del(sub, "mine");
	bus_sub_all(sub, true);
	publish_until(bus, &h, "third", 9);
	bus_sub_close(&sub);
	bus_close(&bus);
}

START_TEST(test_local)
{
	struct bus *bus = NULL;

	exchange();
	ck_assert_int_eq(bus_open(&bus, settings, NULL), ERR_OK);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_UNSUPPORTED);
	/* Nobody listens: that is no error. */
	struct bus_message m = message("x", 1, "{}");
	ck_assert_int_eq(bus_publish(bus, &m, 1), ERR_OK);
	bus_close(&bus);
}
END_TEST

/* Too long for a packet: a bare doorbell comes instead. */
START_TEST(test_local_long)
{
	struct heard h = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct bus_sub_ops ops = {.on_message = on_message, .arg = &h};
	struct bus *bus = NULL;
	struct bus_sub *sub = NULL;
	size_t len = 1 << 20;
	char *payload = malloc(len);

	ck_assert_ptr_nonnull(payload);
	memset(payload, 'x', len);
	ck_assert_int_eq(
	    bus_sub_open(&sub, settings, "test", false, &ops, NULL), ERR_OK);
	ck_assert_int_eq(bus_open(&bus, settings, NULL), ERR_OK);
	bus_sub_add(sub, "mine");
	publish_until(bus, &h, "mine", 1);
	struct bus_message m = {.debate_id = "mine",
	    .seq = 2,
	    .payload = payload,
	    .payload_len = len};
	ck_assert_int_eq(bus_publish(bus, &m, 1), ERR_OK);
	while (heard_now(&h).last_seq != 2)
		nap();
	ck_assert_uint_eq(heard_now(&h).last_len, 0);
	bus_sub_close(&sub);
	bus_close(&bus);
	free(payload);
}
END_TEST

static void
use_redis(void)
{
	char url[128];

	snprintf(url, sizeof(url), "unix:%s/redis.sock", folder);
	setenv("ARAGORA_REDIS_URL", url, 1);
	setenv("ARAGORA_REDIS_SOCKET_TIMEOUT", "2", 1);
	load();
}

START_TEST(test_redis)
{
	redis_start();
	use_redis();
	exchange();
}
END_TEST

START_TEST(test_redis_restarts)
{
	struct heard h = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct bus_sub_ops ops = {
	    .on_message = on_message, .on_gap = on_gap, .arg = &h};
	struct bus *bus = NULL;
	struct bus_sub *sub = NULL;

	use_redis(); /* down at first: opening does not fail */
	ck_assert_int_eq(
	    bus_sub_open(&sub, settings, "test", true, &ops, NULL), ERR_OK);
	ck_assert_int_eq(bus_open(&bus, settings, NULL), ERR_OK);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_DOWN);
	bus_sub_add(sub, "mine");
	redis_start();
	publish_until(bus, &h, "mine", 1);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_OK);
	int gaps = heard_now(&h).gaps;
	redis_stop();
	while (bus_ping_redis(bus) == ERR_OK)
		nap();
	redis_start();
	publish_until(bus, &h, "mine", 2);
	ck_assert_int_gt(heard_now(&h).gaps, gaps); /* told to look */
	bus_sub_close(&sub);
	bus_close(&bus);
}
END_TEST

START_TEST(test_redis_url)
{
	static const char *const bad[] = {
	    "http://x", "redis://h:99999", "redis://h:x", "nonsense"};
	struct bus *bus = NULL;
	struct err_info info = {0};

	setenv("ARAGORA_REDIS_URL", bad[_i], 1);
	load();
	ck_assert_int_eq(bus_open(&bus, settings, &info), ERR_INVALID);
	ck_assert_str_eq(info.field, "ARAGORA_REDIS_URL");
	ck_assert_ptr_null(bus);
}
END_TEST

/* ---- events ---- */

START_TEST(test_event)
{
	struct arena *a = arena_new(0);
	const struct json *j;
	struct buf b;
	struct err_info info = {0};

	buf_init(&b, 4096);
	event_encode(&b,
	    &(struct event){.type = event_name(EVENT_CRITIQUE),
		.debate_id = "adhoc_1",
		.seq = 17,
		.round = 2,
		.agent = "a \"b\"",
		.created_us = 1767225600123000,
		.data = "{\"content\":\"x\"}"});
	ck_assert_msg(
	    json_parse(a, buf_text(&b), b.len, NULL, &j, &info) == ERR_OK,
	    "%s: %s", info.text, buf_text(&b));
	ck_assert_str_eq(json_get_str(j, "type", ""), "critique");
	ck_assert_str_eq(json_get_str(j, "loop_id", ""), "adhoc_1");
	ck_assert_int_eq(json_get_int(j, "seq", 0), 17);
	ck_assert_double_eq_tol(
	    json_get_num(j, "timestamp", 0), 1767225600.123, 1e-6);
	const struct json *data = json_get(j, "data");
	ck_assert_str_eq(json_get_str(data, "content", ""), "x");
	ck_assert_str_eq(json_get_str(data, "agent", ""), "a \"b\"");
	ck_assert_int_eq(json_get_int(data, "round_number", 0), 2);

	buf_clear(&b);
	event_encode(&b,
	    &(struct event){
		.type = event_name(EVENT_PONG), .created_us = 1, .data = "{}"});
	ck_assert_int_eq(
	    json_parse(a, buf_text(&b), b.len, NULL, &j, &info), ERR_OK);
	ck_assert_ptr_null(json_get(j, "debate_id"));
	ck_assert_ptr_null(json_get(j, "seq"));
	ck_assert_int_eq((int)json_len(json_get(j, "data")), 0);
	buf_release(&b);
	arena_free(&a);
}
END_TEST

/* ---- metrics ---- */

/* A process that counts and dies: its counters stay, its gauges go. */
START_TEST(test_metrics)
{
	struct buf b;

	ck_assert_int_eq(metrics_open(settings, NULL), ERR_OK);
	metric_add(METRIC_LLM_CALLS, 2);
	metric_set(METRIC_WS_CONNECTIONS, 3);
	pid_t pid = fork();
	if (pid == 0) {
		/* A slot of its own; the parent's mapping goes with it. */
		if (metrics_open(settings, NULL) != ERR_OK)
			_exit(1);
		metric_add(METRIC_LLM_CALLS, 5);
		metric_set(METRIC_WS_CONNECTIONS, 9);
		_exit(metric_read(METRIC_WS_CONNECTIONS) == 12 ? 0 : 2);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), 7);
	ck_assert_int_eq(metric_read(METRIC_WS_CONNECTIONS), 3);
	buf_init(&b, 65536);
	metrics_render(&b);
	ck_assert_ptr_nonnull(strstr(buf_text(&b),
	    "# TYPE aragora_llm_calls_total counter\n"
	    "aragora_llm_calls_total 7\n"));
	buf_release(&b);
	/* A second opener reaps the dead one's slot and keeps its counts. */
	metrics_close();
	ck_assert_int_eq(metrics_open(settings, NULL), ERR_OK);
	ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), 7);
	metrics_close();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bus");
	TCase *c = tcase_create("bus");

	tcase_set_timeout(c, 0);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_local);
	tcase_add_test(c, test_local_long);
	if (access(REDIS, X_OK) == 0) {
		tcase_add_test(c, test_redis);
		tcase_add_test(c, test_redis_restarts);
	} else {
		puts("SKIP: no " REDIS);
	}
	tcase_add_loop_test(c, test_redis_url, 0, 4);
	tcase_add_test(c, test_event);
	tcase_add_test(c, test_metrics);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
