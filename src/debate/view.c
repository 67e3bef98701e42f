/* SPDX-License-Identifier: MIT
 *
 * The debate object of the contract (2.1): every field that any client reads,
 * with one meaning each.
 */
#include "debate/view_impl.h"

#include <string.h>

#include "base/str.h"
#include "base/trace.h"
#include "debate/config.h"

const struct json *
view_json(struct arena *a, const char *text)
{
	const struct json_limits limits = {
	    .max_bytes = 16u << 20, .max_depth = 60};
	const struct json *j = NULL;

	if (text == NULL ||
	    json_parse(a, text, strlen(text), &limits, &j, NULL) != ERR_OK)
		return NULL;
	return j;
}

bool
view_is_phase(const struct store_turn *t, const char *phase)
{
	return t->state == STORE_TURN_DONE && str_eq(t->phase, phase);
}

bool
debate_view_is_message(const struct store_turn *t)
{
	return view_is_phase(t, "propose") || view_is_phase(t, "revise") ||
	    view_is_phase(t, "synthesis") || view_is_phase(t, "consensus");
}

void
debate_view_message(
    struct json_w *w, const struct store_turn *turn, int64_t index)
{
	json_w_begin(w, NULL);
	json_w_int(w, "index", index);
	json_w_str(w, "role", turn->role);
	json_w_str(w, "agent", turn->agent);
	json_w_str(w, "name", turn->agent);
	json_w_str(w, "content", turn->content != NULL ? turn->content : "");
	json_w_int(w, "round", turn->round);
	json_w_str(w, "phase", turn->phase);
	json_w_time(w, "timestamp", turn->finished_us);
	json_w_end(w);
}

void
view_critique(struct view *v, const struct store_turn *t)
{
	const struct json *p = view_json(v->a, t->parsed);
	struct json_w *w = v->w;
	const char *content = t->content != NULL ? t->content : "";

	json_w_begin(w, NULL);
	json_w_str(w, "agent", t->agent);
	json_w_str(w, "critic", t->agent);
	json_w_str(w, "target_agent", t->target);
	json_w_str(w, "target", t->target);
	json_w_json(w, "issues", json_get(p, "issues"));
	json_w_json(w, "suggestions", json_get(p, "suggestions"));
	json_w_num(w, "severity", json_get_num(p, "severity", 5));
	json_w_str(w, "quote", json_get_str(p, "quote", ""));
	json_w_str(w, "reasoning", content);
	json_w_str(w, "content", content);
	json_w_int(w, "round", t->round);
	json_w_time(w, "timestamp", t->finished_us);
	json_w_end(w);
}

void
view_vote(struct view *v, const struct store_turn *t)
{
	const struct json *p = view_json(v->a, t->parsed);
	struct json_w *w = v->w;
	const char *choice = json_get_str(p, "choice", "");

	json_w_begin(w, NULL);
	json_w_str(w, "agent", t->agent);
	json_w_str(w, "choice", choice);
	json_w_str(w, "position", choice);
	json_w_str(w, "reasoning", t->content != NULL ? t->content : "");
	json_w_num(w, "confidence", json_get_num(p, "confidence", 0.5));
	json_w_bool(
	    w, "continue_debate", json_get_bool(p, "continue_debate", false));
	json_w_int(w, "round", t->round);
	json_w_num(w, "weight", 1);
	json_w_time(w, "timestamp", t->finished_us);
	json_w_end(w);
}

/* The turns of one kind as an array. */
void
view_turns(struct view *v, const char *key, const char *phase,
    void (*write)(struct view *v, const struct store_turn *t))
{
	json_w_begin_array(v->w, key);
	for (size_t i = 0; i < v->n; i++)
		if (view_is_phase(&v->turns[i], phase))
			write(v, &v->turns[i]);
	json_w_end_array(v->w);
}

static void
view_messages(struct view *v, const char *key, int64_t round)
{
	int64_t index = 0;

	json_w_begin_array(v->w, key);
	for (size_t i = 0; i < v->n; i++) {
		if (!debate_view_is_message(&v->turns[i]))
			continue;
		if (round == 0 || v->turns[i].round == round)
			debate_view_message(v->w, &v->turns[i], index);
		index++;
	}
	json_w_end_array(v->w);
}

static bool
view_is_position(const struct store_turn *t)
{
	return view_is_phase(t, "propose") || view_is_phase(t, "revise");
}

void
debate_view_positions(
    struct json_w *w, const char *key, const struct store_turn *turns, size_t n)
{
	json_w_begin(w, key);
	for (size_t i = 0; i < n; i++) {
		const struct store_turn *t = &turns[i];
		bool is_newest = view_is_position(t);
		for (size_t k = i + 1; is_newest && k < n; k++)
			is_newest = !str_eq(turns[k].agent, t->agent) ||
			    !view_is_position(&turns[k]);
		if (is_newest)
			json_w_str(w, t->agent, t->content);
	}
	json_w_end(w);
}

void
view_round(struct view *v, int64_t round)
{
	struct json_w *w = v->w;
	int64_t started = 0;
	int64_t ended = 0;

	for (size_t i = 0; i < v->n; i++) {
		const struct store_turn *t = &v->turns[i];
		if (t->round != round)
			continue;
		if (started == 0 || t->started_us < started)
			started = t->started_us;
		if (t->finished_us > ended)
			ended = t->finished_us;
	}
	bool is_over =
	    round < v->row->round || store_status_is_final(v->row->status);
	json_w_begin(w, NULL);
	json_w_int(w, "round_number", round);
	json_w_int(w, "number", round);
	json_w_str(w, "status", is_over ? "completed" : "running");
	json_w_time(w, "started_at", started);
	json_w_time(w, "ended_at", is_over ? ended : 0);
	json_w_begin_array(w, "proposals");
	for (size_t i = 0; i < v->n; i++)
		if (v->turns[i].round == round &&
		    (view_is_phase(&v->turns[i], "propose") ||
			view_is_phase(&v->turns[i], "revise"))) {
			json_w_begin(w, NULL);
			json_w_str(w, "agent", v->turns[i].agent);
			json_w_str(w, "content", v->turns[i].content);
			json_w_end(w);
		}
	json_w_end_array(w);
	json_w_begin_array(w, "critiques");
	for (size_t i = 0; i < v->n; i++)
		if (v->turns[i].round == round &&
		    view_is_phase(&v->turns[i], "critique")) {
			json_w_begin(w, NULL);
			json_w_str(w, "agent", v->turns[i].agent);
			json_w_str(w, "target", v->turns[i].target);
			json_w_str(w, "content", v->turns[i].content);
			json_w_end(w);
		}
	json_w_end_array(w);
	view_messages(v, "messages", round);
	json_w_end(w);
}

static void
view_names(struct view *v, const char *key)
{
	const struct json *agents = json_get(v->config, "agents");

	json_w_begin_array(v->w, key);
	for (size_t i = 0; i < json_len(agents); i++)
		json_w_str(
		    v->w, NULL, json_get_str(json_at(agents, i), "name", ""));
	json_w_end_array(v->w);
}

void
view_consensus_members(struct view *v)
{
	const struct json *c = json_get(v->result, "consensus");
	struct json_w *w = v->w;
	const struct json *value;
	const char *key;
	void *it = NULL;

	while (json_next(c, &it, &key, &value))
		json_w_json(w, key, value);
	if (c != NULL)
		return;
	json_w_bool(w, "reached", false);
	json_w_num(w, "agreement", 0);
	json_w_num(w, "confidence", 0);
	json_w_null(w, "final_answer");
	json_w_null(w, "conclusion");
	json_w_str(w, "method", json_get_str(v->config, "consensus", ""));
	json_w_str(w, "strength", "none");
	static const char *const lists[] = {
	    "supporting_agents", "dissenting_agents", "dissent"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		json_w_begin_array(w, lists[i]);
		json_w_end_array(w);
	}
}

/* As it is now, else as the debate was asked. */
static const struct json *
view_label(const struct view *v, const char *key)
{
	const struct json *label = json_get(v->labels, key);

	return label != NULL ? label : json_get(v->config, key);
}

static const char *
view_outcome(const struct store_debate *row)
{
	switch (row->status) {
	case STORE_COMPLETED:
		return row->consensus_reached ? "consensus" : "no_consensus";
	case STORE_FAILED:
		return "failed";
	case STORE_CANCELLED:
		return "cancelled";
	case STORE_PENDING:
	case STORE_RUNNING:
	case STORE_PAUSED:
	case STORE_STATUS__COUNT:
		break;
	}
	return NULL;
}

void
debate_view_trace(struct json_w *w, const struct store_debate *row)
{
	struct trace trace;

	if (row->trace_parent != NULL && trace_parse(row->trace_parent, &trace))
		json_w_str(w, "correlation_id", trace.id);
}

/* What was asked for and only kept. */
static void
view_asked(struct view *v)
{
	const struct json *asked = json_get(v->config, "asked");
	const struct json *value;
	const char *key;

	for (void *it = NULL; json_next(asked, &it, &key, &value);)
		json_w_json(v->w, key, value);
}

static void
view_identity(struct view *v)
{
	struct json_w *w = v->w;
	const struct store_debate *row = v->row;

	json_w_str(w, "debate_id", row->id);
	json_w_str(w, "id", row->id);
	json_w_str(w, "slug", row->slug);
	json_w_str(w, "task", row->task);
	json_w_str(w, "topic", row->task);
	json_w_str(w, "question", row->task);
	json_w_str(w, "title", row->title != NULL ? row->title : row->task);
	json_w_str(w, "status", store_status_name(row->status));
	debate_view_trace(w, row);
	if (row->request_id != NULL)
		json_w_str(w, "request_id", row->request_id);
	view_names(v, "agents");
	view_names(v, "participants");
	json_w_int(w, "current_round", row->round);
	json_w_int(w, "total_rounds", row->total_rounds);
	json_w_int(w, "rounds_used", row->round);
	json_w_str(w, "phase", row->phase);
	view_asked(v);
	json_w_begin(w, "protocol");
	json_w_int(w, "rounds", row->total_rounds);
	json_w_str(
	    w, "consensus", json_get_str(v->config, "consensus", "judge"));
	json_w_str(w, "preset", json_get_str(v->config, "protocol", "debate"));
	json_w_str(w, "topology", json_get_str(v->config, "topology", "all"));
	if (json_get(v->result, "stage") != NULL)
		json_w_json(w, "stage", json_get(v->result, "stage"));
	json_w_end(w);
}

static void
view_outcomes(struct view *v, int64_t now_us)
{
	struct json_w *w = v->w;
	const struct store_debate *row = v->row;
	const struct json *c = json_get(v->result, "consensus");
	const char *answer = json_get_str(v->result, "final_answer", NULL);
	int64_t end = row->completed_us > 0 ? row->completed_us : now_us;

	/* Always an object, even before there is any consensus. */
	json_w_begin(w, "consensus");
	view_consensus_members(v);
	json_w_end(w);
	json_w_bool(w, "consensus_reached", row->consensus_reached);
	json_w_num(w, "confidence", row->confidence);
	json_w_num(w, "agreement", json_get_num(c, "agreement", 0));
	json_w_str(w, "final_answer", answer);
	json_w_str(w, "conclusion", answer);
	json_w_str(w, "winner", json_get_str(v->result, "winner", NULL));
	json_w_str(w, "outcome", view_outcome(row));
	json_w_str(
	    w, "consensus_strength", json_get_str(c, "strength", "none"));
	json_w_str(w, "convergence_status",
	    json_get_str(v->result, "convergence_status", "unknown"));
	json_w_num(w, "convergence_similarity",
	    json_get_num(v->result, "convergence_similarity", 0));
	if (json_get(v->result, "budget") != NULL)
		json_w_json(w, "budget", json_get(v->result, "budget"));
	json_w_json(w, "tags", view_label(v, "tags"));
	json_w_str(w, "domain", json_get_str(v->config, "domain", "general"));
	json_w_json(w, "metadata", view_label(v, "metadata"));
	json_w_bool(w, "archived", row->archived_us > 0);
	json_w_int(w, "revision", row->revision);
	json_w_str(w, "parent_debate_id", row->parent);
	json_w_time(w, "created_at", row->created_us);
	json_w_time(w, "updated_at", row->updated_us);
	json_w_time(w, "started_at", row->started_us);
	json_w_time(w, "completed_at", row->completed_us);
	json_w_num(w, "duration_seconds",
	    row->started_us > 0 ? (double)(end - row->started_us) / 1e6 : 0);
	json_w_str(w, "error", row->error);
	json_w_bool(w, "in_progress", !store_status_is_final(row->status));
}

struct view
view_of(struct json_w *w, struct arena *a, const struct store_debate *row,
    const struct store_turn *turns, size_t n)
{
	return (struct view){.w = w,
	    .a = a,
	    .row = row,
	    .turns = turns,
	    .n = turns != NULL ? n : 0,
	    .config = view_json(a, row->config),
	    .labels = view_json(a, row->labels),
	    .result = view_json(a, row->result)};
}

void
debate_view_members(struct json_w *w, struct arena *a,
    const struct store_debate *row, const struct store_turn *turns, size_t n,
    enum debate_view_detail detail, int64_t now_us)
{
	struct view v = view_of(w, a, row, turns, n);

	view_identity(&v);
	view_outcomes(&v, now_us);
	json_w_begin_array(w, "rounds");
	for (int64_t r = 1;
	     detail == DEBATE_VIEW_FULL && v.n > 0 && r <= row->round; r++)
		view_round(&v, r);
	json_w_end_array(w);
	if (detail == DEBATE_VIEW_LIST)
		return;
	json_w_str(w, "context", json_get_str(v.config, "context", NULL));
	view_messages(&v, "messages", 0);
	view_turns(&v, "critiques", "critique", view_critique);
	view_turns(&v, "votes", "vote", view_vote);
	debate_view_positions(w, "proposals", v.turns, v.n);
	const struct json *dissent =
	    json_get(json_get(v.result, "consensus"), "dissent");
	if (dissent != NULL) {
		json_w_json(w, "dissenting_views", dissent);
	} else {
		json_w_begin_array(w, "dissenting_views");
		json_w_end_array(w);
	}
}

void
debate_view_topic(struct arena *a, const struct store_debate *row,
    struct debate_view_topic *out)
{
	const struct json *result = view_json(a, row->result);
	const struct json *consensus = json_get(result, "consensus");
	const struct json *agents =
	    json_get(view_json(a, row->config), "agents");

	*out = (struct debate_view_topic){
	    .conclusion = json_get_str(result, "final_answer", NULL),
	    .strength = json_get_str(consensus, "strength", "none"),
	    .agents = ARENA_ARRAY(a, json_len(agents) + 1, const char *),
	    .n_agents = json_len(agents),
	    .dissents = (int64_t)json_len(json_get(consensus, "dissent"))};
	for (size_t i = 0; i < out->n_agents; i++)
		out->agents[i] = json_get_str(json_at(agents, i), "name", "");
}

const char *
debate_end_data(struct arena *a, const struct store_debate *row,
    const struct store_turn *turns, size_t n, const char *status,
    const char *reason, int64_t now_us)
{
	const struct json *result = view_json(a, row->result);
	const char *answer = json_get_str(result, "final_answer", "");
	double seconds =
	    row->started_us > 0 ? (double)(now_us - row->started_us) / 1e6 : 0;
	struct buf b;
	struct json_w w;

	buf_init(&b, 16u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "status", status);
	json_w_str(&w, "reason", reason);
	json_w_str(&w, "error", str_eq(status, "failed") ? reason : NULL);
	json_w_str(&w, "result", answer);
	json_w_str(&w, "summary", answer);
	json_w_int(&w, "rounds", row->round);
	json_w_int(&w, "total_rounds", row->total_rounds);
	json_w_bool(&w, "consensus_reached", row->consensus_reached);
	json_w_num(&w, "confidence", row->confidence);
	json_w_num(&w, "duration", seconds);
	json_w_num(&w, "duration_seconds", seconds);
	json_w_begin(&w, "debate");
	debate_view_members(&w, a, row, turns, n, DEBATE_VIEW_LIST, now_us);
	json_w_end(&w);
	json_w_end(&w);
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}
