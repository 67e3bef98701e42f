/* SPDX-License-Identifier: MIT
 *
 * aragora ws: look at the bridges of this machine and tell them what to do,
 * over the socket that each has in the data folder.
 */
#include <getopt.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cmd.h"

#define WS_ANSWER_MAX (256u << 20)
#define WS_WAIT_S     10

/* fd, -1 when nobody is there. */
static int
ws_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WS_WAIT_S};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The last line of an answer: "done", how many, and what was wrong. */
static bool
ws_end(const char *line, size_t len, int64_t *count, char **error)
{
	struct arena *a = arena_new(0);
	const struct json_limits limits = {
	    .max_bytes = len + 1, .max_depth = 8};
	const struct json *j = NULL;
	int64_t n = 0;

	bool is_end = json_parse(a, line, len, &limits, &j, NULL) == ERR_OK &&
	    json_kind(json_get(j, "done")) == JSON_BOOL;
	if (is_end && json_int(json_get(j, "count"), &n))
		*count += n;
	if (is_end && json_get_str(j, "error", NULL) != NULL)
		*error = mem_strdup(json_get_str(j, "error", ""));
	arena_free(&a);
	return is_end;
}

/* Print what comes line by line, but for the last one. */
static enum cmd_exit
ws_read(int fd, int64_t *count)
{
	enum cmd_exit status = CMD_UNAVAILABLE;
	char *error = NULL;
	struct buf b;

	buf_init(&b, WS_ANSWER_MAX);
	for (bool is_end = false; !is_end;) {
		char piece[65536];
		char *end;
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n <= 0)
			break;
		buf_append(&b, piece, (size_t)n);
		while (!is_end && b.len > 0 &&
		    (end = memchr(b.data, '\n', b.len)) != NULL) {
			size_t len = (size_t)(end - b.data);
			is_end = ws_end(b.data, len, count, &error);
			if (is_end)
				status = CMD_OK;
			else
				printf("%.*s\n", (int)len, b.data);
			buf_consume(&b, len + 1);
		}
	}
	if (error != NULL) {
		fprintf(stderr, "aragora ws: %s\n", error);
		status = CMD_NOT_DONE;
	} else if (status != CMD_OK) {
		fprintf(stderr, "aragora ws: no whole answer\n");
	}
	free(error);
	buf_release(&b);
	return status;
}

/* Every bridge that answers; CMD_UNAVAILABLE when there is none. */
static enum cmd_exit
ws_each(const char *data_dir, const char *command, int64_t *count)
{
	char *pattern = mem_printf("%s/ws-*.sock", data_dir);
	enum cmd_exit status = CMD_UNAVAILABLE;
	glob_t found;

	if (glob(pattern, 0, NULL, &found) != 0)
		found = (glob_t){0};
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int fd = ws_connect(found.gl_pathv[i]);
		if (fd < 0)
			continue;
		size_t len = strlen(command);
		status = send(fd, command, len, MSG_NOSIGNAL) == (ssize_t)len
		    ? ws_read(fd, count)
		    : CMD_UNAVAILABLE;
		close(fd);
		if (status != CMD_OK)
			break;
	}
	if (status == CMD_UNAVAILABLE)
		fprintf(stderr, "aragora ws: no bridge answers in '%s'\n",
		    data_dir);
	globfree(&found);
	free(pattern);
	return status;
}

static enum cmd_exit
ws_run(int argc, char **argv)
{
	static const struct option options[] = {
	    CMD_COMMON_OPTIONS, {NULL, 0, NULL, 0}};
	int64_t count = 0;
	char command[256];

	for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_ws, stdout);
			return CMD_OK;
		}
		if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_ws, "bad option");
	}
	const char *verb = optind < argc ? argv[optind] : "";
	bool is_kick = str_eq(verb, "kick");
	const char *id = is_kick && optind + 1 < argc ? argv[optind + 1] : "";
	if (!is_kick && !str_eq(verb, "list") && !str_eq(verb, "drain") &&
	    !str_eq(verb, "stats"))
		return cmd_usage(&cmd_ws, "one of list, kick, drain, stats");
	if (is_kick && !id_is_valid(id))
		return cmd_usage(&cmd_ws, "kick needs the id of a connection");
	if (optind + (is_kick ? 2 : 1) < argc)
		return cmd_usage(&cmd_ws, "unexpected argument");
	snprintf(
	    command, sizeof(command), "%s%s%s\n", verb, is_kick ? " " : "", id);
	struct settings *settings = settings_start("aragora ws");
	enum cmd_exit status = ws_each(settings->data_dir, command, &count);
	settings_free(&settings);
	if (status == CMD_OK && is_kick && count == 0) {
		fprintf(
		    stderr, "aragora ws: there is no connection '%s'\n", id);
		status = CMD_NOT_DONE;
	}
	return status;
}

const struct cmd cmd_ws = {
    .name = "ws",
    .args = "list | kick ID | drain | stats",
    .summary = "look at the bridges of this machine",
    .help =
	"  list     every connection, one JSON object a line\n"
	"  kick ID  close one with 1001: its client may come back at once\n"
	"  drain    what SIGTERM does: no new connections, 1001, the end\n"
	"  stats    each loop: connections, debates, memory of their events\n"
	"\n" CMD_COMMON_HELP,
    .run = ws_run,
};
