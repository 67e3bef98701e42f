/* SPDX-License-Identifier: MIT
 *
 * The transcript as one page by itself: no script, nothing loaded, every text
 * escaped; its own policy forbids the rest.
 */
#include <string.h>

#include "base/html.h"
#include "receipt/export_impl.h"

static const char html_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
    "'none'; style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    "body{font:1em/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 "
    "1em}\n"
    "pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border-left:.2em solid #999;margin:.5em 0;padding-left:1em}\n"
    "footer{color:#555;overflow-wrap:anywhere}\n</style>\n";

static void
html_begin(struct export *e, struct buf *out)
{
	const struct store_debate *d = e->debate;

	buf_puts(out, html_head);
	html_element(out, "title", arena_printf(e->arena, "Debate %s", d->id));
	buf_puts(out, "</head>\n<body>\n");
	html_element(out, "h1", arena_printf(e->arena, "Debate %s", d->id));
	html_element(out, "p",
	    arena_printf(e->arena, "Status: %s", store_status_name(d->status)));
	html_element(out, "h2", "Question");
	html_element(out, "pre", d->task);
	html_element(out, "h2", "Answer");
	html_element(out, "pre", export_answer(e));
	if (d->result != NULL)
		html_element(out, "p",
		    arena_printf(e->arena, "Confidence: %.3f; consensus: %s",
			d->confidence,
			d->consensus_reached ? "reached" : "not reached"));
}

static void
html_event(struct export *e, struct buf *out, const struct store_event *event,
    const struct json *data)
{
	struct export_entry entry;

	if (!export_entry(e, event, data, &entry))
		return;
	if (event->round != e->round) {
		e->round = event->round;
		html_element(out, "h2",
		    arena_printf(
			e->page, "Round %lld", (long long)event->round));
	}
	html_element(out, "h3",
	    arena_printf(e->page, "%s%s%s%s%s", entry.kind,
		entry.agent != NULL ? " by " : "",
		entry.agent != NULL ? entry.agent : "",
		entry.about != NULL ? " " : "",
		entry.about != NULL ? entry.about : ""));
	html_element(out, "pre", entry.text);
}

static void
html_end(struct export *e, struct buf *out)
{
	html_element(out, "footer", export_receipt_line(e));
	buf_puts(out, "</body>\n</html>\n");
}

const struct export_writer export_html = {.name = "html",
    .content_type = "text/html; charset=utf-8",
    .begin = html_begin,
    .event = html_event,
    .end = html_end};
