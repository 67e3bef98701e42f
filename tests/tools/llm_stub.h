/* SPDX-License-Identifier: MIT
 *
 * Inside of the stub of a model provider: a request, and the reply as it goes
 * over the wire. llm_stub.c serves, llm_stub_reply.c checks and scripts,
 * llm_stub_text.c writes answers.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"

struct stub_request {
	const char *method;
	const char *path;
	/* headers, "" = absent */
	const char *authorization;
	const char *content_type;
	const char *scenario;
	const char *body;
	size_t body_len;
	char sha[ID_HASH_SIZE];
	bool wants_close;
	int64_t seen; /* how often the same body came before */
};

/* Wait before the byte at `at` is sent. */
struct stub_mark {
	size_t at;
	int64_t pause_ms;
};

/* What happens when all bytes are sent. */
enum stub_end { STUB_KEEP, STUB_FIN, STUB_RESET, STUB_STALL };

struct stub_reply {
	struct buf bytes;
	struct stub_mark *marks;
	size_t n_marks;
	enum stub_end end;
	bool is_split; /* every byte a write of its own */
	/* for the log; on the request's arena */
	const char *outcome;
	const char *task;
	const char *model;
	const char *scenario;
};

/* Fills out, whose memory the caller releases (stub_reply_release). */
void stub_reply_make(
    struct arena *a, const struct stub_request *q, struct stub_reply *out);
void stub_reply_release(struct stub_reply *r);
/* A whole answer with its length. headers: whole lines, "" = none. */
void stub_reply_plain(struct stub_reply *r, int status, const char *type,
    const char *headers, const char *body, size_t len);

/* Which task the user message sets: llm_task_name()'s words, or "other". */
const char *stub_task(const char *prompt);
/* An answer that fits the task, the same for the same sha (of messages and
 * seed, so that the scenario does not change what is said). vote: the form of
 * a ballot, "" = plain JSON. */
const char *stub_answer(struct arena *a, const char *task, const char *prompt,
    const char *sha, const char *vote);
