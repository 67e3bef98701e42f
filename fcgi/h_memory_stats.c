/* SPDX-License-Identifier: MIT
 *
 * How full the tiers of memory are, and what happened in them.
 */
#include "fcgi/handler.h"

#include "fcgi/memory_in.h"
#include "fcgi/memory_out.h"

#define MEMORY_ELEVATED 0.5
#define MEMORY_HIGH	0.8
#define MEMORY_CRITICAL 0.9

/* What a tenant keeps, and what of it happened. */
struct memory_view {
	struct store_memory_sum tiers[MEMORY_TIER__COUNT];
	struct store_memory_sum all;
	int64_t deeds[MEMORY_DEED__COUNT]; /* as long as it is told */
	int64_t day_moves;
};

static double
memory_mean(int64_t sum, int64_t n)
{
	return n > 0 ? (double)sum / (double)n : 0;
}

static void
memory_add_up(struct memory_view *v)
{
	for (int i = 0; i < MEMORY_TIER__COUNT; i++) {
		const struct store_memory_sum *t = &v->tiers[i];
		if (t->count == 0)
			continue;
		v->all.count += t->count;
		v->all.bytes += t->bytes;
		v->all.importance += t->importance;
		v->all.surprise += t->surprise;
		v->all.moves += t->moves;
		v->all.moved += t->moved;
		if (v->all.oldest_us == 0 || t->oldest_us < v->all.oldest_us)
			v->all.oldest_us = t->oldest_us;
		if (t->newest_us > v->all.newest_us)
			v->all.newest_us = t->newest_us;
	}
}

/* HTTP_OK, or the answer is written. */
static enum http_status
memory_view_read(struct req *req, struct res *res, struct memory_view *v)
{
	struct store_memory_tally *rows;
	size_t n = 0;

	*v = (struct memory_view){.day_moves = 0};
	enum err e = store_memory_sums(
	    req->app->store, req->caller.tenant, req->now_us, v->tiers);
	if (e == ERR_OK)
		e = store_memory_tallies(req->app->store, req->arena,
		    req->caller.tenant, req->now_us - STORE_MEMORY_TALLIES_US,
		    INT64_MAX, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	memory_add_up(v);
	for (size_t i = 0; i < n; i++) {
		bool is_move = rows[i].deed == MEMORY_PROMOTED ||
		    rows[i].deed == MEMORY_DEMOTED;
		v->deeds[rows[i].deed] += rows[i].n;
		if (is_move && rows[i].hour_us > req->now_us - MEMORY_DAY_US)
			v->day_moves += rows[i].n;
	}
	return HTTP_OK;
}

/* Of its bytes or of its entries, whichever is nearer to the limit. */
static double
memory_utilization(const struct memory_view *v, int tier)
{
	double bytes =
	    memory_mean(v->tiers[tier].bytes, memory_tiers[tier].bytes);
	double items =
	    memory_mean(v->tiers[tier].count, memory_tiers[tier].items);
	double most = bytes > items ? bytes : items;

	return most > 1 ? 1 : most;
}

static double
memory_highest(const struct memory_view *v)
{
	double most = 0;

	for (int i = 0; i < MEMORY_TIER__COUNT; i++) {
		double one = memory_utilization(v, i);
		most = one > most ? one : most;
	}
	return most;
}

/* ---- tiers ---- */

static void
memory_tier_members(struct json_w *w, const struct memory_view *v, int tier)
{
	static const struct {
		const char *name, *help, *ttl;
	} about[] = {{"Fast", "What matters for a minute.", "1 minute"},
	    {"Medium", "What matters for an hour.", "1 hour"},
	    {"Slow", "What matters for a day; what debates conclude.", "1 day"},
	    {"Glacial", "What matters for a week.", "7 days"}};
	const struct memory_tier_row *row = &memory_tiers[tier];
	const struct store_memory_sum *sum = &v->tiers[tier];
	double used = memory_utilization(v, tier);

	json_w_str(w, "id", row->name);
	json_w_str(w, "tier", row->name);
	json_w_str(w, "name", about[tier].name);
	json_w_str(w, "description", about[tier].help);
	json_w_int(w, "ttl_seconds", row->ttl_s);
	json_w_str(w, "ttl_human", about[tier].ttl);
	json_w_int(w, "half_life_seconds", row->half_life_s);
	json_w_int(w, "size_limit_bytes", row->bytes);
	json_w_int(w, "size_bytes", sum->bytes);
	json_w_int(w, "count", sum->count);
	json_w_int(w, "entry_count", sum->count);
	json_w_int(w, "limit", row->items);
	json_w_num(w, "utilization", used);
	json_w_num(w, "utilization_pct", used * 100);
	json_w_num(w, "avg_importance",
	    memory_mean(sum->importance, sum->count) / MEMORY_PPM);
	json_w_num(w, "avg_surprise",
	    memory_mean(sum->surprise, sum->count) / MEMORY_PPM);
	json_w_num(w, "avg_consolidation", memory_mean(sum->moves, sum->count));
	json_w_time(w, "oldest_entry", sum->oldest_us);
	json_w_time(w, "newest_entry", sum->newest_us);
}

static void
memory_tier_array(struct json_w *w, const struct memory_view *v)
{
	json_w_begin_array(w, "tiers");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++) {
		json_w_begin(w, NULL);
		memory_tier_members(w, v, i);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
memory_tier_list(struct req *req, struct res *res)
{
	struct memory_view v;

	enum http_status status = memory_view_read(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	memory_tier_array(w, &v);
	json_w_int(w, "total_memories", v.all.count);
	json_w_int(w, "transitions_24h", v.day_moves);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_tier_get(struct req *req, struct res *res)
{
	struct memory_view v;
	enum memory_tier tier;

	if (!memory_in_path_tier(req, res, &tier))
		return res->status;
	enum http_status status = memory_view_read(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	memory_tier_members(w, &v, (int)tier);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_tier_stats(struct req *req, struct res *res)
{
	struct memory_view v;

	enum http_status status = memory_view_read(req, res, &v);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	for (int i = 0; i < MEMORY_TIER__COUNT; i++) {
		json_w_begin(w, memory_tiers[i].name);
		json_w_int(w, "count", v.tiers[i].count);
		json_w_int(w, "size_bytes", v.tiers[i].bytes);
		json_w_int(w, "limit_bytes", memory_tiers[i].bytes);
		json_w_time(w, "oldest", v.tiers[i].oldest_us);
		json_w_time(w, "newest", v.tiers[i].newest_us);
		json_w_end(w);
	}
	memory_tier_array(w, &v);
	json_w_int(w, "total_memories", v.all.count);
	return res_json_end(res, HTTP_OK);
}

/* ---- all tiers together ---- */

enum http_status
memory_stats(struct req *req, struct res *res)
{
	struct memory_view v;

	enum http_status status = memory_view_read(req, res, &v);
	if (status != HTTP_OK)
		return status;
	double most = memory_highest(&v);
	int64_t hits = v.deeds[MEMORY_READ];
	struct json_w *w = res_json(res);
	json_w_int(w, "total_entries", v.all.count);
	json_w_int(w, "storage_bytes", v.all.bytes);
	json_w_begin(w, "tier_counts");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		json_w_int(w, memory_tiers[i].name, v.tiers[i].count);
	json_w_end(w);
	json_w_num(
	    w, "consolidation_rate", memory_mean(v.all.moved, v.all.count));
	json_w_num(w, "avg_importance",
	    memory_mean(v.all.importance, v.all.count) / MEMORY_PPM);
	json_w_num(w, "cache_hit_rate",
	    memory_mean(hits, hits + v.deeds[MEMORY_MISSED]));
	json_w_time(w, "oldest_entry", v.all.oldest_us);
	json_w_time(w, "newest_entry", v.all.newest_us);
	json_w_str(w, "health_status",
	    most >= MEMORY_CRITICAL   ? "critical"
		: most >= MEMORY_HIGH ? "degraded"
				      : "healthy");
	return res_json_end(res, HTTP_OK);
}

static void
memory_advice(struct json_w *w, struct arena *a, const struct memory_view *v)
{
	json_w_begin_array(w, "recommendations");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		if (memory_utilization(v, i) >= MEMORY_HIGH)
			json_w_str(w, NULL,
			    arena_printf(a,
				"tier %s is %.0f %% full: what is least "
				"important there is pushed out next",
				memory_tiers[i].name,
				memory_utilization(v, i) * 100));
	json_w_end_array(w);
}

enum http_status
memory_pressure(struct req *req, struct res *res)
{
	static const char *const levels[] = {
	    "low", "medium", "high", "critical"};
	static const char *const states[] = {
	    "normal", "elevated", "high", "critical"};
	struct memory_view v;

	enum http_status status = memory_view_read(req, res, &v);
	if (status != HTTP_OK)
		return status;
	double most = memory_highest(&v);
	int level = most >= MEMORY_CRITICAL ? 3
	    : most >= MEMORY_HIGH	    ? 2
	    : most >= MEMORY_ELEVATED	    ? 1
					    : 0;
	struct json_w *w = res_json(res);
	json_w_num(w, "utilization", most);
	json_w_num(w, "pressure", most);
	json_w_str(w, "pressure_level", levels[level]);
	json_w_str(w, "status", states[level]);
	json_w_begin(w, "by_tier");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++) {
		json_w_begin(w, memory_tiers[i].name);
		json_w_num(w, "utilization", memory_utilization(&v, i));
		json_w_int(w, "entries", v.tiers[i].count);
		json_w_int(w, "size_bytes", v.tiers[i].bytes);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_begin(w, "tier_utilization");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		json_w_num(w, memory_tiers[i].name, memory_utilization(&v, i));
	json_w_end(w);
	json_w_int(w, "total_memories", v.all.count);
	json_w_bool(w, "cleanup_recommended", most >= MEMORY_HIGH);
	memory_advice(w, req->arena, &v);
	return res_json_end(res, HTTP_OK);
}

/* ---- what happened ---- */

/* What expired or was pushed out. Only that it was is kept. */
enum http_status
memory_archive_stats(struct req *req, struct res *res)
{
	static const enum memory_deed kinds[] = {
	    MEMORY_EXPIRED, MEMORY_EVICTED};
	struct store_memory_tally *rows;
	int64_t by_tier[MEMORY_TIER__COUNT] = {0};
	int64_t by_kind[ARRAY_LEN(kinds)] = {0};
	int64_t oldest = 0, newest = 0;
	size_t n = 0;

	enum err e = store_memory_tallies(req->app->store, req->arena,
	    req->caller.tenant, req->now_us - STORE_MEMORY_TALLIES_US,
	    INT64_MAX, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			if (rows[i].deed != kinds[k])
				continue;
			by_tier[rows[i].tier] += rows[i].n;
			by_kind[k] += rows[i].n;
			oldest = oldest == 0 ? rows[i].hour_us : oldest;
			newest = rows[i].hour_us;
		}
	struct json_w *w = res_json(res);
	json_w_int(w, "total_archived", by_kind[0] + by_kind[1]);
	json_w_begin(w, "by_tier");
	for (int i = 0; i < MEMORY_TIER__COUNT; i++)
		json_w_int(w, memory_tiers[i].name, by_tier[i]);
	json_w_end(w);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		json_w_int(w, memory_deed_name(kinds[k]), by_kind[k]);
	json_w_time(w, "oldest", oldest);
	json_w_time(w, "newest", newest);
	return res_json_end(res, HTTP_OK);
}

struct memory_analytics_in {
	int64_t start_us, end_us;
	int granularity;
};

static const struct input memory_analytics_rows[] = {
    {.key = "start_time",
	.kind = INPUT_TIME,
	.offset = offsetof(struct memory_analytics_in, start_us),
	.help = "A day before the end, unless given; at most 90 days ago."},
    {.key = "end_time",
	.kind = INPUT_TIME,
	.offset = offsetof(struct memory_analytics_in, end_us),
	.help = "Now, unless given."},
    {.key = "granularity",
	.kind = INPUT_CHOICE,
	.choices = "hour|day|",
	.offset = offsetof(struct memory_analytics_in, granularity),
	.help = "hour, unless given."},
};
const struct input_list memory_analytics_inputs = {
    memory_analytics_rows, ARRAY_LEN(memory_analytics_rows)};

static void
memory_deed_members(struct json_w *w, const int64_t *deeds)
{
	for (int i = 0; i < MEMORY_DEED__COUNT; i++)
		json_w_int(w, memory_deed_name((enum memory_deed)i), deeds[i]);
}

/* One for each hour or day in which something happened. */
static void
memory_points(struct json_w *w, const struct store_memory_tally *rows, size_t n,
    int64_t step_us, int64_t *all)
{
	json_w_begin_array(w, "points");
	for (size_t i = 0; i < n;) {
		int64_t deeds[MEMORY_DEED__COUNT] = {0};
		int64_t at = rows[i].hour_us - rows[i].hour_us % step_us;
		for (; i < n && rows[i].hour_us < at + step_us; i++) {
			deeds[rows[i].deed] += rows[i].n;
			all[rows[i].deed] += rows[i].n;
		}
		json_w_begin(w, NULL);
		json_w_time(w, "timestamp", at);
		memory_deed_members(w, deeds);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
memory_analytics(struct req *req, struct res *res)
{
	static const struct res_field backwards = {
	    "start_time", "must be before end_time"};
	struct memory_analytics_in in;
	int64_t all[MEMORY_DEED__COUNT] = {0};
	struct store_memory_tally *rows;
	size_t n = 0;

	enum http_status status =
	    input_read_query(req, &memory_analytics_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	int64_t end = in.end_us > 0 ? in.end_us : req->now_us;
	int64_t start = in.start_us > 0 ? in.start_us : end - MEMORY_DAY_US;
	if (start >= end)
		return res_invalid(res, "INVALID_VALUE", &backwards, 1);
	bool is_daily = in.granularity == 1;
	enum err e = store_memory_tallies(req->app->store, req->arena,
	    req->caller.tenant, start - MEMORY_HOUR_US + 1, end, &rows, &n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_str(w, "granularity", is_daily ? "day" : "hour");
	json_w_time(w, "start_time", start);
	json_w_time(w, "end_time", end);
	memory_points(
	    w, rows, n, is_daily ? MEMORY_DAY_US : MEMORY_HOUR_US, all);
	json_w_begin(w, "totals");
	memory_deed_members(w, all);
	json_w_end(w);
	return res_json_end(res, HTTP_OK);
}
