/* SPDX-License-Identifier: MIT
 *
 * aragora token: API keys. Only their hash is stored; a key is shown once.
 */
#include <getopt.h>
#include <string.h>

#include "account/account.h"
#include "auth/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/cmd.h"

#define TOKEN_PREFIX_LEN 12
#define TOKEN_DAY_US	 (86400 * INT64_C(1000000))

struct token_options {
	const char *name;
	const char *tier;
	const char *tenant;
	const char *scopes;
	const char *user; /* e-mail of its owner; NULL = the operator's */
	int64_t days;
};

/* Its owner's tenant is the key's. */
static enum cmd_exit
token_find_owner(struct store *store, struct arena *a, struct token_options *o,
    const char **owner)
{
	struct store_user u;
	struct err_info info = {0};

	*owner = NULL;
	if (o->user == NULL)
		return CMD_OK;
	enum err e = account_email(a, o->user, &o->user, &info);
	if (e != ERR_OK)
		return cmd_usage(&cmd_token, "--user %s", info.text);
	e = store_user_by_email(store, a, o->user, &u);
	if (e != ERR_OK) {
		fprintf(stderr, "aragora token: '%s': %s\n", o->user,
		    e == ERR_NOT_FOUND ? "no such user" : err_text(e));
		return e == ERR_NOT_FOUND ? CMD_NOT_DONE : CMD_UNAVAILABLE;
	}
	*owner = u.id;
	o->tenant = u.tenant;
	return CMD_OK;
}

static enum cmd_exit
token_create(struct store *store, struct arena *a, struct token_options *o)
{
	const char *owner, *scopes;
	struct err_info info = {0};
	char id[ID_SIZE], key[ID_SIZE], hash[ID_HASH_SIZE];
	char prefix[TOKEN_PREFIX_LEN + 1];

	if (str_is_empty(o->name) || strlen(o->name) > 100)
		return cmd_usage(
		    &cmd_token, "--name is required, at most 100 characters");
	if (!str_eq(o->tier, "authenticated") && !str_eq(o->tier, "premium") &&
	    !str_eq(o->tier, "internal"))
		return cmd_usage(&cmd_token,
		    "--tier must be authenticated, premium or internal");
	if (role_scopes(a, o->scopes, &scopes, &info) != ERR_OK)
		return cmd_usage(&cmd_token, "--scopes %s", info.text);
	enum cmd_exit code = token_find_owner(store, a, o, &owner);
	if (code != CMD_OK)
		return code;
	if (!id_is_valid(o->tenant))
		return cmd_usage(&cmd_token,
		    "--tenant must be 1 to 128 "
		    "letters, digits or _.-");
	id_make(id, "tok_", 6);
	id_make_key(key, "ara_");
	id_sha256(key, strlen(key), hash);
	snprintf(prefix, sizeof(prefix), "%.12s", key);
	struct store_token t = {.id = id,
	    .tenant = o->tenant,
	    .owner = owner,
	    .scopes = scopes,
	    .name = o->name,
	    .prefix = prefix,
	    .hash = hash,
	    .tier = o->tier,
	    .expires_us =
		o->days > 0 ? clock_wall_us() + o->days * TOKEN_DAY_US : 0};
	enum err e = store_token_create(store, &t);
	if (e != ERR_OK) {
		fprintf(stderr, "aragora token: %s\n", err_text(e));
		return CMD_UNAVAILABLE;
	}
	printf("%s\n", key);
	fprintf(stderr,
	    "This key (%s) is shown once. Send it as `Authorization: Bearer "
	    "KEY`.\n",
	    id);
	return CMD_OK;
}

static enum cmd_exit
token_list(struct store *store, struct arena *a, const char *tenant)
{
	struct store_token *rows;
	size_t n;

	enum err e = store_token_list(store, a, tenant, NULL, &rows, &n);
	for (size_t i = 0; i < n; i++) {
		char when[CLOCK_ISO_SIZE];
		printf("%-18s %-14s %-14s %-16s %-8s %.10s %s\n", rows[i].id,
		    rows[i].prefix, rows[i].tier, rows[i].scopes,
		    rows[i].revoked_us > 0 ? "revoked"
			: rows[i].expires_us > 0 &&
			    rows[i].expires_us < clock_wall_us()
			? "expired"
			: "active",
		    clock_iso(rows[i].created_us, when), rows[i].name);
	}
	return e == ERR_OK ? CMD_OK : CMD_UNAVAILABLE;
}

static enum cmd_exit
token_revoke(struct store *store, const char *tenant, const char *id)
{
	enum err e = store_token_revoke(store, tenant, NULL, id);

	if (e == ERR_OK) {
		printf("%s revoked\n", id);
		return CMD_OK;
	}
	fprintf(stderr, "aragora token: '%s': %s\n", id,
	    e == ERR_NOT_FOUND ? "no active token with this id or prefix"
			       : err_text(e));
	return e == ERR_NOT_FOUND ? CMD_NOT_DONE : CMD_UNAVAILABLE;
}

static enum cmd_exit
token_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"name", required_argument, NULL, 'n'},
	    {"tier", required_argument, NULL, 't'},
	    {"tenant", required_argument, NULL, 'T'},
	    {"scopes", required_argument, NULL, 's'},
	    {"user", required_argument, NULL, 'u'},
	    {"expires-days", required_argument, NULL, 'e'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	struct token_options o = {.tier = "authenticated",
	    .tenant = STORE_TENANT_DEFAULT,
	    .scopes = "read,write,admin",
	    .days = 365};
	struct settings *settings = NULL;
	struct store *store = NULL;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_token, stdout);
			return CMD_OK;
		}
		if (c == 'n')
			o.name = optarg;
		else if (c == 't')
			o.tier = optarg;
		else if (c == 'T')
			o.tenant = optarg;
		else if (c == 's')
			o.scopes = optarg;
		else if (c == 'u')
			o.user = optarg;
		else if (c == 'e') {
			if (str_to_i64(optarg, 0, 36500, &o.days) != ERR_OK)
				return cmd_usage(&cmd_token,
				    "--expires-days must be 0 (never) to "
				    "36500");
		} else if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_token, "bad option");
	}
	const char *verb = optind < argc ? argv[optind++] : "";
	const char *id = optind < argc ? argv[optind++] : NULL;
	bool is_revoke = str_eq(verb, "revoke");
	if (optind < argc || is_revoke != (id != NULL) ||
	    (!is_revoke && !str_eq(verb, "create") && !str_eq(verb, "list")))
		return cmd_usage(
		    &cmd_token, "expected create, list or revoke ID");

	enum cmd_exit code = cmd_open("aragora", true, &settings, &store);
	if (code != CMD_OK)
		return code;
	struct arena *a = arena_new(0);
	code = str_eq(verb, "create") ? token_create(store, a, &o)
	    : str_eq(verb, "list")    ? token_list(store, a, o.tenant)
				      : token_revoke(store, o.tenant, id);
	arena_free(&a);
	store_close(&store);
	settings_free(&settings);
	return code;
}

const struct cmd cmd_token = {
    .name = "token",
    .args = "create --name NAME | list | revoke ID",
    .summary = "Make, list and revoke API keys.",
    .help =
	"  --name NAME         what the key is for\n"
	"  --tier TIER         authenticated (default), premium or internal\n"
	"  --scopes LIST       what it may do: read, write, admin (default\n"
	"                      all)\n"
	"  --user EMAIL        whose key it is; it can do no more than its\n"
	"                      owner. Without it: the operator's\n"
	"  --tenant ID         of the key, of the list (default: default)\n"
	"  --expires-days N    life in days (default 365, 0 = for "
	"ever)\n" CMD_COMMON_HELP
	"\nThe key goes to standard output once; only its hash is kept.\n",
    .run = token_run,
};
