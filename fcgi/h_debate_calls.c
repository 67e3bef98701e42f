/* SPDX-License-Identifier: MIT
 *
 * The requests that a debate made to providers: each try, and what it took.
 */
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "fcgi/handler.h"
#include "store/store_attempt.h"

#define CALLS_USD 1000000

struct calls_sum {
	int64_t sent, repeated, may_be_billed;
	int64_t tokens_in, tokens_out, udollar;
};

static void
calls_add(struct calls_sum *s, const struct store_attempt *x)
{
	s->sent += x->state != STORE_ATTEMPT_UNSENT;
	s->repeated += x->attempt > 1;
	s->may_be_billed += store_attempt_may_be_billed(x->state);
	s->tokens_in += x->tokens_in;
	s->tokens_out += x->tokens_out;
	s->udollar += x->cost_udollar > 0 ? x->cost_udollar : 0;
}

static void
calls_show(struct json_w *w, const char *id, const struct store_attempt *x)
{
	char span[TRACE_SPAN_LEN + 1];

	trace_span_of(span, id, x->step_key, x->attempt);
	json_w_begin(w, NULL);
	json_w_str(w, "step", x->step_key);
	json_w_int(w, "attempt", x->attempt);
	json_w_str(w, "kind", x->kind);
	json_w_str(w, "state", store_attempt_state_name(x->state));
	json_w_bool(
	    w, "possibly_billed", store_attempt_may_be_billed(x->state));
	json_w_int(w, "key_attempt", x->key_attempt);
	json_w_str(w, "span_id", span);
	json_w_str(w, "request_hash", x->request_hash);
	json_w_str(w, "provider", x->provider);
	json_w_str(w, "model", x->model);
	json_w_int(w, "tokens_in", x->tokens_in);
	json_w_int(w, "tokens_out", x->tokens_out);
	json_w_bool(w, "usage_estimated", x->is_estimated);
	if (x->cost_udollar >= 0)
		json_w_num(w, "cost_usd", (double)x->cost_udollar / CALLS_USD);
	if (x->http_status > 0)
		json_w_int(w, "http_status", x->http_status);
	if (x->error != NULL)
		json_w_str(w, "error_class", x->error);
	json_w_time(w, "started_at", x->started_us);
	if (x->finished_us > 0)
		json_w_time(w, "finished_at", x->finished_us);
	json_w_end(w);
}

enum http_status
debate_calls(struct req *req, struct res *res)
{
	struct store_debate row;
	struct store_attempt *rows;
	struct calls_sum sum = {0};
	size_t n;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = store_attempt_list(
	    req->app->store, req->arena, row.tenant, row.id, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	debate_view_trace(w, &row);
	json_w_begin_array(w, "calls");
	for (size_t i = 0; i < n; i++) {
		calls_show(w, row.id, &rows[i]);
		calls_add(&sum, &rows[i]);
	}
	json_w_end_array(w);
	json_w_int(w, "total", (int64_t)n);
	json_w_begin(w, "usage");
	json_w_int(w, "sent", sum.sent);
	json_w_int(w, "repeated", sum.repeated);
	json_w_int(w, "possibly_billed", sum.may_be_billed);
	json_w_int(w, "tokens_in", sum.tokens_in);
	json_w_int(w, "tokens_out", sum.tokens_out);
	json_w_num(w, "cost_usd", (double)sum.udollar / CALLS_USD);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
