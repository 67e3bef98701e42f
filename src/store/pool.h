/* SPDX-License-Identifier: MIT
 *
 * Connections of one process: `size` kept open, `overflow` more under load
 * closed when returned, waiters served first come first served, each waiting
 * at most `timeout`. Opened on demand; thread-safe. Counts DB_POOL_*.
 */
#pragma once

#include "store/db.h"

struct pool;

struct pool_options {
	const struct db_driver *driver;
	struct db_options db; /* target is borrowed for the pool's life */
	int64_t size;
	int64_t overflow;
	int64_t timeout_ms;
};

struct pool *pool_new(const struct pool_options *o) MUST_CHECK;
/* Every connection must be back. */
void pool_free(struct pool **pool);

/* ERR_BUSY: none within the timeout. ERR_DOWN: cannot connect. */
enum err pool_get(struct pool *p, struct db **out, struct err_info *info)
    MUST_CHECK;
/* A broken connection is closed, and a transaction still open rolled back. */
void pool_put(struct pool *p, struct db **db);
