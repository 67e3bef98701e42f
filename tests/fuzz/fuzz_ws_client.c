/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a client says, once it is a whole text message. The
 * connection and the hub are played here: they are asked for nothing but
 * valid ids, places and texts, and whatever is answered is an event.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ws-bridge/client.c"
#include "ws-bridge/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An answer: one JSON object with a type, and data that is an object. */
static void
fuzz_answer(struct frame *f)
{
	const struct json_limits limits = {
	    .max_bytes = NOTICE_MAX, .max_depth = CLIENT_DEPTH + 4};
	const struct json *event = NULL;
	struct arena *a = arena_new(0);
	const char *text = f->bytes + f->head_len;
	size_t len = f->len - f->head_len;

	assert(str_is_utf8(text, len));
	enum err e = json_parse(a, text, len, &limits, &event, NULL);
	assert(e == ERR_OK);
	assert(*json_get_str(event, "type", "") != '\0');
	assert(json_kind(json_get(event, "data")) == JSON_OBJECT);
	arena_free(&a);
	frame_unref(&f);
}

void
connection_send(struct connection *c UNUSED, struct frame *f)
{
	fuzz_answer(f);
}

void
connection_send_quiet(struct connection *c UNUSED, struct frame *f)
{
	fuzz_answer(f);
}

void
connection_subscribe(struct connection *c UNUSED, const char *id,
    bool has_since, int64_t since, bool is_ack_due)
{
	assert(id_is_valid(id) && is_ack_due);
	assert(has_since ? since >= 0 : since == 0);
}

bool
connection_unsubscribe(struct connection *c UNUSED, const char *id)
{
	assert(id_is_valid(id));
	return true;
}

void
connection_follow(struct connection *c UNUSED, bool is_implied)
{
	assert(!is_implied);
}

void
hub_ask_loops(struct hub *hub UNUSED, struct asker *a)
{
	static struct list askers;

	if (askers.next == NULL)
		list_init(&askers);
	assert(list_is_empty(&a->node));
	list_add_tail(&askers, &a->node);
}

struct job *
job_new(enum job_kind kind, const char *debate_id, const char *tenant)
{
	struct job *job = mem_zalloc(sizeof(*job));

	assert(kind == JOB_SAID && id_is_valid(debate_id));
	job->kind = kind;
	job->arena = arena_new(0);
	job->debate_id = arena_strdup(job->arena, debate_id);
	job->tenant = arena_strdup(job->arena, tenant);
	return job;
}

static void
fuzz_text(const char *text)
{
	assert(text == NULL || str_is_utf8(text, strlen(text)));
}

void
hub_say(struct hub *hub UNUSED, struct job *job)
{
	struct connection *c = job->owner;

	assert(c->said_job == job);
	fuzz_text(job->user_id);
	fuzz_text(job->said.choice);
	fuzz_text(job->said.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server server = {0};
	struct connection c = {.server = &server};
	char tenant[] = "tenant";

	c.tenant = tenant;
	list_init(&c.asker.node);
	/* Said again while the first is under way, and after it. */
	for (int i = 0; i < 3; i++) {
		struct job *job = c.said_job;
		if (i == 2 && job != NULL) {
			connection_on_said(job);
			arena_free(&job->arena);
			free(job);
		}
		connection_on_text(&c, (const char *)data, size);
	}
	if (c.said_job != NULL) {
		arena_free(&c.said_job->arena);
		free(c.said_job);
	}
	list_del(&c.asker.node);
	return 0;
}
