/* SPDX-License-Identifier: MIT
 *
 * Who calls, from `Authorization: Bearer` or `X-API-Key`: the static
 * ARAGORA_API_TOKEN, a token of the store or a signed token of a user. Secrets
 * are compared in constant time and looked up by their hash.
 */
#pragma once

#include "fcgi/req.h"

/* Fills req->caller by the rule of the matched route. ERR_AUTH with *code
 * AUTH_REQUIRED (nothing sent) or INVALID_TOKEN (sent and bad); the store's
 * errors. */
enum err auth_check(struct req *req, const char **code, struct err_info *info)
    MUST_CHECK;
