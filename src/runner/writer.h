/* SPDX-License-Identifier: MIT
 *
 * Inside of the writer. writer_job.c makes the jobs and hands over what became
 * of them, both on the loop's thread; writer.c is the thread that does them,
 * writer_commit.c its transactions.
 */
#pragma once

#include <pthread.h>

#include "runner/runner.h"

#define WRITER_GROUP_MAX 256

enum writer_kind {
	WRITER_COMMIT,
	WRITER_CLAIM,
	WRITER_HEARTBEAT,
	WRITER_RELEASE,
	WRITER_PARK,
	WRITER_HEAR
};

/* A job, and afterwards its reply. */
struct writer_job {
	struct list link;
	enum writer_kind kind;
	struct arena *arena; /* everything below hangs on it */
	struct store_transition transition;
	void *tag;
	bool is_last_word; /* accepted after a refusal */
	enum err result;
	int64_t max;
	const char *tenant;
	const char *id;
	const char **ids;
	int64_t *epochs;
	bool *lost;
	bool *pausing;
	size_t n;
	int64_t active;
	const char *health;
	int64_t since;
	struct store_human *said;
	struct store_debate *rows;
	struct store_turn **turns;
	size_t *n_turns;
};

/* A debate whose transition was refused. What the loop queued before it heard
 * of that must not land either: it stands on what is missing. */
struct writer_refused {
	struct list link;
	char *debate_id;
	int64_t epoch;
};

struct writer {
	const struct settings *settings;
	struct store *store;
	struct teller *teller;
	struct cache *cache; /* NULL = none */
	struct loop *loop;
	struct writer_ops ops;
	writer_written_fn written_fn; /* NULL = none */
	void *written_arg;
	struct store_runner self;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list jobs;
	struct list replies;
	struct list refused; /* writer's thread only */
	bool is_stopping;
	bool is_joined; /* loop thread only */
	int64_t stop_ms;
	int64_t swept_ms; /* writer's thread only; 0 = never */
	bool is_down;	  /* the database, as last seen */
};

/* Loop thread, after the thread has been joined. */
void writer_refused_free(struct writer_refused *r);

/* ---- writer.c ---- */

void writer_pause(int64_t ms);
/* Tell once when the database goes and comes. */
void writer_note(struct writer *w, enum err e);
/* Stopping, and there is no more time. */
bool writer_gives_up(struct writer *w);

/* ---- writer_commit.c ---- */

#define WRITER_RETRY_MS 200

/* Commits that wait together, in one transaction or one by one. */
void writer_do_commits(struct writer *w, struct writer_job **group, size_t n);
/* Is it the transition's own fault, so that trying again cannot help? The
 * rest is the state of the database, which changes. */
bool writer_is_refusal(enum err e);
/* Its events to the teller. */
void writer_publish_commit(struct writer *w, struct writer_job *j);
