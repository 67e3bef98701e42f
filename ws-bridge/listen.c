/* SPDX-License-Identifier: MIT */
#include "ws-bridge/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

#define LISTEN_FIRST_FD	   3 /* of systemd */
#define LISTEN_SOCKET_MODE 0660

static enum err
listen_fail(struct err_info *info, const char *address, const char *what)
{
	return err_set(info, ERR_IO, "--listen", "cannot %s '%s': %s", what,
	    address, strerror(errno));
}

/* Is a process behind the socket file? */
static bool
listen_unix_is_served(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	bool is_served =
	    connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0;
	close(fd);
	return is_served;
}

static enum err
listen_unix(const char *path, int *out, struct err_info *info)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >=
	    (int)sizeof(at.sun_path))
		return err_set(info, ERR_INVALID, "--listen",
		    "socket path is longer than %zu characters",
		    sizeof(at.sun_path) - 1);
	if (listen_unix_is_served(&at))
		return err_set(info, ERR_BUSY, "--listen",
		    "another process listens on '%s'", path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    chmod(path, LISTEN_SOCKET_MODE) != 0 ||
	    listen(fd, SOMAXCONN) != 0) {
		enum err e = listen_fail(info, path, "listen on");
		if (fd >= 0)
			close(fd);
		return e;
	}
	*out = fd;
	return ERR_OK;
}

/* Try one resolved address. SO_REUSEPORT: several bridges share a port. */
static int
listen_try(const struct addrinfo *ai)
{
	int one = 1;
	int fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static enum err
listen_tcp(const char *address, int *out, struct err_info *info)
{
	const struct addrinfo hints = {
	    .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char host[256];
	int64_t port;
	int fd = -1;

	const char *colon = strrchr(address, ':');
	if (colon == NULL || str_to_i64(colon + 1, 1, 65535, &port) != ERR_OK ||
	    (size_t)(colon - address) >= sizeof(host))
		return err_set(info, ERR_INVALID, "--listen",
		    "'%s' is not unix:/path or host:port", address);
	size_t len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	memcpy(host, address, len);
	host[len] = '\0';
	int rc = getaddrinfo(len > 0 ? host : NULL, colon + 1, &hints, &list);
	if (rc != 0)
		return err_set(info, ERR_INVALID, "--listen",
		    "cannot resolve '%s': %s", host, gai_strerror(rc));
	for (const struct addrinfo *ai = list; ai != NULL && fd < 0;
	     ai = ai->ai_next)
		fd = listen_try(ai);
	enum err e = fd >= 0 ? ERR_OK : listen_fail(info, address, "listen on");
	freeaddrinfo(list);
	*out = fd;
	return e;
}

enum err
listen_open(const char *address, int *fd, struct err_info *info)
{
	if (str_starts(address, "unix:"))
		return listen_unix(address + strlen("unix:"), fd, info);
	return listen_tcp(address, fd, info);
}

static bool
listen_is_listening(int fd)
{
	int is_listening = 0;
	socklen_t len = sizeof(is_listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) ==
	    0 &&
	    is_listening != 0;
}

enum err
listen_inherited(int *fd)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	int64_t value;

	*fd = -1;
	if (pid != NULL && fds != NULL &&
	    str_to_i64(pid, 1, INT32_MAX, &value) == ERR_OK &&
	    value == getpid() &&
	    str_to_i64(fds, 1, INT32_MAX, &value) == ERR_OK)
		*fd = LISTEN_FIRST_FD;
	else if (listen_is_listening(STDIN_FILENO))
		*fd = STDIN_FILENO;
	if (*fd < 0 || !listen_is_listening(*fd))
		return ERR_NOT_FOUND;
	int flags = fcntl(*fd, F_GETFL);
	if (flags < 0 || fcntl(*fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
		return ERR_IO;
	return ERR_OK;
}
