/* SPDX-License-Identifier: MIT
 *
 * The stub's embeddings: checked as strictly as its texts, and the same for
 * the same text on every machine. They see words and nothing else, so a text
 * and its denial lie close together, as they do with real models.
 */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "tests/tools/llm_stub.h"

#define EMBED_DIMENSION	    64
#define EMBED_DIMENSION_MAX 4096
#define EMBED_PRESENT	    6 /* places that a word marks */

/* ---- the request ---- */

static size_t
embed_count(enum stub_embedding form, const struct json *j)
{
	return json_len(
	    json_get(j, form == STUB_EMBED_GEMINI ? "requests" : "input"));
}

static const char *
embed_text(enum stub_embedding form, const struct json *j, size_t i)
{
	const struct json *list =
	    json_get(j, form == STUB_EMBED_GEMINI ? "requests" : "input");
	const struct json *one = json_at(list, i);

	if (form == STUB_EMBED_GEMINI)
		one = json_get(
		    json_at(json_get(json_get(one, "content"), "parts"), 0),
		    "text");
	return json_str(one, NULL);
}

static const struct json *
embed_wanted(enum stub_embedding form, const struct json *j)
{
	const struct json *first = json_at(json_get(j, "requests"), 0);
	const struct json *length = json_get(j, "dimensions");

	if (form == STUB_EMBED_GEMINI)
		return json_get(first, "outputDimensionality");
	return length != NULL ? length : json_get(j, "output_dimension");
}

static size_t
embed_dimension(enum stub_embedding form, const struct json *j)
{
	int64_t n;

	return json_int(embed_wanted(form, j), &n) ? (size_t)n
						   : EMBED_DIMENSION;
}

static const char *
embed_check_gemini(const struct json *j, const char *model)
{
	const struct json *list = json_get(j, "requests");

	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *r = json_at(list, i);
		const char *name = json_get_str(r, "model", "");
		const char *unknown = stub_unknown_field(
		    "model content taskType title outputDimensionality", r);
		if (unknown != NULL)
			return unknown;
		if (!str_starts(name, "models/") ||
		    !str_eq(name + strlen("models/"), model))
			return "requests.model is not the model of the path";
		if (!str_eq(
			json_get_str(r, "taskType", ""), "SEMANTIC_SIMILARITY"))
			return "requests.taskType is none that is asked for";
	}
	return NULL;
}

static const char *
embed_check_openai(const struct json *j)
{
	const char *format = json_get_str(j, "encoding_format", "float");

	if (!str_eq(format, "float") && !str_eq(format, "base64"))
		return "encoding_format must be float or base64";
	return NULL;
}

const char *
stub_embed_check(
    enum stub_embedding form, const struct json *j, const char *model)
{
	const size_t most = form == STUB_EMBED_GEMINI ? 100 : 2048;
	size_t n = embed_count(form, j);
	int64_t wanted = 1;

	if (json_kind(j) != JSON_OBJECT)
		return "the body must be an object";
	if (form != STUB_EMBED_GEMINI && *json_get_str(j, "model", "") == '\0')
		return "model is missing";
	if (n == 0 || n > most)
		return "the number of texts is out of range";
	for (size_t i = 0; i < n; i++) {
		const char *text = embed_text(form, j, i);
		if (text == NULL || *text == '\0')
			return "a text is empty or missing";
	}
	if (embed_wanted(form, j) != NULL &&
	    (!json_int(embed_wanted(form, j), &wanted) || wanted < 1 ||
		wanted > EMBED_DIMENSION_MAX))
		return "the dimension is out of range";
	if (form == STUB_EMBED_OLLAMA && json_get(j, "truncate") != NULL &&
	    json_kind(json_get(j, "truncate")) != JSON_BOOL)
		return "truncate must be true or false";
	return form == STUB_EMBED_GEMINI ? embed_check_gemini(j, model)
	    : form == STUB_EMBED_OPENAI	 ? embed_check_openai(j)
					 : NULL;
}

/* ---- vectors ---- */

static void
embed_add_word(float *v, size_t n, const char *word, size_t len)
{
	for (uint64_t i = 0; i < EMBED_PRESENT; i++) {
		uint64_t h = str_hash(word, len, i) * 0x9e3779b97f4a7c15ULL;
		v[(h >> 20) % n] += (h >> 19 & 1) != 0 ? 1.0F : -1.0F;
	}
}

/* "<<n:m>>": an angle in a plane. */
static bool
embed_angle(const char *text, float *v, size_t n)
{
	const char *at = strstr(text, "<<");
	uint64_t degrees;
	uint64_t plane;

	if (at == NULL)
		return false;
	at += 2;
	size_t len = strcspn(at, ":");
	size_t rest = strcspn(at, ">");
	if (rest <= len || str_to_u64(at, len, 359, &degrees) != ERR_OK ||
	    str_to_u64(at + len + 1, rest - len - 1, n / 2 - 1, &plane) !=
		ERR_OK)
		return false;
	double angle = (double)degrees / 180 * 3.14159265358979323846;
	v[2 * plane] = (float)cos(angle);
	v[2 * plane + 1] = (float)sin(angle);
	return true;
}

static void
embed_vector(const char *text, float *v, size_t n)
{
	char word[64];
	size_t len = 0;

	memset(v, 0, n * sizeof(*v));
	if (embed_angle(text, v, n))
		return;
	v[0] = 1; /* never all zero */
	for (;; text++) {
		if (str_is_alnum(*text) || (unsigned char)*text >= 0x80) {
			if (len < sizeof(word))
				word[len++] = str_lower(*text);
			continue;
		}
		if (len > 0)
			embed_add_word(v, n, word, len);
		len = 0;
		if (*text == '\0')
			return;
	}
}

/* ---- the answer ---- */

static void
embed_write_base64(struct json_w *w, const char *key, const float *v, size_t n)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)v;
	size_t len = n * sizeof(*v);
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	for (size_t i = 0; i < len; i += 3) {
		unsigned x = (unsigned)p[i] << 16;
		x |= i + 1 < len ? (unsigned)p[i + 1] << 8 : 0;
		x |= i + 2 < len ? (unsigned)p[i + 2] : 0;
		buf_putc(&b, letters[x >> 18]);
		buf_putc(&b, letters[x >> 12 & 63]);
		buf_putc(&b, i + 1 < len ? letters[x >> 6 & 63] : '=');
		buf_putc(&b, i + 2 < len ? letters[x & 63] : '=');
	}
	json_w_str(w, key, buf_text(&b));
	buf_release(&b);
}

static void
embed_write_numbers(struct json_w *w, const char *key, const float *v, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_num(w, NULL, (double)v[i]);
	json_w_end_array(w);
}

static void
embed_write_one(struct json_w *w, enum stub_embedding form,
    const struct json *j, size_t index, const float *v, size_t n)
{
	bool is_packed =
	    str_eq(json_get_str(j, "encoding_format", "float"), "base64");

	if (form == STUB_EMBED_OLLAMA) {
		embed_write_numbers(w, NULL, v, n);
		return;
	}
	json_w_begin(w, NULL);
	if (form == STUB_EMBED_GEMINI) {
		embed_write_numbers(w, "values", v, n);
	} else {
		json_w_str(w, "object", "embedding");
		json_w_int(w, "index", (int64_t)index);
		(is_packed ? embed_write_base64 : embed_write_numbers)(
		    w, "embedding", v, n);
	}
	json_w_end(w);
}

static void
embed_write_usage(struct json_w *w, enum stub_embedding form, int64_t tokens)
{
	if (form == STUB_EMBED_OLLAMA) {
		json_w_int(w, "prompt_eval_count", tokens);
	} else if (form == STUB_EMBED_OPENAI) {
		json_w_begin(w, "usage");
		json_w_int(w, "prompt_tokens", tokens);
		json_w_int(w, "total_tokens", tokens);
		json_w_end(w);
	}
}

const char *
stub_embed_body(struct arena *a, enum stub_embedding form, const struct json *j,
    const char *model, enum stub_embed_flaw flaw)
{
	size_t n = embed_count(form, j);
	size_t dimension = flaw == STUB_EMBED_OWN ? EMBED_DIMENSION + 1
						  : embed_dimension(form, j);
	float *v = arena_array(a, EMBED_DIMENSION_MAX + 2, sizeof(*v));
	size_t bytes = 0;
	struct json_w w;
	struct buf b;

	buf_init(&b, STUB_REPLY_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "model", model);
	json_w_begin_array(
	    &w, form == STUB_EMBED_OPENAI ? "data" : "embeddings");
	for (size_t i = 0; i < n - (flaw == STUB_EMBED_FEWER); i++) {
		size_t at = flaw == STUB_EMBED_TURNED ? n - 1 - i : i;
		bool is_longer = flaw == STUB_EMBED_UNEVEN && i == n - 1;
		const char *text = embed_text(form, j, at);
		bytes += strlen(text);
		embed_vector(text, v, dimension);
		v[dimension] = 1;
		embed_write_one(
		    &w, form, j, at, v, dimension + (is_longer ? 1 : 0));
	}
	json_w_end_array(&w);
	if (flaw != STUB_EMBED_MUTE)
		embed_write_usage(&w, form, (int64_t)bytes / 4 + 1);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}
