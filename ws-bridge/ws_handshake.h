/* SPDX-License-Identifier: MIT
 *
 * What a parsed request asks of the bridge, and the answers: 101, 200 for
 * server-sent events and probes, or an error in the envelope of contract 8.
 * Judges everything but the token's worth; no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ws-bridge/ws_request.h"

#define WS_ACCEPT_SIZE 29
#define WS_SUBPROTOCOL "aragora-v1"

enum ws_handshake_kind {
	WS_HANDSHAKE_UPGRADE,
	WS_HANDSHAKE_STREAM, /* server-sent events */
	WS_HANDSHAKE_HEALTH,
	WS_HANDSHAKE_REFUSE
};

/* Texts live as long as the request they came from. */
struct ws_handshake {
	enum ws_handshake_kind kind;
	/* UPGRADE and STREAM */
	char accept[WS_ACCEPT_SIZE];
	bool has_subprotocol;  /* aragora-v1 was offered */
	bool has_deflate;      /* permessage-deflate was offered and taken */
	const char *token;     /* NULL = none presented */
	const char *debate_id; /* NULL = all */
	bool has_since;
	int64_t since;		 /* events after this one */
	const char *cors_origin; /* allowed, but not ours; NULL = none */
	bool is_readiness;	 /* HEALTH: of the store too */
	/* REFUSE */
	int status;
	const char *code;   /* static */
	const char *reason; /* static */
};

/* allowed_origins: comma-separated, as in the settings; an origin whose host
 * is the request's own is always allowed. */
enum ws_handshake_kind ws_handshake_judge(
    struct ws_handshake *h, struct ws_request *r, const char *allowed_origins);

/* "HTTP/1.1 101 ..." */
void ws_handshake_accept(const struct ws_handshake *h, struct buf *out);
/* The head of a stream of server-sent events, which ends with the
 * connection. */
void ws_handshake_stream(const struct ws_handshake *h, struct buf *out);
/* 204: there is nothing more to come, which also tells a browser not to ask
 * again. */
void ws_handshake_nothing(const struct ws_handshake *h, struct buf *out);
void ws_handshake_health(struct buf *out, bool is_ready);
/* reason is shown to the client; trace_id names the refusal in both. retry_s:
 * when to come again, 0 = says nothing. */
void ws_handshake_refuse(struct buf *out, int status, const char *code,
    const char *reason, const char *trace_id, int64_t retry_s);

/* The Sec-WebSocket-Accept of a key into out[WS_ACCEPT_SIZE]; false when the
 * crypto library refuses. */
bool ws_handshake_accept_key(const char *key, char *out) MUST_CHECK;
