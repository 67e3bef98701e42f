/* SPDX-License-Identifier: MIT
 *
 * The settings of settings.def, read once at start. Precedence: command line
 * (settings_set before settings_load), then environment, then default. For
 * secrets, ENV_FILE names a file whose content (without its last newline) is
 * the value; an older name of a setting (SETTING_ALIAS) counts when its own
 * name is unset. An empty variable is an unset one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SETTINGS_TYPE_INT    int64_t
#define SETTINGS_TYPE_DOUBLE double
#define SETTINGS_TYPE_BOOL   bool
#define SETTINGS_TYPE_STR    char *
#define SETTINGS_TYPE_ENUM   char *

struct settings {
#define SETTING(field, type, ...) SETTINGS_TYPE_##type field;
#define SETTING_ALIAS(env_name, field)
#include "settings/settings.def"
#undef SETTING
#undef SETTING_ALIAS
};

enum settings_id {
#define SETTING(field, ...) SETTINGS_##field,
#define SETTING_ALIAS(env_name, field)
#include "settings/settings.def"
#undef SETTING
#undef SETTING_ALIAS
	SETTINGS__COUNT
};

enum settings_origin {
	SETTINGS_DEFAULT,
	SETTINGS_ENV,
	SETTINGS_FILE,
	SETTINGS_FLAG
};

/* What a value is and where it came from, for `aragora config`. */
struct settings_row {
	const char *field;
	const char *env;
	const char *type; /* "integer", "number", "boolean", "text", "choice" */
	const char *unit;
	const char *help;
	const char *default_value;
	double min, max;
	bool is_secret;
	bool is_bounded; /* min and max mean something */
};
const struct settings_row *settings_row(enum settings_id id);

/* All settings from the environment. Every bad value is appended to errors,
 * one line each ("ARAGORA_MAX_ROUNDS: 'x' is not an integer from 1 to 50");
 * ERR_INVALID when there is any. Checks across settings (production refuses
 * disabled limits) too. *out is the caller's: settings_free. */
enum err settings_load(struct settings **out, struct buf *errors) MUST_CHECK;
void settings_free(struct settings **s);

/* Overrides the environment for the settings_load calls that follow and for
 * child processes (it is setenv of the row's name, and of a marker that makes
 * settings_show say SETTINGS_FLAG): command-line flags. */
void settings_override(enum settings_id id, const char *value);

/* Value as text ("********" for a secret that is set) and its origin, as the
 * environment says now. */
void settings_show(const struct settings *s, enum settings_id id,
    struct buf *out, enum settings_origin *origin);

/* The common start of every program: load, print errors to stderr and exit 78
 * (EX_CONFIG) when bad, log_init. Never returns NULL. */
struct settings *settings_start(const char *program);
