/* SPDX-License-Identifier: MIT
 *
 * aragora migrate: the only writer of the schema beside `serve` and `debate`
 * on an empty database.
 */
#include <getopt.h>

#include "base/str.h"
#include "cli/cmd.h"

static enum cmd_exit
migrate_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    CMD_COMMON_OPTIONS, {NULL, 0, NULL, 0}};
	struct err_info info = {0};
	struct store_schema schema;
	int applied = 0;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_migrate, stdout);
			return CMD_OK;
		}
		if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_migrate, "bad option");
	}
	const char *verb = optind < argc ? argv[optind++] : "up";
	if (optind < argc || (!str_eq(verb, "status") && !str_eq(verb, "up")))
		return cmd_usage(&cmd_migrate, "expected status or up");

	struct settings *settings = settings_start("aragora");
	enum err e = str_eq(verb, "up")
	    ? store_migrate(settings, &applied, &info)
	    : ERR_OK;
	if (e == ERR_OK)
		e = store_schema(settings, &schema, &info);
	settings_free(&settings);
	if (e != ERR_OK)
		return cmd_fail(e == ERR_SCHEMA ? CMD_CONFIG : CMD_UNAVAILABLE,
		    "migrate", &info);
	if (str_eq(verb, "up"))
		printf("%d migration%s applied\n", applied,
		    applied == 1 ? "" : "s");
	printf("database schema %lld, program schema %lld%s\n",
	    (long long)schema.have, (long long)schema.want,
	    schema.have == schema.want	    ? ""
		: schema.have < schema.want ? ": run `aragora migrate up`"
					    : ": upgrade the program");
	return schema.have == schema.want ? CMD_OK : CMD_NOT_DONE;
}

const struct cmd cmd_migrate = {
    .name = "migrate",
    .args = "[up | status] [OPTION...]",
    .summary = "Bring the database schema up to date, or show it.",
    .help = CMD_COMMON_HELP,
    .run = migrate_run,
};
