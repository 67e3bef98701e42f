/* SPDX-License-Identifier: MIT
 *
 * Embeddings of texts, over llm.h and through a cache: a text is embedded once
 * per model as long as it is remembered (ARAGORA_EMBEDDING_CACHE_SIZE entries,
 * the one longest not asked for goes first, ARAGORA_EMBEDDING_CACHE_TTL), and
 * once only when several ask for it at the same time. Texts are sent in
 * batches. A text longer than LLM_EMBED_TEXT_MAX bytes counts with its
 * beginning.
 */
#pragma once

#include "llm/llm.h"

struct settings;
struct llm_embedder;   /* one per loop */
struct llm_embed_call; /* one question of several texts */

#define LLM_EMBED_TEXT_MAX  24000 /* about 8000 tokens */
#define LLM_EMBED_TEXTS_MAX 256	  /* of one question */

/* The agent that ARAGORA_EMBEDDING_MODEL names; row NULL = none, or it cannot
 * be asked with these settings. ERR_INVALID: it is none, it has no embeddings,
 * or no model is named where there is no default. */
enum err llm_embed_agent(struct arena *a, const struct settings *settings,
    struct llm_agent *out, struct err_info *info) MUST_CHECK;

void llm_embedder_new(struct llm_embedder **out,
    const struct settings *settings, struct loop *loop, struct llm *llm);
/* Drops what is under way. Before llm_free. */
void llm_embedder_free(struct llm_embedder **e);

/* request->blocks are the texts (1 to LLM_EMBED_TEXTS_MAX), task is LLM_EMBED.
 * Of ops on_done is called, once unless cancelled, and never from inside; and
 * on_next and on_attempt for the requests made here that it is the first to
 * wait for. number 0 is the first that on_next told of, or would have. The
 * result's text is a JSON object of
 *   model       "provider/model"
 *   dimension   length of the vectors
 *   cached      how many texts were not asked for
 *   similarity_ppm  cosines in millionths of each text with each later one:
 *               (0,1), (0,2), ... (1,2), ...; integers, the same everywhere
 *   vector      only of a single text: vector_pack()
 * Tokens and cost are of what was asked for here. */
struct llm_embed_call *llm_embed_start(struct llm_embedder *e,
    const struct llm_agent *agent, const struct llm_request *request,
    const struct llm_call_ops *ops);
/* The request of this number may leave; nothing if it does not wait. */
void llm_embed_go(struct llm_embed_call *call, int64_t number);
/* No callback follows. What nobody else waits for is dropped. */
void llm_embed_cancel(struct llm_embed_call **call);

/* The same object of texts hashed here; text on the arena. */
const char *llm_embed_hashed(
    struct arena *a, const struct llm_block *texts, size_t n);
