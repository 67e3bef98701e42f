/* SPDX-License-Identifier: MIT
 *
 * A debate as a file: json (complete, for `aragora verify`), markdown, text,
 * html, csv. It is given out piece by piece, so what is in memory is a page of
 * events, however long the debate was.
 */
#pragma once

#include "base/buf.h"
#include "store/store.h"

enum export_kind {
	EXPORT_JSON,
	EXPORT_MARKDOWN,
	EXPORT_TEXT,
	EXPORT_HTML,
	EXPORT_CSV,
	EXPORT__COUNT
};
enum export_table {
	EXPORT_SUMMARY,
	EXPORT_MESSAGES,
	EXPORT_CRITIQUES,
	EXPORT_VOTES,
	EXPORT_TABLE__COUNT
};

/* Names as people and clients write them: "json", "csv", "html", "md",
 * "markdown", "txt", "text". ERR_INVALID, and info lists them. */
enum err export_kind_parse(
    const char *name, enum export_kind *out, struct err_info *info) MUST_CHECK;
enum err export_table_parse(
    const char *name, enum export_table *out, struct err_info *info) MUST_CHECK;
/* "json", "md", "txt", "html", "csv". */
const char *export_kind_name(enum export_kind k);
const char *export_content_type(enum export_kind k);
/* "debate-ID.md", "debate-ID-votes.csv"; on the arena. */
const char *export_file_name(struct arena *a, const char *debate_id,
    enum export_kind k, enum export_table t);

struct export;

/* d and receipt (NULL = none yet) are borrowed with their texts until the
 * export is freed, as is the store. */
struct export *export_new(struct store *store, const struct store_debate *d,
    const struct store_receipt *receipt, enum export_kind k,
    enum export_table t) MUST_CHECK;
void export_free(struct export **e);
/* Appends the next piece; whole characters. */
enum err export_next(struct export *e, struct buf *out, bool *is_last)
    MUST_CHECK;
