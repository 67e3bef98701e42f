/* SPDX-License-Identifier: MIT
 *
 * Who has how much of the heap, in every process of this host.
 */
#include "fcgi/handler.h"

#include "base/clock.h"
#include "metrics/heap_slot.h"
#include "metrics/metrics.h"
#include "settings/settings.h"

#define MEMORY_PROCESSES 256 /* as many as have a slot */

static void
memory_amount(struct json_w *w, const char *name, const struct heap_amount *a)
{
	json_w_begin(w, name);
	json_w_int(w, "bytes", a->bytes);
	json_w_int(w, "blocks", a->blocks);
	json_w_end(w);
}

static void
memory_figures(struct json_w *w, const struct heap_figures *f)
{
	json_w_int(w, "total_bytes", f->total);
	json_w_int(w, "used_bytes", f->used);
	json_w_int(w, "free_bytes", f->total - f->used);
	json_w_int(w, "mapped_bytes", f->mapped);
	json_w_int(w, "resident_bytes", f->resident);
	json_w_begin(w, "subsystems");
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++)
		memory_amount(w, heap_account_name((enum heap_account)i),
		    &f->accounts[i]);
	json_w_end(w);
	json_w_int(w, "other_bytes", f->accounts[HEAP_NONE].bytes);
}

static void
memory_add(struct heap_figures *sum, const struct heap_figures *f)
{
	sum->total += f->total;
	sum->used += f->used;
	sum->mapped += f->mapped;
	sum->resident += f->resident;
	for (int i = HEAP_NONE; i < HEAP__COUNT; i++) {
		sum->accounts[i].bytes += f->accounts[i].bytes;
		sum->accounts[i].blocks += f->accounts[i].blocks;
	}
}

static void
memory_debates(struct json_w *w, const struct heap_process *p)
{
	json_w_int(w, "debates_in_hand", p->n_debates);
	json_w_begin_array(w, "largest_debates");
	for (int64_t i = 0; i < p->n_top; i++) {
		const struct heap_debate *d = &p->top[i];
		json_w_begin(w, NULL);
		json_w_str(w, "debate_id", d->id);
		json_w_int(w, "bytes", d->bytes);
		json_w_int(w, "calls", d->calls);
		json_w_int(w, "calls_bytes", d->call_bytes);
		json_w_end(w);
	}
	json_w_end_array(w);
}

static void
memory_process(struct json_w *w, const struct heap_process *p)
{
	json_w_begin(w, NULL);
	json_w_str(w, "program", p->program);
	json_w_int(w, "pid", p->pid);
	json_w_time(w, "measured_at", p->at_us);
	memory_figures(w, &p->figures);
	memory_debates(w, p);
	json_w_end(w);
}

enum http_status
metrics_memory(struct req *req, struct res *res)
{
	struct heap_figures sum = {0};

	if (!req->app->settings->memory_profiling)
		return res_fail(res, HTTP_NOT_FOUND, "NOT_FOUND",
		    "memory is not profiled: ARAGORA_MEMORY_PROFILING is off");
	struct heap_process *rows =
	    ARENA_ARRAY(req->arena, MEMORY_PROCESSES, struct heap_process);
	size_t n = metrics_heap_read(rows, MEMORY_PROCESSES);
	for (size_t i = 0; i < n; i++)
		memory_add(&sum, &rows[i].figures);
	struct json_w *w = res_json(res);
	json_w_time(w, "timestamp", req->now_us);
	json_w_begin(w, "host");
	memory_figures(w, &sum);
	json_w_end(w);
	json_w_begin_array(w, "processes");
	for (size_t i = 0; i < n; i++)
		memory_process(w, &rows[i]);
	json_w_end_array(w);
	return res_json_end(res, HTTP_OK);
}
