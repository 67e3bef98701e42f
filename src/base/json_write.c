/* SPDX-License-Identifier: MIT
 *
 * The writing side of json.h.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static void
json_w_bytes(struct buf *b, const char *text, size_t len)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < len;) {
		size_t run = i;
		while (run < len && (unsigned char)text[run] >= 0x20 &&
		    text[run] != '"' && text[run] != '\\')
			run++;
		buf_append(b, text + i, run - i);
		if (run == len)
			break;
		char c = text[run];
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\0')
			buf_puts(b, "\xef\xbf\xbd");
		else if (c == '\n')
			buf_puts(b, "\\n");
		else if (c == '\t')
			buf_puts(b, "\\t");
		else
			buf_printf(b, "\\u%04x", (unsigned)c & 0xff);
		i = run + 1;
	}
	buf_putc(b, '"');
}

/* Replace each byte that does not belong to valid UTF-8 by U+FFFD. */
static void
json_w_repaired(struct buf *out, const char *text, size_t len)
{
	struct buf fixed;

	buf_init(&fixed, len * 3 + 1);
	for (size_t i = 0; i < len;) {
		size_t n = 1;
		while (n <= 4 && i + n <= len && !str_is_utf8(text + i, n))
			n++;
		if (n <= 4 && i + n <= len) {
			buf_append(&fixed, text + i, n);
			i += n;
		} else {
			buf_puts(&fixed, "\xef\xbf\xbd");
			i++;
		}
	}
	json_w_bytes(out, buf_text(&fixed), fixed.len);
	buf_release(&fixed);
}

static void
json_w_string(struct buf *b, const char *text, size_t len)
{
	if (str_is_utf8(text, len))
		json_w_bytes(b, text, len);
	else
		json_w_repaired(b, text, len);
}

void
json_w_init(struct json_w *w, struct buf *b)
{
	*w = (struct json_w){.buf = b};
}

/* Comma and key before a value. */
static void
json_w_lead(struct json_w *w, const char *key)
{
	if (w->needs_comma)
		buf_putc(w->buf, ',');
	w->needs_comma = true;
	if (key != NULL) {
		json_w_string(w->buf, key, strlen(key));
		buf_putc(w->buf, ':');
	}
}

static void
json_w_open(struct json_w *w, const char *key, char bracket)
{
	json_w_lead(w, key);
	buf_putc(w->buf, bracket);
	w->needs_comma = false;
}

static void
json_w_close(struct json_w *w, char bracket)
{
	buf_putc(w->buf, bracket);
	w->needs_comma = true;
}

void
json_w_begin(struct json_w *w, const char *key)
{
	json_w_open(w, key, '{');
}

void
json_w_end(struct json_w *w)
{
	json_w_close(w, '}');
}

void
json_w_begin_array(struct json_w *w, const char *key)
{
	json_w_open(w, key, '[');
}

void
json_w_end_array(struct json_w *w)
{
	json_w_close(w, ']');
}

void
json_w_strn(struct json_w *w, const char *key, const char *value, size_t len)
{
	json_w_lead(w, key);
	json_w_string(w->buf, value, len);
}

void
json_w_str(struct json_w *w, const char *key, const char *value)
{
	if (value == NULL)
		json_w_null(w, key);
	else
		json_w_strn(w, key, value, strlen(value));
}

void
json_w_int(struct json_w *w, const char *key, int64_t value)
{
	char text[20]; /* of INT64_MIN */
	char *p = text + sizeof(text);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	json_w_lead(w, key);
	do {
		*--p = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		*--p = '-';
	buf_append(w->buf, p, (size_t)(text + sizeof(text) - p));
}

void
json_w_num(struct json_w *w, const char *key, double value)
{
	char text[40];

	json_w_lead(w, key);
	if (!isfinite(value))
		value = 0;
	/* 15 digits give back every text of 15 digits, without trailing
	 * zeros; 17 give back every double. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_puts(w->buf, text);
	/* Keep the type: 1 is read back as an integer, 1.0 is not. */
	if (strpbrk(text, ".e") == NULL)
		buf_puts(w->buf, ".0");
}

void
json_w_bool(struct json_w *w, const char *key, bool value)
{
	json_w_lead(w, key);
	buf_puts(w->buf, value ? "true" : "false");
}

void
json_w_null(struct json_w *w, const char *key)
{
	json_w_lead(w, key);
	buf_puts(w->buf, "null");
}

void
json_w_raw(struct json_w *w, const char *key, const char *value)
{
	json_w_lead(w, key);
	buf_puts(w->buf, value != NULL ? value : "null");
}

void
json_w_json(struct json_w *w, const char *key, const struct json *value)
{
	struct arena *a = arena_new(0);

	json_w_raw(w, key, json_text(a, value));
	arena_free(&a);
}

void
json_w_time(struct json_w *w, const char *key, int64_t wall_us)
{
	char text[CLOCK_ISO_SIZE];

	if (wall_us == 0)
		json_w_null(w, key);
	else
		json_w_str(w, key, clock_iso(wall_us, text));
}
