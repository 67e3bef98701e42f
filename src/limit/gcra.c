/* SPDX-License-Identifier: MIT */
#include "limit/gcra.h"

struct gcra_rule
gcra_rule(int64_t per_minute, double multiplier)
{
	int64_t units = per_minute * GCRA_REQUEST;
	int64_t burst = (int64_t)((double)per_minute * multiplier);

	return (struct gcra_rule){
	    .interval_us = (GCRA_MINUTE + units - 1) / units,
	    .burst = (burst > 0 ? burst : 1) * GCRA_REQUEST,
	};
}

int64_t
gcra_tolerance(const struct gcra_rule *r)
{
	return r->burst * r->interval_us;
}

int64_t
gcra_debt(const struct gcra_rule *r, int64_t tat_us, int64_t now_us)
{
	int64_t most = gcra_tolerance(r);
	int64_t debt = tat_us - now_us;

	/* More than full was a bucket under another rule or clock. */
	return debt < 0 ? 0 : debt > most ? most : debt;
}

bool
gcra_admits(const struct gcra_rule *r, int64_t debt_us, int64_t units)
{
	return debt_us + units * r->interval_us <= gcra_tolerance(r);
}

int64_t
gcra_left(const struct gcra_rule *r, int64_t debt_us)
{
	return (gcra_tolerance(r) - debt_us) / r->interval_us;
}

int64_t
gcra_wait(const struct gcra_rule *r, int64_t debt_us, int64_t units)
{
	int64_t wait = debt_us + units * r->interval_us - gcra_tolerance(r);

	return wait > 0 ? wait : 0;
}
