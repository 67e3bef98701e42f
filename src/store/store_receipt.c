/* SPDX-License-Identifier: MIT
 *
 * The receipts of finished debates, written once.
 */
#include "base/clock.h"
#include "store/store_tx.h"

struct store_receipt_call {
	struct arena *a;
	const char *tenant;
	const char *id;
	const struct store_receipt *in;
	struct store_receipt *out;
};

static enum err
store_receipt_put_tx(struct db *db, void *arg)
{
	const struct store_receipt_call *c = arg;
	struct arena *a = arena_new(0);

	enum err e =
	    DB_RUN(db, STMT_RECEIPT_INSERT, a, NULL, DB_TEXT(c->tenant),
		DB_TEXT(c->id), DB_TEXT(c->in->text), DB_TEXT(c->in->signature),
		DB_TEXT(c->in->marks), DB_INT(clock_wall_us()));
	arena_free(&a);
	return e;
}

enum err
store_receipt_put(struct store *store, const char *tenant,
    const char *debate_id, const struct store_receipt *r)
{
	struct store_receipt_call c = {
	    .tenant = tenant, .id = debate_id, .in = r};

	return store_tx(store, DB_WRITE, store_receipt_put_tx, &c, NULL);
}

static enum err
store_receipt_get_tx(struct db *db, void *arg)
{
	const struct store_receipt_call *c = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_RECEIPT_GET, c->a, &r, DB_TEXT(c->tenant), DB_TEXT(c->id));
	if (e != ERR_OK)
		return e;
	if (r.rows == 0)
		return ERR_NOT_FOUND;
	*c->out = (struct store_receipt){.text = db_text(&r, 0, 0),
	    .signature = db_text(&r, 0, 1),
	    .marks = db_text(&r, 0, 2)};
	return ERR_OK;
}

enum err
store_receipt_get(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_receipt *out)
{
	struct store_receipt_call c = {
	    .a = a, .tenant = tenant, .id = debate_id, .out = out};

	return store_tx(store, DB_READ_ONE, store_receipt_get_tx, &c, NULL);
}
