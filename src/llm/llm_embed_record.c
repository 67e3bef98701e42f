/* SPDX-License-Identifier: MIT
 *
 * Who embeds, and what is kept of embeddings. Knows no network.
 */
#include <string.h>

#include "base/str.h"
#include "llm/llm_embed.h"
#include "llm/llm_provider.h"
#include "llm/vector.h"
#include "settings/settings.h"

#define EMBED_RECORD_MAX (8u << 20)

/* ---- who ---- */

enum err
llm_embed_agent(struct arena *a, const struct settings *settings,
    struct llm_agent *out, struct err_info *info)
{
	*out = (struct llm_agent){0};
	if (str_is_empty(settings->embedding_model))
		return ERR_OK;
	enum err e = llm_agent_parse(a, settings->embedding_model, out, info);
	if (e == ERR_OK && !llm_embed_has(out->row))
		e = err_set(info, ERR_INVALID, "ARAGORA_EMBEDDING_MODEL",
		    "%s has no embeddings", out->row->name);
	if (e == ERR_OK && str_is_empty(out->model))
		out->model =
		    llm_dialect(llm_agent_dialect(out->row))->embed_model;
	if (e == ERR_OK && str_is_empty(out->model))
		e = err_set(info, ERR_INVALID, "ARAGORA_EMBEDDING_MODEL",
		    "name the model: %s|MODEL", out->row->name);
	if (e != ERR_OK || !llm_agent_is_direct(out->row, settings, NULL))
		*out = (struct llm_agent){0};
	return e;
}

/* The JSON object of n vectors of one length. */
const char *
llm_embed_record(struct arena *a, const char *model, size_t dimension,
    size_t n_cached, const int16_t *const *vectors, size_t n)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, EMBED_RECORD_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", model);
	json_w_int(&w, "dimension", (int64_t)dimension);
	json_w_int(&w, "cached", (int64_t)n_cached);
	json_w_begin_array(&w, "similarity_ppm");
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			json_w_int(&w, NULL,
			    vector_similarity_ppm(
				vectors[i], vectors[k], dimension));
	json_w_end_array(&w);
	if (n == 1) {
		struct buf packed;
		buf_init(&packed, EMBED_RECORD_MAX);
		vector_pack(&packed, vectors[0], dimension);
		json_w_str(&w, "vector", buf_text(&packed));
		buf_release(&packed);
	}
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* ---- without a provider ---- */

const char *
llm_embed_hashed(struct arena *a, const struct llm_block *texts, size_t n)
{
	const int16_t **vectors = ARENA_ARRAY(a, n + 1, const int16_t *);

	for (size_t i = 0; i < n; i++) {
		int16_t *v = arena_array(a, VECTOR_HASH_DIMENSION, sizeof(*v));
		vector_hash(texts[i].text, v);
		vectors[i] = v;
	}
	return llm_embed_record(
	    a, VECTOR_HASH_MODEL, VECTOR_HASH_DIMENSION, 0, vectors, n);
}
