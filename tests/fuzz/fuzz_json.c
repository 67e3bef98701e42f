/* SPDX-License-Identifier: MIT
 *
 * What the strict check takes is read into a tree; the tree is written and read
 * again as the same text. A string of the input, valid or not, survives
 * the writer as JSON.
 */
#include <assert.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_round_trip(struct arena *a, const struct json *j)
{
	const struct json_limits deep = {.max_depth = 64};
	const struct json *again;

	const char *first = json_text(a, j);
	enum err e = json_parse(a, first, strlen(first), &deep, &again, NULL);
	assert(e == ERR_OK);
	assert(json_kind(again) == json_kind(j));
	assert(json_len(again) == json_len(j));
	assert(str_eq(json_text(a, again), first));
}

static void
fuzz_writer(struct arena *a, const char *text, size_t len)
{
	const struct json *j;
	struct json_w w;
	struct buf b;

	buf_init(&b, 16u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_strn(&w, "text", text, len);
	json_w_end(&w);
	enum err e = json_parse(a, b.data, b.len, NULL, &j, NULL);
	assert(e == ERR_OK);
	size_t back = 0;
	const char *value = json_str(json_get(j, "text"), &back);
	assert(value != NULL && str_is_utf8(value, back));
	if (str_is_utf8(text, len) && memchr(text, '\0', len) == NULL)
		assert(back == len && memcmp(value, text, len) == 0);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct arena *a = arena_new(0);
	const struct json *j;
	struct err_info info = {0};

	enum err checked = json_validate(text, size, NULL, &info);
	assert(str_is_utf8(info.field, strlen(info.field)));
	enum err parsed = json_parse(a, text, size, NULL, &j, NULL);
	assert(checked == parsed);
	if (parsed == ERR_OK)
		fuzz_round_trip(a, j);
	if (size < 65536)
		fuzz_writer(a, text, size);
	arena_free(&a);
	return 0;
}
