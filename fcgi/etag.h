/* SPDX-License-Identifier: MIT
 *
 * Validators of answers (RFC 9110, 8.8 and 13.1.2). A handler that can tell
 * without the work that a caller has the answer asks etag_is_known first; all
 * other reads are tagged by the dispatcher, by what they say.
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"

/* Of the answer that follows: tag without quotes; is_weak: the same in what
 * it means, not byte by byte. True, and the status is 304, when the caller has
 * it. */
bool etag_is_known(
    const struct req *req, struct res *res, const char *tag, bool is_weak);

#define ETAG_SIZE 35 /* of a body's, with its quotes and NUL */
/* The strong tag of a whole body into out[ETAG_SIZE]. */
void etag_of(const void *body, size_t len, char *out);

/* Does If-None-Match name it, or any? Weak comparison. */
bool etag_is_listed(const char *header, const char *etag);
