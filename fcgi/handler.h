/* SPDX-License-Identifier: MIT
 *
 * The handlers of routes.def and the inputs they declare. A handler reads its
 * input, calls the store or the bus, writes the result and returns its
 * status. Authentication, body, errors and headers are the dispatcher's.
 */
#pragma once

#include "fcgi/input.h"
#include "fcgi/req.h"
#include "fcgi/res.h"

typedef enum http_status (*handler_fn)(struct req *req, struct res *res);

struct handler {
	handler_fn fn;
	const struct input_list *inputs; /* of the query */
};

/* Of the row route_at(i). */
const struct handler *handler_at(size_t i);

/* h_health.c */
enum http_status health_live(struct req *req, struct res *res);
enum http_status health_ready(struct req *req, struct res *res);
enum http_status health_get(struct req *req, struct res *res);
enum http_status health_detailed(struct req *req, struct res *res);
enum http_status metrics_get(struct req *req, struct res *res);
/* h_rate.c */
enum http_status rate_get(struct req *req, struct res *res);
/* h_meta.c */
enum http_status meta_capabilities(struct req *req, struct res *res);
enum http_status meta_openapi(struct req *req, struct res *res);
/* h_debate_create.c */
enum http_status debate_create(struct req *req, struct res *res);
/* h_debates.c */
extern const struct input_list debate_list_inputs;
enum http_status debate_list(struct req *req, struct res *res);
enum http_status debate_list_archived(struct req *req, struct res *res);
enum http_status debate_get(struct req *req, struct res *res);
/* h_debate_feed.c */
extern const struct input_list debate_messages_inputs;
extern const struct input_list debate_events_inputs;
enum http_status debate_messages(struct req *req, struct res *res);
enum http_status debate_events(struct req *req, struct res *res);
/* h_debate_cancel.c */
enum http_status debate_cancel(struct req *req, struct res *res);
enum http_status debate_stop(struct req *req, struct res *res);
enum http_status debate_begin(struct req *req, struct res *res);
/* h_export.c */
extern const struct input_list debate_export_inputs;
enum http_status debate_export(struct req *req, struct res *res);
enum http_status debate_receipt(struct req *req, struct res *res);
enum http_status receipt_list_keys(struct req *req, struct res *res);
enum http_status receipt_verify(struct req *req, struct res *res);
/* h_budget.c */
enum http_status tenant_usage(struct req *req, struct res *res);
enum http_status debate_costs(struct req *req, struct res *res);

/* h_debate_pause.c */
enum http_status debate_pause(struct req *req, struct res *res);
enum http_status debate_resume(struct req *req, struct res *res);
/* h_human.c */
enum http_status debate_input(struct req *req, struct res *res);
/* h_debate_similar.c */
extern const struct input_list debate_similar_inputs;
enum http_status debate_convergence(struct req *req, struct res *res);
enum http_status debate_similar(struct req *req, struct res *res);
/* h_agents.c */
extern const struct input_list agent_list_inputs;
enum http_status agent_list(struct req *req, struct res *res);
enum http_status agent_get(struct req *req, struct res *res);
/* h_ratings.c */
extern const struct input_list rating_inputs;
enum http_status rating_list(struct req *req, struct res *res);
enum http_status rating_matches(struct req *req, struct res *res);
enum http_status rating_profile(struct req *req, struct res *res);
enum http_status rating_history(struct req *req, struct res *res);
enum http_status rating_versus(struct req *req, struct res *res);
enum http_status rating_calibration(struct req *req, struct res *res);
/* h_debate_parts.c */
extern const struct input_list debate_timeline_inputs;
enum http_status debate_rounds(struct req *req, struct res *res);
enum http_status debate_agents(struct req *req, struct res *res);
enum http_status debate_votes(struct req *req, struct res *res);
enum http_status debate_critiques(struct req *req, struct res *res);
enum http_status debate_consensus(struct req *req, struct res *res);
enum http_status debate_positions(struct req *req, struct res *res);
enum http_status debate_summary(struct req *req, struct res *res);
enum http_status debate_impasse(struct req *req, struct res *res);
enum http_status debate_timeline(struct req *req, struct res *res);
/* h_search.c */
extern const struct input_list search_inputs;
extern const struct input_list stats_inputs;
enum http_status search_get(struct req *req, struct res *res);
enum http_status search_post(struct req *req, struct res *res);
enum http_status debate_statistics(struct req *req, struct res *res);
enum http_status debate_outcomes(struct req *req, struct res *res);
enum http_status debate_dashboard(struct req *req, struct res *res);
/* h_debate_edit.c */
enum http_status debate_change(struct req *req, struct res *res);
enum http_status debate_tags_add(struct req *req, struct res *res);
enum http_status debate_tags_remove(struct req *req, struct res *res);
enum http_status debate_metadata_set(struct req *req, struct res *res);
enum http_status debate_archive(struct req *req, struct res *res);
enum http_status debate_unarchive(struct req *req, struct res *res);
enum http_status debate_archive_batch(struct req *req, struct res *res);
enum http_status debate_notes_list(struct req *req, struct res *res);
enum http_status debate_notes_add(struct req *req, struct res *res);
enum http_status debate_notes_remove(struct req *req, struct res *res);
enum http_status debate_delete(struct req *req, struct res *res);
/* h_debate_fork.c */
enum http_status debate_fork(struct req *req, struct res *res);
enum http_status debate_forks(struct req *req, struct res *res);
enum http_status debate_clone(struct req *req, struct res *res);
