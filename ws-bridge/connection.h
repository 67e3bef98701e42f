/* SPDX-License-Identifier: MIT
 *
 * One client: handshake, frames in, frames out, heartbeats, and the end. A
 * WebSocket, or a stream of server-sent events, which only listens.
 * Never blocks; a client that does not read costs its cursors and at most
 * CONN_OUT_MAX bytes of references, then its connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/list.h"
#include "base/loop.h"
#include "ws-bridge/conn_trace.h"
#include "ws-bridge/hub.h"
#include "ws-bridge/outq.h"
#include "ws-bridge/server.h"
#include "ws-bridge/ws_codec.h"
#include "ws-bridge/ws_handshake.h"

/* Debates one client may name; contract: ws-bridge limits. */
#define CONN_SUBS_MAX 100

enum conn_state {
	CONN_REQUEST, /* reading the GET */
	CONN_AUTH,    /* the token is being looked up */
	CONN_OPEN,
	CONN_CLOSING, /* last bytes are leaving */
	CONN_DEAD     /* freed at the end of the turn */
};

struct connection {
	struct list in_server;
	struct list in_dirty;
	struct server *server;
	struct loop_watch watch;
	struct loop_timer tick; /* deadlines and heartbeats */
	struct loop_timer pace; /* held frames */
	enum conn_state state;
	struct ws_request *request; /* until the handshake is done */
	struct ws_handshake *handshake;
	struct ws_decoder decoder;
	enum frame_form form; /* of what it is sent */
	struct outq out;
	struct admission_entry *admission; /* NULL = not counted */
	int64_t said_tat_us;		   /* bucket of its messages */
	int64_t n_refused;		   /* of them, less those admitted */
	struct frame *pong; /* for when the one that is queued has left */
	struct list subs;
	size_t n_named; /* subs that came by id */
	struct follower follower;
	bool is_follow_implied; /* no debate was named: the first one ends it */
	struct asker asker;
	struct job *token_job; /* under way; its owner is us */
	struct job *said_job;  /* the same */
	int64_t said_us;       /* bucket of what it may say */
	char *person;	       /* whose credential, NULL = nobody's */
	char *token_hash;      /* NULL unless a token of the store */
	int64_t expires_ms;    /* of a signed token, 0 = none */
	uint64_t key_mark;     /* of the provider's key that signed it */
	char *session;	       /* of our own signed token, else NULL */
	int64_t token_version; /* of its user */
	bool is_recheck_due;   /* when token_job is back */
	struct revoke_watch
	    *revoke;		  /* of the tenant; NULL without credential */
	struct conn_trace *trace; /* NULL = not exported */
	char *tenant;
	char id[24];
	bool is_authenticated;
	bool may_write;	     /* vote and suggest */
	bool is_head_due;    /* of a stream: the lookup decides what it is */
	bool is_peer_closed; /* its close frame or end of file has come */
	bool is_shut;	     /* our side is closed for writing */
	bool is_pong_queued;
	bool is_warned;	    /* that it says too much */
	bool has_event_out; /* an event is in out */
	bool is_holding;    /* a debate_end waits for its time */
	int64_t heard_ms;
	int64_t pong_due_ms; /* 0 = no ping is unanswered */
	int64_t heartbeat_ms;
	int64_t recheck_ms;  /* of the token */
	int64_t progress_ms; /* bytes last left, or out last became non-empty */
	int64_t event_ms;    /* an event last left */
	int64_t slot_ms;     /* begin of the replay slot */
	int64_t slot_left;   /* frames that may still leave in it */
};

/* Takes fd. */
void connection_new(struct server *srv, int fd);
void connection_free(struct connection *c);
/* At the end of a turn: move what may move. */
void connection_flush(struct connection *c);

/* Queue an event of our own; takes f. */
void connection_send(struct connection *c, struct frame *f);
/* The same for pong and heartbeat, which do not count as events. */
void connection_send_quiet(struct connection *c, struct frame *f);
static inline bool
connection_is_stream(const struct connection *c)
{
	return c->form == FRAME_SSE;
}
/* Append to what it is sent, in the form it wants; takes f. */
void connection_push(struct connection *c, struct frame *f, bool is_replayed);
/* Begin the closing handshake. */
void connection_close(struct connection *c, uint16_t code, const char *reason);

/* The bridge ends: say so, and when to come back. */
void connection_drain(struct connection *c, int64_t reconnect_ms);

/* conn_stream.c: what the client follows */
void connection_subscribe(struct connection *c, const char *id, bool has_since,
    int64_t since, bool is_ack_due);
/* false: there was none. */
bool connection_unsubscribe(struct connection *c, const char *id);
void connection_follow(struct connection *c, bool is_implied);
/* Fill out from the subscriptions; true when more is ready than fits. */
bool connection_fill(struct connection *c);
void connection_detach(struct connection *c);
extern const struct hub_ops connection_hub_ops;

/* conn_open.c: the handshake */
void connection_on_request(struct connection *c, const char *data, size_t len);
/* retry_ms: when the client may come again, 0 = says nothing. */
void connection_refuse(struct connection *c, int status, const char *code,
    const char *reason, int64_t retry_ms);
void connection_on_token(struct job *job);
void connection_recheck_token(struct connection *c);
/* A stream's lookup is through: its head, or 204; false = it has ended. */
bool connection_begin_stream(struct connection *c, bool is_over);
/* The token's time is over. */
void connection_expire(struct connection *c);
/* Does the credential need looking after? */
bool connection_has_token(const struct connection *c);

/* conn_input.c: what the client sends, once it is open */
void connection_on_frames(struct connection *c, const char *data, size_t len);
void connection_send_pong(struct connection *c);
/* The other side's close frame: answer it with the same code. */
void connection_on_close(struct connection *c);

/* client.c: a text message, and the answer to a vote or a suggestion */
void connection_on_said(struct job *job);
void connection_on_text(struct connection *c, const char *text, size_t len);

/* connection.c, for the two above */
void connection_set_state(struct connection *c, enum conn_state state);
void connection_mark_dirty(struct connection *c);
/* Run the deadlines as of now. */
void connection_arm(struct connection *c);
