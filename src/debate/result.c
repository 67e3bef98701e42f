/* SPDX-License-Identifier: MIT
 *
 * What came out: the answer, its confidence, the dissent, and how far the
 * texts moved.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "debate/engine.h"

#define RESULT_WORDS_MAX 8192

static const struct turn *
result_synthesis(const struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_SYNTHESIS &&
		    turn_is_good(d->turns[i]))
			return d->turns[i];
	return NULL;
}

/* No winner: the position that says most. */
static const struct turn *
result_longest(const struct debate *d)
{
	const struct turn *best = NULL;

	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *t = turn_position(d, (int)i);
		if (t != NULL &&
		    (best == NULL ||
			strlen(t->content) > strlen(best->content)))
			best = t;
	}
	return best;
}

/* Synthesis, else the judge's words, else the winner's, else the longest
 * position; NULL when nobody said anything. */
const char *
debate_answer(const struct debate *d)
{
	const struct turn *t = result_synthesis(d);

	if (t != NULL)
		return t->content;
	if (d->judge_answer != NULL)
		return d->judge_answer;
	t = d->outcome.winner >= 0 ? turn_position(d, d->outcome.winner)
				   : result_longest(d);
	return t != NULL ? t->content : NULL;
}

bool
debate_is_reached(const struct debate *d)
{
	return d->outcome.is_reached;
}

/* The judge's own, else the share of the leader, as the contract defines
 * it for each rule. */
double
debate_confidence(const struct debate *d)
{
	if (d->judge >= 0)
		return d->judge_confidence;
	if (d->config.rule == DEBATE_NONE)
		return turn_position(d, 0) != NULL ? 0.5 : 0;
	return (double)d->outcome.share_ppm / CONSENSUS_PPM;
}

/* The ballot of a seat, NULL when it gave none. */
static const struct turn *
result_ballot(const struct debate *d, int seat)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_VOTE &&
		    d->turns[i]->agent == seat && turn_is_good(d->turns[i]))
			return d->turns[i];
	return NULL;
}

static int
result_choice(const struct debate *d, int seat)
{
	const struct turn *t = result_ballot(d, seat);

	return t != NULL
	    ? debate_seat(d, json_get_str(t->parsed, "choice", NULL))
	    : -1;
}

enum result_side { RESULT_SUPPORT, RESULT_DISSENT, RESULT_ABSTENTION };

/* Who wrote the winning position holds it; of the others the ballot tells.
 * With no votes at all every other position is a dissent. */
static enum result_side
result_side(const struct debate *d, int seat)
{
	int choice = result_choice(d, seat);

	if (seat == d->outcome.winner || choice == d->outcome.winner)
		return RESULT_SUPPORT;
	return choice >= 0 || d->outcome.valid == 0 ? RESULT_DISSENT
						    : RESULT_ABSTENTION;
}

static bool
result_is_on(const struct debate *d, int seat, enum result_side side)
{
	return d->outcome.winner >= 0 && turn_position(d, seat) != NULL &&
	    result_side(d, seat) == side;
}

static void
result_names(
    struct debate *d, struct json_w *w, const char *key, enum result_side side)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (result_is_on(d, (int)i, side))
			json_w_str(w, NULL, d->config.agents[i].name);
	json_w_end_array(w);
}

/* What the others hold, in the words of their position. */
static void
result_dissent(struct debate *d, struct json_w *w, const char *key)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++)
		if (result_is_on(d, (int)i, RESULT_DISSENT))
			json_w_str(w, NULL,
			    arena_printf(d->scratch, "%s: %s",
				d->config.agents[i].name,
				turn_position(d, (int)i)->content));
	json_w_end_array(w);
}

/* The same with what their ballots say. */
static void
result_dissent_report(struct debate *d, struct json_w *w, const char *key)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *ballot = result_ballot(d, (int)i);
		int choice = result_choice(d, (int)i);
		if (!result_is_on(d, (int)i, RESULT_DISSENT))
			continue;
		json_w_begin(w, NULL);
		json_w_str(w, "agent", d->config.agents[i].name);
		json_w_str(w, "position", turn_position(d, (int)i)->content);
		json_w_str(w, "choice",
		    choice >= 0 ? d->config.agents[choice].name : NULL);
		json_w_str(
		    w, "reasoning", ballot != NULL ? ballot->content : NULL);
		if (ballot != NULL)
			json_w_num(w, "confidence", turn_confidence(ballot));
		json_w_end(w);
	}
	json_w_end_array(w);
}

static const char *
result_settled_by(const struct debate *d)
{
	static const char *const names[] = {[CONSENSUS_BREAK_NONE] = NULL,
	    [CONSENSUS_BREAK_JUDGE] = "judge",
	    [CONSENSUS_BREAK_CONFIDENCE] = "confidence"};

	return names[d->outcome.settled_by];
}

void
result_consensus(
    struct debate *d, struct json_w *w, const char *key, const char *answer)
{
	json_w_begin(w, key);
	json_w_bool(w, "reached", debate_is_reached(d));
	json_w_num(
	    w, "agreement", (double)d->outcome.share_ppm / CONSENSUS_PPM);
	json_w_num(w, "confidence", debate_confidence(d));
	json_w_str(w, "final_answer", answer);
	json_w_str(w, "conclusion", answer);
	json_w_str(w, "method", debate_rule_name(d->config.rule));
	json_w_str(w, "strength", consensus_strength(&d->outcome));
	json_w_num(w, "margin", (double)d->outcome.margin_ppm / CONSENSUS_PPM);
	json_w_bool(w, "tie", d->outcome.is_tie);
	json_w_str(w, "tie_settled_by", result_settled_by(d));
	json_w_int(w, "ballots", d->outcome.valid);
	json_w_int(w, "abstentions", d->outcome.abstained);
	result_names(d, w, "supporting_agents", RESULT_SUPPORT);
	result_names(d, w, "dissenting_agents", RESULT_DISSENT);
	result_names(d, w, "abstaining_agents", RESULT_ABSTENTION);
	result_dissent(d, w, "dissent");
	result_dissent_report(d, w, "dissent_report");
	json_w_end(w);
}

/* ---- similarity ---- */

static int
result_word_order(const void *x, const void *y)
{
	const uint64_t *a = x;
	const uint64_t *b = y;

	return *a < *b ? -1 : *a > *b;
}

/* The hashes of the first words, sorted, each once: however a text repeats
 * itself or its hashes meet, the cost is that of sorting. */
static size_t
result_words(const char *text, uint64_t *out)
{
	size_t n = 0;
	size_t kept = 0;

	while (*text != '\0' && n < RESULT_WORDS_MAX) {
		char word[64];
		size_t len = 0;
		while (*text != '\0' && !str_is_alnum(*text) &&
		    (unsigned char)*text < 0x80)
			text++;
		for (; str_is_alnum(*text) || (unsigned char)*text >= 0x80;
		     text++)
			if (len < sizeof(word))
				word[len++] = str_lower(*text);
		if (len > 0)
			out[n++] = str_hash(word, len, 0);
	}
	qsort(out, n, sizeof(*out), result_word_order);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || out[kept - 1] != out[i])
			out[kept++] = out[i];
	return kept;
}

int64_t
text_similarity_ppm(const char *a, const char *b)
{
	uint64_t *words = mem_array(2 * RESULT_WORDS_MAX, sizeof(*words));
	uint64_t *others = words + RESULT_WORDS_MAX;
	size_t n = result_words(a, words);
	size_t m = result_words(b, others);
	size_t common = 0;

	for (size_t i = 0, k = 0; i < n && k < m;) {
		common += words[i] == others[k];
		if (words[i] <= others[k])
			i++;
		else
			k++;
	}
	free(words);
	if (n + m == 0)
		return CONSENSUS_PPM;
	return (int64_t)common * CONSENSUS_PPM / (int64_t)(n + m - common);
}

int64_t
debate_similarity_ppm(const struct debate *d, int64_t *lowest)
{
	int64_t sum = 0;
	int64_t n = 0;

	*lowest = CONSENSUS_PPM;
	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *now = turn_position(d, (int)i);
		const struct turn *then =
		    turn_position_before(d, (int)i, d->round);
		if (now == NULL || then == NULL)
			continue;
		int64_t s = text_similarity_ppm(now->content, then->content);
		sum += s;
		n++;
		if (s < *lowest)
			*lowest = s;
	}
	if (n == 0)
		*lowest = 0;
	return n > 0 ? sum / n : 0;
}

const char *
result_write(struct debate *d, int64_t now_us)
{
	const char *answer = debate_answer(d);
	int64_t lowest;
	struct buf b;
	struct json_w w;

	buf_init(&b, 16u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "final_answer", answer);
	json_w_str(&w, "winner",
	    d->outcome.winner >= 0 ? d->config.agents[d->outcome.winner].name
				   : NULL);
	result_consensus(d, &w, "consensus", answer);
	json_w_num(&w, "convergence_similarity",
	    (double)debate_similarity_ppm(d, &lowest) / CONSENSUS_PPM);
	json_w_str(&w, "convergence_status",
	    d->round < 2	   ? "unknown"
		: lowest >= 850000 ? "converged"
		: lowest < 400000  ? "diverging"
				   : "refining");
	json_w_int(&w, "rounds_used", d->round);
	json_w_int(&w, "ended_us", now_us); /* for debate_replay */
	json_w_end(&w);
	const char *text = arena_strdup(d->scratch, buf_text(&b));
	buf_release(&b);
	return text;
}
