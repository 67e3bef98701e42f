/* SPDX-License-Identifier: MIT
 *
 * aragora user: accounts, as an operator makes them. Passwords come from
 * standard input; the command line can be read by everybody.
 */
#include <getopt.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "account/account.h"
#include "auth/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "cli/cmd.h"

#define USER_LINE_MAX  1024
#define USER_LIST_MAX  10000
#define USER_SECOND_US INT64_C(1000000)

struct user_call {
	struct store *store;
	const struct settings *settings;
	struct arena *arena;
	const char *email;
	const char *extra; /* the role of `role` */
	const char *name, *role, *tenant, *organization;
};

static enum cmd_exit
user_fail(const struct user_call *c, enum err e)
{
	fprintf(stderr, "aragora user: '%s': %s\n", c->email,
	    e == ERR_NOT_FOUND	  ? "no such user"
		: e == ERR_EXISTS ? "there is such a user"
				  : err_text(e));
	return e == ERR_NOT_FOUND || e == ERR_EXISTS ? CMD_NOT_DONE
						     : CMD_UNAVAILABLE;
}

/* One line without its end. At a terminal nothing of it is shown. */
static bool
user_read_line(const char *prompt, char line[USER_LINE_MAX])
{
	bool is_terminal = isatty(STDIN_FILENO) != 0;
	struct termios was, quiet;

	if (is_terminal) {
		fprintf(stderr, "%s: ", prompt);
		is_terminal = tcgetattr(STDIN_FILENO, &was) == 0;
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		if (is_terminal)
			tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	bool is_read = fgets(line, USER_LINE_MAX, stdin) != NULL;
	if (is_terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
		fputc('\n', stderr);
	}
	line[is_read ? strcspn(line, "\r\n") : 0] = '\0';
	return is_read;
}

/* Asks, checks and hashes. */
static enum cmd_exit
user_read_password(const struct user_call *c, char hash[PASSWORD_SIZE])
{
	char line[USER_LINE_MAX], again[USER_LINE_MAX];
	struct password *p = NULL;
	struct err_info info = {0};
	enum err e = ERR_INVALID;

	if (!user_read_line("Password", line)) {
		err_set(&info, e, "password", "is expected on standard input");
	} else if (isatty(STDIN_FILENO) != 0 &&
	    (!user_read_line("Again", again) || !str_eq(line, again))) {
		err_set(&info, e, "password", "was not the same again");
	} else {
		e = account_password("password", line, &info);
	}
	if (e == ERR_OK)
		e = password_open(&p, c->settings->data_dir, &info);
	if (e == ERR_OK)
		e = password_hash(p, line, hash);
	password_close(&p);
	OPENSSL_cleanse(line, sizeof(line));
	OPENSSL_cleanse(again, sizeof(again));
	if (e == ERR_OK)
		return CMD_OK;
	if (*info.text != '\0')
		return cmd_fail(CMD_NOT_DONE, "user", &info);
	return user_fail(c, e);
}

static enum cmd_exit
user_find(struct user_call *c, struct store_user *u)
{
	enum err e = store_user_by_email(c->store, c->arena, c->email, u);

	return e == ERR_OK ? CMD_OK : user_fail(c, e);
}

static enum cmd_exit
user_create(struct user_call *c)
{
	bool is_new = c->organization != NULL;
	char hash[PASSWORD_SIZE];
	struct store_tenant t;
	struct store_user u;
	struct err_info info = {0};
	const char *name = c->name != NULL
	    ? c->name
	    : arena_strndup(c->arena, c->email, strcspn(c->email, "@"));

	if (role_level(c->role) == ROLE_NONE)
		return cmd_usage(
		    &cmd_user, "--role must be owner, admin, member or viewer");
	if (!id_is_valid(c->tenant))
		return cmd_usage(&cmd_user,
		    "--tenant must be 1 to 128 "
		    "letters, digits or _.-");
	if (account_name(c->arena, "--name", name, &name, &info) != ERR_OK ||
	    (is_new &&
		account_name(c->arena, "--organization", c->organization,
		    &c->organization, &info) != ERR_OK))
		return cmd_usage(&cmd_user, "%s %s", info.field, info.text);
	if (is_new) {
		account_new_tenant(c->arena, c->organization, &t);
		c->tenant = t.id;
	}
	account_new_user(c->arena, c->tenant, c->email, name, c->role, &u);
	if (is_new)
		t.owner_id = u.id;
	enum cmd_exit code = user_read_password(c, hash);
	if (code != CMD_OK)
		return code;
	u.password_hash = hash;
	enum err e =
	    store_user_create(c->store, is_new ? &t : NULL, &u, NULL, &info);
	if (e != ERR_OK)
		return user_fail(c, e);
	printf("%s %s of tenant %s\n", u.id, u.role, u.tenant);
	return CMD_OK;
}

static enum cmd_exit
user_list(struct user_call *c)
{
	struct store_user *rows;
	int64_t total;
	size_t n;

	enum err e = store_user_list(
	    c->store, c->arena, c->tenant, USER_LIST_MAX, 0, &rows, &n, &total);
	for (size_t i = 0; i < n; i++) {
		char when[CLOCK_ISO_SIZE];
		printf("%-22s %-7s %-8s %.10s %s\n", rows[i].id, rows[i].role,
		    rows[i].is_active ? "active" : "disabled",
		    clock_iso(rows[i].created_us, when), rows[i].email);
	}
	if (e != ERR_OK)
		fprintf(stderr, "aragora user: %s\n", err_text(e));
	return e == ERR_OK ? CMD_OK : CMD_UNAVAILABLE;
}

static enum cmd_exit
user_password(struct user_call *c)
{
	char hash[PASSWORD_SIZE];
	struct store_user u;

	enum cmd_exit code = user_find(c, &u);
	if (code == CMD_OK)
		code = user_read_password(c, hash);
	if (code != CMD_OK)
		return code;
	enum err e =
	    store_user_set_password(c->store, u.tenant, u.id, hash, NULL);
	if (e != ERR_OK)
		return user_fail(c, e);
	printf("%s has another password; its sessions have ended\n", u.id);
	return CMD_OK;
}

static enum cmd_exit
user_role(struct user_call *c)
{
	struct store_user u;

	if (role_level(c->extra) == ROLE_NONE)
		return cmd_usage(
		    &cmd_user, "a role is owner, admin, member or viewer");
	enum cmd_exit code = user_find(c, &u);
	if (code != CMD_OK)
		return code;
	u.role = c->extra;
	enum err e = store_user_change(c->store, &u);
	if (e != ERR_OK)
		return user_fail(c, e);
	printf("%s is %s\n", u.id, u.role);
	return CMD_OK;
}

static enum cmd_exit
user_set_active(struct user_call *c, bool is_active)
{
	struct store_user u;

	enum cmd_exit code = user_find(c, &u);
	if (code != CMD_OK)
		return code;
	enum err e = store_user_set_active(c->store, u.tenant, u.id, is_active);
	if (e != ERR_OK)
		return user_fail(c, e);
	printf("%s is %s\n", u.id, is_active ? "active" : "disabled");
	return CMD_OK;
}

static enum cmd_exit
user_disable(struct user_call *c)
{
	return user_set_active(c, false);
}

static enum cmd_exit
user_enable(struct user_call *c)
{
	return user_set_active(c, true);
}

/* A session that nobody can refresh. */
static enum cmd_exit
user_token(struct user_call *c)
{
	int64_t now_us = clock_wall_us();
	struct access *access = NULL;
	char nothing[ID_SIZE], hash[ID_HASH_SIZE];
	struct err_info info = {0};
	struct store_user u;

	enum cmd_exit code = user_find(c, &u);
	if (code != CMD_OK)
		return code;
	if (access_open(&access, c->settings, &info) != ERR_OK)
		return cmd_fail(CMD_CONFIG, "user", &info);
	struct access_claims claims = {.user = u.id,
	    .email = u.email,
	    .tenant = u.tenant,
	    .role = u.role,
	    .session = account_new_session(c->arena),
	    .token_version = u.token_version,
	    .expires_us = now_us + c->settings->token_ttl * USER_SECOND_US};
	id_make(nothing, "", 32);
	id_sha256(nothing, strlen(nothing), hash);
	const struct store_session s = {.id = claims.session,
	    .tenant = u.tenant,
	    .user_id = u.id,
	    .refresh_hash = hash,
	    .device = "aragora user token",
	    .expires_us = claims.expires_us};
	enum err e =
	    u.is_active ? store_session_create(c->store, &s) : ERR_DENIED;
	if (e == ERR_OK)
		printf("%s\n", access_sign(access, c->arena, &claims, now_us));
	access_close(&access);
	return e == ERR_OK ? CMD_OK : user_fail(c, e);
}

static const struct {
	const char *name;
	int n_args;
	enum cmd_exit (*run)(struct user_call *c);
} user_verbs[] = {
    {"create", 1, user_create},
    {"list", 0, user_list},
    {"password", 1, user_password},
    {"role", 2, user_role},
    {"disable", 1, user_disable},
    {"enable", 1, user_enable},
    {"token", 1, user_token},
};

static enum cmd_exit
user_options(int argc, char **argv, struct user_call *c, bool *is_help)
{
	static const struct option longs[] = {
	    {"name", required_argument, NULL, 'n'},
	    {"role", required_argument, NULL, 'r'},
	    {"tenant", required_argument, NULL, 'T'},
	    {"organization", required_argument, NULL, 'o'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};

	for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (o == 'h')
			*is_help = true;
		else if (o == 'n')
			c->name = optarg;
		else if (o == 'r')
			c->role = optarg;
		else if (o == 'T')
			c->tenant = optarg;
		else if (o == 'o')
			c->organization = optarg;
		else if (!cmd_common(o, optarg))
			return cmd_usage(&cmd_user, "bad option");
	}
	return CMD_OK;
}

static enum cmd_exit
user_run(int argc, char **argv)
{
	struct user_call c = {.role = "owner", .tenant = STORE_TENANT_DEFAULT};
	struct settings *settings = NULL;
	struct err_info info = {0};
	size_t i = 0;
	bool is_help = false;

	enum cmd_exit code = user_options(argc, argv, &c, &is_help);
	if (code != CMD_OK)
		return code;
	if (is_help) {
		cmd_print_help(&cmd_user, stdout);
		return CMD_OK;
	}
	const char *verb = optind < argc ? argv[optind++] : "";
	while (i < ARRAY_LEN(user_verbs) && !str_eq(verb, user_verbs[i].name))
		i++;
	if (i == ARRAY_LEN(user_verbs) || argc - optind != user_verbs[i].n_args)
		return cmd_usage(&cmd_user, "expected %s", cmd_user.args);
	c.arena = arena_new(0);
	c.extra = argc - optind > 1 ? argv[optind + 1] : NULL;
	if (argc > optind &&
	    account_email(c.arena, argv[optind], &c.email, &info) != ERR_OK) {
		arena_free(&c.arena);
		return cmd_usage(&cmd_user, "the e-mail %s", info.text);
	}
	code = cmd_open("aragora", true, &settings, &c.store);
	c.settings = settings;
	if (code == CMD_OK)
		code = user_verbs[i].run(&c);
	arena_free(&c.arena);
	store_close(&c.store);
	settings_free(&settings);
	return code;
}

const struct cmd cmd_user = {
    .name = "user",
    .args = "create EMAIL | list | password EMAIL | role EMAIL ROLE | disable "
	    "EMAIL | enable EMAIL | token EMAIL",
    .summary = "Make accounts and look after them.",
    .help =
	"  --name NAME          of the person\n"
	"  --role ROLE          owner (default), admin, member or viewer\n"
	"  --tenant ID          where to make it, what to list (default:\n"
	"                       default)\n"
	"  --organization NAME  a new tenant for it instead\n" CMD_COMMON_HELP
	"\nPasswords are read from standard input. `password` and `disable` "
	"end every\nsession; `token` prints an access token that lives for "
	"ARAGORA_TOKEN_TTL.\n",
    .run = user_run,
};
