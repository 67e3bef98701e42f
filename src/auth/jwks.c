/* SPDX-License-Identifier: MIT */
#include "auth/jwks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

struct jwks {
	char *secret;
	char *url;
	struct jwks_options options;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* of anything below */
	/* under lock */
	struct jwk_set *set; /* NULL = none yet */
	bool is_fetching;
	bool is_wanted; /* somebody asks for newer keys */
	bool is_stopping;
	bool is_failing;
	bool has_fetched;
	int64_t asked_ms; /* last begin of a fetch */
	int64_t due_ms;	  /* next fetch at the latest */
	int64_t pause_ms; /* after the next failure */
	int64_t n_fetches;
	int64_t n_done; /* of these */
};

static void
jwks_wait(struct jwks *j, int64_t until_ms)
{
	struct timespec t = {.tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000) * 1000000};

	pthread_cond_timedwait(&j->changed, &j->lock, &t);
}

/* The secret and what the text holds. */
static enum err
jwks_build(const struct jwks *j, const char *json, size_t len,
    struct jwk_set **out, struct err_info *info)
{
	struct jwk_set *set = jwk_set_new();
	enum err e = ERR_OK;

	if (*j->secret != '\0')
		e = jwk_set_add_secret(set, j->secret, info);
	if (e != ERR_OK)
		err_set(info, e, "secret", "is shorter than %d bytes",
		    JWK_SECRET_MIN);
	else if (len > 0)
		e = jwk_set_add_json(set, json, len, info);
	if (e != ERR_OK)
		jwk_set_unref(&set);
	*out = set;
	return e;
}

/* ---- the thread ---- */

static enum err
jwks_fetch(struct jwks *j, struct jwk_set **set, struct err_info *info)
{
	struct buf text;

	buf_init(&text, JWK_SET_BYTES);
	enum err e = j->options.fetch(j->url, &text, info);
	if (e == ERR_OK && text.len == 0)
		e = err_set(info, ERR_INVALID, "", "the answer is empty");
	if (e == ERR_OK)
		e = jwks_build(j, buf_text(&text), text.len, set, info);
	buf_release(&text);
	return e;
}

/* One line when the keys cannot be had and one when they can again. */
static void
jwks_note(struct jwks *j, enum err e, const struct err_info *info)
{
	if (e != ERR_OK && !j->is_failing)
		log_warning("auth.keys_failing", "error=\"%s%s%s\"",
		    info->field, info->field[0] != '\0' ? " " : "", info->text);
	if (e == ERR_OK)
		log_info("auth.keys", "keys=%zu back=%d", jwk_set_count(j->set),
		    j->is_failing);
	j->is_failing = e != ERR_OK;
}

/* Under the lock, which is given up for the fetch itself. */
static void
jwks_turn(struct jwks *j)
{
	struct jwk_set *set = NULL;
	struct err_info info = {0};

	j->is_wanted = false;
	j->is_fetching = true;
	j->asked_ms = clock_mono_ms();
	j->n_fetches++;
	pthread_mutex_unlock(&j->lock);
	enum err e = jwks_fetch(j, &set, &info);
	pthread_mutex_lock(&j->lock);
	j->is_fetching = false;
	j->n_done++;
	if (e == ERR_OK) {
		jwk_set_unref(&j->set);
		j->has_fetched = true;
		j->set = set;
		j->pause_ms = j->options.retry_ms;
		j->due_ms = clock_mono_ms() + j->options.fresh_ms;
	} else {
		j->due_ms = clock_mono_ms() + j->pause_ms;
		j->pause_ms *= 2;
		if (j->pause_ms > j->options.again_ms)
			j->pause_ms = j->options.again_ms;
		if (j->pause_ms < j->options.retry_ms)
			j->pause_ms = j->options.retry_ms;
	}
	jwks_note(j, e, &info);
	pthread_cond_broadcast(&j->changed);
}

static void *
jwks_main(void *arg)
{
	struct jwks *j = arg;

	pthread_mutex_lock(&j->lock);
	while (!j->is_stopping) {
		if (j->is_wanted || clock_mono_ms() >= j->due_ms)
			jwks_turn(j);
		else
			jwks_wait(j, j->due_ms);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* ---- the outside ---- */

static void
jwks_init_lock(struct jwks *j)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
}

enum err
jwks_open(struct jwks **out, const struct jwks_options *options,
    struct err_info *info)
{
	struct jwks *j = mem_zalloc(sizeof(*j));
	enum err e = ERR_OK;

	*out = NULL;
	j->options = *options;
	j->secret = mem_strdup(options->secret);
	j->url = mem_strdup(options->url);
	j->pause_ms = options->retry_ms;
	jwks_init_lock(j);
	/* The secret alone is no whole set where a URL brings more, but its
	 * tokens need not wait for it: they find the key at once. */
	if (*j->secret != '\0' || options->json_len > 0)
		e = jwks_build(
		    j, options->json, options->json_len, &j->set, info);
	if (e == ERR_OK && *j->url != '\0') {
		j->has_thread =
		    pthread_create(&j->thread, NULL, jwks_main, j) == 0;
		if (!j->has_thread)
			e = err_set(info, ERR_IO, "", "cannot start a thread");
	}
	if (e != ERR_OK) {
		jwks_close(&j);
		return e;
	}
	*out = j;
	return ERR_OK;
}

void
jwks_close(struct jwks **jp)
{
	struct jwks *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	if (j->has_thread) {
		pthread_mutex_lock(&j->lock);
		j->is_stopping = true;
		pthread_cond_broadcast(&j->changed);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->thread, NULL);
	}
	jwk_set_unref(&j->set);
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	explicit_bzero(j->secret, strlen(j->secret));
	free(j->secret);
	free(j->url);
	free(j);
}

enum err
jwks_get(struct jwks *j, struct jwk_set **out)
{
	int64_t until_ms = clock_mono_ms() + j->options.wait_ms;

	*out = NULL;
	pthread_mutex_lock(&j->lock);
	/* Only the first fetch, or one under way, is worth waiting for. */
	while (j->set == NULL && j->has_thread &&
	    (j->is_fetching || j->n_fetches == 0) && clock_mono_ms() < until_ms)
		jwks_wait(j, until_ms);
	if (j->set != NULL)
		*out = jwk_set_ref(j->set);
	pthread_mutex_unlock(&j->lock);
	return *out != NULL ? ERR_OK : ERR_DOWN;
}

bool
jwks_renew(struct jwks *j, struct jwk_set **set)
{
	int64_t until_ms = clock_mono_ms() + j->options.wait_ms;

	if (!j->has_thread)
		return false;
	pthread_mutex_lock(&j->lock);
	/* A fetch that began and failed a moment ago counts as well. */
	if (j->set == *set && !j->is_fetching &&
	    (j->n_fetches == 0 ||
		clock_mono_ms() - j->asked_ms >= j->options.again_ms)) {
		j->is_wanted = true;
		pthread_cond_broadcast(&j->changed);
	}
	int64_t n_done = j->n_done;
	while (j->set == *set && j->n_done == n_done &&
	    (j->is_wanted || j->is_fetching) && clock_mono_ms() < until_ms)
		jwks_wait(j, until_ms);
	bool is_newer = j->set != *set;
	if (is_newer) {
		jwk_set_unref(set);
		*set = jwk_set_ref(j->set);
	}
	pthread_mutex_unlock(&j->lock);
	return is_newer;
}

bool
jwks_is_complete(struct jwks *j)
{
	pthread_mutex_lock(&j->lock);
	bool is_complete = j->has_fetched || !j->has_thread;
	pthread_mutex_unlock(&j->lock);
	return is_complete;
}

int64_t
jwks_fetches(struct jwks *j)
{
	pthread_mutex_lock(&j->lock);
	int64_t n = j->n_fetches;
	pthread_mutex_unlock(&j->lock);
	return n;
}
