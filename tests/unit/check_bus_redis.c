/* SPDX-License-Identifier: MIT
 *
 * The bus over a private Redis on a Unix socket, and over servers that
 * misbehave.
 */
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bus_kit.h"
#include "check_run.h"

#define REDIS "/usr/bin/redis-server"
#define SKIP  77

static struct kit kit;
static char socket_path[80];
static pid_t redis_pid;

static void
use_redis(const char *query)
{
	char url[160];

	snprintf(url, sizeof(url), "unix:%s%s", socket_path, query);
	setenv("ARAGORA_REDIS_URL", url, 1);
	kit_load(&kit);
}

static void
setup(void)
{
	kit_open(&kit);
	snprintf(socket_path, sizeof(socket_path), "%s/redis.sock", kit.folder);
	setenv("ARAGORA_REDIS_SOCKET_TIMEOUT", "20", 1);
	unsetenv("ARAGORA_REDIS_FAILURE_THRESHOLD");
	use_redis("");
}

static bool
redis_answers(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	bool is_up = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return is_up;
}

/* False when the server ends: somebody else has its port. */
static bool
redis_try(int port, const char *password)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", port);
	unlink(socket_path);
	redis_pid = fork();
	if (redis_pid == 0) {
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(1);
		execl(REDIS, REDIS, "--port", number, "--bind", "127.0.0.1",
		    "--unixsocket", socket_path, "--save", "", "--requirepass",
		    password, (char *)NULL);
		_exit(127);
	}
	/* The file is there a moment before anybody listens. */
	while (!redis_answers()) {
		if (waitpid(redis_pid, NULL, WNOHANG) == redis_pid) {
			redis_pid = 0;
			return false;
		}
		kit_nap();
	}
	return true;
}

static void
redis_start(int port, const char *password)
{
	ck_assert_msg(redis_try(port, password), "no Redis");
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
	redis_stop();
	kit_close(&kit);
}

START_TEST(test_exchange)
{
	redis_start(0, "");
	kit_exchange(&kit);
}
END_TEST

START_TEST(test_many_debates)
{
	enum { N = 3000 };
	struct heard h = HEARD;
	struct bus_message m[N];
	char ids[N][16];

	redis_start(0, "");
	struct bus_sub *sub = heard_open(&h, &kit, false);
	struct bus *bus = kit_bus(&kit);
	for (int i = 0; i < N; i++) {
		snprintf(ids[i], sizeof(ids[i]), "many_%d", i);
		bus_sub_add(sub, ids[i]);
		m[i] = (struct bus_message){
		    .debate_id = ids[i], .seq = 1, .payload = ""};
	}
	/* Added last, in force last. */
	bus_sub_add(sub, "mark");
	kit_publish_until(bus, &h, "mark", 5);
	int before = heard_now(&h).messages;
	ck_assert_int_eq(bus_publish(bus, m, N), ERR_OK);
	while (heard_now(&h).messages < before + N)
		kit_nap();
	ck_assert_uint_eq(bus_take_dropped(bus), 0);
	bus_sub_close(&sub);
	bus_close(&bus);
}
END_TEST

/* Given up and wanted again at once: the owner is told all the same. */
START_TEST(test_wanted_again)
{
	struct heard h = HEARD;

	redis_start(0, "");
	struct bus_sub *sub = heard_open(&h, &kit, false);
	bus_sub_add(sub, "mine");
	while (heard_now(&h).gaps == 0)
		kit_nap();
	for (int i = 0; i < 200; i++) {
		int gaps = heard_now(&h).gaps;
		bus_sub_del(sub, "mine");
		bus_sub_add(sub, "mine");
		while (heard_now(&h).gaps == gaps)
			kit_nap();
	}
	bus_sub_close(&sub);
}
END_TEST

START_TEST(test_restart)
{
	struct heard h = HEARD;

	setenv("ARAGORA_REDIS_FAILURE_THRESHOLD", "1", 1);
	use_redis("");
	/* Down at first: opening does not fail, and the owner is told to look
	 * at the table meanwhile. */
	struct bus_sub *sub = heard_open(&h, &kit, true);
	struct bus *bus = kit_bus(&kit);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_DOWN);
	ck_assert_int_eq(kit_publish(bus, "mine", 1, "{}"), ERR_DOWN);
	while (heard_now(&h).gaps < 2)
		kit_nap();
	bus_sub_add(sub, "mine");
	redis_start(0, "");
	kit_publish_until(bus, &h, "mine", 1);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_OK);

	for (int64_t i = 2; i < 6; i++) {
		int gaps = heard_now(&h).gaps;
		redis_stop();
		redis_start(0, "");
		/* The old connection is cut: that alone loses nothing. */
		while (kit_publish(bus, "mine", i, "{}") != ERR_OK)
			kit_nap();
		kit_publish_until(bus, &h, "mine", i);
		ck_assert_int_gt(heard_now(&h).gaps, gaps);
	}
	bus_sub_close(&sub);
	bus_close(&bus);
}
END_TEST

/* A message no table keeps is rather lost than doubled. */
START_TEST(test_restart_ephemeral)
{
	redis_start(0, "");
	struct bus *bus = kit_bus(&kit);
	ck_assert_int_eq(kit_publish(bus, "mine", 1, "{}"), ERR_OK);
	redis_stop();
	redis_start(0, "");
	while (kit_publish(bus, "mine", 0, "{}") != ERR_OK)
		kit_nap();
	ck_assert_uint_ge(bus_take_dropped(bus), 1);
	ck_assert_int_eq(kit_publish(bus, "mine", 0, "{}"), ERR_OK);
	ck_assert_uint_eq(bus_take_dropped(bus), 0);
	bus_close(&bus);
}
END_TEST

/* ---- passwords and addresses ---- */

static int
free_port(void)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	close(fd);
	return ntohs(at.sin_port);
}

static void
use_url(const char *login, int port, const char *rest)
{
	char url[160];

	snprintf(url, sizeof(url), "redis://%s:%d%s", login, port, rest);
	setenv("ARAGORA_REDIS_URL", url, 1);
	kit_load(&kit);
}

struct address {
	const char *login;
	const char *rest;
};

START_TEST(test_password)
{
	static const struct address good[] = {{":p%40ss@127.0.0.1", ""},
	    {"default:p%40ss@localhost", "/3"}, {"p%40ss@127.0.0.1", "/"}};
	static const struct address bad[] = {{"127.0.0.1", ""},
	    {":wrong@127.0.0.1", ""}, {"who:p%40ss@127.0.0.1", ""},
	    {":p%40ss@127.0.0.1", "/999"}};
	int port;

	do {
		port = free_port();
	} while (!redis_try(port, "p@ss"));
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		use_url(good[i].login, port, good[i].rest);
		kit_exchange(&kit);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct heard h = HEARD;
		use_url(bad[i].login, port, bad[i].rest);
		struct bus *bus = kit_bus(&kit);
		ck_assert_int_eq(bus_ping_redis(bus), ERR_DOWN);
		ck_assert_int_eq(kit_publish(bus, "x", 1, "{}"), ERR_DOWN);
		bus_close(&bus);
		/* The database of a URL does not matter to a subscriber. */
		if (*bad[i].rest != '\0')
			continue;
		struct bus_sub *sub = heard_open(&h, &kit, true);
		while (heard_now(&h).gaps < 2)
			kit_nap();
		bus_sub_close(&sub);
	}
}
END_TEST

/* ---- servers that misbehave ---- */

struct fake {
	int fd;
	pthread_t thread;
	atomic_int accepted;
	atomic_bool is_stopping;
	const char *answer;
	size_t len;
};

/* Answers everybody with the same bytes and hangs up. */
static void *
fake_thread(void *arg)
{
	struct fake *f = arg;
	char request[1024];

	for (;;) {
		int fd = accept(f->fd, NULL, NULL);
		if (atomic_load(&f->is_stopping)) {
			close(fd);
			return NULL;
		}
		atomic_fetch_add(&f->accepted, 1);
		if (recv(fd, request, sizeof(request), 0) > 0 && f->len > 0)
			(void)!send(fd, f->answer, f->len, MSG_NOSIGNAL);
		close(fd);
	}
}

static void
fake_start(struct fake *f, const char *answer, size_t len)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	*f = (struct fake){.answer = answer, .len = len};
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", socket_path);
	unlink(socket_path);
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(f->fd, 100), 0);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_thread, f), 0);
}

static void
fake_stop(struct fake *f)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	atomic_store(&f->is_stopping, true);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", socket_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	pthread_join(f->thread, NULL);
	close(fd);
	close(f->fd);
}

static const struct {
	const char *text;
	size_t len;
} garbage[] = {
#define BYTES(s)                                                               \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}
    BYTES(""),
    BYTES("HTTP/1.1 200 OK\r\n\r\n"),
    BYTES("\0\0\0\0"),
    BYTES("*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n"),
    BYTES("*3\r\n$8\r\npmessage\r\n$1\r\na\r\n$1\r\nb\r\n"),
    BYTES("*1\r\n:5\r\n"),
    BYTES("*0\r\n"),
    BYTES("*-1\r\n"),
    BYTES("$-1\r\n"),
    BYTES(":1\r\n"),
    BYTES("*2147483647\r\n"),
    BYTES("$99999999999999999999\r\n"),
    BYTES("-LOADING not yet\r\n"),
    BYTES("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
    BYTES("*3\r\n$7\r\nmessage\r\n$12\r\naragora:wake\r\n$3\r\nnon\r\n"),
#undef BYTES
};

/* Whatever a server says, the next one is served as if nothing had been. */
START_TEST(test_garbage)
{
	struct heard h = HEARD;
	struct fake fake;

	fake_start(&fake, garbage[_i].text, garbage[_i].len);
	struct bus_sub *sub = heard_open(&h, &kit, true);
	struct bus *bus = kit_bus(&kit);
	bus_sub_add(sub, "mine");
	while (atomic_load(&fake.accepted) < 2)
		kit_nap();
	(void)!kit_publish(bus, "mine", 1, "{}");
	fake_stop(&fake);
	redis_start(0, "");
	kit_publish_until(bus, &h, "mine", 2);
	ck_assert_int_eq(bus_ping_redis(bus), ERR_OK);
	bus_sub_close(&sub);
	bus_close(&bus);
}
END_TEST

/* Known to be down: callers are refused without an attempt. */
START_TEST(test_breaker)
{
	struct fake fake;

	fake_start(&fake, "", 0);
	struct bus *bus = kit_bus(&kit);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(kit_publish(bus, "mine", 1, "{}"), ERR_DOWN);
	ck_assert_int_ge(atomic_load(&fake.accepted), 3);
	ck_assert_int_lt(atomic_load(&fake.accepted), 50);
	ck_assert_uint_eq(bus_take_dropped(bus), 100);
	fake_stop(&fake);
	bus_close(&bus);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_exchange);
	tcase_add_test(t, test_many_debates);
	tcase_add_test(t, test_wanted_again);
	tcase_add_test(t, test_restart);
	tcase_add_test(t, test_restart_ephemeral);
	tcase_add_test(t, test_password);
	tcase_add_loop_test(t, test_garbage, 0, (int)ARRAY_LEN(garbage));
	tcase_add_test(t, test_breaker);
}

int
main(void)
{
	if (access(REDIS, X_OK) != 0) {
		puts("SKIP: no " REDIS);
		return SKIP;
	}
	return check_run("bus_redis", add_tests);
}
