/* SPDX-License-Identifier: MIT
 *
 * Transcripts in Markdown and in plain text. In Markdown what models and users
 * wrote is quoted line by line, so that no text can end its quotation, and "<"
 * and "&" are escaped, so that none is HTML to whoever renders it.
 */
#include <string.h>

#include "receipt/export_impl.h"

static void
text_lines(struct buf *out, const char *prefix, const char *text, bool is_md)
{
	buf_puts(out, prefix);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\n')
			buf_printf(out, "\n%s", prefix);
		else if (*p == '\r')
			continue;
		else if (is_md && *p == '<')
			buf_puts(out, "&lt;");
		else if (is_md && *p == '&')
			buf_puts(out, "&amp;");
		else
			buf_putc(out, *p);
	}
	buf_puts(out, "\n\n");
}

/* A name within a heading: one line, nothing of Markdown in it. */
static void
text_name(struct buf *out, const char *text, bool is_md)
{
	for (const char *p = text; p != NULL && *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20)
			buf_putc(out, ' ');
		else if (is_md && *p == '<')
			buf_puts(out, "&lt;");
		else if (is_md && *p == '&')
			buf_puts(out, "&amp;");
		else if (is_md && strchr("\\`*_[]#!|", *p) != NULL)
			buf_printf(out, "\\%c", *p);
		else
			buf_putc(out, *p);
	}
}

static void
text_heading(struct buf *out, int level, const char *text, bool is_md)
{
	if (is_md)
		for (int i = 0; i < level; i++)
			buf_putc(out, '#');
	buf_puts(out, is_md ? " " : level == 1 ? "" : "== ");
	buf_puts(out, text);
	buf_puts(out, !is_md && level > 1 ? " ==\n\n" : "\n\n");
}

static void
text_begin_as(struct export *e, struct buf *out, bool is_md)
{
	const char *quote = is_md ? "> " : "  ";

	text_heading(
	    out, 1, arena_printf(e->arena, "Debate %s", e->debate->id), is_md);
	buf_printf(out, "Status: %s\n\n", store_status_name(e->debate->status));
	text_heading(out, 2, "Question", is_md);
	text_lines(out, quote, e->debate->task, is_md);
	text_heading(out, 2, "Answer", is_md);
	text_lines(out, quote, export_answer(e), is_md);
	if (e->debate->result != NULL)
		buf_printf(out, "Confidence: %.3f; consensus: %s\n\n",
		    e->debate->confidence,
		    e->debate->consensus_reached ? "reached" : "not reached");
}

static void
text_event_as(struct export *e, struct buf *out,
    const struct store_event *event, const struct json *data, bool is_md)
{
	struct export_entry entry;

	if (!export_entry(e, event, data, &entry))
		return;
	if (event->round != e->round) {
		e->round = event->round;
		text_heading(out, 2,
		    arena_printf(
			e->page, "Round %lld", (long long)event->round),
		    is_md);
	}
	buf_puts(out, is_md ? "### " : "");
	buf_puts(out, entry.kind);
	buf_puts(out, entry.agent != NULL ? " by " : "");
	text_name(out, entry.agent, is_md);
	buf_puts(out, entry.about != NULL ? " " : "");
	text_name(out, entry.about, is_md);
	buf_puts(out, "\n\n");
	text_lines(out, is_md ? "> " : "  ", entry.text, is_md);
}

static void
text_end_as(struct export *e, struct buf *out, bool is_md)
{
	text_heading(out, 2, "Receipt", is_md);
	buf_puts(out, export_receipt_line(e));
	buf_puts(out, "\n");
}

static void
markdown_begin(struct export *e, struct buf *out)
{
	text_begin_as(e, out, true);
}

static void
markdown_event(struct export *e, struct buf *out,
    const struct store_event *event, const struct json *data)
{
	text_event_as(e, out, event, data, true);
}

static void
markdown_end(struct export *e, struct buf *out)
{
	text_end_as(e, out, true);
}

static void
text_begin(struct export *e, struct buf *out)
{
	text_begin_as(e, out, false);
}

static void
text_event(struct export *e, struct buf *out, const struct store_event *event,
    const struct json *data)
{
	text_event_as(e, out, event, data, false);
}

static void
text_end(struct export *e, struct buf *out)
{
	text_end_as(e, out, false);
}

const struct export_writer export_markdown = {.name = "md",
    .content_type = "text/markdown; charset=utf-8",
    .begin = markdown_begin,
    .event = markdown_event,
    .end = markdown_end};

const struct export_writer export_text = {.name = "txt",
    .content_type = "text/plain; charset=utf-8",
    .begin = text_begin,
    .event = text_event,
    .end = text_end};
