/* SPDX-License-Identifier: MIT */
#include "store/db_pgsql_hosts.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"

#define DB_PGSQL_HOSTS_MAX  64
#define DB_PGSQL_HOSTS_PORT "5432" /* where none is named */

static size_t
db_pgsql_hosts_count(const char *list)
{
	size_t n = 1;

	if (str_is_empty(list))
		return 0;
	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* malloc'd, the i-th of a list, which may be empty. */
static char *
db_pgsql_hosts_part(const char *list, size_t i)
{
	if (str_is_empty(list))
		return NULL;
	for (; i > 0; i--)
		list += strcspn(list, ",") + 1;
	return mem_strndup(list, strcspn(list, ","));
}

/* A place in a list of ports may be empty, as in postgresql://a,b:6432/x. */
static char *
db_pgsql_hosts_port(const char *list, size_t i)
{
	char *port = db_pgsql_hosts_part(list, i);

	if (port == NULL || *port != '\0')
		return port;
	free(port);
	return mem_strdup(DB_PGSQL_HOSTS_PORT);
}

static void
db_pgsql_hosts_shuffle(struct db_pgsql_hosts *h)
{
	for (size_t i = h->n - 1; i > 0; i--) {
		uint32_t random;
		id_random(&random, sizeof(random));
		size_t k = random % (i + 1);
		struct db_pgsql_host other = h->rows[k];
		h->rows[k] = h->rows[i];
		h->rows[i] = other;
	}
}

/* What several servers are asked to be. */
static void
db_pgsql_hosts_attrs(
    struct db_pgsql_hosts *h, const char *named, bool is_replica)
{
	if (str_is_empty(named))
		named = is_replica ? "prefer-standby" : "read-write";
	h->n_attrs = 1;
	if (str_eq(named, "read-write")) {
		h->attrs[0] = "read-write";
	} else if (str_eq(named, "prefer-standby") && h->n == 1) {
		h->attrs[0] = "prefer-standby";
	} else if (str_eq(named, "prefer-standby")) {
		h->attrs[0] = "standby";
		h->attrs[1] = "any";
		h->n_attrs = 2;
	}
}

/* Lists that do not match are for libpq to refuse, and places without a name
 * for it to fill. */
static bool
db_pgsql_hosts_is_list(const char *const *lists, size_t n)
{
	size_t ports = db_pgsql_hosts_count(lists[2]);

	for (size_t i = 0; i < 2; i++) {
		size_t parts = db_pgsql_hosts_count(lists[i]);
		const char *text = lists[i];
		if (parts == 0)
			continue;
		if (parts != n || *text == ',' ||
		    text[strlen(text) - 1] == ',' || strstr(text, ",,") != NULL)
			return false;
	}
	return (ports <= 1 || ports == n) && n > 1 && n <= DB_PGSQL_HOSTS_MAX;
}

void
db_pgsql_hosts_read(
    struct db_pgsql_hosts *h, const char *conninfo, bool is_replica)
{
	static const char *const keys[] = {
	    "host", "hostaddr", "port", "target_session_attrs"};
	const char *values[ARRAY_LEN(keys)] = {NULL};
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);

	*h = (struct db_pgsql_hosts){.n = 1};
	for (const PQconninfoOption *o = parsed;
	     o != NULL && o->keyword != NULL; o++)
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (str_eq(o->keyword, keys[i]))
				values[i] = o->val;
	size_t n = db_pgsql_hosts_count(values[1]);
	if (n == 0)
		n = db_pgsql_hosts_count(values[0]);
	bool is_list = db_pgsql_hosts_is_list(values, n);
	bool is_one_port = db_pgsql_hosts_count(values[2]) <= 1;
	if (is_list)
		h->n = n;
	h->rows = mem_array(h->n, sizeof(*h->rows));
	for (size_t i = 0; is_list && i < n; i++) {
		h->rows[i].host = db_pgsql_hosts_part(values[0], i);
		h->rows[i].hostaddr = db_pgsql_hosts_part(values[1], i);
		h->rows[i].port =
		    db_pgsql_hosts_port(values[2], is_one_port ? 0 : i);
	}
	h->n_attrs = 1;
	if (n > 1)
		db_pgsql_hosts_attrs(h, values[3], is_replica);
	if (is_replica)
		db_pgsql_hosts_shuffle(h);
	PQconninfoFree(parsed);
}

void
db_pgsql_hosts_release(struct db_pgsql_hosts *h)
{
	for (size_t i = 0; i < h->n; i++) {
		free(h->rows[i].host);
		free(h->rows[i].hostaddr);
		free(h->rows[i].port);
	}
	free(h->rows);
	*h = (struct db_pgsql_hosts){0};
}
