/* SPDX-License-Identifier: MIT
 *
 * One entry of memory: keep it, read it, change it, move it, take it away.
 */
#include "fcgi/handler.h"

#include "fcgi/memory_in.h"
#include "fcgi/memory_out.h"

struct memory_key_in {
	const char *key;
	int tier;
};

static const struct input memory_key_rows[] = {
    {.key = "key",
	.kind = INPUT_TEXT,
	.is_required = true,
	.max = MEMORY_KEY_MAX,
	.offset = offsetof(struct memory_key_in, key),
	.help = "Its key or its id."},
    {.key = "tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_key_in, tier),
	.help = "Only if it is in this tier."},
};
const struct input_list memory_key_inputs = {
    memory_key_rows, ARRAY_LEN(memory_key_rows)};

static enum http_status
memory_missing(struct res *res, const char *field)
{
	struct res_field f = {field, "is required"};

	return res_invalid(res, "MISSING_FIELD", &f, 1);
}

/* Takes what the request says as a new entry. */
static enum http_status
memory_put(
    struct req *req, struct res *res, bool needs_key, struct store_memory *m)
{
	struct memory_in in;
	struct err_info info = {0};

	enum http_status status = memory_in_body(req, res, &in);
	if (status != HTTP_OK)
		return status;
	if (needs_key && in.key == NULL)
		return memory_missing(res, "key");
	if (json_kind(in.value) == JSON_NULL)
		return memory_missing(res, needs_key ? "value" : "content");
	memory_in_entry(req->arena, &in, MEMORY_MEDIUM, m);
	enum err e = store_memory_put(req->app->store, req->arena,
	    req->caller.tenant, m, req->now_us, &info);
	return e == ERR_OK ? HTTP_OK : res_err(res, e, &info);
}

enum http_status
memory_store(struct req *req, struct res *res)
{
	struct store_memory m;

	enum http_status status = memory_put(req, res, true, &m);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, "stored", true);
	json_w_bool(w, "created", m.is_new);
	json_w_str(w, "key", m.key);
	json_w_str(w, "id", m.id);
	json_w_str(w, "tier", memory_out_tier(m.tier));
	json_w_time(w, "expires_at", m.expires_us);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_continuum_store(struct req *req, struct res *res)
{
	struct store_memory m;

	enum http_status status = memory_put(req, res, false, &m);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "id", m.id);
	json_w_str(w, "key", m.key);
	json_w_str(w, "tier", memory_out_tier(m.tier));
	json_w_time(w, "created_at", m.created_us);
	json_w_time(w, "expires_at", m.expires_us);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_retrieve(struct req *req, struct res *res)
{
	struct memory_key_in in;
	struct store_memory m;
	struct err_info info = {0};

	enum http_status status =
	    input_read_query(req, &memory_key_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_memory_get(req->app->store, req->arena,
	    req->caller.tenant, in.key, in.tier, req->now_us, &m);
	if (e != ERR_OK)
		return memory_out_fail(res, e, in.key, &info);
	struct json_w *w = res_json(res);
	memory_out_members(w, req->arena, &m, -1);
	return res_json_end(res, HTTP_OK);
}

/* That it was not there is no error: afterwards it is as it should be. */
enum http_status
memory_delete(struct req *req, struct res *res)
{
	struct memory_key_in in;

	enum http_status status =
	    input_read_query(req, &memory_key_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	enum err e = store_memory_delete(
	    req->app->store, req->caller.tenant, in.key, in.tier, req->now_us);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		return res_err(res, e, NULL);
	struct json_w *w = res_json(res);
	json_w_bool(w, "deleted", e == ERR_OK);
	json_w_str(w, "key", in.key);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_continuum_delete(struct req *req, struct res *res)
{
	const char *id = req->match.params[0];
	struct err_info info = {0};

	enum err e = store_memory_delete(
	    req->app->store, req->caller.tenant, id, -1, req->now_us);
	if (e != ERR_OK)
		return memory_out_fail(res, e, id, &info);
	struct json_w *w = res_json(res);
	json_w_bool(w, "success", true);
	json_w_str(w, "id", id);
	json_w_str(w, "message", "the memory is gone");
	return res_json_end(res, HTTP_OK);
}

/* ---- changing ---- */

struct memory_over {
	struct memory_in in;
	bool is_merging;
};

static enum err
memory_over(
    void *arg, struct arena *a, struct store_memory *m, struct err_info *info)
{
	const struct memory_over *o = arg;

	return memory_in_over(a, &o->in, o->is_merging, m, info);
}

enum http_status
memory_update(struct req *req, struct res *res)
{
	const struct json *merge = json_get(req->body, "merge");
	struct memory_over o = {.is_merging = false};
	struct store_memory m;
	struct err_info info = {0};
	const char *key;

	if (!memory_in_path_key(req, res, &key))
		return res->status;
	enum http_status status = memory_in_body(req, res, &o.in);
	if (status != HTTP_OK)
		return status;
	if (json_kind(merge) != JSON_NULL &&
	    !json_boolean(merge, &o.is_merging)) {
		err_set(&info, ERR_INVALID, "merge", "must be true or false");
		return res_err(res, ERR_INVALID, &info);
	}
	enum err e = store_memory_change(req->app->store, req->arena,
	    req->caller.tenant, key, memory_over, &o, req->now_us, &m, &info);
	if (e != ERR_OK)
		return memory_out_fail(res, e, key, &info);
	struct json_w *w = res_json(res);
	json_w_bool(w, "updated", true);
	memory_out_members(w, req->arena, &m, -1);
	return res_json_end(res, HTTP_OK);
}

/* ---- moving ---- */

struct memory_move_in {
	int from, to, target;
};

static const struct input memory_move_rows[] = {
    {.key = "from_tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_move_in, from)},
    {.key = "to_tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_move_in, to)},
    {.key = "target_tier",
	.kind = INPUT_CHOICE,
	.choices = MEMORY_IN_TIERS,
	.offset = offsetof(struct memory_move_in, target)},
};
static const struct input_list memory_move_inputs = {
    memory_move_rows, ARRAY_LEN(memory_move_rows)};

/* way: -1 towards fast, 1 towards glacial, 0 = where the request says.
 * HTTP_OK, or the answer is written. */
static enum http_status
memory_shift(struct req *req, struct res *res, int way, struct store_memory *m,
    enum memory_tier *from)
{
	struct memory_move_in in;
	struct err_info info = {0};
	const char *key;

	if (!memory_in_path_key(req, res, &key))
		return res->status;
	enum http_status status =
	    input_read_body(req, &memory_move_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	int to = in.to >= 0 ? in.to : in.target;
	if (to < 0 && way == 0)
		return memory_missing(res, "to_tier");
	const struct store_memory_move move = {.key = key,
	    .expected = way == 0 ? in.from : -1,
	    .step = to < 0 ? way : 0,
	    .to = to < 0 ? MEMORY_FAST : (enum memory_tier)to,
	    .way = way};
	enum err e = store_memory_move(req->app->store, req->arena,
	    req->caller.tenant, &move, req->now_us, m, from, &info);
	return e == ERR_OK ? HTTP_OK : memory_out_fail(res, e, key, &info);
}

static enum http_status
memory_shift_answer(struct req *req, struct res *res, int way, const char *done)
{
	struct store_memory m;
	enum memory_tier from;

	enum http_status status = memory_shift(req, res, way, &m, &from);
	if (status != HTTP_OK)
		return status;
	struct json_w *w = res_json(res);
	json_w_bool(w, done, true);
	json_w_bool(w, "success", true);
	json_w_str(w, "key", m.key);
	json_w_str(w, "id", m.id);
	json_w_str(w, "old_tier", memory_out_tier(from));
	json_w_str(w, "new_tier", memory_out_tier(m.tier));
	json_w_str(w, "from_tier", memory_out_tier(from));
	json_w_str(w, "to_tier", memory_out_tier(m.tier));
	json_w_time(w, "expires_at", m.expires_us);
	return res_json_end(res, HTTP_OK);
}

enum http_status
memory_promote(struct req *req, struct res *res)
{
	return memory_shift_answer(req, res, -1, "promoted");
}

enum http_status
memory_demote(struct req *req, struct res *res)
{
	return memory_shift_answer(req, res, 1, "demoted");
}

enum http_status
memory_move(struct req *req, struct res *res)
{
	return memory_shift_answer(req, res, 0, "moved");
}
