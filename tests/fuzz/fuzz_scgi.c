/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: SCGI header. Besides not crashing: what is accepted lies within
 * the input, and every shorter piece of it asks for more.
 */
#include <assert.h>
#include <string.h>

#include "fcgi/scgi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err_info info;
	struct scgi_head head;
	const char *text = (const char *)data;

	if (scgi_parse(text, size, &head, &info) != ERR_OK)
		return 0;
	assert(head.size <= size && head.n_vars > 0);
	for (size_t i = 0; i < head.n_vars; i++) {
		const char *value = head.vars[i].value;
		assert(head.vars[i].name > text);
		assert(value + strlen(value) < text + head.size);
	}
	assert(scgi_parse(text, head.size - 1, &head, &info) == ERR_AGAIN);
	return 0;
}
