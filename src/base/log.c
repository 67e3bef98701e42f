/* SPDX-License-Identifier: MIT
 *
 * The log sink: the only mutable global of the tree beside signal flags.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 4096

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

/* Escape for a JSON string; the same text serves in a logfmt line. Returns
 * bytes written, without a NUL. */
static size_t
log_escape(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (; *from != '\0' && n + 7 < size; from++) {
		unsigned char c = (unsigned char)*from;
		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(to + n, size - n, "\\u%04x", c);
		else {
			if (c == '"' || c == '\\')
				to[n++] = '\\';
			to[n++] = (char)c;
		}
	}
	return n;
}

void
log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = {
	    "debug", "info", "warning", "error"};
	char text[LOG_LINE_MAX / 2];
	char line[LOG_LINE_MAX + 256];
	char when[CLOCK_ISO_SIZE];
	va_list ap;

	if (level < log_sink.level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clock_iso(clock_wall_us(), when);

	size_t n = (size_t)snprintf(line, 256,
	    log_sink.is_json ? "{\"ts\":\"%s\",\"level\":\"%s\",\"prog\":\"%s\","
			       "\"pid\":%d,\"event\":\"%s\",\"msg\":\""
			     : "%s %s %s[%d] %s ",
	    when, names[level], log_sink.program, (int)getpid(), event);
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
