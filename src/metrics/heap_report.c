/* SPDX-License-Identifier: MIT */
#include "metrics/heap_report.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"

#define HEAP_REPORT_S 5	 /* gauges and the shared slot */
#define HEAP_LOG_S    60 /* the log */

static const enum metric heap_metrics[HEAP__COUNT] = {
    [HEAP_NONE] = METRIC_HEAP_OTHER,
    [HEAP_DEBATES] = METRIC_HEAP_DEBATES,
    [HEAP_CALLS] = METRIC_HEAP_CALLS,
    [HEAP_JOBS] = METRIC_HEAP_JOBS,
    [HEAP_CONNECTIONS] = METRIC_HEAP_CONNECTIONS,
    [HEAP_EVENTS] = METRIC_HEAP_EVENTS,
    [HEAP_CACHE] = METRIC_HEAP_CACHE,
    [HEAP_TABLES] = METRIC_HEAP_TABLES,
    [HEAP_STORE] = METRIC_HEAP_STORE,
    [HEAP_WORK] = METRIC_HEAP_WORK,
    [HEAP_BUFFERS] = METRIC_HEAP_BUFFERS,
    [HEAP_SQLITE] = METRIC_HEAP_SQLITE,
    [HEAP_CURL] = METRIC_HEAP_CURL,
    [HEAP_OPENSSL] = METRIC_HEAP_OPENSSL,
    [HEAP_ZLIB] = METRIC_HEAP_ZLIB,
    [HEAP_START] = METRIC_HEAP_START,
};

static struct {
	const char *program;
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping;
	pthread_mutex_t lock; /* of what follows */
	size_t n_debates;
	size_t n_top;
	struct heap_debate top[HEAP_TOP];
} report = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
report_signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGUSR2);
}

void
heap_report_signals(void)
{
	sigset_t set;

	if (!heap_is_on) {
		signal(SIGUSR2, SIG_IGN);
		return;
	}
	report_signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void
heap_report_debates(const struct heap_debate *top, size_t n_top, size_t n)
{
	assert(n_top <= HEAP_TOP);
	pthread_mutex_lock(&report.lock);
	report.n_debates = n;
	report.n_top = n_top;
	memcpy(report.top, top, n_top * sizeof(*top));
	pthread_mutex_unlock(&report.lock);
}

static void
report_measure(struct heap_process *p)
{
	*p = (struct heap_process){.pid = getpid(), .at_us = clock_wall_us()};
	snprintf(p->program, sizeof(p->program), "%s", report.program);
	heap_read(&p->figures);
	pthread_mutex_lock(&report.lock);
	p->n_debates = (int64_t)report.n_debates;
	p->n_top = (int64_t)report.n_top;
	memcpy(p->top, report.top, report.n_top * sizeof(*p->top));
	pthread_mutex_unlock(&report.lock);
}

static void
report_publish(const struct heap_process *p)
{
	for (int i = HEAP_NONE; i < HEAP__COUNT; i++)
		metric_set(heap_metrics[i], p->figures.accounts[i].bytes);
	metric_set(METRIC_HEAP_TOTAL, p->figures.total);
	metrics_heap_write(p);
}

/* A subsystem that has nothing is left out. */
static void
report_log(const struct heap_process *p)
{
	const struct heap_figures *f = &p->figures;

	log_info("heap.total",
	    "total=%lld used=%lld mapped=%lld resident=%lld other=%lld",
	    (long long)f->total, (long long)f->used, (long long)f->mapped,
	    (long long)f->resident, (long long)f->accounts[HEAP_NONE].bytes);
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++)
		if (f->accounts[i].bytes != 0)
			log_info("heap.subsystem",
			    "name=%s bytes=%lld blocks=%lld",
			    heap_account_name((enum heap_account)i),
			    (long long)f->accounts[i].bytes,
			    (long long)f->accounts[i].blocks);
	for (int64_t i = 0; i < p->n_top; i++)
		log_info("heap.debate",
		    "debate_id=%s bytes=%lld calls=%lld calls_bytes=%lld",
		    p->top[i].id, (long long)p->top[i].bytes,
		    (long long)p->top[i].calls,
		    (long long)p->top[i].call_bytes);
}

static void *
report_run(void *arg UNUSED)
{
	const struct timespec pause = {.tv_sec = HEAP_REPORT_S};
	int64_t due_ms = clock_mono_ms() + HEAP_LOG_S * 1000;
	bool is_asked = false;
	sigset_t set;

	report_signal_set(&set);
	while (!atomic_load(&report.is_stopping)) {
		struct heap_process p;
		report_measure(&p);
		report_publish(&p);
		if (is_asked || clock_mono_ms() >= due_ms) {
			report_log(&p);
			due_ms = clock_mono_ms() + HEAP_LOG_S * 1000;
		}
		is_asked = sigtimedwait(&set, NULL, &pause) == SIGUSR2;
	}
	return NULL;
}

void
heap_report_start(const char *program)
{
	if (!heap_is_on || report.is_running)
		return;
	report.program = program;
	report.is_running =
	    pthread_create(&report.thread, NULL, report_run, NULL) == 0;
	if (!report.is_running)
		log_warning("heap.off", "reason=\"cannot start a thread\"");
}

void
heap_report_stop(void)
{
	if (!report.is_running)
		return;
	atomic_store(&report.is_stopping, true);
	pthread_kill(report.thread, SIGUSR2);
	pthread_join(report.thread, NULL);
	report.is_running = false;
	atomic_store(&report.is_stopping, false);
}
