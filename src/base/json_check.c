/* SPDX-License-Identifier: MIT
 *
 * One pass over the text, RFC 8259 to the letter; the tree, if one is wanted,
 * grows on the way. Recursion is bounded by max_depth. Duplicate keys are found
 * by sorting the decoded keys of each larger object: no input makes that slower
 * than n log n. An ordinary event of a stream costs no allocation but the
 * tree's.
 */
#include "base/json_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define JSON_MAX_BYTES_DEFAULT (10u << 20)
#define JSON_MAX_DEPTH_DEFAULT 20
#define JSON_NUMBER_MAX	       64
#define JSON_FEW	       8  /* keys that need no sorting */
#define JSON_OPEN	       32 /* values of unfinished ones, at first */

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
	struct arena *keys; /* decoded keys, for duplicates; NULL = none yet */
	struct arena *tree; /* what is built; NULL = nothing is */
	/* Values of the objects and arrays that are not closed yet. */
	struct json_member *open;
	size_t n_open, cap_open;
	struct json_member first[JSON_OPEN];
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
	struct json_key *list; /* `few`, or on the arena of the keys */
	size_t cap;
	size_t count;
	struct json_key few[JSON_FEW];
};

/* A string's text: a piece of the input, or decoded on an arena. */
struct json_slice {
	const char *text;
	size_t len;
	bool is_decoded;
};

static enum err json_check_value(struct json_check *c, struct json *out);

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
	while (c->at < c->len &&
	    (c->text[c->at] == ' ' || c->text[c->at] == '\n' ||
		c->text[c->at] == '\t' || c->text[c->at] == '\r'))
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

/* Up to the next byte that ends a run of plain ones. */
static void
json_check_run(struct json_check *c)
{
	while (c->at < c->len && (unsigned char)c->text[c->at] >= 0x20 &&
	    c->text[c->at] != '"' && c->text[c->at] != '\\')
		c->at++;
}

/* The rest of a string that holds an escape: decoded when out != NULL, which
 * is large enough, for decoding never grows. */
static enum err
json_check_escaped(struct json_check *c, char *out, size_t *out_len)
{
	size_t n = 0;

	while (c->at < c->len && c->text[c->at] != '"') {
		size_t from = c->at;
		json_check_run(c);
		if (out != NULL)
			memcpy(out + n, c->text + from, c->at - from);
		n += c->at - from;
		if (!json_check_take(c, '\\'))
			break;
		char decoded[4];
		size_t len;
		enum err e = json_check_escape(c, decoded, &len);
		if (e != ERR_OK)
			return e;
		if (out != NULL)
			memcpy(out + n, decoded, len);
		n += len;
	}
	*out_len = n;
	return ERR_OK;
}

/* The bytes of a string from here up to its closing quote at most. */
static size_t
json_check_span(const struct json_check *c)
{
	size_t i = c->at;

	while (i < c->len && c->text[i] != '"')
		i += c->text[i] == '\\' ? 2 : 1;
	return (i < c->len ? i : c->len) - c->at;
}

/* Where a text with escapes is decoded. */
static struct arena *
json_check_arena(struct json_check *c)
{
	if (c->tree != NULL)
		return c->tree;
	if (c->keys == NULL)
		c->keys = arena_new(0);
	return c->keys;
}

static enum err
json_check_string(struct json_check *c, bool is_wanted, struct json_slice *out)
{
	if (!json_check_take(c, '"'))
		return json_check_fail(c, ERR_SYNTAX, "expected a string");
	size_t start = c->at;
	json_check_run(c);
	*out =
	    (struct json_slice){.text = c->text + start, .len = c->at - start};
	if (c->at < c->len && c->text[c->at] == '\\') {
		c->at = start;
		char *decoded = is_wanted
		    ? arena_alloc(json_check_arena(c), json_check_span(c) + 1)
		    : NULL;
		enum err e = json_check_escaped(c, decoded, &out->len);
		if (e != ERR_OK)
			return e;
		out->text = decoded;
		out->is_decoded = true;
	}
	if (c->at == c->len)
		return json_check_fail(c, ERR_SYNTAX, "unterminated string");
	if (c->text[c->at] != '"')
		return json_check_fail(
		    c, ERR_SYNTAX, "raw control character in a string");
	if (!str_is_utf8(c->text + start, c->at - start))
		return json_check_fail(
		    c, ERR_SYNTAX, "invalid UTF-8 in the string that ends");
	c->at++;
	return ERR_OK;
}

/* NUL-terminated, on the tree's arena. */
static const char *
json_build_text(struct json_check *c, const struct json_slice *s)
{
	return s->is_decoded ? s->text
			     : arena_strndup(c->tree, s->text, s->len);
}

static enum err
json_check_text(struct json_check *c, struct json *out)
{
	struct json_slice s;

	enum err e = json_check_string(c, c->tree != NULL, &s);
	if (e == ERR_OK && c->tree != NULL)
		*out = (struct json){.kind = JSON_STRING,
		    .n = (uint32_t)s.len,
		    .text = json_build_text(c, &s)};
	return e;
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
json_check_number(struct json_check *c, struct json *out)
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
	int64_t whole = 0;
	if (is_integer && !str_eq(number, "-0") &&
	    str_to_i64(number, INT64_MIN, INT64_MAX, &whole) != ERR_OK)
		return json_check_fail(c, ERR_SYNTAX, "integer out of range");
	if (!is_integer && !isfinite(strtod(number, NULL)))
		return json_check_fail(c, ERR_SYNTAX, "number out of range");
	if (c->tree == NULL)
		return ERR_OK;
	*out = (struct json){
	    .kind = is_integer ? JSON_INT : JSON_DOUBLE, .whole = whole};
	if (!is_integer) {
		out->n = (uint32_t)len;
		out->text = arena_strndup(c->tree, number, len);
	}
	return ERR_OK;
}

/* ---- keys ---- */

static void
json_keys_add(
    struct json_check *c, struct json_keys *keys, const struct json_key *key)
{
	if (keys->count == keys->cap) {
		struct json_key *old = keys->list;
		keys->cap *= 2;
		keys->list = ARENA_ARRAY(
		    json_check_arena(c), keys->cap, struct json_key);
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

/* The second one of two equal keys, NULL when there is none. */
static const struct json_key *
json_keys_twice(struct json_keys *keys)
{
	struct json_key *list = keys->list;

	if (keys->count > JSON_FEW) {
		qsort(list, keys->count, sizeof(*list), json_key_compare);
		for (size_t i = 1; i < keys->count; i++)
			if (json_key_compare(&list[i - 1], &list[i]) == 0)
				return &list[i];
		return NULL;
	}
	for (size_t i = 1; i < keys->count; i++)
		for (size_t k = 0; k < i; k++)
			if (json_key_compare(&list[k], &list[i]) == 0)
				return &list[i];
	return NULL;
}

/* At the end of an object. */
static enum err
json_keys_check(struct json_check *c, struct json_keys *keys)
{
	const struct json_key *key = json_keys_twice(keys);

	if (key == NULL)
		return ERR_OK;
	struct json_path here = {
	    .up = c->path, .key = key->text, .key_len = key->len};
	c->path = &here;
	c->at = key->end;
	enum err e = json_check_fail(c, ERR_SYNTAX, "duplicate key");
	c->path = here.up;
	return e;
}

/* ---- values ---- */

static enum err
json_check_member(
    struct json_check *c, struct json_keys *keys, struct json_member *out)
{
	struct json_slice s;

	json_check_space(c);
	enum err e = json_check_string(c, true, &s);
	if (e != ERR_OK)
		return e;
	json_keys_add(c, keys,
	    &(struct json_key){.text = s.text, .len = s.len, .end = c->at});
	if (c->tree != NULL)
		out->key = json_build_text(c, &s);

	struct json_path here = {
	    .up = c->path, .key = s.text, .key_len = s.len};
	c->path = &here;
	json_check_space(c);
	if (!json_check_take(c, ':'))
		e = json_check_fail(c, ERR_SYNTAX, "expected ':'");
	if (e == ERR_OK)
		e = json_check_value(c, &out->value);
	c->path = here.up;
	return e;
}

static void
json_build_push(struct json_check *c, const struct json_member *m)
{
	if (c->tree == NULL)
		return;
	if (c->n_open == c->cap_open) {
		struct json_member *old = c->open != c->first ? c->open : NULL;
		c->open = mem_realloc_array(old, c->cap_open * 2, sizeof(*old));
		if (old == NULL)
			memcpy(c->open, c->first, sizeof(c->first));
		c->cap_open *= 2;
	}
	c->open[c->n_open++] = *m;
}

/* What came since `from` belongs to one object or array. */
static void
json_build_close(
    struct json_check *c, size_t from, bool is_object, struct json *out)
{
	size_t n = c->n_open - from;

	if (c->tree == NULL)
		return;
	*out = (struct json){
	    .kind = is_object ? JSON_OBJECT : JSON_ARRAY, .n = (uint32_t)n};
	if (is_object) {
		struct json_member *members =
		    ARENA_ARRAY(c->tree, n, struct json_member);
		for (size_t i = 0; i < n; i++)
			members[i] = c->open[from + i];
		out->members = members;
	} else {
		struct json *items = ARENA_ARRAY(c->tree, n, struct json);
		for (size_t i = 0; i < n; i++)
			items[i] = c->open[from + i].value;
		out->items = items;
	}
	c->n_open = from;
}

/* The rest of an object or array after its opening bracket. */
static enum err
json_check_nest(
    struct json_check *c, char close, bool is_object, struct json *out)
{
	struct json_keys keys;
	size_t from = c->n_open;
	enum err e;

	if (++c->depth > c->max_depth)
		return json_check_fail(c, ERR_TOO_LARGE, "nested too deeply");
	keys.list = keys.few;
	keys.cap = JSON_FEW;
	keys.count = 0;
	json_check_space(c);
	for (bool is_first = true; !json_check_take(c, close);
	     is_first = false) {
		struct json_member m = {0};
		if (!is_first && !json_check_take(c, ','))
			return json_check_fail(
			    c, ERR_SYNTAX, "expected ',' or a closing bracket");
		e = is_object ? json_check_member(c, &keys, &m)
			      : json_check_value(c, &m.value);
		if (e != ERR_OK)
			return e;
		json_build_push(c, &m);
		json_check_space(c);
	}
	c->depth--;
	e = json_keys_check(c, &keys);
	if (e == ERR_OK)
		json_build_close(c, from, is_object, out);
	return e;
}

static enum err
json_check_bool(struct json_check *c, bool is_true, struct json *out)
{
	*out = (struct json){.kind = JSON_BOOL, .is_true = is_true};
	return json_check_word(c, is_true ? "true" : "false");
}

static enum err
json_check_value(struct json_check *c, struct json *out)
{
	json_check_space(c);
	if (c->at >= c->len)
		return json_check_fail(c, ERR_SYNTAX, "unexpected end");
	switch (c->text[c->at]) {
	case '{':
		c->at++;
		return json_check_nest(c, '}', true, out);
	case '[':
		c->at++;
		return json_check_nest(c, ']', false, out);
	case '"':
		return json_check_text(c, out);
	case 't':
		return json_check_bool(c, true, out);
	case 'f':
		return json_check_bool(c, false, out);
	case 'n':
		*out = (struct json){.kind = JSON_NULL};
		return json_check_word(c, "null");
	default:
		return json_check_number(c, out);
	}
}

enum err
json_check(const char *text, size_t len, const struct json_limits *limits,
    struct arena *a, struct json *tree, struct err_info *info)
{
	size_t max = limits != NULL && limits->max_bytes > 0
	    ? limits->max_bytes
	    : JSON_MAX_BYTES_DEFAULT;
	if (len > max)
		return err_set(info, ERR_TOO_LARGE, "",
		    "%zu bytes of JSON, at most %zu allowed", len, max);

	struct json ignored;
	struct json_check c;
	c.text = text;
	c.len = len;
	c.at = 0;
	c.depth = 0;
	c.max_depth = limits != NULL && limits->max_depth > 0
	    ? limits->max_depth
	    : JSON_MAX_DEPTH_DEFAULT;
	c.keys = NULL;
	c.tree = a;
	c.open = c.first;
	c.n_open = 0;
	c.cap_open = JSON_OPEN;
	c.info = info;
	c.path = NULL;
	enum err e = json_check_value(&c, tree != NULL ? tree : &ignored);
	if (e == ERR_OK) {
		json_check_space(&c);
		if (c.at != len)
			e = json_check_fail(
			    &c, ERR_SYNTAX, "text after the value");
	}
	arena_free(&c.keys);
	if (c.open != c.first)
		free(c.open);
	return e;
}
