/* SPDX-License-Identifier: MIT
 *
 * aragora-ws: the WebSocket bridge. A thread for each event loop, one for the
 * bus, two that ask the store, one that tells it of this bridge.
 */
#include <getopt.h>
#include <sched.h>
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
#include "base/loop.h"
#include "base/service.h"
#include "metrics/heap_report.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store.h"
#include "telemetry/tracer.h"
#include "ws-bridge/admin.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/presence.h"
#include "ws-bridge/relay.h"
#include "ws-bridge/workers.h"

#define WS_PROGRAM   "aragora-ws"
#define WS_LOOPS_MAX 64
#define WS_LAG_MS    5000
#define WS_CLOSE_MS  10000 /* for what follows the drain */

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
    "program;\na second one ends it at once. SIGHUP reads the file of "
    "ARAGORA_CONFIG again,\n"
    "SIGUSR2 logs what the heap holds if ARAGORA_MEMORY_PROFILING is on.\n";

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

/* The thread that main is runs a loop of its own: signals, and the end of the
 * workers. */
struct ws_main {
	struct loop *loop;
	struct settings *settings;
	struct bridge bridge;
	struct workers *workers;
	struct admin *admin;
	struct presence *presence;
	struct loop_watch signals;
	struct loop_timer alive;
	struct loop_timer lag_tick;
	bool is_draining;
};

static size_t
ws_count_loops(const struct settings *s)
{
	cpu_set_t set;
	int n = 1;

	if (s->ws_loops > 0)
		return (size_t)s->ws_loops;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n > WS_LOOPS_MAX ? WS_LOOPS_MAX : (size_t)n;
}

static int
ws_listen(const char *address, int *fds, size_t n)
{
	struct err_info info = {0};
	enum err e;

	if (address != NULL) {
		e = listen_open_each(address, fds, n, &info);
		return e == ERR_OK ? EX_OK : ws_fail(EX_OSERR, &info);
	}
	e = listen_inherit(&fds[0]);
	if (e == ERR_OK)
		e = listen_share(fds, n);
	if (e == ERR_OK)
		return EX_OK;
	err_set(
	    &info, e, "--listen", "no address given and no socket inherited");
	return ws_fail(EX_USAGE, &info);
}

/* Told twice, it ends at once. */
static void
ws_terminate(struct ws_main *m, const char *by)
{
	log_info(m->is_draining ? "ws.stop" : "ws.drain", "by=%s", by);
	service_stopping(m->bridge.times.drain_ms + WS_CLOSE_MS);
	if (m->is_draining)
		loop_stop(m->loop);
	else
		workers_drain(m->workers);
	m->is_draining = true;
}

static void
ws_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct ws_main *m = w->arg;
	struct signalfd_siginfo si;

	while (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGHUP) {
			ws_terminate(m, "signal");
			continue;
		}
		settings_hangup(WS_PROGRAM, m->settings);
		bridge_reload(&m->bridge);
	}
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

/* On a worker's thread: its loop has ended. */
static void
ws_on_end(void *arg)
{
	struct ws_main *m = arg;

	loop_wake(m->loop);
}

static void
ws_on_wake(void *arg)
{
	struct ws_main *m = arg;

	if (!workers_are_running(m->workers))
		loop_stop(m->loop);
}

static void
ws_on_drain(void *arg)
{
	struct ws_main *m = arg;

	if (!m->is_draining)
		ws_terminate(m, "command");
}

static void
ws_on_lag(struct loop_timer *t)
{
	struct ws_main *m = t->arg;

	metric_set(METRIC_WS_LOOP_LAG, atomic_exchange(&m->bridge.lag_ms, 0));
	loop_timer_set(m->loop, t, WS_LAG_MS);
}

/* Takes fds. */
static int
ws_run(struct ws_main *m, const int *fds, size_t n)
{
	struct err_info info = {.text = "cannot start the event loops"};
	int status = EX_OSERR;

	if (workers_start(&m->workers, &m->bridge, fds, n, ws_on_end, m) !=
		ERR_OK ||
	    loop_watch_add(m->loop, &m->signals, EPOLLIN) != ERR_OK) {
		ws_fail(status, &info);
		goto out;
	}
	loop_on_wake(m->loop, ws_on_wake, m);
	if (!m->bridge.is_echo &&
	    admin_open(&m->admin, m->loop, m->settings, m->workers, ws_on_drain,
		m, &info) != ERR_OK)
		log_warning("ws.admin_off", "error=\"%s\"", info.text);
	if (!m->bridge.is_echo &&
	    presence_start(&m->presence, m->bridge.store) != ERR_OK)
		log_warning(
		    "ws.presence_off", "error=\"cannot start a thread\"");
	log_info("ws.ready", "store=%s loops=%zu",
	    m->bridge.is_echo ? "none" : store_kind(m->bridge.store), n);
	m->lag_tick = (struct loop_timer){.fn = ws_on_lag, .arg = m};
	loop_timer_set(m->loop, &m->lag_tick, WS_LAG_MS);
	service_watch_loop(m->loop, &m->alive);
	service_ready("%zu loops", n);
	if (loop_run(m->loop) == ERR_OK)
		status = EX_OK;
	loop_timer_del(m->loop, &m->lag_tick);
	loop_timer_del(m->loop, &m->alive);
out:
	workers_stop(&m->workers);
	presence_stop(&m->presence);
	admin_close(&m->admin);
	log_info("ws.stopped", "status=%d", status);
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
	if (tracer_start(settings, WS_PROGRAM, &info) != ERR_OK)
		return ws_fail(EX_OSERR, &info);
	heap_report_start(WS_PROGRAM);
	enum err e = store_open(&b->store, settings, &info);
	if (b->store == NULL)
		return ws_fail(EX_UNAVAILABLE, &info);
	if (e == ERR_DOWN)
		log_warning("ws.store_down", "error=\"%s\"", info.text);
	if (e == ERR_SCHEMA)
		log_error("ws.store_schema", "error=\"%s\"", info.text);
	if (relay_open(&b->relay, settings, b->store, b->auth, &info) != ERR_OK)
		return ws_fail(EX_OSERR, &info);
	return EX_OK;
}

/* Settings, options and the socket; EX_OK or why not. */
static int
ws_prepare(struct ws_main *m, const struct ws_options *o, int *fds, size_t *n)
{
	struct err_info info = {.text = "cannot make an event loop"};

	m->signals = (struct loop_watch){
	    .fd = ws_signals(), .fn = ws_on_signal, .arg = m};
	if (m->signals.fd < 0 || loop_new(&m->loop) != ERR_OK)
		return ws_fail(EX_OSERR, &info);
	if (bridge_init(&m->bridge, m->settings, o->is_echo, &info) != ERR_OK ||
	    (o->times != NULL &&
		bridge_set_times(&m->bridge, o->times, &info) != ERR_OK))
		return ws_fail(EX_CONFIG, &info);
	*n = ws_count_loops(m->settings);
	return ws_listen(o->address, fds, *n);
}

int
main(int argc, char **argv)
{
	struct ws_options options = {0};
	struct ws_main m = {0};
	int fds[WS_LOOPS_MAX];
	size_t n = 0;

	ws_options(argc, argv, &options);
	m.settings = settings_start(WS_PROGRAM);
	heap_report_signals();
	int status = ws_prepare(&m, &options, fds, &n);
	if (status == EX_OK)
		status = ws_open(&m.bridge, m.settings);
	if (status == EX_OK)
		status = ws_run(&m, fds, n);
	relay_close(&m.bridge.relay);
	auth_close(&m.bridge.auth);
	store_close(&m.bridge.store);
	bridge_release(&m.bridge);
	loop_free(&m.loop);
	tracer_stop();
	heap_report_stop();
	metrics_close();
	settings_free(&m.settings);
	return status;
}
