/* SPDX-License-Identifier: MIT
 *
 * The questions: one JSON object a line.
 */
#include "cli/eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define ITEMS_ID_MAX 128

struct items_reader {
	struct eval *e;
	const char *path;
	int64_t line;
	int64_t n_errors;
	size_t cap;
};

static const char *const items_fields[] = {
    "id", "question", "answer", "choices", "domain"};

/* Nothing of the line is repeated: it may be anything. */
static bool PRINTF(3, 4) items_refuse(
    struct items_reader *r, const char *field, const char *fmt, ...)
{
	va_list ap;

	if (r->n_errors++ >= EVAL_ERRORS_MAX)
		return false;
	fprintf(stderr, "aragora eval: %s: line %lld: %s%s", r->path,
	    (long long)r->line, field, *field != '\0' ? ": " : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

static bool
items_known_fields(struct items_reader *r, const struct json *j)
{
	const char *key;
	const struct json *value;

	for (void *it = NULL; json_next(j, &it, &key, &value);) {
		size_t i = 0;
		while (i < ARRAY_LEN(items_fields) &&
		    !str_eq(items_fields[i], key))
			i++;
		if (i == ARRAY_LEN(items_fields))
			return items_refuse(
			    r, "", "'%.40s' is not a known field", key);
	}
	return true;
}

static bool
items_text(struct items_reader *r, const struct json *j, const char *field,
    size_t max, const char **out)
{
	const struct json *value = json_get(j, field);
	size_t len = 0;
	const char *text = json_str(value, &len);

	if (json_kind(value) == JSON_NULL)
		return items_refuse(r, field, "is required");
	if (text == NULL)
		return items_refuse(r, field, "must be a string, not %s",
		    json_kind_name(json_kind(value)));
	*out = str_trim(r->e->arena, text);
	if (**out == '\0')
		return items_refuse(r, field, "must not be empty");
	if (max > 0 && strlen(*out) > max)
		return items_refuse(r, field,
		    "must have at most %zu bytes, not %zu", max, strlen(*out));
	return true;
}

static bool
items_id(struct items_reader *r, const struct json *j, struct eval_item *item)
{
	int64_t number;

	if (json_int(json_get(j, "id"), &number))
		item->id = arena_printf(r->e->arena, "%lld", (long long)number);
	else if (!items_text(r, j, "id", ITEMS_ID_MAX, &item->id))
		return false;
	return true;
}

static bool
items_choices(
    struct items_reader *r, const struct json *j, struct eval_item *item)
{
	const struct json *list = json_get(j, "choices");
	size_t n = json_len(list);

	if (json_kind(list) == JSON_NULL)
		return true;
	if (json_kind(list) != JSON_ARRAY || n < 2 || n > EVAL_CHOICES_MAX)
		return items_refuse(r, "choices",
		    "must be an array of 2 to %d strings", EVAL_CHOICES_MAX);
	const char **out = ARENA_ARRAY(r->e->arena, n, const char *);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_str(json_at(list, i), NULL);
		if (str_is_empty(text))
			return items_refuse(r, "choices",
			    "entry %zu must be a string that is not empty", i);
		out[i] = arena_strdup(r->e->arena, text);
		for (size_t k = 0; k < i; k++)
			if (str_eq(out[k], out[i]))
				return items_refuse(r, "choices",
				    "entries %zu and %zu are the same", k, i);
	}
	item->form = (struct eval_form){
	    .kind = EVAL_CHOICE, .choices = out, .n_choices = n};
	return true;
}

/* A number as a number or as text, a choice by its letter or its words. */
static bool
items_answer(
    struct items_reader *r, const struct json *j, struct eval_item *item)
{
	const struct json *value = json_get(j, "answer");
	enum json_kind kind = json_kind(value);
	const char *text;
	int64_t num, den;
	size_t len;

	if (kind == JSON_INT || kind == JSON_DOUBLE)
		text = json_text(r->e->arena, value);
	else if (kind == JSON_BOOL)
		return items_refuse(
		    r, "answer", "must be a string or a number");
	else if (!items_text(r, j, "answer", 0, &text))
		return false;
	if (item->form.kind != EVAL_CHOICE &&
	    eval_number(text, &num, &den, &len) && text[len] == '\0')
		item->form.kind = EVAL_NUMBER;
	if (!eval_value_read(r->e->arena, &item->form, text, &item->key))
		return items_refuse(r, "answer",
		    item->form.kind == EVAL_CHOICE
			? "is none of the choices, or more than one"
			: "is too long, or not one answer");
	return true;
}

static const char *
items_task(struct arena *a, const struct eval_item *item, const char *question)
{
	static const char *const how[] = {
	    [EVAL_WORDS] = "and the answer in as few words as it has",
	    [EVAL_NUMBER] = "and the number",
	    [EVAL_CHOICE] = "and the letter of the right choice"};
	const char *text = question;

	for (size_t i = 0; i < item->form.n_choices; i++)
		text =
		    arena_printf(a, "%s%s%c) %s", text, i == 0 ? "\n\n" : "\n",
			(char)('A' + i), item->form.choices[i]);
	return arena_printf(a,
	    "%s\n\nWhatever else you write, put your answer on a line of its "
	    "own: 'ANSWER:' %s.",
	    text, how[item->form.kind]);
}

static bool
items_take(struct items_reader *r, const struct json *j, struct eval_item *out)
{
	const char *question;

	*out = (struct eval_item){.line = r->line, .domain = "general"};
	if (json_kind(j) != JSON_OBJECT)
		return items_refuse(r, "", "must be a JSON object, not %s",
		    json_kind_name(json_kind(j)));
	if (!items_known_fields(r, j) || !items_id(r, j, out) ||
	    !items_text(r, j, "question", 0, &question) ||
	    !items_choices(r, j, out) || !items_answer(r, j, out))
		return false;
	if (json_kind(json_get(j, "domain")) != JSON_NULL &&
	    !items_text(r, j, "domain", 64, &out->domain))
		return false;
	out->task = items_task(r->e->arena, out, question);
	return true;
}

static void
items_line(struct items_reader *r, const char *text, size_t len)
{
	const struct json_limits limits = {.max_bytes = EVAL_LINE_MAX};
	struct eval *e = r->e;
	struct err_info info = {0};
	const struct json *j;
	struct eval_item item;

	if (text[strspn(text, " \t\r\n")] == '\0' && strlen(text) >= len)
		return;
	if (json_parse(e->arena, text, len, &limits, &j, &info) != ERR_OK) {
		items_refuse(r, "", "%s", info.text);
		return;
	}
	if (!items_take(r, j, &item))
		return;
	if (e->n_items == r->cap) {
		r->cap = r->cap > 0 ? 2 * r->cap : 64;
		e->items =
		    mem_realloc_array(e->items, r->cap, sizeof(*e->items));
	}
	e->items[e->n_items++] = item;
}

static int
items_order(const void *x, const void *y)
{
	const struct eval_item *const *a = x;
	const struct eval_item *const *b = y;
	int order = strcmp((*a)->id, (*b)->id);

	return order != 0 ? order : (*a)->line < (*b)->line ? -1 : 1;
}

static void
items_check_ids(struct items_reader *r)
{
	struct eval *e = r->e;
	struct eval_item **all = mem_array(e->n_items + 1, sizeof(*all));

	for (size_t i = 0; i < e->n_items; i++)
		all[i] = &e->items[i];
	qsort(all, e->n_items, sizeof(*all), items_order);
	for (size_t i = 1; i < e->n_items; i++) {
		r->line = all[i]->line;
		if (str_eq(all[i]->id, all[i - 1]->id))
			items_refuse(r, "id", "is that of line %lld too",
			    (long long)all[i - 1]->line);
	}
	free(all);
}

enum err
eval_items_read(struct eval *e, const char *path)
{
	struct items_reader r = {.e = e, .path = path};
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	errno = f != NULL ? 0 : errno;
	for (ssize_t n; f != NULL && (n = getline(&line, &cap, f)) >= 0;) {
		r.line++;
		if ((size_t)n > EVAL_LINE_MAX)
			items_refuse(&r, "", "is too long");
		else
			items_line(&r, line,
			    (size_t)n - (n > 0 && line[n - 1] == '\n'));
	}
	bool is_bad = f == NULL || ferror(f) != 0;
	if (is_bad)
		fprintf(
		    stderr, "aragora eval: %s: %s\n", path, strerror(errno));
	free(line);
	if (f != NULL)
		fclose(f);
	if (is_bad)
		return ERR_IO;
	items_check_ids(&r);
	if (e->n_items == 0 && r.n_errors == 0)
		items_refuse(&r, "", "there is no question");
	if (r.n_errors > EVAL_ERRORS_MAX)
		fprintf(stderr, "aragora eval: %s: %lld more\n", path,
		    (long long)r.n_errors - EVAL_ERRORS_MAX);
	return r.n_errors == 0 ? ERR_OK : ERR_INVALID;
}
