/* SPDX-License-Identifier: MIT
 *
 * Counting by several processes in one file.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bus_kit.h"
#include "check_run.h"
#include "metrics/metrics.h"

static struct kit kit;

static void
setup(void)
{
	kit_open(&kit);
}

static void
teardown(void)
{
	metrics_close();
	kit_close(&kit);
}

static void
open_metrics(void)
{
	struct err_info info = {0};

	ck_assert_msg(
	    metrics_open(kit.settings, &info) == ERR_OK, "%s", info.text);
}

/* A process that counts; it ends when told, or is killed. */
struct counter {
	pid_t pid;
	int tell;
};

static struct counter
counter_start(int64_t calls, int64_t connections)
{
	struct counter c;
	int to[2], from[2];
	char byte = 0;

	ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
	c.pid = fork();
	if (c.pid == 0) {
		close(to[1]);
		/* A slot of its own; the parent's mapping is left alone. */
		if (metrics_open(kit.settings, NULL) != ERR_OK)
			_exit(1);
		metric_add(METRIC_LLM_CALLS, calls);
		metric_set(METRIC_WS_CONNECTIONS, connections);
		if (write(from[1], &byte, 1) != 1)
			_exit(2);
		_exit(read(to[0], &byte, 1) == 1 ? 0 : 3);
	}
	close(to[0]);
	close(from[1]);
	ck_assert_int_eq((int)read(from[0], &byte, 1), 1);
	close(from[0]);
	c.tell = to[1];
	return c;
}

static void
counter_end(struct counter *c, bool is_killed)
{
	int status;

	if (is_killed)
		kill(c->pid, SIGKILL);
	else
		ck_assert_int_eq((int)write(c->tell, "", 1), 1);
	ck_assert_int_eq(waitpid(c->pid, &status, 0), c->pid);
	if (is_killed)
		ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	else
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	close(c->tell);
}

/* Whoever dies leaves its counters and takes its gauges along; whoever comes
 * after goes on counting. */
START_TEST(test_processes)
{
	int64_t calls = 2;

	metric_add(METRIC_LLM_CALLS, 1000); /* before opening: lost */
	open_metrics();
	metric_add(METRIC_LLM_CALLS, calls);
	metric_set(METRIC_WS_CONNECTIONS, 3);
	for (int i = 1; i < 20; i++) {
		struct counter a = counter_start(i, 10);
		struct counter b = counter_start(i, 20);
		calls += 2 * i;
		ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), calls);
		ck_assert_int_eq(metric_read(METRIC_WS_CONNECTIONS), 33);
		counter_end(&a, i % 2 == 0);
		ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), calls);
		ck_assert_int_eq(metric_read(METRIC_WS_CONNECTIONS), 23);
		counter_end(&b, i % 3 == 0);
		ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), calls);
		ck_assert_int_eq(metric_read(METRIC_WS_CONNECTIONS), 3);
	}
	/* Everybody has gone: the counts are still there. */
	metrics_close();
	open_metrics();
	ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), calls);
	ck_assert_int_eq(metric_read(METRIC_WS_CONNECTIONS), 0);
}
END_TEST

/* A file of another program version is replaced; those who use it go on. */
START_TEST(test_layout)
{
	static const char *const contents[] = {"", "x", NULL};
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/metrics", kit.folder);
	open_metrics();
	metric_add(METRIC_LLM_CALLS, 5);
	ck_assert_int_eq(stat(path, &st), 0);
	struct counter old = counter_start(1, 1);
	metrics_close();
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		int fd =
		    open(path, O_WRONLY | (contents[i] != NULL ? O_TRUNC : 0));
		ck_assert_int_ge(fd, 0);
		if (contents[i] == NULL) /* right size, other layout */
			ck_assert_int_eq((int)pwrite(fd, "\0\1", 2, 0), 2);
		else
			ck_assert_int_eq(
			    (int)write(fd, contents[i], strlen(contents[i])),
			    (int)strlen(contents[i]));
		close(fd);
		/* Only an empty file is taken as it is: others may hold a
		 * mapping of the rest. */
		open_metrics();
		ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), 0);
		metric_add(METRIC_LLM_CALLS, 7);
		ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), 7);
		metrics_close();
	}
	counter_end(&old, true);
}
END_TEST

START_TEST(test_no_folder)
{
	struct err_info info = {0};

	setenv("ARAGORA_DATA_DIR", "/proc/none", 1);
	kit_load(&kit);
	ck_assert_int_eq(metrics_open(kit.settings, &info), ERR_IO);
	ck_assert_str_eq(info.field, "ARAGORA_DATA_DIR");
	metric_add(METRIC_LLM_CALLS, 1); /* goes nowhere */
	ck_assert_int_eq(metric_read(METRIC_LLM_CALLS), 1);
}
END_TEST

START_TEST(test_render)
{
	struct buf b;

	open_metrics();
	metric_add(METRIC_HTTP_4XX, 3);
	metric_add(METRIC_LLM_CALLS, 7);
	metric_set(METRIC_WS_CONNECTIONS, 2);
	buf_init(&b, 65536);
	metrics_render(&b);
	const char *text = buf_text(&b);
	ck_assert_ptr_nonnull(strstr(text,
	    "# TYPE aragora_llm_calls_total counter\n"
	    "aragora_llm_calls_total 7\n"));
	ck_assert_ptr_nonnull(strstr(text,
	    "# TYPE aragora_websocket_connections gauge\n"
	    "aragora_websocket_connections 2\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "aragora_http_requests_total{status=\"4xx\"} 3\n"));
	/* One header a family, however many series. */
	const char *type = "# TYPE aragora_http_requests_total";
	const char *first = strstr(text, type);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(first + 1, type));
	buf_release(&b);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_processes);
	tcase_add_test(t, test_layout);
	tcase_add_test(t, test_no_folder);
	tcase_add_test(t, test_render);
}

int
main(void)
{
	return check_run("metrics", add_tests);
}
