/* SPDX-License-Identifier: MIT
 *
 * What the handlers of exports share (h_export.c).
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"

#define EXPORT_PIECE_MAX ((size_t)256 << 20)

/* The receipt of a finished debate on the arena; NULL while it runs. */
enum err export_out_seal(const struct app *app, struct arena *a,
    const struct store_debate *row, const struct store_receipt **out)
    MUST_CHECK;
/* A piece of a file as the inside of a JSON string. */
void export_out_quote(struct buf *out, const struct buf *piece);
