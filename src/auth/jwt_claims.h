/* SPDX-License-Identifier: MIT
 *
 * What a token's payload must say, once its signature is known to be good.
 */
#pragma once

#include "auth/jwt.h"
#include "base/json.h"

enum err jwt_claims_read(struct arena *a, const struct json *payload,
    const struct jwt_policy *policy, int64_t now_us, struct jwt_claims *out,
    struct err_info *info) MUST_CHECK;

/* ERR_AUTH with this text. */
enum err jwt_refuse(struct err_info *info, const char *why);
