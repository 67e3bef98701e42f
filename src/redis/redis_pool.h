/* SPDX-License-Identifier: MIT
 *
 * Connections to Redis for short questions of many threads: a few commands
 * that are sent together, each with its answer. A thread takes an idle
 * connection or opens one, up to ARAGORA_REDIS_MAX_CONNECTIONS of a process,
 * and waits REDIS_POOL_MS at the most. After a few failures in a row nobody
 * waits: one caller tries again from time to time. Thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct settings;
struct redisReply;
struct redis_pool;

#define REDIS_POOL_MS 50

/* ERR_INVALID: ARAGORA_REDIS_URL is no address. Nothing is opened yet. */
enum err redis_pool_open(struct redis_pool **out,
    const struct settings *settings, struct err_info *info) MUST_CHECK;
void redis_pool_close(struct redis_pool **pool);
/* As last seen. */
bool redis_pool_is_down(const struct redis_pool *pool);

struct redis_command {
	int argc;
	const char **argv;
	const size_t *lens; /* NULL = all are texts */
};

#define REDIS_COMMANDS_MAX 8

/* Looks at the answers, one for each command, before they are freed. An error
 * is among them only if it tells of a script or a key (NOSCRIPT, WRONGTYPE).
 * False: that is no answer to what was asked; counts as a failure. */
typedef bool (*redis_read_fn)(
    void *arg, struct redisReply *const *replies, size_t n);

/* ERR_OK, ERR_DOWN: no good answer, or none is waited for, ERR_BUSY: no
 * connection came free in time. A command may have been carried out without
 * its answer arriving; one that a kept connection lost is sent once more. */
enum err redis_pool_ask(struct redis_pool *pool,
    const struct redis_command *commands, size_t n, redis_read_fn read,
    void *arg) MUST_CHECK;
