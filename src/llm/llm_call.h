/* SPDX-License-Identifier: MIT
 *
 * Inside of src/llm/: one record per call. llm_call.c makes and frees it and
 * moves it on, llm_call_aim.c says where it goes, llm_call_send.c sends it,
 * llm_read.c takes in what the transfer brings, llm_call_end.c tries again or
 * ends it; llm_hedge.c asks a second time.
 */
#pragma once

#include "base/list.h"
#include "llm/llm_endpoint.h"
#include "llm/llm_http.h"
#include "llm/llm_limits.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"
#include "llm/sse.h"
#include "settings/settings.h"

#define CALL_BODY_MAX (8u << 20) /* of an answer */

struct llm {
	const struct settings *settings;
	struct loop *loop;
	struct llm_http *http;
	struct list calls;
	struct llm_endpoint *endpoints;
	struct llm_budget budgets[LLM_DIALECT__COUNT];
};

enum call_state {
	CALL_SENDING,
	CALL_STREAMING,
	CALL_PAUSING, /* before an attempt */
	CALL_WAITING, /* for leave to send it */
	CALL_OFFLINE, /* an answer made here appears piece by piece */
	CALL_HEDGED,  /* only the hedge is still at it */
	CALL_REFUSED  /* it cannot be made at all: `refusal` says why */
};

struct llm_call {
	struct list link;
	struct llm *llm;
	struct llm_call_ops ops;
	enum call_state state;
	int busy;     /* frames of ours that call back and go on after */
	bool is_dead; /* cancelled meanwhile; the last frame frees it */
	struct arena *arena;
	struct llm_endpoint *endpoint;
	const struct llm_provider *provider;
	/* copies for retries */
	struct llm_agent agent;
	struct llm_request request;
	const char *url;
	const char *auth; /* header line, "" = none */
	const char *key;  /* hidden in every message */
	struct llm_price price;
	/* of CALL_REFUSED */
	enum llm_error_class refusal_class;
	const char *refusal;
	/* the attempt under way */
	struct llm_transfer *transfer;
	int64_t number;		/* as on_next named it, 0 = none or told of */
	const char *key_header; /* "" = none */
	const char *trace[2];	/* header lines */
	size_t n_trace;
	long status;
	int64_t sent_us;  /* 0 = it has not left */
	struct buf body;  /* request, until it is sent */
	size_t body_len;  /* 0 = none was made */
	struct buf reply; /* answer that is not a stream, or a line of one */
	struct sse sse;
	struct llm_stream stream;
	struct llm_limits limits; /* what its headers say */
	size_t received;
	int64_t reserved; /* tokens taken from the bucket */
	bool is_probe;	  /* of an endpoint that is paused */
	bool is_sse, is_lines;
	bool is_known;		   /* status and type have been looked at */
	int64_t retry_after_ms;	   /* -1 = not said */
	struct llm_refused heeded; /* what it left out */
	bool is_mended; /* the next attempt is another request: no pause */
	/* of the whole call */
	struct loop_timer timer; /* deadlines, pauses, offline pieces */
	int64_t started_ms, heard_ms;
	int64_t attempts;
	int64_t attempts_elsewhere;  /* before the fallback */
	int64_t spent_in, spent_out; /* by attempts that broke off */
	bool is_fallback;	     /* asks OpenRouter instead */
	bool is_shrunk;		     /* the prompt was too long */
	char *offline_text;
	size_t offline_at, offline_piece;
	/* the second request, which is a call of its own */
	struct llm_call *hedge;
	struct loop_timer hedge_timer;
	bool is_hedge;	  /* this one is a second request */
	bool hedge_leads; /* it spoke first */
	bool is_hedged;	  /* there was one: no other */
};

/* ---- llm_call.c ---- */

/* Frames that go on after a callback stand between these two. leave = false:
 * the call was cancelled and must not be touched any more. */
void llm_call_enter(struct llm_call *c);
bool llm_call_leave(struct llm_call *c);
/* The attempt is over: its connection is closed. */
void llm_call_end_attempt(struct llm_call *c);
/* llm_call_start, for a hedge too: its clock began with the first request. */
struct llm_call *llm_call_open(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops,
    const struct llm_call *hedged);

/* ---- llm_call_aim.c ---- */

/* Copies the request, unless that lasts, and aims. */
void llm_call_prepare(struct llm_call *c, const struct llm_request *request);
/* At c->agent: its URL, key, price. CALL_REFUSED when that cannot be. */
void llm_call_aim(struct llm_call *c);

/* ---- llm_call_send.c ---- */

/* The next attempt, if its endpoint lets it go; else it pauses or ends. */
void llm_call_attempt(struct llm_call *c);
/* Wake up when the provider has been silent for too long. */
void llm_call_arm(struct llm_call *c);
/* Has it been? */
void llm_call_on_silence(struct llm_call *c);

/* ---- llm_call_end.c ---- */

/* It has failed: another one, or the end. */
void llm_call_failed(
    struct llm_call *c, enum llm_error_class error, const char *text);
/* Ask OpenRouter from the next attempt on; false: that is of no use. */
bool llm_call_fall_back(struct llm_call *c, enum llm_error_class error);
/* Tell of the attempt, unless that was done. */
void llm_call_tell(
    struct llm_call *c, enum llm_error_class error, bool is_dropped);
/* The end. */
void llm_call_finish(
    struct llm_call *c, enum llm_error_class error, const char *message);
void llm_call_deliver(struct llm_call *c, const struct llm_result *result);
/* Tell the breaker. */
void llm_call_note(struct llm_call *c, enum llm_error_class error);
/* Rough: four bytes a token. */
int64_t llm_call_estimate(size_t bytes);
/* What the next attempt is to the ones before. */
enum llm_attempt_kind llm_call_kind(const struct llm_call *c);
/* Of the time for all attempts together. */
int64_t llm_call_left_ms(const struct llm_call *c);
bool llm_call_is_embed(const struct llm_call *c);
/* The prompt is too long: keep the first half of every text but the
 * question. false: there is nothing to cut, or it was cut before. */
bool llm_call_shrink(struct llm_call *c);

/* ---- llm_read.c ---- */

/* What a transfer reports; arg is the call. */
extern const struct llm_transfer_ops llm_read_ops;
/* Ready for the next answer. */
void llm_read_reset(struct llm_call *c);

/* ---- llm_hedge.c ---- */

void llm_hedge_arm(struct llm_call *c);
void llm_hedge_drop(struct llm_call *c);
