/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/str.h"

#define TRACE_VERSION_BAD 0xff
#define TRACE_SPAN_AT	  36 /* in the header */
#define TRACE_FLAGS_AT	  53
#define TRACE_STATE_ROWS  32
#define TRACE_STATE_KEY	  256
#define TRACE_STATE_VALUE 256
#define TRACE_TENANT_MAX  241
#define TRACE_SYSTEM_MAX  14

static int
trace_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two digits, -1 when they are none. */
static int
trace_byte(const char *p)
{
	int high = trace_hex(p[0]);
	int low = high >= 0 ? trace_hex(p[1]) : -1;

	return low >= 0 ? high * 16 + low : -1;
}

static bool
trace_is_hex(const char *text, size_t len)
{
	bool is_zero = true;

	for (size_t i = 0; i < len; i++) {
		if (trace_hex(text[i]) < 0)
			return false;
		is_zero = is_zero && text[i] == '0';
	}
	return !is_zero;
}

bool
trace_is_id(const char *text, size_t len)
{
	return strlen(text) == len && trace_is_hex(text, len);
}

bool
trace_parse(const char *text, struct trace *out)
{
	size_t len = strlen(text);

	if (len < TRACE_PARENT_SIZE - 1)
		return false;
	int version = trace_byte(text);
	int flags = trace_byte(text + TRACE_FLAGS_AT);
	if (version < 0 || version == TRACE_VERSION_BAD || flags < 0 ||
	    text[2] != '-' || text[TRACE_SPAN_AT - 1] != '-' ||
	    text[TRACE_FLAGS_AT - 1] != '-' ||
	    !trace_is_hex(text + 3, TRACE_ID_LEN) ||
	    !trace_is_hex(text + TRACE_SPAN_AT, TRACE_SPAN_LEN))
		return false;
	if (len > TRACE_PARENT_SIZE - 1 &&
	    (version == 0 || text[TRACE_PARENT_SIZE - 1] != '-'))
		return false;
	*out = (struct trace){.flags = (unsigned)flags};
	memcpy(out->id, text + 3, TRACE_ID_LEN);
	memcpy(out->span, text + TRACE_SPAN_AT, TRACE_SPAN_LEN);
	return true;
}

void
trace_write(const struct trace *t, char *out)
{
	snprintf(out, TRACE_PARENT_SIZE, "00-%s-%s-%02x", t->id, t->span,
	    t->flags & 0xffu);
}

static bool
trace_is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || str_is_digit(c) ||
	    (c != '\0' && strchr("_-*/", c) != NULL);
}

/* "name", or "tenant@system" whose first part may begin with a digit. */
static bool
trace_key_is_valid(const char *p, size_t len)
{
	const char *at = memchr(p, '@', len);
	size_t before = at == NULL ? len : (size_t)(at - p);
	size_t after = at == NULL ? 0 : len - before - 1;

	if (at == NULL
		? before == 0 || before > TRACE_STATE_KEY
		: before == 0 || before > TRACE_TENANT_MAX || after == 0 ||
		    after > TRACE_SYSTEM_MAX || !(at[1] >= 'a' && at[1] <= 'z'))
		return false;
	if (!(p[0] >= 'a' && p[0] <= 'z') &&
	    (at == NULL || !str_is_digit(p[0])))
		return false;
	for (size_t i = 0; i < len; i++)
		if (p + i != at && !trace_is_key_char(p[i]))
			return false;
	return true;
}

static bool
trace_member_is_valid(const char *p, size_t len)
{
	const char *equals = memchr(p, '=', len);

	if (equals == NULL || !trace_key_is_valid(p, (size_t)(equals - p)))
		return false;
	const char *value = equals + 1;
	size_t n = len - (size_t)(value - p);
	if (n == 0 || n > TRACE_STATE_VALUE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (value[i] < 0x20 || value[i] > 0x7e || value[i] == '=')
			return false;
	return true; /* what surrounds it was taken off */
}

bool
trace_state_is_valid(const char *text)
{
	size_t members = 0;

	if (strlen(text) > TRACE_STATE_MAX)
		return false;
	for (const char *p = text;;) {
		size_t step = strcspn(p, ",");
		size_t len = step;
		const char *from = p;
		while (len > 0 && (*from == ' ' || *from == '\t')) {
			from++;
			len--;
		}
		while (
		    len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
			len--;
		/* Empty members are allowed, and count for nothing. */
		if (len > 0 && !trace_member_is_valid(from, len))
			return false;
		members += len > 0;
		if (p[step] == '\0')
			return members > 0 && members <= TRACE_STATE_ROWS;
		p += step + 1;
	}
}

void
trace_span_of(
    char *out, const char *debate_id, const char *step_key, long long n)
{
	char hash[ID_HASH_SIZE];
	struct buf b;

	buf_init(&b, 1u << 16);
	buf_printf(&b, "span/%s/%s/%lld", debate_id, step_key, n);
	id_sha256(buf_text(&b), b.len, hash);
	buf_release(&b);
	memcpy(out, hash, TRACE_SPAN_LEN);
	out[TRACE_SPAN_LEN] = '\0';
	if (!trace_is_hex(out, TRACE_SPAN_LEN))
		out[TRACE_SPAN_LEN - 1] = '1';
}
