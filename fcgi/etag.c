/* SPDX-License-Identifier: MIT */
#include "fcgi/etag.h"

#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"

#define ETAG_DIGITS 32
#define ETAG_WEAK   "W/"

void
etag_of(const void *body, size_t len, char *out)
{
	char hash[ID_HASH_SIZE];

	id_sha256(body, len, hash);
	snprintf(out, ETAG_SIZE, "\"%.*s\"", ETAG_DIGITS, hash);
}

static const char *
etag_opaque(const char *etag)
{
	return str_starts(etag, ETAG_WEAK) ? etag + strlen(ETAG_WEAK) : etag;
}

bool
etag_is_listed(const char *header, const char *etag)
{
	const char *want = etag_opaque(etag);
	size_t len = strlen(want);

	if (header == NULL)
		return false;
	for (const char *p = header; *p != '\0';) {
		if (str_is_space(*p) || *p == ',') {
			p++;
			continue;
		}
		if (*p == '*')
			return true;
		p = etag_opaque(p);
		const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
		if (end == NULL) /* no list of tags */
			return false;
		end++;
		if ((size_t)(end - p) == len && memcmp(p, want, len) == 0)
			return true;
		p = end;
	}
	return false;
}

bool
etag_is_known(
    const struct req *req, struct res *res, const char *tag, bool is_weak)
{
	res->etag =
	    arena_printf(req->arena, "%s\"%s\"", is_weak ? ETAG_WEAK : "", tag);
	if (!etag_is_listed(req->env->value[ENV_IF_NONE_MATCH], res->etag))
		return false;
	res->status = HTTP_NOT_MODIFIED;
	return true;
}
