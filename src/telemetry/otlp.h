/* SPDX-License-Identifier: MIT
 *
 * OTLP in its JSON mapping: a message of spans, and what the collector's
 * answer means. No I/O.
 */
#pragma once

#include "base/buf.h"
#include "settings/otel.h"
#include "telemetry/span.h"

#define OTLP_ATTEMPTS_MAX 5
#define OTLP_ANSWER_MAX	  65536 /* bytes of an answer that are looked at */

/* Who sends: service.name, the user's attributes, the process. */
struct otlp_sender {
	const char *service;		/* "" = what extra says, else program */
	const char *program;		/* "aragora-fcgi" */
	const char *instance;		/* of this process alone */
	const struct otel_pairs *extra; /* wins over what we would say */
};

/* otlp_begin, otlp_add for each span, otlp_end. */
void otlp_begin(struct buf *out, const struct otlp_sender *sender);
void otlp_add(struct buf *out, const struct span *span);
void otlp_end(struct buf *out);

enum otlp_verdict {
	OTLP_TAKEN,
	OTLP_AGAIN, /* the same message later */
	OTLP_REFUSED
};
/* status 0: no answer came. */
enum otlp_verdict otlp_judge(long status);
/* Before the next attempt, after so many; retry_after_ms is what the answer
 * asks for, -1 = nothing. */
int64_t otlp_pause_ms(int attempts, int64_t retry_after_ms, uint32_t random);
/* Of n spans of a message that was taken: how many were not (partialSuccess).
 * An answer that says nothing readable says that all were. */
int64_t otlp_rejected(const char *answer, size_t len, int64_t n);
