/* SPDX-License-Identifier: MIT
 *
 * What an open connection is sent by its client: how often it may speak,
 * compressed messages, control frames.
 */
#include "base/clock.h"
#include "base/str.h"
#include "limit/gcra.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "ws-bridge/bridge.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/notice.h"
#include "ws-bridge/ws_deflate.h"

/* So many bursts more than it may say, and the connection ends. */
#define INPUT_PATIENCE 5
#define INPUT_SECOND   INT64_C(1000000)

static bool
input_admits(struct connection *c)
{
	const struct settings *s = c->server->settings;
	const struct gcra_rule rule = {
	    .interval_us = (INPUT_SECOND + s->ws_msg_rate * GCRA_REQUEST - 1) /
		(s->ws_msg_rate * GCRA_REQUEST),
	    .burst = s->ws_msg_burst * GCRA_REQUEST};
	int64_t now = clock_mono_us();
	int64_t debt = gcra_debt(&rule, c->said_tat_us, now);

	if (!gcra_admits(&rule, debt, GCRA_REQUEST)) {
		/* Under another rule it may have been more. */
		c->said_tat_us = now + debt;
		return false;
	}
	c->said_tat_us = now + debt + GCRA_REQUEST * rule.interval_us;
	return true;
}

/* Pings count as messages. One that comes too soon is ignored, with a warning
 * for the first of a row; who does not stop is closed. */
static bool
input_may_speak(struct connection *c)
{
	const struct bridge *b = c->server->bridge;

	if (b->is_echo || b->settings->disable_all_rate_limits)
		return true;
	if (input_admits(c)) {
		if (c->n_refused > 0)
			c->n_refused--;
		c->is_warned = c->is_warned && c->n_refused > 0;
		return true;
	}
	metric_add(METRIC_WS_MESSAGES_REFUSED, 1);
	c->n_refused++;
	if (c->n_refused > INPUT_PATIENCE * b->settings->ws_msg_burst)
		connection_close(c, WS_CLOSE_POLICY, "too many messages");
	else if (!c->is_warned)
		connection_send(c,
		    notice_warning("rate_limited",
			"too many messages: this one is ignored"));
	c->is_warned = true;
	return false;
}

void
connection_on_close(struct connection *c)
{
	uint16_t code = c->decoder.close_code;

	c->is_peer_closed = true;
	if (code != WS_CLOSE_NONE) {
		connection_close(c, code, "");
		return;
	}
	conn_trace_close(c->trace, WS_CLOSE_NONE);
	connection_push(c, frame_new(WS_CLOSE, 0, NULL, 0), false);
	connection_set_state(c, CONN_CLOSING);
}

/* At most one pong is queued; of the pings that come meanwhile the last one is
 * answered (RFC 6455 5.5.3). */
static void
input_ping(struct connection *c)
{
	if (!input_may_speak(c))
		return;
	frame_unref(&c->pong);
	c->pong =
	    frame_new(WS_PONG, 0, c->decoder.control, c->decoder.control_len);
	if (!c->is_pong_queued || c->server->bridge->is_echo)
		connection_send_pong(c);
}

void
connection_send_pong(struct connection *c)
{
	struct frame *f = c->pong;

	c->pong = NULL;
	if (f == NULL)
		return;
	c->is_pong_queued = true;
	connection_send_quiet(c, f);
}

static void
input_take(struct connection *c, const char *data, size_t len)
{
	enum ws_opcode opcode = c->decoder.message_opcode;

	if (c->server->bridge->is_echo)
		connection_send(c, frame_new(opcode, 0, data, len));
	else
		connection_on_text(c, data, len);
}

/* A compressed message: its size and its text are judged here. */
static void
input_inflate(struct connection *c)
{
	const struct ws_decoder *d = &c->decoder;
	struct buf out;

	buf_init(&out, d->max_message);
	switch (ws_inflate(
	    c->server->deflater, buf_text(&d->message), d->message.len, &out)) {
	case WS_INFLATED_TOO_BIG:
		connection_close(c, WS_CLOSE_TOO_BIG, "message is too big");
		break;
	case WS_INFLATED_BAD:
		connection_close(
		    c, WS_CLOSE_BAD_TEXT, "message is not deflate data");
		break;
	case WS_INFLATED:
		if (d->message_opcode == WS_TEXT &&
		    !str_is_utf8(buf_text(&out), out.len))
			connection_close(
			    c, WS_CLOSE_BAD_TEXT, "text is not UTF-8");
		else
			input_take(c, buf_text(&out), out.len);
		break;
	}
	buf_release(&out);
}

static void
input_message(struct connection *c)
{
	const struct ws_decoder *d = &c->decoder;

	metric_add(METRIC_WS_MESSAGES_IN, 1);
	if (!input_may_speak(c))
		return;
	if (d->is_deflated)
		input_inflate(c);
	else
		input_take(c, buf_text(&d->message), d->message.len);
}

void
connection_on_frames(struct connection *c, const char *data, size_t len)
{
	struct ws_decoder *d = &c->decoder;
	size_t used = 0;

	for (bool has_more = true; has_more && c->state == CONN_OPEN;) {
		enum ws_event e =
		    ws_decoder_feed(d, (const uint8_t *)data, len, &used);
		data += used;
		len -= used;
		switch (e) {
		case WS_EVENT_MORE:
			has_more = false;
			break;
		case WS_EVENT_MESSAGE:
			input_message(c);
			break;
		case WS_EVENT_PING:
			input_ping(c);
			break;
		case WS_EVENT_PONG:
			break;
		case WS_EVENT_CLOSE:
			connection_on_close(c);
			break;
		case WS_EVENT_ERROR:
			connection_close(c, d->close_code, d->reason);
			break;
		}
	}
}
