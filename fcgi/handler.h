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
/* h_health_parts.c */
enum http_status health_part(struct req *req, struct res *res);
enum http_status health_slow_debates(struct req *req, struct res *res);
/* h_metrics.c */
enum http_status metrics_all(struct req *req, struct res *res);
enum http_status metrics_health(struct req *req, struct res *res);
enum http_status metrics_memory(struct req *req, struct res *res);
enum http_status metrics_system(struct req *req, struct res *res);
enum http_status metrics_cache(struct req *req, struct res *res);
enum http_status metrics_debate(struct req *req, struct res *res);
/* h_pulse.c */
extern const struct input_list pulse_inputs;
extern const struct input_list pulse_figures_inputs;
enum http_status pulse_trending(struct req *req, struct res *res);
enum http_status pulse_suggest(struct req *req, struct res *res);
enum http_status pulse_debate(struct req *req, struct res *res);
enum http_status pulse_analytics(struct req *req, struct res *res);
enum http_status pulse_schedule_status(struct req *req, struct res *res);
enum http_status pulse_schedule_config(struct req *req, struct res *res);
enum http_status pulse_schedule_history(struct req *req, struct res *res);
enum http_status pulse_schedule_stop(struct req *req, struct res *res);
enum http_status pulse_schedule_start(struct req *req, struct res *res);
/* h_rate.c */
enum http_status rate_get(struct req *req, struct res *res);
/* h_meta.c */
enum http_status meta_capabilities(struct req *req, struct res *res);
enum http_status meta_openapi(struct req *req, struct res *res);
enum http_status meta_docs(struct req *req, struct res *res);
/* h_debate_create.c */
enum http_status debate_create(struct req *req, struct res *res);
enum http_status debate_this(struct req *req, struct res *res);
/* h_debates.c */
extern const struct input_list debate_list_inputs;
enum http_status debate_list(struct req *req, struct res *res);
enum http_status debate_list_archived(struct req *req, struct res *res);
enum http_status debate_get(struct req *req, struct res *res);
/* h_debate_feed.c */
extern const struct input_list debate_messages_inputs;
extern const struct input_list debate_events_inputs;
extern const struct input_list debate_stream_inputs;
enum http_status debate_messages(struct req *req, struct res *res);
enum http_status debate_events(struct req *req, struct res *res);
enum http_status debate_stream(struct req *req, struct res *res);
enum http_status debate_stream_named(struct req *req, struct res *res);
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
/* h_export_batch.c */
enum http_status export_batch(struct req *req, struct res *res);
enum http_status export_batch_status(struct req *req, struct res *res);
enum http_status export_batch_files(struct req *req, struct res *res);
/* h_budget.c */
enum http_status tenant_usage(struct req *req, struct res *res);
enum http_status debate_costs(struct req *req, struct res *res);
/* h_debate_calls.c */
enum http_status debate_calls(struct req *req, struct res *res);

/* h_debate_pause.c */
enum http_status debate_pause(struct req *req, struct res *res);
enum http_status debate_resume(struct req *req, struct res *res);
/* h_human.c */
enum http_status debate_input(struct req *req, struct res *res);
enum http_status debate_say(struct req *req, struct res *res);
/* h_debate_similar.c */
extern const struct input_list debate_similar_inputs;
enum http_status debate_convergence(struct req *req, struct res *res);
enum http_status debate_similar(struct req *req, struct res *res);
/* h_agents.c */
extern const struct input_list agent_list_inputs;
enum http_status agent_list(struct req *req, struct res *res);
enum http_status agent_get(struct req *req, struct res *res);
enum http_status agent_stats(struct req *req, struct res *res);
enum http_status agent_availability(struct req *req, struct res *res);
enum http_status agent_local(struct req *req, struct res *res);
/* h_agent_ratings.c */
extern const struct input_list agent_inputs;
enum http_status agent_profile(struct req *req, struct res *res);
enum http_status agent_history(struct req *req, struct res *res);
enum http_status agent_performance(struct req *req, struct res *res);
enum http_status agent_calibration(struct req *req, struct res *res);
enum http_status agent_calibration_summary(struct req *req, struct res *res);
enum http_status agent_calibration_curve(struct req *req, struct res *res);
enum http_status agent_consistency(struct req *req, struct res *res);
enum http_status agent_flips(struct req *req, struct res *res);
enum http_status agent_positions(struct req *req, struct res *res);
enum http_status agent_moments(struct req *req, struct res *res);
enum http_status agent_domains(struct req *req, struct res *res);
enum http_status agent_reputation(struct req *req, struct res *res);
enum http_status agent_introspect(struct req *req, struct res *res);
enum http_status agent_persona(struct req *req, struct res *res);
enum http_status agent_metadata(struct req *req, struct res *res);
/* h_agent_compare.c */
extern const struct input_list compare_inputs;
extern const struct input_list relation_inputs;
enum http_status agent_versus(struct req *req, struct res *res);
enum http_status agent_briefing(struct req *req, struct res *res);
enum http_status agent_allies(struct req *req, struct res *res);
enum http_status agent_rivals(struct req *req, struct res *res);
enum http_status agent_network(struct req *req, struct res *res);
enum http_status agent_compare(struct req *req, struct res *res);
enum http_status rating_compare(struct req *req, struct res *res);
/* h_ratings.c */
extern const struct input_list rating_inputs;
extern const struct input_list rating_view_inputs;
extern const struct input_list rating_mover_inputs;
extern const struct input_list flip_inputs; /* of an agent's too */
enum http_status rating_list(struct req *req, struct res *res);
enum http_status rating_domain(struct req *req, struct res *res);
enum http_status rating_domains(struct req *req, struct res *res);
enum http_status rating_movers(struct req *req, struct res *res);
enum http_status rating_calibrated(struct req *req, struct res *res);
enum http_status flip_summary(struct req *req, struct res *res);
enum http_status flip_recent(struct req *req, struct res *res);
/* h_rating_stats.c */
enum http_status rating_view(struct req *req, struct res *res);
enum http_status rating_stats(struct req *req, struct res *res);
/* h_matches.c */
extern const struct input_list match_inputs;
enum http_status match_list(struct req *req, struct res *res);
enum http_status match_get(struct req *req, struct res *res);
enum http_status match_stats(struct req *req, struct res *res);
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
/* How far back a period goes (0 = ever); HTTP_OK, or 400 is written. */
enum http_status stats_period(
    struct req *req, struct res *res, const char *period, int64_t *since_us);
/* h_evidence.c */
enum http_status debate_evidence_add(struct req *req, struct res *res);
enum http_status debate_evidence_list(struct req *req, struct res *res);
enum http_status debate_citations(struct req *req, struct res *res);
/* h_debate_inside.c */
extern const struct input_list debate_replay_inputs;
enum http_status debate_health(struct req *req, struct res *res);
enum http_status debate_diagnostics(struct req *req, struct res *res);
enum http_status debate_package(struct req *req, struct res *res);
enum http_status debate_replay(struct req *req, struct res *res);
/* h_debate_many.c */
extern const struct input_list debate_estimate_inputs;
extern const struct input_list debate_trends_inputs;
enum http_status debate_compare(struct req *req, struct res *res);
enum http_status debate_estimate(struct req *req, struct res *res);
enum http_status debate_trends(struct req *req, struct res *res);
/* h_consensus.c */
extern const struct input_list consensus_similar_inputs;
extern const struct input_list consensus_settled_inputs;
enum http_status consensus_similar(struct req *req, struct res *res);
enum http_status consensus_settled(struct req *req, struct res *res);
enum http_status consensus_stats(struct req *req, struct res *res);
enum http_status consensus_overview(struct req *req, struct res *res);
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
/* h_batch.c */
extern const struct input_list batch_list_inputs;
enum http_status batch_list(struct req *req, struct res *res);
enum http_status batch_get(struct req *req, struct res *res);
enum http_status batch_results(struct req *req, struct res *res);
enum http_status batch_cancel(struct req *req, struct res *res);
enum http_status queue_status(struct req *req, struct res *res);
/* h_batch_create.c */
enum http_status batch_submit(struct req *req, struct res *res);
enum http_status batch_retry(struct req *req, struct res *res);
/* h_debate_fork.c */
enum http_status debate_fork(struct req *req, struct res *res);
enum http_status debate_forks(struct req *req, struct res *res);
enum http_status debate_clone(struct req *req, struct res *res);
/* h_auth.c */
enum http_status auth_register(struct req *req, struct res *res);
enum http_status auth_login(struct req *req, struct res *res);
enum http_status auth_refresh(struct req *req, struct res *res);
enum http_status auth_logout(struct req *req, struct res *res);
enum http_status auth_logout_all(struct req *req, struct res *res);
enum http_status auth_change_password(struct req *req, struct res *res);
enum http_status auth_health(struct req *req, struct res *res);
/* h_me.c */
enum http_status me_get(struct req *req, struct res *res);
enum http_status me_change(struct req *req, struct res *res);
enum http_status me_sessions(struct req *req, struct res *res);
enum http_status me_session_end(struct req *req, struct res *res);
enum http_status preferences_get(struct req *req, struct res *res);
enum http_status preferences_put(struct req *req, struct res *res);
enum http_status preferences_patch(struct req *req, struct res *res);
/* h_keys.c */
extern const struct input_list keys_page_inputs;
enum http_status keys_create(struct req *req, struct res *res);
enum http_status keys_get(struct req *req, struct res *res);
enum http_status keys_delete(struct req *req, struct res *res);
/* h_memory.c */
extern const struct input_list memory_key_inputs;
enum http_status memory_store(struct req *req, struct res *res);
enum http_status memory_continuum_store(struct req *req, struct res *res);
enum http_status memory_retrieve(struct req *req, struct res *res);
enum http_status memory_delete(struct req *req, struct res *res);
enum http_status memory_continuum_delete(struct req *req, struct res *res);
enum http_status memory_update(struct req *req, struct res *res);
enum http_status memory_promote(struct req *req, struct res *res);
enum http_status memory_demote(struct req *req, struct res *res);
enum http_status memory_move(struct req *req, struct res *res);
/* h_memory_find.c */
extern const struct input_list memory_find_inputs;
extern const struct input_list memory_recall_inputs;
extern const struct input_list memory_list_inputs;
extern const struct input_list memory_page_inputs;
enum http_status memory_search(struct req *req, struct res *res);
enum http_status memory_query(struct req *req, struct res *res);
enum http_status memory_semantic(struct req *req, struct res *res);
enum http_status memory_continuum_retrieve(struct req *req, struct res *res);
enum http_status memory_list(struct req *req, struct res *res);
enum http_status memory_list_tier(struct req *req, struct res *res);
/* h_memory_stats.c */
extern const struct input_list memory_analytics_inputs;
enum http_status memory_tier_list(struct req *req, struct res *res);
enum http_status memory_tier_get(struct req *req, struct res *res);
enum http_status memory_tier_stats(struct req *req, struct res *res);
enum http_status memory_stats(struct req *req, struct res *res);
enum http_status memory_pressure(struct req *req, struct res *res);
enum http_status memory_archive_stats(struct req *req, struct res *res);
enum http_status memory_analytics(struct req *req, struct res *res);
/* h_memory_bulk.c */
extern const struct input_list memory_critique_inputs;
enum http_status memory_import(struct req *req, struct res *res);
enum http_status memory_export(struct req *req, struct res *res);
enum http_status memory_critique_add(struct req *req, struct res *res);
enum http_status memory_critique_list(struct req *req, struct res *res);
enum http_status memory_consolidate(struct req *req, struct res *res);
enum http_status memory_prune(struct req *req, struct res *res);
enum http_status memory_compact(struct req *req, struct res *res);
enum http_status memory_rebuild(struct req *req, struct res *res);
/* h_agent_rules.c */
enum http_status agent_health(struct req *req, struct res *res);
enum http_status agent_enable(struct req *req, struct res *res);
enum http_status agent_disable(struct req *req, struct res *res);
enum http_status agent_quota(struct req *req, struct res *res);
enum http_status agent_quota_set(struct req *req, struct res *res);
enum http_status agent_elo_change(struct req *req, struct res *res);
/* h_tenants.c */
extern const struct input_list tenant_page_inputs;
extern const struct input_list member_page_inputs;
enum http_status tenant_list(struct req *req, struct res *res);
enum http_status workspace_list(struct req *req, struct res *res);
enum http_status tenant_create(struct req *req, struct res *res);
enum http_status tenant_get(struct req *req, struct res *res);
enum http_status tenant_change(struct req *req, struct res *res);
enum http_status tenant_delete(struct req *req, struct res *res);
enum http_status tenant_suspend(struct req *req, struct res *res);
enum http_status tenant_reactivate(struct req *req, struct res *res);
enum http_status tenant_quotas_get(struct req *req, struct res *res);
enum http_status tenant_quotas_put(struct req *req, struct res *res);
enum http_status tenant_members(struct req *req, struct res *res);
