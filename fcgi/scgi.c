/* SPDX-License-Identifier: MIT */
#include "fcgi/scgi.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define SCGI_BODY_MAX ((uint64_t)1 << 40) /* the dispatcher's limit is less */

/* The decimal before the colon. */
static enum err
scgi_parse_length(const char *data, size_t len, size_t *digits, size_t *length)
{
	size_t n = 0;
	size_t value = 0;

	while (n < len && str_is_digit(data[n])) {
		if (n == 1 && data[0] == '0')
			return ERR_SYNTAX;
		value = value * 10 + (size_t)(data[n] - '0');
		if (value > SCGI_HEADER_MAX)
			return ERR_TOO_LARGE;
		n++;
	}
	if (n == len)
		return ERR_AGAIN;
	if (n == 0 || data[n] != ':')
		return ERR_SYNTAX;
	*digits = n;
	*length = value;
	return ERR_OK;
}

/* One NUL-terminated text of [*p, end), moving *p behind it. */
static bool
scgi_take(const char **p, const char *end, const char **out)
{
	const char *nul = memchr(*p, '\0', (size_t)(end - *p));

	if (nul == NULL)
		return false;
	*out = *p;
	*p = nul + 1;
	return true;
}

static bool
scgi_has(const struct scgi_head *head, const char *name)
{
	for (size_t i = 0; i < head->n_vars; i++)
		if (str_eq(head->vars[i].name, name))
			return true;
	return false;
}

static enum err
scgi_parse_vars(const char *p, const char *end, struct scgi_head *out,
    struct err_info *info)
{
	while (p < end) {
		struct scgi_var v;
		if (!scgi_take(&p, end, &v.name) ||
		    !scgi_take(&p, end, &v.value))
			return err_set(info, ERR_SYNTAX, "",
			    "scgi header ends within a variable");
		/* What the client repeated comes twice; who reads it judges. */
		if (v.name[0] == '\0' ||
		    (!str_starts(v.name, "HTTP_") && scgi_has(out, v.name)))
			return err_set(info, ERR_SYNTAX, "",
			    "scgi variable name is empty or repeated");
		if (out->n_vars == SCGI_VARS_MAX)
			return err_set(info, ERR_TOO_LARGE, "",
			    "more than %d scgi variables", SCGI_VARS_MAX);
		out->vars[out->n_vars++] = v;
	}
	return ERR_OK;
}

static enum err
scgi_check(struct scgi_head *out, struct err_info *info)
{
	bool is_scgi = false;

	if (out->n_vars == 0 || !str_eq(out->vars[0].name, "CONTENT_LENGTH") ||
	    str_to_u64(out->vars[0].value, strlen(out->vars[0].value),
		SCGI_BODY_MAX, &out->content_length) != ERR_OK)
		return err_set(info, ERR_SYNTAX, "CONTENT_LENGTH",
		    "is not the first scgi variable or not a number");
	for (size_t i = 0; i < out->n_vars; i++)
		if (str_eq(out->vars[i].name, "SCGI"))
			is_scgi = str_eq(out->vars[i].value, "1");
	if (!is_scgi)
		return err_set(info, ERR_SYNTAX, "SCGI", "is not 1");
	return ERR_OK;
}

enum err
scgi_parse(
    const char *data, size_t len, struct scgi_head *out, struct err_info *info)
{
	size_t digits = 0, length = 0;

	enum err e = scgi_parse_length(data, len, &digits, &length);
	if (e == ERR_AGAIN)
		return e;
	if (e != ERR_OK)
		return err_set(
		    info, e, "", "scgi header length: %s", err_text(e));
	size_t size = digits + 1 + length + 1;
	if (len < size)
		return ERR_AGAIN;
	if (data[size - 1] != ',')
		return err_set(info, ERR_SYNTAX, "",
		    "scgi header does not end with a comma");
	*out = (struct scgi_head){.size = size};
	e = scgi_parse_vars(data + digits + 1, data + size - 1, out, info);
	return e == ERR_OK ? scgi_check(out, info) : e;
}
