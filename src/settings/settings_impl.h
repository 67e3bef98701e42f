/* SPDX-License-Identifier: MIT
 *
 * Inside of src/settings/: the table as settings.c makes it of settings.def,
 * and where values are looked for.
 */
#pragma once

#include "base/arena.h"
#include "settings/settings.h"
#include "settings/settings_file.h"

/* Flags of a row. */
#define S_SECRET 1
#define S_RELOAD 2

enum settings_type { S_INT, S_DOUBLE, S_BOOL, S_STR, S_ENUM };

struct settings_def {
	struct settings_row row;
	enum settings_type type;
	size_t offset;
};

struct settings_alias {
	const char *env;
	enum settings_id id;
};

extern const struct settings_def settings_defs[SETTINGS__COUNT];
extern const struct settings_alias settings_aliases[];
extern const size_t settings_n_aliases;

static inline void *
settings_slot(const struct settings *s, const struct settings_def *d)
{
	return (char *)(uintptr_t)s + d->offset;
}

/* Is it a char * of its own? */
static inline bool
settings_is_text(const struct settings_def *d)
{
	return d->type == S_STR || d->type == S_ENUM;
}

/* Where a program looks: the environment, then the file. */
struct settings_place {
	struct arena *arena;
	struct settings_file file;
};

/* Reads the file that the environment names now. */
enum err settings_place_open(struct settings_place *place, struct arena *a,
    struct err_info *info) MUST_CHECK;
