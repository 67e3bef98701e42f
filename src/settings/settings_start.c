/* SPDX-License-Identifier: MIT
 *
 * The start that all programs share, and reading the settings again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings_impl.h"

/* ---- reading again ---- */

static bool
settings_is_same(const struct settings_def *d, const void *a, const void *b)
{
	switch (d->type) {
	case S_INT:
		return *(const int64_t *)a == *(const int64_t *)b;
	case S_DOUBLE:
		return memcmp(a, b, sizeof(double)) == 0;
	case S_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case S_STR:
	case S_ENUM:
		return str_eq(*(char *const *)a, *(char *const *)b);
	}
	return true;
}

/* Other threads may be reading *to: each value is one store, and a text that
 * they have in hand is kept. */
static void
settings_exchange(
    struct settings *live, const struct settings_def *d, struct settings *next)
{
	void *to = settings_slot(live, d);
	void *from = settings_slot(next, d);

	if (settings_is_text(d)) {
		struct settings_kept *kept = mem_alloc(sizeof(*kept));
		kept->text = *(char **)to;
		kept->next = live->kept;
		live->kept = kept;
		__atomic_store_n((char **)to, *(char **)from, __ATOMIC_RELEASE);
		*(char **)from = NULL;
	} else if (d->type == S_BOOL) {
		__atomic_store_n((bool *)to, *(bool *)from, __ATOMIC_RELAXED);
	} else {
		/* of a double its bits */
		__atomic_store(
		    (int64_t *)to, (int64_t *)from, __ATOMIC_RELAXED);
	}
}

enum err
settings_reload(struct settings *live, struct buf *changed, struct buf *errors)
{
	struct settings *next = NULL;

	enum err e = settings_load(&next, errors);
	if (e != ERR_OK)
		return e;
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_def *d = &settings_defs[i];
		if (settings_is_same(
			d, settings_slot(live, d), settings_slot(next, d)))
			continue;
		buf_printf(changed, "%s%s%s", changed->len > 0 ? " " : "",
		    d->row.env, d->row.is_reloadable ? "" : "(restart)");
		if (d->row.is_reloadable)
			settings_exchange(live, d, next);
	}
	settings_free(&next);
	return ERR_OK;
}

static void
settings_set_log(const char *program, const struct settings *s)
{
	log_init(program,
	    str_eq(s->log_level, "DEBUG")	? LOG_DEBUG
		: str_eq(s->log_level, "INFO")	? LOG_INFO
		: str_eq(s->log_level, "ERROR") ? LOG_ERROR
						: LOG_WARNING,
	    str_eq(s->log_format, "json")	? LOG_JSON
		: str_eq(s->log_format, "text") ? LOG_LOGFMT
						: LOG_AUTO);
}

static bool
settings_is_known(const char *name)
{
	static const char twin[] = "_FILE";
	size_t n = strlen(name);

	if (str_eq(name, settings_defs[SETTINGS_config].row.env))
		return false;
	for (int i = 0; i < SETTINGS__COUNT + (int)settings_n_aliases; i++) {
		bool is_alias = i >= SETTINGS__COUNT;
		enum settings_id id = is_alias
		    ? settings_aliases[i - SETTINGS__COUNT].id
		    : (enum settings_id)i;
		const char *env = is_alias
		    ? settings_aliases[i - SETTINGS__COUNT].env
		    : settings_defs[i].row.env;
		size_t m = strlen(env);
		if (str_eq(name, env) ||
		    (settings_defs[id].row.is_secret && n == m + 5 &&
			memcmp(name, env, m) == 0 && str_eq(name + m, twin)))
			return true;
	}
	return false;
}

/* Lines of the file that no program of ours will read. */
static void
settings_tell_unknown(void)
{
	struct arena *a = arena_new(0);
	struct settings_place place;

	if (settings_place_open(&place, a, NULL) == ERR_OK)
		for (size_t i = 0; i < place.file.n; i++)
			if (!settings_is_known(place.file.lines[i].name))
				log_warning("settings.unknown",
				    "file=%s line=%d name=%s", place.file.path,
				    place.file.lines[i].number,
				    place.file.lines[i].name);
	arena_free(&a);
}

void
settings_hangup(const char *program, struct settings *live)
{
	struct buf changed, errors;

	buf_init(&changed, 1u << 20);
	buf_init(&errors, 1u << 20);
	if (settings_reload(live, &changed, &errors) != ERR_OK) {
		log_error("settings.kept", "errors=\"%s\"", buf_text(&errors));
	} else {
		settings_set_log(program, live);
		settings_tell_unknown();
		log_info(
		    "settings.reload", "changed=\"%s\"", buf_text(&changed));
	}
	buf_release(&changed);
	buf_release(&errors);
}

struct settings *
settings_start(const char *program)
{
	struct settings *s = NULL;
	struct buf errors;

	buf_init(&errors, 1u << 20);
	if (settings_load(&s, &errors) != ERR_OK) {
		fprintf(stderr, "%s: bad settings:\n%s", program,
		    buf_text(&errors));
		exit(EX_CONFIG);
	}
	buf_release(&errors);
	if (s->memory_profiling)
		heap_open();
	/* A limit on file sizes is an error to report, not to die of. */
	signal(SIGXFSZ, SIG_IGN);
	settings_set_log(program, s);
	settings_tell_unknown();
	return s;
}
