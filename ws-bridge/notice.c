/* SPDX-License-Identifier: MIT */
#include "ws-bridge/notice.h"

#include "base/clock.h"

void
notice_begin(struct notice *n)
{
	buf_init(&n->data, NOTICE_MAX);
	json_w_init(&n->w, &n->data);
	json_w_begin(&n->w, NULL);
}

struct frame *
notice_end(struct notice *n, enum event_type type, const char *debate_id)
{
	struct buf out;

	json_w_end(&n->w);
	buf_init(&out, NOTICE_MAX + WS_CONTROL_MAX * 8);
	event_encode(&out,
	    &(struct event){.type = event_name(type),
		.debate_id = debate_id,
		.created_us = clock_wall_us(),
		.data = n->data.is_overflowed ? "{}" : buf_text(&n->data)});
	struct frame *f = frame_new(WS_TEXT, 0, buf_text(&out), out.len);
	buf_release(&out);
	buf_release(&n->data);
	return f;
}

struct frame *
notice_connection_info(
    const char *client_id, bool is_authenticated, bool may_write)
{
	struct notice n;

	notice_begin(&n);
	json_w_bool(&n.w, "authenticated", is_authenticated);
	json_w_str(&n.w, "client_id", client_id);
	json_w_bool(&n.w, "write_access", is_authenticated && may_write);
	json_w_str(&n.w, "server_version", PACKAGE_VERSION);
	return notice_end(&n, EVENT_CONNECTION_INFO, NULL);
}

struct frame *
notice_subscribed(const char *debate_id, int64_t latest_seq)
{
	struct notice n;

	notice_begin(&n);
	json_w_int(&n.w, "latest_seq", latest_seq);
	return notice_end(&n, EVENT_SUBSCRIBED, debate_id);
}

struct frame *
notice_subscribed_all(void)
{
	struct notice n;

	notice_begin(&n);
	json_w_bool(&n.w, "all", true);
	return notice_end(&n, EVENT_SUBSCRIBED, NULL);
}

struct frame *
notice_unsubscribed(const char *debate_id)
{
	struct notice n;

	notice_begin(&n);
	return notice_end(&n, EVENT_UNSUBSCRIBED, debate_id);
}

/* The sync of a debate that does not exist (yet). */
struct frame *
notice_waiting(const char *debate_id)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "status", "waiting");
	json_w_int(&n.w, "latest_seq", 0);
	return notice_end(&n, EVENT_SYNC, debate_id);
}

struct frame *
notice_replay_start(const char *debate_id, int64_t since, int64_t latest_seq)
{
	struct notice n;

	notice_begin(&n);
	json_w_int(&n.w, "from_seq", since);
	json_w_int(&n.w, "event_count", latest_seq - since);
	/* The table keeps everything, so the oldest is the first. */
	json_w_int(&n.w, "buffer_oldest_seq", latest_seq > 0 ? 1 : 0);
	json_w_int(&n.w, "buffer_latest_seq", latest_seq);
	return notice_end(&n, EVENT_REPLAY_START, debate_id);
}

struct frame *
notice_replay_end(const char *debate_id, int64_t replayed, int64_t latest_seq)
{
	struct notice n;

	notice_begin(&n);
	json_w_int(&n.w, "replayed_count", replayed);
	json_w_int(&n.w, "latest_seq", latest_seq);
	return notice_end(&n, EVENT_REPLAY_END, debate_id);
}

struct frame *
notice_ack(const char *msg_type, const char *message)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "msg_type", msg_type);
	json_w_str(&n.w, "message_type", msg_type);
	json_w_str(&n.w, "message", message);
	return notice_end(&n, EVENT_ACK, NULL);
}

struct frame *
notice_pong(const struct json *client_ts)
{
	struct notice n;

	notice_begin(&n);
	json_w_json(&n.w, "client_ts", client_ts);
	json_w_num(&n.w, "server_ts", (double)clock_wall_us() / 1e6);
	return notice_end(&n, EVENT_PONG, NULL);
}

struct frame *
notice_heartbeat(
    int64_t active_debates, int64_t clients, int64_t last_seq, int64_t viewers)
{
	struct notice n;

	notice_begin(&n);
	json_w_num(&n.w, "server_time", (double)clock_wall_us() / 1e6);
	json_w_int(&n.w, "active_debates", active_debates);
	json_w_int(&n.w, "connected_clients", clients);
	json_w_int(&n.w, "last_seq", last_seq);
	json_w_int(&n.w, "viewers", viewers);
	return notice_end(&n, EVENT_HEARTBEAT, NULL);
}

struct frame *
notice_wisdom(const char *debate_id, const char *text)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "text", text);
	json_w_str(
	    &n.w, "message", "taken: it counts from the end of the round");
	return notice_end(&n, EVENT_WISDOM_CONFIRMED, debate_id);
}

struct frame *
notice_warning(const char *code, const char *message)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "code", code);
	json_w_str(&n.w, "message", message);
	json_w_str(&n.w, "severity", "warning");
	return notice_end(&n, EVENT_WARNING, NULL);
}

struct frame *
notice_error(const char *code, const char *message)
{
	struct notice n;

	notice_begin(&n);
	json_w_str(&n.w, "code", code);
	json_w_str(&n.w, "message", message);
	json_w_str(&n.w, "error", message);
	return notice_end(&n, EVENT_ERROR, NULL);
}

struct frame *
notice_close(uint16_t code, const char *reason)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t len = ws_encode_close(payload, code, reason);

	return frame_new(WS_CLOSE, 0, payload, len);
}
