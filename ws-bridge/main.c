/* SPDX-License-Identifier: MIT
 *
 * aragora-ws: the WebSocket bridge. One event loop, one thread for the bus,
 * one for the store.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store.h"
#include "base/listen.h"
#include "ws-bridge/server.h"

#define WS_PROGRAM "aragora-ws"

static const char ws_usage[] =
    "Usage: " WS_PROGRAM " [--listen unix:/path|host:port]\n"
    "Relay debate events to WebSocket clients.\n"
    "\n"
    "  -l, --listen ADDRESS  where to accept connections; without it the\n"
    "                        socket comes from systemd or descriptor 0\n"
    "  -h, --help            show this text\n"
    "  -V, --version         show the version\n"
    "\n"
    "Settings come from the environment; `aragora config` lists them.\n"
    "SIGTERM and SIGINT close every connection with 1001 and end the "
    "program.\n";

static void
ws_options(int argc, char **argv, const char **address)
{
	static const struct option options[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "l:hV", options, NULL)) != -1;)
		switch (c) {
		case 'l':
			*address = optarg;
			break;
		case 'h':
			fputs(ws_usage, stdout);
			exit(EX_OK);
		case 'V':
			puts(WS_PROGRAM " " PACKAGE_VERSION);
			exit(EX_OK);
		default:
			fputs(ws_usage, stderr);
			exit(EX_USAGE);
		}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", WS_PROGRAM,
		    argv[optind]);
		exit(EX_USAGE);
	}
}

static int
ws_fail(int status, const struct err_info *info)
{
	if (info->field[0] != '\0')
		fprintf(stderr, "%s: %s: %s\n", WS_PROGRAM, info->field,
		    info->text);
	else
		fprintf(stderr, "%s: %s\n", WS_PROGRAM, info->text);
	return status;
}

static int
ws_listen(const char *address, int *fd)
{
	struct err_info info = {0};
	enum err e = address != NULL ? listen_open(address, fd, &info)
				     : listen_inherit(fd);

	if (e == ERR_OK)
		return EX_OK;
	if (address == NULL)
		err_set(&info, e, "--listen",
		    "no address given and no socket inherited");
	return ws_fail(address == NULL ? EX_USAGE : EX_OSERR, &info);
}

static void
ws_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct signalfd_siginfo si;

	if (read(w->fd, &si, sizeof(si)) != sizeof(si))
		return;
	log_info("ws.drain", "signal=%u", si.ssi_signo);
	server_drain(w->arg);
}

/* Termination arrives as an event of the loop. Blocked before the threads
 * start, so that none of them takes it. */
static int
ws_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
ws_run(const struct settings *settings, struct store *store, struct auth *auth,
    int listen_fd, int signal_fd)
{
	struct loop_watch signals = {.fd = signal_fd, .fn = ws_on_signal};
	struct server *srv = NULL;
	struct loop *loop = NULL;
	struct err_info info = {.text = "cannot start the event loop"};
	int status = EX_OSERR;

	if (loop_new(&loop) != ERR_OK)
		return ws_fail(status, &info);
	if (server_open(&srv, loop, listen_fd, settings, store, auth, &info) !=
	    ERR_OK) {
		ws_fail(status, &info);
		goto out;
	}
	signals.arg = srv;
	if (loop_watch_add(loop, &signals, EPOLLIN) != ERR_OK) {
		ws_fail(status, &info);
		goto out;
	}
	log_info("ws.ready", "store=%s", store_kind(store));
	if (loop_run(loop) == ERR_OK)
		status = EX_OK;
	log_info("ws.stopped", "status=%d", status);
out:
	server_close(&srv);
	loop_free(&loop);
	return status;
}

int
main(int argc, char **argv)
{
	struct store *store = NULL;
	struct auth *auth = NULL;
	struct err_info info = {0};
	const char *address = NULL;
	int listen_fd;

	ws_options(argc, argv, &address);
	struct settings *settings = settings_start(WS_PROGRAM);
	int signal_fd = ws_signals();
	int status = ws_listen(address, &listen_fd);
	if (status != EX_OK || signal_fd < 0)
		goto out;
	if (auth_open(&auth, settings, &info) != ERR_OK) {
		status = ws_fail(EX_CONFIG, &info);
		goto out;
	}
	if (metrics_open(settings, &info) != ERR_OK)
		log_warning("ws.metrics_off", "error=\"%s\"", info.text);
	enum err e = store_open(&store, settings, &info);
	if (store == NULL) {
		status = ws_fail(EX_UNAVAILABLE, &info);
		goto out;
	}
	if (e == ERR_DOWN)
		log_warning("ws.store_down", "error=\"%s\"", info.text);
	if (e == ERR_SCHEMA)
		log_error("ws.store_schema", "error=\"%s\"", info.text);
	status = ws_run(settings, store, auth, listen_fd, signal_fd);
out:
	auth_close(&auth);
	store_close(&store);
	metrics_close();
	settings_free(&settings);
	return status;
}
