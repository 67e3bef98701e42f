/* SPDX-License-Identifier: MIT
 *
 * A batch as its asker sees it (contract 2.7): in an answer, and in the
 * message at its end.
 */
#pragma once

#include "base/json.h"
#include "store/store_batch.h"

/* Members into an object the caller has begun: figures without items. */
void batch_view_summary(
    struct json_w *w, const struct store_batch *b, int64_t now_us);
/* With the items under both their names. */
void batch_view_members(struct json_w *w, struct arena *a,
    const struct store_batch *b, const struct store_batch_item *items, size_t n,
    int64_t now_us);
/* queued, running, completed, failed or cancelled. */
const char *batch_item_status(const struct store_batch_item *item);
/* The whole as text on the arena, NULL when it is too long. */
const char *batch_view_text(struct arena *a, const struct store_batch *b,
    const struct store_batch_item *items, size_t n, int64_t now_us);
