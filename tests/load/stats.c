/* SPDX-License-Identifier: MIT */
#include "tests/load/stats.h"

#include <stdio.h>

static const char *const stats_error_names[] = {
#define X(id, name) [STATS_##id] = name,
    STATS_ERRORS(X)
#undef X
};

void
stats_init(struct stats *s)
{
	*s = (struct stats){.hist = hist_new()};
}

void
stats_release(struct stats *s)
{
	hist_free(&s->hist);
}

void
stats_count(struct stats *s, int status, enum stats_error error, int64_t us)
{
	bool is_answer = status > 0 && status < STATS_STATUS_MAX;

	if (is_answer) {
		s->statuses[status]++;
		s->answered++;
	}
	if (error != STATS_NONE) {
		s->errors[error]++;
		s->failed++;
	}
	/* What was refused or cut off at once would make the others look
	 * fast. */
	if (is_answer || error == STATS_TIMEOUT)
		hist_record(s->hist, us);
}

int64_t
stats_done(const struct stats *s)
{
	int64_t without = 0;

	for (int e = 0; e < STATS_ERROR__COUNT; e++)
		if (e != STATS_STATUS && e != STATS_BODY)
			without += s->errors[e];
	return s->answered + without;
}

double
stats_error_share(const struct stats *s)
{
	int64_t n = stats_done(s);

	return n == 0 ? 0 : (double)s->failed / (double)n;
}

void
stats_json_hist(struct json_w *w, const char *key, const struct hist *h)
{
	static const struct {
		const char *name;
		double percent;
	} rows[] = {{"p50", 50}, {"p90", 90}, {"p95", 95}, {"p99", 99},
	    {"p99_9", 99.9}};

	json_w_begin(w, key);
	json_w_int(w, "count", hist_count(h));
	json_w_num(w, "mean", hist_mean(h) / 1000);
	json_w_num(w, "min", (double)hist_min(h) / 1000);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		json_w_num(w, rows[i].name,
		    (double)hist_percentile(h, rows[i].percent) / 1000);
	json_w_num(w, "max", (double)hist_max(h) / 1000);
	json_w_end(w);
}

void
stats_json_errors(struct json_w *w, const int64_t *errors)
{
	json_w_begin(w, "errors");
	for (int e = STATS_NONE + 1; e < STATS_ERROR__COUNT; e++)
		if (errors[e] > 0)
			json_w_int(w, stats_error_names[e], errors[e]);
	json_w_end(w);
}

void
stats_json(struct json_w *w, const struct stats *s, double seconds)
{
	char name[16];

	json_w_int(w, "wanted", s->wanted);
	json_w_int(w, "answered", s->answered);
	json_w_int(w, "failed", s->failed);
	json_w_num(w, "error_share", stats_error_share(s));
	json_w_num(
	    w, "rate_wanted", seconds > 0 ? (double)s->wanted / seconds : 0);
	json_w_num(w, "rate", seconds > 0 ? (double)s->answered / seconds : 0);
	json_w_begin(w, "statuses");
	for (int i = 0; i < STATS_STATUS_MAX; i++) {
		if (s->statuses[i] == 0)
			continue;
		snprintf(name, sizeof(name), "%d", i);
		json_w_int(w, name, s->statuses[i]);
	}
	json_w_end(w);
	stats_json_errors(w, s->errors);
	stats_json_hist(w, "latency_ms", s->hist);
}
