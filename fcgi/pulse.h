/* SPDX-License-Identifier: MIT
 *
 * Topics that suggest themselves (contract 4.1): the tags and domains of what
 * the caller's tenant asked within the last days, and a list that is built in.
 * Nothing is fetched from outside.
 */
#pragma once

#include "fcgi/req.h"
#include "fcgi/res.h"

#define PULSE_SOURCE_OWN   "debates"
#define PULSE_SOURCE_BUILT "builtin"
/* What a debate is tagged with that began from a topic. */
#define PULSE_TAG     "trending"
#define PULSE_RELATED 5

struct pulse_topic {
	const char *id, *title, *source, *category;
	const char *question; /* to be debated */
	const char *related[PULSE_RELATED];
	size_t n_related;
	int64_t volume;		/* debates about it; 0 of those built in */
	int64_t recent;		/* of them within a day */
	int64_t ended, reached; /* and how they ended */
	double score;		/* 0 to 1 */
	int64_t first_us, last_us;
};

/* On the arena: the tenant's own, those that were asked about most first, then
 * those that are built in. */
enum err pulse_topics(struct req *req, struct pulse_topic **topics, size_t *n)
    MUST_CHECK;
/* The first of that source (NULL = any) and category (NULL = any), or NULL. */
const struct pulse_topic *pulse_first(const struct pulse_topic *topics,
    size_t n, const char *source, const char *category);

/* The request's body becomes one that asks the topic's question, whatever else
 * it says about the debate. */
enum err pulse_ask(struct req *req, const struct pulse_topic *t) MUST_CHECK;
/* A body that says use_trending and names no question gets one. HTTP_OK, or
 * the answer is written. */
enum http_status pulse_take_task(struct req *req, struct res *res) MUST_CHECK;
