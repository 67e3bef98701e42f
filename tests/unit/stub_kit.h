/* SPDX-License-Identifier: MIT
 *
 * The stub provider for unit tests: started, asked what it has seen, stopped.
 * The test makes `arena` before it starts it.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#define STUB_PATH "tests/tools/llm_stub"
#define TEXT_MAX  (1u << 20)

static struct arena *arena;
static pid_t stub_pid;
static int stub_port;

static inline void
stub_exec(int out)
{
	const char *top = getenv("top_builddir");
	char path[4096];

	snprintf(
	    path, sizeof(path), "%s/%s", top != NULL ? top : ".", STUB_PATH);
	/* It does not outlive a test that failed. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(out, STDOUT_FILENO);
	execl(path, path, "--listen", "127.0.0.1:0", (char *)NULL);
	perror(path);
	_exit(127);
}

static inline void
stub_start(void)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	stub_pid = fork();
	ck_assert_int_ge(stub_pid, 0);
	if (stub_pid == 0)
		stub_exec(ends[1]);
	close(ends[1]);
	FILE *f = fdopen(ends[0], "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "listening on %d", &stub_port), 1);
	fclose(f);
}

/* What the stub has seen. */
static inline const struct json *
stub_stats(void)
{
	static const char ask[] =
	    "GET /_stub/requests HTTP/1.1\r\nHost: stub\r\n"
	    "Connection: close\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)stub_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct json *j = NULL;
	char chunk[4096];
	struct buf b;

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	ck_assert_int_eq(write(fd, ask, strlen(ask)), (ssize_t)strlen(ask));
	buf_init(&b, TEXT_MAX);
	for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
		buf_append(&b, chunk, (size_t)n);
	close(fd);
	const char *body = strstr(buf_text(&b), "\r\n\r\n");
	ck_assert_ptr_nonnull(body);
	ck_assert_int_eq(
	    json_parse(arena, body + 4, strlen(body + 4), NULL, &j, NULL),
	    ERR_OK);
	buf_release(&b);
	return j;
}

static inline int64_t
stub_seen(const char *scenario)
{
	return json_get_int(json_get(stub_stats(), "by_scenario"), scenario, 0);
}

/* Until the stub has noticed n closed connections; the test's own limit
 * ends it otherwise. */
static inline void
stub_await_closed(int64_t n)
{
	while (json_get_int(stub_stats(), "client_closed", 0) < n)
		usleep(1000);
	ck_assert_int_eq(json_get_int(stub_stats(), "client_closed", 0), n);
}

static inline void
stub_stop(void)
{
	int status;

	kill(stub_pid, SIGTERM);
	ck_assert_int_eq(waitpid(stub_pid, &status, 0), stub_pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
