/* SPDX-License-Identifier: MIT
 *
 * The strict JSON check behind json_parse and json_validate.
 */
#pragma once

#include "base/json.h"

enum err json_check(const char *text, size_t len,
    const struct json_limits *limits, struct err_info *info) MUST_CHECK;
