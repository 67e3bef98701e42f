/* SPDX-License-Identifier: MIT
 *
 * The log sink: the only mutable global of the tree beside signal flags.
 */
#include "base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define LOG_LINE_MAX 4096
#define LOG_LEAD_MAX 256

static struct {
	const char *program;
	enum log_level level;
	bool is_json;
} log_sink = {.program = "aragora", .level = LOG_INFO, .is_json = true};

void
log_init(const char *program, enum log_level level, enum log_format format)
{
	log_sink.program = program;
	log_sink.level = level;
	log_sink.is_json = format == LOG_JSON ||
	    (format == LOG_AUTO && isatty(STDERR_FILENO) == 0);
}

/* Length of the UTF-8 sequence at p, 0 when the bytes are none. */
static size_t
log_utf8_step(const char *p, size_t len)
{
	for (size_t n = 1; n <= 4 && n <= len; n++)
		if (str_is_utf8(p, n))
			return n;
	return 0;
}

/* May these bytes stand in a line as they are? Not: ASCII and C1 control
 * characters and the Unicode line ends. */
static bool
log_is_plain(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n == 1)
		return u[0] >= 0x20 && u[0] != 0x7f;
	if (n == 2)
		return u[0] != 0xc2 || u[1] >= 0xa0;
	return n != 3 || u[0] != 0xe2 || u[1] != 0x80 ||
	    (u[2] != 0xa8 && u[2] != 0xa9);
}

/* One character in at least 8 bytes of room, escaped where it has to be. */
static size_t
log_put(char *to, const char *p, size_t n)
{
	if (n == 1 && (*p == '"' || *p == '\\')) {
		to[0] = '\\';
		to[1] = *p;
		return 2;
	}
	if (n > 0 && log_is_plain(p, n)) {
		memcpy(to, p, n);
		return n;
	}
	unsigned code = n == 1 ? (unsigned char)*p
	    : n == 2	       ? (unsigned char)p[1]
	    : n == 3	       ? 0x2000u + ((unsigned char)p[2] & 0x3fu)
			       : 0xfffdu;
	return (size_t)snprintf(to, 8, "\\u%04x", code);
}

/* Escape for a JSON string; the same text serves in a logfmt line. Returns
 * bytes written, without a NUL. */
static size_t
log_escape(const char *from, char *to, size_t size)
{
	size_t len = strlen(from);
	size_t n = 0;

	for (size_t i = 0; i < len && n + 8 <= size;) {
		size_t step = log_utf8_step(from + i, len - i);
		n += log_put(to + n, from + i, step);
		i += step > 0 ? step : 1;
	}
	return n;
}

/* What stands before the text; never more than LOG_LEAD_MAX. */
static size_t
log_lead(enum log_level level, const char *event, char *to)
{
	static const char *const names[] = {
	    "debug", "info", "warning", "error"};
	char when[CLOCK_ISO_SIZE];

	clock_iso(clock_wall_us(), when);
	int n = snprintf(to, LOG_LEAD_MAX,
	    log_sink.is_json
		? "{\"ts\":\"%s\",\"level\":\"%s\",\"prog\":\"%s\","
		  "\"pid\":%d,\"event\":\"%s\",\"msg\":\""
		: "%s %s %s[%d] %s ",
	    when, names[level], log_sink.program, (int)getpid(), event);
	assert(n > 0 && n < LOG_LEAD_MAX);
	return (size_t)n;
}

static void log_emit(enum log_level level, const char *event, const char *fmt,
    va_list ap) PRINTF(3, 0) __attribute__((noinline));

/* Apart from log_write, so that a line which is not logged does not pay for
 * the buffers: they are zeroed on entry. */
static void
log_emit(enum log_level level, const char *event, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX / 2];
	char line[LOG_LEAD_MAX + LOG_LINE_MAX + 3];

	vsnprintf(text, sizeof(text), fmt, ap);
	text[str_utf8_cut(text, strlen(text), sizeof(text) - 4)] = '\0';

	size_t n = log_lead(level, event, line);
	n += log_escape(text, line + n, LOG_LINE_MAX);
	if (log_sink.is_json) {
		line[n++] = '"';
		line[n++] = '}';
	}
	line[n++] = '\n';
	/* One write per line keeps lines of many processes whole. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

void
log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	va_list ap;

	if (level < log_sink.level)
		return;
	va_start(ap, fmt);
	log_emit(level, event, fmt, ap);
	va_end(ap);
}
