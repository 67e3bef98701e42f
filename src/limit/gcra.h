/* SPDX-License-Identifier: MIT
 *
 * The generic cell rate algorithm (ITU-T I.371, virtual scheduling), in whole
 * microseconds. What is kept of a bucket is one number, its theoretical
 * arrival time: how long it is ahead of now is what was taken and has not
 * come back. No clock, no memory of its own.
 *
 * Within any w microseconds no more is admitted than burst + w / interval.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A request costs so many units; those that clients repeat cost less. */
#define GCRA_REQUEST 4
#define GCRA_MINUTE  (60 * INT64_C(1000000))

struct gcra_rule {
	int64_t interval_us; /* in which one unit comes back, rounded up */
	int64_t burst;	     /* units that a full bucket holds, >= 1 */
};

/* per_minute requests, and floor(per_minute * multiplier) at once, at least
 * one; per_minute > 0. */
struct gcra_rule gcra_rule(int64_t per_minute, double multiplier);

/* Time ahead that a full burst makes. */
int64_t gcra_tolerance(const struct gcra_rule *r);

/* How far the bucket is ahead of now, whatever tat_us holds. */
int64_t gcra_debt(const struct gcra_rule *r, int64_t tat_us, int64_t now_us);
/* Would so many units be admitted with this debt? */
bool gcra_admits(const struct gcra_rule *r, int64_t debt_us, int64_t units);

/* Units left with this debt. */
int64_t gcra_left(const struct gcra_rule *r, int64_t debt_us);
/* Time until so many units are admitted, 0 = now. */
int64_t gcra_wait(const struct gcra_rule *r, int64_t debt_us, int64_t units);
