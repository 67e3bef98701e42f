/* SPDX-License-Identifier: MIT
 *
 * aragora: the command line.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/cmd.h"

static const struct cmd *const cmds[] = {&cmd_serve, &cmd_debate, &cmd_user,
    &cmd_token, &cmd_migrate, &cmd_copy, &cmd_export, &cmd_verify, &cmd_receipt,
    &cmd_replay, &cmd_eval, &cmd_config, &cmd_routes, &cmd_doctor, &cmd_scaling,
    &cmd_ws};

static const char cmd_exits[] =
    "Exit status: 0 done; 1 it did not come out (a debate that failed, a\n"
    "check that found a fault); 64 wrong usage; 69 database, port or program\n"
    "unavailable; 78 bad settings or database schema.\n";

static void
cmd_print_usage(FILE *to)
{
	fputs("usage: aragora COMMAND [OPTION...]\n\n"
	      "Debates between language models.\n\n",
	    to);
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		fprintf(to, "  %-9s %s\n", cmds[i]->name, cmds[i]->summary);
	fprintf(to,
	    "\n`aragora help COMMAND` tells more. Settings come from the "
	    "environment;\n`aragora config` lists them.\n\n%s",
	    cmd_exits);
}

void
cmd_print_help(const struct cmd *c, FILE *to)
{
	fprintf(to, "usage: aragora %s %s\n\n%s\n\n%s", c->name, c->args,
	    c->summary, c->help);
}

enum cmd_exit
cmd_usage(const struct cmd *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "aragora %s: ", c->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see `aragora help %s`\n", c->name);
	return CMD_USAGE;
}

enum cmd_exit
cmd_fail(enum cmd_exit code, const char *what, const struct err_info *info)
{
	fprintf(stderr, "aragora: %s: %s%s%s\n", what, info->field,
	    *info->field != '\0' ? ": " : "", info->text);
	return code;
}

bool
cmd_common(int option, const char *value)
{
	switch (option) {
	case 'D':
		settings_override(SETTINGS_data_dir, value);
		return true;
	case 'U':
		settings_override(SETTINGS_database_url, value);
		return true;
	case 'R':
		settings_override(SETTINGS_redis_url, value);
		return true;
	}
	return false;
}

enum cmd_exit
cmd_open(const char *program, bool may_create, struct settings **settings,
    struct store **store)
{
	struct err_info info = {0};
	struct store_schema schema = {0};
	int applied;

	*settings = settings_start(program);
	enum err e = store_schema(*settings, &schema, &info);
	if (e == ERR_OK && schema.have == 0 && may_create)
		e = store_migrate(*settings, &applied, &info);
	if (e == ERR_OK)
		e = store_open(store, *settings, &info);
	if (e == ERR_OK)
		return CMD_OK;
	store_close(store);
	settings_free(settings);
	return cmd_fail(
	    e == ERR_SCHEMA || e == ERR_INVALID ? CMD_CONFIG : CMD_UNAVAILABLE,
	    "database", &info);
}

static const struct cmd *
cmd_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (str_eq(cmds[i]->name, name))
			return cmds[i];
	return NULL;
}

static int
cmd_help(const char *name)
{
	const struct cmd *c = cmd_find(name);

	if (name == NULL) {
		cmd_print_usage(stdout);
		return CMD_OK;
	}
	if (c == NULL) {
		fprintf(stderr, "aragora: no command '%s'\n", name);
		return CMD_USAGE;
	}
	cmd_print_help(c, stdout);
	return CMD_OK;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	struct store_schema schema;

	if (name == NULL) {
		cmd_print_usage(stderr);
		return CMD_USAGE;
	}
	if (str_eq(name, "--help") || str_eq(name, "-h") ||
	    str_eq(name, "help"))
		return cmd_help(argc > 2 ? argv[2] : NULL);
	if (str_eq(name, "--version")) {
		store_schema_range(&schema);
		printf("aragora " PACKAGE_VERSION
		       "\ndatabase schema %lld to %lld\n",
		    (long long)schema.min, (long long)schema.want);
		return CMD_OK;
	}
	if (str_eq(name, "--build-options")) {
		puts(ARAGORA_BUILD_OPTIONS);
		return CMD_OK;
	}
	const struct cmd *c = cmd_find(name);
	if (c == NULL) {
		fprintf(stderr,
		    "aragora: no command '%s'; see `aragora help`\n", name);
		return CMD_USAGE;
	}
	return (int)c->run(argc - 1, argv + 1);
}
