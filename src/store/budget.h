/* SPDX-License-Identifier: MIT
 *
 * Permits for connections to one database, for all processes of a host that
 * name the same file, or for one process. First come, first served across
 * processes; each waits until a deadline. What a killed process held or waited
 * for is given back by those who wait after it.
 *
 * An idle connection keeps its permit. When somebody waits, its process is
 * asked for it: `give` is called, in a waiting thread of that process or in a
 * thread of the budget's own which otherwise sleeps, and closes it or passes
 * it on. Thread-safe; counts DB_POOL_WAITING.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct budget;

struct budget_options {
	const char *path; /* NULL: for this process alone */
	int64_t limit;	  /* permits of all, as this process sees it */
	/* Part with idle connections while budget_is_wanted. */
	void (*give)(void *arg);
	void *arg;
};

/* ERR_IO: the file cannot be had, never without a path. */
enum err budget_open(struct budget **out, const struct budget_options *o,
    struct err_info *info) MUST_CHECK;
/* Every permit must be back. */
void budget_close(struct budget **b);

/* *gift is what budget_pass left for us, or NULL: a permit without one.
 * ERR_BUSY: none within the time. */
enum err budget_enter(struct budget *b, int64_t timeout_ms, void **gift)
    MUST_CHECK;
void budget_leave(struct budget *b);
/* Hand a permit and what it is for to the first in line, if that is a thread
 * of ours; when not (false) the caller still has both. */
bool budget_pass(struct budget *b, void *gift) MUST_CHECK;

/* Does anybody wait? */
bool budget_is_wanted(struct budget *b);
/* Connections that this process keeps idle became more or fewer. */
void budget_add_idle(struct budget *b, int64_t delta);
/* Those of all processes. */
int64_t budget_idle(struct budget *b);

struct budget_use {
	int64_t taken, idle, waiting, processes;
};
void budget_read(struct budget *b, struct budget_use *out);
