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

/* What /metrics says of one line; -1 = it is not there. */
static long long
rendered(const char *line)
{
	struct buf b;
	long long value = -1;

	buf_init(&b, 16u << 20);
	metrics_render(&b);
	const char *at = strstr(buf_text(&b), line);
	if (at != NULL)
		value = strtoll(at + strlen(line), NULL, 10);
	buf_release(&b);
	return value;
}

/* All sees what each sees: the greatest counts, while its process lives. */
START_TEST(test_level)
{
	int to[2], from[2];
	char byte = 0;

	open_metrics();
	metric_set(METRIC_DEBATES_QUEUED, 5);
	ck_assert_int_eq(pipe2(to, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(from, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(to[1]);
		if (metrics_open(kit.settings, NULL) != ERR_OK)
			_exit(1);
		metric_set(METRIC_DEBATES_QUEUED, 7);
		if (write(from[1], &byte, 1) != 1)
			_exit(2);
		_exit(read(to[0], &byte, 1) == 0 ? 0 : 3);
	}
	close(to[0]);
	ck_assert_int_eq((int)read(from[0], &byte, 1), 1);
	ck_assert_int_eq(metric_read(METRIC_DEBATES_QUEUED), 7);
	close(to[1]);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(metric_read(METRIC_DEBATES_QUEUED), 5);
	close(from[0]);
	close(from[1]);
}
END_TEST

#define API	"aragora_api_request_duration_seconds"
#define API_GET "{method=\"GET\",endpoint=\"/x\",status=\"2xx\""

START_TEST(test_histogram)
{
	static const char label[] =
	    "method=\"GET\",endpoint=\"/x\",status=\"2xx\"";

	open_metrics();
	ck_assert_int_eq(rendered("# TYPE " API), -1);
	metric_observe(HISTOGRAM_API_REQUEST, label, 500); /* on a bound */
	metric_observe(HISTOGRAM_API_REQUEST, label, 501); /* above it */
	metric_observe(HISTOGRAM_API_REQUEST, label, 200000);
	metric_observe(HISTOGRAM_API_REQUEST, label, 301000000);
	metric_observe(HISTOGRAM_API_REQUEST, label, -3); /* a clock's fault */
	metric_observe(HISTOGRAM_API_REQUEST, "", 1);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"0.0005\"} "), 2);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"0.001\"} "), 3);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"0.1\"} "), 3);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"0.2\"} "), 4);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"300\"} "), 4);
	ck_assert_int_eq(rendered(API "_bucket" API_GET ",le=\"+Inf\"} "), 5);
	ck_assert_int_eq(rendered(API "_count" API_GET "} "), 5);
	ck_assert_int_eq(rendered(API "_sum" API_GET "} "), 301);
	ck_assert_int_eq(rendered(API "_bucket{le=\"0.0005\"} "), 1);
	ck_assert_int_eq(rendered(API "_count "), 1);
}
END_TEST

#define HIST_PROCESSES 6
#define HIST_EACH      500
#define HIST_LABELS    40

/* Processes that begin the same series at once make it once, and what they
 * counted outlives them, killed or not. */
START_TEST(test_histogram_shared)
{
	pid_t pids[HIST_PROCESSES];
	int go[2];
	char byte;

	open_metrics();
	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	for (int i = 0; i < HIST_PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		close(go[1]);
		if (metrics_open(kit.settings, NULL) != ERR_OK ||
		    read(go[0], &byte, 1) != 0)
			_exit(1);
		for (int n = 0; n < HIST_EACH; n++) {
			char label[32];
			snprintf(label, sizeof(label), "agent=\"a%d\"",
			    n % HIST_LABELS);
			metric_observe(HISTOGRAM_AGENT_RESPONSE, label, 1000);
		}
		raise(SIGKILL);
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < HIST_PROCESSES; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	}
	int64_t sum = 0;
	struct buf b;
	buf_init(&b, 16u << 20);
	metrics_render(&b);
	size_t n = 0;
	for (const char *p = buf_text(&b);
	     (p = strstr(p, "response_time_seconds_count{")) != NULL; p++, n++)
		sum += strtoll(strchr(p, '}') + 1, NULL, 10);
	buf_release(&b);
	ck_assert_uint_eq(n, HIST_LABELS);
	ck_assert_int_eq(sum, HIST_PROCESSES * HIST_EACH);
}
END_TEST

/* More labels than there is room for: none is lost, the later ones have none.
 */
START_TEST(test_histogram_full)
{
	const int many = 3000;
	long long with = 0;
	char line[96];

	open_metrics();
	for (int i = 0; i < many; i++) {
		char label[32];
		snprintf(label, sizeof(label), "agent=\"a%d\"", i);
		metric_observe(HISTOGRAM_AGENT_RESPONSE, label, 1000);
	}
	for (int i = 0; i < many; i++) {
		snprintf(line, sizeof(line),
		    "aragora_agent_response_time_seconds_count{agent=\"a%d\"} ",
		    i);
		if (i < 20 || i >= many - 20)
			ck_assert_int_eq(rendered(line), i < 20 ? 1 : -1);
	}
	with = rendered("aragora_agent_response_time_seconds_count ");
	ck_assert_int_gt(with, 0);
	ck_assert_int_lt(with, many);
	metric_observe(HISTOGRAM_API_REQUEST, "method=\"GET\"", 7);
	ck_assert_int_eq(rendered(API "_count "), 1);
}
END_TEST

START_TEST(test_seconds)
{
	struct buf b;

	open_metrics();
	metric_set(METRIC_RUNNER_LOOP_LAG, 1250);
	buf_init(&b, 16u << 20);
	metrics_render(&b);
	ck_assert_ptr_nonnull(
	    strstr(buf_text(&b), "\naragora_runner_loop_lag_seconds 1.250\n"));
	buf_release(&b);
}
END_TEST

START_TEST(test_label)
{
	struct buf b;

	buf_init(&b, 100);
	metric_label(&b, "a\"b\\c\nd");
	ck_assert_str_eq(buf_text(&b), "a\\\"b\\\\c d");
	buf_release(&b);
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
	tcase_add_test(t, test_level);
	tcase_add_test(t, test_histogram);
	tcase_add_test(t, test_histogram_shared);
	tcase_add_test(t, test_histogram_full);
	tcase_add_test(t, test_seconds);
	tcase_add_test(t, test_label);
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
