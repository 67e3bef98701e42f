/* SPDX-License-Identifier: MIT
 *
 * What a run tells: its progress on standard error, the verdicts there too,
 * and everything as JSON. docs/load.md describes the members.
 */
#pragma once

#include "tests/load/run.h"

struct report {
	const struct run *run;
	const char *profile; /* name */
	const char *url;
	bool is_quiet;
	/* of the report */
	bool is_terminal;
	struct loop_timer tick;
	int64_t last_us, last_answered;
};

/* Caller's memory. Progress from now on, while the run's loop runs. */
void report_begin(struct report *r);
/* The last progress, the verdicts; true: all objectives are met. */
bool report_end(struct report *r);
/* One JSON object. */
void report_json(const struct report *r, struct buf *out);
