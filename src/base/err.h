/* SPDX-License-Identifier: MIT
 *
 * The one error enumeration. A function that can fail returns it, gives its
 * results through out-pointers, and takes a struct err_info last where a text
 * helps. errno never crosses a function boundary. fcgi/ keeps the HTTP status
 * of each code beside it.
 */
#pragma once

#include "base/attr.h"

#define ERR_LIST(X)                                                            \
	X(ERR_OK, "ok")                                                        \
	X(ERR_INVALID, "invalid value")                                        \
	X(ERR_SYNTAX, "malformed input")                                       \
	X(ERR_TOO_LARGE, "too large")                                          \
	X(ERR_NOT_FOUND, "not found")                                          \
	X(ERR_CONFLICT, "conflict with the current state")                     \
	X(ERR_EXISTS, "already exists")                                        \
	X(ERR_AUTH, "authentication required or refused")                      \
	X(ERR_DENIED, "not allowed")                                           \
	X(ERR_BUSY, "no capacity within the time allowed")                     \
	X(ERR_RETRY, "transient failure, retry the whole transaction")         \
	X(ERR_DOWN, "service unreachable")                                     \
	X(ERR_UNCERTAIN, "outcome of the write is unknown")                    \
	X(ERR_FENCED, "lease lost to another runner")                          \
	X(ERR_FULL, "storage full")                                            \
	X(ERR_SCHEMA, "database schema does not fit this binary")              \
	X(ERR_TIMEOUT, "timed out")                                            \
	X(ERR_CANCELLED, "cancelled")                                          \
	X(ERR_CLOSED, "closed by the other side")                              \
	X(ERR_AGAIN, "would block")                                            \
	X(ERR_IO, "input/output error")                                        \
	X(ERR_UNSUPPORTED, "not supported")                                    \
	X(ERR_INTERNAL, "internal error")

enum err {
#define X(id, text) id,
	ERR_LIST(X)
#undef X
	    ERR__COUNT
};

/* What failed, for a person: `field` names the offending input or setting
 * ("agents", "ARAGORA_RATE_LIMIT") or is empty; `text` is lower case without a
 * full stop. Fixed size: no ownership. */
struct err_info {
	char field[64];
	char text[320];
};

/* Static text for a code. */
const char *err_text(enum err e);

/* Fill info (may be NULL) and return e, so that a failure is one statement:
 *   return err_set(info, ERR_INVALID, "rounds", "must be 1 to %d", max); */
enum err err_set(struct err_info *info, enum err e, const char *field,
    const char *fmt, ...) PRINTF(4, 5);
