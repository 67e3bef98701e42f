/* SPDX-License-Identifier: MIT
 *
 * Tenants and preferences. A tenant that nobody made a row for (the default
 * one, those of an identity provider) is active and on the free plan.
 */
#pragma once

#include "store/store.h"

#define STORE_TENANT_STATES(X)                                                 \
	X("active")                                                            \
	X("suspended")                                                         \
	X("pending")                                                           \
	X("deleted")

struct store_tenant {
	const char *id;
	const char *name;
	const char *slug;     /* unique; as read never NULL */
	const char *owner_id; /* NULL = nobody's */
	const char *plan;     /* free, starter, professional, enterprise */
	const char *status;
	const char *settings;	   /* JSON object */
	int64_t max_debates_month; /* -1 = no limit */
	int64_t access_rev;
	int64_t created_us, updated_us; /* 0 = it has no row */
};

/* ERR_EXISTS: the slug is taken, or the id. */
enum err store_tenant_create(struct store *store, const struct store_tenant *t)
    MUST_CHECK;
/* Also one without a row, created_us = 0. */
enum err store_tenant_get(struct store *store, struct arena *a, const char *id,
    struct store_tenant *out) MUST_CHECK;
/* Of all tenants that have a row, oldest first; status "" = any. */
enum err store_tenant_list(struct store *store, struct arena *a,
    const char *status, int64_t limit, int64_t offset,
    struct store_tenant **rows, size_t *n, int64_t *total) MUST_CHECK;
/* All but id, status and times; makes the row if there is none. ERR_EXISTS:
 * the slug is taken. */
enum err store_tenant_change(struct store *store, const struct store_tenant *t)
    MUST_CHECK;
/* Makes the row if there is none. ERR_NOT_FOUND: it is deleted, for good. */
enum err store_tenant_set_status(
    struct store *store, const char *id, const char *status) MUST_CHECK;
/* Debates it has asked for since then. */
enum err store_tenant_debates(struct store *store, const char *id,
    int64_t since_us, int64_t *n) MUST_CHECK;

/* A JSON object on the arena; "{}" and updated_us 0 when there is none. */
enum err store_preferences_get(struct store *store, struct arena *a,
    const char *tenant, const char *owner, const char **data,
    int64_t *updated_us) MUST_CHECK;
/* What becomes of the old object: a new one on the arena, or an error that
 * leaves it. Called again when the transaction is. */
typedef enum err (*store_merge_fn)(
    void *arg, struct arena *a, const char *old, const char **data);
enum err store_preferences_put(struct store *store, struct arena *a,
    const char *tenant, const char *owner, store_merge_fn merge, void *arg,
    const char **data, int64_t *updated_us) MUST_CHECK;
