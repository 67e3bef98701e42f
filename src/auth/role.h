/* SPDX-License-Identifier: MIT
 *
 * What a caller may do, on one scale: a role of the tenant gives a level, the
 * scopes of an API key cap it, a route needs one (routes.def).
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

#define ROLE_LEVELS(X)                                                         \
	X(ROLE_NONE, "none")                                                   \
	X(ROLE_READ, "read")   /* viewer */                                    \
	X(ROLE_WRITE, "write") /* member */                                    \
	X(ROLE_ADMIN,                                                          \
	    "admin") /* admin: members, keys of others, the tenant */          \
	X(ROLE_OWNER, "owner")	     /* owner: its end */                      \
	X(ROLE_OPERATOR, "operator") /* of the server: every tenant */
enum role_level {
#define X(id, text) id,
	ROLE_LEVELS(X)
#undef X
};
const char *role_level_name(enum role_level level);

/* viewer, member, admin, owner; ROLE_NONE for anything else. */
enum role_level role_level(const char *role);

/* What keys of these scopes can reach: read, write, or all for admin. */
enum role_level role_cap(const char *scopes);
/* "read", "write", "admin" and "*", from a comma-separated text, in order and
 * without repetition. ERR_INVALID: another word, or none. */
enum err role_scopes(struct arena *a, const char *text, const char **scopes,
    struct err_info *info) MUST_CHECK;
