/* SPDX-License-Identifier: MIT */
#include "ws-bridge/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char frame_replay_member[] = "{\"replayed\":true,";

bool
frame_is_type(const void *payload, size_t len, const char *type)
{
	char want[80];
	int n = snprintf(want, sizeof(want), "{\"type\":\"%s\"", type);

	return n > 0 && (size_t)n < sizeof(want) && len >= (size_t)n &&
	    memcmp(payload, want, (size_t)n) == 0;
}

static struct frame *
frame_alloc(size_t head_len, size_t payload_len)
{
	struct frame *f = mem_alloc(sizeof(*f) + head_len + payload_len);

	f->head_len = (uint8_t)head_len;
	f->len = head_len + payload_len;
	f->seq = 0;
	f->is_end = false;
	atomic_init(&f->refs, 1);
	return f;
}

struct frame *
frame_new(
    enum ws_opcode opcode, int64_t seq, const void *payload, size_t payload_len)
{
	uint8_t head[WS_HEADER_MAX];
	size_t head_len = ws_encode_header(head, opcode, payload_len, NULL);
	struct frame *f = frame_alloc(head_len, payload_len);

	memcpy(f->bytes, head, head_len);
	if (payload_len > 0)
		memcpy(f->bytes + head_len, payload, payload_len);
	f->seq = seq;
	f->is_end =
	    seq > 0 && frame_is_type(payload, payload_len, "debate_end");
	return f;
}

struct frame *
frame_new_raw(const void *bytes, size_t len)
{
	struct frame *f = frame_alloc(0, len);

	memcpy(f->bytes, bytes, len);
	return f;
}

struct frame *
frame_ref(struct frame *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void
frame_unref(struct frame **f)
{
	struct frame *old = *f;

	*f = NULL;
	if (old != NULL &&
	    atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) == 1)
		free(old);
}

size_t
frame_replay_head(const struct frame *f, char out[FRAME_REPLAY_MAX])
{
	size_t extra = sizeof(frame_replay_member) - 2;
	uint8_t head[WS_HEADER_MAX];
	size_t head_len =
	    ws_encode_header(head, WS_TEXT, f->len - f->head_len + extra, NULL);

	assert(head_len + extra + 1 <= FRAME_REPLAY_MAX);
	memcpy(out, head, head_len);
	memcpy(out + head_len, frame_replay_member, extra + 1);
	return head_len + extra + 1;
}

const char *
frame_replay_tail(const struct frame *f, size_t *len)
{
	*len = f->len - f->head_len - 1;
	return f->bytes + f->head_len + 1;
}
