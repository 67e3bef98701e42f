/* SPDX-License-Identifier: MIT
 *
 * What a transfer brings of an answer: headers, bytes, the end.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "llm/llm_call.h"

#define READ_STREAM_MAX (64u << 20) /* raw: a token's event is ~250 bytes */
#define READ_EVENT_MAX	(1u << 20)

static void
read_on_event(void *arg, const char *data, size_t len)
{
	struct llm_call *c = arg;

	if (!c->is_dead && c->stream.error == LLM_ERR_NONE)
		llm_stream_event(c->provider, &c->stream, data, len);
}

static void
read_on_text(void *arg, const char *text, size_t len)
{
	struct llm_call *c = arg;

	/* From the first token on it is the pause between tokens that counts;
	 * what was heard since is on the clock already. */
	if (c->stream.text.len == len && c->state == CALL_STREAMING)
		llm_call_arm(c);
	if (c->stream.text.len == len)
		llm_hedge_drop(c);
	if (c->ops.on_delta != NULL && !c->is_dead)
		c->ops.on_delta(c->ops.arg, text, len);
}

/* Some servers send a stream under another name. */
static bool
read_looks_like_stream(const char *data, size_t len)
{
	return (len >= 5 && memcmp(data, "data:", 5) == 0) ||
	    (len >= 6 && memcmp(data, "event:", 6) == 0);
}

/* Every whole line is an event. */
static void
read_lines(struct llm_call *c)
{
	size_t from = 0;

	while (from < c->reply.len) {
		const char *line = c->reply.data + from;
		const char *end = memchr(line, '\n', c->reply.len - from);
		if (end == NULL)
			break;
		size_t len = (size_t)(end - line);
		from += len + 1;
		if (len > 0 && line[len - 1] == '\r')
			len--;
		if (len > 0)
			read_on_event(c, line, len);
	}
	buf_consume(&c->reply, from);
}

static bool
read_take(struct llm_call *c, const char *data, size_t len)
{
	struct llm_stream *s = &c->stream;

	if (c->is_sse) {
		if (sse_feed(&c->sse, data, len, read_on_event, c) != ERR_OK)
			return false;
	} else {
		buf_append(&c->reply, data, len);
		if (c->is_lines && !c->reply.is_overflowed)
			read_lines(c);
	}
	return c->received <= READ_STREAM_MAX && !c->reply.is_overflowed &&
	    !s->text.is_overflowed && s->error == LLM_ERR_NONE;
}

static bool
read_on_body(
    void *arg, long status, const char *type, const char *data, size_t len)
{
	struct llm_call *c = arg;

	c->heard_ms = clock_mono_ms();
	c->received += len;
	if (!c->is_known) {
		c->is_known = true;
		c->status = status;
		c->state = CALL_STREAMING;
		c->is_lines =
		    status == 200 && c->provider->framing == LLM_FRAMING_LINES;
		c->is_sse = status == 200 && !c->is_lines &&
		    (*type == '\0' || strstr(type, "event-stream") != NULL ||
			read_looks_like_stream(data, len));
	}
	llm_call_enter(c);
	bool goes_on = read_take(c, data, len);
	return llm_call_leave(c) && goes_on;
}

/* Who asks again writes it again. */
static void
read_on_sent(void *arg)
{
	struct llm_call *c = arg;

	buf_release(&c->body);
}

static void
read_on_header(void *arg, const char *name, const char *value)
{
	struct llm_call *c = arg;
	bool is_ms = str_ieq(name, "retry-after-ms");

	if (is_ms || (str_ieq(name, "retry-after") && c->retry_after_ms < 0))
		c->retry_after_ms =
		    llm_retry_after_ms(value, is_ms, clock_wall_us());
	llm_limits_header(&c->limits, name, value, clock_wall_us());
}

/* A status other than 200. */
static void
read_refused(struct llm_call *c, long status)
{
	struct llm_refused *known = &c->endpoint->refused;
	struct llm_failure f;

	llm_error_read(&f, status, buf_text(&c->reply), c->reply.len, known);
	if (c->retry_after_ms < 0)
		c->retry_after_ms = f.retry_after_ms;
	if (f.error == LLM_ERR_RATE && c->retry_after_ms < 0 &&
	    c->provider->has_silent_cap)
		f.error = LLM_ERR_MONEY;
	/* Another call may have learnt it while this one was out. */
	c->is_mended = f.error == LLM_ERR_BAD_REQUEST &&
	    (memcmp(&c->heeded, known, sizeof(*known)) != 0 ||
		(f.is_context && llm_call_shrink(c)));
	llm_call_failed(c, f.error, f.message);
}

/* The tokens that were really used; when headers told, they know better. */
static void
read_settle(struct llm_call *c)
{
	struct llm_bucket *b = &c->endpoint->limits[LLM_LIMIT_TOKENS];
	int64_t used = c->stream.tokens_in + c->stream.tokens_out;

	if (c->stream.tokens_in >= 0 && c->stream.tokens_out >= 0 &&
	    c->limits.left[LLM_LIMIT_TOKENS] < 0)
		llm_bucket_take(b, used - c->reserved, clock_mono_ms());
}

/* The answer has come to its end, if not to its sense. */
static void
read_answered(struct llm_call *c)
{
	struct llm_stream *s = &c->stream;

	/* A last line without its end is whole or nothing. */
	if (!c->is_sse && (!c->is_lines || c->reply.len > 0))
		llm_stream_event(
		    c->provider, s, buf_text(&c->reply), c->reply.len);
	if (c->is_dead)
		return;
	if (s->error != LLM_ERR_NONE) {
		llm_call_failed(c, s->error, s->message);
	} else if (!s->has_finish) {
		/* A proxy that lost its upstream may still say [DONE]. */
		llm_call_failed(
		    c, LLM_ERR_PARTIAL, "the answer broke off before its end");
	} else if (s->text.len == 0) {
		llm_call_failed(c, LLM_ERR_EMPTY,
		    s->is_truncated ? "the model spent all its tokens before "
				      "it answered"
				    : "the answer is empty");
	} else {
		llm_call_note(c, LLM_ERR_NONE);
		read_settle(c);
		llm_call_finish(c, LLM_ERR_NONE, "");
	}
}

static void
read_broken(struct llm_call *c, const char *reason)
{
	if (c->stream.text.len == 0)
		llm_call_failed(c, LLM_ERR_NETWORK, reason);
	else
		llm_call_failed(
		    c, LLM_ERR_PARTIAL, "the answer broke off before its end");
}

static void
read_on_end(
    void *arg, enum llm_transfer_end end, long status, const char *reason)
{
	struct llm_call *c = arg;

	c->transfer = NULL;
	c->status = status;
	llm_endpoint_heard(c->endpoint, &c->limits, clock_mono_ms());
	llm_call_enter(c);
	if (c->stream.error != LLM_ERR_NONE) {
		llm_call_failed(c, c->stream.error, c->stream.message);
		llm_call_leave(c);
		return;
	}
	switch (end) {
	case LLM_TRANSFER_OK:
		if (status == 200)
			read_answered(c);
		else
			read_refused(c, status);
		break;
	case LLM_TRANSFER_DENIED:
		llm_call_failed(c, LLM_ERR_BAD_REQUEST, reason);
		break;
	case LLM_TRANSFER_TIMEOUT:
		llm_call_failed(c, LLM_ERR_TIMEOUT, reason);
		break;
	case LLM_TRANSFER_ABORTED:
		llm_call_failed(c, LLM_ERR_SERVER, "the answer is too long");
		break;
	case LLM_TRANSFER_BROKEN:
		read_broken(c, reason);
		break;
	}
	llm_call_leave(c);
}

const struct llm_transfer_ops llm_read_ops = {.on_sent = read_on_sent,
    .on_header = read_on_header,
    .on_body = read_on_body,
    .on_end = read_on_end};

void
llm_read_reset(struct llm_call *c)
{
	c->retry_after_ms = -1;
	c->number = 0;
	c->key_header = "";
	c->n_trace = 0;
	c->status = 0;
	c->sent_us = 0;
	c->is_known = false;
	c->is_sse = false;
	c->is_lines = false;
	c->received = 0;
	buf_clear(&c->reply);
	sse_release(&c->sse);
	sse_init(&c->sse, READ_EVENT_MAX);
	llm_stream_reset(&c->stream);
	llm_limits_init(&c->limits);
	c->stream.on_text = read_on_text;
	c->stream.arg = c;
}
