/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: what the verbs of memory share.
 */
#pragma once

#include "store/store_memory.h"
#include "store/store_tx.h"

/* A row of STMT_MEMORY_COLUMNS. */
struct store_memory store_memory_from(const struct db_result *r, size_t row);
/* What it takes of its tier, and when it is next to be looked at. */
int64_t store_memory_bytes(const struct store_memory *m);
int64_t store_memory_due(const struct store_memory *m);

/* The tenant's board is ours until the end of the transaction, and what has
 * expired is gone. */
enum err store_memory_lock(struct db *db, struct arena *a, const char *tenant,
    int64_t now_us, int64_t *expired) MUST_CHECK;
/* By key, else by id. */
enum err store_memory_find(struct db *db, struct arena *a, const char *tenant,
    const char *key, int64_t now_us, struct store_memory *out) MUST_CHECK;
/* Writers of tallies hold the board, but for those of reads, which no other
 * takes: nobody waits for somebody who waits for him. */
enum err store_memory_tally(struct db *db, struct arena *a, const char *tenant,
    enum memory_deed deed, int tier, int64_t n, int64_t now_us) MUST_CHECK;
enum err store_memory_tally_rows(struct db *db, struct arena *a,
    const char *tenant, enum memory_deed deed, const struct db_result *rows,
    int64_t now_us) MUST_CHECK;
