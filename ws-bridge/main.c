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
#include "base/listen.h"
#include "base/log.h"
#include "base/service.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/server.h"

#define WS_PROGRAM "aragora-ws"
/* What draining may take, as told to a service manager. */
#define WS_STOP_MS 40000

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
    "program; SIGHUP reads the file of ARAGORA_CONFIG again.\n";

struct ws_options {
	const char *address; /* NULL = inherited */
	const char *times;   /* NULL = as they are */
	bool is_echo;
};

static void
ws_options(int argc, char **argv, struct ws_options *o)
{
	static const struct option options[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"echo", no_argument, NULL, 'E'}, /* these two for tests */
	    {"times", required_argument, NULL, 'T'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "l:hV", options, NULL)) != -1;)
		switch (c) {
		case 'l':
			o->address = optarg;
			break;
		case 'E':
			o->is_echo = true;
			break;
		case 'T':
			o->times = optarg;
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

struct ws_signal {
	struct loop_watch watch;
	struct server *server;
	struct settings *settings;
};

static void
ws_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct ws_signal *s = w->arg;
	struct signalfd_siginfo si;

	if (read(w->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		settings_hangup(WS_PROGRAM, s->settings);
		return;
	}
	log_info("ws.drain", "signal=%u", si.ssi_signo);
	service_stopping(WS_STOP_MS);
	server_drain(s->server);
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
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
ws_run(struct bridge *bridge, struct settings *settings, int listen_fd,
    int signal_fd)
{
	struct ws_signal signals = {.settings = settings,
	    .watch = {.fd = signal_fd, .fn = ws_on_signal, .arg = &signals}};
	struct loop_timer alive;
	struct server *srv = NULL;
	struct loop *loop = NULL;
	struct err_info info = {.text = "cannot start the event loop"};
	int status = EX_OSERR;

	if (loop_new(&loop) != ERR_OK)
		return ws_fail(status, &info);
	if (server_open(&srv, loop, listen_fd, bridge, &info) != ERR_OK) {
		ws_fail(status, &info);
		goto out;
	}
	signals.server = srv;
	if (loop_watch_add(loop, &signals.watch, EPOLLIN) != ERR_OK) {
		ws_fail(status, &info);
		goto out;
	}
	log_info("ws.ready", "store=%s",
	    bridge->is_echo ? "none" : store_kind(bridge->store));
	service_watch_loop(loop, &alive);
	service_ready("relaying");
	if (loop_run(loop) == ERR_OK)
		status = EX_OK;
	loop_timer_del(loop, &alive);
	log_info("ws.stopped", "status=%d", status);
out:
	server_close(&srv);
	loop_free(&loop);
	return status;
}

/* What the loops share, beside what bridge_init has made. */
static int
ws_open(struct bridge *b, const struct settings *settings)
{
	struct err_info info = {0};

	if (b->is_echo)
		return EX_OK;
	if (auth_open(&b->auth, settings, &info) != ERR_OK)
		return ws_fail(EX_CONFIG, &info);
	if (metrics_open(settings, &info) != ERR_OK)
		log_warning("ws.metrics_off", "error=\"%s\"", info.text);
	enum err e = store_open(&b->store, settings, &info);
	if (b->store == NULL)
		return ws_fail(EX_UNAVAILABLE, &info);
	if (e == ERR_DOWN)
		log_warning("ws.store_down", "error=\"%s\"", info.text);
	if (e == ERR_SCHEMA)
		log_error("ws.store_schema", "error=\"%s\"", info.text);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	struct ws_options options = {0};
	struct bridge bridge;
	struct err_info info = {0};
	int listen_fd;

	ws_options(argc, argv, &options);
	struct settings *settings = settings_start(WS_PROGRAM);
	int signal_fd = ws_signals();
	int status = EX_CONFIG;
	if (bridge_init(&bridge, settings, options.is_echo, &info) != ERR_OK ||
	    (options.times != NULL &&
		bridge_set_times(&bridge, options.times, &info) != ERR_OK)) {
		ws_fail(status, &info);
		goto out;
	}
	status = ws_listen(options.address, &listen_fd);
	if (status != EX_OK || signal_fd < 0)
		goto out;
	status = ws_open(&bridge, settings);
	if (status == EX_OK)
		status = ws_run(&bridge, settings, listen_fd, signal_fd);
out:
	auth_close(&bridge.auth);
	store_close(&bridge.store);
	bridge_release(&bridge);
	metrics_close();
	settings_free(&settings);
	return status;
}
