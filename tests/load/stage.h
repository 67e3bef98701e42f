/* SPDX-License-Identifier: MIT
 *
 * When requests are due. A stage lasts some seconds and asks at a constant
 * rate, or at one that grows or falls evenly; the times are fixed before
 * anything is sent, so that a slow server changes none of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define STAGE_MAX	  64
#define STAGE_RATE_MAX	  100000
#define STAGE_SECONDS_MAX (24 * 3600)

struct stage {
	double from, to; /* requests a second at its begin and end */
	double seconds;
};

struct stages {
	struct stage rows[STAGE_MAX];
	size_t n;
};

/* "RATE:SECONDS" or "FROM-TO:SECONDS", several with commas between. */
enum err stages_parse(
    const char *text, struct stages *out, struct err_info *info) MUST_CHECK;
/* The highest rate becomes `rate`, the others keep their share of it. */
void stages_set_rate(struct stages *s, double rate);
/* All together last so long. */
void stages_set_seconds(struct stages *s, double seconds);
double stages_seconds(const struct stages *s);

/* How many requests a stage makes. */
int64_t stage_count(const struct stage *s);
/* When request i of 0..stage_count()-1 is due, in microseconds after the
 * stage's begin. Never before the one ahead of it. */
int64_t stage_due_us(const struct stage *s, int64_t i);
