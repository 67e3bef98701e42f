/* SPDX-License-Identifier: MIT
 *
 * What the providers' embeddings have in common: numbers or base64, and how a
 * call hands them on.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "llm/llm_provider.h"
#include "llm/vector.h"

/* One vector in the stream's text, before its floats. */
struct embed_head {
	int64_t index;
	int64_t dimension;
};

static size_t
embed_read_numbers(const struct json *list, float *out)
{
	size_t n = json_len(list);

	if (n > VECTOR_DIMENSION_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		double x;
		if (!json_num(json_at(list, i), &x) || !isfinite(x))
			return 0;
		out[i] = (float)x;
	}
	return n;
}

static size_t
embed_read(const struct json *value, float *out)
{
	size_t len = 0;
	const char *text = json_str(value, &len);

	if (text != NULL)
		return vector_read(text, len, out, VECTOR_DIMENSION_MAX);
	return json_kind(value) == JSON_ARRAY ? embed_read_numbers(value, out)
					      : 0;
}

bool
llm_embed_take(struct llm_stream *s, int64_t index, const struct json *value)
{
	float numbers[VECTOR_DIMENSION_MAX];
	size_t n = embed_read(value, numbers);
	const struct embed_head head = {
	    .index = index, .dimension = (int64_t)n};
	struct embed_head first = head;

	if (s->text.len > 0)
		memcpy(&first, s->text.data, sizeof(first));
	if (n == 0)
		llm_stream_fail(s, LLM_ERR_SERVER,
		    "the provider sent an embedding that cannot be read");
	else if (first.dimension != head.dimension)
		llm_stream_fail(s, LLM_ERR_SERVER,
		    "the provider sent embeddings of different lengths");
	if (s->error != LLM_ERR_NONE)
		return false;
	buf_append(&s->text, &head, sizeof(head));
	buf_append(&s->text, numbers, n * sizeof(*numbers));
	return true;
}

bool
llm_embed_has(const struct llm_agent_row *row)
{
	const struct llm_dialect_row *d = llm_dialect(llm_agent_dialect(row));

	return d->provider->embed != NULL && *d->embed_length != '\0';
}

void
llm_embed_end(struct llm_stream *s, int64_t tokens)
{
	s->tokens_in = tokens;
	s->tokens_out = 0;
	s->has_finish = true;
}

const float *
llm_embed_vectors(
    struct arena *a, const char *text, size_t len, size_t n, size_t *dimension)
{
	struct embed_head head;

	if (n == 0 || len < sizeof(head))
		return NULL;
	memcpy(&head, text, sizeof(head));
	size_t size = (size_t)head.dimension * sizeof(float);
	float *out = arena_array(a, n, size);
	bool *has = arena_array(a, n, sizeof(*has));
	if (len != n * (sizeof(head) + size))
		return NULL;
	memset(has, 0, n * sizeof(*has));
	for (size_t i = 0; i < n; i++, text += sizeof(head) + size) {
		memcpy(&head, text, sizeof(head));
		if (head.index < 0 || (size_t)head.index >= n ||
		    has[head.index])
			return NULL;
		has[head.index] = true;
		memcpy((char *)out + (size_t)head.index * size,
		    text + sizeof(head), size);
	}
	*dimension = size / sizeof(float);
	return out;
}
