/* SPDX-License-Identifier: MIT
 *
 * Log lines: one per event whatever the input holds, and valid JSON.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "tests/unit/check_run.h"

static FILE *sink;
static int saved_stderr;
static char written[65536];

/* From here on stderr is a file. */
static void
catch_stderr(void)
{
	sink = tmpfile();
	ck_assert_ptr_nonnull(sink);
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(fileno(sink), STDERR_FILENO), 0);
}

/* What was written since; stderr is itself again. */
static const char *
caught(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	rewind(sink);
	size_t n = fread(written, 1, sizeof(written) - 1, sink);
	written[n] = '\0';
	fclose(sink);
	return written;
}

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

/* The one line as JSON. */
static const struct json *
object_of(struct arena *a, const char *line)
{
	const struct json *j;
	struct err_info info = {0};
	size_t len = strlen(line);

	ck_assert_uint_eq(count_lines(line), 1);
	ck_assert_int_eq(line[len - 1], '\n');
	ck_assert_msg(json_validate(line, len - 1, NULL, &info) == ERR_OK,
	    "%s: %s", info.text, line);
	ck_assert_int_eq(json_parse(a, line, len - 1, NULL, &j, NULL), ERR_OK);
	ck_assert_str_eq(json_get_str(j, "prog", ""), "check_log");
	ck_assert_str_eq(json_get_str(j, "event", ""), "test.event");
	ck_assert_int_eq(json_get_int(j, "pid", 0), getpid());
	return j;
}

/* The same; gives its "msg". */
static const char *
message_of(struct arena *a, const char *line)
{
	return json_get_str(object_of(a, line), "msg", NULL);
}

START_TEST(test_json_line)
{
	struct arena *a = arena_new(0);

	log_init("check_log", LOG_INFO, LOG_JSON);
	catch_stderr();
	log_warning("test.event",
	    "id=%s n=%d ms=%.1f size=%zu of=%d/%d why=\"%s\"", "adhoc_1", -3,
	    0.5, (size_t)7, 1, 2, "no \"reason\" at=all");
	const char *line = caught();
	const struct json *j = object_of(a, line);
	ck_assert_str_eq(json_get_str(j, "level", ""), "warning");
	ck_assert_str_eq(json_get_str(j, "id", ""), "adhoc_1");
	ck_assert_int_eq(json_get_int(j, "n", 0), -3);
	ck_assert_double_eq(json_get_num(j, "ms", 0), 0.5);
	ck_assert_int_eq(json_get_int(j, "size", 0), 7);
	ck_assert_str_eq(json_get_str(j, "of", ""), "1/2");
	ck_assert_str_eq(json_get_str(j, "why", ""), "no \"reason\" at=all");
	ck_assert_ptr_null(json_get(j, "at"));
	ck_assert_ptr_null(json_get(j, "msg"));
	arena_free(&a);
}
END_TEST

START_TEST(test_free_text)
{
	struct arena *a = arena_new(0);

	log_init("check_log", LOG_INFO, LOG_JSON);
	catch_stderr();
	log_warning("test.event", "%s", "a=1 b=2");
	ck_assert_str_eq(message_of(a, caught()), "a=1 b=2");
	catch_stderr();
	log_warning("test.event", "%s", "");
	ck_assert_str_eq(message_of(a, caught()), "");
	arena_free(&a);
}
END_TEST

/* Whatever a value holds, it stays in its field and takes none from the
 * others. */
START_TEST(test_forged_fields)
{
	struct arena *a = arena_new(0);
	static const char *const values[] = {"", " ", "x n=9", "x\" n=9 y=\"z",
	    "\"", "\"\"", "=", " n=9 ", "\xff n=9", "\\", "\\\"", "a\nb=1"};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		log_init("check_log", LOG_INFO, LOG_JSON);
		catch_stderr();
		log_info("test.event", "a=%s n=%d b=\"%s\" m=%d", values[i], 1,
		    values[i], 2);
		const struct json *j = object_of(a, caught());
		ck_assert_int_eq(json_get_int(j, "n", 0), 1);
		ck_assert_int_eq(json_get_int(j, "m", 0), 2);
		ck_assert_str_eq(
		    json_get_str(j, "a", "?"), json_get_str(j, "b", "!"));
		if (values[i][0] != '\xff')
			ck_assert_str_eq(json_get_str(j, "a", "?"), values[i]);
		ck_assert_ptr_null(json_get(j, "y"));
		arena_clear(a);
	}
	arena_free(&a);
}
END_TEST

/* What is no number in JSON is a text. */
START_TEST(test_no_number)
{
	struct arena *a = arena_new(0);

	log_init("check_log", LOG_INFO, LOG_JSON);
	catch_stderr();
	log_info("test.event", "a=%f b=%f c=%s", -NAN, (double)INFINITY, "7");
	const struct json *j = object_of(a, caught());
	ck_assert_str_eq(json_get_str(j, "a", ""), "-nan");
	ck_assert_str_eq(json_get_str(j, "b", ""), "inf");
	ck_assert_str_eq(json_get_str(j, "c", ""), "7");
	arena_free(&a);
}
END_TEST

START_TEST(test_text_line)
{
	log_init("check_log", LOG_INFO, LOG_LOGFMT);
	catch_stderr();
	log_error("test.event", "why=\"%s\" id=%s n=%d none=%s",
	    "no \"reason\"", "adhoc_1", 4, "");
	const char *line = caught();
	ck_assert_uint_eq(count_lines(line), 1);
	ck_assert_int_eq(strncmp(line, "ts=20", 5), 0);
	ck_assert_ptr_nonnull(strstr(line, " level=error prog=check_log pid="));
	ck_assert_ptr_nonnull(strstr(line,
	    " event=test.event why=\"no \\\"reason\\\"\" id=adhoc_1 n=4 "
	    "none=\"\"\n"));
	catch_stderr();
	log_error("test.event", "%s", "as it is");
	ck_assert_ptr_nonnull(
	    strstr(caught(), " event=test.event msg=\"as it is\"\n"));
}
END_TEST

/* Without a word of the operator: logfmt for eyes, JSON for programs. */
START_TEST(test_format_follows_stderr)
{
	char line[512] = "";

	catch_stderr();
	log_init("check_log", LOG_INFO, LOG_AUTO);
	log_info("test.event", "n=%d", 1);
	ck_assert_int_eq(caught()[0], '{');

	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	ck_assert_int_ge(terminal, 0);
	ck_assert_int_eq(grantpt(terminal), 0);
	ck_assert_int_eq(unlockpt(terminal), 0);
	int far = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(far, 0);
	int saved = dup(STDERR_FILENO);
	dup2(far, STDERR_FILENO);
	log_init("check_log", LOG_INFO, LOG_AUTO);
	log_info("test.event", "n=%d", 1);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_gt(read(terminal, line, sizeof(line) - 1), 0);
	ck_assert_int_eq(strncmp(line, "ts=20", 5), 0);
	ck_assert_ptr_nonnull(strstr(line, " event=test.event n=1"));
	close(saved);
	close(far);
	close(terminal);
}
END_TEST

START_TEST(test_levels)
{
	log_init("check_log", LOG_WARNING, LOG_LOGFMT);
	catch_stderr();
	log_debug("test.event", "a");
	log_info("test.event", "b");
	log_warning("test.event", "c");
	log_error("test.event", "d");
	ck_assert_uint_eq(count_lines(caught()), 2);
	log_init("check_log", LOG_DEBUG, LOG_LOGFMT);
	catch_stderr();
	log_debug("test.event", "a");
	ck_assert_uint_eq(count_lines(caught()), 1);
}
END_TEST

/* Input that tries to look like a line of its own, or to end the JSON. */
static const char *const hostile[] = {
    "x\n2026-01-01T00:00:00Z error aragora[1] forged",
    "x\r\nforged",
    "x\",\"event\":\"forged\",\"msg\":\"",
    "x\\\",\"forged\":\"",
    "\x1b[2J\x1b]0;title\x07",
    "\xc2\x85next line\xe2\x80\xa8separator\xe2\x80\xa9paragraph",
    "\xc2\x9b[31m C1 control",
    "\x7f\x01\x1f\x08",
    "\xff\xfe\xc3(\xe2\x82",
    "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
};

START_TEST(test_forged_lines_are_escaped)
{
	struct arena *a = arena_new(0);

	for (int format = LOG_JSON; format <= LOG_LOGFMT; format++) {
		log_init("check_log", LOG_INFO, (enum log_format)format);
		for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
			catch_stderr();
			log_info("test.event", "user=%s", hostile[i]);
			const char *line = caught();
			size_t len = strlen(line);
			ck_assert_uint_eq(count_lines(line), 1);
			ck_assert(str_is_utf8(line, len));
			for (size_t k = 0; k + 1 < len; k++)
				ck_assert(line[k] < 0 || line[k] >= ' ');
			ck_assert_ptr_null(strchr(line, 0x7f));
			ck_assert_ptr_null(strstr(line, "\xe2\x80\xa8"));
			ck_assert_ptr_null(strstr(line, "\xc2\x85"));
			ck_assert_ptr_null(strstr(line, "\xc2\x9b"));
			if (format == LOG_JSON)
				ck_assert_ptr_nonnull(
				    json_get(object_of(a, line), "user"));
		}
	}
	arena_free(&a);
}
END_TEST

START_TEST(test_text_survives_json)
{
	struct arena *a = arena_new(0);

	log_init("check_log", LOG_INFO, LOG_JSON);
	catch_stderr();
	log_info("test.event", "%s",
	    "a\nb\"c\\\xc2\x85\xe2\x80\xa8\xf0\x9f"
	    "\x98\x80\xff");
	ck_assert_str_eq(message_of(a, caught()),
	    "a\nb\"c\\\xc2\x85\xe2\x80\xa8\xf0\x9f\x98\x80\xef\xbf\xbd");
	arena_free(&a);
}
END_TEST

/* Too long a text is cut, between characters and between escapes. */
START_TEST(test_long_text_is_cut)
{
	struct arena *a = arena_new(0);
	static const char *const units[] = {
	    "a", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\"};

	log_init("check_log", LOG_INFO, LOG_JSON);
	for (size_t u = 0; u < ARRAY_LEN(units); u++) {
		for (size_t lead = 0; lead < 8; lead++) {
			char text[9000] = "";
			size_t n = lead;
			memset(text, 'x', lead);
			while (n + 5 < sizeof(text)) {
				size_t len = strlen(units[u]);
				memcpy(text + n, units[u], len + 1);
				n += len;
			}
			catch_stderr();
			log_info("test.event", "%s", text);
			const char *message = message_of(a, caught());
			size_t len = strlen(message);
			ck_assert_uint_gt(len, 600);
			ck_assert_uint_lt(len, n);
			ck_assert_mem_eq(message, text, len);
			arena_clear(a);
		}
	}
	arena_free(&a);
}
END_TEST

/* So is one among fields; the line stays whole. */
START_TEST(test_long_field_is_cut)
{
	struct arena *a = arena_new(0);
	char text[9000];

	for (int format = LOG_JSON; format <= LOG_LOGFMT; format++) {
		for (int c = '\\'; c <= 'a'; c += 'a' - '\\') {
			memset(text, c, sizeof(text) - 1);
			text[sizeof(text) - 1] = '\0';
			log_init(
			    "check_log", LOG_INFO, (enum log_format)format);
			catch_stderr();
			log_info("test.event", "n=%d a=\"%s\" m=%d b=%s", 12,
			    text, 34, text);
			const char *line = caught();
			ck_assert_uint_eq(count_lines(line), 1);
			ck_assert_ptr_nonnull(strstr(line, "12"));
			if (format != LOG_JSON)
				continue;
			const struct json *j = object_of(a, line);
			ck_assert_int_eq(json_get_int(j, "n", 0), 12);
			ck_assert_uint_gt(
			    strlen(json_get_str(j, "a", "")), 600);
		}
	}
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_json_line);
	tcase_add_test(t, test_free_text);
	tcase_add_test(t, test_forged_fields);
	tcase_add_test(t, test_no_number);
	tcase_add_test(t, test_text_line);
	tcase_add_test(t, test_format_follows_stderr);
	tcase_add_test(t, test_levels);
	tcase_add_test(t, test_forged_lines_are_escaped);
	tcase_add_test(t, test_text_survives_json);
	tcase_add_test(t, test_long_text_is_cut);
	tcase_add_test(t, test_long_field_is_cut);
}

int
main(void)
{
	return check_run("log", add_tests);
}
