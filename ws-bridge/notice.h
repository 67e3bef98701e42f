/* SPDX-License-Identifier: MIT
 *
 * The events the bridge itself speaks (contract 9.2 to 9.4), as frames. Pure;
 * any thread.
 */
#pragma once

#include "base/json.h"
#include "bus/event.h"
#include "ws-bridge/frame.h"

/* The largest frame of our own making: clients' libraries refuse 1 MiB. */
#define NOTICE_MAX (900u * 1024)

/* Write the members of data between begin and end. */
struct notice {
	struct buf data;
	struct json_w w;
};
void notice_begin(struct notice *n);
/* debate_id may be NULL. Releases n. */
struct frame *notice_end(
    struct notice *n, enum event_type type, const char *debate_id) MUST_CHECK;

struct frame *notice_connection_info(
    const char *client_id, bool is_authenticated, bool may_write) MUST_CHECK;
struct frame *notice_subscribed(const char *debate_id, int64_t latest_seq)
    MUST_CHECK;
struct frame *notice_subscribed_all(void) MUST_CHECK;
struct frame *notice_unsubscribed(const char *debate_id) MUST_CHECK;
struct frame *notice_waiting(const char *debate_id) MUST_CHECK;
struct frame *notice_replay_start(
    const char *debate_id, int64_t since, int64_t latest_seq) MUST_CHECK;
struct frame *notice_replay_end(
    const char *debate_id, int64_t replayed, int64_t latest_seq) MUST_CHECK;
struct frame *notice_ack(const char *msg_type, const char *message) MUST_CHECK;
/* client_ts: the ping's own "ts", may be NULL. */
struct frame *notice_pong(const struct json *client_ts) MUST_CHECK;
struct frame *notice_heartbeat(int64_t active_debates, int64_t clients,
    int64_t last_seq, int64_t viewers) MUST_CHECK;
/* What a person wants to be remembered was taken. */
struct frame *notice_wisdom(const char *debate_id, const char *text) MUST_CHECK;
/* The connection goes on. */
struct frame *notice_warning(const char *code, const char *message) MUST_CHECK;
/* The connection ends. */
struct frame *notice_error(const char *code, const char *message) MUST_CHECK;
/* A close frame. */
struct frame *notice_close(uint16_t code, const char *reason) MUST_CHECK;
