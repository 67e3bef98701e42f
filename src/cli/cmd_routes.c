/* SPDX-License-Identifier: MIT
 *
 * aragora routes: the REST API from its table.
 */
#include <getopt.h>

#include "cli/cmd.h"
#include "fcgi/routes.h"

static enum cmd_exit
routes_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c != 'h')
			return cmd_usage(&cmd_routes, "bad option");
		cmd_print_help(&cmd_routes, stdout);
		return CMD_OK;
	}
	if (optind < argc)
		return cmd_usage(
		    &cmd_routes, "'%s' is not expected", argv[optind]);
	for (size_t i = 0; i < route_count(); i++) {
		const struct route *r = route_at(i);
		printf("%-6s %-32s %-8s %s\n", http_method_name(r->method),
		    r->pattern, route_auth_name(r->auth), r->summary);
	}
	return CMD_OK;
}

const struct cmd cmd_routes = {
    .name = "routes",
    .args = "",
    .summary = "List the routes of the REST API.",
    .help = "Columns: method, path, credential, what it does. Paths under "
	    "/api are\nserved under /api/v1 and /api/v2 too. "
	    "/api/openapi.json has the details.\n",
    .run = routes_run,
};
