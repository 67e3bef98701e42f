/* SPDX-License-Identifier: MIT
 *
 * The objectives of src/metrics/slo.def held against what was measured.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "tests/load/stats.h"
#include "tests/load/stream.h"

enum slo_id {
#define SLO(id, ...) SLO_##id,
#include "metrics/slo.def"
#undef SLO
	SLO__COUNT
};

struct slo_bounds {
	double of[SLO__COUNT];
};

/* What was measured; NULL = was not meant to be. */
struct slo_input {
	const struct stats *requests;
	double seconds;
	const struct stats *create;
	const struct streams *streams;
};

struct slo_verdict {
	bool is_judged;
	bool is_measured; /* what should be measured and is not fails */
	bool is_ok;
	double value;
};

/* Those of the table. */
void slo_bounds_init(struct slo_bounds *b);
/* "NAME=BOUND" instead of the table's. */
enum err slo_bounds_set(
    struct slo_bounds *b, const char *text, struct err_info *info) MUST_CHECK;

/* true: all that are judged are met. */
bool slo_judge(const struct slo_input *in, const struct slo_bounds *b,
    struct slo_verdict *out);
/* The same of one stage's requests alone, but that at least `share` of those
 * that were due must be answered in its time. */
bool slo_judge_stage(const struct stats *s, double seconds, double share,
    const struct slo_bounds *b);

/* "p95_ms 12.3 < 500 ms" */
void slo_line(enum slo_id id, const struct slo_bounds *b,
    const struct slo_verdict *v, struct buf *out);
/* "objectives": [...] */
void slo_json(struct json_w *w, const struct slo_bounds *b,
    const struct slo_verdict *verdicts);
