/* SPDX-License-Identifier: MIT
 *
 * Between dispatcher and handler, from the route's row: answers that are kept
 * for a time (CACHED), and the tags by which callers ask again for what they
 * have.
 */
#pragma once

#include "cache/cache.h"
#include "fcgi/req.h"
#include "fcgi/res.h"

/* Runs the route's handler, or answers in its place. */
enum http_status keep_answer(struct req *req, struct res *res);

/* What computes an answer; only one with 200 and nothing but a JSON body is
 * kept. */
typedef enum http_status (*keep_fn)(
    struct req *req, struct res *res, void *arg);
/* For a handler that knows more than its row: the same under a key of its own,
 * which changes with all that the answer tells of. */
enum http_status keep_under(struct req *req, struct res *res,
    enum cache_kind kind, const char *key, keep_fn fn, void *arg);
