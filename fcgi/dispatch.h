/* SPDX-License-Identifier: MIT
 *
 * From a transport's request to a whole CGI response: everything that is the
 * same for all routes happens here, from the route's row.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "fcgi/app.h"
#include "fcgi/env.h"
#include "fcgi/http.h"
#include "fcgi/res.h"

/* What a thread keeps from request to request. Its memory is used again; what
 * one large request made it grow beyond the ordinary is given back. */
struct dispatch_scratch {
	struct arena *arena;
	struct buf head;  /* response: the whole CGI header */
	struct buf body;  /* response body */
	struct buf extra; /* header lines of the handler */
	struct buf input; /* request body */
	res_next_fn next; /* more of the body to come; NULL = none */
	void *next_arg;
};
void dispatch_scratch_init(struct dispatch_scratch *s);
void dispatch_scratch_release(struct dispatch_scratch *s);

struct dispatch_input {
	const struct env *env;
	/* Next bytes of the request body: > 0, 0 at its end, -1 broken. */
	ssize_t (*read)(void *arg, void *out, size_t len);
	void *arg;
};

/* The next piece of a body that is streamed replaces s->body; false = cut the
 * connection off. Until s->next is NULL. */
bool dispatch_more(struct dispatch_scratch *s) MUST_CHECK;

/* The response is in s->head and s->body until the next call. ERR_CLOSED: the
 * client went away in the middle of its body, there is nothing to answer. */
enum err dispatch_run(struct app *app, struct dispatch_scratch *s,
    const struct dispatch_input *in, enum http_status *status) MUST_CHECK;
