/* SPDX-License-Identifier: MIT */
#include "auth/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "auth/jwt.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "settings/settings.h"

#define ACCESS_KID	  "aragora"
#define ACCESS_FILE	  "jwt.secret"
#define ACCESS_SECRET_MAX 4096
#define ACCESS_US	  INT64_C(1000000)
#define ACCESS_JTI	  8 /* random bytes that tell tokens apart */

struct access {
	char *secret;
	struct jwk_set *keys;
};

/* ---- the secret of the data folder ---- */

static enum err
access_bad_file(struct err_info *info, enum err e, const char *why)
{
	return err_set(info, e, "ARAGORA_JWT_SECRET",
	    "is unset, and " ACCESS_FILE " in the data folder %s", why);
}

static enum err
access_write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	return write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? ERR_OK
								      : ERR_IO;
}

/* Whoever links first has made it for all. */
static enum err
access_make_file(const char *path, struct err_info *info)
{
	char secret[ID_SIZE], suffix[ID_SIZE];
	enum err e = ERR_IO;

	id_make(suffix, "", 8);
	id_make_key(secret, "");
	char *draft = mem_printf("%s.%s", path, suffix);
	int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		e = access_write_all(fd, secret);
		close(fd);
		if (e == ERR_OK && link(draft, path) != 0 && errno != EEXIST)
			e = ERR_IO;
		unlink(draft);
	}
	free(draft);
	OPENSSL_cleanse(secret, sizeof(secret));
	return e == ERR_OK ? e : access_bad_file(info, e, "cannot be written");
}

static enum err
access_read_file(
    const char *path, char secret[ACCESS_SECRET_MAX], struct err_info *info)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT
		    ? ERR_NOT_FOUND
		    : access_bad_file(info, ERR_IO, "cannot be read");
	ssize_t n = read(fd, secret, ACCESS_SECRET_MAX - 1);
	bool is_open = fstat(fd, &st) != 0 || (st.st_mode & 077) != 0;
	close(fd);
	if (n < 0)
		return access_bad_file(info, ERR_IO, "cannot be read");
	if (is_open)
		return access_bad_file(
		    info, ERR_INVALID, "may be read by others (chmod 600)");
	secret[n] = '\0';
	return ERR_OK;
}

static enum err
access_from_folder(
    const char *folder, char secret[ACCESS_SECRET_MAX], struct err_info *info)
{
	mkdir(folder, 0750); /* may exist; open tells */
	char *path = mem_printf("%s/" ACCESS_FILE, folder);
	enum err e = access_read_file(path, secret, info);

	if (e == ERR_NOT_FOUND)
		e = access_make_file(path, info);
	if (e == ERR_OK)
		e = access_read_file(path, secret, info);
	free(path);
	return e == ERR_NOT_FOUND ? access_bad_file(info, ERR_IO, "went away")
				  : e;
}

enum err
access_open(
    struct access **out, const struct settings *settings, struct err_info *info)
{
	char secret[ACCESS_SECRET_MAX];
	bool is_set = *settings->jwt_secret != '\0';
	enum err e = ERR_OK;

	*out = NULL;
	if (is_set)
		snprintf(secret, sizeof(secret), "%s", settings->jwt_secret);
	else
		e = access_from_folder(settings->data_dir, secret, info);
	if (e != ERR_OK)
		return e;
	if (strlen(secret) < ACCESS_SECRET_MIN)
		return is_set
		    ? err_set(info, ERR_INVALID, "ARAGORA_JWT_SECRET",
			  "must have at least %d bytes", ACCESS_SECRET_MIN)
		    : access_bad_file(info, ERR_INVALID, "is too short");
	struct access *a = mem_zalloc(sizeof(*a));
	a->secret = mem_strdup(secret);
	a->keys = jwk_set_new();
	OPENSSL_cleanse(secret, sizeof(secret));
	*out = a;
	e = jwk_set_add_secret(a->keys, a->secret, info);
	if (e != ERR_OK)
		access_close(out);
	return e;
}

void
access_close(struct access **ap)
{
	struct access *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	OPENSSL_cleanse(a->secret, strlen(a->secret));
	free(a->secret);
	jwk_set_unref(&a->keys);
	free(a);
}

/* ---- tokens ---- */

const char *
access_sign(const struct access *a, struct arena *arena,
    const struct access_claims *c, int64_t now_us)
{
	char jti[ID_SIZE];
	struct json_w w;
	struct buf b;

	id_make(jti, "", ACCESS_JTI);
	buf_init(&b, JWT_MAX / 2);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "iss", ACCESS_KID);
	json_w_str(&w, "sub", c->user);
	json_w_str(&w, "email", c->email);
	json_w_str(&w, "org_id", c->tenant);
	json_w_str(&w, "role", c->role);
	json_w_int(&w, "iat", now_us / ACCESS_US);
	json_w_int(&w, "exp", c->expires_us / ACCESS_US);
	json_w_str(&w, "type", c->is_refresh ? "refresh" : "access");
	json_w_int(&w, "tv", c->token_version);
	json_w_str(&w, "sid", c->session);
	json_w_str(&w, "jti", jti);
	json_w_end(&w);
	const char *token =
	    jwt_sign(arena, ACCESS_KID, buf_text(&b), a->secret);
	buf_release(&b);
	return token;
}

bool
access_takes(struct arena *arena, const char *token)
{
	return jwt_is_like(token) && str_eq(jwt_kid(arena, token), ACCESS_KID);
}

static enum err
access_refuse(struct err_info *info, const char *why)
{
	return err_set(info, ERR_AUTH, "", "%s", why);
}

enum err
access_verify(const struct access *a, struct arena *arena, const char *token,
    bool is_refresh, int64_t now_us, struct access_claims *out,
    struct err_info *info)
{
	const struct json *j;
	uint64_t mark;

	enum err e = jwt_open(arena, token, a->keys, &j, &mark, info);
	if (e == ERR_NOT_FOUND)
		return ERR_AUTH;
	if (e != ERR_OK)
		return e;
	*out = (struct access_claims){.user = json_get_str(j, "sub", NULL),
	    .email = json_get_str(j, "email", ""),
	    .tenant = json_get_str(j, "org_id", NULL),
	    .role = json_get_str(j, "role", ""),
	    .session = json_get_str(j, "sid", NULL),
	    .token_version = json_get_int(j, "tv", -1),
	    .is_refresh = is_refresh,
	    .expires_us = json_get_int(j, "exp", 0) * ACCESS_US};
	if (!str_eq(json_get_str(j, "iss", NULL), ACCESS_KID) ||
	    out->user == NULL || out->tenant == NULL || out->session == NULL)
		return access_refuse(info, "the token is not one of ours");
	if (!str_eq(json_get_str(j, "type", NULL),
		is_refresh ? "refresh" : "access"))
		return access_refuse(info,
		    is_refresh ? "this is not a refresh token"
			       : "a refresh token gives no access");
	if (now_us >= out->expires_us)
		return access_refuse(info, "the token has expired");
	return ERR_OK;
}
