/* SPDX-License-Identifier: MIT
 *
 * The user message, and the names of tasks and errors.
 */
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "llm/llm.h"

const char *
llm_task_name(enum llm_task t)
{
	static const char *const names[LLM_TASK__COUNT] = {
	    [LLM_PROPOSE] = "propose",
	    [LLM_CRITIQUE] = "critique",
	    [LLM_REVISE] = "revise",
	    [LLM_VOTE] = "vote",
	    [LLM_JUDGE] = "judge",
	    [LLM_SYNTHESIS] = "synthesis",
	    [LLM_EMBED] = "embed",
	    [LLM_AUDIENCE] = "audience"};

	return names[t];
}

const char *
llm_error_name(enum llm_error_class c)
{
	static const char *const names[LLM_ERR__COUNT] = {
	    [LLM_ERR_NONE] = "none",
	    [LLM_ERR_AUTH] = "auth",
	    [LLM_ERR_BAD_REQUEST] = "bad_request",
	    [LLM_ERR_MONEY] = "quota",
	    [LLM_ERR_RATE] = "rate_limited",
	    [LLM_ERR_OVERLOAD] = "overloaded",
	    [LLM_ERR_SERVER] = "server",
	    [LLM_ERR_NETWORK] = "network",
	    [LLM_ERR_TIMEOUT] = "timeout",
	    [LLM_ERR_PARTIAL] = "partial",
	    [LLM_ERR_REFUSAL] = "refusal",
	    [LLM_ERR_EMPTY] = "empty"};

	return names[c];
}

/* Room for all parts, each framed by the nonce twice. */
static size_t
llm_prompt_size(const struct llm_request *r)
{
	const size_t frame = 2 * strlen(r->nonce) + 32;
	size_t n = strlen(r->question) + strlen(r->context) +
	    strlen(r->instruction) + 2 * frame;

	for (size_t i = 0; i < r->n_blocks; i++)
		n += strlen(r->blocks[i].label) + strlen(r->blocks[i].text) +
		    frame;
	return n;
}

const char *
llm_prompt_render(struct arena *a, const struct llm_request *r)
{
	struct buf b;

	buf_init(&b, llm_prompt_size(r));
	buf_printf(&b, "Question:\n%s\n", r->question);
	if (!str_is_empty(r->context))
		buf_printf(&b, "\n<<<%s Context\n%s\n%s>>>\n", r->nonce,
		    r->context, r->nonce);
	for (size_t i = 0; i < r->n_blocks; i++)
		buf_printf(&b, "\n<<<%s %s\n%s\n%s>>>\n", r->nonce,
		    r->blocks[i].label, r->blocks[i].text, r->nonce);
	buf_printf(&b, "\nTask:\n%s\n", r->instruction);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}
