/* SPDX-License-Identifier: MIT
 *
 * Putting a debate into the queue, whoever asks for it: a request, a copy, a
 * fork.
 */
#pragma once

#include "debate/grant.h"
#include "fcgi/req.h"
#include "fcgi/res.h"
#include "store/store.h"

/* row: task, config, total_rounds, priority, parent and branch_point; the id
 * and what the caller decides are set here. 201 with the debate, or why not. */
enum http_status debate_queue(
    struct req *req, struct res *res, struct store_debate *row);

/* The same for debates that a batch puts there: what the caller decides, the
 * part of the budgets and a new id. grant stays as long as row. */
void debate_queue_prepare(struct req *req, struct store_debate *row,
    struct debate_config *config, struct debate_grant *grant);
/* Why that row was not put there. */
enum http_status debate_queue_refuse(struct res *res, enum err e,
    struct err_info *info, const struct store_debate *row);
