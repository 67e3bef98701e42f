/* SPDX-License-Identifier: MIT
 *
 * Many debates at once: lists and what they come to.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "store/store_tx.h"

#define STORE_NAMES_BYTES 65536 /* of a filter's agents as JSON */

struct store_list {
	struct arena *a;
	const struct store_debate_filter *f;
	struct store_debate *rows;
	size_t n;
	int64_t total;
};

/* "%text%" with LIKE's own characters escaped by '!'. */
static const char *
store_like(struct arena *a, const char *text)
{
	struct buf b;

	if (str_is_empty(text))
		return "";
	buf_init(&b, strlen(text) * 2 + 2);
	buf_putc(&b, '%');
	for (; *text != '\0'; text++) {
		if (strchr("%_!", *text) != NULL)
			buf_putc(&b, '!');
		buf_putc(&b, *text);
	}
	buf_putc(&b, '%');
	char *like = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return like;
}

static const char *
store_list_names(struct arena *a, const struct store_debate_filter *f)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, STORE_NAMES_BYTES);
	json_w_init(&w, &b);
	json_w_begin_array(&w, NULL);
	for (size_t i = 0; i < f->n_agents; i++)
		json_w_str(&w, NULL, f->agents[i]);
	json_w_end_array(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* Does it ask for more than the statement of the plain list does? */
static bool
store_list_is_wide(const struct store_debate_filter *f)
{
	return f->domain != NULL || f->tag != NULL || f->n_agents > 0 ||
	    f->min_rounds > 0 || f->max_rounds > 0 || f->is_by_outcome ||
	    f->is_archived || f->order != STORE_BY_CREATED || f->is_ascending;
}

static const char *
store_list_text(const char *text)
{
	return text != NULL ? text : "";
}

static const char *
store_order_name(enum store_order order)
{
	static const char *const names[] = {
#define X(id, text) [id] = text,
	    STORE_ORDER_LIST(X)
#undef X
	};

	return names[order];
}

double
store_debate_key(
    const struct store_debate_filter *f, const struct store_debate *d)
{
	double sign = f->is_ascending ? 1 : -1;

	switch (f->order) {
	case STORE_BY_CONFIDENCE:
		return d->confidence * sign;
	case STORE_BY_DURATION:
		return d->completed_us > 0
		    ? (double)(d->completed_us - d->started_us) * sign
		    : 0 * sign;
	case STORE_BY_CREATED:
	case STORE_ORDER__COUNT:
		break;
	}
	return (double)d->created_us * sign;
}

static enum err
store_list_tx(struct db *db, void *arg)
{
	enum { NARROW = 5, WIDE = 12 };
	struct store_list *l = arg;
	const struct store_debate_filter *f = l->f;
	bool is_wide = store_list_is_wide(f);
	const char *status = f->status < 0
	    ? ""
	    : store_status_name((enum store_status)f->status);
	const struct db_value common[] = {DB_TEXT(f->tenant), DB_TEXT(status),
	    DB_TEXT(store_like(l->a, f->query)), DB_INT(f->since_us),
	    DB_INT(f->until_us > 0 ? f->until_us : INT64_MAX),
	    DB_TEXT(store_list_text(f->domain)),
	    DB_TEXT(store_list_text(f->tag)),
	    DB_TEXT(store_list_names(l->a, f)), DB_INT(f->min_rounds),
	    DB_INT(f->max_rounds > 0 ? f->max_rounds : INT64_MAX),
	    DB_INT(f->is_by_outcome ? f->is_reached : -1),
	    DB_INT(f->is_archived)};
	const char *after = store_list_text(f->after_id);
	int64_t offset = *after != '\0' ? 0 : f->offset;
	const struct db_value order[] = {DB_TEXT(store_order_name(f->order)),
	    DB_DOUBLE(f->is_ascending ? 1 : -1), DB_INT(f->limit),
	    DB_INT(offset), DB_DOUBLE(f->after_key), DB_TEXT(after)};
	const struct db_value newest[] = {DB_INT(f->limit), DB_INT(offset),
	    DB_INT(*after != '\0' ? (int64_t)-f->after_key : INT64_MAX),
	    DB_TEXT(after)};
	struct db_value values[ARRAY_LEN(common) + ARRAY_LEN(order)];
	size_t n = is_wide ? WIDE : NARROW;
	size_t n_order = is_wide ? ARRAY_LEN(order) : ARRAY_LEN(newest);
	struct db_result count, r;

	memcpy(values, common, n * sizeof(values[0]));
	memcpy(
	    values + n, is_wide ? order : newest, n_order * sizeof(values[0]));
	enum err e =
	    db_queue(db, is_wide ? STMT_DEBATE_FOUND : STMT_DEBATE_COUNT,
		values, n, l->a, &count);
	if (e == ERR_OK)
		e = db_run(db, is_wide ? STMT_DEBATE_FIND : STMT_DEBATE_LIST,
		    values, n + n_order, l->a, &r);
	if (e != ERR_OK)
		return e;
	l->total = db_int(&count, 0, 0);
	l->n = r.rows;
	l->rows = ARENA_ARRAY(l->a, r.rows + 1, struct store_debate);
	for (size_t i = 0; i < r.rows; i++)
		store_debate_from(&r, i, &l->rows[i]);
	return ERR_OK;
}

enum err
store_debate_list(struct store *store, struct arena *a,
    const struct store_debate_filter *f, struct store_debate **rows, size_t *n,
    int64_t *total)
{
	struct store_list l = {.a = a, .f = f};
	enum err e =
	    store_tx_analytic(store, f->tenant, &f->read, store_list_tx, &l);

	*rows = l.rows;
	*n = e == ERR_OK ? l.n : 0;
	*total = l.total;
	return e;
}

/* ---- sums ---- */

struct store_stats {
	struct arena *a;
	const char *tenant;
	int64_t since_us;
	struct store_stat *rows;
	size_t n;
};

static enum err
store_stats_tx(struct db *db, void *arg)
{
	struct store_stats *s = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_STATS, s->a, &r, DB_TEXT(s->tenant),
	    DB_INT(s->since_us));
	if (e != ERR_OK)
		return e;
	s->n = r.rows;
	s->rows = ARENA_ARRAY(s->a, r.rows + 1, struct store_stat);
	for (size_t i = 0; i < r.rows; i++) {
		s->rows[i] = (struct store_stat){.domain = db_text(&r, i, 1),
		    .debates = db_int(&r, i, 2),
		    .reached = db_int(&r, i, 3),
		    .rounds = db_int(&r, i, 4),
		    .spent_us = db_int(&r, i, 5),
		    .confidence = db_double(&r, i, 6)};
		if (store_status_parse(db_text(&r, i, 0), &s->rows[i].status) !=
		    ERR_OK)
			abort(); /* the table has a CHECK */
	}
	return ERR_OK;
}

enum err
store_debate_stats(struct store *store, struct arena *a, const char *tenant,
    int64_t since_us, const struct store_read *read, struct store_stat **rows,
    size_t *n)
{
	struct store_stats s = {.a = a, .tenant = tenant, .since_us = since_us};
	enum err e = store_tx_analytic(store, tenant, read, store_stats_tx, &s);

	*rows = s.rows;
	*n = e == ERR_OK ? s.n : 0;
	return e;
}
