/* SPDX-License-Identifier: MIT
 *
 * What a connection has yet to write: references to shared frames and how far
 * the first of them has gone. One frame at a time, which is the rule, needs no
 * memory; for more it is held until the queue is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ws-bridge/frame.h"

struct outq_entry {
	struct frame *frame;
	uint32_t len;	  /* bytes of it on the wire */
	uint8_t form;	  /* enum frame_form, as frame_form_for told */
	bool is_replayed; /* sent with "replayed":true */
};

struct outq {
	struct outq_entry *entries; /* cap is a power of two */
	struct outq_entry own;	    /* entries while cap is 1 */
	size_t cap;
	size_t first;
	size_t n;
	size_t bytes; /* still to be written */
	size_t sent;  /* of the first entry */
};

#define OUTQ_IOV 64 /* entries one outq_gather takes at most */

/* Scratch of one gather; too large for a stack that is cleared. */
struct outq_vec {
	struct iovec iov[2 * OUTQ_IOV];
	int n;
	char heads[OUTQ_IOV][FRAME_HEAD_MAX];
};

/* A zeroed outq is empty. It must not be moved. */
void outq_release(struct outq *q);
/* Takes the reference. form is what frame_form_for gave for f. */
void outq_push(
    struct outq *q, struct frame *f, enum frame_form form, bool is_replayed);
/* The unwritten bytes from the front; valid until the queue changes. */
void outq_gather(const struct outq *q, struct outq_vec *v);
/* len bytes of them were written. */
void outq_consume(struct outq *q, size_t len);
/* Forget everything but a frame that is partly out: a frame cannot be left
 * unfinished on the wire. */
void outq_cut(struct outq *q);
