/* SPDX-License-Identifier: MIT
 *
 * Copies a whole database to another one while its server keeps running:
 * SQLite to PostgreSQL and back. Tables, columns and keys come from the
 * catalogs, so a later migration's table is copied like the others.
 *
 * Triggers on the source write the keys of changed rows to a log. A snapshot
 * is copied in key order; each batch commits together with its mark, so that a
 * killed copy goes on where it was. Then the log is replayed, and both sides
 * are compared row by row within one snapshot of the source.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "settings/settings.h"

enum copy_state {
	COPY_FAILED,	/* an error ended it; run it again to go on */
	COPY_REFUSED,	/* the preflight found problems; nothing was written */
	COPY_CHECKED,	/* --dry-run: the copy could begin */
	COPY_DIFFERENT, /* compared, not equal */
	COPY_BEHIND,	/* equal to a snapshot; the source has changed since */
	COPY_EQUAL,	/* --verify-only: no difference */
	COPY_COMPLETE,	/* equal, and nothing of the copy is left behind */
	COPY_ABORTED,	/* --abort: triggers, log and marks are gone */
	COPY_STATE__COUNT
};
/* "complete", "behind", ... */
const char *copy_state_name(enum copy_state s);

enum copy_phase {
	COPY_PHASE_CHECK,
	COPY_PHASE_RESUME,
	COPY_PHASE_COPY,
	COPY_PHASE_FOLLOW,
	COPY_PHASE_VERIFY,
	COPY_PHASE__COUNT
};
const char *copy_phase_name(enum copy_phase p);

struct copy_progress {
	enum copy_phase phase;
	const char *table; /* NULL = of no table */
	int64_t rows;	   /* of it, so far */
	int64_t total;	   /* of it; 0 = unknown */
	bool is_end;	   /* of the table or, without one, of a replay */
};

struct copy_options {
	const char *from; /* sqlite:... or postgresql://..., never shown */
	const char *to;
	bool is_dry_run;
	bool is_verify_only;
	bool is_abort;
	int64_t wait_ms;    /* > 0: follow until so long nothing was written */
	int64_t batch_rows; /* of one transaction */
	void (*progress)(void *arg, const struct copy_progress *p);
	void *arg;
};

#define COPY_BATCH_DEFAULT 10000
#define COPY_PROBLEMS_MAX  50

/* What keeps a copy from beginning, or the first difference of a table.
 * table, column and key may be "": the value itself is never told. */
struct copy_problem {
	const char *table;
	const char *column;
	const char *key; /* JSON array */
	const char *text;
};

struct copy_table_report {
	const char *name;
	int64_t source_rows; /* as verified; as counted by a dry run */
	int64_t target_rows;
	int64_t copied;		 /* by this run */
	int64_t kept;		 /* copied by the runs before it */
	int64_t replayed;	 /* changes of the log */
	const char *source_hash; /* NULL = not verified */
	const char *target_hash;
	int64_t ranges;			  /* key ranges compared */
	int64_t differing;		  /* of them */
	int64_t rows_wrong;		  /* changed, missing or extra */
	const struct copy_problem *first; /* NULL = equal */
	const char *range_from; /* keys around it; NULL = end of the table */
	const char *range_to;
};

/* Everything on the arena given to copy_run(). */
struct copy_report {
	enum copy_state state;
	const char *from; /* fit to be shown */
	const char *to;
	int64_t schema;
	bool is_resumed;
	int64_t passes; /* replays of the log */
	int64_t behind; /* changes that are not in the target */
	struct copy_table_report *tables;
	size_t n_tables;
	struct copy_problem problems[COPY_PROBLEMS_MAX];
	size_t n_problems; /* may exceed COPY_PROBLEMS_MAX */
	size_t n_notes;
	struct copy_problem notes[COPY_PROBLEMS_MAX];
};

/* ERR_OK: report->state says how it came out. Else the report holds what was
 * reached (COPY_FAILED) and info.field is "--from" or "--to" where one of them
 * is at fault. */
enum err copy_run(const struct settings *settings, const struct copy_options *o,
    struct arena *a, struct copy_report *report, struct err_info *info)
    MUST_CHECK;
/* As one JSON object; error: of copy_run(), or NULL. */
void copy_report_json(const struct copy_report *report,
    const struct err_info *error, struct buf *out);
