/* SPDX-License-Identifier: MIT
 *
 * Which web pages may call: those of ARAGORA_ALLOWED_ORIGINS and our own.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/* Is origin in the comma-separated list ("*" = every one)? */
bool cors_is_listed(const char *allowed, const char *origin);
/* Is origin the site that host (the Host header) names? */
bool cors_is_own(const char *origin, const char *host);
/* Header lines for an allowed origin; is_preflight adds what may be asked. */
void cors_headers(struct buf *out, const char *origin, bool is_preflight);
