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

#define LOG_TEXT_MAX   2048
#define LOG_LINE_MAX   4096 /* of values, escaped */
#define LOG_LEAD_MAX   256
#define LOG_FORMAT_MAX 512
#define LOG_FIELDS_MAX 16
#define LOG_KEY_MAX    32

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
log_escape(const char *from, size_t len, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 8 <= size;) {
		size_t step = log_utf8_step(from + i, len - i);
		n += log_put(to + n, from + i, step);
		i += step > 0 ? step : 1;
	}
	return n;
}

/* One key=value of a format and what it printed. */
struct log_field {
	const char *key;
	size_t key_len;
	const char *spec; /* the format of the value */
	size_t spec_len;
	const char *value; /* within the printed text */
	size_t value_len;
};

/* The bytes of the word before '=', 0 when p begins no key. */
static size_t
log_key_len(const char *p)
{
	size_t n = 0;

	while ((p[n] >= 'a' && p[n] <= 'z') || p[n] == '_')
		n++;
	return n > 0 && n <= LOG_KEY_MAX && p[n] == '=' ? n : 0;
}

/* Where the next key of a format begins, after a space outside of quotes;
 * NULL: there is none. */
static const char *
log_next_key(const char *from)
{
	bool is_quoted = false;
	bool is_word = false;

	for (const char *p = from; *p != '\0'; p++) {
		if (is_word && !is_quoted && log_key_len(p) > 0)
			return p;
		is_quoted ^= *p == '"';
		is_word = *p == ' ';
	}
	return NULL;
}

/* How many bytes the first len bytes of the format print. What is printed
 * cannot say where a field ends, for it may hold anything; the format can. */
static size_t
log_printed(const char *fmt, size_t len, va_list ap)
{
	char prefix[LOG_FORMAT_MAX];
	va_list copy;

	assert(len < sizeof(prefix));
	memcpy(prefix, fmt, len);
	prefix[len] = '\0';
	va_copy(copy, ap);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	int n = vsnprintf(NULL, 0, prefix, copy);
#pragma GCC diagnostic pop
	va_end(copy);
	return n < 0 ? 0 : (size_t)n;
}

/* Does the value's format print one number and nothing else? */
static bool
log_is_number(const struct log_field *f)
{
	const char *last = f->spec + f->spec_len - 1;
	const char *first = f->value;

	if (f->value_len > 1 && *first == '-')
		first++; /* but no -nan */
	return f->spec_len >= 2 && f->spec[0] == '%' &&
	    memchr(f->spec + 1, '%', f->spec_len - 1) == NULL &&
	    memchr(f->spec, ' ', f->spec_len) == NULL &&
	    strchr("diuf", *last) != NULL && f->value_len > 0 &&
	    *first >= '0' && *first <= '9';
}

/* Quotes that the format puts around a value are not part of it. */
static void
log_unquote(struct log_field *f)
{
	if (f->spec_len < 2 || f->spec[0] != '"' ||
	    f->spec[f->spec_len - 1] != '"' || f->value_len == 0)
		return;
	f->value++;
	f->value_len--;
	/* The last one is gone when the text was cut. */
	if (f->value_len > 0 && f->value[f->value_len - 1] == '"')
		f->value_len--;
}

/* The fields of a printed text of len bytes, which may be the beginning of
 * what there was; 0: it is free text. */
static size_t
log_split(const char *fmt, va_list ap, const char *text, size_t len,
    struct log_field *fields)
{
	size_t at[LOG_FIELDS_MAX]; /* where the values begin */
	size_t n = 0;

	if (log_key_len(fmt) == 0)
		return 0;
	for (const char *p = fmt; p != NULL && n < LOG_FIELDS_MAX; n++) {
		struct log_field *f = &fields[n];
		f->key = p;
		f->key_len = log_key_len(p);
		f->spec = p + f->key_len + 1;
		at[n] = log_printed(fmt, (size_t)(f->spec - fmt), ap);
		p = log_next_key(f->spec);
	}
	for (size_t i = 0; i < n; i++) {
		struct log_field *f = &fields[i];
		const struct log_field *next = i + 1 < n ? f + 1 : NULL;
		/* Before the next key stands a space. */
		f->spec_len = next == NULL ? strlen(f->spec)
					   : (size_t)(next->key - f->spec) - 1;
		size_t end = next == NULL ? len : at[i + 1] - next->key_len - 2;
		size_t from = at[i] < len ? at[i] : len;
		f->value = text + from;
		f->value_len = (end < len ? end : len) - from;
		log_unquote(f);
	}
	return n;
}

/* May a value stand in a logfmt line without quotes? */
static bool
log_is_bare(const struct log_field *f)
{
	for (size_t i = 0; i < f->value_len; i++)
		if (f->value[i] <= ' ' || f->value[i] > '~' ||
		    strchr("\"=\\", f->value[i]) != NULL)
			return false;
	return f->value_len > 0;
}

/* One field in LOG_KEY_MAX + 6 bytes and room for its value. */
static size_t
log_put_field(const struct log_field *f, char *to, size_t room)
{
	bool is_json = log_sink.is_json;
	bool is_bare = f->value_len + 8 <= room &&
	    (is_json ? log_is_number(f) : log_is_bare(f));
	int n = snprintf(to, LOG_KEY_MAX + 6,
	    is_json ? (is_bare ? ",\"%.*s\":" : ",\"%.*s\":\"")
		    : (is_bare ? " %.*s=" : " %.*s=\""),
	    (int)f->key_len, f->key);
	assert(n > 0 && n < LOG_KEY_MAX + 6);
	size_t at = (size_t)n;
	at += log_escape(f->value, f->value_len, to + at, room);
	if (!is_bare)
		to[at++] = '"';
	return at;
}

/* What stands before the fields; never more than LOG_LEAD_MAX. */
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
		  "\"pid\":%d,\"event\":\"%s\""
		: "ts=%s level=%s prog=%s pid=%d event=%s",
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
	char text[LOG_TEXT_MAX];
	char line[LOG_LEAD_MAX + LOG_LINE_MAX +
	    LOG_FIELDS_MAX * (LOG_KEY_MAX + 8) + 3];
	struct log_field fields[LOG_FIELDS_MAX];
	size_t room = LOG_LINE_MAX;
	va_list copy;

	va_copy(copy, ap);
	vsnprintf(text, sizeof(text), fmt, copy);
	va_end(copy);
	size_t len = str_utf8_cut(text, strlen(text), sizeof(text) - 4);
	size_t n_fields = log_split(fmt, ap, text, len, fields);
	if (n_fields == 0)
		fields[n_fields++] = (struct log_field){.key = "msg",
		    .key_len = 3,
		    .spec = "",
		    .value = text,
		    .value_len = len};

	size_t n = log_lead(level, event, line);
	for (size_t i = 0; i < n_fields; i++) {
		size_t put = log_put_field(&fields[i], line + n, room);
		size_t lead = fields[i].key_len + 6;
		room -= put > lead ? put - lead : 0;
		n += put;
	}
	if (log_sink.is_json)
		line[n++] = '}';
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
