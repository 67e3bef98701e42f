/* SPDX-License-Identifier: MIT
 *
 * aragora serve: the whole stack on one machine, over one data folder and one
 * port: nginx in front, FastCGI workers, the bridge and a runner behind.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/child.h"
#include "cli/cmd.h"
#include "cli/nginx_conf.h"

#define SERVE_CHILDREN_MAX 260
#define SERVE_BACKLOG	   4096
#define SERVE_READY_MS	   20000
#define SERVE_STOP_MS	   8000
#define SERVE_PORT	   8080

struct serve {
	struct settings *settings;
	struct arena *arena;
	const char *host;
	struct sockaddr_storage at; /* host and port */
	socklen_t at_len;
	const char *listen;  /* the same for nginx */
	const char *place;   /* and for those who connect */
	const char *run_dir; /* absolute */
	const char *web_dir;
	char *nginx;
	int lock_fd;
	int fcgi_fd;
	int ws_fd;
	int signal_fd;
	struct child children[SERVE_CHILDREN_MAX];
	int n;
};

/* ---- preparing ---- */

static enum err
serve_folders(struct serve *s, struct err_info *info)
{
	char real[PATH_MAX];

	if (!path_make(s->settings->data_dir) ||
	    realpath(s->settings->data_dir, real) == NULL)
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot make '%s': %s", s->settings->data_dir,
		    strerror(errno));
	/* The children have the same folder whatever theirs is. */
	settings_override(SETTINGS_data_dir, real);
	s->run_dir = arena_printf(s->arena, "%s/run", real);
	if (mkdir(s->run_dir, 0750) != 0 && errno != EEXIST)
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot make '%s': %s", s->run_dir, strerror(errno));
	if (strlen(s->run_dir) > 90)
		return err_set(info, ERR_INVALID, "ARAGORA_DATA_DIR",
		    "'%s' is too long for socket names", real);
	s->lock_fd = open(arena_printf(s->arena, "%s/lock", s->run_dir),
	    O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return err_set(info, ERR_EXISTS, "ARAGORA_DATA_DIR",
		    "another `aragora serve` runs on '%s'", real);
	return ERR_OK;
}

/* host and port as a socket address and as nginx writes it. */
static enum err
serve_address(struct serve *s, int port, struct err_info *info)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s->at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s->at;
	const char *host = str_eq(s->host, "localhost") ? "127.0.0.1" : s->host;
	bool is_any;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		s->at_len = sizeof(*v4);
		is_any = v4->sin_addr.s_addr == htonl(INADDR_ANY);
		s->listen = arena_printf(s->arena, "%s:%d", host, port);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		s->at_len = sizeof(*v6);
		is_any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
		s->listen = arena_printf(s->arena, "[%s]:%d", host, port);
	} else {
		return err_set(info, ERR_INVALID, "--host",
		    "'%s' is not an IP address", host);
	}
	const char *here = s->at.ss_family == AF_INET6 ? "[::1]" : "127.0.0.1";
	s->place =
	    is_any ? arena_printf(s->arena, "%s:%d", here, port) : s->listen;
	return ERR_OK;
}

/* Is the port free? nginx would say so too, but in its own words. */
static enum err
serve_check_port(struct serve *s, struct err_info *info)
{
	int one = 1;
	int fd = socket(s->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (s->at.ss_family == AF_INET6)
			setsockopt(
			    fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	}
	bool is_free =
	    fd >= 0 && bind(fd, (struct sockaddr *)&s->at, s->at_len) == 0;
	int why = errno;
	if (fd >= 0)
		close(fd);
	return is_free ? ERR_OK
		       : err_set(info, ERR_EXISTS, "--port",
			     "%s cannot be used: %s", s->listen, strerror(why));
}

static enum err
serve_socket(struct serve *s, const char *name, int *fd, struct err_info *info)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(
	    at.sun_path, sizeof(at.sun_path), "%.90s/%.12s", s->run_dir, name);
	unlink(at.sun_path); /* ours: we hold the lock */
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(*fd, SERVE_BACKLOG) != 0)
		return err_set(info, ERR_IO, "", "cannot listen on '%s': %s",
		    at.sun_path, strerror(errno));
	return ERR_OK;
}

static enum err
serve_find(struct serve *s, struct err_info *info)
{
	char real[PATH_MAX];
	char *web = path_data("web");

	s->nginx = path_find("nginx");
	if (s->nginx == NULL)
		err_set(info, ERR_NOT_FOUND, "",
		    "nginx is not installed (Debian: apt-get install nginx)");
	else if (web == NULL || realpath(web, real) == NULL)
		err_set(info, ERR_NOT_FOUND, "",
		    "the console's files (web/) are missing");
	else
		s->web_dir = arena_strdup(s->arena, real);
	free(web);
	return s->web_dir != NULL ? ERR_OK : ERR_NOT_FOUND;
}

static enum err
serve_database(struct serve *s, struct err_info *info)
{
	int applied = 0;

	enum err e = store_migrate(s->settings, &applied, info);
	if (e == ERR_OK && applied > 0)
		log_info("serve.migrate", "applied=%d", applied);
	return e;
}

/* ---- children ---- */

static struct child
serve_child(struct serve *s, const char *name, int stdin_fd, int stop_signal,
    const char *const *argv)
{
	size_t n = 0;

	while (argv[n] != NULL)
		n++;
	char **copy = ARENA_ARRAY(s->arena, n + 1, char *);
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(s->arena, argv[i]);
	return (struct child){.name = name,
	    .argv = copy,
	    .stdin_fd = stdin_fd,
	    .stop_signal = stop_signal};
}

static const char *
serve_conf_path(struct serve *s)
{
	return arena_printf(s->arena, "%s/nginx.conf", s->run_dir);
}

/* In the order they are stopped: no new requests first, the runner last. */
static void
serve_plan(struct serve *s)
{
	char *fcgi = path_program("aragora-fcgi");
	char *ws = path_program("aragora-ws");
	char *runner = path_program("aragora-runner");
	const char *conf = serve_conf_path(s);
	const char *log = arena_printf(s->arena, "%s/nginx.log", s->run_dir);

	s->children[s->n++] = serve_child(s, "nginx", -1, SIGQUIT,
	    (const char *const[]){
		s->nginx, "-p", s->run_dir, "-c", conf, "-e", log, NULL});
	for (int64_t i = 0; i < s->settings->workers; i++)
		s->children[s->n++] = serve_child(s, "aragora-fcgi", s->fcgi_fd,
		    SIGTERM, (const char *const[]){fcgi, NULL});
	s->children[s->n++] = serve_child(s, "aragora-ws", s->ws_fd, SIGTERM,
	    (const char *const[]){ws, NULL});
	s->children[s->n++] = serve_child(s, "aragora-runner", -1, SIGTERM,
	    (const char *const[]){runner, NULL});
	free(fcgi);
	free(ws);
	free(runner);
}

static void
serve_stop(struct serve *s)
{
	log_info("serve.stop", "children=%d", s->n);
	for (int i = 0; i < s->n; i++)
		child_stop(&s->children[i]);
	child_wait_all(s->children, s->n, SERVE_STOP_MS);
}

static void
serve_reap(struct serve *s)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (int i = 0; i < s->n; i++)
			if (s->children[i].pid == pid)
				child_ended(&s->children[i], status);
}

static void
serve_restart_due(struct serve *s)
{
	for (int i = 0; i < s->n; i++)
		if (child_is_due(&s->children[i]))
			child_start(&s->children[i]);
}

/* Signals that are waiting; true = stop. */
static bool
serve_signals(struct serve *s, int timeout_ms)
{
	struct pollfd p = {.fd = s->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;
	bool is_stop = false;

	if (poll(&p, 1, timeout_ms) <= 0)
		return false;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGCHLD)
			serve_reap(s);
		else
			is_stop = true;
	return is_stop;
}

/* ---- readiness ---- */

/* Does GET /api/health answer 200? A whole little client: curl would cost
 * this long-lived process a megabyte. */
static bool
serve_is_healthy(const struct serve *s)
{
	static const char request[] = "GET /api/health HTTP/1.0\r\n"
				      "Host: localhost\r\n\r\n";
	struct timeval limit = {.tv_sec = 2};
	struct sockaddr_storage at = s->at;
	char answer[64] = "";

	/* To connect to "any" address is to connect to this machine. */
	int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	bool ok = connect(fd, (struct sockaddr *)&at, s->at_len) == 0;
	/* TLS: an accepting nginx and the workers' socket must do. */
	if (ok && !s->settings->ssl_enabled) {
		ok = send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 &&
		    recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0 &&
		    strstr(answer, " 200 ") != NULL;
	}
	close(fd);
	return ok;
}

static enum cmd_exit
serve_wait_ready(struct serve *s)
{
	int64_t deadline = clock_mono_ms() + SERVE_READY_MS;

	while (!serve_is_healthy(s)) {
		if (serve_signals(s, 50))
			return CMD_NOT_DONE;
		serve_restart_due(s);
		if (clock_mono_ms() > deadline) {
			fprintf(stderr,
			    "aragora serve: not healthy after %d s; see "
			    "%s/nginx.log\n",
			    SERVE_READY_MS / 1000, s->run_dir);
			return CMD_UNAVAILABLE;
		}
	}
	return CMD_OK;
}

static enum cmd_exit
serve_loop(struct serve *s)
{
	enum cmd_exit code = CMD_OK;

	for (int i = s->n - 1; i >= 0; i--)
		child_start(&s->children[i]);
	code = serve_wait_ready(s);
	if (code == CMD_OK) {
		printf("Aragora is ready: %s://%s/\n",
		    s->settings->ssl_enabled ? "https" : "http", s->place);
		fflush(stdout);
		while (!serve_signals(s, 200))
			serve_restart_due(s);
	}
	serve_stop(s);
	return code;
}

static void
serve_block_signals(struct serve *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Does nginx take the configuration? If not it says why, once. */
static enum err
serve_check_nginx(struct serve *s, const char *conf, struct err_info *info)
{
	struct child test = serve_child(s, "nginx -t", -1, SIGKILL,
	    (const char *const[]){s->nginx, "-t", "-q", "-p", s->run_dir, "-c",
		conf, "-e", "stderr", NULL});
	int status = 0;

	if (child_start(&test) && waitpid(test.pid, &status, 0) == test.pid &&
	    WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ERR_OK;
	return err_set(info, ERR_UNSUPPORTED, "", "nginx refuses '%s'", conf);
}

static enum cmd_exit
serve_do(struct serve *s, int port)
{
	struct err_info info = {0};

	enum err e = serve_address(s, port, &info);
	if (e == ERR_OK)
		e = serve_folders(s, &info);
	if (e == ERR_OK)
		e = serve_find(s, &info);
	if (e == ERR_OK)
		e = serve_check_port(s, &info);
	if (e == ERR_OK)
		e = serve_database(s, &info);
	if (e == ERR_OK)
		e = serve_socket(s, "fcgi.sock", &s->fcgi_fd, &info);
	if (e == ERR_OK)
		e = serve_socket(s, "ws.sock", &s->ws_fd, &info);
	if (e == ERR_OK)
		e = nginx_conf_write(
		    &(struct nginx_conf){.settings = s->settings,
			.run_dir = s->run_dir,
			.web_dir = s->web_dir,
			.listen = s->listen},
		    serve_conf_path(s), &info);
	if (e == ERR_OK)
		e = serve_check_nginx(s, serve_conf_path(s), &info);
	if (e != ERR_OK)
		return cmd_fail(e == ERR_INVALID || e == ERR_SCHEMA
			? CMD_CONFIG
			: CMD_UNAVAILABLE,
		    "serve", &info);
	if (geteuid() == 0)
		log_warning("serve.root",
		    "running as root: fine for trying "
		    "out; in production run it under an own user");
	serve_block_signals(s);
	serve_plan(s);
	return serve_loop(s);
}

static enum cmd_exit
serve_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"port", required_argument, NULL, 'p'},
	    {"host", required_argument, NULL, 'H'},
	    {"workers", required_argument, NULL, 'w'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	struct serve s = {.host = "127.0.0.1",
	    .lock_fd = -1,
	    .fcgi_fd = -1,
	    .ws_fd = -1,
	    .signal_fd = -1};
	int64_t port = SERVE_PORT;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_serve, stdout);
			return CMD_OK;
		}
		if (c == 'p') {
			if (str_to_i64(optarg, 1, 65535, &port) != ERR_OK)
				return cmd_usage(&cmd_serve,
				    "--port must be 1 to 65535, not '%s'",
				    optarg);
		} else if (c == 'H') {
			s.host = optarg;
		} else if (c == 'w') {
			settings_override(SETTINGS_workers, optarg);
		} else if (!cmd_common(c, optarg)) {
			return cmd_usage(&cmd_serve, "bad option");
		}
	}
	if (optind < argc)
		return cmd_usage(
		    &cmd_serve, "'%s' is not expected", argv[optind]);
	s.settings = settings_start("aragora-serve");
	s.arena = arena_new(0);
	enum cmd_exit code = serve_do(&s, (int)port);
	if (s.lock_fd >= 0)
		close(s.lock_fd);
	free(s.nginx);
	arena_free(&s.arena);
	settings_free(&s.settings);
	return code;
}

const struct cmd cmd_serve = {
    .name = "serve",
    .args = "[OPTION...]",
    .summary = "Run everything on this machine: nginx, API, bridge, runner.",
    .help =
	"  --port N            HTTP port (8080)\n"
	"  --host ADDRESS      address to listen on (127.0.0.1)\n"
	"  --workers N         FastCGI workers "
	"(ARAGORA_WORKERS)\n" CMD_COMMON_HELP
	"\nWithout a database URL everything is kept in SQLite in the data\n"
	"folder. Ctrl-C stops all of it.\n",
    .run = serve_run,
};
