/* SPDX-License-Identifier: MIT
 *
 * The data of every stored event, in one place (contract 9.6). The envelope
 * puts debate_id, round and agent in front.
 */
#include <string.h>

#include "base/str.h"
#include "debate/audience.h"
#include "debate/convergence.h"
#include "debate/engine.h"
#include "debate/view.h"

struct event_data {
	struct buf buf;
	struct json_w w;
};

static struct json_w *
event_data_begin(struct event_data *e)
{
	buf_init(&e->buf, 16u << 20);
	json_w_init(&e->w, &e->buf);
	json_w_begin(&e->w, NULL);
	return &e->w;
}

static size_t
event_data_end(struct debate *d, struct event_data *e, enum event_type type,
    const char *agent)
{
	json_w_end(&e->w);
	const char *text = arena_strdup(d->scratch, buf_text(&e->buf));
	buf_release(&e->buf);
	return output_event(d, type, d->round, agent, text);
}

static const char *
event_agent(const struct debate *d, int seat)
{
	return seat >= 0 ? d->config.agents[seat].name : NULL;
}

static void
event_agents(struct debate *d, struct json_w *w)
{
	json_w_begin_array(w, "agents");
	for (size_t i = 0; i < d->config.n_agents; i++)
		json_w_str(w, NULL, event_agent(d, (int)i));
	json_w_end_array(w);
}

void
event_debate_start(struct debate *d, int64_t now_us)
{
	struct event_data e;
	struct json_w *w = event_data_begin(&e);

	json_w_str(w, "task", d->config.task);
	json_w_str(w, "topic", d->config.task);
	event_agents(d, w);
	json_w_int(w, "total_rounds", d->config.rounds);
	json_w_int(w, "rounds", d->config.rounds);
	json_w_str(w, "protocol", debate_protocol_name(d->config.protocol));
	json_w_str(w, "consensus", debate_rule_name(d->config.rule));
	json_w_str(w, "mode", "full");
	json_w_str(w, "status", "in_progress");
	json_w_time(w, "started_at", now_us);
	event_data_end(d, &e, EVENT_DEBATE_START, NULL);
}

void
event_round(struct debate *d, bool is_start)
{
	struct event_data e;
	struct json_w *w = event_data_begin(&e);

	json_w_int(w, "total_rounds", d->config.rounds);
	event_data_end(
	    d, &e, is_start ? EVENT_ROUND_START : EVENT_ROUND_END, NULL);
}

void
event_phase(struct debate *d, enum debate_phase from)
{
	struct event_data e;
	struct json_w *w = event_data_begin(&e);

	json_w_str(w, "phase", debate_phase_name(d->phase));
	json_w_str(w, "from_phase", debate_phase_name(from));
	json_w_str(w, "to_phase", debate_phase_name(d->phase));
	event_data_end(d, &e, EVENT_PHASE_CHANGE, NULL);
}

/* Embeddings are nobody's words, and what people said no agent's. */
static const char *
event_speaker(const struct debate *d, const struct turn *t)
{
	bool is_nobody = t->task == LLM_EMBED || t->task == LLM_AUDIENCE;

	return is_nobody ? NULL : event_agent(d, t->agent);
}

static void
event_error(struct debate *d, struct turn *t)
{
	struct event_data e;
	struct json_w *w = event_data_begin(&e);
	size_t kind = strcspn(t->error, ":");

	json_w_strn(w, "error_type", t->error, kind);
	json_w_str(w, "message", t->error);
	json_w_bool(w, "recoverable", true);
	json_w_str(w, "phase", debate_phase_name(t->phase));
	json_w_str(w, "target", event_agent(d, t->target));
	output_turn(d, t,
	    event_data_end(d, &e, EVENT_AGENT_ERROR, event_speaker(d, t)));
}

static enum event_type
event_message(struct debate *d UNUSED, struct turn *t, struct json_w *w)
{
	double confidence = turn_confidence(t);

	json_w_str(w, "role", "proposer");
	json_w_str(w, "content", t->content);
	json_w_num(w, "confidence", confidence);
	json_w_num(w, "confidence_score", confidence);
	json_w_str(w, "phase", debate_phase_name(t->phase));
	return EVENT_AGENT_MESSAGE;
}

static const char *
event_severity_label(double severity)
{
	return severity < 4 ? "minor" : severity < 7 ? "moderate" : "major";
}

static enum event_type
event_critique(struct debate *d, struct turn *t, struct json_w *w)
{
	double severity = json_get_num(t->parsed, "severity", 5);

	json_w_str(w, "critic", event_agent(d, t->agent));
	json_w_str(w, "target", event_agent(d, t->target));
	json_w_str(w, "target_agent", event_agent(d, t->target));
	json_w_str(w, "content", t->content);
	json_w_str(w, "critique", t->content);
	json_w_json(w, "issues", json_get(t->parsed, "issues"));
	json_w_json(w, "suggestions", json_get(t->parsed, "suggestions"));
	json_w_num(w, "severity", severity);
	json_w_str(w, "severity_label", event_severity_label(severity));
	json_w_num(w, "score", 1 - severity / 10);
	json_w_bool(w, "fatal", json_get_bool(t->parsed, "fatal", false));
	json_w_str(w, "quote", json_get_str(t->parsed, "quote", ""));
	return EVENT_CRITIQUE;
}

static enum event_type
event_revision(struct debate *d, struct turn *t, struct json_w *w)
{
	const struct turn *before =
	    turn_position_seen(d, t->agent, t->round, t->phase);

	json_w_str(w, "content", t->content);
	json_w_str(w, "revised", t->content);
	json_w_str(w, "original", before != NULL ? before->content : "");
	json_w_str(
	    w, "original_content", before != NULL ? before->content : "");
	json_w_bool(w, "changed", json_get_bool(t->parsed, "changed", true));
	json_w_str(w, "why", json_get_str(t->parsed, "why", ""));
	json_w_num(w, "confidence", turn_confidence(t));
	return EVENT_REVISION;
}

static enum event_type
event_vote(struct debate *d UNUSED, struct turn *t, struct json_w *w)
{
	const char *choice = json_get_str(t->parsed, "choice", NULL);

	json_w_str(w, "vote", choice != NULL ? choice : "");
	json_w_str(w, "choice", choice != NULL ? choice : "");
	json_w_bool(w, "abstained", choice == NULL);
	if (json_len(json_get(t->parsed, "ranking")) > 0)
		json_w_json(w, "ranking", json_get(t->parsed, "ranking"));
	json_w_num(w, "confidence", turn_confidence(t));
	json_w_str(w, "reasoning", t->content);
	json_w_bool(w, "continue_debate",
	    json_get_bool(t->parsed, "continue_debate", false));
	return EVENT_VOTE;
}

/* The judge speaks as an agent; its ruling is the consensus event. */
static enum event_type
event_judgement(struct debate *d UNUSED, struct turn *t, struct json_w *w)
{
	json_w_str(w, "role", "judge");
	json_w_str(w, "content", t->content);
	json_w_num(w, "confidence", turn_confidence(t));
	json_w_num(w, "confidence_score", turn_confidence(t));
	json_w_str(w, "phase", debate_phase_name(t->phase));
	return EVENT_AGENT_MESSAGE;
}

static enum event_type
event_synthesis(struct debate *d, struct turn *t, struct json_w *w)
{
	json_w_str(w, "content", t->content);
	json_w_str(w, "synthesis", t->content);
	json_w_num(w, "confidence", debate_confidence(d));
	json_w_begin_array(w, "sources");
	json_w_end_array(w);
	return EVENT_SYNTHESIS;
}

static enum event_type
event_progress(struct debate *d UNUSED, struct turn *t, struct json_w *w)
{
	json_w_str(w, "phase", debate_phase_name(t->phase));
	json_w_int(w, "completed", 1);
	json_w_int(w, "total", 1);
	json_w_str(w, "model", json_get_str(t->parsed, "model", ""));
	return EVENT_PHASE_PROGRESS;
}

static enum event_type
event_audience(struct debate *d, struct turn *t, struct json_w *w)
{
	audience_summary(d, t->parsed, w);
	return EVENT_AUDIENCE_SUMMARY;
}

void
event_turn(struct debate *d, struct turn *t)
{
	static enum event_type (*const writers[LLM_TASK__COUNT])(
	    struct debate *, struct turn *, struct json_w *) = {
	    [LLM_PROPOSE] = event_message,
	    [LLM_CRITIQUE] = event_critique,
	    [LLM_REVISE] = event_revision,
	    [LLM_VOTE] = event_vote,
	    [LLM_JUDGE] = event_judgement,
	    [LLM_SYNTHESIS] = event_synthesis,
	    [LLM_EMBED] = event_progress,
	    [LLM_AUDIENCE] = event_audience};
	struct event_data e;

	if (t->is_failed) {
		event_error(d, t);
		return;
	}
	/* Nobody spoke: the turn goes with the event that follows. */
	if (t->task == LLM_AUDIENCE && audience_inputs(t->parsed) == 0) {
		output_turn(d, t, d->out->transition.n_events + 1);
		return;
	}
	struct json_w *w = event_data_begin(&e);
	enum event_type type = writers[t->task](d, t, w);
	output_turn(d, t, event_data_end(d, &e, type, event_speaker(d, t)));
}

static void
event_similarity(struct json_w *w, const char *key, int64_t ppm)
{
	json_w_num(w, key, (double)ppm / CONSENSUS_PPM);
}

static void
event_similarities(
    struct debate *d, const struct convergence *c, struct json_w *w)
{
	json_w_begin(w, "per_agent");
	for (size_t i = 0; i < c->n; i++)
		if (c->own_ppm[i] >= 0)
			event_similarity(
			    w, event_agent(d, (int)i), c->own_ppm[i]);
	json_w_end(w);
	json_w_begin_array(w, "between");
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = i + 1; k < c->n; k++) {
			if (c->pair_ppm[i * c->n + k] < 0)
				continue;
			json_w_begin(w, NULL);
			json_w_begin_array(w, "agents");
			json_w_str(w, NULL, event_agent(d, (int)i));
			json_w_str(w, NULL, event_agent(d, (int)k));
			json_w_end_array(w);
			event_similarity(
			    w, "similarity", c->pair_ppm[i * c->n + k]);
			json_w_end(w);
		}
	json_w_end_array(w);
}

static void
event_seats(struct debate *d, struct json_w *w, const char *key, size_t n,
    const bool *list)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		if (list[i])
			json_w_str(w, NULL, event_agent(d, (int)i));
	json_w_end_array(w);
}

void
event_convergence(struct debate *d)
{
	const struct convergence *c = convergence_of(d);
	struct event_data e;
	struct json_w *w = event_data_begin(&e);

	json_w_str(w, "status", convergence_status(d, c));
	event_similarity(w, "similarity", c->mean_ppm);
	event_similarity(w, "lowest", c->lowest_ppm);
	event_similarity(w, "agreement", c->pair_mean_ppm);
	event_similarities(d, c, w);
	/* Who holds the position of before, by both signals; whose text is
	 * like it and says the contrary. */
	event_seats(d, w, "held", c->n, c->is_held);
	event_seats(d, w, "flipped", c->n, c->has_flipped);
	json_w_bool(w, "fatal", c->is_fatal);
	json_w_bool(w, "settled", c->is_settled);
	json_w_str(w, "model", c->model);
	event_data_end(d, &e, EVENT_CONVERGENCE, NULL);
}

/* "consensus", and "consensus_reached" when it was. */
void
event_consensus(struct debate *d)
{
	struct event_data e;
	struct json_w *w = event_data_begin(&e);
	bool is_reached = debate_is_reached(d);
	const char *answer = debate_answer(d);
	double confidence = debate_confidence(d);
	const char *method = debate_rule_name(d->config.rule);

	json_w_bool(w, "reached", is_reached);
	json_w_num(w, "confidence", confidence);
	json_w_num(
	    w, "agreement", (double)d->outcome.share_ppm / CONSENSUS_PPM);
	json_w_str(w, "answer", answer);
	json_w_str(w, "result", answer);
	json_w_str(w, "final_answer", answer);
	json_w_str(w, "conclusion", answer);
	json_w_str(w, "method", method);
	json_w_str(w, "winner", event_agent(d, d->outcome.winner));
	json_w_str(w, "status",
	    is_reached			 ? "consensus"
		: !d->outcome.is_quorate ? "insufficient_participation"
		: d->outcome.is_tie	 ? "tie"
					 : "no_consensus");
	result_consensus(d, w, "consensus", answer);
	event_data_end(d, &e, EVENT_CONSENSUS, NULL);
	if (!is_reached)
		return;

	w = event_data_begin(&e);
	json_w_str(w, "result", answer);
	json_w_num(w, "confidence", confidence);
	json_w_int(w, "final_round", d->round);
	json_w_str(w, "method", method);
	result_consensus(d, w, "consensus", answer);
	event_data_end(d, &e, EVENT_CONSENSUS_REACHED, NULL);
}

/* debate_end holds the debate object; build the row it is written from. */
void
event_end(struct debate *d, enum store_status status, const char *error,
    int64_t now_us)
{
	struct store_transition *t = &d->out->transition;
	struct store_debate row = {.id = d->id,
	    .slug = d->id,
	    .task = d->config.task,
	    .config = debate_config_write(d->scratch, &d->config),
	    .status = status,
	    .phase = debate_phase_name(DEBATE_DONE),
	    .round = d->round,
	    .total_rounds = d->config.rounds,
	    .result = t->result,
	    .error = error,
	    .confidence = t->confidence,
	    .consensus_reached = t->consensus_reached,
	    .created_us = d->started_us,
	    .updated_us = now_us,
	    .started_us = d->started_us,
	    .completed_us = now_us};

	output_event(d, EVENT_DEBATE_END, 0, NULL,
	    debate_end_data(d->scratch, &row, NULL, 0,
		store_status_name(status), error, now_us));
}
