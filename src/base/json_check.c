/* SPDX-License-Identifier: MIT
 *
 * One pass over the text, RFC 8259 to the letter, no tree. Recursion is
 * bounded by max_depth. Duplicate keys are found by sorting the decoded keys
 * of each object: no input makes that slower than n log n.
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

struct json_key {
	const char *text; /* decoded; not NUL-terminated */
	size_t len;
	size_t end; /* offset behind it, for the error message */
};

/* The keys of the object being checked. */
struct json_keys {
	struct json_key *list;
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
	size_t len = str_utf8_cut(p->key, p->key_len, size - 1 - n);
	memcpy(out + n, p->key, len);
	out[n + len] = '\0';
	return n + len;
}

static enum err
json_check_fail(struct json_check *c, enum err e, const char *what)
{
	char field[64] = "";

	json_path_text(c->path, field, sizeof(field));
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
			if (!str_is_utf8(c->text + start, c->at - start))
				return json_check_fail(c, ERR_SYNTAX,
				    "invalid UTF-8 in the string that ends");
			c->at++;
			if (out != NULL)
				*out_len = n;
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

static void
json_keys_add(
    struct json_keys *keys, struct arena *a, const struct json_key *key)
{
	if (keys->count == keys->cap) {
		struct json_key *old = keys->list;
		keys->cap = keys->cap > 0 ? keys->cap * 2 : 16;
		keys->list = ARENA_ARRAY(a, keys->cap, struct json_key);
		if (keys->count > 0)
			memcpy(keys->list, old, keys->count * sizeof(*old));
	}
	keys->list[keys->count++] = *key;
}

static int
json_key_compare(const void *a, const void *b)
{
	const struct json_key *x = a;
	const struct json_key *y = b;
	int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	if (order != 0)
		return order;
	return (x->len > y->len) - (x->len < y->len);
}

/* At the end of an object. */
static enum err
json_keys_check(struct json_check *c, struct json_keys *keys)
{
	if (keys->count < 2)
		return ERR_OK;
	qsort(keys->list, keys->count, sizeof(*keys->list), json_key_compare);
	for (size_t i = 1; i < keys->count; i++) {
		const struct json_key *key = &keys->list[i];
		if (json_key_compare(key, key - 1) != 0)
			continue;
		struct json_path here = {
		    .up = c->path, .key = key->text, .key_len = key->len};
		c->path = &here;
		c->at = key->end;
		enum err e = json_check_fail(c, ERR_SYNTAX, "duplicate key");
		c->path = here.up;
		return e;
	}
	return ERR_OK;
}

/* The bytes of a string starting here, up to its closing quote at most. */
static size_t
json_check_string_span(const struct json_check *c, bool *has_escape)
{
	size_t i = c->at + 1;

	*has_escape = false;
	while (i < c->len && c->text[i] != '"') {
		if (c->text[i] == '\\') {
			*has_escape = true;
			i++;
		}
		i++;
	}
	return (i < c->len ? i : c->len) - c->at;
}

/* A key, decoded; without escapes it is borrowed from the text. */
static enum err
json_check_key(struct json_check *c, struct json_key *key)
{
	size_t start = c->at;
	bool has_escape;
	size_t span = json_check_string_span(c, &has_escape);
	char *decoded = has_escape ? arena_alloc(c->keys, span) : NULL;

	enum err e = json_check_string(c, decoded, &key->len);
	if (e != ERR_OK)
		return e;
	key->end = c->at;
	key->text = decoded;
	if (!has_escape) {
		key->text = c->text + start + 1;
		key->len = c->at - start - 2;
	}
	return ERR_OK;
}

static enum err
json_check_member(struct json_check *c, struct json_keys *keys)
{
	struct json_key key;

	json_check_space(c);
	enum err e = json_check_key(c, &key);
	if (e != ERR_OK)
		return e;
	json_keys_add(keys, c->keys, &key);

	struct json_path here = {
	    .up = c->path, .key = key.text, .key_len = key.len};
	c->path = &here;
	json_check_space(c);
	if (!json_check_take(c, ':'))
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
			return json_keys_check(c, &keys);
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
