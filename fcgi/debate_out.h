/* SPDX-License-Identifier: MIT
 *
 * What the debate handlers share: fetching the row that the path names, and
 * the pieces of an answer that depend on the request.
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"
#include "store/store.h"

/* The debate of the path's first parameter within the caller's tenant.
 * HTTP_OK, or the answer (400, 404, 503) is written. */
enum http_status debate_out_fetch(
    struct req *req, struct res *res, struct store_debate *row) MUST_CHECK;
/* And its turns. */
enum http_status debate_out_fetch_turns(struct req *req, struct res *res,
    struct store_debate *row, struct store_turn **turns, size_t *n) MUST_CHECK;
/* The same of an id that came another way. */
enum http_status debate_out_fetch_id(struct req *req, struct res *res,
    const char *id, struct store_debate *row) MUST_CHECK;

/* status_url, events_url and, when the host is known, websocket_url. */
void debate_out_links(
    struct json_w *w, const struct req *req, const char *debate_id);

/* An array of debate objects without their long members. */
void debate_out_array(struct json_w *w, const char *key, struct req *req,
    const struct store_debate *rows, size_t n);

/* The same where it is known whether there are more. */
void debate_out_page_at(struct json_w *w, int64_t total, size_t count,
    int64_t limit, int64_t offset, bool has_more);
/* total, count, limit, offset, has_more. */
void debate_out_page(struct json_w *w, int64_t total, size_t count,
    int64_t limit, int64_t offset);

/* Since when a period such as "30d" or "all" (0) is; false: it is none. */
bool stats_since(const char *period, int64_t now_us, int64_t *since_us);

/* A stored event, to whoever watches, and a wake-up for the runners. Doorbell
 * only: who misses it reads the table. */
void debate_out_publish(struct req *req, const struct store_debate *row,
    const struct store_event *event);

/* End a debate that is under way: row becomes what it is then. The store takes
 * the lease over, so whatever the runner still writes is refused; the event
 * goes out after the commit. ERR_CONFLICT: it has ended already. */
enum err debate_out_cancel(
    struct req *req, struct store_debate *row, const char *reason) MUST_CHECK;

/* What changes with every change of the debate. */
const char *debate_out_revision(
    struct req *req, const struct store_debate *row);
/* The ETag of a debate as it stands; true, and the answer is to be 304, when
 * the caller has it. */
bool debate_out_is_known(
    struct req *req, struct res *res, const struct store_debate *row);
