/* SPDX-License-Identifier: MIT
 *
 * REQUEST_URI taken apart, once: path segments and query parameters, each
 * percent-decoded after the split, so that %2F in an id is not a separator.
 * Pure; knows no route.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

#define URL_SEGMENTS_MAX 16
#define URL_PARAMS_MAX	 64
#define URL_BYTES_MAX	 16384

struct url_param {
	const char *key;
	const char *value;
};

struct url {
	const char *segments[URL_SEGMENTS_MAX];
	size_t n_segments;
	struct url_param *params;
	size_t n_params;
};

/* Texts hang on the arena. prefix (ARAGORA_URL_PREFIX, may be "") is dropped
 * from the front, then the version: /api/v1/x and /api/v2/x become /api/x. A
 * trailing slash is dropped. ERR_INVALID with field "path" or the parameter's
 * key: bad escape, NUL or control character, invalid UTF-8, too many parts.
 * ERR_TOO_LARGE: longer than URL_BYTES_MAX. */
enum err url_parse(struct arena *a, const char *uri, const char *prefix,
    struct url *out, struct err_info *info) MUST_CHECK;

/* The first parameter of that key, NULL when absent. */
const char *url_param(const struct url *u, const char *key);
