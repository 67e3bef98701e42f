/* SPDX-License-Identifier: MIT */
#include "fcgi/debate_queue.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "debate/grant.h"
#include "debate/view.h"
#include "fcgi/budget_out.h"
#include "fcgi/debate_out.h"
#include "llm/llm.h"
#include "settings/settings.h"
#include "store/store_agent.h"

#define DEBATE_ID_PREFIX    "adhoc_"
#define DEBATE_ID_BYTES	    4
#define DEBATE_ID_TRIES	    5  /* 32 random bits do meet, rarely */
#define DEBATE_BATCH_BYTES  8  /* a thousand at once must not meet any */
#define DEBATE_FULL_RETRY_S 30 /* a queue place comes free in minutes */

static enum err
debate_queue_insert(
    struct req *req, struct store_debate *row, struct err_info *info)
{
	char id[ID_SIZE];
	enum err e = ERR_EXISTS;

	for (int i = 0; i < DEBATE_ID_TRIES && e == ERR_EXISTS; i++) {
		id_make(id, DEBATE_ID_PREFIX, DEBATE_ID_BYTES);
		row->id = arena_strdup(req->arena, id);
		e = store_debate_create(req->app->store, req->arena, row,
		    req->app->settings->max_queued_debates, info);
	}
	return e;
}

/* In the order of the registry: two debates that are made at the same time
 * wait for each other only one way round. */
static struct store_seats *
debate_queue_seats(struct arena *a, const struct debate_config *config)
{
	struct store_seats *seats = ARENA_NEW(a, struct store_seats);
	const char **names = ARENA_ARRAY(a, config->n_agents + 1, const char *);

	for (size_t i = 0; i < llm_agent_count(); i++) {
		const struct llm_agent_row *row = llm_agent_at(i);
		bool is_seated = false;
		for (size_t k = 0; k < config->n_agents; k++)
			is_seated = is_seated || config->agents[k].row == row;
		if (is_seated)
			names[seats->n++] = row->name;
	}
	seats->agents = names;
	return seats;
}

/* 402: how often it may be seated a day. */
static enum http_status
debate_queue_quota(struct res *res, const struct store_agent_rule *rule,
    const struct err_info *info)
{
	int64_t now = clock_wall_us();
	struct json_w *w = res_begin_fail(res, "QUOTA_EXCEEDED", info->text);

	json_w_str(w, "scope", "agent");
	json_w_str(w, "agent", rule->agent);
	json_w_str(w, "period", "day");
	json_w_str(w, "unit", "debates");
	json_w_int(w, "limit", rule->daily);
	json_w_int(w, "used", rule->used);
	json_w_int(w, "remaining", 0);
	json_w_time(w, "resets_at",
	    now - now % STORE_AGENT_DAY_US + STORE_AGENT_DAY_US);
	json_w_str(w, "upgrade_url", NULL);
	return res_json_end(res, HTTP_PAYMENT_REQUIRED);
}

enum http_status
debate_queue_refuse(struct res *res, enum err e, struct err_info *info,
    const struct store_debate *row)
{
	if (e == ERR_BUSY && str_eq(info->field, "budget"))
		return budget_out_refuse(res, row->budget);
	if (e == ERR_BUSY && str_eq(info->field, "agent_quota"))
		return debate_queue_quota(res, &row->seats->refused, info);
	if (e == ERR_BUSY && str_eq(info->field, "queue"))
		return res_wait(
		    res, "the queue of debates is full", DEBATE_FULL_RETRY_S);
	if (e == ERR_BUSY && str_eq(info->field, "month"))
		return budget_out_month(res, info->text);
	if (e == ERR_BUSY && str_eq(info->field, "tenant_queue"))
		return res_wait(res, "too many of your debates are waiting",
		    DEBATE_FULL_RETRY_S);
	return res_err(res, e, info);
}

/* The answer: the debate as it is now, and where to watch it. */
static enum http_status
debate_queue_answer(struct req *req, struct res *res, const char *id)
{
	struct store *store = req->app->store;
	struct store_debate row;
	struct store_wait wait = {.wait_us = -1};

	enum err e =
	    store_debate_get(store, req->arena, req->caller.tenant, id, &row);
	if (e == ERR_OK && row.status == STORE_PENDING)
		e = store_debate_wait(store, req->caller.tenant, row.id,
		    req->app->settings->lease * INT64_C(1000000), &wait);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	debate_view_members(
	    w, req->arena, &row, NULL, 0, DEBATE_VIEW_FULL, req->now_us);
	debate_out_links(w, req, row.id);
	if (row.parent != NULL) {
		json_w_str(w, "branch_id", row.id);
		json_w_int(w, "branch_point", row.branch_point);
		json_w_int(w, "messages_inherited", row.branch_point);
	}
	if (wait.position > 0)
		json_w_int(w, "queue_position", wait.position);
	if (wait.wait_us >= 0)
		json_w_int(w, "estimated_wait_seconds",
		    (wait.wait_us + 999999) / 1000000);
	return res_json_end(res, HTTP_CREATED);
}

/* Where it is asked for. */
static void
debate_queue_trace(struct req *req, struct store_debate *row)
{
	char *parent = ARENA_ARRAY(req->arena, TRACE_PARENT_SIZE, char);

	trace_write(&req->trace, parent);
	row->trace_parent = parent;
	row->trace_state = req->trace_state;
	row->request_id = req->trace_id;
}

void
debate_queue_prepare(struct req *req, struct store_debate *row,
    struct debate_config *config, struct debate_grant *grant)
{
	const struct settings *s = req->app->settings;
	char id[ID_SIZE];

	id_make(id, DEBATE_ID_PREFIX, DEBATE_BATCH_BYTES);
	row->id = arena_strdup(req->arena, id);
	row->tenant = req->caller.tenant;
	row->owner = req->caller.owner;
	debate_queue_trace(req, row);
	row->max_tenant_queued = s->max_queued_debates_per_tenant;
	debate_grant_init(grant, req->arena, s, config);
	row->task = config->task;
	row->total_rounds = config->rounds;
	row->config = debate_config_write(req->arena, config);
	row->budget = &grant->ask;
	row->seats = debate_queue_seats(req->arena, config);
}

enum http_status
debate_queue(struct req *req, struct res *res, struct store_debate *row)
{
	const struct settings *s = req->app->settings;
	struct err_info info = {0};
	struct debate_config config;
	struct debate_grant grant;

	row->tenant = req->caller.tenant;
	row->owner = req->caller.owner;
	debate_queue_trace(req, row);
	row->max_tenant_queued = s->max_queued_debates_per_tenant;
	/* The copy of another debate asks for a part of its own. */
	enum err e =
	    debate_config_parse(req->arena, row->config, &config, &info);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	debate_grant_init(&grant, req->arena, s, &config);
	row->config = debate_config_write(req->arena, &config);
	row->budget = &grant.ask;
	row->seats = debate_queue_seats(req->arena, &config);
	row->key = req->key;
	e = debate_queue_insert(req, row, &info);
	if (e != ERR_OK)
		return debate_queue_refuse(res, e, &info, row);
	if (req->key != NULL && req->key->is_replay)
		return debate_queue_answer(req, res, req->key->ref);
	e = bus_wake(req->app->bus);
	if (e != ERR_OK) /* the runners look by themselves, a little later */
		log_debug("debate.wake", "error=%s", err_text(e));
	log_info("debate.accepted",
	    "debate_id=%s trace_id=%s span_id=%s request_id=%s rounds=%lld",
	    row->id, req->trace.id, req->trace.span, req->trace_id,
	    (long long)row->total_rounds);
	return debate_queue_answer(req, res, row->id);
}
