/* SPDX-License-Identifier: MIT */
#include "ws-bridge/outq.h"

#include <assert.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"

#define OUTQ_FIRST_CAP 4 /* when one does not do */

static struct outq_entry *
outq_at(const struct outq *q, size_t i)
{
	return &q->entries[(q->first + i) & (q->cap - 1)];
}

static uint32_t
outq_entry_len(const struct outq_entry *e)
{
	char head[FRAME_HEAD_MAX];
	size_t tail;

	size_t n = frame_head(
	    e->frame, (enum frame_form)e->form, e->is_replayed, head);
	frame_tail(e->frame, (enum frame_form)e->form, e->is_replayed, &tail);
	assert(n + tail <= UINT32_MAX);
	return (uint32_t)(n + tail);
}

void
outq_release(struct outq *q)
{
	for (size_t i = 0; i < q->n; i++)
		frame_unref(&outq_at(q, i)->frame);
	if (q->entries != &q->own)
		heap_free(HEAP_CONNECTIONS, q->entries);
	q->entries = NULL;
	q->cap = 0;
	q->first = 0;
	q->n = 0;
	q->bytes = 0;
	q->sent = 0;
}

static void
outq_grow(struct outq *q)
{
	size_t cap = q->cap > 1 ? q->cap * 2 : OUTQ_FIRST_CAP;
	struct outq_entry *entries = heap_take(
	    HEAP_CONNECTIONS, mem_array(cap, sizeof(struct outq_entry)));

	for (size_t i = 0; i < q->n; i++)
		entries[i] = *outq_at(q, i);
	if (q->entries != &q->own)
		heap_free(HEAP_CONNECTIONS, q->entries);
	q->entries = entries;
	q->cap = cap;
	q->first = 0;
}

void
outq_push(
    struct outq *q, struct frame *f, enum frame_form form, bool is_replayed)
{
	if (q->cap == 0) {
		q->entries = &q->own;
		q->cap = 1;
	} else if (q->n == q->cap) {
		outq_grow(q);
	}
	struct outq_entry *e = outq_at(q, q->n++);
	*e = (struct outq_entry){
	    .frame = f, .form = (uint8_t)form, .is_replayed = is_replayed};
	e->len = outq_entry_len(e);
	q->bytes += e->len;
}

/* Append [base, base+len) less its first *skip bytes. */
static void
outq_vec_add(struct outq_vec *v, const char *base, size_t len, size_t *skip)
{
	size_t cut = *skip < len ? *skip : len;

	*skip -= cut;
	if (cut == len)
		return;
	/* sendmsg only reads; struct iovec has no const. */
	union {
		const char *in;
		void *out;
	} u = {.in = base + cut};
	v->iov[v->n++] =
	    (struct iovec){.iov_base = u.out, .iov_len = len - cut};
}

void
outq_gather(const struct outq *q, struct outq_vec *v)
{
	size_t skip = q->sent;

	v->n = 0;
	for (size_t i = 0; i < q->n && i < OUTQ_IOV; i++) {
		const struct outq_entry *e = outq_at(q, i);
		enum frame_form form = (enum frame_form)e->form;
		size_t tail_len;
		size_t head_len =
		    frame_head(e->frame, form, e->is_replayed, v->heads[i]);
		const char *tail =
		    frame_tail(e->frame, form, e->is_replayed, &tail_len);
		outq_vec_add(v, v->heads[i], head_len, &skip);
		outq_vec_add(v, tail, tail_len, &skip);
	}
}

void
outq_consume(struct outq *q, size_t len)
{
	assert(len <= q->bytes);
	q->bytes -= len;
	len += q->sent;
	while (q->n > 0) {
		struct outq_entry *e = outq_at(q, 0);
		if (len < e->len)
			break;
		len -= e->len;
		frame_unref(&e->frame);
		q->first = (q->first + 1) & (q->cap - 1);
		q->n--;
	}
	q->sent = len;
	if (q->n == 0)
		outq_release(q);
}

void
outq_cut(struct outq *q)
{
	size_t keep = q->sent > 0 ? 1 : 0;

	while (q->n > keep) {
		struct outq_entry *e = outq_at(q, q->n - 1);
		q->bytes -= e->len;
		frame_unref(&e->frame);
		q->n--;
	}
	if (q->n == 0)
		outq_release(q);
}
