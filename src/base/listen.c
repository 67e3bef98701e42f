/* SPDX-License-Identifier: MIT */
#include "base/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/str.h"

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */
#define LISTEN_FDS_MAX	 1024
#define LISTEN_UNIX	 "unix:"
/* The web server runs under another user of the same group. */
#define LISTEN_MODE 0660

static bool
listen_is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 &&
	    on != 0;
}

static bool
listen_env_number(const char *name, int64_t max, int64_t *out)
{
	const char *text = getenv(name);

	return text != NULL && str_to_i64(text, 1, max, out) == ERR_OK;
}

enum err
listen_inherit(int *fd)
{
	int64_t pid, count;

	*fd = -1;
	if (listen_env_number("LISTEN_PID", INT32_MAX, &pid) &&
	    pid == getpid() &&
	    listen_env_number("LISTEN_FDS", LISTEN_FDS_MAX, &count) &&
	    listen_is_listening(LISTEN_FDS_START))
		*fd = LISTEN_FDS_START;
	else if (listen_is_listening(STDIN_FILENO))
		*fd = STDIN_FILENO;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (*fd < 0)
		return ERR_NOT_FOUND;
	int flags = fcntl(*fd, F_GETFL);
	if (flags < 0 || fcntl(*fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
		return ERR_IO;
	return ERR_OK;
}

static enum err
listen_failed(int fd, const char *where, struct err_info *info)
{
	int error = errno;

	if (fd >= 0)
		close(fd);
	return err_set(info, error == EADDRINUSE ? ERR_EXISTS : ERR_IO,
	    "--listen", "cannot listen on '%s': %s", where, strerror(error));
}

/* Does somebody answer at this address? */
static bool
listen_is_taken(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_taken = false;

	if (fd >= 0) {
		is_taken = connect(fd, (const struct sockaddr *)addr,
			       sizeof(*addr)) == 0;
		close(fd);
	}
	return is_taken;
}

static enum err
listen_unix(const char *where, int *out, struct err_info *info)
{
	const char *path = where + strlen(LISTEN_UNIX);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;

	if (*path == '\0' || strlen(path) >= sizeof(addr.sun_path))
		return err_set(info, ERR_INVALID, "--listen",
		    "'%s' is not a socket path of 1 to %zu bytes", path,
		    sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (listen_is_taken(&addr))
			return err_set(info, ERR_EXISTS, "--listen",
			    "'%s' is in use by another process", where);
		unlink(path);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    chmod(path, LISTEN_MODE) != 0 || listen(fd, SOMAXCONN) != 0)
		return listen_failed(fd, where, info);
	*out = fd;
	return ERR_OK;
}

/* Others may bind to this port now: those of the same user. */
static bool
listen_tcp_share(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
}

/* -1 with errno. A socket that shares its port from the start would not see
 * that another process has it. */
static int
listen_tcp_bind(const struct sockaddr *addr, socklen_t len, bool is_shared)
{
	int fd = socket(
	    addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (!is_shared || listen_tcp_share(fd)) && bind(fd, addr, len) == 0)
		return fd;
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

/* Another socket on the port of the first one. */
static int
listen_tcp_again(int first)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getsockname(first, (struct sockaddr *)&addr, &len) != 0)
		return -1;
	int fd = listen_tcp_bind((struct sockaddr *)&addr, len, true);
	if (fd >= 0 && listen(fd, SOMAXCONN) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static enum err
listen_tcp(const char *where, int *out, struct err_info *info)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	struct arena *a = arena_new(0);
	const char *colon = strrchr(where, ':');
	enum err e = ERR_OK;
	uint64_t port;

	/* getaddrinfo takes the rest of a port that is too large. */
	if (str_to_u64(colon + 1, strlen(colon + 1), UINT16_MAX, &port) !=
	    ERR_OK) {
		e = err_set(info, ERR_INVALID, "--listen",
		    "'%s' has no port from 0 to 65535", where);
		goto out;
	}
	size_t len = (size_t)(colon - where);
	if (len >= 2 && where[0] == '[' && where[len - 1] == ']')
		len -= 2;
	const char *host =
	    arena_strndup(a, where + (where[0] == '[' ? 1 : 0), len);
	int rc = getaddrinfo(len == 0 ? NULL : host, colon + 1, &hints, &found);
	if (rc != 0) {
		e = err_set(info, ERR_INVALID, "--listen", "'%s': %s", where,
		    gai_strerror(rc));
		goto out;
	}
	int fd = listen_tcp_bind(found->ai_addr, found->ai_addrlen, false);
	if (fd < 0 || !listen_tcp_share(fd) || listen(fd, SOMAXCONN) != 0) {
		e = listen_failed(fd, where, info);
		goto out;
	}
	*out = fd;
out:
	if (found != NULL)
		freeaddrinfo(found);
	arena_free(&a);
	return e;
}

enum err
listen_open(const char *where, int *fd, struct err_info *info)
{
	*fd = -1;
	if (str_starts(where, LISTEN_UNIX))
		return listen_unix(where, fd, info);
	if (strchr(where, ':') == NULL)
		return err_set(info, ERR_INVALID, "--listen",
		    "'%s' is neither unix:/path nor host:port", where);
	return listen_tcp(where, fd, info);
}

bool
listen_is_answered(const char *where)
{
	const char *path = where + strlen(LISTEN_UNIX);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (!str_starts(where, LISTEN_UNIX) ||
	    strlen(path) >= sizeof(addr.sun_path))
		return false;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	return listen_is_taken(&addr);
}

enum err
listen_share(int *fds, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
		if (fds[i] >= 0)
			continue;
		while (i-- > 1)
			close(fds[i]);
		return ERR_IO;
	}
	return ERR_OK;
}

enum err
listen_open_each(const char *where, int *fds, size_t n, struct err_info *info)
{
	enum err e = listen_open(where, &fds[0], info);
	size_t made = 1;

	if (e != ERR_OK)
		return e;
	if (str_starts(where, LISTEN_UNIX)) {
		if (listen_share(fds, n) == ERR_OK)
			return ERR_OK;
	} else {
		while (made < n && (fds[made] = listen_tcp_again(fds[0])) >= 0)
			made++;
		if (made == n)
			return ERR_OK;
	}
	while (made-- > 1)
		close(fds[made]);
	return listen_failed(fds[0], where, info);
}

void
listen_close(const char *where, int fd)
{
	close(fd);
	if (str_starts(where, LISTEN_UNIX) && !listen_is_answered(where))
		unlink(where + strlen(LISTEN_UNIX));
}
