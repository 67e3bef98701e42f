/* SPDX-License-Identifier: MIT
 *
 * Inside of aragora-runner: the loop thread drives debates and model calls,
 * the writer thread owns the database, the teller thread the bus. Loop and
 * writer exchange jobs and replies; both tell the teller.
 */
#pragma once

#include <stdatomic.h>

#include "base/list.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "debate/debate.h"
#include "llm/llm.h"
#include "store/store.h"
#include "store/store_human.h"

struct settings;
struct cache;
struct teller;
struct writer;

/* ---- writer: jobs in, replies on the loop ---- */

struct writer_ops {
	/* All on the loop thread. ERR_FENCED: the lease is lost. ERR_CANCELLED:
	 * not written, because one before it was refused. An error that names
	 * no state of the database (ERR_INTERNAL, ERR_TOO_LARGE, ...): refused
	 * for what it holds. */
	void (*on_commit)(void *arg, void *tag, enum err result);
	/* rows and their turns hang on a; the callee must not keep them. */
	void (*on_claimed)(void *arg, struct arena *a,
	    const struct store_debate *row, const struct store_turn *turns,
	    size_t n_turns);
	void (*on_claim_end)(void *arg, size_t n);
	void (*on_lost)(void *arg, const char *debate_id, int64_t epoch);
	/* To be parked as soon as no call is under way. */
	void (*on_pausing)(void *arg, const char *debate_id, int64_t epoch);
	/* ERR_CONFLICT: no longer wanted, or no longer ours. */
	void (*on_parked)(
	    void *arg, const char *debate_id, int64_t epoch, enum err result);
	/* What people said; rows hang on the job and must not be kept. */
	void (*on_heard)(void *arg, const char *debate_id, int64_t epoch,
	    const struct store_human *rows, size_t n, enum err result);
	void *arg;
};

enum err writer_new(struct writer **out, const struct settings *settings,
    struct store *store, struct teller *teller, struct loop *loop,
    const char *runner_id, const struct writer_ops *ops) MUST_CHECK;
/* Called on the writer's thread after a transition is written. To be set before
 * the first job. */
typedef void (*writer_written_fn)(void *arg, const struct store_transition *t);
void writer_on_written(struct writer *w, writer_written_fn fn, void *arg);
/* What transitions change is dropped there. Borrowed; to be set before the
 * first job. */
void writer_use_cache(struct writer *w, struct cache *cache);
/* Finish what is queued and join the thread; its last answers wait for
 * writer_deliver. From then on only writer_release does anything, at once. */
void writer_stop(struct writer *w);
/* Stopped before, answers delivered. */
void writer_free(struct writer **w);

/* The transition is copied. In order per debate; on_commit tells. After one
 * was refused the debate's next ones are, until its last word. */
void writer_commit(struct writer *w, const struct store_transition *t,
    const char *tenant, int64_t epoch, void *tag);
void writer_commit_last_word(struct writer *w, const struct store_transition *t,
    const char *tenant, int64_t epoch, void *tag);
/* Claim up to max; only_id (may be NULL) names the one wanted. */
void writer_claim(struct writer *w, int64_t max, const char *only_id);
/* Extend leases, and tell how many debates run and how the agents are; all is
 * copied. */
void writer_heartbeat(struct writer *w, const char *const *ids,
    const int64_t *epochs, size_t n, int64_t active, const char *health);
/* Pause it, with its event, and give the lease back; on_parked tells. */
void writer_park(struct writer *w, const char *tenant, const char *id,
    int64_t epoch, const char *trace_parent);
/* What people said after an event; on_heard tells. */
void writer_hear(struct writer *w, const char *tenant, const char *id,
    int64_t epoch, int64_t since);
void writer_release(
    struct writer *w, const char *tenant, const char *id, int64_t epoch);
/* Hand over what the thread has answered; called on the loop's wake. */
void writer_deliver(struct writer *w);
