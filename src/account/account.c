/* SPDX-License-Identifier: MIT */
#include "account/account.h"

#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "settings/settings.h"

#define ACCOUNT_SECOND_US INT64_C(1000000)
#define ACCOUNT_HOUR_US	  (3600 * ACCOUNT_SECOND_US)
#define ACCOUNT_SLUG_MAX  40
/* From the fifth attempt in a quarter of an hour on an e-mail waits, a minute
 * and then twice as long each time; an address, behind which many may sit,
 * from the twentieth on. */
#define ACCOUNT_WINDOW_US    (900 * ACCOUNT_SECOND_US)
#define ACCOUNT_WAIT_US	     (60 * ACCOUNT_SECOND_US)
#define ACCOUNT_MAX_WAIT_US  (900 * ACCOUNT_SECOND_US)
#define ACCOUNT_FREE	     5
#define ACCOUNT_FREE_ADDRESS 20

static bool
account_is_plain(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	return true;
}

enum err
account_email(struct arena *a, const char *text, const char **email,
    struct err_info *info)
{
	char *e = str_trim(a, text);
	const char *at = strrchr(e, '@');
	size_t len = strlen(e);

	for (char *p = e; *p != '\0'; p++) {
		*p = str_lower(*p);
		if ((unsigned char)*p <= 0x20 || *p == 0x7f)
			at = NULL;
	}
	*email = e;
	if (at == NULL || at == e || strchr(e, '@') != at || at[1] == '\0' ||
	    len > ACCOUNT_EMAIL_MAX)
		return err_set(info, ERR_INVALID, "email",
		    "must be an address such as ann@example.org");
	return ERR_OK;
}

enum err
account_password(const char *field, const char *text, struct err_info *info)
{
	size_t n = str_utf8_count(text, strlen(text));

	if (n < PASSWORD_MIN || n > PASSWORD_MAX)
		return err_set(info, ERR_INVALID, field,
		    "must have %d to %d characters", PASSWORD_MIN,
		    PASSWORD_MAX);
	return ERR_OK;
}

enum err
account_name(struct arena *a, const char *field, const char *text,
    const char **name, struct err_info *info)
{
	*name = str_trim(a, text);
	if (**name == '\0' || strlen(*name) > ACCOUNT_NAME_MAX)
		return err_set(info, ERR_INVALID, field,
		    "must have 1 to %d bytes", ACCOUNT_NAME_MAX);
	if (!account_is_plain(*name))
		return err_set(info, ERR_INVALID, field,
		    "must not hold control characters");
	return ERR_OK;
}

bool
account_plan_is_known(const char *plan)
{
	static const char *const plans[] = {
	    "free", "starter", "professional", "enterprise", "premium"};

	for (size_t i = 0; i < ARRAY_LEN(plans); i++)
		if (str_eq(plans[i], plan))
			return true;
	return false;
}

/* Letters and digits of the name, and what makes it one of a kind. */
static const char *
account_slug(struct arena *a, const char *name)
{
	char slug[ACCOUNT_SLUG_MAX + 1];
	char tail[ID_SIZE];
	size_t n = 0;

	for (const char *p = name; *p != '\0' && n < ACCOUNT_SLUG_MAX; p++) {
		if (str_is_alnum(*p))
			slug[n++] = str_lower(*p);
		else if (n > 0 && slug[n - 1] != '-')
			slug[n++] = '-';
	}
	while (n > 0 && slug[n - 1] == '-')
		n--;
	slug[n] = '\0';
	id_make(tail, n > 0 ? "-" : "", 4);
	return arena_printf(a, "%s%s", slug, tail);
}

void
account_new_tenant(struct arena *a, const char *name, struct store_tenant *out)
{
	char id[ID_SIZE];

	id_make(id, "org_", 8);
	*out = (struct store_tenant){.id = arena_strdup(a, id),
	    .name = name,
	    .slug = account_slug(a, name),
	    .plan = "free",
	    .status = "active",
	    .settings = "{}",
	    .max_debates_month = -1};
}

void
account_new_user(struct arena *a, const char *tenant, const char *email,
    const char *name, const char *role, struct store_user *out)
{
	char id[ID_SIZE];

	id_make(id, "user_", 8);
	*out = (struct store_user){.id = arena_strdup(a, id),
	    .tenant = tenant,
	    .email = email,
	    .name = name,
	    .role = role,
	    .metadata = "{}",
	    .is_active = true};
}

const char *
account_new_session(struct arena *a)
{
	char id[ID_SIZE];

	id_make(id, "ses_", 12);
	return arena_strdup(a, id);
}

static const char *
account_gate(struct arena *a, const char *kind, const char *who)
{
	char hash[ID_HASH_SIZE];
	const char *text = arena_printf(a, "%s:%s", kind, who);

	id_sha256(text, strlen(text), hash);
	return arena_strdup(a, hash);
}

enum err
account_check_password(struct store *store, struct password *p, struct arena *a,
    const char *email, const char *address, const struct store_user *user,
    const char *password, int64_t *wait_s)
{
	const struct store_login_gate gates[] = {
	    {account_gate(a, "email", email), ACCOUNT_FREE, ACCOUNT_WINDOW_US,
		ACCOUNT_WAIT_US, ACCOUNT_MAX_WAIT_US},
	    {account_gate(a, "address", address == NULL ? "" : address),
		ACCOUNT_FREE_ADDRESS, ACCOUNT_WINDOW_US, ACCOUNT_WAIT_US,
		ACCOUNT_MAX_WAIT_US},
	};
	size_t n = address == NULL ? 1 : 2;
	int64_t wait_us = 0;
	bool is_old = false;

	enum err e = store_login_try(store, gates, n, &wait_us);
	*wait_s = (wait_us + ACCOUNT_SECOND_US - 1) / ACCOUNT_SECOND_US;
	if (e != ERR_OK)
		return e;
	e = password_verify(
	    p, user == NULL ? NULL : user->password_hash, password, &is_old);
	/* The account of a user who may not come in is nobody's. */
	if (e == ERR_OK && !user->is_active)
		e = ERR_AUTH;
	if (e == ERR_OK)
		e = store_login_passed(store, gates, n);
	if (e == ERR_OK && is_old) {
		char hash[PASSWORD_SIZE];
		if (password_hash(p, password, hash) == ERR_OK)
			(void)!store_user_rehash(
			    store, user->tenant, user->id, hash);
	}
	return e;
}

void
account_sign(const struct access *access, const struct settings *s,
    struct arena *a, const struct store_user *u, const char *session,
    int64_t now_us, struct account_tokens *out)
{
	struct access_claims claims = {.user = u->id,
	    .email = u->email,
	    .tenant = u->tenant,
	    .role = u->role,
	    .session = session,
	    .token_version = u->token_version,
	    .expires_us = now_us + s->jwt_expiry_hours * ACCOUNT_HOUR_US};

	out->expires_us = claims.expires_us;
	out->access = access_sign(access, a, &claims, now_us);
	claims.is_refresh = true;
	claims.expires_us =
	    now_us + s->refresh_token_expiry_days * 24 * ACCOUNT_HOUR_US;
	out->refresh = access_sign(access, a, &claims, now_us);
	out->refresh_expires_us = claims.expires_us;
	id_sha256(out->refresh, strlen(out->refresh), out->refresh_hash);
}
