/* SPDX-License-Identifier: MIT
 *
 * Who calls, from `Authorization: Bearer` or `X-API-Key` (account/who.h), and
 * may they call this route?
 */
#pragma once

#include "fcgi/req.h"

/* Fills req->caller by the rule of the matched route. ERR_AUTH with *code
 * AUTH_REQUIRED (nothing sent) or INVALID_TOKEN (sent and bad); ERR_DENIED: of
 * a suspended tenant; the store's errors. */
enum err auth_check(struct req *req, const char **code, struct err_info *info)
    MUST_CHECK;
/* ERR_DENIED: the route needs more than the caller may. */
enum err auth_allows(const struct req *req, struct err_info *info) MUST_CHECK;
/* Must callers have a credential on routes of the kind USER? */
enum err auth_is_needed(const struct req *req, bool *is_needed) MUST_CHECK;
/* May this one decide what concerns all of its tenant? Where callers need a
 * credential only an administrator or an internal key, else anybody.
 * ERR_DENIED. */
enum err auth_may_decide(const struct req *req, struct err_info *info)
    MUST_CHECK;
