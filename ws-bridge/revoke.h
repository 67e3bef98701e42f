/* SPDX-License-Identifier: MIT
 *
 * Credentials that end while their connections are open. Whatever may end one
 * counts its tenant's access_rev on (store/store_account.h); the counts of all
 * tenants that are connected are read in one query a second, with Redis and
 * without. Connections of a tenant whose count has moved are looked at again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct connection;
struct job;
struct server;

/* A tenant that has connections. */
struct revoke_watch {
	struct list node; /* the server's */
	size_t n;	  /* connections */
	size_t slot;	  /* in the question that is out */
	int64_t rev;
	bool has_moved;
	char tenant[];
};

void revoke_init(struct server *srv);
/* c's credential was good when its tenant's count was rev. */
void revoke_join(struct connection *c, int64_t rev);
void revoke_leave(struct connection *c);
/* A JOB_REVS came back. */
void revoke_on_revs(struct job *job);
void revoke_release(struct server *srv);
