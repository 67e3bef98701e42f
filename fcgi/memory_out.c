/* SPDX-License-Identifier: MIT */
#include "fcgi/memory_out.h"

#include "base/str.h"
#include "fcgi/memory_in.h"

double
memory_out_share(int64_t ppm)
{
	return (double)ppm / MEMORY_PPM;
}

const char *
memory_out_tier(enum memory_tier tier)
{
	return memory_tiers[tier].name;
}

static void
memory_out_beside(struct json_w *w, const struct json *beside)
{
	const struct json *tags = json_get(beside, "tags");
	const struct json *metadata = json_get(beside, "metadata");

	if (json_kind(tags) == JSON_ARRAY) {
		json_w_json(w, "tags", tags);
	} else {
		json_w_begin_array(w, "tags");
		json_w_end_array(w);
	}
	json_w_str(w, "agent", json_get_str(beside, "agent", NULL));
	if (json_kind(metadata) == JSON_OBJECT) {
		json_w_json(w, "metadata", metadata);
	} else {
		json_w_begin(w, "metadata");
		json_w_end(w);
	}
}

void
memory_out_members(struct json_w *w, struct arena *a,
    const struct store_memory *m, int64_t likeness_ppm)
{
	const struct json *beside = memory_in_beside(a, m->body);
	const struct json *value = memory_in_value(a, beside, m->content);

	json_w_str(w, "id", m->id);
	json_w_str(w, "memory_id", m->id);
	json_w_str(w, "key", m->key);
	json_w_str(w, "tier", memory_out_tier(m->tier));
	json_w_str(w, "content", m->content);
	if (value != NULL)
		json_w_json(w, "value", value);
	else
		json_w_str(w, "value", m->content);
	json_w_num(w, "importance", memory_out_share(m->importance_ppm));
	json_w_num(w, "surprise_score", memory_out_share(m->surprise_ppm));
	json_w_int(w, "consolidation_count", m->moves);
	json_w_int(w, "update_count", m->updates);
	memory_out_beside(w, beside);
	json_w_str(w, "domain", m->domain);
	json_w_str(w, "source_debate_id",
	    str_is_empty(m->debate_id) ? NULL : m->debate_id);
	if (likeness_ppm >= 0)
		json_w_num(w, "similarity", memory_out_share(likeness_ppm));
	json_w_int(w, "size_bytes", m->bytes);
	json_w_time(w, "created_at", m->created_us);
	json_w_time(w, "updated_at", m->updated_us);
	json_w_time(w, "accessed_at", m->accessed_us);
	json_w_time(w, "expires_at", m->expires_us);
}

void
memory_out_array(struct json_w *w, const char *key, struct arena *a,
    const struct store_memory *rows, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		memory_out_members(w, a, &rows[i], -1);
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
memory_out_found(struct json_w *w, const char *key, struct arena *a,
    const struct memory_found *found, size_t n)
{
	json_w_begin_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_w_begin(w, NULL);
		memory_out_members(w, a, found[i].m, found[i].likeness_ppm);
		json_w_end(w);
	}
	json_w_end_array(w);
}

enum http_status
memory_out_fail(
    struct res *res, enum err e, const char *key, struct err_info *info)
{
	if (e == ERR_NOT_FOUND)
		err_set(info, e, "", "there is no memory '%s'", key);
	return res_err(res, e, info);
}
