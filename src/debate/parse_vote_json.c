/* SPDX-License-Identifier: MIT
 *
 * What the JSON objects of a ballot state.
 */
#include "debate/parse_vote_impl.h"

#include <string.h>

#include "base/str.h"

#define VOTE_NEST_MAX (PARSE_DEPTH + 1)

static const char *const vote_keys[] = {"choice", "vote", "winner", "selected",
    "selection", "final_choice", "final_vote", "my_vote", "my_choice",
    "preferred", "voted_for", NULL};
static const char *const vote_name_keys[] = {
    "label", "proposal", "name", "id", "choice", "option", "value", NULL};

static bool
vote_key_is(const char *key, const char *const *list)
{
	for (; *list != NULL; list++)
		if (str_ieq(key, *list))
			return true;
	return false;
}

/* The schema of the prompt, echoed: says nothing. */
static bool
vote_is_placeholder(const char *text)
{
	return strstr(text, "the label") != NULL ||
	    strstr(text, "example") != NULL || strstr(text, "<") != NULL;
}

static int
vote_of_string(struct vote_reader *r, const char *text)
{
	struct words w;

	if (vote_is_placeholder(text))
		return PHRASE_NONE;
	words_read(&w, text, strlen(text), &r->labels, &r->steps);
	int choice = phrase_of_value(&w);
	return choice == PHRASE_NONE ? PHRASE_UNCLEAR : choice;
}

/* What two statements of one object come to. */
static int
vote_merge(int a, int b)
{
	if (a == PHRASE_NONE || a == b)
		return b;
	return b == PHRASE_NONE ? a : PHRASE_UNCLEAR;
}

int
vote_of_value(struct vote_reader *r, const struct json *value)
{
	const char *key;
	const struct json *inner;
	int choice = PHRASE_NONE;

	if (json_kind(value) == JSON_ARRAY && json_len(value) == 1)
		value = json_at(value, 0);
	if (json_kind(value) == JSON_STRING)
		return vote_of_string(r, json_str(value, NULL));
	if (json_kind(value) != JSON_OBJECT)
		return PHRASE_UNCLEAR;
	for (void *it = NULL; json_next(value, &it, &key, &inner);)
		if (vote_key_is(key, vote_name_keys))
			choice = vote_merge(choice,
			    json_kind(inner) == JSON_STRING
				? vote_of_string(r, json_str(inner, NULL))
				: PHRASE_UNCLEAR);
	return choice == PHRASE_NONE ? PHRASE_UNCLEAR : choice;
}

static int
vote_of_members(struct vote_reader *r, const struct json *object)
{
	const char *key;
	const struct json *value;
	int choice = PHRASE_NONE;

	for (void *it = NULL; json_next(object, &it, &key, &value);)
		if (vote_key_is(key, vote_keys))
			choice = vote_merge(choice, vote_of_value(r, value));
	const struct json *ranking = json_get(object, "ranking");
	if (json_kind(ranking) == JSON_ARRAY && json_len(ranking) > 0)
		choice =
		    vote_merge(choice, vote_of_value(r, json_at(ranking, 0)));
	return choice;
}

/* The choice of an object, or of all the objects within it; *found: the one
 * that holds it. */
static int
vote_of_object(struct vote_reader *r, const struct json *j,
    const struct json **found, int depth)
{
	const char *key;
	const struct json *value;
	int choice =
	    json_kind(j) == JSON_OBJECT ? vote_of_members(r, j) : PHRASE_NONE;

	r->steps += 1 + json_len(j);
	if (choice != PHRASE_NONE) {
		*found = j;
		return choice;
	}
	if (depth == VOTE_NEST_MAX)
		return PHRASE_NONE;
	if (json_kind(j) == JSON_OBJECT)
		for (void *it = NULL; json_next(j, &it, &key, &value);)
			choice = vote_merge(
			    choice, vote_of_object(r, value, found, depth + 1));
	if (json_kind(j) == JSON_ARRAY)
		for (size_t i = 0; i < json_len(j); i++)
			choice = vote_merge(choice,
			    vote_of_object(r, json_at(j, i), found, depth + 1));
	return choice;
}

void
vote_take_object(struct vote_reader *r, const struct json *j, size_t start,
    size_t end, bool is_repaired)
{
	const struct json *found = NULL;
	int choice = vote_of_object(r, j, &found, 0);

	if (choice == PHRASE_NONE)
		return;
	vote_state(r, start, end, choice);
	r->object = found;
	size_t before = start;
	while (before > 0 && str_is_space(r->text[before - 1]))
		before--;
	bool is_alone =
	    before == 0 && vote_is_blank(r->text + end, r->text + r->len);
	const char *fence = start >= 3 ? strstr(r->text, "```") : NULL;
	r->rung = is_repaired			       ? PARSE_REPAIRED
	    : is_alone				       ? PARSE_WHOLE
	    : fence != NULL && fence < r->text + start ? PARSE_FENCED
						       : PARSE_EMBEDDED;
}

void
vote_read_repaired(struct vote_reader *r, size_t *start, size_t *end)
{
	static const char *const wanted[] = {"choice", "vote", "winner"};
	const struct json_limits limits = {.max_depth = PARSE_DEPTH + 1};
	const char *brace = strchr(r->text, '{');
	const char *value = NULL;
	const struct json *j;
	size_t used;

	if (brace == NULL || r->len > (64u << 10))
		return;
	for (size_t i = 0; value == NULL && i < ARRAY_LEN(wanted); i++)
		for (const char *p = brace;
		     (p = strstr(p + 1, wanted[i])) != NULL;)
			if (strchr("\"'", p[-1]) != NULL &&
			    strchr("\"'", p[strlen(wanted[i])]) != NULL &&
			    p[strlen(wanted[i])] != '\0')
				value = p;
	if (value == NULL)
		return;
	for (const char *p = brace; (p = strchr(p, '{')) != NULL && p < value;
	     p++)
		brace = p;
	const char *fixed = parse_repair(r->a, brace, &used);
	*start = (size_t)(brace - r->text);
	*end = *start + used;
	r->steps += 2 * used;
	/* A choice that was cut off may have gone on. */
	value += strcspn(value, ":");
	value += strspn(value, ": \t\r\n");
	bool is_whole = strchr("\"'", *value) == NULL || *value == '\0' ||
	    strchr(value + 1, *value) != NULL;
	if (!is_whole)
		vote_state(r, *start, *end, PHRASE_UNCLEAR);
	else if (json_parse(r->a, fixed, strlen(fixed), &limits, &j, NULL) ==
	    ERR_OK)
		vote_take_object(r, j, *start, *end, true);
	else
		vote_state(r, *start, *end, PHRASE_UNCLEAR);
}
