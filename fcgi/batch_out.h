/* SPDX-License-Identifier: MIT
 *
 * What the handlers of batches share (h_batch.c).
 */
#pragma once

#include "debate/batch_view.h"
#include "fcgi/req.h"
#include "fcgi/res.h"
#include "store/store_batch.h"

/* The batch of the path's first parameter within the caller's tenant, with its
 * sums. HTTP_OK, or the answer is written. */
enum http_status batch_out_fetch(
    struct req *req, struct res *res, struct store_batch *b) MUST_CHECK;
/* Path of its status. */
const char *batch_out_url(const struct req *req, const char *id);
