/* SPDX-License-Identifier: MIT
 *
 * The handshake of a connection: who is it, and what does it want.
 */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/client_ip.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "store/store.h"
#include "ws-bridge/admission.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/notice.h"
#include "ws-bridge/relay.h"
#include "ws-bridge/revoke.h"

#define CONN_RETRY_MS	   1000 /* when the store is away */
#define CONN_HTTP_MAX	   16384
#define CONN_CLOSE_REVOKED 4401

static enum metric
connection_refusal(int status)
{
	static const struct {
		int status;
		enum metric metric;
	} rows[] = {{401, METRIC_WS_REFUSED_CREDENTIAL},
	    {403, METRIC_WS_REFUSED_FORBIDDEN},
	    {408, METRIC_WS_REFUSED_TIMEOUT}, {429, METRIC_WS_REFUSED_LIMIT},
	    {503, METRIC_WS_REFUSED_UNAVAILABLE}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].metric;
	return METRIC_WS_REFUSED_REQUEST;
}

/* An HTTP answer that ends the connection. */
static void
connection_answer(struct connection *c, const struct buf *answer)
{
	connection_push(c, frame_new_raw(buf_text(answer), answer->len), false);
	connection_set_state(c, CONN_CLOSING);
}

void
connection_refuse(struct connection *c, int status, const char *code,
    const char *reason, int64_t retry_ms)
{
	struct buf answer;
	char trace_id[ID_SIZE];

	metric_add(connection_refusal(status), 1);
	conn_trace_status(c->trace, status);
	id_make(trace_id, "", 16);
	log_debug("ws.refuse", "status=%d trace_id=%s reason=\"%s\"", status,
	    trace_id, reason);
	buf_init(&answer, CONN_HTTP_MAX);
	ws_handshake_refuse(
	    &answer, status, code, reason, trace_id, (retry_ms + 999) / 1000);
	connection_answer(c, &answer);
	buf_release(&answer);
}

/* Tell the client what it wants to know first. */
static void
connection_greet(struct connection *c)
{
	connection_send(c,
	    notice_connection_info(c->id, c->is_authenticated, c->may_write));
	hub_ask_loops(c->server->hub, &c->asker);
}

/* Follow what the request names, which is left as it is. */
static void
connection_join(struct connection *c)
{
	const struct ws_handshake *h = c->handshake;

	if (h->debate_id != NULL)
		connection_subscribe(
		    c, h->debate_id, h->has_since, h->since, false);
	else
		connection_follow(c, true);
}

/* What was asked for is known and needs no memory any more. */
static void
connection_end_handshake(struct connection *c)
{
	ws_request_release(c->request);
	heap_free(HEAP_CONNECTIONS, c->request);
	heap_free(HEAP_CONNECTIONS, c->handshake);
	c->request = NULL;
	c->handshake = NULL;
}

bool
connection_begin_stream(struct connection *c, bool is_over)
{
	struct buf head;

	if (!c->is_head_due)
		return true;
	c->is_head_due = false;
	conn_trace_status(c->trace, is_over ? 204 : 200);
	buf_init(&head, CONN_HTTP_MAX);
	if (is_over)
		ws_handshake_nothing(c->handshake, &head);
	else
		ws_handshake_stream(c->handshake, &head);
	connection_end_handshake(c);
	if (is_over)
		connection_answer(c, &head);
	else
		connection_push(
		    c, frame_new_raw(buf_text(&head), head.len), false);
	buf_release(&head);
	return !is_over;
}

/* The head of a stream waits until something is known of the debate. */
static void
connection_open_stream(struct connection *c)
{
	bool has_debate = c->handshake->debate_id != NULL;

	c->form = FRAME_SSE;
	c->is_head_due = true;
	connection_set_state(c, CONN_OPEN);
	connection_join(c);
	if (!has_debate)
		connection_greet(c);
}

static void
connection_open_socket(struct connection *c)
{
	const struct ws_handshake *h = c->handshake;
	struct buf answer;

	conn_trace_status(c->trace, 101);
	buf_init(&answer, CONN_HTTP_MAX);
	ws_handshake_accept(h, &answer);
	connection_push(c, frame_new_raw(buf_text(&answer), answer.len), false);
	buf_release(&answer);
	c->form = h->has_deflate ? FRAME_DEFLATED : FRAME_PLAIN;
	c->decoder.may_deflate = h->has_deflate;
	connection_set_state(c, CONN_OPEN);
	if (c->server->hub != NULL) {
		connection_greet(c);
		connection_join(c);
	}
	connection_end_handshake(c);
}

static void
connection_open(struct connection *c, const char *tenant)
{
	int64_t now = clock_mono_ms();

	c->tenant = heap_take(HEAP_CONNECTIONS, mem_strdup(tenant));
	conn_trace_tenant(c->trace, tenant);
	c->follower.tenant = c->tenant;
	c->asker.tenant = c->tenant;
	id_make(c->id, "ws_", 8);
	c->heard_ms = now;
	c->progress_ms = now;
	c->heartbeat_ms = now + c->server->bridge->times.heartbeat_ms;
	c->recheck_ms = now + c->server->bridge->times.recheck_ms;
	if (c->handshake->kind == WS_HANDSHAKE_STREAM)
		connection_open_stream(c);
	else
		connection_open_socket(c);
	if (c->server->is_draining)
		connection_drain(c, server_reconnect_ms(c->server));
}

/* Takes the job. */
static void
connection_ask(struct connection *c, struct job *job)
{
	job->owner = c;
	c->token_job = job;
	hub_check_token(c->server->hub, job);
}

static void
connection_ask_token(struct connection *c, const char *hash)
{
	struct job *job = job_new(JOB_TOKEN, NULL, NULL);

	job->hash = arena_strdup(job->arena, hash);
	connection_ask(c, job);
}

static void
connection_ask_still(struct connection *c)
{
	struct job *job = job_new(JOB_STILL, NULL, c->tenant);

	job->session = arena_strdup(job->arena, c->session);
	job->token_version = c->token_version;
	connection_ask(c, job);
}

static void
connection_ask_signed(struct connection *c, const char *token)
{
	struct job *job = job_new(JOB_SIGNED, NULL, NULL);

	job->token = arena_strdup(job->arena, token);
	connection_ask(c, job);
}

/* A token is the static one, a user's signed one or one of the store's; no
 * token is anonymous, where that is allowed: without users. */
static void
connection_authenticate(struct connection *c)
{
	const struct settings *s = c->server->settings;
	const char *token = c->handshake->token;
	char hash[ID_HASH_SIZE];

	if (c->server->bridge->is_echo) {
		connection_open(c, STORE_TENANT_DEFAULT);
		return;
	}
	if (token == NULL) {
		if (s->auth_required || !str_is_empty(s->api_token) ||
		    auth_has_provider(c->server->bridge->auth))
			connection_refuse(c, 401, "AUTH_REQUIRED",
			    "authentication is required", 0);
		else {
			connection_set_state(c, CONN_AUTH);
			connection_ask_token(c, NULL);
		}
		return;
	}
	c->is_authenticated = true;
	if (!str_is_empty(s->api_token) && id_secret_eq(token, s->api_token)) {
		c->may_write = true;
		connection_open(c, STORE_TENANT_DEFAULT);
		return;
	}
	if (jwt_is_like(token)) {
		connection_set_state(c, CONN_AUTH);
		connection_ask_signed(c, token);
		return;
	}
	id_sha256(token, strlen(token), hash);
	c->token_hash = heap_take(HEAP_CONNECTIONS, mem_strdup(hash));
	connection_set_state(c, CONN_AUTH);
	connection_ask_token(c, hash);
}

bool
connection_has_token(const struct connection *c)
{
	return c->token_hash != NULL || c->expires_ms != 0;
}

static void
connection_revoke(struct connection *c, const char *why)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "code", "auth_revoked");
	json_w_str(&n.w, "message", why);
	connection_send(c, notice_end(&n, EVENT_AUTH_REVOKED, NULL));
	connection_close(c, CONN_CLOSE_REVOKED, why);
}

void
connection_expire(struct connection *c)
{
	connection_revoke(c, "the token has expired");
}

void
connection_recheck_token(struct connection *c)
{
	c->recheck_ms = clock_mono_ms() + c->server->bridge->times.recheck_ms;
	if (c->token_job != NULL)
		c->is_recheck_due = true; /* it may have looked too early */
	else if (c->token_hash != NULL)
		connection_ask_token(c, c->token_hash);
	else if (c->key_mark != 0 &&
	    !auth_knows_key(c->server->bridge->auth, c->key_mark))
		/* The provider took the key back: what it signed is void. */
		connection_revoke(c, "the token is no longer valid");
	else if (c->expires_ms != 0)
		connection_ask_still(c);
}

/* The token of an open connection was looked up again. */
static void
connection_on_recheck(struct connection *c, const struct job *job)
{
	bool is_again = c->is_recheck_due;

	c->is_recheck_due = false;
	if (job->err == ERR_NOT_FOUND)
		connection_revoke(c, "the token is no longer valid");
	else if (job->err == ERR_DENIED)
		connection_revoke(c, "the tenant is suspended");
	else if (is_again)
		connection_recheck_token(c);
	/* Else it is good, or the store is away: ask again later. */
}

/* What a signed token stands for; when it ends on the monotonic clock. */
static void
connection_keep_signed(struct connection *c, const struct job *job)
{
	int64_t left_us = job->expires_us - clock_wall_us();

	c->expires_ms = clock_mono_ms() + left_us / 1000 + 1;
	c->key_mark = job->key_mark;
	if (job->session != NULL)
		c->session =
		    heap_take(HEAP_CONNECTIONS, mem_strdup(job->session));
	c->token_version = job->token_version;
}

/* An answer to the handshake. */
static void
connection_on_auth(struct connection *c, const struct job *job)
{
	switch ((int)job->err) {
	case ERR_OK:
		if (job->kind == JOB_SIGNED && job->expires_us != 0)
			connection_keep_signed(c, job);
		c->may_write = job->may_write;
		connection_open(c, job->tenant);
		if (connection_has_token(c))
			revoke_join(c, job->access_rev);
		break;
	case ERR_AUTH:
		connection_refuse(
		    c, 401, "AUTH_REQUIRED", "authentication is required", 0);
		break;
	case ERR_NOT_FOUND:
		connection_refuse(c, 401, "INVALID_TOKEN",
		    !str_is_empty(job->why) ? job->why
					    : "the token is not valid",
		    0);
		break;
	case ERR_DENIED:
		connection_refuse(c, 403, "FORBIDDEN",
		    !str_is_empty(job->why) ? job->why : "not allowed", 0);
		break;
	default:
		connection_refuse(c, 503, "SERVICE_UNAVAILABLE",
		    "the credential cannot be checked now", CONN_RETRY_MS);
		break;
	}
}

void
connection_on_token(struct job *job)
{
	struct connection *c = job->owner;

	if (c == NULL)
		return; /* the client went away meanwhile */
	c->token_job = NULL;
	if (c->person == NULL && job->person != NULL)
		c->person =
		    heap_take(HEAP_CONNECTIONS, mem_strdup(job->person));
	if (c->state == CONN_OPEN)
		connection_on_recheck(c, job);
	else if (c->state == CONN_AUTH)
		connection_on_auth(c, job);
}

/* Whoever is at the other end, as what is limited as one. A Unix socket is the
 * front server's; when that names nobody, nobody is counted. */
static bool
connection_key(struct connection *c, uint8_t key[CLIENT_IP_KEY])
{
	const struct client_ip_list *trusted = c->server->bridge->trusted;
	struct ws_request *r = c->request;
	const char *forwarded =
	    r->forwarded_for != NULL ? r->forwarded_for : "";
	const char *real_ip = r->real_ip != NULL ? r->real_ip : "";
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char peer[NI_MAXHOST];

	if (getpeername(c->watch.fd, (struct sockaddr *)&addr, &len) != 0)
		return false;
	const char *ip;
	if (addr.ss_family == AF_UNIX)
		ip = client_ip_behind(trusted, r->arena, forwarded, real_ip);
	else if (getnameinfo((struct sockaddr *)&addr, len, peer, sizeof(peer),
		     NULL, 0, NI_NUMERICHOST) == 0)
		ip =
		    client_ip_find(trusted, r->arena, peer, forwarded, real_ip);
	else
		ip = NULL;
	return ip != NULL && client_ip_key(ip, key);
}

/* Not too often, and not too many at once; else 429 is the answer. */
static bool
connection_is_admitted(struct connection *c)
{
	struct admission *a = c->server->bridge->admission;
	uint8_t key[CLIENT_IP_KEY];
	int64_t wait_ms;

	if (a == NULL || !connection_key(c, key))
		return true;
	c->admission = admission_enter(a, key, clock_mono_ms(), &wait_ms);
	if (c->admission != NULL)
		return true;
	connection_refuse(c, 429, "RATE_LIMITED",
	    "too many connections from this address", wait_ms);
	return false;
}

static bool
connection_is_ready(const struct connection *c)
{
	struct relay *r = c->server->bridge->relay;

	return !c->handshake->is_readiness || r == NULL ||
	    backfill_is_well(relay_reader(r));
}

void
connection_on_request(struct connection *c, const char *data, size_t len)
{
	struct ws_request *r = c->request;
	struct buf answer;

	switch (ws_request_feed(r, data, len)) {
	case WS_REQUEST_MORE:
		return;
	case WS_REQUEST_BAD:
		connection_refuse(c, r->status, "INVALID_VALUE", r->reason, 0);
		return;
	case WS_REQUEST_DONE:
		break;
	}
	c->handshake =
	    heap_take(HEAP_CONNECTIONS, mem_alloc(sizeof(*c->handshake)));
	enum ws_handshake_kind kind = ws_handshake_judge(
	    c->handshake, r, c->server->settings->allowed_origins);
	if (kind != WS_HANDSHAKE_HEALTH)
		c->trace = conn_trace_new(r->traceparent);
	switch (kind) {
	case WS_HANDSHAKE_UPGRADE:
	case WS_HANDSHAKE_STREAM:
		if (c->server->hub == NULL &&
		    c->handshake->kind == WS_HANDSHAKE_STREAM)
			connection_refuse(
			    c, 404, "NOT_FOUND", "no such address", 0);
		else if (connection_is_admitted(c))
			connection_authenticate(c);
		break;
	case WS_HANDSHAKE_HEALTH:
		buf_init(&answer, CONN_HTTP_MAX);
		ws_handshake_health(&answer, connection_is_ready(c));
		connection_answer(c, &answer);
		buf_release(&answer);
		break;
	case WS_HANDSHAKE_REFUSE:
		connection_refuse(c, c->handshake->status, c->handshake->code,
		    c->handshake->reason, 0);
		break;
	}
}
