/* SPDX-License-Identifier: MIT */
#include "tests/load/slo.h"

#include <string.h>

#include "base/str.h"

enum slo_of { SLO_OF_REQUESTS, SLO_OF_CREATE, SLO_OF_STREAM };

static const struct slo_row {
	const char *name, *op;
	double bound;
	const char *unit;
	enum slo_of of;
} slo_rows[SLO__COUNT] = {
#define SLO(id, name, op, bound, unit, of, ...)                                \
	[SLO_##id] = {name, op, bound, unit, SLO_OF_##of},
#include "metrics/slo.def"
#undef SLO
};

void
slo_bounds_init(struct slo_bounds *b)
{
	for (int i = 0; i < SLO__COUNT; i++)
		b->of[i] = slo_rows[i].bound;
}

enum err
slo_bounds_set(struct slo_bounds *b, const char *text, struct err_info *info)
{
	size_t n = strcspn(text, "=");

	for (int i = 0; i < SLO__COUNT; i++)
		if (strlen(slo_rows[i].name) == n &&
		    strncmp(slo_rows[i].name, text, n) == 0)
			return text[n] == '=' &&
				str_to_double(text + n + 1, &b->of[i]) == ERR_OK
			    ? ERR_OK
			    : err_set(info, ERR_INVALID, "",
				  "'%.80s' is not NAME=BOUND", text);
	struct buf names;
	buf_init(&names, 512);
	for (int i = 0; i < SLO__COUNT; i++)
		buf_printf(
		    &names, "%s%s", i == 0 ? "" : ", ", slo_rows[i].name);
	enum err e = err_set(info, ERR_INVALID, "",
	    "no objective is called '%.*s'; there are %s", n > 40 ? 40 : (int)n,
	    text, buf_text(&names));
	buf_release(&names);
	return e;
}

/* ---- what the rows name ---- */

static bool
slo_percentile(const struct hist *h, double percent, double *out)
{
	*out = (double)hist_percentile(h, percent) / 1000;
	return hist_count(h) > 0;
}

static bool
slo_share(int64_t part, int64_t all, double *out)
{
	*out = all > 0 ? (double)part / (double)all : 0;
	return all > 0;
}

static bool
slo_requests(enum slo_id id, const struct slo_input *in, double *out)
{
	const struct stats *s = in->requests;

	switch (id) {
	case SLO_P50:
		return slo_percentile(s->hist, 50, out);
	case SLO_P95:
		return slo_percentile(s->hist, 95, out);
	case SLO_P99:
		return slo_percentile(s->hist, 99, out);
	case SLO_ERRORS:
		return slo_share(s->failed, stats_done(s), out);
	case SLO_BAD:
		return slo_share(
		    s->errors[STATS_STATUS] + s->errors[STATS_BODY],
		    s->answered, out);
	case SLO_RATE:
		*out = in->seconds > 0 ? (double)s->answered / in->seconds : 0;
		return in->seconds > 0;
	case SLO_CREATE_P95:
		return slo_percentile(in->create->hist, 95, out);
	case SLO_CONNECT_P95:
	case SLO_EVENT_P95:
	case SLO_STREAM_ERRORS:
	case SLO_EVENTS_WRONG:
	case SLO__COUNT:
		break;
	}
	return false;
}

/* Of both kinds together. */
static bool
slo_streams(enum slo_id id, const struct streams *streams, double *out)
{
	struct hist *both = hist_new();
	int64_t begun = 0, failed = 0, wrong = 0;
	bool is_measured;

	for (int k = 0; k < STREAM__COUNT; k++) {
		const struct stream_stats *c = streams_stats(streams, k);
		hist_merge(both, id == SLO_CONNECT_P95 ? c->connect : c->event);
		begun += c->followed;
		failed += c->failed;
		wrong += c->lost + c->doubled + c->misordered;
	}
	failed += streams_not_created(streams);
	begun += streams_not_created(streams);
	if (id == SLO_STREAM_ERRORS) {
		is_measured = slo_share(failed, begun, out);
	} else if (id == SLO_EVENTS_WRONG) {
		*out = (double)wrong;
		is_measured = begun > 0;
	} else {
		is_measured = slo_percentile(both, 95, out);
	}
	hist_free(&both);
	return is_measured;
}

/* ---- verdicts ---- */

static void
slo_judge_one(enum slo_id id, const struct slo_input *in, double bound,
    struct slo_verdict *v)
{
	bool is_below = str_eq(slo_rows[id].op, "<");
	const void *of[] = {[SLO_OF_REQUESTS] = in->requests,
	    [SLO_OF_CREATE] = in->create,
	    [SLO_OF_STREAM] = in->streams};

	*v = (struct slo_verdict){.is_ok = true};
	v->is_judged = of[slo_rows[id].of] != NULL;
	if (!v->is_judged)
		return;
	v->is_measured = slo_rows[id].of == SLO_OF_STREAM
	    ? slo_streams(id, in->streams, &v->value)
	    : slo_requests(id, in, &v->value);
	v->is_ok =
	    v->is_measured && (is_below ? v->value < bound : v->value > bound);
}

bool
slo_judge(const struct slo_input *in, const struct slo_bounds *b,
    struct slo_verdict *out)
{
	bool is_ok = true;

	for (int i = 0; i < SLO__COUNT; i++) {
		slo_judge_one(i, in, b->of[i], &out[i]);
		is_ok = is_ok && out[i].is_ok;
	}
	return is_ok;
}

bool
slo_judge_stage(const struct stats *s, double seconds, double share,
    const struct slo_bounds *b)
{
	struct slo_input in = {.requests = s, .seconds = seconds};
	struct slo_bounds bounds = *b;
	struct slo_verdict verdicts[SLO__COUNT];

	/* Its own rate is what a stage is to reach. */
	bounds.of[SLO_RATE] = 0;
	return (double)s->answered >= share * (double)s->wanted &&
	    slo_judge(&in, &bounds, verdicts);
}

void
slo_line(enum slo_id id, const struct slo_bounds *b,
    const struct slo_verdict *v, struct buf *out)
{
	const struct slo_row *r = &slo_rows[id];

	buf_printf(out, "%s ", r->name);
	if (v->is_measured)
		buf_printf(out, "%.6g", v->value);
	else
		buf_puts(out, "was not measured");
	buf_printf(out, " %s %.6g%s%s", r->op, b->of[id],
	    r->unit[0] != '\0' && r->unit[0] != '/' ? " " : "", r->unit);
}

void
slo_json(struct json_w *w, const struct slo_bounds *b,
    const struct slo_verdict *verdicts)
{
	json_w_begin_array(w, "objectives");
	for (int i = 0; i < SLO__COUNT; i++) {
		const struct slo_verdict *v = &verdicts[i];
		if (!v->is_judged)
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "name", slo_rows[i].name);
		if (v->is_measured)
			json_w_num(w, "value", v->value);
		else
			json_w_null(w, "value");
		json_w_str(w, "op", slo_rows[i].op);
		json_w_num(w, "bound", b->of[i]);
		json_w_str(w, "unit", slo_rows[i].unit);
		json_w_bool(w, "is_ok", v->is_ok);
		json_w_end(w);
	}
	json_w_end_array(w);
}
