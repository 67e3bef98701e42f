/* SPDX-License-Identifier: MIT
 *
 * What a service manager hears.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/service.h"
#include "check_run.h"

static int manager;
static char path[] = "/tmp/aragora-notify-XXXXXX";
static char name[sizeof(path) + 8];

static void
set_up(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/sock", path);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", name);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void
tear_down(void)
{
	close(manager);
	unlink(name);
	rmdir(path);
}

static const char *
heard(void)
{
	static char text[1000];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

START_TEST(test_messages)
{
	service_ready("%d threads", 4);
	ck_assert_str_eq(heard(), "READY=1\nSTATUS=4 threads");
	service_status("a\nREADY=0");
	ck_assert_str_eq(heard(), "STATUS=a READY=0");
	service_stopping(1500);
	ck_assert_ptr_nonnull(strstr(heard(), "EXTEND_TIMEOUT_USEC=1500000"));
	service_reloading();
	ck_assert_ptr_nonnull(strstr(heard(), "RELOADING=1\nMONOTONIC_USEC="));
	service_alive();
	ck_assert_str_eq(heard(), "WATCHDOG=1");
}
END_TEST

/* Without a manager, or with one that has gone, nothing happens. */
/* A manager that does not read hears less, and nobody waits for it. */
START_TEST(test_late_manager)
{
	for (int i = 0; i < 5000; i++)
		service_alive();
	ck_assert_str_eq(heard(), "WATCHDOG=1");
}
END_TEST

START_TEST(test_nobody)
{
	unsetenv("NOTIFY_SOCKET");
	service_ready("x");
	ck_assert_str_eq(heard(), "");
	setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
	service_ready("x");
	setenv("NOTIFY_SOCKET", "@aragora-nobody-listens-here", 1);
	service_ready("x");
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(test_abstract)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	char text[100] = "";
	int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1,
	    "aragora-check-%d", (int)getpid());

	ck_assert_int_eq(
	    bind(fd, (struct sockaddr *)&at,
		(socklen_t)(sizeof(at.sun_family) + 1) + (socklen_t)n),
	    0);
	snprintf(name, sizeof(name), "@%.30s", at.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	service_ready("up");
	ck_assert_int_gt((int)recv(fd, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, "READY=1\nSTATUS=up");
	close(fd);
	snprintf(name, sizeof(name), "%s/sock", path);
}
END_TEST

START_TEST(test_watchdog)
{
	char pid[20];

	ck_assert_int_eq(service_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	ck_assert_int_eq(service_watchdog_ms(), 15000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_int_eq(service_watchdog_ms(), 15000);
	setenv("WATCHDOG_PID", "1", 1); /* meant for another process */
	ck_assert_int_eq(service_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	ck_assert_int_eq(service_watchdog_ms(), 0);
}
END_TEST

static int n_alive;

static void
on_turn(void *arg)
{
	if (strcmp(heard(), "WATCHDOG=1") == 0 && ++n_alive == 3)
		loop_stop(arg);
}

/* A loop says again and again that it lives; the test ends when it has. */
START_TEST(test_loop)
{
	struct loop *loop;
	struct loop_timer timer;

	setenv("WATCHDOG_USEC", "20000", 1);
	ck_assert_int_eq(loop_new(&loop), ERR_OK);
	n_alive = 0;
	loop_on_turn_end(loop, on_turn, loop);
	service_watch_loop(loop, &timer);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_alive, 3);
	loop_free(&loop);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_messages);
	tcase_add_test(t, test_late_manager);
	tcase_add_test(t, test_nobody);
	tcase_add_test(t, test_abstract);
	tcase_add_test(t, test_watchdog);
	tcase_add_test(t, test_loop);
}

int
main(void)
{
	return check_run("service", add_tests);
}
