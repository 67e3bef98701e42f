/* SPDX-License-Identifier: MIT
 *
 * What tenants and users may spend by day and month (UTC). A debate is granted
 * its part when it is created, in the same transaction, and keeps it until its
 * end, whichever runner drives it and however often one dies: its calls then
 * ask nobody. At its end what it did not take is free again.
 *
 * Limits come from the settings; a row of budget_limits overrides them for one
 * tenant or one user. What is spent and held never exceeds a limit by one
 * unit, as long as no call costs more than was held for it.
 */
#pragma once

#include "store/store.h"

struct db;
struct store_step;

struct store_budget_use {
	const char *scope;  /* "tenant", "user" */
	const char *period; /* "day", "month" */
	int64_t starts_us, resets_us;
	struct store_amount limit; /* -1 = none */
	struct store_amount spent, held;
};

struct store_budget_ask {
	const struct settings *settings;
	struct store_amount own;   /* the debate's own limit, -1 = none */
	struct store_amount want;  /* at most; what does not fit is cut */
	struct store_amount least; /* less is refused */
	bool is_priced;		   /* are its prices known? */
	/* The configuration that says what was granted (-1 = no limit). */
	const char *(*config)(void *arg, const struct store_amount *granted);
	void *arg;
	/* out */
	bool is_granted; /* there are limits */
	/* After ERR_BUSY with the field "budget": what stood in the way. */
	struct store_budget_use full;
	bool is_full_of_tokens; /* not of money */
};

/* The periods that have a limit or anything spent, tenant before user; owner
 * may be NULL. */
enum err store_budget_list(struct store *store, struct arena *a,
    const struct settings *settings, const char *tenant, const char *owner,
    struct store_budget_use **rows, size_t *n) MUST_CHECK;

/* What a tenant may spend; -1 = no limit. What was granted stays granted. */
enum err store_budget_put(struct store *store, const char *tenant,
    const struct store_amount *day, const struct store_amount *month)
    MUST_CHECK;
/* The month (UTC) of a time, or the next one. */
int64_t store_month_us(int64_t now_us, bool is_next);

/* ---- inside of a transaction ---- */

/* *config becomes the granted one when there are limits. ERR_BUSY with the
 * field "budget": it does not fit. */
enum err store_budget_grant(struct db *db, struct arena *a,
    const struct store_debate *d, struct store_budget_ask *ask,
    const char **config, struct err_info *info) MUST_CHECK;
/* It is over. spent NULL: as it last said. Nothing when it has no grant. */
enum err store_budget_close(struct db *db, struct arena *a, const char *tenant,
    const char *debate_id, const struct store_amount *spent) MUST_CHECK;
/* What the transitions that were written say of their grants. */
enum err store_budget_commit(struct db *db, struct arena *a,
    const struct store_step *steps, size_t n) MUST_CHECK;
