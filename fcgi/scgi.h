/* SPDX-License-Identifier: MIT
 *
 * The SCGI request header: "<length>:<name>\0<value>\0...,". Pure codec; the
 * whole header must lie in one buffer, and the variables point into it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SCGI_HEADER_MAX 65536 /* bytes within the netstring */
#define SCGI_VARS_MAX	256
/* The longest netstring with its length, colon and comma. */
#define SCGI_BUFFER_MAX (SCGI_HEADER_MAX + 8)

struct scgi_var {
	const char *name;
	const char *value;
};

struct scgi_head {
	size_t size; /* bytes of the netstring; the body begins there */
	uint64_t content_length;
	struct scgi_var vars[SCGI_VARS_MAX];
	size_t n_vars;
};

/* ERR_OK; ERR_AGAIN: the first len bytes are a good beginning, more is needed;
 * ERR_TOO_LARGE, ERR_SYNTAX: never going to be one. Strict: no leading zeros,
 * CONTENT_LENGTH first, SCGI=1, names not empty and, but for
 * the client's headers, unique. */
enum err scgi_parse(const char *data, size_t len, struct scgi_head *out,
    struct err_info *info) MUST_CHECK;
