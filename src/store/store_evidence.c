/* SPDX-License-Identifier: MIT */
#include "store/store_evidence.h"

#include "store/store_key.h"
#include "store/store_tx.h"

struct evidence_call {
	struct arena *a;
	const char *tenant, *id;
	const struct store_evidence *evidence;
	const struct store_export_job *job;
	struct store_export_job *out;
	struct store_evidence *rows;
	struct store_agreed *agreed;
	double confidence;
	size_t n;
};

static enum err
evidence_write(struct store *store, struct evidence_call *c, store_tx_fn fn)
{
	c->a = arena_new(0);
	enum err e = store_tx(store, DB_WRITE, fn, c, NULL);
	arena_free(&c->a);
	return e;
}

static enum err
evidence_add_tx(struct db *db, void *arg)
{
	struct evidence_call *c = arg;
	const struct store_evidence *v = c->evidence;
	struct err_info info;

	enum err e = store_key_claim(db, c->a, c->tenant, v->key, v->id, &info);
	if (e != ERR_OK || store_key_is_made(v->key))
		return e;
	return DB_RUN(db, STMT_EVIDENCE_INSERT, c->a, NULL, DB_TEXT(c->tenant),
	    DB_TEXT(c->id), DB_TEXT(v->id), DB_TEXT(v->text),
	    DB_TEXT(v->source), DB_TEXT(v->metadata), DB_INT(v->created_us));
}

enum err
store_evidence_add(struct store *store, const char *tenant,
    const char *debate_id, const struct store_evidence *evidence)
{
	struct evidence_call c = {
	    .tenant = tenant, .id = debate_id, .evidence = evidence};

	return evidence_write(store, &c, evidence_add_tx);
}

static enum err
evidence_list_tx(struct db *db, void *arg)
{
	struct evidence_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_EVIDENCE_LIST, c->a, &r,
	    DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	c->n = r.rows;
	c->rows = ARENA_ARRAY(c->a, r.rows + 1, struct store_evidence);
	for (size_t i = 0; i < r.rows; i++)
		c->rows[i] = (struct store_evidence){.id = db_text(&r, i, 0),
		    .text = db_text(&r, i, 1),
		    .source = db_text(&r, i, 2),
		    .metadata = db_text(&r, i, 3),
		    .created_us = db_int(&r, i, 4)};
	return ERR_OK;
}

enum err
store_evidence_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_evidence **rows, size_t *n)
{
	struct evidence_call c = {.a = a, .tenant = tenant, .id = debate_id};
	enum err e = store_tx(store, DB_READ_ONE, evidence_list_tx, &c, NULL);

	*rows = c.rows;
	*n = e == ERR_OK ? c.n : 0;
	return e;
}

static enum err
export_add_tx(struct db *db, void *arg)
{
	struct evidence_call *c = arg;
	const struct store_export_job *job = c->job;
	struct err_info info;

	enum err e =
	    store_key_claim(db, c->a, job->tenant, job->key, job->id, &info);
	if (e != ERR_OK || store_key_is_made(job->key))
		return e;
	return DB_RUN(db, STMT_EXPORT_INSERT, c->a, NULL, DB_TEXT(job->tenant),
	    DB_TEXT(job->id), DB_TEXT(job->format), DB_TEXT(job->debate_ids),
	    DB_INT(job->created_us));
}

enum err
store_export_add(struct store *store, const struct store_export_job *job)
{
	struct evidence_call c = {.job = job};

	return evidence_write(store, &c, export_add_tx);
}

static enum err
export_get_tx(struct db *db, void *arg)
{
	struct evidence_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_EXPORT_GET, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*c->out = (struct store_export_job){.id = db_text(&r, 0, 0),
	    .tenant = c->tenant,
	    .format = db_text(&r, 0, 1),
	    .debate_ids = db_text(&r, 0, 2),
	    .created_us = db_int(&r, 0, 3)};
	return ERR_OK;
}

enum err
store_export_get(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_export_job *out)
{
	struct evidence_call c = {
	    .a = a, .tenant = tenant, .id = id, .out = out};

	return store_tx(store, DB_READ_ONE, export_get_tx, &c, NULL);
}

static enum err
agreed_list_tx(struct db *db, void *arg)
{
	struct evidence_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_AGREED, c->a, &r,
	    DB_TEXT(c->tenant), DB_DOUBLE(c->confidence));
	if (e != ERR_OK)
		return e;
	c->n = r.rows;
	c->agreed = ARENA_ARRAY(c->a, r.rows + 1, struct store_agreed);
	for (size_t i = 0; i < r.rows; i++)
		c->agreed[i] =
		    (struct store_agreed){.strength = db_text(&r, i, 0),
			.debates = db_int(&r, i, 1),
			.firm = db_int(&r, i, 2),
			.dissents = db_int(&r, i, 3)};
	return ERR_OK;
}

enum err
store_agreed_list(struct store *store, struct arena *a, const char *tenant,
    double confidence, struct store_agreed **rows, size_t *n)
{
	struct evidence_call c = {
	    .a = a, .tenant = tenant, .confidence = confidence};
	enum err e = store_tx(store, DB_READ_ONE, agreed_list_tx, &c, NULL);

	*rows = c.agreed;
	*n = e == ERR_OK ? c.n : 0;
	return e;
}
