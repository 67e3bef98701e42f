/* SPDX-License-Identifier: MIT */
#include "fcgi/event_page.h"

enum http_status
event_page_read(struct req *req, struct res *res,
    const struct input_list *inputs, struct event_page *page)
{
	struct event_page_in in;

	enum http_status status = input_read_query(req, inputs, &in, res);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, &page->row);
	if (status != HTTP_OK)
		return status;
	page->events = NULL;
	page->n = 0;
	enum err e =
	    store_event_list(req->app->store, req->arena, page->row.tenant,
		page->row.id, in.since, in.limit, &page->events, &page->n);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	page->last = page->n == 0 ? in.since : page->events[page->n - 1].seq;
	return HTTP_OK;
}

enum http_status
event_page_end(struct res *res, struct json_w *w, const struct event_page *page)
{
	json_w_int(w, "count", (int64_t)page->n);
	json_w_int(w, "next_seq", page->last);
	json_w_bool(w, "has_more", page->row.last_seq > page->last);
	return res_json_end(res, HTTP_OK);
}
