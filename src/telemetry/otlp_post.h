/* SPDX-License-Identifier: MIT
 *
 * One POST to the collector at a time, on the caller's thread, with an end
 * that another thread may bring nearer. The collector is the operator's:
 * any address will do, but with ARAGORA_OFFLINE only this machine's. No
 * redirects, no proxy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "settings/otel.h"

struct otlp_post;

struct otlp_request {
	const char *url;
	const struct otel_pairs *headers;
	const char *certificates; /* file, "" = the system's */
	const char *body;
	size_t body_len;
	int64_t timeout_ms;
	bool is_offline;
};

struct otlp_answer {
	long status;		/* 0 = none came */
	int64_t retry_after_ms; /* -1 = not said */
	const char *reason;	/* why none came; static text */
	struct buf body;	/* the caller's; cut at its maximum */
};

enum err otlp_post_new(struct otlp_post **out, struct err_info *info)
    MUST_CHECK;
void otlp_post_free(struct otlp_post **p);

void otlp_post_send(struct otlp_post *p, const struct otlp_request *request,
    struct otlp_answer *answer);
/* Any thread: whatever is under way or comes later ends at that time. */
void otlp_post_end_at(struct otlp_post *p, int64_t mono_ms);
