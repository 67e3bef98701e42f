/* SPDX-License-Identifier: MIT */
#include "debate/audience.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"
#include "bus/event.h"
#include "debate/consensus.h"
#include "debate/engine.h"

#define AUDIENCE_HALF  250000 /* of intensity 1: half of 0.5 */
#define AUDIENCE_BELOW 62500  /* a step up to 5 */
#define AUDIENCE_ABOVE 100000 /* a step from there on */

/* ---- counting ---- */

int64_t
audience_weight(int64_t intensity)
{
	if (intensity < AUDIENCE_INTENSITY_MIN)
		intensity = AUDIENCE_INTENSITY_MIN;
	if (intensity > AUDIENCE_INTENSITY_MAX)
		intensity = AUDIENCE_INTENSITY_MAX;
	if (intensity <= AUDIENCE_INTENSITY_NEUTRAL)
		return AUDIENCE_HALF +
		    (intensity - AUDIENCE_INTENSITY_MIN) * AUDIENCE_BELOW;
	return CONSENSUS_PPM / 2 +
	    (intensity - AUDIENCE_INTENSITY_NEUTRAL) * AUDIENCE_ABOVE;
}

/* By person, the latest vote first. */
static int
audience_order(const void *x, const void *y)
{
	const struct audience_vote *a = x;
	const struct audience_vote *b = y;
	int by_name = strcmp(a->who, b->who);

	if (by_name != 0)
		return by_name;
	return a->seq > b->seq ? -1 : a->seq < b->seq;
}

size_t
audience_count(
    struct audience_vote *votes, size_t n, int64_t *weights, size_t n_options)
{
	size_t people = 0;

	for (size_t i = 0; i < n_options; i++)
		weights[i] = 0;
	if (n > 0)
		qsort(votes, n, sizeof(*votes), audience_order);
	for (size_t i = 0; i < n; i++) {
		const struct audience_vote *v = &votes[i];
		if (i > 0 && str_eq(v->who, votes[i - 1].who))
			continue;
		if (v->choice < 0 || (size_t)v->choice >= n_options)
			continue;
		weights[v->choice] += audience_weight(v->intensity);
		people++;
	}
	return people;
}

void
audience_cap(
    int64_t *weights, size_t n_options, int64_t agents_ppm, int64_t share_ppm)
{
	int64_t sum = 0;

	if (share_ppm > AUDIENCE_SHARE_MAX_PPM)
		share_ppm = AUDIENCE_SHARE_MAX_PPM;
	/* h <= s * (a + h) is h <= a * s / (1 - s). */
	int64_t most = agents_ppm * share_ppm / (CONSENSUS_PPM - share_ppm);
	for (size_t i = 0; i < n_options; i++)
		sum += weights[i];
	if (sum <= most)
		return;
	for (size_t i = 0; i < n_options; i++)
		weights[i] = weights[i] * most / sum;
}

/* ---- the record ---- */

static const char *const audience_kinds[STORE_HUMAN__COUNT] = {
    [STORE_HUMAN_VOTE] = "vote", [STORE_HUMAN_SUGGESTION] = "suggestion"};

const char *
audience_write(struct arena *a, const struct store_human *rows, size_t n)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 30);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_begin_array(&w, "inputs");
	for (size_t i = 0; i < n; i++) {
		json_w_begin(&w, NULL);
		json_w_int(&w, "seq", rows[i].seq);
		json_w_str(&w, "kind", audience_kinds[rows[i].kind]);
		json_w_str(&w, "who", rows[i].who);
		if (rows[i].kind == STORE_HUMAN_VOTE) {
			json_w_str(&w, "choice", rows[i].choice);
			json_w_int(&w, "intensity", rows[i].intensity);
		} else {
			json_w_str(&w, "text", rows[i].text);
		}
		json_w_end(&w);
	}
	json_w_end_array(&w);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

const char *
audience_event_type(enum store_human_kind kind)
{
	return event_name(kind == STORE_HUMAN_VOTE ? EVENT_USER_VOTE
						   : EVENT_AUDIENCE_SUGGESTION);
}

const char *
audience_event_data(struct arena *a, const struct store_human *in)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "user_id", in->who);
	if (in->kind == STORE_HUMAN_VOTE) {
		json_w_str(&w, "choice", in->choice);
		json_w_str(&w, "vote", in->choice);
		json_w_int(&w, "intensity", in->intensity);
		json_w_num(&w, "weight",
		    (double)audience_weight(in->intensity) / CONSENSUS_PPM);
	} else {
		json_w_str(&w, "suggestion", in->text);
		json_w_str(&w, "content", in->text);
		json_w_str(&w, "text", in->text);
	}
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

/* ---- what may come in ---- */

static enum err
audience_check_vote(struct arena *a, const struct debate_config *config,
    struct store_human *in, struct err_info *info)
{
	const char *names = "";

	if (in->intensity < AUDIENCE_INTENSITY_MIN ||
	    in->intensity > AUDIENCE_INTENSITY_MAX)
		return err_set(info, ERR_INVALID, "intensity",
		    "must be an integer from %d to %d", AUDIENCE_INTENSITY_MIN,
		    AUDIENCE_INTENSITY_MAX);
	if (str_is_empty(in->choice))
		return err_set(info, ERR_INVALID, "choice",
		    "must name the agent that the vote is for");
	for (size_t i = 0; i < config->n_agents; i++) {
		const char *name = config->agents[i].name;
		if (strcasecmp(name, in->choice) == 0) {
			in->choice = name;
			return ERR_OK;
		}
		names =
		    arena_printf(a, "%s%s%s", names, i > 0 ? ", " : "", name);
	}
	return err_set(info, ERR_INVALID, "choice", "must be one of %s", names);
}

static enum err
audience_check_text(const struct store_human *in, struct err_info *info)
{
	const char *p = in->text != NULL ? in->text : "";

	if (p[strspn(p, " \t\r\n")] == '\0')
		return err_set(
		    info, ERR_INVALID, "text", "the suggestion is empty");
	if (strlen(p) > AUDIENCE_TEXT_MAX)
		return err_set(info, ERR_INVALID, "text",
		    "must have at most %d bytes, not %zu", AUDIENCE_TEXT_MAX,
		    strlen(p));
	return ERR_OK;
}

enum err
audience_check(struct arena *a, const struct debate_config *config,
    struct store_human *in, struct err_info *info)
{
	if (config->audience_share_ppm == 0)
		return err_set(info, ERR_DENIED, "audience_share",
		    "this debate takes no votes and no suggestions");
	if (str_is_empty(in->who) || strlen(in->who) > AUDIENCE_WHO_MAX)
		return err_set(info, ERR_INVALID, "user_id",
		    "must have 1 to %d bytes", AUDIENCE_WHO_MAX);
	return in->kind == STORE_HUMAN_VOTE
	    ? audience_check_vote(a, config, in, info)
	    : audience_check_text(in, info);
}

/* ---- within the engine ---- */

static bool
audience_is_turn(const struct turn *t)
{
	return t->task == LLM_AUDIENCE && turn_is_good(t);
}

static const struct json *
audience_list(const struct json *parsed)
{
	return json_get(parsed, "inputs");
}

static bool
audience_is_vote(const struct json *in)
{
	return str_eq(
	    json_get_str(in, "kind", ""), audience_kinds[STORE_HUMAN_VOTE]);
}

size_t
audience_inputs(const struct json *parsed)
{
	return json_len(audience_list(parsed));
}

int64_t
audience_heard(const struct debate *d)
{
	int64_t newest = 0;

	for (size_t i = 0; i < d->n_turns; i++) {
		const struct turn *t = d->turns[i];
		const struct json *list = audience_list(t->parsed);
		if (!audience_is_turn(t))
			continue;
		for (size_t k = 0; k < json_len(list); k++) {
			int64_t seq = json_get_int(json_at(list, k), "seq", 0);
			newest = seq > newest ? seq : newest;
		}
	}
	return newest;
}

static size_t
audience_add_votes(const struct debate *d, const struct json *list,
    struct audience_vote *votes, size_t n)
{
	for (size_t k = 0; k < json_len(list); k++) {
		const struct json *in = json_at(list, k);
		if (!audience_is_vote(in))
			continue;
		votes[n++] = (struct audience_vote){
		    .who = json_get_str(in, "who", ""),
		    .seq = json_get_int(in, "seq", 0),
		    .choice = debate_seat(d, json_get_str(in, "choice", NULL)),
		    .intensity = json_get_int(
			in, "intensity", AUDIENCE_INTENSITY_NEUTRAL)};
	}
	return n;
}

size_t
audience_tally(const struct debate *d, int64_t *weights, size_t n_options)
{
	struct arena *a = arena_new(0);
	size_t room = 0;
	size_t n = 0;

	for (size_t i = 0; i < d->n_turns; i++)
		if (audience_is_turn(d->turns[i]))
			room += audience_inputs(d->turns[i]->parsed);
	struct audience_vote *votes =
	    ARENA_ARRAY(a, room + 1, struct audience_vote);
	for (size_t i = 0; i < d->n_turns; i++)
		if (audience_is_turn(d->turns[i]))
			n = audience_add_votes(
			    d, audience_list(d->turns[i]->parsed), votes, n);
	size_t people = audience_count(votes, n, weights, n_options);
	arena_free(&a);
	return people;
}

size_t
audience_suggestions(
    const struct debate *d, int phase, int64_t round, const char **texts)
{
	size_t n = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < d->n_turns; i++) {
		const struct turn *t = d->turns[i];
		const struct json *list = audience_list(t->parsed);
		if (!audience_is_turn(t) || (int)t->phase != phase ||
		    t->round != round)
			continue;
		for (size_t k = 0; k < json_len(list); k++) {
			const char *text =
			    json_get_str(json_at(list, k), "text", NULL);
			if (text == NULL || n == AUDIENCE_PROMPT_MAX ||
			    bytes + strlen(text) > AUDIENCE_PROMPT_BYTES)
				continue;
			bytes += strlen(text);
			texts[n++] = text;
		}
	}
	return n;
}

void
audience_summary(
    const struct debate *d, const struct json *parsed, struct json_w *w)
{
	const struct json *list = audience_list(parsed);
	int64_t weights[CONSENSUS_OPTIONS_MAX];
	size_t n = json_len(list);
	struct arena *a = arena_new(0);
	struct audience_vote *votes =
	    ARENA_ARRAY(a, n + 1, struct audience_vote);
	size_t n_votes = audience_add_votes(d, list, votes, 0);
	size_t people =
	    audience_count(votes, n_votes, weights, d->config.n_agents);

	json_w_int(w, "votes", (int64_t)n_votes);
	json_w_int(w, "voters", (int64_t)people);
	json_w_int(w, "suggestions", (int64_t)(n - n_votes));
	json_w_int(w, "through_seq",
	    n > 0 ? json_get_int(json_at(list, n - 1), "seq", 0) : 0);
	json_w_begin(w, "choices");
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (weights[i] > 0)
			json_w_num(w, d->config.agents[i].name,
			    (double)weights[i] / CONSENSUS_PPM);
	json_w_end(w);
	arena_free(&a);
}
