/* SPDX-License-Identifier: MIT
 *
 * Up to where in the database's write-ahead log the writes of each tenant
 * went, for all processes of a host that name the same file, or for one
 * process: a read that goes elsewhere than to the primary must have seen that
 * much. Tenants share slots by their hash: one may then wait for another's
 * write, which is harmless. No locks: a process may end at any instruction.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define POSITION_SLOTS 1024

/* Some tenants. Empty when zeroed. */
struct position_set {
	uint64_t bits[POSITION_SLOTS / 64];
};
void position_set_add(struct position_set *s, const char *tenant);
bool position_set_is_empty(const struct position_set *s);

struct positions;

/* path NULL: for this process alone, which cannot fail. ERR_IO: the file
 * cannot be had. What the file knows from before is kept. */
enum err positions_open(
    struct positions **out, const char *path, struct err_info *info) MUST_CHECK;
void positions_close(struct positions **p);
/* Beyond every log: a write whose place nobody could tell. */
#define POSITION_UNKNOWN ((uint64_t)INT64_MAX)

/* The greater one stays. */
void positions_raise(
    struct positions *p, const struct position_set *s, uint64_t at);
/* 0 = none. */
uint64_t positions_read(struct positions *p, const char *tenant);
/* If it still is `from`: the log was seen to end before it. */
void positions_lower(
    struct positions *p, const char *tenant, uint64_t from, uint64_t to);

/* As clients carry it, who need not understand it. */
#define POSITION_TEXT_SIZE 20
void position_write(uint64_t at, char out[POSITION_TEXT_SIZE]);
/* ERR_INVALID: position_write did not write that, or of POSITION_UNKNOWN. */
enum err position_parse(const char *text, uint64_t *out) MUST_CHECK;
