/* SPDX-License-Identifier: MIT
 *
 * Putting a debate into the queue, whoever asks for it: a request, a copy, a
 * fork.
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"
#include "store/store.h"

/* row: task, config, total_rounds, priority, parent and branch_point; the id
 * and what the caller decides are set here. 201 with the debate, or why not. */
enum http_status debate_queue(
    struct req *req, struct res *res, struct store_debate *row);
