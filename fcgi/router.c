/* SPDX-License-Identifier: MIT */
#include "fcgi/router.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"

#define ROUTER_SEGMENTS_MAX 8

struct router_row {
	size_t index;
	size_t n_segments;
	const char *segments[ROUTER_SEGMENTS_MAX]; /* NULL = parameter */
};

/* Rows by number of segments, literal parts before parameters. */
struct router {
	struct arena *arena;
	struct router_row *rows;
	size_t first[ROUTER_SEGMENTS_MAX + 2]; /* rows of n: [n] to [n + 1] */
};

static void
router_split(struct arena *a, size_t index, struct router_row *row)
{
	size_t n;
	char **parts = str_split(a, route_at(index)->pattern, '/', &n);

	assert(n >= 1 && n <= ROUTER_SEGMENTS_MAX);
	row->index = index;
	row->n_segments = n;
	for (size_t i = 0; i < n; i++)
		row->segments[i] = parts[i][0] == '{' ? NULL : parts[i];
}

static int
router_compare(const void *left, const void *right)
{
	const struct router_row *a = left, *b = right;

	if (a->n_segments != b->n_segments)
		return a->n_segments < b->n_segments ? -1 : 1;
	for (size_t i = 0; i < a->n_segments; i++)
		if ((a->segments[i] == NULL) != (b->segments[i] == NULL))
			return a->segments[i] == NULL ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

struct router *
router_new(void)
{
	struct router *r = mem_zalloc(sizeof(*r));
	size_t n = route_count();

	r->arena = arena_new_for(HEAP_TABLES, 0);
	r->rows = ARENA_ARRAY(r->arena, n, struct router_row);
	for (size_t i = 0; i < n; i++)
		router_split(r->arena, i, &r->rows[i]);
	qsort(r->rows, n, sizeof(r->rows[0]), router_compare);
	size_t at = 0;
	for (size_t len = 0; len < ARRAY_LEN(r->first); len++) {
		while (at < n && r->rows[at].n_segments < len)
			at++;
		r->first[len] = at;
	}
	return r;
}

void
router_free(struct router **router)
{
	if (*router == NULL)
		return;
	arena_free(&(*router)->arena);
	free(*router);
	*router = NULL;
}

static bool
router_fits(const struct router_row *row, const struct url *u,
    const char **params, size_t *n_params)
{
	*n_params = 0;
	for (size_t i = 0; i < row->n_segments; i++) {
		if (row->segments[i] != NULL) {
			if (!str_eq(row->segments[i], u->segments[i]))
				return false;
		} else {
			assert(*n_params < ROUTER_PARAMS_MAX);
			params[(*n_params)++] = u->segments[i];
		}
	}
	return true;
}

enum err
router_find(const struct router *r, enum http_method method,
    const struct url *u, struct router_match *out)
{
	enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
	bool is_found = false;

	*out = (struct router_match){.allowed = 0};
	if (u->n_segments == 0 || u->n_segments > ROUTER_SEGMENTS_MAX)
		return ERR_NOT_FOUND;
	for (size_t i = r->first[u->n_segments];
	     i < r->first[u->n_segments + 1]; i++) {
		const struct router_row *row = &r->rows[i];
		const struct route *route = route_at(row->index);
		const char *params[ROUTER_PARAMS_MAX];
		size_t n_params;

		if (!router_fits(row, u, params, &n_params))
			continue;
		out->allowed |= 1u << route->method | 1u << HTTP_OPTIONS;
		if (route->method == HTTP_GET)
			out->allowed |= 1u << HTTP_HEAD;
		if (is_found || route->method != wanted)
			continue;
		is_found = true;
		out->index = row->index;
		out->route = route;
		out->n_params = n_params;
		memcpy(out->params, params, n_params * sizeof(params[0]));
	}
	if (is_found)
		return ERR_OK;
	return out->allowed == 0 ? ERR_NOT_FOUND : ERR_UNSUPPORTED;
}

const char *
router_allow(struct arena *a, unsigned allowed)
{
	const char *text = "";

	for (int i = 0; i < HTTP_METHOD__COUNT; i++)
		if ((allowed & 1u << i) != 0)
			text = arena_printf(a, "%s%s%s", text,
			    *text == '\0' ? "" : ", ",
			    http_method_name((enum http_method)i));
	return text;
}
