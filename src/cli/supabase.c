/* SPDX-License-Identifier: MIT */
#include "cli/supabase.h"

#include <string.h>

#include "base/arena.h"
#include "base/str.h"

#define SUPABASE_POOLER	    ".pooler.supabase.com"
#define SUPABASE_HOST	    ".supabase.co"
#define SUPABASE_PORT	    "5432"
#define SUPABASE_PORT_TRANS "6543"

struct supabase_url {
	const char *user; /* "" = none */
	const char *host;
	const char *port;
	const char *query;
};

static bool
supabase_ends(const char *text, const char *end)
{
	size_t n = strlen(text);
	size_t m = strlen(end);

	return n > m && str_ieq(text + n - m, end);
}

/* The parts of user[:password]@host[:port][/name][?query]. Secrets of people
 * who do not encode them may hold anything: the last @ counts. */
static void
supabase_split(struct arena *a, const char *text, struct supabase_url *u)
{
	size_t len = strcspn(text, "/?");
	const char *at = NULL;

	for (size_t i = 0; i < len; i++)
		if (text[i] == '@')
			at = text + i;
	const char *host = at != NULL ? at + 1 : text;
	size_t host_len = strcspn(host, ":/?");
	const char *port = host[host_len] == ':' ? host + host_len + 1 : "";
	const char *query = strchr(host, '?');

	*u = (struct supabase_url){.user = at != NULL
		? arena_strndup(a, text, strcspn(text, ":@"))
		: "",
	    .host = arena_strndup(a, host, host_len),
	    .port = *port != '\0' ? arena_strndup(a, port, strcspn(port, "/?"))
				  : SUPABASE_PORT,
	    .query = query != NULL ? query + 1 : ""};
}

static enum supabase_address
supabase_kind(const struct supabase_url *u)
{
	if (supabase_ends(u->host, SUPABASE_POOLER))
		return str_eq(u->port, SUPABASE_PORT_TRANS)
		    ? SUPABASE_TRANSACTION
		    : SUPABASE_SESSION;
	return supabase_ends(u->host, SUPABASE_HOST) ? SUPABASE_DIRECT
						     : SUPABASE_NONE;
}

static bool
supabase_has_tls(const char *query)
{
	const char *mode = strstr(query, "sslmode=");

	if (mode == NULL)
		return false;
	mode += strlen("sslmode=");
	return str_starts(mode, "require") || str_starts(mode, "verify-");
}

enum supabase_address
supabase_judge(const char *url, struct buf *hints)
{
	struct arena *a = arena_new(0);
	struct supabase_url u;
	enum supabase_address kind = SUPABASE_NONE;
	const char *text = strstr(url, "://");

	if (text == NULL)
		goto out;
	supabase_split(a, text + 3, &u);
	kind = supabase_kind(&u);
	if (kind == SUPABASE_NONE)
		goto out;
	if (!supabase_has_tls(u.query))
		buf_puts(hints,
		    "the address does not insist on TLS: add "
		    "sslmode=require, or verify-full with the project's CA\n");
	if (kind != SUPABASE_DIRECT && strchr(u.user, '.') == NULL)
		buf_puts(hints,
		    "the pooler wants the project behind the role: "
		    "aragora_app.PROJECT\n");
	if (str_eq(u.user, "postgres") || str_starts(u.user, "postgres."))
		buf_puts(hints,
		    "the service should not be the administrator: see "
		    "conf/supabase/roles.sql\n");
out:
	arena_free(&a);
	return kind;
}

const char *
supabase_text(enum supabase_address address)
{
	switch (address) {
	case SUPABASE_NONE:
		return "no address of Supabase's own";
	case SUPABASE_TRANSACTION:
		return "Supabase's pooler in transaction mode: right for the "
		       "service; migrate on another address";
	case SUPABASE_SESSION:
		return "Supabase's pooler in session mode: right for "
		       "migrations; for the service port 6543 spares "
		       "connections";
	case SUPABASE_DIRECT:
		return "Supabase's direct connection (IPv6): right for "
		       "migrations; for the service use the pooler, port 6543";
	}
	return "";
}
