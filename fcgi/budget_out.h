/* SPDX-License-Identifier: MIT
 *
 * Budgets as callers see them.
 */
#pragma once

#include "fcgi/handler.h"
#include "store/store_budget.h"

/* 402: which limit stands in the way, what of it is used, when it renews. */
enum http_status budget_out_refuse(
    struct res *res, const struct store_budget_ask *ask);
/* 402: no more debates in this month. */
enum http_status budget_out_month(struct res *res, const char *text);
