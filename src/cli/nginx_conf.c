/* SPDX-License-Identifier: MIT */
#include "cli/nginx_conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "settings/settings.h"

#define NGINX_CONF_MAX 65536

struct nginx_var {
	const char *name;
	const char *value;
};

static enum err
nginx_read(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char block[4096];
	size_t n;

	if (f == NULL)
		return ERR_NOT_FOUND;
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		buf_append(out, block, n);
	bool is_bad = ferror(f) != 0 || out->is_overflowed;
	fclose(f);
	return is_bad ? ERR_IO : ERR_OK;
}

/* Values stand inside quotes or as bare words: nothing may end them. */
static enum err
nginx_check(const struct nginx_var *vars, size_t n, struct err_info *info)
{
	for (size_t i = 0; i < n; i++)
		if (strpbrk(vars[i].value, "\"'\\\n\r$;{}") != NULL &&
		    !str_eq(vars[i].name, "USER") &&
		    !str_eq(vars[i].name, "TLS") &&
		    !str_eq(vars[i].name, "TLS_FILES"))
			return err_set(info, ERR_INVALID, vars[i].name,
			    "'%s' cannot stand in nginx's configuration",
			    vars[i].value);
	return ERR_OK;
}

static const char *
nginx_lookup(
    const struct nginx_var *vars, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(vars[i].name) == len &&
		    strncmp(vars[i].name, name, len) == 0)
			return vars[i].value;
	return NULL;
}

static enum err
nginx_expand(const char *text, const struct nginx_var *vars, size_t n,
    struct buf *out, struct err_info *info)
{
	for (const char *p = text; *p != '\0';) {
		size_t plain = strcspn(p, "@");
		buf_append(out, p, plain);
		p += plain;
		if (*p == '\0')
			break;
		/* Names are upper case; nginx's own @locations are not. */
		size_t len = strspn(p + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
		if (len == 0 || p[1 + len] != '@') {
			buf_putc(out, *p++);
			continue;
		}
		const char *value = nginx_lookup(vars, n, p + 1, len);
		if (value == NULL)
			return err_set(info, ERR_INTERNAL, "",
			    "unknown name in the template: '%.20s'", p);
		buf_puts(out, value);
		p += len + 2;
	}
	return out->is_overflowed ? ERR_TOO_LARGE : ERR_OK;
}

static enum err
nginx_save(const char *path, const struct buf *b, struct err_info *info)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot write '%s': %s", path, strerror(errno));
	bool ok = fwrite(buf_text(b), 1, b->len, f) == b->len;
	ok = fclose(f) == 0 && ok;
	return ok ? ERR_OK
		  : err_set(info, ERR_IO, "", "cannot write '%s'", path);
}

/* nginx would take a relative name as one below its own folder. A missing
 * file keeps its name: nginx says what it lacks. */
static const char *
nginx_real(struct arena *a, const char *path)
{
	char real[PATH_MAX];

	if (str_is_empty(path) || realpath(path, real) == NULL)
		return path;
	return arena_strdup(a, real);
}

enum err
nginx_conf_write(
    const struct nginx_conf *c, const char *path, struct err_info *info)
{
	const struct settings *s = c->settings;
	struct arena *a = arena_new(0);
	char *template = path_data("conf/nginx/serve.conf.in");
	struct buf text, out;

	buf_init(&text, NGINX_CONF_MAX);
	buf_init(&out, NGINX_CONF_MAX);
	const char *cert = nginx_real(a, s->ssl_cert);
	const char *key = nginx_real(a, s->ssl_key);
	const struct nginx_var vars[] = {
	    {"RUN", c->run_dir},
	    {"WEB", c->web_dir},
	    {"LISTEN", c->listen},
	    {"USER", geteuid() == 0 ? "user root;" : ""},
	    {"MAX_BODY",
		arena_printf(a, "%lld", (long long)s->max_request_size)},
	    {"TLS", s->ssl_enabled ? " ssl" : ""},
	    {"TLS_FILES",
		s->ssl_enabled ? arena_printf(a,
				     "ssl_certificate \"%s\"; "
				     "ssl_certificate_key \"%s\";",
				     cert, key)
			       : ""},
	    {"ARAGORA_SSL_CERT", cert},
	    {"ARAGORA_SSL_KEY", key},
	};
	enum err e = nginx_check(vars, ARRAY_LEN(vars), info);
	if (e == ERR_OK && template == NULL)
		e = err_set(info, ERR_NOT_FOUND, "",
		    "conf/nginx/serve.conf.in is missing");
	if (e == ERR_OK && nginx_read(template, &text) != ERR_OK)
		e = err_set(info, ERR_IO, "", "cannot read '%s'", template);
	if (e == ERR_OK)
		e = nginx_expand(
		    buf_text(&text), vars, ARRAY_LEN(vars), &out, info);
	if (e == ERR_OK)
		e = nginx_save(path, &out, info);
	buf_release(&text);
	buf_release(&out);
	free(template);
	arena_free(&a);
	return e;
}
