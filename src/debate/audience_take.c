/* SPDX-License-Identifier: MIT */
#include "debate/audience_take.h"

#include "base/buf.h"
#include "base/str.h"
#include "debate/consensus.h"
#include "settings/settings.h"

/* One person, one name: who stands behind a credential cannot be another
 * credential's. */
static const char *
audience_who(struct arena *a, const char *person, const char *user_id)
{
	if (str_is_empty(user_id))
		return person != NULL ? person : "anonymous";
	return arena_printf(
	    a, "%s/%s", person != NULL ? person : "anonymous", user_id);
}

static enum err
audience_closed(const char *id, enum store_status status, struct err_info *info)
{
	if (store_status_is_final(status))
		return err_set(info, ERR_CONFLICT, "debate_id",
		    "debate '%s' is over: it takes no more input", id);
	return err_set(info, ERR_CONFLICT, "debate_id",
	    "the votes of debate '%s' are closed: it takes no more input", id);
}

enum err
audience_take(struct store *store, const struct settings *settings,
    struct arena *a, const char *tenant, const char *debate_id,
    const char *person, const char *user_id, struct store_human *in,
    struct store_event *event, struct err_info *info)
{
	struct store_debate row;
	struct debate_config config;
	enum store_status status = STORE_PENDING;

	enum err e = store_debate_get(store, a, tenant, debate_id, &row);
	if (e != ERR_OK)
		return e;
	if (store_status_is_final(row.status))
		return audience_closed(row.id, row.status, info);
	if (debate_config_parse(a, row.config, &config, info) != ERR_OK)
		return ERR_INTERNAL;
	in->who = audience_who(a, person, user_id);
	e = audience_check(a, &config, in, info);
	if (e != ERR_OK)
		return e;
	*event = (struct store_event){.type = audience_event_type(in->kind),
	    .data = audience_event_data(a, in),
	    .trace_parent = row.trace_parent};
	e = store_human_add(store, row.tenant, row.id, in, event,
	    settings->audience_inputs, &status);
	if (e == ERR_CONFLICT)
		return audience_closed(row.id, status, info);
	if (e == ERR_TOO_LARGE)
		return err_set(info, ERR_TOO_LARGE, "debate_id",
		    "debate '%s' holds %lld votes and suggestions, as many as "
		    "it may",
		    row.id, (long long)settings->audience_inputs);
	return e;
}

/* ---- how people have voted so far ---- */

/* Is this somebody's last vote? rows are in the order in which they came. */
static bool
audience_stands(const struct store_human *rows, size_t n, size_t i)
{
	for (size_t k = i + 1; k < n; k++)
		if (rows[k].kind == STORE_HUMAN_VOTE &&
		    str_eq(rows[k].who, rows[i].who))
			return false;
	return true;
}

static size_t
audience_option(const char **options, size_t *n, const char *choice)
{
	size_t i = 0;

	while (i < *n && !str_eq(options[i], choice))
		i++;
	if (i == *n && *n < CONSENSUS_OPTIONS_MAX)
		options[(*n)++] = choice;
	return i < CONSENSUS_OPTIONS_MAX ? i : 0;
}

enum err
audience_metrics(struct store *store, struct arena *a, const char *tenant,
    const char *debate_id, const char **data)
{
	const char *options[CONSENSUS_OPTIONS_MAX];
	int64_t count[CONSENSUS_OPTIONS_MAX] = {0};
	int64_t intensity[AUDIENCE_INTENSITY_MAX + 1] = {0};
	struct store_human *rows = NULL;
	size_t n = 0, n_options = 0;
	int64_t votes = 0, voters = 0;
	struct buf b;
	struct json_w w;

	enum err e =
	    store_human_list(store, a, tenant, debate_id, 0, &rows, &n);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < n; i++) {
		bool is_vote = rows[i].kind == STORE_HUMAN_VOTE;
		votes += is_vote;
		if (!is_vote || !audience_stands(rows, n, i))
			continue;
		voters++;
		count[audience_option(options, &n_options, rows[i].choice)]++;
		if (rows[i].intensity >= 0 &&
		    rows[i].intensity <= AUDIENCE_INTENSITY_MAX)
			intensity[rows[i].intensity]++;
	}
	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_int(&w, "votes", votes);
	json_w_int(&w, "voters", voters);
	json_w_int(&w, "suggestions", (int64_t)n - votes);
	json_w_begin(&w, "choices");
	for (size_t i = 0; i < n_options; i++)
		json_w_int(&w, options[i], count[i]);
	json_w_end(&w);
	json_w_begin(&w, "intensity");
	for (int i = AUDIENCE_INTENSITY_MIN; i <= AUDIENCE_INTENSITY_MAX; i++)
		if (intensity[i] > 0)
			json_w_int(&w, arena_printf(a, "%d", i), intensity[i]);
	json_w_end(&w);
	json_w_end(&w);
	*data = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return ERR_OK;
}
