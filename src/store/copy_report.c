/* SPDX-License-Identifier: MIT
 *
 * What came out of a copy, as JSON.
 */
#include "base/json.h"
#include "store/copy.h"

const char *
copy_state_name(enum copy_state s)
{
	static const char *const names[COPY_STATE__COUNT] = {
	    [COPY_FAILED] = "failed",
	    [COPY_REFUSED] = "refused",
	    [COPY_CHECKED] = "checked",
	    [COPY_DIFFERENT] = "different",
	    [COPY_BEHIND] = "behind",
	    [COPY_EQUAL] = "equal",
	    [COPY_COMPLETE] = "complete",
	    [COPY_ABORTED] = "aborted"};

	return names[s];
}

const char *
copy_phase_name(enum copy_phase p)
{
	static const char *const names[COPY_PHASE__COUNT] = {
	    [COPY_PHASE_CHECK] = "check",
	    [COPY_PHASE_RESUME] = "resume",
	    [COPY_PHASE_COPY] = "copy",
	    [COPY_PHASE_FOLLOW] = "follow",
	    [COPY_PHASE_VERIFY] = "verify"};

	return names[p];
}

/* To be ended by the caller. */
static void
copy_report_problem(
    struct json_w *w, const char *name, const struct copy_problem *p)
{
	json_w_begin(w, name);
	json_w_str(w, "table", p->table);
	json_w_str(w, "column", p->column);
	json_w_raw(w, "key", *p->key != '\0' ? p->key : NULL);
	json_w_str(w, "text", p->text);
}

static void
copy_report_table(struct json_w *w, const struct copy_table_report *t)
{
	json_w_begin(w, NULL);
	json_w_str(w, "name", t->name);
	json_w_int(w, "source_rows", t->source_rows);
	json_w_int(w, "target_rows", t->target_rows);
	json_w_int(w, "copied", t->copied);
	json_w_int(w, "kept", t->kept);
	json_w_int(w, "replayed", t->replayed);
	json_w_str(w, "source_hash", t->source_hash);
	json_w_str(w, "target_hash", t->target_hash);
	json_w_int(w, "ranges", t->ranges);
	json_w_int(w, "differing_ranges", t->differing);
	json_w_int(w, "differing_rows", t->rows_wrong);
	if (t->first == NULL) {
		json_w_null(w, "first_difference");
	} else {
		copy_report_problem(w, "first_difference", t->first);
		json_w_begin_array(w, "range");
		json_w_raw(w, NULL, t->range_from);
		json_w_raw(w, NULL, t->range_to);
		json_w_end_array(w);
		json_w_end(w);
	}
	json_w_end(w);
}

static void
copy_report_problems(
    struct json_w *w, const char *name, const struct copy_problem *p, size_t n)
{
	json_w_begin_array(w, name);
	for (size_t i = 0; i < n && i < COPY_PROBLEMS_MAX; i++) {
		copy_report_problem(w, NULL, &p[i]);
		json_w_end(w);
	}
	json_w_end_array(w);
}

void
copy_report_json(const struct copy_report *report, const struct err_info *error,
    struct buf *out)
{
	struct json_w w;

	json_w_init(&w, out);
	json_w_begin(&w, NULL);
	json_w_str(&w, "state", copy_state_name(report->state));
	json_w_str(&w, "from", report->from);
	json_w_str(&w, "to", report->to);
	json_w_int(&w, "schema", report->schema);
	if (error == NULL) {
		json_w_null(&w, "error");
	} else {
		json_w_begin(&w, "error");
		json_w_str(&w, "field", error->field);
		json_w_str(&w, "text", error->text);
		json_w_end(&w);
	}
	json_w_bool(&w, "resumed", report->is_resumed);
	json_w_int(&w, "passes", report->passes);
	json_w_int(&w, "behind", report->behind);
	json_w_int(&w, "n_problems", (int64_t)report->n_problems);
	copy_report_problems(
	    &w, "problems", report->problems, report->n_problems);
	copy_report_problems(&w, "notes", report->notes, report->n_notes);
	json_w_begin_array(&w, "tables");
	for (size_t i = 0; i < report->n_tables; i++)
		copy_report_table(&w, &report->tables[i]);
	json_w_end_array(&w);
	json_w_end(&w);
	buf_putc(out, '\n');
}
