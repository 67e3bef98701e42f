/* SPDX-License-Identifier: MIT
 *
 * What clients say (contract 9.3), one row per message type. A fault that the
 * connection survives is answered with a warning: an error would end the
 * stream in the clients.
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "debate/audience_take.h"
#include "limit/gcra.h"
#include "ws-bridge/connection.h"
#include "ws-bridge/notice.h"

#define CLIENT_DEPTH	      20
#define CLIENT_SAY_PER_MINUTE 10
#define CLIENT_WISDOM_MIN     10
#define CLIENT_WISDOM_MAX     280
#define CLIENT_SAY_BURST      0.5 /* of a minute's */

struct client_message {
	struct connection *c;
	const struct json *body;
	/* "data" or "payload", where older clients put the fields */
	const struct json *inner;
};

typedef void (*client_fn)(const struct client_message *m);

/* A member of the message, wherever it stands. */
static const struct json *
client_member(const struct client_message *m, const char *key)
{
	const struct json *j = json_get(m->body, key);

	return j != NULL ? j : json_get(m->inner, key);
}

static void
client_warn(
    const struct client_message *m, const char *code, const char *message)
{
	connection_send(m->c, notice_warning(code, message));
}

/* NULL when no debate is named; a bad id is answered and gives "". */
static const char *
client_debate_id(const struct client_message *m)
{
	const struct json *j = client_member(m, "debate_id");
	size_t len;

	if (json_kind(j) == JSON_NULL)
		j = client_member(m, "loop_id");
	if (json_kind(j) == JSON_NULL)
		return NULL;
	const char *id = json_str(j, &len);
	if (id != NULL && strlen(id) == len && id_is_valid(id))
		return id;
	client_warn(m, "invalid_id", "debate_id is not a valid id");
	return "";
}

/* since, or replay_from_seq. false: there is one, but a bad one. */
static bool
client_since(const struct client_message *m, bool *has, int64_t *since)
{
	const struct json *j = client_member(m, "since");

	if (json_kind(j) == JSON_NULL)
		j = client_member(m, "replay_from_seq");
	*has = json_kind(j) != JSON_NULL;
	*since = 0;
	return !*has || (json_int(j, since) && *since >= 0);
}

static void
client_subscribe(const struct client_message *m)
{
	const char *id = client_debate_id(m);
	bool has_since;
	int64_t since;

	if (id != NULL && *id == '\0')
		return;
	if (!client_since(m, &has_since, &since)) {
		client_warn(m, "invalid_value",
		    "since is not a whole number of at least 0");
		return;
	}
	if (id != NULL) {
		connection_subscribe(m->c, id, has_since, since, true);
		return;
	}
	connection_send(
	    m->c, notice_ack("subscribe", "subscribed to all debates"));
	connection_follow(m->c, false);
}

static void
client_subscribe_all(const struct client_message *m)
{
	connection_send(m->c, notice_subscribed_all());
	connection_follow(m->c, false);
}

static void
client_unsubscribe(const struct client_message *m)
{
	const char *id = client_debate_id(m);

	if (id == NULL)
		client_warn(m, "missing_field", "debate_id is missing");
	if (str_is_empty(id))
		return;
	connection_unsubscribe(m->c, id);
	connection_send(m->c, notice_unsubscribed(id));
}

static void
client_ping(const struct client_message *m)
{
	connection_send_quiet(m->c, notice_pong(client_member(m, "ts")));
}

static void
client_get_loops(const struct client_message *m)
{
	if (list_is_empty(&m->c->asker.node))
		hub_ask_loops(m->c->server->hub, &m->c->asker);
}

static void
client_ignore(const struct client_message *m UNUSED)
{
}

/* One at a time, and ten a minute, five of them at once. */
static bool
client_may_say(const struct client_message *m)
{
	const struct gcra_rule rule =
	    gcra_rule(CLIENT_SAY_PER_MINUTE, CLIENT_SAY_BURST);
	int64_t now = clock_wall_us();
	int64_t debt = gcra_debt(&rule, m->c->said_us, now);

	if (m->c->said_job != NULL || !gcra_admits(&rule, debt, GCRA_REQUEST)) {
		client_warn(m, "rate_limited",
		    "too many votes and suggestions: try again later");
		return false;
	}
	m->c->said_us = now + debt + GCRA_REQUEST * rule.interval_us;
	return true;
}

static const char *
client_text(const struct client_message *m, struct job *job, const char *key)
{
	size_t len;
	const char *text = json_str(client_member(m, key), &len);

	return text != NULL && strlen(text) == len
	    ? arena_strdup(job->arena, text)
	    : NULL;
}

static void
client_say(
    const struct client_message *m, enum store_human_kind kind, bool is_wisdom)
{
	const char *id = client_debate_id(m);
	int64_t intensity = AUDIENCE_INTENSITY_NEUTRAL;
	const struct json *given = client_member(m, "intensity");

	if (id == NULL)
		client_warn(m, "missing_field", "debate_id is missing");
	if (!m->c->may_write) {
		client_warn(m, "forbidden", "this credential may only read");
		return;
	}
	if (str_is_empty(id) || !client_may_say(m))
		return;
	if (json_kind(given) != JSON_NULL && !json_int(given, &intensity))
		intensity = 0; /* of no range */
	struct job *job = job_new(JOB_SAID, id, m->c->tenant);
	job->owner = m->c;
	job->person = arena_strdup(job->arena, m->c->person);
	job->user_id = client_text(m, job, "user_id");
	job->is_wisdom = is_wisdom;
	job->said = (struct store_human){.kind = kind, .intensity = intensity};
	if (kind == STORE_HUMAN_VOTE) {
		job->said.choice = client_text(m, job, "choice");
	} else {
		job->said.intensity = 0;
		job->said.text = client_text(m, job, "text");
		if (job->said.text == NULL)
			job->said.text = client_text(m, job, "suggestion");
	}
	m->c->said_job = job;
	hub_say(m->c->server->hub, job);
}

static void
client_user_vote(const struct client_message *m)
{
	client_say(m, STORE_HUMAN_VOTE, false);
}

static void
client_user_suggestion(const struct client_message *m)
{
	client_say(m, STORE_HUMAN_SUGGESTION, false);
}

/* A short suggestion that is acknowledged in its own way. */
static void
client_wisdom(const struct client_message *m)
{
	size_t len = 0;
	const char *text = json_str(client_member(m, "text"), &len);
	size_t n = text != NULL ? str_utf8_count(text, len) : 0;

	if (n < CLIENT_WISDOM_MIN || n > CLIENT_WISDOM_MAX)
		client_warn(m, "invalid_value",
		    "text is not 10 to 280 characters long");
	else
		client_say(m, STORE_HUMAN_SUGGESTION, true);
}

void
connection_on_said(struct job *job)
{
	struct connection *c = job->owner;

	if (c == NULL)
		return;
	c->said_job = NULL;
	if (job->frame != NULL)
		connection_send(c, frame_ref(job->frame));
}

static const struct {
	const char *type;
	client_fn fn;
} client_messages[] = {
    {"subscribe", client_subscribe},
    {"subscribe_all", client_subscribe_all},
    {"unsubscribe", client_unsubscribe},
    {"ping", client_ping},
    {"get_loops", client_get_loops},
    {"user_vote", client_user_vote},
    {"user_suggestion", client_user_suggestion},
    {"wisdom_submission", client_wisdom},
    {"connection_quality", client_ignore},
};

static void
client_dispatch(const struct client_message *m)
{
	const char *type = json_get_str(m->body, "type", "");

	for (size_t i = 0; i < ARRAY_LEN(client_messages); i++)
		if (str_eq(type, client_messages[i].type)) {
			client_messages[i].fn(m);
			return;
		}
	client_warn(m, *type != '\0' ? "unknown_type" : "missing_field",
	    *type != '\0' ? "message type is not known" : "type is missing");
}

void
connection_on_text(struct connection *c, const char *text, size_t len)
{
	const struct json_limits limits = {
	    .max_bytes = len + 1, .max_depth = CLIENT_DEPTH};
	struct client_message m = {.c = c};
	struct arena *a = arena_new(0);

	if (json_parse(a, text, len, &limits, &m.body, NULL) != ERR_OK) {
		client_warn(&m, "invalid_json", "message is not valid JSON");
	} else if (json_kind(m.body) != JSON_OBJECT) {
		client_warn(&m, "invalid_json", "message is not an object");
	} else {
		m.inner = json_get(m.body, "data");
		if (json_kind(m.inner) != JSON_OBJECT)
			m.inner = json_get(m.body, "payload");
		client_dispatch(&m);
	}
	arena_free(&a);
}
