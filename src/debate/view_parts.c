/* SPDX-License-Identifier: MIT
 *
 * One side of a debate by itself: what the routes under /debates/{id}/ show
 * (contract 2.4 and 4.2).
 */
#include "debate/view_impl.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"

#define PART_POINTS	5   /* entries of a list in a summary */
#define PART_LINE	240 /* bytes of one of them */
#define PART_GRAVE	7   /* severity of 10 from which it is a caveat */
#define PART_STUCK_FROM 2   /* rounds before anybody can be stuck */

static size_t
part_count(const struct view *v, const char *phase)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += view_is_phase(&v->turns[i], phase);
	return n;
}

static void
part_rounds(struct view *v)
{
	json_w_begin_array(v->w, "rounds");
	for (int64_t r = 1; r <= v->row->round; r++)
		view_round(v, r);
	json_w_end_array(v->w);
	json_w_int(v->w, "total", v->row->round);
}

static void
part_votes(struct view *v)
{
	view_turns(v, "votes", "vote", view_vote);
	json_w_int(v->w, "total", (int64_t)part_count(v, "vote"));
}

static void
part_critiques(struct view *v)
{
	view_turns(v, "critiques", "critique", view_critique);
	json_w_int(v->w, "total", (int64_t)part_count(v, "critique"));
}

/* A seat's own words: embeddings and what people said are put down to one. */
static bool
part_is_spoken(const struct store_turn *t)
{
	return debate_view_is_message(t) || view_is_phase(t, "critique") ||
	    view_is_phase(t, "vote");
}

static void
part_agent(struct view *v, const struct json *agent)
{
	const char *name = json_get_str(agent, "name", "");
	const char *role = json_get_str(agent, "role", "");
	int64_t contributions = 0;

	for (size_t i = 0; i < v->n; i++)
		contributions += part_is_spoken(&v->turns[i]) &&
		    str_eq(v->turns[i].agent, name);
	json_w_begin(v->w, NULL);
	json_w_str(v->w, "name", name);
	json_w_str(v->w, "role", role[0] != '\0' ? role : "proposer");
	json_w_str(v->w, "provider", json_get_str(agent, "type", ""));
	json_w_str(v->w, "model", json_get_str(agent, "model", ""));
	json_w_int(v->w, "contributions", contributions);
	json_w_end(v->w);
}

static void
part_agents(struct view *v)
{
	const struct json *agents = json_get(v->config, "agents");

	json_w_begin_array(v->w, "agents");
	for (size_t i = 0; i < json_len(agents); i++)
		part_agent(v, json_at(agents, i));
	json_w_end_array(v->w);
	json_w_int(v->w, "total", (int64_t)json_len(agents));
}

/* ---- summary ---- */

/* Length of the first sentence or line of a text, at most PART_LINE bytes and
 * whole characters. */
static size_t
part_sentence(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0' && text[n] != '\n') {
		bool is_stop = strchr(".!?", text[n]) != NULL;
		n++;
		if (is_stop &&
		    (isspace((unsigned char)text[n]) || text[n] == '\0'))
			break;
	}
	if (n > PART_LINE)
		n = PART_LINE;
	while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* After marks of lists and headings, and white space. */
static const char *
part_skip(const char *p)
{
	while (*p != '\0' &&
	    (isspace((unsigned char)*p) || strchr("-*#>", *p) != NULL))
		p++;
	return p;
}

/* The first sentences of a text: its points. */
static void
part_points(struct json_w *w, const char *key, const char *text)
{
	json_w_begin_array(w, key);
	for (int i = 0; i < PART_POINTS; i++) {
		text = part_skip(text);
		size_t n = part_sentence(text);
		if (n == 0)
			break;
		json_w_strn(w, NULL, text, n);
		text += n;
		while (*text != '\0' && !isspace((unsigned char)*text))
			text++;
	}
	json_w_end_array(w);
}

static void
part_line(struct json_w *w, const char *key, const char *text)
{
	text = part_skip(text);
	json_w_strn(w, key, text, part_sentence(text));
}

static const char *
part_winner(const struct view *v)
{
	return json_get_str(v->result, "winner", NULL);
}

/* Entries of the critiques of the winner in the last round: what is left to
 * be done, or (grave ones) what to beware of. */
static void
part_open(struct view *v, const char *key, const char *member, double severity)
{
	const char *winner = part_winner(v);
	int left = PART_POINTS;

	json_w_begin_array(v->w, key);
	for (size_t i = 0; i < v->n && winner != NULL; i++) {
		const struct store_turn *t = &v->turns[i];
		if (!view_is_phase(t, "critique") ||
		    t->round != v->row->round || !str_eq(t->target, winner))
			continue;
		const struct json *p = view_json(v->a, t->parsed);
		const struct json *list = json_get(p, member);
		if (json_get_num(p, "severity", 0) < severity)
			continue;
		for (size_t k = 0; k < json_len(list) && left > 0; k++) {
			const char *text = json_str(json_at(list, k), NULL);
			if (text == NULL)
				continue;
			part_line(v->w, NULL, text);
			left--;
		}
	}
	json_w_end_array(v->w);
}

/* Texts of an array, cut to lines; with `name` those are names. */
static void
part_lines(struct json_w *w, const char *key, const struct json *list)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < json_len(list) && i < PART_POINTS; i++) {
		const char *text = json_str(json_at(list, i), NULL);
		if (text != NULL)
			part_line(w, NULL, text);
	}
	json_w_end_array(w);
}

static void
part_agreement(struct view *v, const struct json *consensus)
{
	const struct json *names = json_get(consensus, "supporting_agents");
	const char *answer = json_get_str(v->result, "final_answer", "");

	json_w_begin_array(v->w, "agreement_areas");
	if (json_len(names) > 1)
		part_line(v->w, NULL, answer);
	json_w_end_array(v->w);
}

static const char *
part_label(double confidence)
{
	return confidence >= 0.8 ? "high"
	    : confidence >= 0.6	 ? "medium"
				 : "low";
}

static void
part_summary(struct view *v, int64_t now_us)
{
	const struct json *c = json_get(v->result, "consensus");
	const struct store_debate *row = v->row;
	const char *answer = json_get_str(v->result, "final_answer", "");
	int64_t end = row->completed_us > 0 ? row->completed_us : now_us;
	struct json_w *w = v->w;

	json_w_str(w, "task", row->task);
	json_w_str(w, "status", store_status_name(row->status));
	json_w_begin(w, "summary");
	part_line(w, "one_liner", answer);
	part_points(w, "key_points", answer);
	part_agreement(v, c);
	part_lines(w, "disagreement_areas", json_get(c, "dissent"));
	json_w_num(w, "confidence", row->confidence);
	json_w_str(w, "confidence_label", part_label(row->confidence));
	json_w_str(
	    w, "consensus_strength", json_get_str(c, "strength", "none"));
	part_open(v, "next_steps", "suggestions", 0);
	part_open(v, "caveats", "issues", PART_GRAVE);
	json_w_int(w, "rounds_used", row->round);
	json_w_int(w, "agents_participated",
	    (int64_t)json_len(json_get(v->config, "agents")));
	json_w_num(w, "duration_seconds",
	    row->started_us > 0 ? (double)(end - row->started_us) / 1e6 : 0);
	json_w_end(w);
	json_w_bool(w, "consensus_reached", row->consensus_reached);
	json_w_str(w, "verdict", answer);
	json_w_num(w, "confidence", row->confidence);
	part_points(w, "key_points", answer);
	part_lines(w, "dissenting_views", json_get(c, "dissent"));
	json_w_num(w, "evidence_quality", 0);
	json_w_time(w, "generated_at", end);
}

/* ---- impasse ---- */

enum part_sign { PART_SPLIT, PART_DIVERGING, PART_GRAVE_OPEN, PART__SIGNS };

static bool
part_has_grave(const struct view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct store_turn *t = &v->turns[i];
		if (view_is_phase(t, "critique") && t->round == v->row->round &&
		    json_get_num(view_json(v->a, t->parsed), "severity", 0) >=
			PART_GRAVE)
			return true;
	}
	return false;
}

/* Nobody gives way: a debate that ended without a consensus, texts that move
 * apart, grave objections still open. Two of three are an impasse. */
static void
part_impasse(struct view *v)
{
	static const struct {
		const char *name, *advice;
	} signs[] = {[PART_SPLIT] = {"no_consensus", "ask a judge to decide"},
	    [PART_DIVERGING] = {"diverging", "narrow the question"},
	    [PART_GRAVE_OPEN] = {
		"grave_critiques", "have the open objections answered"}};
	const char *drift =
	    json_get_str(v->result, "convergence_status", "unknown");
	const struct store_debate *row = v->row;
	bool is_late = row->round >= PART_STUCK_FROM;
	bool is_on[PART__SIGNS] = {
	    [PART_SPLIT] =
		row->status == STORE_COMPLETED && !row->consensus_reached,
	    [PART_DIVERGING] = is_late && str_eq(drift, "diverging"),
	    [PART_GRAVE_OPEN] = is_late && part_has_grave(v)};
	const char *reason = NULL, *advice = NULL;
	int n = 0;

	json_w_begin(v->w, "indicators");
	for (int i = 0; i < PART__SIGNS; i++) {
		json_w_bool(v->w, signs[i].name, is_on[i]);
		if (is_on[i] && n++ == 0) {
			reason = signs[i].name;
			advice = signs[i].advice;
		}
	}
	json_w_end(v->w);
	bool is_stuck = n > 1;
	json_w_bool(v->w, "is_impasse", is_stuck);
	json_w_num(v->w, "confidence", (double)n / PART__SIGNS);
	json_w_str(v->w, "reason", is_stuck ? reason : NULL);
	if (is_stuck)
		json_w_int(v->w, "stuck_since_round", row->round);
	else
		json_w_null(v->w, "stuck_since_round");
	json_w_str(v->w, "suggested_intervention", is_stuck ? advice : NULL);
}

void
debate_view_part(struct json_w *w, struct arena *a, enum debate_view_part part,
    const struct store_debate *row, const struct store_turn *turns, size_t n,
    int64_t now_us)
{
	struct view v = view_of(w, a, row, turns, n);

	json_w_str(w, "debate_id", row->id);
	switch (part) {
	case DEBATE_PART_ROUNDS:
		part_rounds(&v);
		break;
	case DEBATE_PART_AGENTS:
		part_agents(&v);
		break;
	case DEBATE_PART_VOTES:
		part_votes(&v);
		break;
	case DEBATE_PART_CRITIQUES:
		part_critiques(&v);
		break;
	case DEBATE_PART_CONSENSUS:
		view_consensus_members(&v);
		break;
	case DEBATE_PART_POSITIONS:
		debate_view_positions(w, "positions", v.turns, v.n);
		break;
	case DEBATE_PART_SUMMARY:
		part_summary(&v, now_us);
		break;
	case DEBATE_PART_IMPASSE:
		part_impasse(&v);
		break;
	case DEBATE_PART__COUNT:
		break;
	}
}
