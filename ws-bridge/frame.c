/* SPDX-License-Identifier: MIT
 *
 * The deflated form. A message is an uncompressed deflate block with the
 * payload's first byte, then the rest compressed. So the same compressed bytes
 * serve the event that is told as replayed: only that first block is longer.
 */
#include "ws-bridge/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"
#include "ws-bridge/ws_deflate.h"

#define FRAME_EXTRA	  2   /* "\n\n" */
#define FRAME_TYPE_MAX	  40  /* longest name that SSE is told */
#define FRAME_DEFLATE_MIN 192 /* bytes of payload worth deflating */
#define FRAME_RSV1	  0x40
#define FRAME_BLOCK_HEAD  5 /* of an uncompressed deflate block */

/* What deflating made of the payload behind its first byte. */
struct frame_deflated {
	size_t len;
	char bytes[];
};

/* Deflating was tried and was not worth it. */
static struct frame_deflated frame_incompressible;

static const char frame_replay_member[] = "{\"replayed\":true,";
static const char frame_type_member[] = "{\"type\":\"";

bool
frame_is_type(const void *payload, size_t len, const char *type)
{
	char want[80];
	int n = snprintf(want, sizeof(want), "%s%s\"", frame_type_member, type);

	return n > 0 && (size_t)n < sizeof(want) && len >= (size_t)n &&
	    memcmp(payload, want, (size_t)n) == 0;
}

/* Length of the event's name, 0 when it is none that can stand in a line. */
static uint8_t
frame_type_len(const char *payload, size_t len)
{
	size_t from = sizeof(frame_type_member) - 1;
	uint8_t n = 0;

	if (len <= from || memcmp(payload, frame_type_member, from) != 0)
		return 0;
	while (from + n < len && n <= FRAME_TYPE_MAX) {
		char c = payload[from + n];
		if (c == '"')
			return n;
		if ((c < 'a' || c > 'z') && c != '_')
			return 0;
		n++;
	}
	return 0;
}

static struct frame *
frame_alloc(size_t head_len, size_t payload_len)
{
	size_t len = head_len + payload_len;
	struct frame *f =
	    heap_take(HEAP_EVENTS, mem_alloc(sizeof(*f) + len + FRAME_EXTRA));

	*f = (struct frame){.head_len = (uint8_t)head_len, .len = len};
	memset(f->bytes + len, '\n', FRAME_EXTRA);
	atomic_init(&f->refs, 1);
	atomic_init(&f->deflated, NULL);
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
	f->is_data = opcode == WS_TEXT || opcode == WS_BINARY;
	f->is_end =
	    seq > 0 && frame_is_type(payload, payload_len, "debate_end");
	if (opcode == WS_TEXT)
		f->type_len = frame_type_len(f->bytes + head_len, payload_len);
	return f;
}

struct frame *
frame_new_event(int64_t seq, const void *payload, size_t payload_len)
{
	struct frame *f = frame_new(WS_TEXT, seq, payload, payload_len);

	/* A line end within a text of JSON is escaped. */
	for (size_t i = f->head_len; i < f->len; i++)
		if (f->bytes[i] == '\n' || f->bytes[i] == '\r')
			f->bytes[i] = ' ';
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
	if (old == NULL ||
	    atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct frame_deflated *d = atomic_load(&old->deflated);
	if (d != &frame_incompressible)
		heap_free(HEAP_EVENTS, d);
	heap_free(HEAP_EVENTS, old);
}

static struct frame_deflated *
frame_deflate(const struct frame *f, struct ws_deflater *d)
{
	size_t payload_len = f->len - f->head_len;
	struct frame_deflated *made = &frame_incompressible;
	struct buf out;

	buf_init(&out, payload_len - 1 - FRAME_BLOCK_HEAD);
	if (ws_deflate(d, f->bytes + f->head_len + 1, payload_len - 1, &out)) {
		made = heap_take(
		    HEAP_EVENTS, mem_alloc(sizeof(*made) + out.len + 1));
		made->len = out.len;
		memcpy(made->bytes, buf_text(&out), out.len);
	}
	buf_release(&out);
	return made;
}

/* The deflated form, which any of several threads may be the first to want:
 * the first to be ready gives it to all. */
static struct frame_deflated *
frame_get_deflated(struct frame *f, struct ws_deflater *d)
{
	struct frame_deflated *have = atomic_load(&f->deflated);

	if (have != NULL)
		return have;
	struct frame_deflated *made = frame_deflate(f, d);
	if (atomic_compare_exchange_strong(&f->deflated, &have, made))
		return made;
	if (made != &frame_incompressible)
		heap_free(HEAP_EVENTS, made);
	return have;
}

enum frame_form
frame_form_for(struct frame *f, enum frame_form wanted, struct ws_deflater *d)
{
	switch (wanted) {
	case FRAME_PLAIN:
		break;
	case FRAME_DEFLATED:
		if (f->is_data && f->len - f->head_len >= FRAME_DEFLATE_MIN &&
		    frame_get_deflated(f, d) != &frame_incompressible)
			return FRAME_DEFLATED;
		break;
	case FRAME_SSE:
		if (f->is_data)
			return FRAME_SSE;
		break;
	}
	return FRAME_PLAIN;
}

/* The first bytes of the message itself. */
static size_t
frame_first(const struct frame *f, bool is_replayed, const char **first)
{
	*first = is_replayed ? frame_replay_member : f->bytes + f->head_len;
	return is_replayed ? sizeof(frame_replay_member) - 1 : 1;
}

static size_t
frame_head_plain(const struct frame *f, char *out)
{
	const char *first;
	size_t n = frame_first(f, true, &first);
	size_t len = f->len - f->head_len - 1 + n;
	size_t head_len = ws_encode_header((uint8_t *)out, WS_TEXT, len, NULL);

	memcpy(out + head_len, first, n);
	return head_len + n;
}

static size_t
frame_head_deflated(const struct frame *f, bool is_replayed, char *out)
{
	const struct frame_deflated *d = atomic_load(&f->deflated);
	const char *first;
	size_t n = frame_first(f, is_replayed, &first);
	enum ws_opcode opcode = (enum ws_opcode)(f->bytes[0] & 0x0f);
	size_t head_len = ws_encode_header(
	    (uint8_t *)out, opcode, FRAME_BLOCK_HEAD + n + d->len, NULL);

	out[0] = (char)(out[0] | FRAME_RSV1);
	/* RFC 1951 3.2.4: not final, not compressed, length and its complement
	 * with the low byte first. */
	const char block[FRAME_BLOCK_HEAD] = {
	    0, (char)n, 0, (char)~n, (char)0xff};
	memcpy(out + head_len, block, sizeof(block));
	memcpy(out + head_len + sizeof(block), first, n);
	return head_len + sizeof(block) + n;
}

static size_t
frame_head_sse(const struct frame *f, bool is_replayed, char *out)
{
	const char *name =
	    f->bytes + f->head_len + sizeof(frame_type_member) - 1;
	int n = 0;

	if (f->seq > 0)
		n = snprintf(
		    out, FRAME_HEAD_MAX, "id: %lld\n", (long long)f->seq);
	n += snprintf(out + n, FRAME_HEAD_MAX - (size_t)n,
	    "event: %.*s\ndata: ", f->type_len > 0 ? f->type_len : 7,
	    f->type_len > 0 ? name : "message");
	if (!is_replayed)
		return (size_t)n;
	const char *first;
	size_t len = frame_first(f, true, &first);
	memcpy(out + n, first, len);
	return (size_t)n + len;
}

size_t
frame_head(const struct frame *f, enum frame_form form, bool is_replayed,
    char out[FRAME_HEAD_MAX])
{
	switch (form) {
	case FRAME_PLAIN:
		return is_replayed ? frame_head_plain(f, out) : 0;
	case FRAME_DEFLATED:
		return frame_head_deflated(f, is_replayed, out);
	case FRAME_SSE:
		return frame_head_sse(f, is_replayed, out);
	}
	return 0;
}

const char *
frame_tail(
    const struct frame *f, enum frame_form form, bool is_replayed, size_t *len)
{
	const struct frame_deflated *d;
	size_t from = is_replayed ? f->head_len + 1u : 0;

	switch (form) {
	case FRAME_PLAIN:
		break;
	case FRAME_DEFLATED:
		d = atomic_load(&f->deflated);
		*len = d->len;
		return d->bytes;
	case FRAME_SSE:
		from = f->head_len + (is_replayed ? 1u : 0);
		*len = f->len + FRAME_EXTRA - from;
		return f->bytes + from;
	}
	*len = f->len - from;
	return f->bytes + from;
}
