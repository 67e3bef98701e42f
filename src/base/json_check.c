/* SPDX-License-Identifier: MIT
 *
 * One pass over the text, RFC 8259 to the letter, no tree. Recursion is
 * bounded by max_depth. Duplicate keys are found by comparing the decoded
 * keys of one object.
 */
#include "base/json_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define JSON_MAX_BYTES_DEFAULT (10u << 20)
#define JSON_MAX_DEPTH_DEFAULT 20
#define JSON_NUMBER_MAX	       64

/* The member we are inside of, for error messages. */
struct json_path {
	const struct json_path *up;
	const char *key;
	size_t key_len;
};

struct json_check {
	const char *text;
	size_t len;
	size_t at;
	int depth;
	int max_depth;
	struct arena *keys; /* decoded object keys, for duplicates */
	struct err_info *info;
	const struct json_path *path;
};

/* A key seen in the object being checked; sorted insertion would cost more
 * than it saves for the sizes we accept, so a hash set is used. */
struct json_keys {
	char **slots;
	size_t cap;
	size_t count;
};

static enum err json_check_value(struct json_check *c);

static size_t
json_path_text(const struct json_path *p, char *out, size_t size)
{
	if (p == NULL)
		return 0;
	size_t n = json_path_text(p->up, out, size);
	if (n > 0 && n + 1 < size)
		out[n++] = '.';
	for (size_t i = 0; i < p->key_len && n + 1 < size; i++)
		out[n++] = p->key[i];
	out[n] = '\0';
	return n;
}

static enum err
json_check_fail(struct json_check *c, enum err e, const char *what)
{
	char field[64] = "";

	json_path_text(c->path, field, sizeof(field));
	field[str_utf8_cut(field, strlen(field), sizeof(field) - 1)] = '\0';
	return err_set(c->info, e, field, "%s at byte %zu", what, c->at);
}

static void
json_check_space(struct json_check *c)
{
	while (c->at < c->len && strchr(" \t\n\r", c->text[c->at]) != NULL &&
	    c->text[c->at] != '\0')
		c->at++;
}

static bool
json_check_take(struct json_check *c, char want)
{
	if (c->at >= c->len || c->text[c->at] != want)
		return false;
	c->at++;
	return true;
}

static enum err
json_check_word(struct json_check *c, const char *word)
{
	size_t n = strlen(word);

	if (c->len - c->at < n || memcmp(c->text + c->at, word, n) != 0)
		return json_check_fail(c, ERR_SYNTAX, "unexpected text");
	c->at += n;
	return ERR_OK;
}

/* Four hex digits of a \u escape. */
static enum err
json_check_hex4(struct json_check *c, unsigned *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++) {
		if (c->at >= c->len)
			return json_check_fail(c, ERR_SYNTAX, "cut \\u escape");
		char d = str_lower(c->text[c->at]);
		if (!str_is_digit(d) && (d < 'a' || d > 'f'))
			return json_check_fail(c, ERR_SYNTAX, "bad \\u escape");
		*out = *out * 16 +
		    (unsigned)(str_is_digit(d) ? d - '0' : d - 'a' + 10);
		c->at++;
	}
	return ERR_OK;
}

static size_t
json_put_utf8(char *out, unsigned cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* After "\u": a code point, pairs joined. */
static enum err
json_check_unicode(struct json_check *c, unsigned *cp)
{
	unsigned low;

	enum err e = json_check_hex4(c, cp);
	if (e != ERR_OK)
		return e;
	if (*cp == 0)
		return json_check_fail(c, ERR_SYNTAX, "NUL in a string");
	if (*cp < 0xd800 || *cp > 0xdfff)
		return ERR_OK;
	if (*cp > 0xdbff || !json_check_take(c, '\\') ||
	    !json_check_take(c, 'u'))
		return json_check_fail(c, ERR_SYNTAX, "lone surrogate");
	e = json_check_hex4(c, &low);
	if (e != ERR_OK)
		return e;
	if (low < 0xdc00 || low > 0xdfff)
		return json_check_fail(c, ERR_SYNTAX, "lone surrogate");
	*cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
	return ERR_OK;
}

static enum err
json_check_escape(struct json_check *c, char *out, size_t *n)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	unsigned cp;

	if (c->at >= c->len)
		return json_check_fail(c, ERR_SYNTAX, "cut escape");
	char kind = c->text[c->at++];
	if (kind == 'u') {
		enum err e = json_check_unicode(c, &cp);
		if (e == ERR_OK)
			*n = json_put_utf8(out, cp);
		return e;
	}
	const char *found = kind != '\0' ? strchr(from, kind) : NULL;
	if (found == NULL)
		return json_check_fail(c, ERR_SYNTAX, "unknown escape");
	out[0] = to[found - from];
	*n = 1;
	return ERR_OK;
}

/* A string; with out != NULL its decoded text (out is large enough: decoding
 * never grows). */
static enum err
json_check_string(struct json_check *c, char *out, size_t *out_len)
{
	size_t start = c->at;
	size_t n = 0;

	if (!json_check_take(c, '"'))
		return json_check_fail(c, ERR_SYNTAX, "expected a string");
	while (c->at < c->len) {
		unsigned char ch = (unsigned char)c->text[c->at];
		if (ch == '"') {
			c->at++;
			if (!str_is_utf8(c->text + start, c->at - start))
				return json_check_fail(
				    c, ERR_SYNTAX, "invalid UTF-8 before");
			if (out != NULL) {
				out[n] = '\0';
				*out_len = n;
			}
			return ERR_OK;
		}
		if (ch < 0x20)
			return json_check_fail(
			    c, ERR_SYNTAX, "raw control character in a string");
		c->at++;
		char decoded[4] = {(char)ch};
		size_t len = 1;
		if (ch == '\\') {
			enum err e = json_check_escape(c, decoded, &len);
			if (e != ERR_OK)
				return e;
		}
		if (out != NULL)
			memcpy(out + n, decoded, len);
		n += len;
	}
	return json_check_fail(c, ERR_SYNTAX, "unterminated string");
}

static size_t
json_check_digits(struct json_check *c)
{
	size_t start = c->at;

	while (c->at < c->len && str_is_digit(c->text[c->at]))
		c->at++;
	return c->at - start;
}

static enum err
json_check_number(struct json_check *c)
{
	size_t start = c->at;
	bool is_integer = true;

	json_check_take(c, '-');
	bool has_zero = c->at < c->len && c->text[c->at] == '0';
	size_t digits = json_check_digits(c);
	if (digits == 0)
		return json_check_fail(c, ERR_SYNTAX, "expected a value");
	if (has_zero && digits > 1)
		return json_check_fail(c, ERR_SYNTAX, "leading zero");
	if (json_check_take(c, '.')) {
		is_integer = false;
		if (json_check_digits(c) == 0)
			return json_check_fail(c, ERR_SYNTAX, "bad fraction");
	}
	if (c->at < c->len && str_lower(c->text[c->at]) == 'e') {
		is_integer = false;
		c->at++;
		if (!json_check_take(c, '+'))
			json_check_take(c, '-');
		if (json_check_digits(c) == 0)
			return json_check_fail(c, ERR_SYNTAX, "bad exponent");
	}

	char number[JSON_NUMBER_MAX];
	size_t len = c->at - start;
	if (len >= sizeof(number))
		return json_check_fail(c, ERR_SYNTAX, "number too long");
	memcpy(number, c->text + start, len);
	number[len] = '\0';
	int64_t whole;
	if (is_integer && !str_eq(number, "-0") &&
	    str_to_i64(number, INT64_MIN, INT64_MAX, &whole) != ERR_OK)
		return json_check_fail(c, ERR_SYNTAX, "integer out of range");
	if (!is_integer && !isfinite(strtod(number, NULL)))
		return json_check_fail(c, ERR_SYNTAX, "number out of range");
	return ERR_OK;
}

/* Insert into the open-addressing set; false when it was there. */
static bool
json_keys_add(struct json_keys *set, struct arena *a, char *key)
{
	if (set->count * 2 >= set->cap) {
		struct json_keys old = *set;
		set->cap = old.cap > 0 ? old.cap * 2 : 16;
		set->slots = ARENA_ARRAY(a, set->cap, char *);
		set->count = 0;
		for (size_t i = 0; i < old.cap; i++)
			if (old.slots[i] != NULL)
				json_keys_add(set, a, old.slots[i]);
	}
	size_t slot = str_hash(key, strlen(key), 0) & (set->cap - 1);
	for (; set->slots[slot] != NULL; slot = (slot + 1) & (set->cap - 1))
		if (str_eq(set->slots[slot], key))
			return false;
	set->slots[slot] = key;
	set->count++;
	return true;
}

/* The text of a string starting here, up to its closing quote at most. */
static size_t
json_check_string_span(const struct json_check *c)
{
	size_t i = c->at + 1;

	while (i < c->len && c->text[i] != '"')
		i += c->text[i] == '\\' ? 2 : 1;
	return i < c->len ? i - c->at : c->len - c->at;
}

static enum err
json_check_member(struct json_check *c, struct json_keys *keys)
{
	json_check_space(c);
	char *key = arena_alloc(c->keys, json_check_string_span(c) + 8);
	size_t key_len = 0;
	enum err e = json_check_string(c, key, &key_len);
	if (e != ERR_OK)
		return e;

	struct json_path here = {
	    .up = c->path, .key = key, .key_len = key_len};
	c->path = &here;
	if (!json_keys_add(keys, c->keys, key))
		e = json_check_fail(c, ERR_SYNTAX, "duplicate key");
	json_check_space(c);
	if (e == ERR_OK && !json_check_take(c, ':'))
		e = json_check_fail(c, ERR_SYNTAX, "expected ':'");
	if (e == ERR_OK)
		e = json_check_value(c);
	c->path = here.up;
	return e;
}

/* The rest of an object or array after its opening bracket. */
static enum err
json_check_nest(struct json_check *c, char close, bool is_object)
{
	struct json_keys keys = {0};

	if (++c->depth > c->max_depth)
		return json_check_fail(c, ERR_TOO_LARGE, "nested too deeply");
	json_check_space(c);
	if (json_check_take(c, close)) {
		c->depth--;
		return ERR_OK;
	}
	for (;;) {
		enum err e = is_object ? json_check_member(c, &keys)
				       : json_check_value(c);
		if (e != ERR_OK)
			return e;
		json_check_space(c);
		if (json_check_take(c, close)) {
			c->depth--;
			return ERR_OK;
		}
		if (!json_check_take(c, ','))
			return json_check_fail(
			    c, ERR_SYNTAX, "expected ',' or a closing bracket");
	}
}

static enum err
json_check_value(struct json_check *c)
{
	json_check_space(c);
	if (c->at >= c->len)
		return json_check_fail(c, ERR_SYNTAX, "unexpected end");
	switch (c->text[c->at]) {
	case '{':
		c->at++;
		return json_check_nest(c, '}', true);
	case '[':
		c->at++;
		return json_check_nest(c, ']', false);
	case '"':
		return json_check_string(c, NULL, NULL);
	case 't':
		return json_check_word(c, "true");
	case 'f':
		return json_check_word(c, "false");
	case 'n':
		return json_check_word(c, "null");
	default:
		return json_check_number(c);
	}
}

enum err
json_check(const char *text, size_t len, const struct json_limits *limits,
    struct err_info *info)
{
	size_t max = limits != NULL && limits->max_bytes > 0
	    ? limits->max_bytes
	    : JSON_MAX_BYTES_DEFAULT;
	if (len > max)
		return err_set(info, ERR_TOO_LARGE, "",
		    "%zu bytes of JSON, at most %zu allowed", len, max);

	struct json_check c = {.text = text,
	    .len = len,
	    .max_depth = limits != NULL && limits->max_depth > 0
		? limits->max_depth
		: JSON_MAX_DEPTH_DEFAULT,
	    .keys = arena_new(0),
	    .info = info};
	enum err e = json_check_value(&c);
	if (e == ERR_OK) {
		json_check_space(&c);
		if (c.at != len)
			e = json_check_fail(
			    &c, ERR_SYNTAX, "text after the value");
	}
	arena_free(&c.keys);
	return e;
}

enum err
json_validate(const char *text, size_t len, const struct json_limits *limits,
    struct err_info *info)
{
	return json_check(text, len, limits, info);
}
