/* SPDX-License-Identifier: MIT
 *
 * Inside of src/store/: one transaction around a function, retried when that
 * is safe. fn runs again from the start, so it has no side effect but on the
 * database and its own argument.
 */
#pragma once

#include "store/db.h"
#include "store/store.h"

struct store_target {
	const struct db_driver *driver;
	char *target; /* malloc'd */
};
/* Which database the settings name. */
enum err store_target(const struct settings *s, struct store_target *out,
    struct err_info *info) MUST_CHECK;

typedef enum err (*store_tx_fn)(struct db *db, void *arg);

/* ERR_RETRY and connections lost before COMMIT are tried again, at most five
 * times with full jitter; any error of fn rolls back. info (may be NULL) is
 * cleared before each try. */
enum err store_tx(struct store *store, enum db_tx kind, store_tx_fn fn,
    void *arg, struct err_info *info) MUST_CHECK;

/* A read of many of one tenant's rows: a replica serves it when `read` allows
 * that and the replica can, else the primary. */
enum err store_tx_analytic(struct store *store, const char *tenant,
    const struct store_read *read, store_tx_fn fn, void *arg) MUST_CHECK;

/* ERR_DENIED: the connection's role stands above row level security. The
 * setting is the one to blame. */
enum err store_check_role(
    struct db *db, const char *setting, struct err_info *info) MUST_CHECK;
/* What the server of a connection has. */
enum err store_limits_read(
    struct db *db, struct arena *a, struct store_limits *l) MUST_CHECK;

/* A transaction saw the schema at this version: ERR_SCHEMA when that is not
 * the one we looked at and this program does not fit it. */
enum err store_noticed(struct store *store, int64_t version) MUST_CHECK;
/* The store's. */
struct pool *store_pool(struct store *store);

/* ["id", ...], or [["id", epoch], ...] with epochs, on the arena. */
const char *store_id_list(
    struct arena *a, const char *const *ids, const int64_t *epochs, size_t n);

/* The clock that judges leases. */
enum err store_clock(struct db *db, struct arena *a, int64_t *now_us)
    MUST_CHECK;
/* A row of STMT_DEBATE_COLUMNS. */
void store_debate_from(
    const struct db_result *r, size_t row, struct store_debate *out);
/* Of STMT_TURN_LIST, on the arena, in order of seq, then step_key. */
void store_turns_from(const struct db_result *r, struct arena *a,
    struct store_turn **rows, size_t *n);
/* Queued: the transaction's commit waits for them. */
enum err store_event_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_event *e) MUST_CHECK;
/* After an uncertain COMMIT: is this event, with the seq and the time it was
 * given then, in the table? The answer is final; for write transactions. */
enum err store_event_landed(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_event *e, bool *is_landed)
    MUST_CHECK;
/* Queued; nothing when there is none. */
enum err store_vector_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_vector *v, int64_t now_us)
    MUST_CHECK;
/* Queued. */
enum err store_turn_put(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_turn *t) MUST_CHECK;

/* Is there a place in the queue for n more of d's tenant? ERR_BUSY as
 * store_debate_create says. */
enum err store_debate_room(struct db *db, struct arena *a,
    const struct store_debate *d, int64_t n, int64_t max_queued,
    struct err_info *info) MUST_CHECK;
/* Inserts it; queued, unless there is a budget (NULL = none). */
enum err store_debate_put(struct db *db, struct arena *a,
    const struct store_debate *d, struct store_budget_ask *budget,
    struct err_info *info) MUST_CHECK;

struct store_tenant;
struct store_session;
enum err store_tenant_insert(
    struct db *db, struct arena *a, const struct store_tenant *t) MUST_CHECK;
enum err store_session_insert(
    struct db *db, struct arena *a, const struct store_session *s) MUST_CHECK;
/* Somebody's access to this tenant may have ended. */
enum err store_access_bump(struct db *db, struct arena *a, const char *tenant)
    MUST_CHECK;
