/* SPDX-License-Identifier: MIT
 *
 * The requests of a run: which one is next, what it says, and what its answer
 * should be. Rows of request.def come round in proportion to their weights,
 * in the same order in every run.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "tests/load/pool.h"
#include "tests/load/stats.h"

enum mix_id {
#define REQUEST(id, ...) MIX_##id,
#include "tests/load/request.def"
#undef REQUEST
	MIX__COUNT
};

struct mix;

/* host: for the Host header; token: NULL = none. The strings are borrowed. */
struct mix *mix_new(
    struct pool *pool, const char *host, const char *token, int64_t timeout_us);
void mix_free(struct mix **m);

/* Only these rows, by name, with commas between. */
enum err mix_only(struct mix *m, const char *names, struct err_info *info)
    MUST_CHECK;
bool mix_has(const struct mix *m, enum mix_id id);
/* After each request that was answered or failed. */
void mix_on_done(struct mix *m, void (*fn)(void *arg), void *arg);

/* The next request, due at due_us; counted in stage too. */
void mix_send(struct mix *m, int64_t due_us, struct stats *stage);
/* Sent or waiting, and not done. */
int64_t mix_open(const struct mix *m);

/* A request of one row into out, with id and number put in. For streams. */
void mix_write(struct mix *m, enum mix_id id, struct buf *out);
/* A GET with more header lines, each with its line end. */
void mix_write_get(
    struct mix *m, const char *path, const char *headers, struct buf *out);
/* The id in the answer to MIX_CREATE into out, false: there is none. */
#define MIX_ID_SIZE 128
bool mix_read_id(const struct pool_answer *a, char *out);

const char *mix_name(enum mix_id id);
const struct stats *mix_stats(const struct mix *m, enum mix_id id);
/* Of all rows together. */
const struct stats *mix_all(const struct mix *m);
/* What the answered ones took once they were sent: what a client sees that is
 * never late and never waits for a connection. */
const struct hist *mix_service(const struct mix *m);
