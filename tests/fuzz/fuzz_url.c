/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: REQUEST_URI and the router. What is accepted is valid UTF-8
 * without control characters.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "fcgi/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct router *router = router_new();
	struct router_match match;
	struct err_info info;
	struct url u;
	const char *uri = arena_strndup(a, (const char *)data, size);

	if (url_parse(a, uri, "/prefix", &u, &info) == ERR_OK) {
		for (size_t i = 0; i < u.n_segments; i++) {
			const char *s = u.segments[i];
			assert(str_is_utf8(s, strlen(s)));
			assert(strpbrk(s, "\r\n\t") == NULL);
		}
		for (size_t i = 0; i < u.n_params; i++)
			assert(url_param(&u, u.params[i].key) != NULL);
		if (router_find(router, HTTP_GET, &u, &match) == ERR_OK)
			assert(match.n_params <= u.n_segments);
	}
	router_free(&router);
	arena_free(&a);
	return 0;
}
