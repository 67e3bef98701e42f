/* SPDX-License-Identifier: MIT
 *
 * A load generator for a whole installation: requests at times that are fixed
 * beforehand, whatever the server does, and clients that follow debates. It
 * judges the service's objectives. loadgen --help tells the options,
 * docs/load.md how to use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/load/report.h"

enum {
	LOADGEN_OK = 0,
	LOADGEN_CANNOT = 1,
	LOADGEN_USAGE = 2,
	LOADGEN_MISSED = 99
};

#define LOADGEN_TIMEOUT	   30
#define LOADGEN_CONNECT_MS 5000
#define LOADGEN_REPORT_MAX (4u << 20)
#define LOADGEN_HOST_MAX   256
#define LOADGEN_BOUNDS_MAX 32

static const struct loadgen_profile {
	const char *name, *stages;
	size_t connections, n_sse, n_ws, together;
	bool is_search;
	const char *what;
} loadgen_profiles[] = {
#define PROFILE(id, name, stages, conns, sse, ws, together, search, what)      \
	{name, stages, conns, sse, ws, together, search, what},
#include "tests/load/profile.def"
#undef PROFILE
};

struct loadgen {
	/* options */
	const char *url, *report, *only, *stages;
	const struct loadgen_profile *profile;
	double rate, seconds;			    /* 0 = the profile's */
	int64_t connections, n_sse, n_ws, together; /* -1 = the profile's */
	int64_t timeout;
	bool is_quiet;
	const char *bounds[LOADGEN_BOUNDS_MAX];
	size_t n_bounds;
	/* the run */
	char host[LOADGEN_HOST_MAX], port[8], authority[LOADGEN_HOST_MAX + 8];
	struct peer_address to;
	struct run run;
	struct loop_watch signals;
};

static void NORETURN
loadgen_wrong(const char *option, const char *why)
{
	fprintf(stderr, "loadgen: %s: %s\n", option, why);
	fputs("loadgen: --help tells the options\n", stderr);
	exit(LOADGEN_USAGE);
}

static void NORETURN
loadgen_cannot(const char *what, const char *why)
{
	fprintf(stderr, "loadgen: %s: %s\n", what, why);
	exit(LOADGEN_CANNOT);
}

/* ---- options ---- */

static void
loadgen_help(void)
{
	puts("usage: loadgen --url http://HOST[:PORT] [OPTION...]\n\n"
	     "  --profile NAME      kind of load, smoke if it is not told\n"
	     "  --rate R            highest rate, in requests a second\n"
	     "  --seconds S         length of the whole run\n"
	     "  --stages LIST       RATE:SECONDS or FROM-TO:SECONDS, with "
	     "commas between\n"
	     "  --only NAME,...     only these requests of the mix\n"
	     "  --connections N     HTTP connections at most\n"
	     "  --sse N, --ws N     clients that follow a debate, over "
	     "server-sent events\n"
	     "                      or WebSockets\n"
	     "  --together N        so many of them follow the same debate\n"
	     "  --timeout S         an answer or event that takes longer has "
	     "failed (30)\n"
	     "  --slo NAME=BOUND    another bound for an objective\n"
	     "  --report FILE       the report as JSON, - = standard output\n"
	     "  --quiet             no progress and no verdicts on standard "
	     "error\n\n"
	     "The environment variable API_KEY is sent as a bearer token.\n\n"
	     "profiles:");
	for (size_t i = 0; i < ARRAY_LEN(loadgen_profiles); i++)
		printf("  %-10s %s\n", loadgen_profiles[i].name,
		    loadgen_profiles[i].what);
	puts("\nExit status: 0 all objectives are met, 99 one is missed, 1 the "
	     "run could not\nbe made or was interrupted, 2 wrong use.");
}

static const struct loadgen_profile *
loadgen_find_profile(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(loadgen_profiles); i++)
		if (str_eq(loadgen_profiles[i].name, name))
			return &loadgen_profiles[i];
	loadgen_wrong("--profile", "no such profile");
}

static int64_t
loadgen_int(const char *option, int64_t min, int64_t max)
{
	char why[80];
	int64_t n;

	if (str_to_i64(optarg, min, max, &n) == ERR_OK)
		return n;
	snprintf(why, sizeof(why), "must be a whole number, %lld to %lld",
	    (long long)min, (long long)max);
	loadgen_wrong(option, why);
}

static double
loadgen_number(const char *option, double max)
{
	char why[80];
	double n;

	if (str_to_double(optarg, &n) == ERR_OK && n > 0 && n <= max)
		return n;
	snprintf(why, sizeof(why), "must be a number above 0, up to %g", max);
	loadgen_wrong(option, why);
}

static void
loadgen_add_bound(struct loadgen *g)
{
	if (g->n_bounds == LOADGEN_BOUNDS_MAX)
		loadgen_wrong("--slo", "too many");
	g->bounds[g->n_bounds++] = optarg;
}

static void
loadgen_option(struct loadgen *g, int c)
{
	switch (c) {
	case 'u':
		g->url = optarg;
		break;
	case 'p':
		g->profile = loadgen_find_profile(optarg);
		break;
	case 'r':
		g->rate = loadgen_number("--rate", STAGE_RATE_MAX);
		break;
	case 's':
		g->seconds = loadgen_number("--seconds", STAGE_SECONDS_MAX);
		break;
	case 'g':
		g->stages = optarg;
		break;
	case 'o':
		g->only = optarg;
		break;
	case 'c':
		g->connections = loadgen_int("--connections", 1, POOL_MAX);
		break;
	case 'e':
		g->n_sse = loadgen_int("--sse", 0, STREAM_MAX);
		break;
	case 'w':
		g->n_ws = loadgen_int("--ws", 0, STREAM_MAX);
		break;
	case 'm':
		g->together = loadgen_int("--together", 1, STREAM_MAX);
		break;
	case 't':
		g->timeout = loadgen_int("--timeout", 1, 3600);
		break;
	case 'b':
		loadgen_add_bound(g);
		break;
	case 'f':
		g->report = optarg;
		break;
	case 'q':
		g->is_quiet = true;
		break;
	case 'h':
		loadgen_help();
		exit(LOADGEN_OK);
	default: /* getopt has told */
		fputs("loadgen: --help tells the options\n", stderr);
		exit(LOADGEN_USAGE);
	}
}

static void
loadgen_options(struct loadgen *g, int argc, char **argv)
{
	static const struct option options[] = {
	    {"url", required_argument, NULL, 'u'},
	    {"profile", required_argument, NULL, 'p'},
	    {"rate", required_argument, NULL, 'r'},
	    {"seconds", required_argument, NULL, 's'},
	    {"stages", required_argument, NULL, 'g'},
	    {"only", required_argument, NULL, 'o'},
	    {"connections", required_argument, NULL, 'c'},
	    {"sse", required_argument, NULL, 'e'},
	    {"ws", required_argument, NULL, 'w'},
	    {"together", required_argument, NULL, 'm'},
	    {"timeout", required_argument, NULL, 't'},
	    {"slo", required_argument, NULL, 'b'},
	    {"report", required_argument, NULL, 'f'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		loadgen_option(g, c);
	if (optind < argc)
		loadgen_wrong(argv[optind], "is no option");
	if (g->url == NULL)
		loadgen_wrong("--url", "is missing");
}

/* ---- the server ---- */

/* http://HOST[:PORT][/], HOST perhaps [IPv6]. */
static void
loadgen_parse_url(struct loadgen *g)
{
	static const char scheme[] = "http://";
	const char *at = g->url + sizeof(scheme) - 1;

	if (!str_starts(g->url, scheme))
		loadgen_wrong("--url",
		    "must begin with http://; where TLS ends in front of the "
		    "service, name the address behind it");
	size_t n = strcspn(at, "/?#");
	if (at[n] != '\0' && !str_eq(at + n, "/"))
		loadgen_wrong("--url", "must not have a path");
	bool is_v6 = *at == '[';
	const char *end = is_v6 ? memchr(at, ']', n) : NULL;
	const char *host = is_v6 ? at + 1 : at;
	size_t host_len = is_v6 ? end != NULL ? (size_t)(end - host) : 0
				: strcspn(at, ":/?#");
	const char *rest = host + host_len + (is_v6 ? 1 : 0);
	if (host_len == 0 || host_len >= sizeof(g->host) ||
	    n >= sizeof(g->authority))
		loadgen_wrong("--url", "has no host");
	snprintf(g->host, sizeof(g->host), "%.*s", (int)host_len, host);
	snprintf(g->authority, sizeof(g->authority), "%.*s", (int)n, at);
	size_t port_len = (size_t)(at + n - rest);
	uint64_t port = 80;
	if (port_len > 0 &&
	    (*rest != ':' ||
		str_to_u64(rest + 1, port_len - 1, 65535, &port) != ERR_OK ||
		port == 0))
		loadgen_wrong("--url", "has no port of 1 to 65535");
	snprintf(g->port, sizeof(g->port), "%d", (int)port);
}

/* One connection, so that nobody measures a server that is not there. */
static int
loadgen_try(const struct peer_address *to)
{
	int error = 0;
	socklen_t len = sizeof(error);
	struct pollfd p = {.fd = peer_connect(to, 0, 0, 0), .events = POLLOUT};

	if (p.fd < 0)
		return errno;
	if (poll(&p, 1, LOADGEN_CONNECT_MS) != 1)
		error = ETIMEDOUT;
	else
		getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	close(p.fd);
	return error;
}

/* The first address of the name that answers. */
static void
loadgen_reach(struct loadgen *g)
{
	struct addrinfo hints = {
	    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *all;
	int error = 0;

	int e = getaddrinfo(g->host, g->port, &hints, &all);
	if (e != 0)
		loadgen_cannot(g->url, gai_strerror(e));
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
		memcpy(&g->to.sa, a->ai_addr, a->ai_addrlen);
		g->to.len = a->ai_addrlen;
		error = loadgen_try(&g->to);
		if (error == 0)
			break;
	}
	freeaddrinfo(all);
	if (error != 0)
		loadgen_cannot(g->url, strerror(error));
}

/* ---- the run ---- */

static void
loadgen_on_signal(struct loop_watch *w, uint32_t events UNUSED)
{
	struct loadgen *g = w->arg;
	struct signalfd_siginfo info;

	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	/* The second one ends the program. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	run_interrupt(&g->run);
}

static void
loadgen_signals(struct loadgen *g)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	g->signals = (struct loop_watch){
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
	    .fn = loadgen_on_signal,
	    .arg = g};
	if (g->signals.fd < 0 ||
	    loop_watch_add(g->run.loop, &g->signals, EPOLLIN) != ERR_OK)
		loadgen_cannot("signals", strerror(errno));
}

/* The plan, before anything is connected: every mistake is told first. */
static void
loadgen_plan(struct loadgen *g)
{
	struct run *r = &g->run;
	struct err_info info;

	const char *stages = g->stages != NULL ? g->stages : g->profile->stages;
	if (stages_parse(stages, &r->stages, &info) != ERR_OK)
		loadgen_wrong("--stages", info.text);
	if (g->rate > 0)
		stages_set_rate(&r->stages, g->rate);
	if (g->seconds > 0)
		stages_set_seconds(&r->stages, g->seconds);
	r->is_search = g->profile->is_search;
	r->n_sse = g->n_sse >= 0 ? (size_t)g->n_sse : g->profile->n_sse;
	r->n_ws = g->n_ws >= 0 ? (size_t)g->n_ws : g->profile->n_ws;
	r->together =
	    g->together > 0 ? (size_t)g->together : g->profile->together;
	r->grace_ms = g->timeout * 1000;
	slo_bounds_init(&r->bounds);
	for (size_t i = 0; i < g->n_bounds; i++)
		if (slo_bounds_set(&r->bounds, g->bounds[i], &info) != ERR_OK)
			loadgen_wrong("--slo", info.text);
}

static void
loadgen_build(struct loadgen *g)
{
	struct run *r = &g->run;
	const char *token = getenv("API_KEY");
	int64_t timeout_us = g->timeout * 1000000;
	size_t n = g->connections > 0 ? (size_t)g->connections
				      : g->profile->connections;
	struct err_info info;

	if (loop_new(&r->loop) != ERR_OK)
		loadgen_cannot("epoll", strerror(errno));
	r->pool = pool_new(r->loop, &g->to, n);
	r->mix = mix_new(r->pool, g->authority,
	    str_is_empty(token) ? NULL : token, timeout_us);
	if (g->only != NULL && mix_only(r->mix, g->only, &info) != ERR_OK)
		loadgen_wrong("--only", info.text);
	r->streams = streams_new(r->loop, &g->to, r->pool, r->mix, timeout_us);
}

static void
loadgen_write(const struct loadgen *g, const struct report *report)
{
	struct buf out;
	bool is_stdout = str_eq(g->report, "-");

	if (g->report == NULL)
		return;
	buf_init(&out, LOADGEN_REPORT_MAX);
	report_json(report, &out);
	FILE *f = is_stdout ? stdout : fopen(g->report, "we");
	if (f == NULL || fwrite(out.data, 1, out.len, f) != out.len ||
	    fflush(f) != 0)
		loadgen_cannot(g->report, strerror(errno));
	if (!is_stdout)
		fclose(f);
	buf_release(&out);
}

static int
loadgen_run(struct loadgen *g)
{
	struct report report = {.run = &g->run,
	    .profile = g->profile->name,
	    .url = g->url,
	    .is_quiet = g->is_quiet};

	loadgen_signals(g);
	if (run_begin(&g->run) != ERR_OK)
		loadgen_cannot("timer", strerror(errno));
	report_begin(&report);
	if (!g->run.is_over && loop_run(g->run.loop) != ERR_OK)
		loadgen_cannot("epoll", strerror(errno));
	bool is_ok = report_end(&report);
	loadgen_write(g, &report);
	if (!is_ok)
		return LOADGEN_MISSED;
	return g->run.is_interrupted ? LOADGEN_CANNOT : LOADGEN_OK;
}

static void
loadgen_free(struct loadgen **g)
{
	struct run *r = &(*g)->run;

	run_release(r);
	streams_free(&r->streams);
	mix_free(&r->mix);
	pool_free(&r->pool);
	close((*g)->signals.fd);
	loop_free(&r->loop);
	free(*g);
	*g = NULL;
}

int
main(int argc, char **argv)
{
	struct loadgen *g = mem_zalloc(sizeof(*g));

	g->profile = &loadgen_profiles[0];
	g->connections = g->n_sse = g->n_ws = g->together = -1;
	g->timeout = LOADGEN_TIMEOUT;
	loadgen_options(g, argc, argv);
	loadgen_parse_url(g);
	loadgen_plan(g);
	peer_raise_limit();
	loadgen_build(g);
	loadgen_reach(g);
	int status = loadgen_run(g);
	loadgen_free(&g);
	return status;
}
