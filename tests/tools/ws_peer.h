/* SPDX-License-Identifier: MIT
 *
 * What the mass clients of the bridge have in common: where to connect, the
 * handshake's two ends, and the head of a frame. It knows nothing of the
 * bridge's own codec, which it tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct peer_address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* "unix:/path" or "1.2.3.4:port"; false: neither. */
bool peer_parse(const char *text, struct peer_address *out);
/* A socket that is connecting, -1 = refused at once (errno). Of n_sources
 * loopback addresses source i is used as the own one; 0 = the system's. receive
 * bounds the receive buffer; 0 = the system's choice. */
int peer_connect(
    const struct peer_address *a, size_t n_sources, size_t i, int receive);

/* The Sec-WebSocket-Key that peer_request sends and peer_answer knows: that of
 * RFC 6455 1.3. */
#define PEER_KEY "dGhlIHNhbXBsZSBub25jZQ=="

/* The GET for path; query and extra header lines included. Its length. */
size_t peer_request(
    char *out, size_t size, const char *path, const char *headers);

/* Length of a whole head of an HTTP answer with its status; 0 = not all is
 * there; status -1 = no answer to peer_request, or a 101 with a wrong key. */
size_t peer_answer(const char *data, size_t len, int *status);

struct peer_frame {
	uint8_t opcode;
	bool is_deflated; /* RSV1 */
	size_t head_len;
	size_t len; /* of the payload */
};
/* false: the head is not whole. A frame that no server may send has opcode
 * PEER_BAD. */
#define PEER_BAD 0xff
bool peer_frame(const uint8_t *data, size_t len, struct peer_frame *f);

/* A small masked frame into out[PEER_SMALL]; its length. */
#define PEER_SMALL 132
size_t peer_small(uint8_t *out, uint8_t opcode, const void *data, size_t len);

/* The whole number behind key within text[0..len), or -1. */
int64_t peer_number(const char *text, size_t len, const char *key);

/* As many descriptors as the system lets us have. */
void peer_raise_limit(void);
