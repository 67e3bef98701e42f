/* SPDX-License-Identifier: MIT */
#include "telemetry/tracer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/metrics.h"
#include "settings/otel.h"
#include "settings/settings.h"
#include "telemetry/otlp.h"
#include "telemetry/otlp_post.h"
#include "telemetry/sampler.h"
#include "telemetry/span_queue.h"

#define TRACER_THREAD	      "traces"
#define TRACER_BODY_MAX	      ((size_t)32 << 20)
#define TRACER_BODY_KEEP      ((size_t)1 << 20)
#define TRACER_INSTANCE_BYTES 8
#define TRACER_TRACE_BYTES    (TRACE_ID_LEN / 2)
#define TRACER_SPAN_BYTES     (TRACE_SPAN_LEN / 2)

/* One per process, as the metrics are. All but the queue belongs to the thread
 * that sends. */
static struct {
	bool is_on;
	const struct settings *settings;
	pthread_t thread;
	struct span_queue queue;
	struct otlp_post *post;
	struct arena *arena; /* of the next three */
	const char *url;
	struct otlp_sender sender;
	struct otel_pairs attributes;
	char instance[ID_SIZE];
	size_t batch;
	struct buf body;
	struct otlp_answer answer;
	bool is_failing; /* the last message was not taken */
} tracer;

/* ---- the sending thread ---- */

/* Said once each way, never what the collector or the settings say. */
static void
tracer_tell(bool is_failing, const struct otlp_answer *a)
{
	if (is_failing && !tracer.is_failing)
		log_warning("trace.failing", "status=%ld reason=\"%s\"",
		    a->status, a->status == 0 ? a->reason : "");
	else if (!is_failing && tracer.is_failing)
		log_info("trace.sent_again", "status=%ld", a->status);
	tracer.is_failing = is_failing;
}

/* The next message; how many spans are in it. */
static int64_t
tracer_pack(void)
{
	struct span span;
	size_t n = 0;

	buf_clear(&tracer.body);
	otlp_begin(&tracer.body, &tracer.sender);
	while (n < tracer.batch && span_queue_take(&tracer.queue, &span)) {
		otlp_add(&tracer.body, &span);
		n++;
	}
	otlp_end(&tracer.body);
	return (int64_t)n;
}

static enum otlp_verdict
tracer_send_once(void)
{
	const struct settings *s = tracer.settings;
	struct arena *a = arena_new(0);
	struct otel_pairs headers;

	/* They may have been read again; the settings have checked them. */
	if (otel_headers(a, s->otel_headers, &headers, NULL) != ERR_OK)
		headers = (struct otel_pairs){0};
	buf_clear(&tracer.answer.body);
	otlp_post_send(tracer.post,
	    &(struct otlp_request){.url = tracer.url,
		.headers = &headers,
		.certificates = s->otel_certificate,
		.body = buf_text(&tracer.body),
		.body_len = tracer.body.len,
		.timeout_ms = s->otel_timeout,
		.is_offline = s->offline},
	    &tracer.answer);
	arena_free(&a);
	enum otlp_verdict v = otlp_judge(tracer.answer.status);
	tracer_tell(v != OTLP_TAKEN, &tracer.answer);
	return v;
}

static void
tracer_count(enum otlp_verdict v, int64_t n)
{
	const struct buf *b = &tracer.answer.body;
	int64_t failed =
	    v == OTLP_TAKEN ? otlp_rejected(buf_text(b), b->len, n) : n;

	metric_add(METRIC_TRACE_EXPORTED, n - failed);
	metric_add(METRIC_TRACE_FAILED, failed);
	if (v == OTLP_TAKEN && failed > 0)
		log_debug("trace.rejected", "spans=%lld", (long long)failed);
}

/* One message, until it is taken or given up. */
static void
tracer_send(int64_t n)
{
	enum otlp_verdict v = OTLP_AGAIN;
	uint32_t random;

	if (tracer.body.is_overflowed) {
		metric_add(METRIC_TRACE_FAILED, n);
		return;
	}
	for (int i = 1; v == OTLP_AGAIN; i++) {
		v = tracer_send_once();
		if (v != OTLP_AGAIN || i == OTLP_ATTEMPTS_MAX)
			break;
		id_random(&random, sizeof(random));
		if (!span_queue_pause(&tracer.queue,
			otlp_pause_ms(
			    i, tracer.answer.retry_after_ms, random))) {
			/* The process ends: once more, if there is time. */
			v = tracer_send_once();
			break;
		}
	}
	tracer_count(v, n);
}

static void *
tracer_run(void *arg UNUSED)
{
	pthread_setname_np(pthread_self(), TRACER_THREAD);
	while (span_queue_wait(
	    &tracer.queue, tracer.settings->otel_schedule_delay)) {
		tracer_send(tracer_pack());
		if (tracer.body.cap > TRACER_BODY_KEEP)
			buf_release(&tracer.body);
		if (tracer.body.data == NULL)
			buf_init(&tracer.body, TRACER_BODY_MAX);
	}
	return NULL;
}

/* ---- start and stop ---- */

/* Signals are for the threads that wait for them. */
static enum err
tracer_start_thread(void)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int failed = pthread_create(&tracer.thread, NULL, tracer_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed == 0 ? ERR_OK : ERR_IO;
}

static void
tracer_release(void)
{
	span_queue_release(&tracer.queue);
	otlp_post_free(&tracer.post);
	buf_release(&tracer.body);
	buf_release(&tracer.answer.body);
	arena_free(&tracer.arena);
}

enum err
tracer_start(
    const struct settings *s, const char *program, struct err_info *info)
{
	struct arena *a = arena_new(0);
	const char *url = NULL;
	struct otel_pairs attributes;

	enum err e =
	    otel_url(a, s->otel_endpoint, s->otel_traces_endpoint, &url, info);
	if (e == ERR_OK)
		e = otel_attributes(
		    a, s->otel_resource_attributes, &attributes, info);
	if (e == ERR_OK && url != NULL && !s->otel_sdk_disabled)
		e = otlp_post_new(&tracer.post, info);
	if (tracer.post == NULL) {
		arena_free(&a);
		return e;
	}
	tracer.settings = s;
	tracer.arena = a;
	tracer.url = url;
	tracer.attributes = attributes;
	id_make(tracer.instance, "", TRACER_INSTANCE_BYTES);
	tracer.sender = (struct otlp_sender){.service = s->otel_service_name,
	    .program = program,
	    .instance = tracer.instance,
	    .extra = &tracer.attributes};
	tracer.batch = (size_t)(s->otel_batch_size < s->otel_queue_size
		? s->otel_batch_size
		: s->otel_queue_size);
	span_queue_init(
	    &tracer.queue, (size_t)s->otel_queue_size, tracer.batch);
	buf_init(&tracer.body, TRACER_BODY_MAX);
	buf_init(&tracer.answer.body, OTLP_ANSWER_MAX);
	e = tracer_start_thread();
	tracer.is_on = e == ERR_OK;
	if (e != ERR_OK) {
		tracer_release();
		err_set(info, e, "", "cannot start a thread");
	}
	return e;
}

void
tracer_stop(void)
{
	if (!tracer.is_on)
		return;
	otlp_post_end_at(tracer.post, clock_mono_ms() + TRACER_STOP_MS);
	span_queue_close(&tracer.queue);
	pthread_join(tracer.thread, NULL);
	tracer.is_on = false;
	tracer_release();
}

/* ---- what the programs do ---- */

bool
tracer_is_on(void)
{
	return tracer.is_on;
}

void
tracer_decide(struct trace *t, bool is_continued)
{
	if (tracer.is_on)
		sampler_decide(tracer.settings, t, is_continued);
}

bool
tracer_wants(const struct trace *t)
{
	return tracer.is_on && (t->flags & TRACE_SAMPLED) != 0 &&
	    t->id[0] != '\0';
}

static void
tracer_hex(char *out, size_t bytes)
{
	uint8_t random[TRACER_TRACE_BYTES];

	id_random(random, bytes);
	random[0] |= 1; /* not all of them 0 */
	str_hex(random, bytes, out);
}

void
tracer_begin(struct trace *t, bool is_continued)
{
	if (!is_continued) {
		tracer_hex(t->id, TRACER_TRACE_BYTES);
		t->flags = TRACE_SAMPLED;
	}
	tracer_hex(t->span, TRACER_SPAN_BYTES);
	tracer_decide(t, is_continued);
}

void
tracer_record(const struct span *span)
{
	if (!tracer_wants(&span->trace))
		return;
	if (!span_queue_put(&tracer.queue, span))
		metric_add(METRIC_TRACE_DROPPED, 1);
}
