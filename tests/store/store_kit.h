/* SPDX-License-Identifier: MIT
 *
 * What the cases of the store suite share: a fresh database for each case, on
 * SQLite or on the PostgreSQL that the environment names (store_pgsql.sh).
 */
#pragma once

#include <check.h>
#include <stdbool.h>

#include "settings/settings.h"
#include "store/db.h"
#include "store/store.h"

#define KIT_LEASE_US	(60 * INT64_C(1000000))
#define KIT_EVENTS_MAX	8
#define KIT_THREADS	4
#define KIT_POOL_SIZE	4
#define KIT_TIMEOUT_S	30
#define KIT_TIMEOUT_MS	(KIT_TIMEOUT_S * 1000)
#define KIT_BUSY_SECOND "1" /* where a case waits for ERR_BUSY */

struct kit {
	const char *pg_url;   /* the service's, maybe a pooler; NULL = SQLite */
	const char *pg_owner; /* who owns the tables, direct; NULL = pg_url */
	const char *pg_user;  /* of pg_url */
	bool is_pooled;	      /* pg_url is a pooler in transaction mode */
	const char *pg_socket; /* the server's own */
	const char *pg_ctl;    /* command prefix of pg_ctl */
	char folder[64];
	struct settings *settings;
	struct store *store;
	struct arena *arena;
};
extern struct kit kit;

/* The URL of the suite; *failed counts on. */
void kit_run(void (*add)(TCase *t), const char *name, int *failed);
void kit_setup(void);
void kit_teardown(void);

/* Settings for the owner of the tables, or for the service. */
void kit_become(bool is_owner);
/* Settings again from the environment, the store opened on them. */
void kit_reload(void);
enum err kit_reopen(struct err_info *info);
/* A connection of one's own, past any pooler, as the owner. */
struct db *kit_connect(void);
/* Statements of the test itself, on a connection of their own. */
void kit_script(const char *sql);
/* The PostgreSQL schema is emptied, the SQLite file removed. */
void kit_empty(void);

const char *kit_create(const char *task, int64_t priority);
const char *kit_create_for(
    const char *tenant, const char *task, int64_t priority);
struct store_debate kit_claim(const char *runner);
struct store_debate kit_get(const char *id);
/* A step with n events, with the store's answer and the outcome. */
enum err kit_commit(const struct store_debate *d, size_t n_events,
    enum store_status status, enum err *outcome);
/* The same when the answer must be ERR_OK. */
enum err kit_step(
    const struct store_debate *d, size_t n_events, enum store_status status);
/* The events of a debate are 1..n without gap, as last_seq says. */
void kit_check_events(const char *id, size_t n);

void add_accounts(TCase *t);
void add_schema(TCase *t);
void add_tenancy(TCase *t);
void add_verbs(TCase *t);
void add_plans(TCase *t);
void add_receipt(TCase *t);
void add_races(TCase *t);
void add_capacity(TCase *t);
void add_vectors(TCase *t);
void add_attempts(TCase *t);
void add_faults(TCase *t);
void add_relay(TCase *t);
void add_health(TCase *t);
void add_human(TCase *t);
void add_ratings(TCase *t);
void add_batches(TCase *t);
void add_bounds(TCase *t);
void add_budgets(TCase *t);
void add_memory(TCase *t);
void add_agents(TCase *t);
