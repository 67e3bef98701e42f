/* SPDX-License-Identifier: MIT
 *
 * Inside of aragora: one command is one file that ends in its record; main.c
 * lists the records.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "settings/settings.h"
#include "store/store.h"

/* Exit codes, also in aragora(1). */
enum cmd_exit {
	CMD_OK = 0,
	CMD_NOT_DONE = 1,     /* what was asked for did not come out */
	CMD_USAGE = 64,	      /* EX_USAGE */
	CMD_UNAVAILABLE = 69, /* EX_UNAVAILABLE: database, port, program */
	CMD_CONFIG = 78	      /* EX_CONFIG: bad settings or old schema */
};

struct cmd {
	const char *name;
	const char *args;    /* after the name, for the usage line */
	const char *summary; /* one line */
	const char *help;    /* options and examples */
	enum cmd_exit (*run)(int argc, char **argv); /* argv[0] = name */
};

extern const struct cmd cmd_config, cmd_copy, cmd_debate, cmd_doctor, cmd_eval,
    cmd_export, cmd_migrate, cmd_receipt, cmd_replay, cmd_routes, cmd_scaling,
    cmd_serve, cmd_token, cmd_user, cmd_verify, cmd_ws;

/* The options that several commands share: --data, --database-url,
 * --redis-url override the environment. */
#define CMD_COMMON_OPTIONS                                                     \
	{"data", required_argument, NULL, 'D'},                                \
	    {"database-url", required_argument, NULL, 'U'},                    \
	    {"redis-url", required_argument, NULL, 'R'},                       \
	{                                                                      \
		"help", no_argument, NULL, 'h'                                 \
	}
#define CMD_COMMON_HELP                                                        \
	"  --data DIR          data folder (ARAGORA_DATA_DIR)\n"               \
	"  --database-url URL  database (ARAGORA_DATABASE_URL)\n"              \
	"  --redis-url URL     Redis (ARAGORA_REDIS_URL)\n"
/* Takes a common option; false for any other. */
bool cmd_common(int option, const char *value);

void cmd_print_help(const struct cmd *c, FILE *to);
/* "aragora debate: ...; see `aragora help debate`" and CMD_USAGE. */
enum cmd_exit cmd_usage(const struct cmd *c, const char *fmt, ...) PRINTF(2, 3);
enum cmd_exit cmd_fail(
    enum cmd_exit code, const char *what, const struct err_info *info);

/* Settings with a default data folder for people at a terminal, an open
 * store; CMD_OK or an exit code after an error was printed. Creates an absent
 * SQLite database when may_create. */
enum cmd_exit cmd_open(const char *program, bool may_create,
    struct settings **settings, struct store **store);

/* ---- paths.c ---- */
/* A sibling program: beside this one, else where it was installed. */
char *path_program(const char *name) MUST_CHECK;
/* A data file ("web", "conf/nginx/serve.conf.in"): from a build or source
 * tree around this program, else installed; NULL when nowhere. malloc'd. */
char *path_data(const char *name) MUST_CHECK;
/* A folder with all those above it; false (errno) when it cannot be had. */
bool path_make(const char *path);
/* In PATH and the sbin folders; NULL when nowhere. malloc'd. */
char *path_find(const char *name) MUST_CHECK;
