/* SPDX-License-Identifier: MIT
 *
 * The parser that settings.def drives.
 */
#include "settings/settings.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/otel.h"
#include "settings/redis_url.h"
#include "settings/settings_file.h"
#include "settings/settings_impl.h"

#define SETTINGS_TEXT_MAX 4096

#define S_TYPE_INT    "integer"
#define S_TYPE_DOUBLE "number"
#define S_TYPE_BOOL   "boolean"
#define S_TYPE_STR    "text"
#define S_TYPE_ENUM   "choice"

const struct settings_def settings_defs[SETTINGS__COUNT] = {
#define SETTING(name, kind, env_name, def, lo, hi, unit_text, flags, text)     \
	{{.field = #name,                                                      \
	     .env = env_name,                                                  \
	     .unit = unit_text,                                                \
	     .help = text,                                                     \
	     .default_value = def,                                             \
	     .min = lo,                                                        \
	     .max = hi,                                                        \
	     .is_secret = ((flags)&S_SECRET) != 0,                             \
	     .is_reloadable = ((flags)&S_RELOAD) != 0,                         \
	     .is_bounded = S_##kind == S_INT || S_##kind == S_DOUBLE,          \
	     .type = S_TYPE_##kind},                                           \
	    S_##kind, offsetof(struct settings, name)},
#define SETTING_ALIAS(env_name, name)
#include "settings/settings.def"
#undef SETTING
#undef SETTING_ALIAS
};

const struct settings_alias settings_aliases[] = {
#define SETTING(name, ...)
#define SETTING_ALIAS(env_name, name) {env_name, SETTINGS_##name},
#include "settings/settings.def"
#undef SETTING
#undef SETTING_ALIAS
};

const size_t settings_n_aliases = ARRAY_LEN(settings_aliases);

const struct settings_row *
settings_row(enum settings_id id)
{
	return &settings_defs[id].row;
}

/* Content of the file named by ENV_FILE, without its last newline. An empty
 * one is an error: taken as unset, it would silently switch a secret off. */
static enum err
settings_read_file(struct arena *a, const char *path, const char **out)
{
	char text[SETTINGS_TEXT_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ERR_NOT_FOUND;
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	if (n < 0)
		return ERR_IO;
	if ((size_t)n == sizeof(text))
		return ERR_TOO_LARGE;
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	if (n == 0 || memchr(text, '\0', (size_t)n) != NULL)
		return ERR_INVALID;
	*out = arena_strndup(a, text, (size_t)n);
	return ERR_OK;
}

/* The marker that settings_override leaves for settings_show. */
static const char *
settings_flag_env(struct arena *a, const struct settings_row *row)
{
	return arena_printf(a, "%s__FLAG", row->env);
}

enum err
settings_place_open(
    struct settings_place *place, struct arena *a, struct err_info *info)
{
	place->arena = a;
	return settings_file_read(a,
	    getenv(settings_defs[SETTINGS_config].row.env), &place->file, info);
}

static const char *
settings_value(
    const struct settings_place *place, const char *name, bool is_in_file)
{
	const char *value =
	    is_in_file ? settings_file_get(&place->file, name) : getenv(name);

	return str_is_empty(value) ? NULL : value;
}

/* A setting under one of its names, *value NULL when that name is unset: the
 * variable itself, else, for a secret, the file that NAME_FILE names. */
static enum err
settings_lookup(const struct settings_place *place,
    const struct settings_row *row, const char *name, bool is_in_file,
    const char **value, enum settings_origin *origin, struct err_info *info)
{
	struct arena *a = place->arena;

	*origin = is_in_file ? SETTINGS_FILE : SETTINGS_ENV;
	*value = settings_value(place, name, is_in_file);
	if (*value != NULL || !row->is_secret)
		return ERR_OK;
	const char *path =
	    settings_value(place, arena_printf(a, "%s_FILE", name), is_in_file);
	if (path == NULL)
		return ERR_OK;
	*origin = SETTINGS_FILE;
	enum err e = settings_read_file(a, path, value);
	if (e == ERR_INVALID)
		return err_set(info, e, row->env,
		    "the file named by %s_FILE is empty or not text", name);
	if (e != ERR_OK)
		return err_set(info, e, row->env,
		    "cannot read the file named by %s_FILE: %s", name,
		    err_text(e));
	return ERR_OK;
}

/* The same under each of its names, its own first. */
static enum err
settings_lookup_names(const struct settings_place *place, enum settings_id id,
    bool is_in_file, const char **value, enum settings_origin *origin,
    struct err_info *info)
{
	const struct settings_row *row = &settings_defs[id].row;

	enum err e = settings_lookup(
	    place, row, row->env, is_in_file, value, origin, info);
	for (size_t i = 0; i < ARRAY_LEN(settings_aliases); i++) {
		if (e != ERR_OK || *value != NULL)
			return e;
		if (settings_aliases[i].id == id)
			e = settings_lookup(place, row, settings_aliases[i].env,
			    is_in_file, value, origin, info);
	}
	return e;
}

/* The text of a setting and where it came from. */
static enum err
settings_source(const struct settings_place *place, enum settings_id id,
    const char **value, enum settings_origin *origin, struct err_info *info)
{
	const struct settings_row *row = &settings_defs[id].row;

	enum err e =
	    settings_lookup_names(place, id, false, value, origin, info);
	if (e == ERR_OK && *value == NULL)
		e = settings_lookup_names(place, id, true, value, origin, info);
	if (e != ERR_OK)
		return e;
	if (*value == NULL) {
		*origin = SETTINGS_DEFAULT;
		*value = row->default_value;
	} else if (*origin == SETTINGS_ENV &&
	    getenv(settings_flag_env(place->arena, row)) != NULL) {
		*origin = SETTINGS_FLAG;
	}
	return ERR_OK;
}

static bool
settings_is_choice(const char *choices, const char *value, const char **found,
    size_t *found_len)
{
	for (const char *p = choices;; p++) {
		size_t n = strcspn(p, "|");
		*found = p;
		*found_len = n;
		if (n == strlen(value) && n > 0) {
			size_t i = 0;
			while (i < n && str_lower(p[i]) == str_lower(value[i]))
				i++;
			if (i == n)
				return true;
		}
		p += n;
		if (*p == '\0')
			return false;
	}
}

/* Texts are not quoted in errors: a secret is one. */
static enum err
settings_put(const struct settings_def *d, const char *value, void *slot,
    struct err_info *info)
{
	const struct settings_row *row = &d->row;
	const char *choice;
	size_t len;

	switch (d->type) {
	case S_INT:
		if (str_to_i64(value, (int64_t)row->min, (int64_t)row->max,
			slot) != ERR_OK)
			return err_set(info, ERR_INVALID, row->env,
			    "'%s' is not an integer from %.0f to %.0f", value,
			    row->min, row->max);
		return ERR_OK;
	case S_DOUBLE:
		if (str_to_double(value, slot) != ERR_OK ||
		    *(double *)slot < row->min || *(double *)slot > row->max)
			return err_set(info, ERR_INVALID, row->env,
			    "'%s' is not a number from %g to %g", value,
			    row->min, row->max);
		return ERR_OK;
	case S_BOOL:
		if (str_to_bool(value, slot) != ERR_OK)
			return err_set(info, ERR_INVALID, row->env,
			    "'%s' is neither true nor false", value);
		return ERR_OK;
	case S_ENUM:
		if (!settings_is_choice(row->unit, value, &choice, &len))
			return err_set(info, ERR_INVALID, row->env,
			    "'%s' is not one of %s", value, row->unit);
		*(char **)slot = mem_strndup(choice, len);
		return ERR_OK;
	case S_STR:
		len = row->max > 0 ? (size_t)row->max : SETTINGS_TEXT_MAX;
		if (strlen(value) > len)
			return err_set(info, ERR_INVALID, row->env,
			    "longer than %zu bytes", len);
		if (!str_is_utf8(value, strlen(value)))
			return err_set(
			    info, ERR_INVALID, row->env, "not valid UTF-8");
		*(char **)slot = mem_strdup(value);
		return ERR_OK;
	}
	return ERR_INTERNAL;
}

/* One line per bad value; what a value holds cannot start another. */
static void
settings_complain(struct buf *errors, const struct err_info *info)
{
	buf_printf(errors, "%s: ", info->field);
	for (const char *p = info->text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		buf_putc(errors, c < 0x20 || c == 0x7f ? '?' : *p);
	}
	buf_putc(errors, '\n');
}

/* A rule that looks at more than one setting. */
static bool
settings_check(
    struct buf *errors, bool is_bad, const char *env, const char *why)
{
	struct err_info info = {0};

	if (!is_bad)
		return true;
	err_set(&info, ERR_INVALID, env, "%s", why);
	settings_complain(errors, &info);
	return false;
}

static bool
settings_check_redis(const char *url, struct buf *errors)
{
	struct arena *a = arena_new(0);
	struct redis_url parts;
	struct err_info info = {0};

	bool is_ok = str_is_empty(url) ||
	    redis_url_parse(a, url, &parts, &info) == ERR_OK;
	if (!is_ok)
		settings_complain(errors, &info);
	arena_free(&a);
	return is_ok;
}

static bool
settings_check_otel(const struct settings *s, struct buf *errors)
{
	struct arena *a = arena_new(0);
	struct err_info info[3] = {0};
	struct otel_pairs pairs;
	const char *url;
	const enum err e[] = {otel_url(a, s->otel_endpoint,
				  s->otel_traces_endpoint, &url, &info[0]),
	    otel_headers(a, s->otel_headers, &pairs, &info[1]),
	    otel_attributes(a, s->otel_resource_attributes, &pairs, &info[2])};
	bool is_ok = true;

	for (size_t i = 0; i < ARRAY_LEN(e); i++) {
		is_ok = is_ok && e[i] == ERR_OK;
		if (e[i] != ERR_OK)
			settings_complain(errors, &info[i]);
	}
	arena_free(&a);
	return is_ok;
}

static bool
settings_check_all(const struct settings *s, struct buf *errors)
{
	bool is_ok = true;

	is_ok &= settings_check(errors,
	    s->disable_all_rate_limits && str_eq(s->env, "production"),
	    "ARAGORA_DISABLE_ALL_RATE_LIMITS",
	    "refused when ARAGORA_ENV is production");
	is_ok &= settings_check(errors,
	    s->rate_limit_fail_open && s->rate_limit_strict,
	    "ARAGORA_RATE_LIMIT_FAIL_OPEN",
	    "contradicts ARAGORA_RATE_LIMIT_STRICT");
	is_ok &= settings_check(errors, s->default_rounds > s->max_rounds,
	    "ARAGORA_DEFAULT_ROUNDS", "is more than ARAGORA_MAX_ROUNDS");
	is_ok &= settings_check(errors,
	    s->default_pagination > s->max_api_limit,
	    "ARAGORA_DEFAULT_PAGINATION", "is more than ARAGORA_MAX_API_LIMIT");
	is_ok &= settings_check(errors,
	    *s->url_prefix != '\0' && *s->url_prefix != '/',
	    "ARAGORA_URL_PREFIX", "does not start with '/'");
	is_ok &= settings_check_redis(s->redis_url, errors);
	is_ok &= settings_check_otel(s, errors);
	is_ok &= settings_check(errors,
	    s->ssl_enabled &&
		(str_is_empty(s->ssl_cert) || str_is_empty(s->ssl_key)),
	    "ARAGORA_SSL_ENABLED",
	    "needs ARAGORA_SSL_CERT and ARAGORA_SSL_KEY");
	return is_ok;
}

/* One row into the struct; a bad value is replaced by the default, so that
 * the checks across settings have something to read. */
static bool
settings_load_row(struct settings *s, const struct settings_place *place,
    enum settings_id id, struct buf *errors)
{
	const struct settings_def *d = &settings_defs[id];
	struct err_info info = {0};
	enum settings_origin origin;
	const char *value = "";

	enum err e = settings_source(place, id, &value, &origin, &info);
	if (e == ERR_OK)
		e = settings_put(d, value, settings_slot(s, d), &info);
	if (e == ERR_OK)
		return true;
	settings_complain(errors, &info);
	e = settings_put(d, d->row.default_value, settings_slot(s, d), NULL);
	assert(e == ERR_OK);
	return false;
}

enum err
settings_load(struct settings **out, struct buf *errors)
{
	struct settings *s = mem_zalloc(sizeof(*s));
	struct arena *a = arena_new(0);
	struct settings_place place;
	struct err_info info = {0};

	bool is_ok = settings_place_open(&place, a, &info) == ERR_OK;
	if (!is_ok)
		settings_complain(errors, &info);
	for (int i = 0; i < SETTINGS__COUNT; i++)
		is_ok &=
		    settings_load_row(s, &place, (enum settings_id)i, errors);
	is_ok &= settings_check_all(s, errors);
	arena_free(&a);
	if (!is_ok)
		settings_free(&s);
	*out = s;
	return is_ok ? ERR_OK : ERR_INVALID;
}

void
settings_free(struct settings **s)
{
	if (*s == NULL)
		return;
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_def *d = &settings_defs[i];
		if (settings_is_text(d))
			free(*(char **)settings_slot(*s, d));
	}
	while ((*s)->kept != NULL) {
		struct settings_kept *kept = (*s)->kept;
		(*s)->kept = kept->next;
		free(kept->text);
		free(kept);
	}
	free(*s);
	*s = NULL;
}

void
settings_override(enum settings_id id, const char *value)
{
	const struct settings_row *row = &settings_defs[id].row;
	struct arena *a = arena_new(0);

	if (setenv(row->env, value, 1) != 0 ||
	    setenv(settings_flag_env(a, row), "1", 1) != 0)
		mem_exhausted(strlen(value));
	arena_free(&a);
}

void
settings_show(const struct settings *s, enum settings_id id, struct buf *out,
    enum settings_origin *origin)
{
	const struct settings_def *d = &settings_defs[id];
	const void *slot = settings_slot(s, d);
	struct arena *a = arena_new(0);
	struct settings_place place;
	const char *value;

	if (settings_place_open(&place, a, NULL) != ERR_OK ||
	    settings_source(&place, id, &value, origin, NULL) != ERR_OK)
		*origin = SETTINGS_FILE;
	arena_free(&a);
	switch (d->type) {
	case S_INT:
		buf_printf(out, "%lld", (long long)*(const int64_t *)slot);
		break;
	case S_DOUBLE:
		buf_printf(out, "%g", *(const double *)slot);
		break;
	case S_BOOL:
		buf_puts(out, *(const bool *)slot ? "true" : "false");
		break;
	case S_STR:
	case S_ENUM:
		value = *(char *const *)slot;
		buf_puts(out,
		    d->row.is_secret && *value != '\0' ? "********" : value);
		break;
	}
}
