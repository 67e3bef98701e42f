/* SPDX-License-Identifier: MIT
 *
 * The store: domain verbs over SQLite or PostgreSQL. Callers see no SQL and
 * no driver. One struct store per process, opened after fork; every verb is
 * thread-safe, takes a pooled connection for its own transaction and gives it
 * back. Rows and texts hang on the caller's arena.
 *
 * Times are microseconds since 1970 UTC; 0 = never. `tenant` scopes every
 * verb that serves a caller; another tenant's row is ERR_NOT_FOUND.
 *
 * Errors of every verb: ERR_BUSY (no connection within
 * ARAGORA_DB_POOL_TIMEOUT, or SQLite's lock not free in time), ERR_DOWN
 * (database unreachable), ERR_FULL (disk), ERR_UNCERTAIN (connection lost in
 * COMMIT, and asking again did not help), ERR_SCHEMA (it has another schema
 * than this program serves, or came back with one), ERR_INTERNAL (a bug: bad
 * statement). Serialization failures and connections lost before COMMIT are
 * retried inside. Why a database is away or full is logged once, as is that it
 * is back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct settings;
struct store;
struct store_match;	 /* store_rating.h */
struct store_memory;	 /* store_memory.h */
struct store_budget_ask; /* store_budget.h */
struct store_attempt;	 /* store_attempt.h */
struct store_seats;	 /* store_agent.h */
struct store_key;	 /* store_key.h */
struct store_access;	 /* store_account.h */

/* Money in millionths of a dollar, and tokens; as a limit -1 = none. */
struct store_amount {
	int64_t udollar, tokens;
};

#define STORE_TENANT_DEFAULT "default"

/* Opens the database that the settings name, checks the schema version.
 * ERR_DOWN (unreachable) and ERR_SCHEMA (run `aragora migrate`; the text says
 * which way): the store is given all the same, every verb looks again and
 * serves once it fits. After any other error there is none; ERR_DENIED: in
 * production, a role that row level security does not hold.
 * settings are borrowed for the life of the store. */
enum err store_open(struct store **out, const struct settings *settings,
    struct err_info *info) MUST_CHECK;
void store_close(struct store **store);
/* "sqlite" or "postgresql". */
const char *store_kind(const struct store *store);
/* One round trip. Notices when the schema has moved on: ERR_SCHEMA from every
 * verb until this program fits again. */
enum err store_ping(struct store *store) MUST_CHECK;
/* After ERR_DOWN: the server is there, but does not let us in (role, password,
 * database, its own start or end). */
bool store_is_login_refused(const struct store *store);
/* Is there room for a write? Writes a row and takes it back in one
 * transaction; ERR_FULL when there is none. */
enum err store_ping_write(struct store *store) MUST_CHECK;
/* PostgreSQL's wal_level, "" on SQLite; on the arena. */
enum err store_wal_level(
    struct store *store, struct arena *a, const char **level) MUST_CHECK;

/* Connections: what the server has (all 0 for SQLite), and what this host's
 * processes have of the budget they share. */
struct store_limits {
	int64_t max, reserved;	/* for superusers and the like */
	int64_t role, database; /* limits of these two, -1 = none */
	int64_t connected;	/* now, whoever they are */
	bool is_pooled;		/* a pooler stands in between */
	bool is_shared;		/* false: each process by itself */
	int64_t open, waiting, processes;
};
enum err store_limits(struct store *store, struct store_limits *out,
    struct err_info *info) MUST_CHECK;

/* ---- read replicas (ARAGORA_DATABASE_REPLICA_URL) ---- */

/* How a read of many rows may be served. Zeroed: by the primary. */
struct store_read {
	bool is_analytic; /* a replica may serve it */
	uint64_t after;	  /* a store_position that it must have seen */
};
/* Up to where the writes of this tenant went, as far as this host knows; 0 =
 * none, or there is no replica. Asks nobody. */
uint64_t store_position(struct store *store, const char *tenant);

struct store_replica {
	bool is_configured, is_standby;
	uint64_t position;
	int64_t lag_ms;
	int64_t version; /* of its schema */
	struct store_limits limits;
};
/* One of the replicas, asked now. */
enum err store_replica(struct store *store, struct store_replica *out,
    struct err_info *info) MUST_CHECK;

/* ---- schema (schema.h tells more); only the migrate command and quickstart
 * write schema ---- */
struct store_schema {
	int64_t have; /* version in the database, 0 = empty */
	/* This program was made for min to want. */
	int64_t min;
	int64_t want;
	/* What programs the database admits: least version of theirs. */
	int64_t min_binary;
	bool is_served; /* this program works with this database */
};
/* ERR_SCHEMA: the database's history of migrations is not ours. */
enum err store_schema(const struct settings *settings, struct store_schema *out,
    struct err_info *info) MUST_CHECK;
/* ERR_SCHEMA, with what to do, unless is_served. */
enum err store_schema_fits(const struct store_schema *s, struct err_info *info)
    MUST_CHECK;
/* Of this program alone; have = 0. */
void store_schema_range(struct store_schema *out);
/* As this store last saw it, without asking; why (may be NULL) is the text of
 * the refusal or "". */
void store_schema_seen(
    struct store *store, struct store_schema *out, struct err_info *why);
/* Apply what is missing under a lock; each migration in its own transaction
 * with its version row. applied = how many. */
enum err store_migrate(const struct settings *settings, int *applied,
    struct err_info *info) MUST_CHECK;

/* ---- debates ---- */

/* As stored and as reported (contract 2.2). */
#define STORE_STATUS_LIST(X)                                                   \
	X(STORE_PENDING, "pending")                                            \
	X(STORE_RUNNING, "running")                                            \
	X(STORE_PAUSED, "paused")                                              \
	X(STORE_COMPLETED, "completed")                                        \
	X(STORE_FAILED, "failed")                                              \
	X(STORE_CANCELLED, "cancelled")
enum store_status {
#define X(id, text) id,
	STORE_STATUS_LIST(X)
#undef X
	    STORE_STATUS__COUNT
};
const char *store_status_name(enum store_status s);
/* ERR_INVALID when it is none. */
enum err store_status_parse(const char *text, enum store_status *out)
    MUST_CHECK;
bool store_status_is_final(enum store_status s);

/* One debate. config and result are JSON objects written by debate/config.h
 * and debate/result.c; the store does not look inside. The columns beside
 * them are what lists filter on. */
struct store_debate {
	const char *id;
	const char *tenant;
	const char *owner; /* may be NULL */
	const char *slug;  /* = id until changed */
	const char *task;
	const char *config; /* JSON object */
	enum store_status status;
	const char *phase; /* debate/debate.h's name of the current step */
	int64_t round;	   /* 0 before the first */
	int64_t total_rounds;
	int64_t priority;   /* higher first */
	const char *result; /* JSON object, NULL until finished */
	const char *error;  /* NULL unless failed */
	double confidence;
	bool consensus_reached;
	int64_t last_seq; /* of its events */
	int64_t created_us, updated_us, started_us, completed_us;
	/* queue */
	int64_t lease_epoch; /* fencing number */
	int64_t lease_until_us;
	const char *runner; /* id of the holder, NULL when none */
	int64_t attempts;   /* claims so far */
	/* what people changed of it later */
	const char *title;    /* NULL = its task */
	const char *labels;   /* JSON object: tags, metadata; NULL = as asked */
	int64_t archived_us;  /* 0 = it is not */
	int64_t revision;     /* of these */
	const char *parent;   /* the debate it was forked from, or NULL */
	int64_t branch_point; /* messages taken over from it */
	/* W3C trace context of the request that asked, and how that request
	 * was named; NULL = none. */
	const char *trace_parent, *trace_state, *request_id;
	/* Read by create: how many of this tenant may wait, 0 = no limit. */
	int64_t max_tenant_queued;
	/* Read and answered by create: NULL = it asks for no grant. */
	struct store_budget_ask *budget;
	struct store_key *key;	   /* the same; NULL = none */
	struct store_seats *seats; /* the same; NULL = any agent may */
};

/* Inserts d (id, tenant, owner, task, config, total_rounds, priority, parent
 * branch_point and the trace are read) as pending. d->key was used before by
 * the same request: d->key->ref names its debate and nothing is inserted; by
 * another: ERR_CONFLICT. ERR_EXISTS: id taken. max_queued pending debates of
 * all tenants or more: ERR_BUSY with field "queue"; d->max_tenant_queued of
 * this one or more: ERR_BUSY with field "tenant_queue"; as many in this month
 * as the tenant may: ERR_BUSY with field "month". */
enum err store_debate_create(struct store *store, struct arena *a,
    const struct store_debate *d, int64_t max_queued, struct err_info *info)
    MUST_CHECK;

/* By id, else by slug. */
enum err store_debate_get(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_debate *out) MUST_CHECK;

#define STORE_ORDER_LIST(X)                                                    \
	X(STORE_BY_CREATED, "created_at")                                      \
	X(STORE_BY_CONFIDENCE, "confidence")                                   \
	X(STORE_BY_DURATION, "duration")
enum store_order {
#define X(id, text) id,
	STORE_ORDER_LIST(X)
#undef X
	    STORE_ORDER__COUNT
};

struct store_debate_filter {
	const char *tenant;
	int status;		    /* -1 = any, else enum store_status */
	const char *query;	    /* NULL or text within task, any case */
	int64_t since_us, until_us; /* 0 = open; created_us */
	const char *domain, *tag;   /* NULL = any */
	const char *const *agents;  /* all of them take part */
	size_t n_agents;
	int64_t min_rounds, max_rounds; /* 0 = open */
	bool is_by_outcome;		/* only those with this outcome: */
	bool is_reached;
	bool is_archived; /* those, instead of the others */
	enum store_order order;
	bool is_ascending;
	int64_t limit, offset;
	/* Only what comes behind this debate in the order, which stood there
	 * with this key (store_debate_key); NULL = from the start. */
	const char *after_id;
	double after_key;
	struct store_read read;
};
/* What it is in order of. */
double store_debate_key(
    const struct store_debate_filter *f, const struct store_debate *d);
/* Newest first unless the filter says another order; *total counts without
 * limit and offset. */
enum err store_debate_list(struct store *store, struct arena *a,
    const struct store_debate_filter *f, struct store_debate **rows, size_t *n,
    int64_t *total) MUST_CHECK;

/* The title, labels and archived_us (0 or not) of d over those of its revision.
 * ERR_CONFLICT: somebody changed them since, or it is gone. */
enum err store_debate_relabel(struct store *store, const struct store_debate *d)
    MUST_CHECK;
/* Those forked from it, oldest first. */
enum err store_debate_forks(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_debate **rows, size_t *n)
    MUST_CHECK;
/* With all that belongs to it; what a runner still writes is refused. Ratings
 * stay. ERR_NOT_FOUND. */
enum err store_debate_delete(
    struct store *store, const char *tenant, const char *id) MUST_CHECK;

struct store_note {
	const char *id;
	const char *text;
	int64_t created_us;
	struct store_key *key; /* read and answered by add; NULL = none */
};
/* Of a debate that exists. ERR_CONFLICT: the key is another request's. */
enum err store_note_add(struct store *store, const char *tenant,
    const char *debate_id, const struct store_note *note) MUST_CHECK;
enum err store_note_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_note **rows,
    size_t *n) MUST_CHECK;
/* ERR_NOT_FOUND. */
enum err store_note_delete(struct store *store, const char *tenant,
    const char *debate_id, const char *id) MUST_CHECK;

/* What a tenant's debates of one state and domain come to. */
struct store_stat {
	enum store_status status;
	const char *domain;
	int64_t debates, reached, rounds;
	int64_t spent_us; /* of those that ended */
	double confidence;
};
enum err store_debate_stats(struct store *store, struct arena *a,
    const char *tenant, int64_t since_us, const struct store_read *read,
    struct store_stat **rows, size_t *n) MUST_CHECK;

/* Place in the queue of a pending debate, 1 = next; 0 when not pending. */
enum err store_debate_queue_position(struct store *store, const char *tenant,
    const char *id, int64_t *position) MUST_CHECK;

/* What a pending debate has before it. */
struct store_wait {
	int64_t position; /* 1 = next, 0 = not pending */
	/* Until it is taken up, from the tenant's last debates and the room of
	 * the runners seen within max_age_us; -1 = nothing to tell it from. */
	int64_t wait_us;
};
enum err store_debate_wait(struct store *store, const char *tenant,
    const char *id, int64_t max_age_us, struct store_wait *out) MUST_CHECK;

/* Over all tenants. */
struct store_counts {
	int64_t pending;
	int64_t active;	   /* hold a live lease */
	int64_t oldest_us; /* how long the first of the pending waits */
};
enum err store_debate_counts(struct store *store, struct store_counts *out)
    MUST_CHECK;

/* ---- events: the truth; pub/sub is a doorbell ---- */
struct store_event {
	int64_t seq;	    /* 1.. per debate without gap; set by the store */
	const char *type;   /* name of bus/event.def */
	int64_t round;	    /* 0 = none */
	const char *agent;  /* NULL = none */
	int64_t created_us; /* set by the store */
	const char *data;   /* JSON object */
	const char *trace_parent; /* its debate's; read, never written */
};
/* seq > since, ascending, at most limit. */
enum err store_event_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, int64_t since, int64_t limit,
    struct store_event **rows, size_t *n) MUST_CHECK;
/* Those of one type, ascending, at most limit. */
enum err store_event_list_type(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, const char *type, int64_t limit,
    struct store_event **rows, size_t *n) MUST_CHECK;
/* last_seq of many debates in one query; -1 = unknown debate. */
enum err store_event_heads(struct store *store, struct arena *a,
    const char *const *debate_ids, size_t n, int64_t *heads) MUST_CHECK;

/* ---- receipts (receipt/receipt.h) ---- */
struct store_receipt {
	const char *text;      /* what is signed */
	const char *signature; /* NULL = unsigned */
	const char *marks;     /* 64 hex digits for each event */
};
/* Does nothing when the debate has one. */
enum err store_receipt_put(struct store *store, const char *tenant,
    const char *debate_id, const struct store_receipt *r) MUST_CHECK;
enum err store_receipt_get(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_receipt *out)
    MUST_CHECK;

/* ---- turns: one row per model call ---- */
enum store_turn_state {
	STORE_TURN_STARTED,
	STORE_TURN_DONE,
	STORE_TURN_FAILED
};
struct store_turn {
	const char
	    *step_key; /* "round/phase/agent/target", unique per debate */
	int64_t round;
	const char *phase;
	const char *agent;
	const char *target; /* NULL unless a critique */
	const char *role;   /* proposer, critic, voter, judge, synthesizer */
	enum store_turn_state state;
	int64_t attempt;     /* 1.. */
	int64_t key_attempt; /* of one that is out, as read: its attempt's */
	const char *content; /* the text, NULL until done */
	const char *parsed;  /* JSON object read out of it, NULL when none */
	const char *error;   /* NULL unless failed */
	int64_t tokens_in, tokens_out;
	int64_t seq; /* event that told of it, 0 until then */
	int64_t started_us, finished_us; /* set by the store when 0 */
};
/* In order of seq, then step_key. */
enum err store_turn_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_turn **rows,
    size_t *n) MUST_CHECK;
/* A debate as store_debate_get has it, and its turns. By its id both are one
 * round trip. */
enum err store_debate_read(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_debate *out,
    struct store_turn **turns, size_t *n) MUST_CHECK;

/* ---- embeddings of finished debates (store_vector.c) ---- */

struct store_vector {
	const char *model; /* NULL = there is none */
	int64_t dimension;
	const char *data; /* base64 of float32, little endian */
};
enum err store_vector_get(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_vector *out)
    MUST_CHECK;

/* Vectors of one tenant and one model, the newest first, page by page. Zeroed
 * but for tenant, model and dimension: the first page. */
struct store_vector_scan {
	const char *tenant;
	const char *model;
	int64_t dimension;
	int64_t before_us;     /* where the last page ended; 0 = nowhere */
	const char *before_id; /* on the arena of that page */
	struct store_read read;
};
struct store_vector_row {
	const char *debate_id;
	const char *data;
};
/* The next at most max rows; fewer: there are no more. */
enum err store_vector_next(struct store *store, struct arena *a,
    struct store_vector_scan *scan, int64_t max, struct store_vector_row **rows,
    size_t *n) MUST_CHECK;

/* ---- the runner's writes ---- */

/* Everything one step of one debate changes, applied wholly or not at all.
 * Accepted only while lease_epoch is still the debate's. */
struct store_transition {
	const char *tenant;
	const char *debate_id;
	int64_t lease_epoch;
	const char *trace_parent; /* of the debate; not written */
	struct store_turn *turns; /* upserted by step_key */
	size_t n_turns;
	struct store_event *events; /* seq and created_us are filled in */
	size_t n_events;
	/* A turn whose announcing event is in this transition names it by
	 * index + 1 in turn_event[i] (0 = none); its seq is filled in. NULL =
	 * none at all. */
	const size_t *turn_event;
	/* New state of the debate row: */
	enum store_status status;
	const char *phase;
	int64_t round;
	const char *result; /* NULL = keep */
	const char *error;  /* NULL = keep */
	double confidence;
	bool consensus_reached;
	struct store_vector vector; /* inserted, unless there is one */
	/* Rated in the same transaction, once per debate; NULL = none. */
	const struct store_match *match;
	/* It has a grant (store_budget.h), of which it has taken so much. */
	bool is_granted;
	struct store_amount taken;
	/* Upserted by step_key and number; the time of those that have none is
	 * filled in. */
	struct store_attempt *attempts;
	size_t n_attempts;
	/* The first since the debate was claimed: what an earlier runner had
	 * asked and not heard is lost. */
	bool is_takeover;
	/* Remembered in the same transaction; NULL = nothing. */
	struct store_memory *memory;
	bool is_release; /* give the lease back in the same transaction */
	/* out: ERR_OK; ERR_FENCED (nothing of it was written); ERR_UNCERTAIN
	 * (the answer to COMMIT was lost). The last is an input as well. */
	enum err outcome;
	int64_t n_lost; /* out, of a takeover: attempts cut off */
};
/* Group commit: all transitions in one database transaction; a fenced one
 * does not touch the others. The return value is about the transaction as a
 * whole; outcome about each. A final status sets completed_us and drops the
 * lease. After ERR_UNCERTAIN call it again with the same, unchanged
 * transitions: what landed is recognised and not written twice. */
enum err store_commit(struct store *store, struct store_transition *const *t,
    size_t n) MUST_CHECK;

/* Claim up to max debates that are pending, or running with an expired lease,
 * by priority, fewest under way of its tenant, and age: status running,
 * lease_epoch + 1, attempts + 1. Counted over all runners, no more than what
 * each asks for itself. */
enum err store_claim(struct store *store, struct arena *a, const char *runner,
    int64_t lease_us, int64_t max, struct store_debate **rows, size_t *n)
    MUST_CHECK;
/* Claim this one debate; ERR_NOT_FOUND when it is not claimable. */
enum err store_claim_one(struct store *store, struct arena *a,
    const char *runner, int64_t lease_us, const char *debate_id,
    struct store_debate *row) MUST_CHECK;
/* Extend the leases of n debates; lost[i] tells which are no longer ours. */
enum err store_heartbeat(struct store *store, const char *const *debate_ids,
    const int64_t *lease_epochs, size_t n, int64_t lease_us, bool *lost)
    MUST_CHECK;
/* Give a lease back (drain): at once claimable by another runner. */
enum err store_release(struct store *store, const char *tenant,
    const char *debate_id, int64_t lease_epoch) MUST_CHECK;

/* Cancel from the API: takes the lease over (epoch + 1, so that the runner's
 * next write is fenced), status cancelled, and inserts the given debate_end
 * event, all in one transaction. ERR_NOT_FOUND; ERR_CONFLICT when final
 * already. event's seq and created_us are filled in. */
enum err store_debate_cancel(struct store *store, const char *tenant,
    const char *id, struct store_event *event) MUST_CHECK;

/* ---- pause and resume (store_pause.c) ---- */

/* A pending debate is paused at once and event told (its seq and created_us
 * are filled in, seq = 0: not told); of a running one its runner is to park
 * it. *status is the debate's afterwards. Again: the same, without event.
 * ERR_NOT_FOUND; ERR_CONFLICT when final already. */
enum err store_debate_pause(struct store *store, const char *tenant,
    const char *id, struct store_event *event, enum store_status *status)
    MUST_CHECK;
/* A paused one waits again and event is told; one still to be parked goes
 * on. Otherwise as pause. */
enum err store_debate_resume(struct store *store, const char *tenant,
    const char *id, struct store_event *event, enum store_status *status)
    MUST_CHECK;
/* Of the leases, which are to be parked. */
enum err store_pausing(struct store *store, const char *const *debate_ids,
    const int64_t *lease_epochs, size_t n, bool *pausing) MUST_CHECK;
/* The runner's answer: status paused, lease given back, event told (round is
 * filled in too). ERR_CONFLICT: no longer wanted, or no longer ours. */
enum err store_park(struct store *store, const char *tenant,
    const char *debate_id, int64_t lease_epoch, struct store_event *event)
    MUST_CHECK;

/* ---- runners, for health and the CLI ---- */
struct store_runner {
	const char *id;
	const char *host;
	int64_t pid;
	int64_t capacity;
	int64_t active;
	int64_t seen_us;
	const char *health; /* JSON array by llm_health_write; NULL = none */
};
/* Upsert with seen_us = now. Notices a moved schema as store_ping does. */
enum err store_runner_seen(struct store *store, const struct store_runner *r)
    MUST_CHECK;
enum err store_runner_gone(struct store *store, const char *id) MUST_CHECK;
/* Those seen within max_age_us. */
enum err store_runner_list(struct store *store, struct arena *a,
    int64_t max_age_us, struct store_runner **rows, size_t *n) MUST_CHECK;

/* ---- API tokens: only their SHA-256 is stored ---- */
struct store_token {
	const char *id; /* "tok_" + 12 hex */
	const char *tenant;
	const char *name;
	const char *prefix; /* first 12 characters of the token, public */
	const char *hash;   /* sha256 hex */
	const char *tier;   /* "authenticated", "premium", "internal" */
	int64_t created_us, expires_us, last_used_us,
	    revoked_us;	    /* 0 = never */
	const char *owner;  /* who made it; NULL = the operator */
	const char *scopes; /* "read,write,admin" (auth/role.h) */
};
enum err store_token_create(struct store *store, const struct store_token *t)
    MUST_CHECK;
/* owner NULL = everybody's. */
enum err store_token_list(struct store *store, struct arena *a,
    const char *tenant, const char *owner, struct store_token **rows, size_t *n)
    MUST_CHECK;
/* By hash; revoked or expired ones are ERR_NOT_FOUND. Touches last_used_us at
 * most once a minute. */
enum err store_token_find(struct store *store, struct arena *a,
    const char *hash, struct store_access *out) MUST_CHECK;
/* By id or prefix; owner NULL = whoever's. */
enum err store_token_revoke(struct store *store, const char *tenant,
    const char *owner, const char *id) MUST_CHECK;
/* Is there any unrevoked token? */
enum err store_token_any(struct store *store, bool *any) MUST_CHECK;
