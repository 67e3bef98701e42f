/* SPDX-License-Identifier: MIT
 *
 * The CGI variables of one request, however they came (FastCGI, SCGI). Values
 * are borrowed from the transport until the request is finished. Nothing is
 * ever copied into the process environment.
 */
#pragma once

#include <stddef.h>

enum env_var {
#define ENVVAR(id, name, is_single) ENV_##id,
#include "fcgi/env.def"
#undef ENVVAR
	ENV__COUNT
};

struct env {
	const char *value[ENV__COUNT]; /* NULL = not sent */
	const char *duplicate; /* name of a single variable sent twice */
};

/* Unknown names are ignored; of a repeated one the first counts, except
 * X-Forwarded-For, of which the last is the one nearest to us, and of
 * traceparent, of which none does. */
void env_add(
    struct env *e, const char *name, size_t name_len, const char *value);
/* "" when not sent. */
const char *env_get(const struct env *e, enum env_var v);
