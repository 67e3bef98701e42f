/* SPDX-License-Identifier: MIT
 *
 * The processes of `aragora serve`: started, restarted with a growing pause,
 * stopped in order. A child never outlives its parent (PR_SET_PDEATHSIG).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	const char *name;
	char *const *argv; /* argv[0] is the path */
	int stdin_fd;	   /* becomes descriptor 0; -1 = /dev/null */
	int stop_signal;
	/* owned by child.c */
	pid_t pid; /* 0 = not running */
	int64_t started_ms;
	int64_t restart_ms; /* when to start again */
	int failures;	    /* in a row */
};

/* false: the fork failed. A program that cannot be run exits 127. */
bool child_start(struct child *c);
/* It has ended: note when to start it again. */
void child_ended(struct child *c, int status);
bool child_is_due(const struct child *c);
/* Ask it to stop. */
void child_stop(struct child *c);
/* Wait until all n have ended, at most timeout_ms; have they? */
bool child_wait_some(struct child *children, int n, int64_t timeout_ms);
/* Wait until all n have ended, at most timeout_ms, then kill. */
void child_wait_all(struct child *children, int n, int64_t timeout_ms);
