/* SPDX-License-Identifier: MIT
 *
 * HTTP transfers on the caller's loop: one curl multi handle, one record per
 * transfer. The only user of curl. Knows bytes and addresses, nothing of
 * models, retries or deadlines after the connection stands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

struct llm_http;
struct llm_transfer;

enum llm_transfer_end {
	LLM_TRANSFER_OK,      /* the server has said all it announced */
	LLM_TRANSFER_DENIED,  /* the address is not allowed */
	LLM_TRANSFER_TIMEOUT, /* no connection in time */
	LLM_TRANSFER_BROKEN,  /* anything else: name, TLS, reset, early end */
	LLM_TRANSFER_ABORTED  /* on_body said so */
};

struct llm_transfer_spec {
	const char *url;
	const char *auth;   /* whole header line, "" = none */
	const char *header; /* another one */
	const char *key;    /* and another */
	/* POSTed as JSON; borrowed until on_sent or the end of the transfer */
	const char *body;
	size_t body_len;
	int64_t connect_timeout_s;
	bool is_offline;     /* loopback addresses only */
	bool may_be_private; /* https may lead to private addresses */
	/* The address comes from a client, not from the operator: http and
	 * https to public addresses, to others only with may_be_private. */
	bool is_foreign;
	const char *const *headers; /* more whole lines */
	size_t n_headers;
};

struct llm_transfer_ops {
	/* May be NULL. The server answers and has all of the request: the body
	 * is not read any more. */
	void (*on_sent)(void *arg);
	void (*on_header)(void *arg, const char *name, const char *value);
	/* false: abort. type is the Content-Type, "" when there is none. */
	bool (*on_body)(void *arg, long status, const char *type,
	    const char *data, size_t len);
	/* Once, unless closed before; the transfer is dead after it. reason is
	 * for people, "" when OK. */
	void (*on_end)(void *arg, enum llm_transfer_end end, long status,
	    const char *reason);
	void *arg;
};

enum err llm_http_new(struct llm_http **out, struct loop *loop) MUST_CHECK;
/* Closes what is under way. Not from inside a callback. */
void llm_http_free(struct llm_http **http);

/* Never calls back before it returns. NULL when it cannot start. */
struct llm_transfer *llm_transfer_start(struct llm_http *http,
    const struct llm_transfer_spec *spec, const struct llm_transfer_ops *ops);
/* End it and close its connection; no callback follows. From inside a
 * callback too, of this transfer or another. */
void llm_transfer_close(struct llm_transfer **t);
