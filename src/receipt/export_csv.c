/* SPDX-License-Identifier: MIT
 *
 * Tables (RFC 4180). A cell that a spreadsheet would take for a formula gets
 * an apostrophe in front.
 */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "bus/event.h"
#include "receipt/export_impl.h"

static const char *const csv_headers[EXPORT_TABLE__COUNT] = {
    [EXPORT_SUMMARY] = "field,value",
    [EXPORT_MESSAGES] = "round,agent,role,content,timestamp",
    [EXPORT_CRITIQUES] = "round,critic,target,severity,summary,timestamp",
    [EXPORT_VOTES] = "round,voter,choice,reason,timestamp"};

/* Spreadsheets skip white space before they look for a formula. */
static bool
csv_is_formula(const char *text)
{
	if (*text == '\t' || *text == '\r' || *text == '\n')
		return true;
	while (*text == ' ')
		text++;
	return *text != '\0' && strchr("=+-@", *text) != NULL;
}

static void
csv_cell(struct buf *out, const char *text, bool is_last)
{
	text = text != NULL ? text : "";
	bool is_formula = csv_is_formula(text);
	bool is_quoted =
	    is_formula || strpbrk(text, "\",\r\n") != NULL || *text == ' ';

	if (is_quoted)
		buf_putc(out, '"');
	if (is_formula)
		buf_putc(out, '\'');
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"')
			buf_putc(out, '"');
		buf_putc(out, *p);
	}
	if (is_quoted)
		buf_putc(out, '"');
	buf_puts(out, is_last ? "\r\n" : ",");
}

static void
csv_pair(struct buf *out, const char *field, const char *value)
{
	csv_cell(out, field, false);
	csv_cell(out, value, true);
}

static const char *
csv_time(struct export *e, int64_t us)
{
	char when[CLOCK_ISO_SIZE];

	return us > 0 ? arena_strdup(e->arena, clock_iso(us, when)) : "";
}

static void
csv_summary(struct export *e, struct buf *out)
{
	const struct store_debate *d = e->debate;
	struct arena *a = e->arena;

	csv_pair(out, "debate_id", d->id);
	csv_pair(out, "task", d->task);
	csv_pair(out, "status", store_status_name(d->status));
	csv_pair(out, "final_answer", export_answer(e));
	csv_pair(out, "confidence", arena_printf(a, "%.6f", d->confidence));
	csv_pair(
	    out, "consensus_reached", d->consensus_reached ? "true" : "false");
	csv_pair(out, "rounds", arena_printf(a, "%lld", (long long)d->round));
	csv_pair(
	    out, "events", arena_printf(a, "%lld", (long long)d->last_seq));
	csv_pair(out, "created_at", csv_time(e, d->created_us));
	csv_pair(out, "started_at", csv_time(e, d->started_us));
	csv_pair(out, "completed_at", csv_time(e, d->completed_us));
	csv_pair(out, "receipt", export_receipt_line(e));
}

static void
csv_begin(struct export *e, struct buf *out)
{
	buf_puts(out, csv_headers[e->table]);
	buf_puts(out, "\r\n");
	if (e->table == EXPORT_SUMMARY)
		csv_summary(e, out);
}

static bool
csv_is(const struct store_event *event, enum event_type type)
{
	return str_eq(event->type, event_name(type));
}

/* The cells between the agent and the time; 0 = another table's event. */
static size_t
csv_cells(struct export *e, const struct store_event *event,
    const struct json *data, const char *cells[3])
{
	switch (e->table) {
	case EXPORT_MESSAGES:
		if (!csv_is(event, EVENT_AGENT_MESSAGE) &&
		    !csv_is(event, EVENT_REVISION) &&
		    !csv_is(event, EVENT_SYNTHESIS))
			return 0;
		cells[0] = json_get_str(data, "role",
		    csv_is(event, EVENT_SYNTHESIS) ? "synthesizer"
						   : "proposer");
		cells[1] = json_get_str(data, "content", "");
		return 2;
	case EXPORT_CRITIQUES:
		if (!csv_is(event, EVENT_CRITIQUE))
			return 0;
		cells[0] = json_get_str(data, "target", "");
		cells[1] = arena_printf(
		    e->page, "%g", json_get_num(data, "severity", 0));
		cells[2] = json_get_str(data, "content", "");
		return 3;
	case EXPORT_VOTES:
		if (!csv_is(event, EVENT_VOTE))
			return 0;
		cells[0] = json_get_str(data, "choice", "");
		cells[1] = json_get_str(data, "reasoning", "");
		return 2;
	case EXPORT_SUMMARY:
	case EXPORT_TABLE__COUNT:
		break;
	}
	return 0;
}

static void
csv_event(struct export *e, struct buf *out, const struct store_event *event,
    const struct json *data)
{
	const char *cells[3] = {0};
	char when[CLOCK_ISO_SIZE];

	size_t n = csv_cells(e, event, data, cells);
	if (n == 0)
		return;
	csv_cell(
	    out, arena_printf(e->page, "%lld", (long long)event->round), false);
	csv_cell(out, event->agent, false);
	for (size_t i = 0; i < n; i++)
		csv_cell(out, cells[i], false);
	csv_cell(out, clock_iso(event->created_us, when), true);
}

static void
csv_end(struct export *e UNUSED, struct buf *out UNUSED)
{
}

const struct export_writer export_csv = {.name = "csv",
    .content_type = "text/csv; charset=utf-8",
    .begin = csv_begin,
    .event = csv_event,
    .end = csv_end};
