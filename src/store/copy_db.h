/* SPDX-License-Identifier: MIT
 *
 * Inside of the copy: tables as the catalogs describe them, rows, their
 * canonical encoding, and the record through which the two databases are
 * spoken to.
 */
#pragma once

#include "base/id.h"
#include "store/copy.h"

#define COPY_KEYS_MAX	 8
#define COPY_COLUMNS_MAX 100

/* All that copy leaves behind while it is under way begins with this. */
#define COPY_PREFIX   "aragora_copy_"
#define COPY_INFO     COPY_PREFIX "info" /* source: id */
#define COPY_LOG      COPY_PREFIX "log"	 /* source: keys of changed rows */
#define COPY_MARK     COPY_PREFIX "mark" /* target: how far each table is */
#define COPY_NOT_OURS "schema_migrations"

enum copy_kind { COPY_INT, COPY_DOUBLE, COPY_TEXT };

struct copy_value {
	enum copy_kind kind;
	bool is_null;
	int64_t i;
	double d;
	const char *t; /* not NUL-terminated */
	size_t len;
	/* The class of a value that its column may not hold ("blob"), or NULL:
	 * SQLite keeps what it is given. */
	const char *odd;
};
struct copy_value copy_int(int64_t i);
struct copy_value copy_text(const char *text);

struct copy_column {
	const char *name;
	enum copy_kind kind;
	int bits; /* of an integer */
	bool is_not_null;
	bool is_counted; /* a sequence gives its values */
};

struct copy_table {
	const char *name;
	struct copy_column columns[COPY_COLUMNS_MAX];
	size_t n_columns;
	size_t keys[COPY_KEYS_MAX]; /* columns of the primary key, in order */
	size_t n_keys;
	const char *parents[COPY_COLUMNS_MAX]; /* tables its rows refer to */
	size_t n_parents;
	/* Row level security keeps even its owner from COPY FROM. */
	bool is_forced;
};

struct copy_schema {
	struct copy_table **tables; /* parents first, once sorted */
	size_t n_tables;
};

struct copy_result {
	size_t rows;
	size_t columns;
	struct copy_value *cells; /* texts are NUL-terminated here */
};

struct copy_db;

/* Adds to the problems; key may be NULL. */
void copy_problem(struct copy_report *r, struct arena *a, const char *table,
    const char *column, const char *key, const char *fmt, ...) PRINTF(6, 7);
void copy_note(struct copy_report *r, struct arena *a, const char *table,
    const char *fmt, ...) PRINTF(4, 5);

struct copy_driver {
	const char *name;
	/* Dialect. Identifiers come quoted; $1, $2, ... in order, each once. */
	const char *begin_read;	 /* snapshot until COMMIT */
	const char *begin_write; /* ditto, may change rows */
	const char *log_create;
	const char *log_token;	/* all of the log that the snapshot shows */
	const char *log_clear;	/* ... $1 = token: remove that */
	const char *log_rest;	/* ... $1 = token: how much is beyond it */
	const char *has_table;	/* $1 = name: count */
	const char *overriding; /* of INSERT, to set counted columns */
	const char *key_collate;

	/* is_writing: else nothing may be changed through it. */
	enum err (*open)(struct copy_db **out, const char *target,
	    bool is_writing, struct err_info *info);
	void (*close)(struct copy_db *db); /* rolls back */
	/* Fit to be shown: no password. */
	const char *(*describe)(struct copy_db *db, struct arena *a);
	enum err (*catalog)(struct copy_db *db, struct arena *a,
	    struct copy_schema *out, struct copy_report *r,
	    struct err_info *info);
	/* What the database can say about itself: damage, dangling references
	 * (of a source), rights. */
	enum err (*check)(struct copy_db *db, const struct copy_schema *s,
	    bool is_source, bool is_writing, struct arena *a,
	    struct copy_report *r, struct err_info *info);
	/* Bytes its tables take, and bytes free for more; -1 = unknowable. */
	enum err (*space)(struct copy_db *db, int64_t *used, int64_t *free,
	    struct err_info *info);

	enum err (*exec)(
	    struct copy_db *db, const char *sql, struct err_info *info);
	/* kinds: a letter i, d or t for each column of the result. */
	enum err (*query)(struct copy_db *db, const char *sql,
	    const struct copy_value *params, size_t n, const char *kinds,
	    struct arena *a, struct copy_result *out, struct err_info *info);

	/* Rows with a key > after (NULL = all), in the order of
	 * copy_key_compare(). Values live until the next call; *has = false
	 * ends the scan. Nothing else runs on db meanwhile. */
	enum err (*scan)(struct copy_db *db, const struct copy_table *t,
	    const struct copy_value *after, struct err_info *info);
	enum err (*next)(struct copy_db *db, struct copy_value *row, bool *has,
	    struct err_info *info);

	/* New rows in bulk, inside a transaction. t: of this side's catalog. */
	enum err (*load)(struct copy_db *db, const struct copy_table *t,
	    struct err_info *info);
	enum err (*put)(struct copy_db *db, const struct copy_value *row,
	    struct err_info *info);
	enum err (*loaded)(struct copy_db *db, struct err_info *info);

	/* Inside a transaction: from now on changes of t are in the log. */
	enum err (*watch)(struct copy_db *db, const struct copy_table *t,
	    struct arena *a, struct err_info *info);
	/* Inside a transaction: nobody can write to the tables until it ends.
	 */
	enum err (*freeze)(struct copy_db *db, const struct copy_schema *s,
	    struct arena *a, struct err_info *info);
	/* Undoes watch(). */
	enum err (*unwatch)(struct copy_db *db, const struct copy_table *t,
	    struct arena *a, struct err_info *info);
	/* Sequences go on after the highest value. */
	enum err (*recount)(struct copy_db *db, const struct copy_table *t,
	    struct arena *a, struct err_info *info);
};

struct copy_db {
	const struct copy_driver *driver;
};

extern const struct copy_driver copy_sqlite;
extern const struct copy_driver copy_pgsql;

/* ---- copy_row.c ---- */

/* Unambiguous and the same for the same row wherever it is kept: per column
 * n | i + 8 bytes | d + 8 bytes of IEEE 754, -0 as 0 | t + 8 bytes of length +
 * text; numbers with the highest byte first. */
void copy_encode(
    const struct copy_value *row, size_t n_columns, struct buf *out);
/* The hash of rows 1..n: SHA-256 over that of rows 1..n-1, as hex, and row n.
 * hash[ID_HASH_SIZE] begins as "". row: its canonical encoding. */
void copy_hash_add(char *hash, const struct buf *row, struct buf *scratch);
/* Integers by value, texts by byte. Both hold t->n_keys values. */
int copy_key_compare(const struct copy_table *t, const struct copy_value *a,
    const struct copy_value *b);
/* The key of a row, for the functions that take one. */
void copy_key_of(const struct copy_table *t, const struct copy_value *row,
    struct copy_value *key);
/* As JSON array, as triggers write it too. */
const char *copy_key_json(
    struct arena *a, const struct copy_table *t, const struct copy_value *key);
enum err copy_key_parse(struct arena *a, const struct copy_table *t,
    const char *json, struct copy_value *key, struct err_info *info) MUST_CHECK;
/* The first column that keeps the row out of a target whose columns are
 * `into` (in the same order), and why; NULL = none. */
const char *copy_row_fault(const struct copy_table *t,
    const struct copy_column *const *into, const struct copy_value *row,
    size_t *column);

/* ---- copy_sql.c ---- */

void copy_sql_name(struct buf *b, const char *name);
/* prefix and name as one quoted identifier. */
void copy_sql_name2(struct buf *b, const char *prefix, const char *name);
void copy_sql_text(struct buf *b, const char *text);
/* row."k1", row."k2" */
void copy_sql_keys(struct buf *b, const struct copy_table *t, const char *row);
void copy_sql_order(
    struct buf *b, const struct copy_table *t, const struct copy_driver *d);
const char *copy_sql_fetch(struct arena *a, const struct copy_table *t);
const char *copy_sql_remove(struct arena *a, const struct copy_table *t);
const char *copy_sql_insert(struct arena *a, const struct copy_table *t,
    const struct copy_driver *d, bool is_upsert);
const char *copy_sql_kinds(struct arena *a, const struct copy_table *t);

/* ---- copy_check.c, copy_log.c, copy_verify.c: parts of one run ---- */

struct copy_mark {
	bool is_done;
	bool is_touched;      /* replays changed what the hash was made of */
	const char *last_key; /* JSON; NULL = nothing copied yet */
	int64_t rows;
	char hash[ID_HASH_SIZE];
};

struct copy_side {
	struct copy_db *db;
	const char *option; /* "--from", "--to" */
	struct copy_schema schema;
};

struct copy {
	const struct copy_options *o;
	const struct settings *settings;
	struct arena *a;
	struct copy_report *report;
	struct copy_side from;
	struct copy_side to;
	struct copy_db *log; /* the source again, for writing to it */
	/* By table of the source. */
	const struct copy_table **into; /* its counterpart */
	const struct copy_column *(*columns)[COPY_COLUMNS_MAX];
	struct copy_mark *marks;
	const char *token; /* of the source's snapshot */
	/* Whose copy it is: on both sides while it is under way. */
	const char *source_id;
	const char *target_id;
	bool is_verified; /* an earlier run had only its traces to remove */
};

void copy_tell(struct copy *c, enum copy_phase phase, const char *table,
    int64_t rows, int64_t total, bool is_end);
/* One number, one text. */
enum err copy_get_int(struct copy_db *db, const char *sql, const char *param,
    int64_t *out, struct err_info *info);
enum err copy_get_text(struct copy_db *db, struct arena *a, const char *sql,
    const char **out, struct err_info *info);
enum err copy_count(struct copy_db *db, const struct copy_table *t,
    int64_t *out, struct err_info *info);

/* Both catalogs, compared and sorted; schema versions. */
enum err copy_check_schema(struct copy *c, struct err_info *info);
/* The content of the source, the room and the rights. */
enum err copy_check_content(struct copy *c, struct err_info *info);

/* The ids and marks of a copy under way. */
enum err copy_log_find(struct copy *c, struct err_info *info);
/* Begins to watch the source and makes the marks of the target. */
enum err copy_log_start(struct copy *c, struct err_info *info);
/* Begins a snapshot of the source and takes its token. */
enum err copy_log_snapshot(struct copy *c, struct err_info *info);
/* Applies the log as the snapshot shows it, as far as tables are copied. */
enum err copy_log_replay(struct copy *c, int64_t *n, struct err_info *info);
/* Forgets what was applied. */
enum err copy_log_clear(struct copy *c, struct err_info *info);
/* Ends the watch if the log is empty, or in any case. */
enum err copy_log_stop(
    struct copy *c, bool is_forced, int64_t *rest, struct err_info *info);
enum err copy_mark_set_verified(struct copy *c, struct err_info *info);
enum err copy_mark_drop(struct copy *c, struct err_info *info);
/* In the open transaction of the target: the mark of table i moves on, unless
 * another copy has moved it. */
enum err copy_mark_save(struct copy *c, size_t i, const struct copy_mark *to,
    struct err_info *info);

/* Both sides are in a snapshot. */
enum err copy_verify(struct copy *c, bool *is_equal, struct err_info *info);
/* Is what earlier runs wrote still there as they wrote it? */
enum err copy_verify_marks(struct copy *c, struct err_info *info);
