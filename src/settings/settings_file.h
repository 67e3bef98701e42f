/* SPDX-License-Identifier: MIT
 *
 * The file that ARAGORA_CONFIG names: lines NAME=value, as systemd's
 * EnvironmentFile= and a shell take them. A value may stand in single or
 * double quotes; lines that begin with # or ; and empty ones mean nothing.
 * Names are not looked at here.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

struct settings_line {
	const char *name;
	const char *value;
	int number;
};

struct settings_file {
	const char *path;
	struct settings_line *lines;
	size_t n;
};

/* On the arena. An empty path is an empty file. ERR_NOT_FOUND, ERR_IO,
 * ERR_TOO_LARGE, ERR_SYNTAX (a name twice too); info names file and line. */
enum err settings_file_read(struct arena *a, const char *path,
    struct settings_file *out, struct err_info *info) MUST_CHECK;
/* NULL = it is not there, or empty. */
const char *settings_file_get(const struct settings_file *f, const char *name);
