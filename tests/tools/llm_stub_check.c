/* SPDX-License-Identifier: MIT
 *
 * The stub takes nothing a provider would refuse.
 */
#include <string.h>

#include "base/str.h"
#include "tests/tools/llm_stub.h"

static const char *
stub_check_message(const struct json *m)
{
	static const char *const roles[] = {
	    "system", "developer", "user", "assistant", "tool"};
	const char *role = json_get_str(m, "role", "");
	enum json_kind content = json_kind(json_get(m, "content"));

	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (str_eq(role, roles[i]))
			return content == JSON_STRING || content == JSON_ARRAY
			    ? NULL
			    : "a message's content must be text";
	return "a message's role is not known";
}

static const char *
stub_check_limit(const struct json *j, const char *key)
{
	int64_t value;

	if (json_get(j, key) == NULL)
		return NULL;
	return json_int(json_get(j, key), &value) && value > 0
	    ? NULL
	    : "the length limit must be a positive integer";
}

static bool
stub_is_word_of(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; *p != '\0'; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");
		if (n == len && strncmp(p, word, n) == 0)
			return true;
		p += n;
	}
	return false;
}

const char *
stub_unknown_field(const char *known, const struct json *j)
{
	const struct json *value;
	const char *key;
	void *it = NULL;

	if (known == NULL)
		return NULL;
	while (json_next(j, &it, &key, &value))
		if (!stub_is_word_of(known, key))
			return key;
	return NULL;
}

static const char *
stub_check_temperature(const struct json *from, double max)
{
	double temperature;

	if (json_get(from, "temperature") == NULL)
		return NULL;
	return json_num(json_get(from, "temperature"), &temperature) &&
		temperature >= 0 && temperature <= max
	    ? NULL
	    : "temperature is out of range";
}

static const char *
stub_check_seed(const struct json *from)
{
	int64_t seed;

	return json_get(from, "seed") == NULL ||
		json_int(json_get(from, "seed"), &seed)
	    ? NULL
	    : "seed must be an integer";
}

static const char *
stub_check_openai(const struct json *j)
{
	const char *wrong = stub_check_limit(j, "max_tokens");

	if (wrong == NULL)
		wrong = stub_check_limit(j, "max_completion_tokens");
	if (wrong == NULL)
		wrong = stub_check_temperature(j, 2);
	if (wrong == NULL)
		wrong = stub_check_seed(j);
	if (wrong == NULL && json_get(j, "stream_options") != NULL &&
	    !json_get_bool(j, "stream", false))
		wrong = "stream_options needs stream";
	return wrong;
}

static const char *
stub_check_anthropic(const struct json *j)
{
	const struct json *messages = json_get(j, "messages");

	if (json_get(j, "max_tokens") == NULL)
		return "max_tokens: field required";
	for (size_t i = 0; i < json_len(messages); i++) {
		const char *role =
		    json_get_str(json_at(messages, i), "role", "");
		if (!str_eq(role, "user") && !str_eq(role, "assistant"))
			return "messages: a role is not user or assistant";
	}
	const char *wrong = stub_check_limit(j, "max_tokens");
	return wrong != NULL ? wrong : stub_check_temperature(j, 1);
}

static const char *
stub_check_ollama(const struct json *j)
{
	const struct json *options = json_get(j, "options");
	const char *wrong = stub_check_limit(options, "num_predict");

	/* Left out, a long prompt is cut without a word. */
	if (json_get_int(options, "num_ctx", 0) <= 0)
		return "options.num_ctx is missing";
	if (wrong == NULL)
		wrong = stub_check_temperature(options, 2);
	return wrong != NULL ? wrong : stub_check_seed(options);
}

static const char *
stub_check_gemini(const struct json *j)
{
	const struct json *contents = json_get(j, "contents");
	const struct json *config = json_get(j, "generationConfig");
	const char *wrong = stub_unknown_field(
	    "temperature topP topK maxOutputTokens stopSequences "
	    "candidateCount seed responseMimeType responseSchema "
	    "thinkingConfig",
	    config);

	if (json_kind(j) != JSON_OBJECT)
		return "the body must be an object";
	if (json_kind(contents) != JSON_ARRAY || json_len(contents) == 0)
		return "contents must be a list that is not empty";
	for (size_t i = 0; i < json_len(contents); i++) {
		const struct json *c = json_at(contents, i);
		const char *role = json_get_str(c, "role", "");
		if (!str_eq(role, "user") && !str_eq(role, "model"))
			return "Please use a valid role: user, model.";
		if (json_len(json_get(c, "parts")) == 0)
			return "contents.parts must not be empty";
	}
	if (wrong == NULL)
		wrong = stub_check_limit(config, "maxOutputTokens");
	if (wrong == NULL)
		wrong = stub_check_temperature(config, 2);
	return wrong != NULL ? wrong : stub_check_seed(config);
}

const char *
stub_check(enum stub_wire wire, const struct json *j)
{
	const struct json *messages = json_get(j, "messages");
	const char *wrong = NULL;

	if (wire == STUB_WIRE_GEMINI)
		return stub_check_gemini(j);
	if (json_kind(j) != JSON_OBJECT)
		return "the body must be an object";
	if (*json_get_str(j, "model", "") == '\0')
		return "model is missing";
	if (json_kind(messages) != JSON_ARRAY || json_len(messages) == 0)
		return "messages must be a list that is not empty";
	for (size_t i = 0; wrong == NULL && i < json_len(messages); i++)
		wrong = stub_check_message(json_at(messages, i));
	if (wrong != NULL)
		return wrong;
	return wire == STUB_WIRE_ANTHROPIC ? stub_check_anthropic(j)
	    : wire == STUB_WIRE_OLLAMA	   ? stub_check_ollama(j)
					   : stub_check_openai(j);
}
