/* SPDX-License-Identifier: MIT
 *
 * The complete file. One line for each part and each event, and every byte
 * follows from what the receipt covers: who verifies it writes it again and
 * compares (verify.c). So this form never changes; another one gets another
 * name.
 */
#include "receipt/export_impl.h"

#include <string.h>

void
export_json_receipt(struct buf *out, const char *receipt, const char *signature)
{
	buf_puts(out, "{\"format\":\"" EXPORT_FORMAT "\",\"receipt\":");
	buf_puts(out, receipt != NULL ? receipt : "null");
	buf_puts(out, ",\"signature\":");
	if (signature != NULL)
		buf_printf(out, "\"%s\",\n", signature);
	else
		buf_puts(out, "null,\n");
}

void
export_json_summary(struct buf *out, const char *debate_id, const char *status,
    const struct json *config, const struct json *result)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, out->max);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_str(&w, "debate_id", debate_id);
	json_w_str(&w, "id", debate_id);
	json_w_str(&w, "task", json_get_str(config, "task", NULL));
	json_w_str(&w, "status", status);
	json_w_str(
	    &w, "final_answer", json_get_str(result, "final_answer", NULL));
	json_w_end(&w);
	/* As members of the file's own object. */
	buf_append(out, buf_text(&b) + 1, b.len > 2 ? b.len - 2 : 0);
	buf_puts(out, ",\n");
	buf_release(&b);
}

void
export_json_event(
    struct buf *out, const struct store_event *e, const char *hash)
{
	struct buf b;
	struct json_w w;

	buf_init(&b, out->max);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	json_w_int(&w, "seq", e->seq);
	json_w_str(&w, "type", e->type);
	json_w_int(&w, "round", e->round);
	json_w_str(&w, "agent", e->agent);
	json_w_int(&w, "created_us", e->created_us);
	json_w_str(&w, "hash", hash);
	buf_append(out, buf_text(&b), b.len);
	buf_puts(out, ",\"data\":");
	buf_release(&b);
}

static void
json_begin(struct export *e, struct buf *out)
{
	const struct store_debate *d = e->debate;
	const struct store_receipt *r = e->receipt;

	export_json_receipt(
	    out, r != NULL ? r->text : NULL, r != NULL ? r->signature : NULL);
	buf_puts(out, "\"config\":");
	buf_puts(out, d->config);
	buf_puts(out, ",\n\"result\":");
	buf_puts(out, d->result != NULL ? d->result : "null");
	buf_puts(out, ",\n");
	export_json_summary(
	    out, d->id, store_status_name(d->status), e->config, e->result);
	buf_puts(out, "\"events\":[");
}

/* The hash is the one of when the receipt was made, so that the first event
 * that was changed since is seen. */
static const char *
json_hash(const struct export *e, int64_t seq, char *hex)
{
	const char *marks = e->receipt != NULL ? e->receipt->marks : "";
	size_t digits = ID_HASH_SIZE - 1;
	size_t have = strlen(marks) / digits;

	chain_hex(&e->chain, hex);
	if (seq >= 1 && (uint64_t)seq <= have) {
		memcpy(hex, marks + ((size_t)seq - 1) * digits, digits);
		hex[digits] = '\0';
	}
	return hex;
}

static void
json_event(struct export *e, struct buf *out, const struct store_event *event,
    const struct json *data UNUSED)
{
	char hex[ID_HASH_SIZE];

	chain_add(&e->chain, event);
	buf_puts(out, e->n_written++ == 0 ? "\n" : ",\n");
	export_json_event(out, event, json_hash(e, event->seq, hex));
	buf_puts(out, event->data);
	buf_puts(out, "}");
}

static void
json_end(struct export *e UNUSED, struct buf *out)
{
	buf_puts(out, "\n]}\n");
}

const struct export_writer export_json = {.name = "json",
    .content_type = "application/json",
    .begin = json_begin,
    .event = json_event,
    .end = json_end};
