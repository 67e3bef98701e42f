/* SPDX-License-Identifier: MIT */
#include "receipt/export_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/event.h"
#include "receipt/receipt.h"

#define EXPORT_PAGE 32 /* events at once */

static const struct export_writer *const export_writers[EXPORT__COUNT] = {
    [EXPORT_JSON] = &export_json,
    [EXPORT_MARKDOWN] = &export_markdown,
    [EXPORT_TEXT] = &export_text,
    [EXPORT_HTML] = &export_html,
    [EXPORT_CSV] = &export_csv};

static const char *const export_tables[EXPORT_TABLE__COUNT] = {
    [EXPORT_SUMMARY] = "summary",
    [EXPORT_MESSAGES] = "messages",
    [EXPORT_CRITIQUES] = "critiques",
    [EXPORT_VOTES] = "votes"};

enum err
export_kind_parse(
    const char *name, enum export_kind *out, struct err_info *info)
{
	if (str_eq(name, "markdown"))
		name = "md";
	else if (str_eq(name, "text"))
		name = "txt";
	for (int k = 0; k < EXPORT__COUNT; k++)
		if (str_eq(name, export_writers[k]->name)) {
			*out = (enum export_kind)k;
			return ERR_OK;
		}
	return err_set(info, ERR_INVALID, "format",
	    "must be json, csv, html, txt, md or markdown");
}

enum err
export_table_parse(
    const char *name, enum export_table *out, struct err_info *info)
{
	for (int t = 0; t < EXPORT_TABLE__COUNT; t++)
		if (str_eq(name, export_tables[t])) {
			*out = (enum export_table)t;
			return ERR_OK;
		}
	return err_set(info, ERR_INVALID, "table",
	    "must be summary, messages, critiques or votes");
}

const char *
export_kind_name(enum export_kind k)
{
	return export_writers[k]->name;
}

const char *
export_content_type(enum export_kind k)
{
	return export_writers[k]->content_type;
}

const char *
export_file_name(struct arena *a, const char *debate_id, enum export_kind k,
    enum export_table t)
{
	if (k == EXPORT_CSV)
		return arena_printf(
		    a, "debate-%s-%s.csv", debate_id, export_tables[t]);
	return arena_printf(a, "debate-%s.%s", debate_id, export_kind_name(k));
}

/* ---- pieces ---- */

static const struct json *
export_parse(struct arena *a, const char *text)
{
	const struct json_limits limits = {
	    .max_bytes = (size_t)64 << 20, .max_depth = 64};
	struct err_info info;
	const struct json *j = NULL;

	if (text == NULL ||
	    json_parse(a, text, strlen(text), &limits, &j, &info) != ERR_OK)
		return NULL;
	return j;
}

struct export *
export_new(struct store *store, const struct store_debate *d,
    const struct store_receipt *receipt, enum export_kind k,
    enum export_table t)
{
	struct export *e = mem_zalloc(sizeof(*e));

	e->store = store;
	e->debate = d;
	e->receipt = receipt;
	e->kind = k;
	e->table = t;
	e->arena = arena_new(0);
	e->page = arena_new(0);
	e->config = export_parse(e->arena, d->config);
	e->result = export_parse(e->arena, d->result);
	chain_start(&e->chain, d->id, d->config);
	return e;
}

void
export_free(struct export **export)
{
	struct export *e = *export;

	if (e == NULL)
		return;
	arena_free(&e->page);
	arena_free(&e->arena);
	free(e);
	*export = NULL;
}

static enum err
export_page(struct export *e, struct buf *out)
{
	const struct export_writer *w = export_writers[e->kind];
	struct store_event *rows;
	size_t n;

	arena_clear(e->page);
	enum err err = store_event_list(e->store, e->page, e->debate->tenant,
	    e->debate->id, e->seq, EXPORT_PAGE, &rows, &n);
	for (size_t i = 0; i < n; i++) {
		w->event(e, out, &rows[i], export_parse(e->page, rows[i].data));
		e->seq = rows[i].seq;
	}
	e->is_listed = n < EXPORT_PAGE;
	return err;
}

enum err
export_next(struct export *e, struct buf *out, bool *is_last)
{
	const struct export_writer *w = export_writers[e->kind];
	enum err err = ERR_OK;

	*is_last = false;
	if (!e->is_begun) {
		w->begin(e, out);
		e->is_begun = true;
		e->is_listed = w->event == NULL ||
		    (e->kind == EXPORT_CSV && e->table == EXPORT_SUMMARY);
	} else if (!e->is_listed) {
		err = export_page(e, out);
	} else {
		w->end(e, out);
		*is_last = true;
	}
	return err == ERR_OK && out->is_overflowed ? ERR_TOO_LARGE : err;
}

/* ---- what people read ---- */

static bool
export_is(const struct store_event *event, enum event_type type)
{
	return str_eq(event->type, event_name(type));
}

bool
export_entry(struct export *e, const struct store_event *event,
    const struct json *data, struct export_entry *out)
{
	*out = (struct export_entry){.agent = event->agent};
	const char *target = json_get_str(data, "target", NULL);
	if (export_is(event, EVENT_AGENT_MESSAGE)) {
		out->kind = str_eq(json_get_str(data, "role", ""), "judge")
		    ? "Ruling"
		    : "Position";
	} else if (export_is(event, EVENT_CRITIQUE)) {
		out->kind = "Critique";
		if (target != NULL)
			out->about = arena_printf(e->page, "of %s", target);
	} else if (export_is(event, EVENT_REVISION)) {
		out->kind = "Revision";
	} else if (export_is(event, EVENT_VOTE)) {
		const char *choice = json_get_str(data, "choice", "");
		out->kind = "Vote";
		out->about = *choice == '\0'
		    ? "abstains"
		    : arena_printf(e->page, "for %s", choice);
		out->text = json_get_str(data, "reasoning", "");
		return true;
	} else if (export_is(event, EVENT_SYNTHESIS)) {
		out->kind = "Synthesis";
	} else {
		return false;
	}
	out->text = json_get_str(data, "content", "");
	return true;
}

const char *
export_answer(const struct export *e)
{
	return json_get_str(e->result, "final_answer", "");
}

const char *
export_receipt_line(struct export *e)
{
	struct err_info info;
	struct receipt r;

	if (e->receipt == NULL)
		return "No receipt: the debate is not finished.";
	if (receipt_read(e->arena, e->receipt->text, strlen(e->receipt->text),
		&r, &info) != ERR_OK)
		return "The receipt is damaged.";
	if (e->receipt->signature == NULL)
		return arena_printf(e->arena,
		    "Unsigned receipt over %lld events: %s",
		    (long long)r.events, r.head);
	return arena_printf(e->arena,
	    "Receipt over %lld events, signed by %s: %s", (long long)r.events,
	    r.key_id, r.head);
}
