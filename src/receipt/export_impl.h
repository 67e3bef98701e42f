/* SPDX-License-Identifier: MIT
 *
 * Inside of the export: each kind of file is one record.
 */
#pragma once

#include "base/json.h"
#include "receipt/chain.h"
#include "receipt/export.h"

#define EXPORT_FORMAT "aragora-export/1"

struct export
{
	struct store *store;
	const struct store_debate *debate;
	const struct store_receipt *receipt; /* NULL = none */
	enum export_kind kind;
	enum export_table table;
	struct arena *arena; /* of the whole */
	struct arena *page;
	const struct json *config, *result;
	struct chain chain;
	int64_t seq;	   /* of the last event written */
	int64_t n_written; /* events, or rows of a table */
	int64_t round;	   /* of the last heading */
	bool is_begun, is_listed;
};

struct export_writer {
	const char *name;
	const char *content_type;
	void (*begin)(struct export *e, struct buf *out);
	/* data is that of the event, read. NULL = of no interest. */
	void (*event)(struct export *e, struct buf *out,
	    const struct store_event *event, const struct json *data);
	void (*end)(struct export *e, struct buf *out);
};
extern const struct export_writer export_json, export_markdown, export_text,
    export_html, export_csv;

/* ---- the lines of the json file, also for the one who verifies it ---- */

/* config and result are the stored texts, read from these lines again. */
void export_json_receipt(
    struct buf *out, const char *receipt, const char *signature);
void export_json_summary(struct buf *out, const char *debate_id,
    const char *status, const struct json *config, const struct json *result);
/* An event up to its data; the data and "}" follow. */
void export_json_event(
    struct buf *out, const struct store_event *e, const char *hash);

/* ---- what people read ---- */

/* What an event says, for the transcripts; NULL members = none. */
struct export_entry {
	const char *kind; /* "Proposal", "Critique", ... */
	const char *agent;
	const char *about; /* "of B", "for B" */
	const char *text;
};
/* false: the event is not part of a transcript. Texts on the page's arena. */
bool export_entry(struct export *e, const struct store_event *event,
    const struct json *data, struct export_entry *out);
/* The answer, "" while there is none. */
const char *export_answer(const struct export *e);
/* One line on whether the file is covered by a receipt; on the arena. */
const char *export_receipt_line(struct export *e);
