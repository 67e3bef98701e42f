/* SPDX-License-Identifier: MIT
 *
 * Plays the runner for the system tests of the bridge: one command a line on
 * stdin, one answer a line on stdout ("ok ..." or "error ..."). What reaches
 * the store and what reaches the bus are commands of their own, so that a
 * test can repeat, reorder or omit messages.
 *
 *   migrate
 *   create ID TASK            a pending debate
 *   claim                     take all pending debates up
 *   commit ID TYPE AGENT DATA one stored event; "ok SEQ"; AGENT "-" = none
 *   finish ID STATUS          the debate_end event and the final status
 *   publish ID SEQ            the stored event SEQ, as the runner sends it
 *   doorbell ID SEQ           the same without its text
 *   delta ID TEXT             a token_delta, which is not stored
 *   stream ID N RATE SIZE MODE
 *                             N messages of SIZE bytes, RATE a second, each
 *                             stored and then told: MODE "each" = one message
 *                             for each, "none" = not at all, "wild" =
 *                             repeated, out of order or not at all; a bus that
 *                             is down is no error; "ok LAST-SEQ"
 *   token NAME                a new API token; "ok TOKEN-ID TOKEN"
 *   revoke TOKEN-ID
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus.h"
#include "bus/event.h"
#include "settings/settings.h"
#include "store/store.h"

#define FEED_LEASE_US (3600 * INT64_C(1000000))
#define FEED_DEBATES  64
#define FEED_LINE     (4u << 20)

struct feed_debate {
	char id[ID_MAX + 1];
	int64_t epoch;
	int64_t seq; /* of the newest event */
};

struct feed {
	struct settings *settings;
	struct store *store;
	struct bus *bus;
	struct arena *arena; /* of one command */
	struct feed_debate debates[FEED_DEBATES];
	size_t n;
};

typedef enum err (*feed_fn)(
    struct feed *f, char *rest, char *answer, size_t size);

/* Cut the next word off; what follows may hold spaces. */
static char *
feed_word(char **rest)
{
	char *word = *rest;
	char *space = strchr(word, ' ');

	if (space == NULL) {
		*rest = word + strlen(word);
	} else {
		*space = '\0';
		*rest = space + 1;
	}
	return word;
}

static struct feed_debate *
feed_find(struct feed *f, const char *id)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_eq(f->debates[i].id, id))
			return &f->debates[i];
	return NULL;
}

static enum err
feed_migrate(struct feed *f, char *rest UNUSED, char *answer, size_t size)
{
	struct err_info info = {0};
	int applied = 0;

	enum err e = store_migrate(f->settings, &applied, &info);
	if (e == ERR_OK)
		e = store_open(&f->store, f->settings, &info);
	snprintf(answer, size, "%d %s", applied, info.text);
	return e;
}

static enum err
feed_create(struct feed *f, char *rest, char *answer UNUSED, size_t size UNUSED)
{
	struct store_debate d = {
	    .tenant = STORE_TENANT_DEFAULT, .config = "{}", .total_rounds = 2};

	d.id = feed_word(&rest);
	d.task = rest;
	return store_debate_create(f->store, f->arena, &d, 1000, NULL);
}

static enum err
feed_claim(struct feed *f, char *rest UNUSED, char *answer, size_t size)
{
	struct store_debate *rows;
	size_t n;

	enum err e = store_claim(f->store, f->arena, "feed", FEED_LEASE_US,
	    (int64_t)(FEED_DEBATES - f->n), &rows, &n);
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		struct feed_debate *d = &f->debates[f->n++];
		snprintf(d->id, sizeof(d->id), "%s", rows[i].id);
		d->epoch = rows[i].lease_epoch;
	}
	snprintf(answer, size, "%zu", f->n);
	return e;
}

static enum err
feed_transition(struct feed *f, const char *id, struct store_event *event,
    enum store_status status)
{
	struct feed_debate *d = feed_find(f, id);
	struct store_transition t = {.tenant = STORE_TENANT_DEFAULT,
	    .debate_id = id,
	    .events = event,
	    .n_events = 1,
	    .status = status,
	    .phase = "propose",
	    .round = event->round};
	struct store_transition *one = &t;

	if (d == NULL)
		return ERR_NOT_FOUND;
	t.lease_epoch = d->epoch;
	enum err e = store_commit(f->store, &one, 1);
	if (e == ERR_OK && t.outcome == ERR_OK)
		d->seq = event->seq;
	return e != ERR_OK ? e : t.outcome;
}

static enum err
feed_commit(struct feed *f, char *rest, char *answer, size_t size)
{
	struct store_event event = {.round = 1};
	const char *id = feed_word(&rest);

	event.type = feed_word(&rest);
	const char *agent = feed_word(&rest);
	event.agent = str_eq(agent, "-") ? NULL : agent;
	event.data = rest;
	enum err e = feed_transition(f, id, &event, STORE_RUNNING);
	snprintf(answer, size, "%lld", (long long)event.seq);
	return e;
}

static enum err
feed_finish(struct feed *f, char *rest, char *answer, size_t size)
{
	struct store_event event = {.type = event_name(EVENT_DEBATE_END)};
	const char *id = feed_word(&rest);
	enum store_status status;

	enum err e = store_status_parse(rest, &status);
	if (e != ERR_OK)
		return e;
	event.data = arena_printf(f->arena, "{\"status\":\"%s\"}", rest);
	e = feed_transition(f, id, &event, status);
	snprintf(answer, size, "%lld", (long long)event.seq);
	return e;
}

static enum err
feed_send(struct feed *f, const struct event *event, int64_t seq)
{
	struct buf text;

	buf_init(&text, FEED_LINE);
	if (event->type != NULL)
		event_encode(&text, event);
	enum err e = bus_publish(f->bus,
	    &(struct bus_message){.debate_id = event->debate_id,
		.seq = seq,
		.payload = buf_text(&text),
		.payload_len = text.len},
	    1);
	buf_release(&text);
	return e;
}

static enum err
feed_publish(
    struct feed *f, char *rest, char *answer UNUSED, size_t size UNUSED)
{
	struct store_event *rows;
	const char *id = feed_word(&rest);
	int64_t seq;
	size_t n;

	enum err e = str_to_i64(rest, 1, INT64_MAX, &seq);
	if (e == ERR_OK)
		e = store_event_list(f->store, f->arena, STORE_TENANT_DEFAULT,
		    id, seq - 1, 1, &rows, &n);
	if (e != ERR_OK || n == 0)
		return e != ERR_OK ? e : ERR_NOT_FOUND;
	return feed_send(f,
	    &(struct event){.type = rows[0].type,
		.debate_id = id,
		.seq = rows[0].seq,
		.round = rows[0].round,
		.agent = rows[0].agent,
		.created_us = rows[0].created_us,
		.data = rows[0].data},
	    seq);
}

static enum err
feed_doorbell(
    struct feed *f, char *rest, char *answer UNUSED, size_t size UNUSED)
{
	const char *id = feed_word(&rest);
	int64_t seq;

	enum err e = str_to_i64(rest, 1, INT64_MAX, &seq);
	if (e != ERR_OK)
		return e;
	return feed_send(f, &(struct event){.debate_id = id}, seq);
}

static enum err
feed_delta(struct feed *f, char *rest, char *answer UNUSED, size_t size UNUSED)
{
	const char *id = feed_word(&rest);
	struct json_w w;
	struct buf data;

	buf_init(&data, FEED_LINE);
	json_w_init(&w, &data);
	json_w_begin(&w, NULL);
	json_w_str(&w, "token", rest);
	json_w_str(&w, "delta", rest);
	json_w_end(&w);
	enum err e = feed_send(f,
	    &(struct event){.type = event_name(EVENT_TOKEN_DELTA),
		.debate_id = id,
		.agent = "demo",
		.created_us = clock_wall_us(),
		.data = buf_text(&data)},
	    0);
	buf_release(&data);
	return e;
}

#define FEED_LATE 16 /* messages a wild stream holds back at most */

/* A message of a stream; its data tells its sequence number. */
static enum err
feed_stream_commit(struct feed *f, const char *id, int64_t size, int64_t *seq)
{
	const struct feed_debate *d = feed_find(f, id);
	int64_t n = d != NULL ? d->seq + 1 : 0;
	struct store_event event = {.type = event_name(EVENT_AGENT_MESSAGE),
	    .agent = "demo",
	    .round = 1,
	    .data = arena_printf(f->arena, "{\"n\":%lld,\"content\":\"%0*d\"}",
		(long long)n, (int)size, 0)};

	enum err e = feed_transition(f, id, &event, STORE_RUNNING);
	*seq = event.seq;
	return e;
}

/* Tell of a stored event; Redis may be away. */
static void
feed_stream_tell(struct feed *f, const char *id, int64_t seq)
{
	char line[ID_MAX + 32];

	snprintf(line, sizeof(line), "%s %lld", id, (long long)seq);
	(void)!feed_publish(f, line, NULL, 0);
}

/* Put seq among those held back, none to three times, then tell some of
 * them, any of them first. */
static void
feed_stream_wild(
    struct feed *f, const char *id, int64_t seq, int64_t *late, size_t *n)
{
	static const int copies[] = {0, 1, 1, 1, 2, 3};
	uint32_t dice[2];

	id_random(dice, sizeof(dice));
	for (int i = copies[dice[0] % ARRAY_LEN(copies)];
	     i > 0 && *n < FEED_LATE; i--)
		late[(*n)++] = seq;
	for (size_t i = dice[1] % 4; i > 0 && *n > 0; i--) {
		size_t pick = (dice[1] >> 8) % *n;
		feed_stream_tell(f, id, late[pick]);
		late[pick] = late[--*n];
	}
}

static enum err
feed_stream(struct feed *f, char *rest, char *answer, size_t size)
{
	const char *id = feed_word(&rest);
	const char *count = feed_word(&rest);
	const char *rate = feed_word(&rest);
	const char *length = feed_word(&rest);
	int64_t late[FEED_LATE];
	size_t n_late = 0;
	int64_t n, per_second, bytes, seq = 0;

	enum err e = str_to_i64(count, 1, 1000000, &n);
	if (e == ERR_OK)
		e = str_to_i64(rate, 1, 100000, &per_second);
	if (e == ERR_OK)
		e = str_to_i64(length, 1, 65536, &bytes);
	int64_t begun_us = clock_mono_us();
	for (int64_t i = 0; e == ERR_OK && i < n; i++) {
		int64_t wait_us =
		    begun_us + i * 1000000 / per_second - clock_mono_us();
		if (wait_us > 0)
			usleep((useconds_t)wait_us);
		arena_clear(f->arena);
		e = feed_stream_commit(f, id, bytes, &seq);
		if (e == ERR_OK && str_eq(rest, "each"))
			feed_stream_tell(f, id, seq);
		if (e == ERR_OK && str_eq(rest, "wild"))
			feed_stream_wild(f, id, seq, late, &n_late);
	}
	snprintf(answer, size, "%lld", (long long)seq);
	return e;
}

static enum err
feed_token(struct feed *f, char *rest, char *answer, size_t size)
{
	char id[ID_SIZE];
	char key[ID_SIZE];
	char hash[ID_HASH_SIZE];
	char prefix[13];

	id_make(id, "tok_", 6);
	id_make_key(key, "ara_");
	id_sha256(key, strlen(key), hash);
	snprintf(prefix, sizeof(prefix), "%.12s", key);
	snprintf(answer, size, "%s %s", id, key);
	return store_token_create(f->store,
	    &(struct store_token){.id = id,
		.tenant = STORE_TENANT_DEFAULT,
		.name = rest,
		.prefix = prefix,
		.hash = hash,
		.tier = "authenticated",
		.scopes = "read,write,admin",
		.created_us = clock_wall_us()});
}

static enum err
feed_revoke(struct feed *f, char *rest, char *answer UNUSED, size_t size UNUSED)
{
	return store_token_revoke(f->store, STORE_TENANT_DEFAULT, NULL, rest);
}

static const struct {
	const char *name;
	feed_fn fn;
} feed_commands[] = {
    {"migrate", feed_migrate},
    {"create", feed_create},
    {"claim", feed_claim},
    {"commit", feed_commit},
    {"finish", feed_finish},
    {"publish", feed_publish},
    {"doorbell", feed_doorbell},
    {"delta", feed_delta},
    {"stream", feed_stream},
    {"token", feed_token},
    {"revoke", feed_revoke},
};

static void
feed_run(struct feed *f, char *line)
{
	char answer[400] = "";
	enum err e = ERR_UNSUPPORTED;
	const char *name = feed_word(&line);

	arena_clear(f->arena);
	for (size_t i = 0; i < ARRAY_LEN(feed_commands); i++)
		if (str_eq(name, feed_commands[i].name))
			e = feed_commands[i].fn(
			    f, line, answer, sizeof(answer));
	if (e == ERR_OK)
		printf("ok %s\n", answer);
	else
		printf("error %s: %s\n", err_text(e), answer);
	fflush(stdout);
}

int
main(void)
{
	struct feed f = {.settings = settings_start("feed")};
	char *line = NULL;
	size_t cap = 0;

	signal(SIGPIPE, SIG_IGN); /* Redis may go away */
	f.arena = arena_new(0);
	if (bus_open(&f.bus, f.settings, NULL) != ERR_OK)
		return 1;
	for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		feed_run(&f, line);
	}
	free(line);
	bus_close(&f.bus);
	store_close(&f.store);
	arena_free(&f.arena);
	settings_free(&f.settings);
	return 0;
}
