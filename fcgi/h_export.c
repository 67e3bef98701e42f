/* SPDX-License-Identifier: MIT
 *
 * Debates as files, their receipts, and the keys that verify them (contract
 * 2.5). Clients that accept JSON first get each file as the content of a JSON
 * object; all others get the file itself.
 */
#include "fcgi/handler.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "debate/view.h"
#include "fcgi/debate_out.h"
#include "fcgi/etag.h"
#include "fcgi/export_out.h"
#include "receipt/export.h"
#include "receipt/receipt.h"
#include "receipt/verify.h"

#define EXPORT_NAME_MAX 16

struct debate_export_in {
	const char *format, *table;
};

static const struct input debate_export_rows[] = {
    {.key = "format",
	.kind = INPUT_TEXT,
	.max = EXPORT_NAME_MAX,
	.offset = offsetof(struct debate_export_in, format),
	.help = "json (default), csv, html, txt, md or markdown."},
    {.key = "table",
	.kind = INPUT_TEXT,
	.max = EXPORT_NAME_MAX,
	.offset = offsetof(struct debate_export_in, table),
	.help = "Of csv: summary (default), messages, critiques or votes."},
};
const struct input_list debate_export_inputs = {
    debate_export_rows, ARRAY_LEN(debate_export_rows)};

/* An export under way; on the request's arena. */
struct debate_export {
	struct export *export;
	struct buf piece;
	const char *head; /* NULL = the file itself */
	size_t bytes;
	bool is_begun;
};

static void
debate_export_close(void *arg)
{
	struct debate_export *x = arg;

	export_free(&x->export);
	buf_release(&x->piece);
}

static enum err
debate_export_raw(void *arg, struct buf *out, bool *is_last)
{
	struct debate_export *x = arg;

	return export_next(x->export, out, is_last);
}

/* The piece as the inside of a JSON string: the file is valid UTF-8 and a
 * piece ends between characters. */
void
export_out_quote(struct buf *out, const struct buf *piece)
{
	struct buf text;
	struct json_w w;

	buf_init(&text, EXPORT_PIECE_MAX);
	json_w_init(&w, &text);
	json_w_strn(&w, NULL, buf_text(piece), piece->len);
	if (text.is_overflowed)
		out->is_overflowed = true;
	else
		buf_append(out, text.data + 1, text.len - 2);
	buf_release(&text);
}

static enum err
debate_export_wrapped(void *arg, struct buf *out, bool *is_last)
{
	struct debate_export *x = arg;

	if (!x->is_begun)
		buf_puts(out, x->head);
	x->is_begun = true;
	buf_clear(&x->piece);
	enum err e = export_next(x->export, &x->piece, is_last);
	x->bytes += x->piece.len;
	export_out_quote(out, &x->piece);
	if (*is_last)
		buf_printf(out, "\",\"size_bytes\":%zu}", x->bytes);
	return e == ERR_OK && out->is_overflowed ? ERR_TOO_LARGE : e;
}

/* All members but the content and its size; for json the debate itself too. */
static enum err
debate_export_head(struct req *req, const struct store_debate *row,
    enum export_kind kind, enum export_table table, const char **head)
{
	struct store_turn *turns = NULL;
	size_t n = 0;
	struct buf b;
	struct json_w w;
	enum err e = ERR_OK;

	if (kind == EXPORT_JSON)
		e = store_turn_list(req->app->store, req->arena, row->tenant,
		    row->id, &turns, &n);
	if (e != ERR_OK)
		return e;
	buf_init(&b, EXPORT_PIECE_MAX);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	if (kind == EXPORT_JSON)
		debate_view_members(&w, req->arena, row, turns, n,
		    DEBATE_VIEW_FULL, req->now_us);
	else
		json_w_str(&w, "debate_id", row->id);
	json_w_str(&w, "format", export_kind_name(kind));
	json_w_str(
	    &w, "filename", export_file_name(req->arena, row->id, kind, table));
	json_w_time(&w, "generated_at", req->now_us);
	buf_puts(&b, ",\"content\":\"");
	*head = arena_strdup(req->arena, buf_text(&b));
	e = b.is_overflowed ? ERR_TOO_LARGE : ERR_OK;
	buf_release(&b);
	return e;
}

static enum http_status
debate_export_read(struct req *req, struct res *res, enum export_kind *kind,
    enum export_table *table)
{
	struct debate_export_in in;
	struct err_info info = {0};

	enum http_status status =
	    input_read_query(req, &debate_export_inputs, &in, res);
	if (status != HTTP_OK)
		return status;
	if (req->match.n_params > 1)
		in.format = req->match.params[1];
	enum err e = export_kind_parse(
	    in.format != NULL ? in.format : "json", kind, &info);
	if (e == ERR_OK)
		e = export_table_parse(
		    in.table != NULL ? in.table : "summary", table, &info);
	if (e == ERR_OK)
		return HTTP_OK;
	struct res_field field = {info.field, info.text};
	return res_invalid(res, "INVALID_VALUE", &field, 1);
}

/* The receipt of a finished debate; NULL while it runs. */
enum err
export_out_seal(const struct app *app, struct arena *a,
    const struct store_debate *row, const struct store_receipt **out)
{
	struct store_receipt *r = ARENA_NEW(a, struct store_receipt);

	enum err e = receipt_seal(
	    app->store, app->receipt_keys, a, row->tenant, row->id, r);
	*out = e == ERR_OK ? r : NULL;
	return e == ERR_CONFLICT ? ERR_OK : e;
}

/* Format and table are in the address. A wrapped one says when it was made, so
 * its tag is a weak one. */
static const char *
debate_export_tag(struct req *req, const struct store_debate *row,
    const struct store_receipt *receipt, bool is_wrapped)
{
	return arena_printf(req->arena, "%s-%s%s",
	    debate_out_revision(req, row),
	    receipt->signature != NULL ? "signed" : "plain",
	    is_wrapped ? "-json" : "");
}

enum http_status
debate_export(struct req *req, struct res *res)
{
	struct debate_export *x = ARENA_NEW(req->arena, struct debate_export);
	const struct store_receipt *receipt = NULL;
	struct store_debate *row = ARENA_NEW(req->arena, struct store_debate);
	const char *accept = env_get(req->env, ENV_ACCEPT);
	bool is_wrapped = str_starts(accept, "application/json");
	enum export_kind kind = EXPORT_JSON;
	enum export_table table = EXPORT_SUMMARY;

	enum http_status status = debate_export_read(req, res, &kind, &table);
	if (status == HTTP_OK)
		status = debate_out_fetch(req, res, row);
	if (status != HTTP_OK)
		return status;
	if (res_header(res, "Vary", "Accept") != ERR_OK)
		return res_err(res, ERR_INTERNAL, NULL);
	enum err e = export_out_seal(req->app, req->arena, row, &receipt);
	if (e == ERR_OK && receipt != NULL &&
	    etag_is_known(req, res,
		debate_export_tag(req, row, receipt, is_wrapped), is_wrapped))
		return HTTP_NOT_MODIFIED;
	if (e == ERR_OK && is_wrapped)
		e = debate_export_head(req, row, kind, table, &x->head);
	if (e == ERR_OK && !is_wrapped && kind != EXPORT_JSON)
		e = res_header(res, "Content-Disposition",
		    arena_printf(req->arena, "attachment; filename=\"%s\"",
			export_file_name(req->arena, row->id, kind, table)));
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	x->export = export_new(req->app->store, row, receipt, kind, table);
	buf_init(&x->piece, EXPORT_PIECE_MAX);
	arena_defer(req->arena, debate_export_close, x);
	return res_stream(res,
	    is_wrapped ? "application/json" : export_content_type(kind),
	    is_wrapped ? debate_export_wrapped : debate_export_raw, x);
}

enum http_status
debate_receipt(struct req *req, struct res *res)
{
	const struct store_receipt *receipt = NULL;
	struct err_info info = {0};
	struct store_debate row;
	struct receipt r;

	enum http_status status = debate_out_fetch(req, res, &row);
	if (status != HTTP_OK)
		return status;
	enum err e = export_out_seal(req->app, req->arena, &row, &receipt);
	if (e != ERR_OK)
		return res_err(res, e, NULL);
	if (receipt == NULL) {
		err_set(&info, ERR_CONFLICT, "", "the debate is not finished");
		return res_err(res, ERR_CONFLICT, &info);
	}
	if (receipt_read(req->arena, receipt->text, strlen(receipt->text), &r,
		&info) != ERR_OK)
		e = ERR_INTERNAL;
	if (e != ERR_OK)
		return res_err(res, e, &info);
	struct json_w *w = res_json(res);
	json_w_str(w, "debate_id", row.id);
	json_w_bool(w, "signed", receipt->signature != NULL);
	json_w_str(w, "algorithm", r.algorithm);
	json_w_str(w, "key_id", r.key_id);
	json_w_raw(w, "receipt", receipt->text);
	json_w_str(w, "receipt_text", receipt->text);
	json_w_str(w, "signature", receipt->signature);
	return res_json_end(res, HTTP_OK);
}

enum http_status
receipt_list_keys(struct req *req, struct res *res)
{
	const struct receipt_keys *keys = req->app->receipt_keys;
	const char *signer = receipt_keys_signer(keys);
	struct json_w *w = res_json(res);

	json_w_begin_array(w, "keys");
	for (size_t i = 0; i < receipt_keys_count(keys); i++) {
		const char *id = receipt_keys_id(keys, i);
		json_w_begin(w, NULL);
		json_w_str(w, "kid", id);
		json_w_str(w, "kty", "OKP");
		json_w_str(w, "crv", "Ed25519");
		json_w_str(w, "x", receipt_keys_public(keys, i));
		json_w_bool(w, "signs", str_eq(id, signer));
		json_w_end(w);
	}
	json_w_end_array(w);
	json_w_bool(w, "signed", signer != NULL);
	return res_json_end(res, HTTP_OK);
}

/* The body is an exported file, byte by byte. */
enum http_status
receipt_verify(struct req *req, struct res *res)
{
	struct verify_report report;

	enum err e = verify_export(
	    req->app->receipt_keys, req->body_text, req->body_len, &report);
	struct json_w *w = res_json(res);
	json_w_bool(w, "valid", e == ERR_OK);
	json_w_str(w, "debate_id",
	    *report.debate_id != '\0' ? report.debate_id : NULL);
	json_w_str(w, "key_id", *report.key_id != '\0' ? report.key_id : NULL);
	json_w_int(w, "events", report.events);
	if (e != ERR_OK)
		json_w_str(w, "reason", report.why);
	if (report.event > 0)
		json_w_int(w, "event", report.event);
	return res_json_end(res, HTTP_OK);
}
