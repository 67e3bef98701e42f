/* SPDX-License-Identifier: MIT
 *
 * Where spans go and what is said with each message, out of the settings
 * whose names are OpenTelemetry's. Errors name the setting, never a value.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

struct otel_pair {
	const char *key, *value;
};
struct otel_pairs {
	struct otel_pair *rows;
	size_t n;
};

/* The address of the collector's traces on the arena; NULL when neither is
 * set. ERR_INVALID. */
enum err otel_url(struct arena *a, const char *endpoint,
    const char *traces_endpoint, const char **url, struct err_info *info)
    MUST_CHECK;
/* "key=value,..." with values in percent-encoding. ERR_INVALID. */
enum err otel_attributes(struct arena *a, const char *text,
    struct otel_pairs *out, struct err_info *info) MUST_CHECK;
/* The same, with keys and values that are fit for an HTTP header. */
enum err otel_headers(struct arena *a, const char *text, struct otel_pairs *out,
    struct err_info *info) MUST_CHECK;
/* NULL when there is none. */
const char *otel_pairs_get(const struct otel_pairs *pairs, const char *key);
