/* SPDX-License-Identifier: MIT
 *
 * The settings of settings.def, read once at start. Precedence: command line
 * (settings_override before settings_load), then environment, then the file
 * that ARAGORA_CONFIG names (settings_file.h), then default. For secrets,
 * ENV_FILE names a file whose content (without its last newline) is the value;
 * an older name of a setting (SETTING_ALIAS) counts when its own name is unset.
 * An empty variable is an unset one.
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
	struct settings_kept *kept; /* of settings_reload */
};

/* A text that was replaced while threads may still read it. */
struct settings_kept {
	struct settings_kept *next;
	char *text;
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
	bool is_reloadable;
};
const struct settings_row *settings_row(enum settings_id id);

/* All settings from the environment. Every bad value is appended to errors,
 * one line each ("ARAGORA_MAX_ROUNDS: 'x' is not an integer from 1 to 50");
 * ERR_INVALID when there is any. Checks across settings (production refuses
 * disabled limits) too. *out is the caller's: settings_free. */
enum err settings_load(struct settings **out, struct buf *errors) MUST_CHECK;
void settings_free(struct settings **s);

/* Read everything again and take over what is marked S_RELOAD, value by value,
 * while other threads go on reading: who uses such a setting reads it at each
 * use. changed lists what differs, "(restart)" behind what is not taken over.
 * ERR_INVALID: something is bad, see errors; nothing has changed. */
enum err settings_reload(
    struct settings *live, struct buf *changed, struct buf *errors) MUST_CHECK;
/* The same on SIGHUP, with a line in the log. */
void settings_hangup(const char *program, struct settings *live);

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
