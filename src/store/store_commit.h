/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: the transitions of a group as sets (store_commit.c
 * decides, store_commit_set.c writes).
 */
#pragma once

#include "store/store_attempt.h"
#include "store/store_tx.h"

struct store_step {
	struct store_transition *t;
	bool is_landed;		  /* by an earlier try: nothing to do */
	bool is_written;	  /* its lease held: its rows go in */
	size_t place;		  /* among those of its debate */
	struct db_result *answer; /* of the statement that it is in */
	struct db_result *lost;	  /* attempts that it closed; NULL = none */
};

/* Queues the steps of all that have not landed. */
enum err store_set_steps(struct db *db, struct arena *a,
    struct store_step *steps, size_t n, int64_t now) MUST_CHECK;
/* After db_sync: the debate's last number; -1 = fenced. */
int64_t store_set_last_seq(const struct store_step *step);
/* Queues the events and turns, numbered by now, of those that are written. */
enum err store_set_rows(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n) MUST_CHECK;

/* ---- store_attempt.c, queued ---- */

/* The attempts of all that are written. */
enum err store_attempt_commit(struct db *db, struct arena *a,
    struct store_step *steps, size_t n, int64_t now) MUST_CHECK;
/* Attempts of leases before this one that are still out become this; closed
 * (may be NULL) has a row for each. */
enum err store_attempt_close(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, int64_t before_epoch, enum store_attempt_state state,
    int64_t now_us, struct db_result *closed) MUST_CHECK;
