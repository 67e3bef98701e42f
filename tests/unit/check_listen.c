/* SPDX-License-Identifier: MIT
 *
 * Where listening sockets come from.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/listen.h"
#include "base/str.h"
#include "tests/unit/check_run.h"

static char folder[] = "check_listen.XXXXXX";
static char where[64];
static struct err_info info;

static void
set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(where, sizeof(where), "unix:%s/s", folder);
}

static void
tear_down(void)
{
	unlink(where + 5);
	ck_assert_int_eq(rmdir(folder), 0);
}

static bool
is_there(void)
{
	return access(where + 5, F_OK) == 0;
}

/* Connect to where, or -1. */
static int
call(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", where + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_ge(fd, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

START_TEST(test_unix)
{
	struct stat st;
	int fd;

	ck_assert_int_eq(listen_open(where, &fd, &info), ERR_OK);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ck_assert_int_eq(stat(where + 5, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	int caller = call();
	ck_assert_int_ge(caller, 0);
	close(caller);
	listen_close(where, fd);
	ck_assert(!is_there());
}
END_TEST

/* A file left behind is replaced, a living one is not. */
START_TEST(test_unix_taken)
{
	int first, second;

	ck_assert_int_eq(listen_open(where, &first, &info), ERR_OK);
	ck_assert_int_eq(listen_open(where, &second, &info), ERR_EXISTS);
	ck_assert_int_eq(second, -1);
	ck_assert_str_eq(info.field, "--listen");
	close(first);
	ck_assert(is_there());
	ck_assert_int_eq(listen_open(where, &second, &info), ERR_OK);
	listen_close(where, second);
}
END_TEST

/* What is no socket is nobody's to replace. */
START_TEST(test_unix_other_file)
{
	int fd = open(where + 5, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_ne(listen_open(where, &fd, &info), ERR_OK);
	ck_assert(is_there());
}
END_TEST

/* The file stays when another process has taken the address over. */
START_TEST(test_close_leaves_successor)
{
	int first, second;

	ck_assert_int_eq(listen_open(where, &first, &info), ERR_OK);
	unlink(where + 5);
	ck_assert_int_eq(listen_open(where, &second, &info), ERR_OK);
	listen_close(where, first);
	ck_assert(is_there());
	listen_close(where, second);
	ck_assert(!is_there());
}
END_TEST

/* Sockets for several threads: each gets callers, and yet another process is
 * told that the port is taken. */
START_TEST(test_each)
{
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	char again[32];
	int fds[4], other;
	int served[4] = {0};

	ck_assert_int_eq(
	    listen_open_each("127.0.0.1:0", fds, ARRAY_LEN(fds), &info),
	    ERR_OK);
	getsockname(fds[0], (struct sockaddr *)&own, &len);
	snprintf(again, sizeof(again), "127.0.0.1:%d", ntohs(own.sin_port));
	ck_assert_int_eq(listen_open(again, &other, &info), ERR_EXISTS);
	ck_assert_int_eq(listen_open_each(again, fds, 1, &info), ERR_EXISTS);
	ck_assert_int_eq(
	    listen_open_each("127.0.0.1:0", fds, ARRAY_LEN(fds), &info),
	    ERR_OK);
	getsockname(fds[0], (struct sockaddr *)&own, &len);
	for (int i = 0; i < 200; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&own, len), 0);
		for (size_t k = 0; k < ARRAY_LEN(fds); k++) {
			int got = accept(fds[k], NULL, NULL);
			if (got < 0)
				continue;
			served[k]++;
			close(got);
		}
		close(fd);
	}
	for (size_t k = 0; k < ARRAY_LEN(fds); k++) {
		ck_assert_int_gt(served[k], 0);
		close(fds[k]);
	}
	ck_assert_int_eq(
	    listen_open_each(where, fds, ARRAY_LEN(fds), &info), ERR_OK);
	for (size_t k = 1; k < ARRAY_LEN(fds); k++) {
		ck_assert_int_ne(fds[k], fds[0]);
		ck_assert_int_eq(
		    fcntl(fds[k], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		listen_close(where, fds[k]);
	}
	ck_assert(is_there());
	listen_close(where, fds[0]);
	ck_assert(!is_there());
}
END_TEST

START_TEST(test_tcp)
{
	static const char *const hosts[] = {"127.0.0.1:0", ":0"};
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	char again[32];
	int fd, other;

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		ck_assert_int_eq(listen_open(hosts[i], &fd, &info), ERR_OK);
		ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		listen_close(hosts[i], fd);
	}
	ck_assert_int_eq(listen_open(hosts[0], &fd, &info), ERR_OK);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &len), 0);
	snprintf(again, sizeof(again), "127.0.0.1:%u",
	    ntohs(((struct sockaddr_in *)&own)->sin_port));
	ck_assert_int_eq(listen_open(again, &other, &info), ERR_EXISTS);
	listen_close(hosts[0], fd);
}
END_TEST

START_TEST(test_refused)
{
	static const char *const bad[] = {"", "8080",
	    "unix:", "127.0.0.1:noport", "127.0.0.1:65536",
	    "127.0.0.1:", "[::1:80", "unix:/no/such/folder/s",
	    ("unix:/012345678901234567890123456789012345678901234567890123456"
	     "78901234567890123456789012345678901234567890123456789012345678"
	     "9")};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = 7;
		ck_assert_msg(listen_open(bad[i], &fd, &info) != ERR_OK,
		    "'%s' was taken", bad[i]);
		ck_assert_int_eq(fd, -1);
		ck_assert_str_eq(info.field, "--listen");
	}
}
END_TEST

/* In a child: descriptor `at` listens, then listen_inherit. Exit status 0 when
 * it gives that descriptor, non-blocking and close-on-exec. */
static int
inherit_at(int at, const char *pid_text, bool is_listening)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char own[16];
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		struct sockaddr_un to = {.sun_family = AF_UNIX};
		snprintf(to.sun_path, sizeof(to.sun_path), "%s", where + 5);
		if (bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
		    (is_listening && listen(fd, 5) != 0) || dup2(fd, at) != at)
			_exit(9);
		snprintf(own, sizeof(own), "%d", (int)getpid());
		setenv("LISTEN_PID", pid_text != NULL ? pid_text : own, 1);
		setenv("LISTEN_FDS", "1", 1);
		int got = -2;
		enum err e = listen_inherit(&got);
		if (getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDS"))
			_exit(8);
		if (e != ERR_OK)
			_exit(e == ERR_NOT_FOUND && got == -1 ? 1 : 2);
		if ((fcntl(got, F_GETFL) & O_NONBLOCK) == 0 ||
		    (fcntl(got, F_GETFD) & FD_CLOEXEC) == 0)
			_exit(7);
		_exit(got == at ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	unlink(where + 5);
	return WEXITSTATUS(status);
}

START_TEST(test_inherit)
{
	/* systemd's, meant for us or for another process; spawn-fcgi's. */
	ck_assert_int_eq(inherit_at(3, NULL, true), 0);
	ck_assert_int_eq(inherit_at(3, "1", true), 1);
	ck_assert_int_eq(inherit_at(3, "x", true), 1);
	ck_assert_int_eq(inherit_at(0, "1", true), 0);
	ck_assert_int_eq(inherit_at(3, NULL, false), 1);
	ck_assert_int_eq(inherit_at(0, "1", false), 1);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_unix);
	tcase_add_test(t, test_unix_taken);
	tcase_add_test(t, test_unix_other_file);
	tcase_add_test(t, test_close_leaves_successor);
	tcase_add_test(t, test_each);
	tcase_add_test(t, test_tcp);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_inherit);
}

int
main(void)
{
	return check_run("listen", add_tests);
}
