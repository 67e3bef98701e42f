/* SPDX-License-Identifier: MIT
 *
 * The shape of a create request: which type and range every field has that
 * config.c does not read itself, and which keys its objects may hold.
 */
#pragma once

#include "base/json.h"

/* Called for each wrong field: its path ("protocol.rounds",
 * "agents[1].model") and what is wrong with it. Both live until return. */
typedef void config_report_fn(
    void *arg, const char *field, const char *message);

/* body: the whole request. Fields of it that are not known are left alone:
 * clients send more than servers of one age know. Inside its objects an
 * unknown key is an error, there it is a slip. */
void config_fields_check(
    const struct json *body, config_report_fn *report, void *arg);
