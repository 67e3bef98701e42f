/* SPDX-License-Identifier: MIT
 *
 * Rows apart from any database: encoding, hash, order and text of keys.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "store/copy_db.h"

#define COPY_KEY_JSON_MAX (1 << 20)

struct copy_value
copy_int(int64_t i)
{
	return (struct copy_value){.kind = COPY_INT, .i = i};
}

struct copy_value
copy_text(const char *text)
{
	return (struct copy_value){.kind = COPY_TEXT,
	    .is_null = text == NULL,
	    .t = text,
	    .len = text != NULL ? strlen(text) : 0};
}

static void
copy_encode_u64(uint64_t v, struct buf *out)
{
	unsigned char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(v >> (56 - 8 * i));
	buf_append(out, bytes, sizeof(bytes));
}

static void
copy_encode_value(const struct copy_value *v, struct buf *out)
{
	double d = v->d == 0 ? 0 : v->d; /* -0 is not kept everywhere */
	uint64_t bits;

	if (v->is_null) {
		buf_putc(out, 'n');
		return;
	}
	switch (v->kind) {
	case COPY_INT:
		buf_putc(out, 'i');
		copy_encode_u64((uint64_t)v->i, out);
		break;
	case COPY_DOUBLE:
		memcpy(&bits, &d, sizeof(bits));
		buf_putc(out, 'd');
		copy_encode_u64(bits, out);
		break;
	case COPY_TEXT:
		buf_putc(out, 't');
		copy_encode_u64(v->len, out);
		buf_append(out, v->t, v->len);
		break;
	}
}

void
copy_encode(const struct copy_value *row, size_t n_columns, struct buf *out)
{
	for (size_t i = 0; i < n_columns; i++)
		copy_encode_value(&row[i], out);
}

void
copy_hash_add(char *hash, const struct buf *row, struct buf *scratch)
{
	buf_clear(scratch);
	buf_puts(scratch, hash);
	buf_append(scratch, row->data, row->len);
	id_sha256(scratch->data, scratch->len, hash);
}

static int
copy_value_compare(const struct copy_value *a, const struct copy_value *b)
{
	if (a->kind == COPY_INT)
		return a->i < b->i ? -1 : a->i > b->i;
	size_t n = a->len < b->len ? a->len : b->len;
	int order = n > 0 ? memcmp(a->t, b->t, n) : 0;
	return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}

int
copy_key_compare(const struct copy_table *t, const struct copy_value *a,
    const struct copy_value *b)
{
	int order = 0;

	for (size_t i = 0; i < t->n_keys && order == 0; i++)
		order = copy_value_compare(&a[i], &b[i]);
	return order;
}

void
copy_key_of(const struct copy_table *t, const struct copy_value *row,
    struct copy_value *key)
{
	for (size_t i = 0; i < t->n_keys; i++)
		key[i] = row[t->keys[i]];
}

const char *
copy_key_json(
    struct arena *a, const struct copy_table *t, const struct copy_value *key)
{
	struct json_w w;
	struct buf b;

	buf_init(&b, COPY_KEY_JSON_MAX);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (size_t i = 0; i < t->n_keys; i++)
		if (key[i].is_null)
			json_w_null(&w, NULL);
		else if (key[i].kind == COPY_INT)
			json_w_int(&w, NULL, key[i].i);
		else
			json_w_strn(&w, NULL, key[i].t, key[i].len);
	json_w_end_array(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

enum err
copy_key_parse(struct arena *a, const struct copy_table *t, const char *json,
    struct copy_value *key, struct err_info *info)
{
	const struct json *j = NULL;
	bool is_good =
	    json_parse(a, json, strlen(json),
		&(struct json_limits){.max_bytes = COPY_KEY_JSON_MAX}, &j,
		NULL) == ERR_OK &&
	    json_kind(j) == JSON_ARRAY && json_len(j) == t->n_keys;

	for (size_t i = 0; is_good && i < t->n_keys; i++) {
		const struct json *part = json_at(j, i);
		key[i] =
		    (struct copy_value){.kind = t->columns[t->keys[i]].kind};
		if (key[i].kind == COPY_INT)
			is_good = json_int(part, &key[i].i);
		else {
			key[i].t = json_str(part, &key[i].len);
			is_good = key[i].t != NULL;
		}
	}
	if (is_good)
		return ERR_OK;
	return err_set(info, ERR_INVALID, t->name,
	    "a key in the log or in a mark cannot be read");
}

static const char *
copy_value_fault(const struct copy_column *from, const struct copy_column *into,
    const struct copy_value *v)
{
	if (v->odd != NULL)
		return v->odd;
	if (v->is_null)
		return from->is_not_null || into->is_not_null
		    ? "is NULL where a value must be"
		    : NULL;
	switch (v->kind) {
	case COPY_INT:
		if (into->bits < 64 &&
		    (v->i < -(INT64_C(1) << (into->bits - 1)) ||
			v->i >= INT64_C(1) << (into->bits - 1)))
			return "is out of the target's range";
		return NULL;
	case COPY_DOUBLE:
		return isnan(v->d) ? "is not a number" : NULL;
	case COPY_TEXT:
		if (memchr(v->t, '\0', v->len) != NULL)
			return "holds a NUL character";
		return str_is_utf8(v->t, v->len) ? NULL : "is not valid UTF-8";
	}
	assert(!"kind");
	return NULL;
}

const char *
copy_row_fault(const struct copy_table *t,
    const struct copy_column *const *into, const struct copy_value *row,
    size_t *column)
{
	const char *fault = NULL;

	for (size_t i = 0; i < t->n_columns && fault == NULL; i++) {
		fault = copy_value_fault(&t->columns[i], into[i], &row[i]);
		*column = i;
	}
	return fault;
}
