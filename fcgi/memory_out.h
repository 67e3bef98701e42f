/* SPDX-License-Identifier: MIT
 *
 * Entries of memory as clients see them.
 */
#pragma once

#include "fcgi/handler.h"
#include "fcgi/memory_rank.h"
#include "store/store_memory.h"

/* The members of an entry; likeness_ppm -1 = it was not looked for. */
void memory_out_members(struct json_w *w, struct arena *a,
    const struct store_memory *m, int64_t likeness_ppm);
/* An array of entries, and one of what was found. */
void memory_out_array(struct json_w *w, const char *key, struct arena *a,
    const struct store_memory *rows, size_t n);
void memory_out_found(struct json_w *w, const char *key, struct arena *a,
    const struct memory_found *found, size_t n);
double memory_out_share(int64_t ppm);
const char *memory_out_tier(enum memory_tier tier);
/* 404 for a key; others as res_err. */
enum http_status memory_out_fail(
    struct res *res, enum err e, const char *key, struct err_info *info);
