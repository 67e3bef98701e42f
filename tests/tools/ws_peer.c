/* SPDX-License-Identifier: MIT */
#include "tests/tools/ws_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

/* What RFC 6455 1.3 answers to that key. */
#define PEER_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define PEER_PER_NET 250 /* addresses used of each 127.x.y.0/24 */

static bool
peer_parse_unix(const char *path, struct peer_address *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;

	if (strlen(path) >= sizeof(un->sun_path))
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	out->len = sizeof(*un);
	return true;
}

bool
peer_parse(const char *text, struct peer_address *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->sa;
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN] = "";
	char *end;

	*out = (struct peer_address){0};
	if (strncmp(text, "unix:", 5) == 0)
		return peer_parse_unix(text + 5, out);
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	long port = strtol(colon + 1, &end, 10);
	if (*end != '\0' || port < 1 || port > 65535)
		return false;
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	out->len = sizeof(*in);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1;
}

/* An address of our own, so that limits per address see many clients. */
static int
peer_bind(int fd, size_t i)
{
	uint32_t net = 0x7f010000u + ((uint32_t)(i / PEER_PER_NET) << 8);
	uint32_t host = 1 + (uint32_t)(i % PEER_PER_NET);
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(net + host)};
	int one = 1;

	/* The port is chosen on connect: it need only be new to the pair. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&in, sizeof(in));
}

int
peer_connect(
    const struct peer_address *a, size_t n_sources, size_t i, int receive)
{
	int fd = socket(
	    a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (receive > 0)
		setsockopt(
		    fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
	bool is_bound = a->sa.ss_family != AF_INET || n_sources == 0 ||
	    peer_bind(fd, i % n_sources) == 0;
	if (is_bound &&
	    (connect(fd, (const struct sockaddr *)&a->sa, a->len) == 0 ||
		errno == EINPROGRESS))
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

size_t
peer_request(char *out, size_t size, const char *path, const char *headers)
{
	int n = snprintf(out, size,
	    "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Key: " PEER_KEY
	    "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
	    path, headers);

	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t
peer_answer(const char *data, size_t len, int *status)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	*status = -1;
	if (end == NULL)
		return 0;
	size_t head = (size_t)(end - data) + 4;
	*status = (int)peer_number(data, 12, "HTTP/1.1 ");
	if (*status == 101 &&
	    memmem(data, head, PEER_ACCEPT, strlen(PEER_ACCEPT)) == NULL)
		*status = -1;
	return head;
}

bool
peer_frame(const uint8_t *data, size_t len, struct peer_frame *f)
{
	if (len < 2)
		return false;
	size_t more = data[1] == 126 ? 2 : data[1] == 127 ? 8 : 0;
	f->opcode = data[0] & 0x0f;
	f->is_deflated = (data[0] & 0x40) != 0;
	f->head_len = 2 + more;
	f->len = data[1];
	/* Whole, not masked; this server never cuts a message up. */
	if ((data[0] & 0x80) == 0 || (data[1] & 0x80) != 0)
		f->opcode = PEER_BAD;
	if (more == 0)
		return true;
	if (len < f->head_len)
		return false;
	f->len = 0;
	for (size_t i = 0; i < more; i++)
		f->len = f->len << 8 | data[2 + i];
	return true;
}

size_t
peer_small(uint8_t *out, uint8_t opcode, const void *data, size_t len)
{
	out[0] = 0x80 | opcode;
	out[1] = 0x80 | (uint8_t)len;
	memset(out + 2, 0, 4); /* a mask like any other */
	if (len > 0)
		memcpy(out + 6, data, len);
	return 6 + len;
}

int64_t
peer_number(const char *text, size_t len, const char *key)
{
	size_t key_len = strlen(key);
	const char *at = memmem(text, len, key, key_len);
	int64_t n = 0;

	if (at == NULL)
		return -1;
	const char *p = at + key_len;
	if (p == text + len || *p < '0' || *p > '9')
		return -1;
	for (; p < text + len && *p >= '0' && *p <= '9'; p++)
		n = n * 10 + (*p - '0');
	return n;
}

void
peer_raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}
