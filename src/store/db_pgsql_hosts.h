/* SPDX-License-Identifier: MIT
 *
 * Inside of the PostgreSQL driver: the servers that a conninfo names, in the
 * order in which they are tried. libpq would try them itself, but leaves the
 * whole deadline to the first that does not answer, and before version 16 asks
 * every replica list from its front.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct db_pgsql_host {
	char *host, *hostaddr, *port; /* NULL = as the conninfo says */
};

struct db_pgsql_hosts {
	struct db_pgsql_host *rows; /* malloc'd */
	size_t n;		    /* at least 1 */
	/* What a server must be, in the order of preference: values of
	 * target_session_attrs; NULL = as the conninfo says. */
	const char *attrs[2];
	size_t n_attrs;
};

/* The conninfo must be well formed. One that names several servers, but no
 * target_session_attrs, means the one that can be written to. For reads: in
 * random order, standbys first. */
void db_pgsql_hosts_read(
    struct db_pgsql_hosts *h, const char *conninfo, bool is_replica);
void db_pgsql_hosts_release(struct db_pgsql_hosts *h);
