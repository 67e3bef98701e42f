/* SPDX-License-Identifier: MIT
 *
 * What a new debate asks of the budgets of its tenant and its user.
 */
#pragma once

#include "debate/config.h"
#include "store/store_budget.h"

struct debate_grant {
	struct arena *a;
	struct debate_config *config;
	struct store_budget_ask ask;
};
/* config is borrowed: it gets the prices of today, and what is granted becomes
 * its budget. */
void debate_grant_init(struct debate_grant *g, struct arena *a,
    const struct settings *settings, struct debate_config *config);
