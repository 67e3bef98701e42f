/* SPDX-License-Identifier: MIT
 *
 * permessage-deflate (RFC 7692) without context takeover on either side, so
 * one context of each kind serves all connections of a thread. Bytes in,
 * bytes out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"

/* What the server answers to an offer it takes. */
#define WS_DEFLATE_ANSWER                                                      \
	"permessage-deflate; server_no_context_takeover; "                     \
	"client_no_context_takeover"

enum ws_offer {
	WS_OFFER_NONE, /* nothing that we speak */
	WS_OFFER_DEFLATE,
	WS_OFFER_BAD /* not even the grammar of RFC 6455 9.1 */
};

/* The value of Sec-WebSocket-Extensions, NULL = absent. An offer with an
 * unknown, repeated or badly valued parameter is passed over, as is one that
 * wants a smaller window of us: what is sent is deflated once for all. */
enum ws_offer ws_deflate_offer(const char *extensions) MUST_CHECK;

struct ws_deflater;

/* Allocates nothing big before the first use. */
struct ws_deflater *ws_deflater_new(void) MUST_CHECK;
void ws_deflater_free(struct ws_deflater **d);

/* Append data as deflate blocks that end on a byte's border, without the four
 * bytes that RFC 7692 7.2.1 takes off. false: out is too small for them, or
 * the library failed; out is then of no use. */
bool ws_deflate(struct ws_deflater *d, const void *data, size_t len,
    struct buf *out) MUST_CHECK;

enum ws_inflated {
	WS_INFLATED,
	WS_INFLATED_TOO_BIG, /* more than out may hold; stopped there */
	WS_INFLATED_BAD	     /* no deflate data */
};
/* Append the message whose compressed payload this is. */
enum ws_inflated ws_inflate(struct ws_deflater *d, const void *data, size_t len,
    struct buf *out) MUST_CHECK;
