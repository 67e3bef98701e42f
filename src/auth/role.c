/* SPDX-License-Identifier: MIT */
#include "auth/role.h"

#include "base/str.h"

const char *
role_level_name(enum role_level level)
{
	switch (level) {
#define X(id, text)                                                            \
	case id:                                                               \
		return text;
		ROLE_LEVELS(X)
#undef X
	}
	return "";
}

enum role_level
role_level(const char *role)
{
	static const struct {
		const char *name;
		enum role_level level;
	} roles[] = {{"viewer", ROLE_READ}, {"member", ROLE_WRITE},
	    {"admin", ROLE_ADMIN}, {"owner", ROLE_OWNER}};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (str_eq(roles[i].name, role))
			return roles[i].level;
	return ROLE_NONE;
}

/* Which of the three a word is, 0 = none. */
static unsigned
role_scope_bit(const char *word)
{
	return str_eq(word, "read") ? 1
	    : str_eq(word, "write") ? 2
	    : str_eq(word, "admin") ? 4
	    : str_eq(word, "*")	    ? 7
				    : 0;
}

enum role_level
role_cap(const char *scopes)
{
	struct arena *a = arena_new(0);
	unsigned bits = 0;
	size_t n;
	char **words = str_split(a, scopes == NULL ? "" : scopes, ',', &n);

	for (size_t i = 0; i < n; i++)
		bits |= role_scope_bit(words[i]);
	arena_free(&a);
	return (bits & 4) != 0 ? ROLE_OPERATOR
	    : (bits & 2) != 0  ? ROLE_WRITE
	    : (bits & 1) != 0  ? ROLE_READ
			       : ROLE_NONE;
}

enum err
role_scopes(struct arena *a, const char *text, const char **scopes,
    struct err_info *info)
{
	unsigned bits = 0;
	size_t n;
	char **words = str_split(a, text, ',', &n);

	for (size_t i = 0; i < n; i++) {
		unsigned bit = role_scope_bit(words[i]);
		if (bit == 0)
			return err_set(info, ERR_INVALID, "scopes",
			    "must be of read, write and admin");
		bits |= bit;
	}
	if (bits == 0)
		return err_set(info, ERR_INVALID, "scopes",
		    "must name at least one of read, write and admin");
	*scopes = arena_printf(a, "%s%s%s%s%s", (bits & 1) != 0 ? "read" : "",
	    (bits & 1) != 0 && bits > 1 ? "," : "",
	    (bits & 2) != 0 ? "write" : "",
	    (bits & 2) != 0 && (bits & 4) != 0 ? "," : "",
	    (bits & 4) != 0 ? "admin" : "");
	return ERR_OK;
}
