/* SPDX-License-Identifier: MIT
 *
 * Connections: `size` kept open, `overflow` more under load closed when
 * returned, waiters served first come first served, each waiting at most
 * `timeout`. Opened on demand; thread-safe. Counts DB_POOL_*.
 *
 * On a server these numbers are for all processes of the host that share
 * `folder`: each open connection needs a permit of store/budget.h. A database
 * with a single writer is the process's own: one connection that writes, and 1
 * to POOL_READERS_MAX that cannot.
 */
#pragma once

#include "store/budget.h"
#include "store/db.h"

#define POOL_READERS_MAX 5

struct pool;

struct pool_options {
	const struct db_driver *driver;
	struct db_options db; /* target is borrowed for the pool's life */
	/* Where processes meet; NULL: the numbers are for this one alone. */
	const char *folder;
	int64_t size;
	int64_t overflow;
	int64_t timeout_ms;
	int64_t recycle_ms;	 /* age at which one is replaced, 0 = never */
	int64_t (*now_ms)(void); /* NULL = clock_mono_ms */
};

struct pool *pool_new(const struct pool_options *o) MUST_CHECK;
/* The file of one database that processes of a host share for a purpose (its
 * prefix), named by what the driver says the database is; malloc'd, NULL when
 * they have nothing to share. */
char *pool_path(const struct db_driver *driver, const char *target,
    const char *folder, const char *prefix) MUST_CHECK;
/* Every connection must be back. */
void pool_free(struct pool **pool);

/* For a transaction that writes, or one that does not. ERR_BUSY: none within
 * the timeout (for the single writer: within that of the lock). ERR_DOWN:
 * cannot connect. */
enum err pool_get(struct pool *p, bool is_write, struct db **out,
    struct err_info *info) MUST_CHECK;
/* A broken connection is closed, and a transaction still open rolled back. */
void pool_put(struct pool *p, struct db **db);

/* A permit for a connection that the caller opens and closes by himself. */
enum err pool_reserve(struct pool *p, struct err_info *info) MUST_CHECK;
void pool_unreserve(struct pool *p);

/* Of the host, or of the process where there is no budget of the host. */
void pool_read(struct pool *p, bool *is_shared, struct budget_use *out);
