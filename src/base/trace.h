/* SPDX-License-Identifier: MIT
 *
 * W3C Trace Context: the headers traceparent and tracestate. Pure codec.
 *
 *   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TRACE_ID_LEN	  32
#define TRACE_SPAN_LEN	  16
#define TRACE_PARENT_SIZE 56 /* with its NUL */
#define TRACE_STATE_MAX	  512
#define TRACE_SAMPLED	  1u

struct trace {
	char id[TRACE_ID_LEN + 1];
	char span[TRACE_SPAN_LEN + 1]; /* of the one who asks */
	unsigned flags;		       /* 1 = sampled */
};

/* Lower-case hex digits of exactly that number, not all of them 0. */
bool trace_is_id(const char *text, size_t len);
/* false: no traceparent; *out is unchanged. A later version than 00 is read as
 * far as 00 goes. */
bool trace_parse(const char *text, struct trace *out);
void trace_write(const struct trace *t, char *out);
/* May it be passed on: 1 to 32 members, TRACE_STATE_MAX bytes? */
bool trace_state_is_valid(const char *text);
/* The span of the n-th request of a step, the same for whoever asks: it need
 * not be stored. */
void trace_span_of(
    char *out, const char *debate_id, const char *step_key, long long n);
