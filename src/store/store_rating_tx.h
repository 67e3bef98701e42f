/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: an agent's rating of all domains and sources, taken and
 * given back under the tenant's board.
 */
#pragma once

#include "store/store_rating.h"

/* updated_us: the time of what is done to it now. */
enum err store_rating_take(struct db *db, struct arena *a, const char *tenant,
    const char *agent, int64_t elo_initial, int64_t now_us,
    struct store_rating *out) MUST_CHECK;
enum err store_rating_give(struct db *db, struct arena *a, const char *tenant,
    const struct store_rating *r) MUST_CHECK;
