/* SPDX-License-Identifier: MIT
 *
 * Taking an input from a client, whichever way it came.
 */
#pragma once

#include "debate/audience.h"

struct settings;

/* Checks the input against the debate, stores it with its event (type and data
 * on the arena). person: the authenticated caller, NULL = nobody; user_id (may
 * be NULL): who of those behind that credential. ERR_INVALID with the field;
 * ERR_NOT_FOUND; ERR_CONFLICT, ERR_DENIED, ERR_TOO_LARGE with a text. */
enum err audience_take(struct store *store, const struct settings *settings,
    struct arena *a, const char *tenant, const char *debate_id,
    const char *person, const char *user_id, struct store_human *in,
    struct store_event *event, struct err_info *info) MUST_CHECK;

/* Data of the event audience_metrics: the votes so far. */
enum err audience_metrics(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, const char **data) MUST_CHECK;
