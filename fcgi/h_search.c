/* SPDX-License-Identifier: MIT
 *
 * Looking for debates by words, and figures over many of them.
 */
#include "fcgi/handler.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "fcgi/cursor.h"
#include "fcgi/debate_out.h"

#define SEARCH_QUERY_MAX 500
#define SEARCH_SNIPPET	 160 /* bytes of a snippet */
#define SEARCH_BEFORE	 40  /* of them before the hit */
#define SEARCH_RECENT	 5   /* debates of the overview */
#define SEARCH_DAY_US	 INT64_C(86400000000)

struct search_in {
	const char *q, *query, *scope;
	int64_t limit, offset;
	int status;
	const char *domain;
	int64_t since_us, until_us;
	const char *cursor;
};

static const struct input search_rows[] = {
    {.key = "q",
	.kind = INPUT_TEXT,
	.max = SEARCH_QUERY_MAX,
	.offset = offsetof(struct search_in, q),
	.help = "Text within the question, any case."},
    {.key = "query",
	.kind = INPUT_TEXT,
	.max = SEARCH_QUERY_MAX,
	.offset = offsetof(struct search_in, query),
	.help = "The same; wins over q. Without either: the newest debates."},
    {.key = "scope",
	.kind = INPUT_TEXT,
	.max = SEARCH_QUERY_MAX,
	.offset = offsetof(struct search_in, scope),
	.help = "all or debates; in others nothing is found."},
    {.key = "limit",
	.kind = INPUT_PAGE,
	.offset = offsetof(struct search_in, limit),
	.help = "Results in one answer."},
    {.key = "offset",
	.kind = INPUT_OFFSET,
	.offset = offsetof(struct search_in, offset),
	.help = "Results to skip."},
    {.key = "status",
	.kind = INPUT_CHOICE,
#define X(id, text) text "|"
	.choices = STORE_STATUS_LIST(X),
#undef X
	.offset = offsetof(struct search_in, status),
	.help = "Only debates in this state."},
    {.key = "domain",
	.kind = INPUT_TEXT,
	.max = SEARCH_QUERY_MAX,
	.offset = offsetof(struct search_in, domain),
	.help = "Only of this domain."},
    {.key = "since",
	.kind = INPUT_TIME,
	.offset = offsetof(struct search_in, since_us),
	.help = "Created at this time or later (ISO 8601)."},
    {.key = "until",
	.kind = INPUT_TIME,
	.offset = offsetof(struct search_in, until_us),
	.help = "Created before this time (ISO 8601)."},
    CURSOR_INPUT(struct search_in, cursor),
};
const struct input_list search_inputs = {search_rows, ARRAY_LEN(search_rows)};

/* Bytes of a text from `from`, whole characters. */
static void
search_snippet(struct json_w *w, const char *text, size_t from)
{
	size_t len = strlen(text);

	from = from > SEARCH_BEFORE ? from - SEARCH_BEFORE : 0;
	while (from > 0 && ((unsigned char)text[from] & 0xC0) == 0x80)
		from--;
	size_t n = len - from > SEARCH_SNIPPET ? SEARCH_SNIPPET : len - from;
	while (n > 0 && ((unsigned char)text[from + n] & 0xC0) == 0x80)
		n--;
	json_w_strn(w, "snippet", text + from, n);
}

/* The score is the share of the question that was asked for. */
static void
search_result(struct json_w *w, const struct store_debate *row, const char *q)
{
	size_t want = q != NULL ? strlen(q) : 0;
	size_t len = strlen(row->task);
	const char *hit = want > 0 ? strcasestr(row->task, q) : NULL;

	json_w_begin(w, NULL);
	json_w_str(w, "type", "debate");
	json_w_str(w, "id", row->id);
	json_w_str(w, "debate_id", row->id);
	json_w_str(w, "title", row->task);
	json_w_str(w, "task", row->task);
	search_snippet(
	    w, row->task, hit != NULL ? (size_t)(hit - row->task) : 0);
	json_w_num(
	    w, "score", len > 0 && want < len ? (double)want / (double)len : 1);
	json_w_begin_array(w, "highlights");
	if (hit != NULL)
		json_w_strn(w, NULL, hit, want);
	json_w_end_array(w);
	json_w_str(w, "status", store_status_name(row->status));
	json_w_time(w, "created_at", row->created_us);
	json_w_end(w);
}

static void
search_results(struct json_w *w, const char *key,
    const struct store_debate *rows, size_t n, const char *q)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++)
		search_result(w, &rows[i], q);
	json_w_end_array(w);
}

static enum http_status
search_answer(struct req *req, struct res *res, const struct search_in *in)
{
	const char *q = in->query != NULL ? in->query : in->q;
	bool is_ours = in->scope == NULL || str_eq(in->scope, "all") ||
	    str_eq(in->scope, "debates");
	struct store_debate *rows = NULL;
	struct cursor_page page;
	int64_t total = 0;
	size_t n = 0;
	enum err e = ERR_OK;
	struct store_debate_filter f = {.tenant = req->caller.tenant,
	    .status = in->status,
	    .query = q,
	    .domain = in->domain,
	    .since_us = in->since_us,
	    .until_us = in->until_us,
	    .limit = in->limit,
	    .offset = in->offset,
	    .read = req->read};

	enum http_status status =
	    cursor_debates_begin(req, res, in->cursor, &f);
	if (status != HTTP_OK)
		return status;
	if (is_ours)
		e = store_debate_list(
		    req->app->store, req->arena, &f, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	cursor_debates_end(&f, rows, &n, &page);
	struct json_w *w = res_json(res);
	json_w_str(w, "query", q != NULL ? q : "");
	search_results(w, "results", rows, n, q);
	search_results(w, "items", rows, n, q);
	debate_out_array(w, "debates", req, rows, n);
	cursor_page_write(w, req->arena, &page, n, total);
	json_w_int(w, "total_count", total);
	json_w_num(
	    w, "took_ms", (double)(clock_wall_us() - req->now_us) / 1000);
	return res_json_end(res, HTTP_OK);
}

enum http_status
search_get(struct req *req, struct res *res)
{
	struct search_in in;
	enum http_status status =
	    input_read_query(req, &search_inputs, &in, res);

	return status == HTTP_OK ? search_answer(req, res, &in) : status;
}

enum http_status
search_post(struct req *req, struct res *res)
{
	struct search_in in;
	enum http_status status =
	    input_read_body(req, &search_inputs, &in, res);

	return status == HTTP_OK ? search_answer(req, res, &in) : status;
}

/* ---- figures ---- */

struct stats_in {
	const char *period;
};

static const struct input stats_rows[] = {
    {.key = "period",
	.kind = INPUT_TEXT,
	.max = 16,
	.offset = offsetof(struct stats_in, period),
	.help = "How far back: a number and h, d or w, such as 24h or 30d; "
		"all = ever. 30d if absent."},
};
const struct input_list stats_inputs = {stats_rows, ARRAY_LEN(stats_rows)};

bool
stats_since(const char *period, int64_t now_us, int64_t *since_us)
{
	static const struct {
		char unit;
		int64_t us;
	} units[] = {{'h', SEARCH_DAY_US / 24}, {'d', SEARCH_DAY_US},
	    {'w', SEARCH_DAY_US * 7}};
	char digits[16];
	int64_t n;

	*since_us = 0;
	if (str_eq(period, "all"))
		return true;
	size_t len = strlen(period);
	if (len < 2 || len >= sizeof(digits))
		return false;
	memcpy(digits, period, len - 1);
	digits[len - 1] = '\0';
	if (str_to_i64(digits, 1, 10000, &n) != ERR_OK)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == period[len - 1]) {
			*since_us = now_us - n * units[i].us;
			return true;
		}
	return false;
}

struct stats_sum {
	int64_t debates, reached, rounds, spent_us;
	double confidence;
};

static void
stats_add(struct stats_sum *sum, const struct store_stat *row)
{
	sum->debates += row->debates;
	sum->reached += row->reached;
	sum->rounds += row->rounds;
	sum->spent_us += row->spent_us;
	sum->confidence += row->confidence;
}

static double
stats_mean(double sum, int64_t n)
{
	return n > 0 ? sum / (double)n : 0;
}

static void
stats_by_domain(struct json_w *w, const struct store_stat *rows, size_t n)
{
	json_w_begin(w, "by_domain");
	for (size_t i = 0; i < n; i++) {
		struct stats_sum sum = {0};
		bool is_first = true;
		for (size_t k = 0; k < n; k++) {
			if (!str_eq(rows[k].domain, rows[i].domain))
				continue;
			is_first = is_first && k >= i;
			stats_add(&sum, &rows[k]);
		}
		if (is_first)
			json_w_int(w, rows[i].domain, sum.debates);
	}
	json_w_end(w);
}

enum http_status
stats_period(
    struct req *req, struct res *res, const char *period, int64_t *since_us)
{
	static const struct res_field bad = {
	    "period", "must be a number with h, d or w, such as 30d, or all"};

	return stats_since(period, req->now_us, since_us)
	    ? HTTP_OK
	    : res_invalid(res, "INVALID_VALUE", &bad, 1);
}

/* HTTP_OK, or the answer is written. */
static enum http_status
stats_read(struct req *req, struct res *res, const char **period,
    struct store_stat **rows, size_t *n)
{
	struct stats_in in;
	int64_t since_us;

	enum http_status status =
	    input_read_query(req, &stats_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	*period = in.period != NULL ? in.period : "30d";
	status = stats_period(req, res, *period, &since_us);
	if (status != HTTP_OK)
		return status;
	enum err e = store_debate_stats(req->app->store, req->arena,
	    req->caller.tenant, since_us, &req->read, rows, n);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, NULL);
}

enum http_status
debate_statistics(struct req *req, struct res *res)
{
	struct stats_sum all = {0}, done = {0};
	int64_t by_status[STORE_STATUS__COUNT] = {0};
	struct store_stat *rows = NULL;
	const char *period;
	size_t n = 0;

	enum http_status status = stats_read(req, res, &period, &rows, &n);
	if (status != HTTP_OK)
		return status;
	for (size_t i = 0; i < n; i++) {
		stats_add(&all, &rows[i]);
		by_status[rows[i].status] += rows[i].debates;
		if (rows[i].status == STORE_COMPLETED)
			stats_add(&done, &rows[i]);
	}
	struct json_w *w = res_json(res);
	json_w_str(w, "period", period);
	json_w_int(w, "total_debates", all.debates);
	json_w_int(w, "completed_debates", done.debates);
	json_w_num(w, "consensus_rate",
	    stats_mean((double)done.reached, done.debates));
	json_w_num(
	    w, "avg_rounds", stats_mean((double)done.rounds, done.debates));
	json_w_num(w, "avg_duration_seconds",
	    stats_mean((double)done.spent_us / 1e6, done.debates));
	json_w_begin(w, "by_status");
	for (int i = 0; i < STORE_STATUS__COUNT; i++)
		json_w_int(
		    w, store_status_name((enum store_status)i), by_status[i]);
	json_w_end(w);
	stats_by_domain(w, rows, n);
	return res_json_end(res, HTTP_OK);
}

enum http_status
debate_outcomes(struct req *req, struct res *res)
{
	struct stats_sum done = {0};
	struct store_stat *rows = NULL;
	const char *period;
	size_t n = 0;

	enum http_status status = stats_read(req, res, &period, &rows, &n);
	if (status != HTTP_OK)
		return status;
	for (size_t i = 0; i < n; i++)
		if (rows[i].status == STORE_COMPLETED)
			stats_add(&done, &rows[i]);
	struct json_w *w = res_json(res);
	json_w_str(w, "period", period);
	json_w_int(w, "reached_count", done.reached);
	json_w_int(w, "total_debates", done.debates);
	json_w_num(
	    w, "avg_confidence", stats_mean(done.confidence, done.debates));
	json_w_num(w, "avg_rounds_to_consensus",
	    stats_mean((double)done.rounds, done.debates));
	stats_by_domain(w, rows, n);
	return res_json_end(res, HTTP_OK);
}

/* Where a dashboard begins. */
enum http_status
debate_dashboard(struct req *req, struct res *res)
{
	int64_t today_us = req->now_us - req->now_us % SEARCH_DAY_US;
	int64_t active = 0, pending = 0, completed = 0, total = 0;
	struct store_stat *sums = NULL;
	struct store_debate *rows = NULL;
	size_t n_sums = 0, n = 0;
	struct store_debate_filter newest = {.tenant = req->caller.tenant,
	    .status = -1,
	    .limit = SEARCH_RECENT,
	    .read = req->read};

	enum err e = store_debate_stats(req->app->store, req->arena,
	    req->caller.tenant, 0, &req->read, &sums, &n_sums);
	for (size_t i = 0; i < n_sums; i++) {
		if (sums[i].status == STORE_RUNNING)
			active += sums[i].debates;
		if (sums[i].status == STORE_PENDING)
			pending += sums[i].debates;
	}
	if (e == ERR_OK)
		e = store_debate_stats(req->app->store, req->arena,
		    req->caller.tenant, today_us, &req->read, &sums, &n_sums);
	for (size_t i = 0; e == ERR_OK && i < n_sums; i++)
		if (sums[i].status == STORE_COMPLETED)
			completed += sums[i].debates;
	if (e == ERR_OK)
		e = store_debate_list(
		    req->app->store, req->arena, &newest, &rows, &n, &total);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_int(w, "active_count", active);
	json_w_int(w, "pending_count", pending);
	json_w_int(w, "completed_today", completed);
	json_w_int(w, "total_debates", total);
	debate_out_array(w, "recent_debates", req, rows, n);
	json_w_begin_array(w, "trending_topics");
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}
