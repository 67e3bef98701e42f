/* SPDX-License-Identifier: MIT */
#include "fcgi/handler.h"

static const struct handler handler_rows[] = {
#define ROUTE(m, p, h, a, r, max, in, b, st, ans, t, op, text) {h, &in},
#include "fcgi/routes.def"
#undef ROUTE
};

const struct handler *
handler_at(size_t i)
{
	return &handler_rows[i];
}
