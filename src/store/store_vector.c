/* SPDX-License-Identifier: MIT
 *
 * The vectors of finished debates, written with their last transition.
 */
#include "store/store_tx.h"

enum err
store_vector_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_vector *v, int64_t now_us)
{
	if (v->model == NULL || v->data == NULL)
		return ERR_OK;
	return DB_QUEUE(db, STMT_VECTOR_INSERT, a, NULL, DB_TEXT(tenant),
	    DB_TEXT(debate_id), DB_TEXT(v->model), DB_INT(v->dimension),
	    DB_TEXT(v->data), DB_INT(now_us));
}

struct store_vector_call {
	struct arena *a;
	const char *tenant;
	const char *id;
	struct store_vector *out;
};

static enum err
store_vector_get_tx(struct db *db, void *arg)
{
	const struct store_vector_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_VECTOR_GET, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*c->out = (struct store_vector){.model = db_text(&r, 0, 0),
	    .dimension = db_int(&r, 0, 1),
	    .data = db_text(&r, 0, 2)};
	return ERR_OK;
}

enum err
store_vector_get(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_vector *out)
{
	struct store_vector_call c = {
	    .a = a, .tenant = tenant, .id = debate_id, .out = out};

	return store_tx(store, DB_READ_ONE, store_vector_get_tx, &c, NULL);
}

struct store_vector_page {
	struct arena *a;
	const struct store_vector_scan *scan;
	int64_t max;
	struct db_result r;
};

static enum err
store_vector_next_tx(struct db *db, void *arg)
{
	struct store_vector_page *p = arg;
	const struct store_vector_scan *s = p->scan;
	bool is_first = s->before_id == NULL;

	return DB_RUN(db, STMT_VECTOR_SCAN, p->a, &p->r, DB_TEXT(s->tenant),
	    DB_TEXT(s->model), DB_INT(s->dimension),
	    DB_INT(is_first ? INT64_MAX : s->before_us),
	    DB_TEXT(is_first ? "" : s->before_id), DB_INT(p->max));
}

enum err
store_vector_next(struct store *store, struct arena *a,
    struct store_vector_scan *scan, int64_t max, struct store_vector_row **rows,
    size_t *n)
{
	struct store_vector_page p = {.a = a, .scan = scan, .max = max};
	const struct store_read read = scan->read;

	*n = 0;
	*rows = NULL;
	enum err e = store_tx_analytic(
	    store, scan->tenant, &read, store_vector_next_tx, &p);
	if (e != ERR_OK)
		return e;
	*n = p.r.rows;
	*rows = ARENA_ARRAY(a, p.r.rows + 1, struct store_vector_row);
	for (size_t i = 0; i < p.r.rows; i++)
		(*rows)[i] =
		    (struct store_vector_row){.debate_id = db_text(&p.r, i, 0),
			.data = db_text(&p.r, i, 2)};
	if (p.r.rows > 0) {
		scan->before_us = db_int(&p.r, p.r.rows - 1, 1);
		scan->before_id = db_text(&p.r, p.r.rows - 1, 0);
	}
	return ERR_OK;
}
