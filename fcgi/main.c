/* SPDX-License-Identifier: MIT
 *
 * aragora-fcgi: the REST API as a FastCGI or SCGI worker. Stateless: any
 * number of them share a socket, a database and a bus.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "fcgi/api_page.h"
#include "fcgi/app.h"
#include "fcgi/openapi.h"
#include "fcgi/probe.h"
#include "fcgi/router.h"
#include "fcgi/server.h"
#include "limit/client_ip.h"
#include "limit/limit.h"
#include "llm/llm.h"
#include "metrics/heap_report.h"
#include "metrics/metrics.h"
#include "receipt/receipt.h"
#include "redis/redis_pool.h"
#include "settings/settings.h"
#include "store/store.h"
#include "telemetry/tracer.h"

#define MAIN_PROGRAM	 "aragora-fcgi"
#define MAIN_OPENAPI_MAX ((size_t)16 << 20)
#define MAIN_SALT_MAX	 1024
/* glibc gives every thread a heap of its own; two are plenty here. */
#define MAIN_HEAPS 2

struct main_options {
	const char *listen;   /* NULL = inherited */
	const char *protocol; /* name of a transport */
};

static void
main_help(void)
{
	puts("Usage: " MAIN_PROGRAM " [--listen ADDRESS] [--protocol NAME]\n"
	     "Serve the Aragora API to a web server over FastCGI or SCGI.\n"
	     "\n"
	     "  --listen ADDRESS   unix:/path or host:port; without it the\n"
	     "                     socket comes from systemd (LISTEN_FDS) or\n"
	     "                     standard input (spawn-fcgi)\n"
	     "  --protocol NAME    fcgi (default) or scgi\n"
	     "  --help, --version\n"
	     "\n"
	     "Settings come from the environment; `aragora config` lists "
	     "them.\n"
	     "SIGTERM, SIGINT and SIGUSR1 finish the requests in flight and "
	     "end it;\n"
	     "SIGHUP reads the file of ARAGORA_CONFIG again, SIGUSR2 logs what "
	     "the heap\n"
	     "holds if ARAGORA_MEMORY_PROFILING is on.\n"
	     "While the database is away or of another version it answers "
	     "503\n"
	     "and looks again.\n"
	     "Exit status: 0 after that, 64 usage, 71 no socket, 78 bad\n"
	     "settings.");
}

/* Exits for --help, --version and mistakes. */
static void
main_parse(int argc, char **argv, struct main_options *out)
{
	static const struct option longs[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"protocol", required_argument, NULL, 'p'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	*out = (struct main_options){.protocol = "fcgi"};
	while ((c = getopt_long(argc, argv, "l:p:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'l':
			out->listen = optarg;
			break;
		case 'p':
			out->protocol = optarg;
			break;
		case 'h':
			main_help();
			exit(EXIT_SUCCESS);
		case 'V':
			puts(MAIN_PROGRAM " " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		default:
			exit(EX_USAGE);
		}
	}
	if (optind == argc)
		return;
	fprintf(
	    stderr, MAIN_PROGRAM ": unexpected argument '%s'\n", argv[optind]);
	exit(EX_USAGE);
}

static int
main_fail(const char *event, const struct err_info *info, int status)
{
	log_error(event, "error=\"%s%s%s\"", info->field,
	    info->field[0] != '\0' ? " " : "", info->text);
	return status;
}

static int
main_socket(const struct main_options *o, int *fd, struct err_info *info)
{
	enum err e = o->listen == NULL ? listen_inherit(fd)
				       : listen_open(o->listen, fd, info);

	if (e == ERR_OK)
		return EXIT_SUCCESS;
	if (o->listen == NULL)
		err_set(info, e, "listen",
		    "no listening socket was inherited; use spawn-fcgi, "
		    "systemd or --listen");
	return main_fail(
	    "start.listen", info, e == ERR_INVALID ? EX_USAGE : EX_OSERR);
}

static void
main_app_close(struct app *app)
{
	probe_stop(&app->probe);
	auth_close(&app->auth);
	password_close(&app->password);
	cache_close(&app->cache);
	limit_close(&app->limit);
	redis_pool_close(&app->redis);
	receipt_keys_free(&app->receipt_keys);
	bus_close(&app->bus);
	store_close(&app->store);
	router_free(&app->router);
	api_page_free(&app->api_page);
	client_ip_list_free(&app->trusted);
	tracer_stop();
	heap_report_stop();
	metrics_close();
}

/* Answers tell which agents can be called; hosts may have other keys. */
static void
main_cache_open(struct app *app)
{
	struct buf salt;

	buf_init(&salt, MAIN_SALT_MAX);
	for (size_t i = 0; i < llm_agent_count(); i++)
		buf_putc(&salt,
		    llm_agent_is_available(llm_agent_at(i), app->settings, NULL)
			? '+'
			: '-');
	cache_open(&app->cache, app->settings, app->redis, buf_text(&salt));
	buf_release(&salt);
}

/* Everything the requests share. EXIT_SUCCESS or an exit status. */
static int
main_app_open(struct app *app, struct buf *openapi, struct err_info *info)
{
	enum err e = client_ip_list_new(
	    app->settings->trusted_proxies, &app->trusted, info);
	if (e != ERR_OK)
		return main_fail("start.settings", info, EX_CONFIG);
	e = auth_open(&app->auth, app->settings, info);
	if (e != ERR_OK)
		return main_fail("start.auth", info, EX_CONFIG);
	if (password_open(&app->password, app->settings->data_dir, info) !=
	    ERR_OK)
		log_warning("start.passwords", "error=\"%s %s\"", info->field,
		    info->text);
	e = receipt_keys_open(&app->receipt_keys, app->settings, info);
	if (e != ERR_OK)
		return main_fail("start.settings", info, EX_CONFIG);
	if (metrics_open(app->settings, info) != ERR_OK)
		log_warning("start.metrics", "error=\"%s\"", info->text);
	e = tracer_start(app->settings, MAIN_PROGRAM, info);
	if (e != ERR_OK)
		return main_fail("start.traces", info, EX_OSERR);
	heap_report_start(MAIN_PROGRAM);
	e = store_open(&app->store, app->settings, info);
	if (e == ERR_DOWN)
		log_warning("start.store", "error=\"%s\"", info->text);
	else if (e == ERR_SCHEMA)
		log_error("start.store", "error=\"%s\"", info->text);
	else if (e != ERR_OK)
		return main_fail("start.store", info, EX_UNAVAILABLE);
	if (bus_open(&app->bus, app->settings, info) != ERR_OK)
		return main_fail("start.bus", info, EX_UNAVAILABLE);
	if (!str_is_empty(app->settings->redis_url) &&
	    redis_pool_open(&app->redis, app->settings, info) != ERR_OK)
		return main_fail("start.redis", info, EX_CONFIG);
	if (!app->settings->disable_all_rate_limits)
		limit_open(&app->limit, app->settings, app->redis);
	main_cache_open(app);
	app->router = router_new();
	openapi_write(openapi, app->settings);
	app->openapi = buf_text(openapi);
	app->api_page = api_page_new(app->settings);
	app->started_ms = clock_mono_ms();
	id_random(app->trace_seed, sizeof(app->trace_seed));
	if (probe_start(&app->probe, app->settings, app->store, app->bus,
		app->limit) == ERR_OK)
		return EXIT_SUCCESS;
	err_set(info, ERR_IO, "", "cannot start a thread");
	return main_fail("start.probe", info, EX_OSERR);
}

static int
main_serve(const struct main_options *o, const struct transport *transport,
    struct app *app)
{
	struct err_info info = {0};
	struct buf openapi;
	int fd = -1;

	buf_init_for(&openapi, HEAP_TABLES, MAIN_OPENAPI_MAX);
	int status = main_socket(o, &fd, &info);
	if (status == EXIT_SUCCESS)
		status = main_app_open(app, &openapi, &info);
	if (status == EXIT_SUCCESS &&
	    server_run(app, transport, fd, &info) != ERR_OK)
		status = main_fail("start.server", &info, EX_OSERR);
	if (fd >= 0 && o->listen != NULL)
		listen_close(o->listen, fd);
	main_app_close(app);
	buf_release(&openapi);
	return status;
}

static void
main_on_hangup(void *arg)
{
	settings_hangup(MAIN_PROGRAM, arg);
}

int
main(int argc, char **argv)
{
	struct main_options options;
	struct app app = {.settings = NULL};

	main_parse(argc, argv, &options);
	const struct transport *transport = transport_find(options.protocol);
	if (transport == NULL) {
		fprintf(stderr,
		    MAIN_PROGRAM ": protocol '%s' is neither fcgi nor scgi\n",
		    options.protocol);
		return EX_USAGE;
	}
	struct settings *settings = settings_start(MAIN_PROGRAM);
	heap_report_signals();
	app.settings = settings;
	app.on_hangup = main_on_hangup;
	app.hangup_arg = settings;
	mallopt(M_ARENA_MAX, MAIN_HEAPS);
	int status = EX_OSERR;
	/* libfcgi sets signal handlers of its own when it starts; ours are
	 * blocked from before the first thread and waited for. */
	if (server_block_signals() == ERR_OK && transport->init() == ERR_OK)
		status = main_serve(&options, transport, &app);
	settings_free(&settings);
	return status;
}
