/* SPDX-License-Identifier: MIT */
#include "tests/load/report.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

#define REPORT_TERMINAL_MS 1000
#define REPORT_LINE_MS	   5000
#define REPORT_VERSION	   1

/* ---- progress ---- */

static double
report_ms(const struct stats *s, double percent)
{
	return (double)hist_percentile(s->hist, percent) / 1000;
}

static void
report_line(struct report *r)
{
	const struct run *run = r->run;
	const struct stats *s = mix_all(run->mix);
	int64_t now_us = clock_mono_us();
	double seconds = (double)(now_us - r->last_us) / 1e6;

	fprintf(stderr,
	    "%s%4.0f s  %6.1f/s  p50 %.1f p95 %.1f p99 %.1f ms  "
	    "%lld answered, %lld failed, %lld wait, %zu follow%s",
	    r->is_terminal ? "\r" : "", (double)(now_us - run->begun_us) / 1e6,
	    seconds > 0 ? (double)(s->answered - r->last_answered) / seconds
			: 0,
	    report_ms(s, 50), report_ms(s, 95), report_ms(s, 99),
	    (long long)s->answered, (long long)s->failed,
	    (long long)pool_counts(run->pool)->waiting,
	    streams_open(run->streams), r->is_terminal ? "\033[K" : "\n");
	r->last_us = now_us;
	r->last_answered = s->answered;
}

static void
report_on_tick(struct loop_timer *t)
{
	struct report *r = t->arg;

	report_line(r);
	loop_timer_set(r->run->loop, &r->tick,
	    r->is_terminal ? REPORT_TERMINAL_MS : REPORT_LINE_MS);
}

void
report_begin(struct report *r)
{
	r->is_terminal = isatty(STDERR_FILENO) == 1;
	r->last_us = clock_mono_us();
	r->tick = (struct loop_timer){.fn = report_on_tick, .arg = r};
	if (!r->is_quiet)
		loop_timer_set(r->run->loop, &r->tick,
		    r->is_terminal ? REPORT_TERMINAL_MS : REPORT_LINE_MS);
}

static void
report_verdicts(const struct report *r, const struct slo_verdict *verdicts)
{
	struct buf line;

	buf_init(&line, 256);
	for (int i = 0; i < SLO__COUNT; i++) {
		if (!verdicts[i].is_judged)
			continue;
		buf_clear(&line);
		slo_line(i, &r->run->bounds, &verdicts[i], &line);
		fprintf(stderr, "%s %s\n",
		    verdicts[i].is_ok ? "ok    " : "FAILED", buf_text(&line));
	}
	buf_release(&line);
}

static void
report_knee(const struct run *run)
{
	const struct run_stage *knee = run_knee(run);
	size_t last = run->stages.n - 1;

	if (!run->is_search)
		return;
	if (knee == NULL)
		fputs("knee: below the first stage\n", stderr);
	else if (knee == &run->rows[last])
		fprintf(stderr, "knee: not within %.6g/s\n",
		    run->stages.rows[last].to);
	else
		fprintf(stderr, "knee: %.6g/s\n",
		    run->stages.rows[knee - run->rows].to);
}

bool
report_end(struct report *r)
{
	struct slo_verdict verdicts[SLO__COUNT];

	loop_timer_del(r->run->loop, &r->tick);
	bool is_ok = run_judge(r->run, verdicts);
	if (r->is_quiet)
		return is_ok;
	report_line(r);
	if (r->is_terminal)
		fputc('\n', stderr);
	report_knee(r->run);
	report_verdicts(r, verdicts);
	return is_ok;
}

/* ---- JSON ---- */

static void
report_requests(const struct run *run, struct json_w *w)
{
	const struct pool_counts *c = pool_counts(run->pool);

	json_w_begin(w, "requests");
	stats_json(w, mix_all(run->mix), run_seconds(run));
	stats_json_hist(w, "service_ms", mix_service(run->mix));
	json_w_int(w, "sent", c->sent);
	json_w_int(w, "repeated", c->repeated);
	json_w_int(w, "connections", c->connections);
	json_w_int(w, "waiting_max", c->waiting_max);
	json_w_end(w);
	json_w_begin(w, "scenarios");
	for (int i = 0; i < MIX__COUNT; i++) {
		if (!mix_has(run->mix, i))
			continue;
		json_w_begin(w, mix_name(i));
		stats_json(w, mix_stats(run->mix, i), run_seconds(run));
		json_w_end(w);
	}
	json_w_end(w);
}

static void
report_stage(const struct run *run, size_t i, struct json_w *w, const char *key)
{
	json_w_begin(w, key);
	json_w_num(w, "from", run->stages.rows[i].from);
	json_w_num(w, "to", run->stages.rows[i].to);
	json_w_num(w, "seconds", run->rows[i].seconds);
	if (run->is_search)
		json_w_bool(w, "is_ok", run->rows[i].is_ok);
	stats_json(w, &run->rows[i].stats, run->rows[i].seconds);
	json_w_end(w);
}

static void
report_stages(const struct run *run, struct json_w *w)
{
	const struct run_stage *knee = run_knee(run);

	json_w_begin_array(w, "stages");
	for (size_t i = 0; i < run->stages.n && run->rows[i].is_begun; i++)
		report_stage(run, i, w, NULL);
	json_w_end_array(w);
	if (!run->is_search)
		return;
	if (knee != NULL)
		report_stage(run, (size_t)(knee - run->rows), w, "knee");
	else
		json_w_null(w, "knee");
}

static void
report_generator(const struct run *run, struct json_w *w)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	json_w_begin(w, "generator");
	json_w_num(w, "cpu_seconds",
	    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	stats_json_hist(w, "late_ms", run->late);
	json_w_end(w);
}

void
report_json(const struct report *r, struct buf *out)
{
	const struct run *run = r->run;
	struct slo_verdict verdicts[SLO__COUNT];
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_int(&w, "version", REPORT_VERSION);
	json_w_str(&w, "profile", r->profile);
	json_w_str(&w, "url", r->url);
	json_w_time(&w, "started", run->begun_wall_us);
	json_w_num(&w, "seconds", run_seconds(run));
	json_w_bool(&w, "is_interrupted", run->is_interrupted);
	bool is_ok = run_judge(run, verdicts);
	json_w_bool(&w, "is_ok", is_ok);
	slo_json(&w, &run->bounds, verdicts);
	report_requests(run, &w);
	report_stages(run, &w);
	if (streams_wanted(run->streams) > 0)
		streams_json(run->streams, &w);
	report_generator(run, &w);
	json_w_end(&w);
	buf_putc(out, '\n');
}
