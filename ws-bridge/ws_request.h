/* SPDX-License-Identifier: MIT
 *
 * A strict parser of the one kind of HTTP request the bridge reads: a GET
 * without a body. Bytes in, fields out; no I/O. Anything doubtful is refused,
 * because a front server may have read it differently.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"

#define WS_REQUEST_MAX	8192 /* bytes of request line and header */
#define WS_REQUEST_ROWS 100  /* header lines */

enum ws_request_result {
	WS_REQUEST_MORE,
	WS_REQUEST_DONE,
	WS_REQUEST_BAD /* status and reason say why */
};

/* Fields live on the request's arena; NULL = absent. */
struct ws_request {
	struct buf raw;
	struct arena *arena;
	int status;
	const char *reason; /* static text */

	const char *method;
	const char *path;  /* percent-decoded, no NUL in it */
	const char *query; /* as sent, after the "?"; "" when none */
	int minor;	   /* HTTP/1.minor */
	/* header fields; list fields are joined with ", " */
	const char *host;
	const char *upgrade;
	const char *connection;
	const char *key;
	const char *version;
	const char *protocol;
	const char *origin;
	const char *authorization;
	const char *content_length;
	const char *transfer_encoding;
	const char *extensions;
	const char *forwarded_for;
	const char *real_ip;
	const char *accept;
	const char *last_event_id;
	const char *traceparent;
};

void ws_request_init(struct ws_request *r);
void ws_request_release(struct ws_request *r);

/* Everything that was read from the socket; after DONE nothing may follow, so
 * bytes behind the blank line are an error too. */
enum ws_request_result ws_request_feed(
    struct ws_request *r, const char *data, size_t len) MUST_CHECK;

/* The percent-decoded value of a query parameter on the request's arena, NULL
 * when absent. false: it is there twice or badly encoded. */
bool ws_request_query(
    struct ws_request *r, const char *name, const char **value) MUST_CHECK;
/* Is token one of a comma-separated list, in any case? list may be NULL. */
bool ws_request_list_has(const char *list, const char *token);
