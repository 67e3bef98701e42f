/* SPDX-License-Identifier: MIT
 *
 * The runner's loop thread: which debates it holds, their calls, their
 * streams.
 */
#pragma once

#include "runner/runner.h"

struct drive;

struct receipt_keys;

struct drive_options {
	const struct settings *settings;
	struct loop *loop;
	struct store *store;
	struct bus *bus;
	const struct receipt_keys *receipt_keys;
	struct cache *cache; /* NULL = nothing is dropped */
	const char *id;	     /* of this runner */
	const char *only_id; /* drive this debate and stop; NULL = all */
	bool is_once;	     /* stop when nothing is left to do */
};

enum err drive_new(struct drive **out, const struct drive_options *o)
    MUST_CHECK;
/* The end: give every lease back, let the writer finish, and hear what it
 * answers. drive_is_success is final after this. */
void drive_stop(struct drive *d);
/* Stopped before. */
void drive_free(struct drive **d);

/* There may be something new: claim, and see whether leases still hold. Loop
 * thread. */
void drive_poke(struct drive *d);
/* It was ended from outside, somebody says: its calls are dropped now. Should
 * that be wrong, the debate is claimed again and loses nothing. Loop thread. */
void drive_over(struct drive *d, const char *debate_id);
/* The loop was woken: take what the writer has answered. */
void drive_deliver(struct drive *d);
/* Did the debate of only_id complete? */
bool drive_is_success(const struct drive *d);
