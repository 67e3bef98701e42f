/* SPDX-License-Identifier: MIT
 *
 * What the tests of the cache share: hosts (folders of their own), a clock
 * that stands still, and shorthands.
 */
#pragma once

#include <check.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cache/cache.h"
#include "settings/settings.h"

static _Atomic int64_t kit_now_ms;

static inline int64_t
kit_clock(void)
{
	return atomic_load(&kit_now_ms);
}

static inline void
kit_nap(void)
{
	struct timespec ts = {.tv_nsec = 2000000};

	nanosleep(&ts, NULL);
}

static inline void
kit_folder(char *folder, size_t size)
{
	signal(SIGPIPE, SIG_IGN);
	snprintf(folder, size, "cache-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	atomic_store(&kit_now_ms, 1000000);
}

static inline void
kit_remove(const char *folder)
{
	char *command = mem_printf("rm -rf %s", folder);

	ck_assert_int_eq(system(command), 0);
	free(command);
}

static inline struct settings *
kit_settings(const char *folder)
{
	struct settings *settings = NULL;
	struct buf errors;

	setenv("ARAGORA_DATA_DIR", folder, 1);
	buf_init(&errors, 4096);
	ck_assert_msg(settings_load(&settings, &errors) == ERR_OK, "%s",
	    buf_text(&errors));
	buf_release(&errors);
	return settings;
}

static inline struct cache *
kit_cache(const struct settings *settings, struct redis_pool *redis)
{
	struct cache *c = NULL;

	cache_open(&c, settings, redis, "salt");
	cache_set_clock(c, kit_clock);
	return c;
}

/* What is kept, "" = nothing. static memory. */
static inline const char *
kit_look(
    struct cache *c, enum cache_kind kind, const char *tenant, const char *key)
{
	static _Thread_local char text[64];
	struct cache_turn turn;
	struct buf out;

	buf_init(&out, 64 << 20);
	if (cache_get(c, kind, tenant, key, &out, &turn))
		snprintf(text, sizeof(text), "%s", buf_text(&out));
	else
		text[0] = '\0';
	if (text[0] == '\0')
		cache_give_up(c, &turn);
	buf_release(&out);
	return text;
}

/* True when it was computed, and so kept. */
static inline bool
kit_keep(struct cache *c, enum cache_kind kind, const char *tenant,
    const char *key, const char *value)
{
	struct cache_turn turn;
	struct buf out;

	buf_init(&out, 64 << 20);
	bool is_hit = cache_get(c, kind, tenant, key, &out, &turn);
	if (!is_hit)
		cache_put(c, &turn, value, strlen(value));
	buf_release(&out);
	return !is_hit;
}
