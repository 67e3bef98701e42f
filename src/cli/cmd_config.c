/* SPDX-License-Identifier: MIT
 *
 * aragora config: every setting with its value and origin, from the table.
 */
#include <getopt.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/cmd.h"

static const char *
config_origin_name(enum settings_origin o)
{
	switch (o) {
	case SETTINGS_DEFAULT:
		return "default";
	case SETTINGS_ENV:
		return "environment";
	case SETTINGS_FILE:
		return "file";
	case SETTINGS_FLAG:
		return "flag";
	}
	return "";
}

static void
config_print_value(
    const struct settings *s, enum settings_id id, bool with_origin)
{
	const struct settings_row *row = settings_row(id);
	enum settings_origin origin;
	struct buf value;

	buf_init(&value, 8192);
	settings_show(s, id, &value, &origin);
	if (with_origin)
		printf("%-11s ", config_origin_name(origin));
	printf("%s=%s\n", row->env, buf_text(&value));
	buf_release(&value);
}

/* A file for systemd's EnvironmentFile= or a shell's `set -a; . FILE`. */
static void
config_print_example(void)
{
	puts("# SPDX-License-Identifier: MIT\n"
	     "# Produced by `aragora config --env-example`. Every setting with "
	     "its default;\n"
	     "# take the # away from what you change.");
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		printf("\n# %s\n", row->help);
		if (row->is_bounded)
			printf("# %s, %.15g to %.15g\n",
			    *row->unit != '\0' ? row->unit : row->type,
			    row->min, row->max);
		else if (*row->unit != '\0')
			printf("# %s\n", row->unit);
		if (row->is_secret)
			printf("# Secret: %s_FILE may name a file that holds "
			       "it.\n",
			    row->env);
		printf("#%s=%s\n", row->env, row->default_value);
	}
}

static enum cmd_exit
config_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"origin", no_argument, NULL, 'o'},
	    {"env-example", no_argument, NULL, 'e'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	bool with_origin = false;
	bool is_example = false;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_config, stdout);
			return CMD_OK;
		}
		if (c == 'o')
			with_origin = true;
		else if (c == 'e')
			is_example = true;
		else if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_config, "bad option");
	}
	if (optind < argc)
		return cmd_usage(
		    &cmd_config, "'%s' is not expected", argv[optind]);
	if (is_example) {
		config_print_example();
		return CMD_OK;
	}
	struct settings *settings = settings_start("aragora");
	for (int i = 0; i < SETTINGS__COUNT; i++)
		config_print_value(settings, (enum settings_id)i, with_origin);
	settings_free(&settings);
	return CMD_OK;
}

const struct cmd cmd_config = {
    .name = "config",
    .args = "[--origin | --env-example]",
    .summary = "Print every setting; complain about all bad ones.",
    .help = "  --origin            say where each value comes from\n"
	    "  --env-example       print an environment file with the "
	    "defaults\n" CMD_COMMON_HELP "\nSecrets are shown as ********.\n",
    .run = config_run,
};
