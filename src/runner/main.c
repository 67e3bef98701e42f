/* SPDX-License-Identifier: MIT
 *
 * aragora-runner: claims queued debates and drives them.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/log.h"
#include "base/service.h"
#include "base/str.h"
#include "cache/cache.h"
#include "metrics/heap_report.h"
#include "metrics/metrics.h"
#include "receipt/receipt.h"
#include "redis/redis_pool.h"
#include "runner/drive.h"
#include "runner/hook.h"
#include "settings/settings.h"
#include "telemetry/tracer.h"

/* More at once than fits: the heartbeat finds the rest. */
#define RUNNER_OVER_MAX (64u << 10)

/* What the end may take, as told to a service manager. */
#define RUNNER_STOP_MS 40000

static const char runner_usage[] =
    "usage: aragora-runner [--id NAME] [--debate ID | --once]\n"
    "\n"
    "Claims queued debates and drives them. Settings come from the\n"
    "environment: see `aragora config`.\n"
    "\n"
    "  --id NAME    name of this runner (default: host, pid and a number)\n"
    "  --debate ID  drive only this debate; exit 0 when it completed, else 1\n"
    "  --once       exit when nothing is queued and nothing runs\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM and SIGINT hand the debates back and end it; SIGHUP reads the\n"
    "file of ARAGORA_CONFIG again, SIGUSR2 logs what the heap holds if\n"
    "ARAGORA_MEMORY_PROFILING is on.\n";

struct runner_main {
	struct loop *loop;
	struct settings *settings;
	struct drive *drive;
	struct hook *hook;    /* NULL: runs one debate and goes */
	atomic_bool is_poked; /* by the bus thread */
	pthread_mutex_t lock;
	struct buf over; /* ids of debates, a line each */
};

/* For the signal handler alone; NULL when there is nothing left to stop. */
static struct loop *_Atomic runner_loop;
static volatile sig_atomic_t runner_signals;
static volatile sig_atomic_t runner_hangups; /* not yet heeded */

static void
runner_on_signal(int sig UNUSED)
{
	if (++runner_signals > 1)
		_exit(EX_TEMPFAIL); /* the second one means now */
	struct loop *loop = atomic_load(&runner_loop);
	if (loop != NULL)
		loop_stop(loop);
}

static void
runner_on_hangup(int sig UNUSED)
{
	struct loop *loop = atomic_load(&runner_loop);

	runner_hangups = 1;
	if (loop != NULL)
		loop_wake(loop);
}

static void
runner_set_signals(struct loop *loop)
{
	struct sigaction hangup = {
	    .sa_handler = runner_on_hangup, .sa_flags = SA_RESTART};
	struct sigaction stop = {.sa_handler = runner_on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	atomic_store(&runner_loop, loop);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGHUP, &hangup, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

/* A call takes a descriptor, and what a shell allows is soon used up. */
static void
runner_raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &files);
}

/* Debates that others have ended. */
static void
runner_take_over(struct runner_main *m)
{
	struct arena *a = arena_new(0);
	size_t n;

	pthread_mutex_lock(&m->lock);
	char **ids = str_split(a, buf_text(&m->over), '\n', &n);
	buf_clear(&m->over);
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		if (id_is_valid(ids[i]))
			drive_over(m->drive, ids[i]);
	arena_free(&a);
}

static void
runner_on_wake(void *arg)
{
	struct runner_main *m = arg;

	if (runner_hangups != 0) {
		runner_hangups = 0;
		settings_hangup("aragora-runner", m->settings);
	}
	runner_take_over(m);
	drive_deliver(m->drive);
	if (atomic_exchange(&m->is_poked, false))
		drive_poke(m->drive);
}

static void
runner_on_message(void *arg, const struct bus_message *message)
{
	struct runner_main *m = arg;

	if (message->payload_len > 0 && message->payload_len <= ID_MAX) {
		pthread_mutex_lock(&m->lock);
		buf_append(&m->over, message->payload, message->payload_len);
		buf_puts(&m->over, "\n");
		pthread_mutex_unlock(&m->lock);
	}

	atomic_store(&m->is_poked, true);
	loop_wake(m->loop);
}

static bool
runner_options(int argc, char **argv, struct drive_options *o)
{
	static const struct option longs[] = {
	    {"id", required_argument, NULL, 'i'},
	    {"debate", required_argument, NULL, 'd'},
	    {"once", no_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'i':
			o->id = optarg;
			break;
		case 'd':
			o->only_id = optarg;
			break;
		case 'o':
			o->is_once = true;
			break;
		case 'h':
			fputs(runner_usage, stdout);
			exit(0);
		case 'v':
			puts("aragora-runner " PACKAGE_VERSION);
			exit(0);
		default:
			return false;
		}
	}
	return optind == argc && (o->id == NULL || id_is_valid(o->id));
}

static enum err
runner_run(struct runner_main *m, struct drive_options *o)
{
	const struct bus_sub_ops ops = {
	    .on_message = runner_on_message, .arg = m};
	struct loop_timer alive;
	struct bus_sub *sub = NULL;
	struct err_info info = {0};

	enum err e = drive_new(&m->drive, o);
	if (e != ERR_OK)
		return e;
	if (o->only_id == NULL)
		e = hook_new(&m->hook, o->settings, o->store);
	if (e != ERR_OK)
		return e;
	loop_on_wake(m->loop, runner_on_wake, m);
	e = bus_sub_open(&sub, o->settings, "runner", true, &ops, &info);
	if (e != ERR_OK) /* polling finds the work too */
		log_warning("bus.unavailable", "reason=%s", info.text);
	log_info("runner.start", "runner=%s capacity=%lld database=%s", o->id,
	    (long long)o->settings->max_concurrent_debates,
	    store_kind(o->store));
	service_watch_loop(m->loop, &alive);
	service_ready("up to %lld debates at once",
	    (long long)o->settings->max_concurrent_debates);
	e = loop_run(m->loop);
	loop_timer_del(m->loop, &alive);
	service_stopping(RUNNER_STOP_MS);
	bus_sub_close(&sub);
	return e;
}

/* Nothing is kept here, but dropped where it is. */
static enum err
runner_open_cache(
    struct drive_options *o, struct redis_pool **redis, struct err_info *info)
{
	enum err e = ERR_OK;

	if (!str_is_empty(o->settings->redis_url))
		e = redis_pool_open(redis, o->settings, info);
	if (e == ERR_OK)
		cache_open(&o->cache, o->settings, *redis, "");
	return e;
}

int
main(int argc, char **argv)
{
	struct drive_options o = {0};
	struct runner_main m = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct err_info info = {0};
	char name[ID_SIZE];

	buf_init(&m.over, RUNNER_OVER_MAX);
	if (!runner_options(argc, argv, &o)) {
		fputs(runner_usage, stderr);
		return EX_USAGE;
	}
	struct settings *settings = settings_start("aragora-runner");
	heap_report_signals();
	o.settings = settings;
	m.settings = settings;
	if (o.id == NULL) {
		id_make(name, "run_", 6);
		o.id = name;
	}
	struct receipt_keys *keys = NULL;
	if (receipt_keys_open(&keys, settings, &info) != ERR_OK) {
		log_error(
		    "start.settings", "error=\"%s %s\"", info.field, info.text);
		return EX_CONFIG;
	}
	o.receipt_keys = keys;
	enum err e = store_open(&o.store, settings, &info);
	if (o.store == NULL) {
		log_error("store.open", "%s", info.text);
		return EX_UNAVAILABLE;
	}
	if (e == ERR_SCHEMA)
		log_error("store.schema", "%s", info.text);
	else if (e != ERR_OK)
		log_warning("store.down", "%s", info.text);
	if (e == ERR_SCHEMA && (o.is_once || o.only_id != NULL))
		return EX_CONFIG; /* nobody waits for these */
	struct redis_pool *redis = NULL;
	if (bus_open(&o.bus, settings, &info) != ERR_OK ||
	    runner_open_cache(&o, &redis, &info) != ERR_OK ||
	    loop_new(&m.loop) != ERR_OK) {
		log_error("runner.start", "%s", info.text);
		return EX_CONFIG;
	}
	if (metrics_open(settings, &info) != ERR_OK)
		log_warning("metrics.open", "%s", info.text);
	if (tracer_start(settings, "aragora-runner", &info) != ERR_OK) {
		log_error("start.traces", "error=\"%s\"", info.text);
		return EX_OSERR;
	}
	heap_report_start("aragora-runner");
	o.loop = m.loop;
	runner_set_signals(m.loop);
	runner_raise_files();
	e = runner_run(&m, &o);
	hook_free(&m.hook);
	if (m.drive != NULL)
		drive_stop(m.drive);
	bool is_success = m.drive != NULL && drive_is_success(m.drive);
	drive_free(&m.drive);
	log_info("runner.stop", "runner=%s", o.id);
	tracer_stop();
	cache_close(&o.cache);
	redis_pool_close(&redis);
	heap_report_stop();
	metrics_close();
	bus_close(&o.bus);
	store_close(&o.store);
	atomic_store(&runner_loop, NULL);
	loop_free(&m.loop);
	buf_release(&m.over);
	receipt_keys_free(&keys);
	settings_free(&settings);
	if (e != ERR_OK)
		return EX_OSERR;
	return o.only_id == NULL || is_success ? 0 : 1;
}
