/* SPDX-License-Identifier: MIT
 *
 * What people do to a debate besides asking it: naming, filing away, writing
 * notes, taking it away.
 */
#include "base/clock.h"
#include "store/store_key.h"
#include "store/store_tx.h"

struct store_label {
	struct arena *a;
	const struct store_debate *d;
	const char *tenant, *id;
	const struct store_note *note;
	const char *note_id;
	struct store_debate *rows;
	struct store_note *notes;
	size_t n;
};

static enum err
store_relabel_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	const struct store_debate *d = l->d;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_RELABEL, l->a, &r,
	    DB_TEXT(d->tenant), DB_TEXT(d->id), DB_TEXT(d->title),
	    DB_TEXT(d->labels), DB_INT(d->revision), DB_INT(d->archived_us > 0),
	    DB_INT(clock_wall_us()));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_CONFLICT : ERR_OK;
}

/* Runs fn on an arena of its own. */
static enum err
store_label_write(struct store *store, struct store_label *l, store_tx_fn fn)
{
	l->a = arena_new(0);
	enum err e = store_tx(store, DB_WRITE, fn, l, NULL);
	arena_free(&l->a);
	return e;
}

enum err
store_debate_relabel(struct store *store, const struct store_debate *d)
{
	struct store_label l = {.d = d};

	return store_label_write(store, &l, store_relabel_tx);
}

static enum err
store_forks_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_FORKS, l->a, &r, DB_TEXT(l->tenant),
	    DB_TEXT(l->id));
	if (e != ERR_OK)
		return e;
	l->n = r.rows;
	l->rows = ARENA_ARRAY(l->a, r.rows + 1, struct store_debate);
	for (size_t i = 0; i < r.rows; i++)
		store_debate_from(&r, i, &l->rows[i]);
	return ERR_OK;
}

enum err
store_debate_forks(struct store *store, struct arena *a, const char *tenant,
    const char *id, struct store_debate **rows, size_t *n)
{
	struct store_label l = {.a = a, .tenant = tenant, .id = id};
	enum err e = store_tx(store, DB_READ, store_forks_tx, &l, NULL);

	*rows = l.rows;
	*n = e == ERR_OK ? l.n : 0;
	return e;
}

static enum err
store_delete_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_DEBATE_DELETE, l->a, &r,
	    DB_TEXT(l->tenant), DB_TEXT(l->id));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND : ERR_OK;
}

enum err
store_debate_delete(struct store *store, const char *tenant, const char *id)
{
	struct store_label l = {.tenant = tenant, .id = id};

	return store_label_write(store, &l, store_delete_tx);
}

/* ---- notes ---- */

static enum err
store_note_add_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	struct err_info info;

	enum err e = store_key_claim(
	    db, l->a, l->tenant, l->note->key, l->note->id, &info);
	if (e != ERR_OK || store_key_is_made(l->note->key))
		return e;
	return DB_RUN(db, STMT_NOTE_INSERT, l->a, NULL, DB_TEXT(l->tenant),
	    DB_TEXT(l->id), DB_TEXT(l->note->id), DB_TEXT(l->note->text),
	    DB_INT(l->note->created_us));
}

enum err
store_note_add(struct store *store, const char *tenant, const char *debate_id,
    const struct store_note *note)
{
	struct store_label l = {
	    .tenant = tenant, .id = debate_id, .note = note};

	return store_label_write(store, &l, store_note_add_tx);
}

static enum err
store_note_list_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	struct db_result r;

	enum err e = DB_RUN(
	    db, STMT_NOTE_LIST, l->a, &r, DB_TEXT(l->tenant), DB_TEXT(l->id));
	if (e != ERR_OK)
		return e;
	l->n = r.rows;
	l->notes = ARENA_ARRAY(l->a, r.rows + 1, struct store_note);
	for (size_t i = 0; i < r.rows; i++)
		l->notes[i] = (struct store_note){.id = db_text(&r, i, 0),
		    .text = db_text(&r, i, 1),
		    .created_us = db_int(&r, i, 2)};
	return ERR_OK;
}

enum err
store_note_list(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, struct store_note **rows, size_t *n)
{
	struct store_label l = {.a = a, .tenant = tenant, .id = debate_id};
	enum err e = store_tx(store, DB_READ, store_note_list_tx, &l, NULL);

	*rows = l.notes;
	*n = e == ERR_OK ? l.n : 0;
	return e;
}

static enum err
store_note_delete_tx(struct db *db, void *arg)
{
	struct store_label *l = arg;
	struct db_result r;

	enum err e = DB_RUN(db, STMT_NOTE_DELETE, l->a, &r, DB_TEXT(l->tenant),
	    DB_TEXT(l->id), DB_TEXT(l->note_id));
	if (e != ERR_OK)
		return e;
	return r.rows == 0 ? ERR_NOT_FOUND : ERR_OK;
}

enum err
store_note_delete(struct store *store, const char *tenant,
    const char *debate_id, const char *id)
{
	struct store_label l = {
	    .tenant = tenant, .id = debate_id, .note_id = id};

	return store_label_write(store, &l, store_note_delete_tx);
}
