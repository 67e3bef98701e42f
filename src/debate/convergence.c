/* SPDX-License-Identifier: MIT */
#include "debate/convergence.h"

#include <string.h>

#include "base/str.h"
#include "debate/stance.h"
#include "llm/llm_embed.h"
#include "llm/vector.h"

#define CONVERGENCE_DIVERGING 400000 /* contract 11 */

/* While it is measured. */
struct measure {
	struct debate *d;
	struct arena *a; /* goes at the end */
	struct convergence *c;
	int now[CONSENSUS_OPTIONS_MAX]; /* places of the texts, -1 = none */
	int before[CONSENSUS_OPTIONS_MAX];
	size_t n_texts;
	const struct json *matrix;
	struct stance *stances[2 * CONSENSUS_OPTIONS_MAX];
	struct llm_block texts[2 * CONSENSUS_OPTIONS_MAX];
};

/* ---- the texts ---- */

static const struct turn *
convergence_before(const struct debate *d, int seat)
{
	return turn_position_seen(d, seat, d->round, DEBATE_REVISE);
}

static size_t
measure_places(const struct debate *d, int *now, int *before)
{
	int n = 0;

	for (size_t i = 0; i < d->config.n_agents; i++) {
		const struct turn *t = turn_position(d, (int)i);
		const struct turn *old = convergence_before(d, (int)i);
		now[i] = t != NULL ? n++ : -1;
		before[i] = old != NULL && old != t ? n++ : -1;
	}
	return (size_t)n;
}

size_t
convergence_texts(const struct debate *d, struct llm_block *list)
{
	int now[CONSENSUS_OPTIONS_MAX];
	int before[CONSENSUS_OPTIONS_MAX];
	size_t n = measure_places(d, now, before);

	for (int i = 0; i < (int)d->config.n_agents; i++) {
		if (now[i] >= 0)
			list[now[i]] = (struct llm_block){
			    .label = "", .text = turn_position(d, i)->content};
		if (before[i] >= 0)
			list[before[i]] = (struct llm_block){.label = "",
			    .text = convergence_before(d, i)->content};
	}
	return n;
}

/* ---- similarities ---- */

static const struct json *
measure_recorded(struct measure *m, const char **model)
{
	for (size_t i = 0; i < m->d->n_turns; i++) {
		const struct turn *t = m->d->turns[i];
		if (t->phase != DEBATE_EMBED || t->round != m->d->round ||
		    !turn_is_good(t))
			continue;
		const struct json *list = json_get(t->parsed, "similarity_ppm");
		if (json_len(list) != m->n_texts * (m->n_texts - 1) / 2)
			continue;
		*model = json_get_str(t->parsed, "model", "");
		return list;
	}
	return NULL;
}

/* Of the turn of this round, else of what the texts' words tell. */
static void
measure_matrix(struct measure *m)
{
	const char *model = VECTOR_HASH_MODEL;
	const struct json *j = NULL;

	m->matrix = m->n_texts > 1 ? measure_recorded(m, &model) : NULL;
	if (m->matrix == NULL && m->n_texts > 1) {
		const char *text = llm_embed_hashed(m->a, m->texts, m->n_texts);
		const struct json_limits limits = {.max_bytes = 16u << 20};
		if (json_parse(m->a, text, strlen(text), &limits, &j, NULL) ==
		    ERR_OK)
			m->matrix = json_get(j, "similarity_ppm");
	}
	m->c->model = arena_strdup(m->d->measured, model);
}

/* Less than nothing in common is nothing. */
static int64_t
measure_ppm(const struct measure *m, int x, int y)
{
	size_t i = (size_t)(x < y ? x : y);
	size_t k = (size_t)(x < y ? y : x);
	int64_t ppm = 0;

	/* Before row i stand the rows 0 to i-1. */
	json_int(
	    json_at(m->matrix, i * m->n_texts - i * (i + 1) / 2 + (k - i - 1)),
	    &ppm);
	return ppm < 0 ? 0 : ppm;
}

static bool
measure_contradicts(struct measure *m, int x, int y)
{
	const int both[] = {x, y};

	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (m->stances[both[i]] == NULL)
			m->stances[both[i]] =
			    stance_read(m->a, m->texts[both[i]].text);
	return stance_contradicts(m->stances[x], m->stances[y]);
}

/* ---- seats ---- */

static const struct turn *
measure_revision(const struct debate *d, int seat)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_REVISE &&
		    d->turns[i]->round == d->round &&
		    d->turns[i]->agent == seat && turn_is_good(d->turns[i]))
			return d->turns[i];
	return NULL;
}

static void
measure_seat(struct measure *m, int seat)
{
	struct convergence *c = m->c;
	const struct turn *revision = measure_revision(m->d, seat);

	c->own_ppm[seat] = -1;
	if (m->now[seat] < 0 || m->before[seat] < 0)
		return;
	int64_t ppm = measure_ppm(m, m->now[seat], m->before[seat]);
	c->own_ppm[seat] = ppm;
	c->has_flipped[seat] = ppm >= m->d->config.convergence_ppm &&
	    measure_contradicts(m, m->now[seat], m->before[seat]);
	c->is_held[seat] = revision != NULL &&
	    !json_get_bool(revision->parsed, "changed", true) &&
	    ppm >= m->d->config.convergence_ppm && !c->has_flipped[seat];
	c->n_revised += revision != NULL;
	c->n_held += c->is_held[seat];
	c->mean_ppm += ppm;
	if (c->n_own++ == 0 || ppm < c->lowest_ppm)
		c->lowest_ppm = ppm;
}

static void
measure_pair(struct measure *m, size_t i, size_t k)
{
	struct convergence *c = m->c;
	int64_t ppm = m->now[i] < 0 || m->now[k] < 0
	    ? -1
	    : measure_ppm(m, m->now[i], m->now[k]);

	c->pair_ppm[i * c->n + k] = ppm;
	c->pair_ppm[k * c->n + i] = ppm;
	if (ppm < 0)
		return;
	c->pair_mean_ppm += ppm;
	if (c->n_pairs++ == 0 || ppm < c->pair_lowest_ppm)
		c->pair_lowest_ppm = ppm;
}

/* ---- groups: who holds the same ---- */

enum measure_likeness { MEASURE_OTHER, MEASURE_ALIKE, MEASURE_SAME };

static enum measure_likeness
measure_likeness(struct measure *m, size_t i, size_t k)
{
	if (m->c->pair_ppm[i * m->c->n + k] < m->d->config.similarity_ppm ||
	    measure_contradicts(m, m->now[i], m->now[k]))
		return MEASURE_OTHER;
	return stance_is_same(m->stances[m->now[i]], m->stances[m->now[k]])
	    ? MEASURE_SAME
	    : MEASURE_ALIKE;
}

/* Each seat's group becomes the lowest seat that it is linked to, over as many
 * links as it takes. */
static void
measure_link(const enum measure_likeness *like, size_t n,
    enum measure_likeness least, int *group)
{
	bool is_moving = true;

	for (size_t i = 0; i < n; i++)
		group[i] = (int)i;
	while (is_moving) {
		is_moving = false;
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < n; k++)
				if (like[i * n + k] >= least &&
				    group[k] < group[i]) {
					group[i] = group[k];
					is_moving = true;
				}
	}
}

/* A chain of likenesses whose ends contradict each other says nothing, and
 * which link to cut would be a matter of order: only equal answers stay
 * together then. */
static void
measure_groups(struct measure *m)
{
	size_t n = m->c->n;
	int same[CONSENSUS_OPTIONS_MAX];
	bool is_torn[CONSENSUS_OPTIONS_MAX] = {false};
	enum measure_likeness *like =
	    ARENA_ARRAY(m->a, n * n + 1, enum measure_likeness);

	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (m->now[i] >= 0 && m->now[k] >= 0) {
				like[i * n + k] = measure_likeness(m, i, k);
				like[k * n + i] = like[i * n + k];
			}
	measure_link(like, n, MEASURE_ALIKE, m->c->group);
	measure_link(like, n, MEASURE_SAME, same);
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (m->c->group[i] == m->c->group[k] &&
			    like[i * n + k] == MEASURE_OTHER &&
			    measure_contradicts(m, m->now[i], m->now[k]))
				is_torn[m->c->group[i]] = true;
	for (size_t i = 0; i < n; i++)
		if (is_torn[m->c->group[i]])
			m->c->group[i] = same[i];
}

/* ---- all of it ---- */

static bool
measure_fatal(const struct debate *d)
{
	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_CRITIQUE &&
		    d->turns[i]->round == d->round &&
		    turn_is_good(d->turns[i]) &&
		    json_get_bool(d->turns[i]->parsed, "fatal", false))
			return true;
	return false;
}

static struct convergence *
measure_new(struct debate *d)
{
	size_t n = d->config.n_agents;

	arena_clear(d->measured);
	struct convergence *c = ARENA_NEW(d->measured, struct convergence);

	c->round = d->round;
	c->n = n;
	c->own_ppm = ARENA_ARRAY(d->measured, n, int64_t);
	c->pair_ppm = ARENA_ARRAY(d->measured, n * n, int64_t);
	c->is_held = ARENA_ARRAY(d->measured, n, bool);
	c->has_flipped = ARENA_ARRAY(d->measured, n, bool);
	c->group = ARENA_ARRAY(d->measured, n, int);
	return c;
}

static struct convergence *
measure(struct debate *d)
{
	struct measure m = {.d = d, .a = arena_new(0), .c = measure_new(d)};
	struct convergence *c = m.c;

	m.n_texts = measure_places(d, m.now, m.before);
	convergence_texts(d, m.texts);
	measure_matrix(&m);
	for (size_t i = 0; i < c->n; i++)
		measure_seat(&m, (int)i);
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = i + 1; k < c->n; k++)
			measure_pair(&m, i, k);
	measure_groups(&m);
	if (c->n_own > 0)
		c->mean_ppm /= (int64_t)c->n_own;
	if (c->n_pairs > 0)
		c->pair_mean_ppm /= (int64_t)c->n_pairs;
	c->is_fatal = measure_fatal(d);
	c->is_settled = c->n_revised > 0 && !c->is_fatal &&
	    (int64_t)c->n_held * CONSENSUS_PPM >=
		(int64_t)c->n_revised * d->config.early_exit_ppm;
	arena_free(&m.a);
	return c;
}

const struct convergence *
convergence_of(struct debate *d)
{
	/* Until the round's last revision is in, each answer changes it. */
	bool is_final = d->phase > DEBATE_EMBED ||
	    ((d->phase == DEBATE_REVISE || d->phase == DEBATE_EMBED) &&
		step_is_complete(d));

	if (d->convergence != NULL && d->convergence->round == d->round)
		return d->convergence;
	d->convergence = NULL;
	struct convergence *c = measure(d);
	if (is_final &&
	    (d->phase != DEBATE_REVISE || d->config.embedder == NULL))
		d->convergence = c;
	return c;
}

const char *
convergence_status(const struct debate *d, const struct convergence *c)
{
	bool has_flipped = false;

	if (c->n_own == 0)
		return "unknown";
	if (c->lowest_ppm < CONVERGENCE_DIVERGING)
		return "diverging";
	for (size_t i = 0; i < c->n; i++)
		has_flipped = has_flipped || c->has_flipped[i];
	return c->lowest_ppm >= d->config.convergence_ppm && !has_flipped
	    ? "converged"
	    : "refining";
}

/* ---- the debate among others ---- */

const char *
convergence_topic(struct debate *d)
{
	const char *answer = debate_answer(d);

	return arena_printf(d->scratch, "%s\n\n%s", d->config.task,
	    answer != NULL ? answer : "");
}

void
convergence_vector(struct debate *d, struct store_vector *out)
{
	const struct llm_block topic = {
	    .label = "", .text = convergence_topic(d)};
	const struct json *j = NULL;

	for (size_t i = 0; i < d->n_turns; i++)
		if (d->turns[i]->phase == DEBATE_INDEX &&
		    turn_is_good(d->turns[i]))
			j = d->turns[i]->parsed;
	if (json_get_str(j, "vector", NULL) == NULL) {
		const char *text = llm_embed_hashed(d->scratch, &topic, 1);
		if (json_parse(d->scratch, text, strlen(text), NULL, &j,
			NULL) != ERR_OK)
			return;
	}
	*out = (struct store_vector){.model = json_get_str(j, "model", NULL),
	    .dimension = json_get_int(j, "dimension", 0),
	    .data = json_get_str(j, "vector", NULL)};
}
