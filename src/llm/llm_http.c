/* SPDX-License-Identifier: MIT
 *
 * The machine behind llm_call_start: one curl multi handle on the caller's
 * loop, one record per call, one retry policy (engine notes 2.9). The only
 * user of curl.
 */
#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_provider.h"
#include "llm/sse.h"
#include "settings/settings.h"

#define LLM_BODY_MAX	  (8u << 20)
#define LLM_EVENT_MAX	  (1u << 20)
#define LLM_ERROR_MAX	  (64u << 10)
#define LLM_BACKOFF_MS	  1000
#define LLM_BACKOFF_CAP	  60000
#define LLM_BREAK_AFTER	  3
#define LLM_BREAK_MS	  60000
#define LLM_PROBES	  3
#define LLM_CLOSE_AFTER	  2
#define LLM_DEMO_WORDS	  4
#define LLM_DEMO_PAUSE_MS 18

struct llm_socket {
	struct loop_watch watch;
	struct llm *llm;
};

/* Per endpoint and model: what it refuses, and its circuit breaker. */
struct llm_endpoint {
	struct llm_endpoint *next;
	char *key;
	struct llm_refused refused;
	int failures;
	int64_t open_until_ms; /* 0 = closed */
	int probes, successes;
};

struct llm {
	const struct settings *settings;
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* curl's own */
	struct list calls;
	struct llm_endpoint *endpoints;
};

enum llm_state { LLM_SENDING, LLM_STREAMING, LLM_PAUSING, LLM_DEMOING };

struct llm_call {
	struct list link;
	struct llm *llm;
	struct llm_call_ops ops;
	enum llm_state state;
	struct arena *arena;
	struct llm_endpoint *endpoint;
	/* copies for retries */
	struct llm_agent agent;
	struct llm_request request;
	const char *url;
	const char *auth; /* header line, "" = none */
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;  /* request */
	struct buf reply; /* answer that is not a stream */
	struct sse sse;
	struct llm_stream stream;
	bool is_probe; /* of an endpoint that is paused */
	bool is_sse;
	bool is_known;		 /* status and type have been looked at */
	int64_t retry_after_ms;	 /* -1 = not said */
	struct loop_timer timer; /* deadlines, pauses, demo pieces */
	int64_t started_ms, sent_ms, heard_ms;
	int64_t attempts;
	struct llm_refused heeded; /* what this attempt left out */
	bool was_learnt; /* the next attempt leaves something more out */
	char *demo_text;
	size_t demo_at;
};

static void llm_arm(struct llm_call *c);
static void llm_attempt(struct llm_call *c);
static void llm_collect(struct llm *llm);
static void llm_on_timer(struct loop_timer *t);

/* ---- curl on the loop ---- */

static void
llm_on_socket_event(struct loop_watch *w, uint32_t events)
{
	struct llm_socket *s = w->arg;
	struct llm *llm = s->llm;
	int running;
	int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
	    ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
	    ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

	curl_multi_socket_action(llm->multi, w->fd, mask, &running);
	llm_collect(llm);
}

static int
llm_on_socket(
    CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct llm *llm = arg;
	struct llm_socket *s = socket;
	uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) {
			loop_watch_del(llm->loop, &s->watch);
			curl_multi_assign(llm->multi, fd, NULL);
			free(s);
		}
		return 0;
	}
	if (s != NULL) {
		loop_watch_mod(llm->loop, &s->watch, events);
		return 0;
	}
	s = mem_zalloc(sizeof(*s));
	s->llm = llm;
	s->watch =
	    (struct loop_watch){.fd = fd, .fn = llm_on_socket_event, .arg = s};
	if (loop_watch_add(llm->loop, &s->watch, events) != ERR_OK) {
		free(s);
		return -1;
	}
	curl_multi_assign(llm->multi, fd, s);
	return 0;
}

static int
llm_on_curl_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct llm *llm = arg;

	if (timeout_ms < 0)
		loop_timer_del(llm->loop, &llm->timer);
	else
		loop_timer_set(llm->loop, &llm->timer, timeout_ms);
	return 0;
}

static void
llm_on_curl_due(struct loop_timer *t)
{
	struct llm *llm = t->arg;
	int running;

	curl_multi_socket_action(llm->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	llm_collect(llm);
}

enum err
llm_new(struct llm **out, const struct settings *settings, struct loop *loop)
{
	struct llm *llm = mem_zalloc(sizeof(*llm));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (llm->multi = curl_multi_init()) == NULL) {
		free(llm);
		return ERR_INTERNAL;
	}
	llm->settings = settings;
	llm->loop = loop;
	llm->timer = (struct loop_timer){.fn = llm_on_curl_due, .arg = llm};
	list_init(&llm->calls);
	curl_multi_setopt(llm->multi, CURLMOPT_SOCKETFUNCTION, llm_on_socket);
	curl_multi_setopt(llm->multi, CURLMOPT_SOCKETDATA, llm);
	curl_multi_setopt(
	    llm->multi, CURLMOPT_TIMERFUNCTION, llm_on_curl_timer);
	curl_multi_setopt(llm->multi, CURLMOPT_TIMERDATA, llm);
	*out = llm;
	return ERR_OK;
}

/* ---- one call's memory ---- */

static void
llm_attempt_end(struct llm_call *c)
{
	if (c->easy != NULL) {
		curl_multi_remove_handle(c->llm->multi, c->easy);
		curl_easy_cleanup(c->easy);
		c->easy = NULL;
	}
	if (c->is_probe)
		c->endpoint->probes--;
	c->is_probe = false;
	curl_slist_free_all(c->headers);
	c->headers = NULL;
}

static void
llm_call_free(struct llm_call *c)
{
	llm_attempt_end(c);
	loop_timer_del(c->llm->loop, &c->timer);
	list_del(&c->link);
	sse_release(&c->sse);
	buf_release(&c->body);
	buf_release(&c->reply);
	buf_release(&c->stream.text);
	free(c->demo_text);
	arena_free(&c->arena);
	free(c);
}

void
llm_call_cancel(struct llm_call **call)
{
	if (*call == NULL)
		return;
	llm_call_free(*call);
	*call = NULL;
}

void
llm_free(struct llm **out)
{
	struct llm *llm = *out;

	if (llm == NULL)
		return;
	list_for_each (it, &llm->calls)
		llm_call_free(LIST_ENTRY(it, struct llm_call, link));
	curl_multi_cleanup(llm->multi);
	loop_timer_del(llm->loop, &llm->timer);
	while (llm->endpoints != NULL) {
		struct llm_endpoint *e = llm->endpoints;
		llm->endpoints = e->next;
		free(e->key);
		free(e);
	}
	free(llm);
	curl_global_cleanup();
	*out = NULL;
}

static struct llm_endpoint *
llm_endpoint(struct llm *llm, const struct llm_agent *agent)
{
	char key[512];

	snprintf(key, sizeof(key), "%s|%s", agent->row->name, agent->model);
	for (struct llm_endpoint *e = llm->endpoints; e != NULL; e = e->next)
		if (str_eq(e->key, key))
			return e;
	struct llm_endpoint *e = mem_zalloc(sizeof(*e));
	e->key = mem_strdup(key);
	e->next = llm->endpoints;
	llm->endpoints = e;
	return e;
}

static struct llm_request
llm_request_copy(struct arena *a, const struct llm_request *r)
{
	struct llm_request copy = *r;
	struct llm_block *blocks =
	    ARENA_ARRAY(a, r->n_blocks + 1, struct llm_block);

	for (size_t i = 0; i < r->n_blocks; i++)
		blocks[i] = (struct llm_block){
		    .label = arena_strdup(a, r->blocks[i].label),
		    .text = arena_strdup(a, r->blocks[i].text)};
	copy.blocks = blocks;
	copy.system = arena_strdup(a, r->system);
	copy.question = arena_strdup(a, r->question);
	copy.context = arena_strdup(a, r->context);
	copy.instruction = arena_strdup(a, r->instruction);
	copy.nonce = arena_strdup(a, r->nonce);
	return copy;
}

/* ---- the end of a call ---- */

static void
llm_finish(struct llm_call *c, enum llm_error_class error, const char *message)
{
	struct llm_stream *s = &c->stream;
	struct llm_result result = {.error = error,
	    .message = message,
	    .text = buf_text(&s->text),
	    .text_len = s->text.len,
	    .is_truncated = s->is_truncated,
	    .tokens_in = s->tokens_in,
	    .tokens_out = s->tokens_out,
	    .attempts = c->attempts,
	    .duration_ms = clock_mono_ms() - c->started_ms};

	if (s->tokens_in < 0 || s->tokens_out < 0) {
		result.is_usage_estimated = true;
		result.tokens_in = (int64_t)c->body.len / 4;
		result.tokens_out = (int64_t)s->text.len / 4;
	}
	llm_attempt_end(c);
	c->ops.on_done(c->ops.arg, &result);
	llm_call_free(c);
}

/* ---- breaker ---- */

static bool
llm_breaker_lets(struct llm_call *c)
{
	struct llm_endpoint *e = c->endpoint;

	if (e->open_until_ms == 0)
		return true;
	if (clock_mono_ms() < e->open_until_ms)
		return false;
	if (e->probes >= LLM_PROBES)
		return false;
	e->probes++;
	c->is_probe = true;
	return true;
}

static void
llm_breaker_note(const struct llm_call *c, enum llm_error_class error)
{
	struct llm_endpoint *e = c->endpoint;

	if (error == LLM_ERR_NONE) {
		e->failures = 0;
		if (c->is_probe && ++e->successes >= LLM_CLOSE_AFTER) {
			e->open_until_ms = 0;
			e->successes = 0;
		}
		return;
	}
	if (error == LLM_ERR_RATE || error == LLM_ERR_BAD_REQUEST ||
	    error == LLM_ERR_REFUSAL)
		return;
	e->successes = 0;
	if (c->is_probe || ++e->failures >= LLM_BREAK_AFTER) {
		e->open_until_ms = clock_mono_ms() + LLM_BREAK_MS;
		log_warning("llm.breaker", "agent=%s failures=%d pause_ms=%d",
		    e->key, e->failures, LLM_BREAK_MS);
	}
}

/* ---- retry ---- */

static bool
llm_may_retry(enum llm_error_class error)
{
	switch (error) {
	case LLM_ERR_RATE:
	case LLM_ERR_OVERLOAD:
	case LLM_ERR_SERVER:
	case LLM_ERR_NETWORK:
	case LLM_ERR_TIMEOUT:
	case LLM_ERR_PARTIAL:
	case LLM_ERR_EMPTY:
		return true;
	case LLM_ERR_NONE:
	case LLM_ERR_AUTH:
	case LLM_ERR_BAD_REQUEST:
	case LLM_ERR_MONEY:
	case LLM_ERR_REFUSAL:
	case LLM_ERR__COUNT:
		break;
	}
	return false;
}

/* min(60 s, 1 s * 2^n) +- 30 %, or what the provider said and a little. */
static int64_t
llm_pause_ms(const struct llm_call *c)
{
	uint32_t random;

	id_random(&random, sizeof(random));
	if (c->was_learnt)
		return 0;
	if (c->retry_after_ms >= 0)
		return c->retry_after_ms + random % 100;
	int64_t base = (int64_t)LLM_BACKOFF_MS << (c->attempts - 1);
	if (base > LLM_BACKOFF_CAP)
		base = LLM_BACKOFF_CAP;
	return base * (700 + random % 601) / 1000;
}

static int64_t
llm_left_ms(const struct llm_call *c)
{
	return c->started_ms + c->llm->settings->agent_timeout * 1000 -
	    clock_mono_ms();
}

static void
llm_failed(struct llm_call *c, enum llm_error_class error, const char *message)
{
	char text[256];
	int64_t pause = llm_pause_ms(c);

	snprintf(text, sizeof(text), "%s", message);
	log_info("llm.failed", "agent=%s class=%s attempt=%lld",
	    c->agent.row->name, llm_error_name(error), (long long)c->attempts);
	llm_breaker_note(c, error);
	bool is_again = c->was_learnt ||
	    (llm_may_retry(error) &&
		c->attempts < c->llm->settings->llm_max_attempts);
	if (!is_again || pause >= llm_left_ms(c)) {
		llm_finish(c, error, text);
		return;
	}
	llm_attempt_end(c);
	if (c->stream.text.len > 0 && c->ops.on_restart != NULL)
		c->ops.on_restart(c->ops.arg);
	c->state = LLM_PAUSING;
	loop_timer_set(c->llm->loop, &c->timer, pause);
}

/* ---- reading ---- */

static void
llm_on_event(void *arg, const char *data, size_t len)
{
	struct llm_call *c = arg;

	llm_openai_event(&c->stream, data, len);
}

static void
llm_on_text(void *arg, const char *text, size_t len)
{
	struct llm_call *c = arg;

	if (c->ops.on_delta != NULL)
		c->ops.on_delta(c->ops.arg, text, len);
}

static size_t
llm_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct llm_call *c = arg;
	size_t len = size * n;
	long status = 0;
	const char *type = NULL;

	c->heard_ms = clock_mono_ms();
	if (!c->is_known) {
		c->is_known = true;
		c->state = LLM_STREAMING;
		llm_arm(c); /* from now on the pause between tokens counts */
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
		c->is_sse = status == 200 &&
		    (type == NULL || strstr(type, "event-stream") != NULL);
	}
	if (!c->is_sse) {
		buf_append(&c->reply, data, len);
		return c->reply.is_overflowed ? 0 : len;
	}
	if (sse_feed(&c->sse, data, len, llm_on_event, c) != ERR_OK ||
	    c->stream.text.is_overflowed)
		return 0;
	return len;
}

static size_t
llm_on_header(char *data, size_t size, size_t n, void *arg)
{
	struct llm_call *c = arg;
	size_t len = size * n;
	char line[256];

	snprintf(
	    line, sizeof(line), "%.*s", (int)(len < 255 ? len : 255), data);
	char *colon = strchr(line, ':');
	if (colon == NULL)
		return len;
	*colon = '\0';
	bool is_ms = str_ieq(line, "retry-after-ms");
	if (is_ms || (str_ieq(line, "retry-after") && c->retry_after_ms < 0)) {
		struct arena *a = arena_new(0);
		c->retry_after_ms = llm_retry_after_ms(
		    str_trim(a, colon + 1), is_ms, clock_wall_us());
		arena_free(&a);
	}
	return len;
}

/* The transfer has ended by itself. */
static void
llm_transferred(struct llm_call *c, CURLcode code)
{
	struct llm_stream *s = &c->stream;
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status == 200 && !c->is_sse)
		llm_openai_event(s, buf_text(&c->reply), c->reply.len);
	if (code == CURLE_OK && status != 200) {
		char message[256];
		enum llm_error_class e =
		    llm_openai_error(status, buf_text(&c->reply), c->reply.len,
			message, sizeof(message), &c->endpoint->refused);
		/* Another call may have learnt it while this one was out. */
		c->was_learnt = memcmp(&c->heeded, &c->endpoint->refused,
				    sizeof(c->heeded)) != 0 &&
		    e == LLM_ERR_BAD_REQUEST;
		llm_failed(c, e, message);
	} else if (s->error != LLM_ERR_NONE) {
		llm_failed(c, s->error, s->message);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		llm_failed(c, LLM_ERR_TIMEOUT, "no connection in time");
	} else if (code == CURLE_WRITE_ERROR) {
		llm_failed(c, LLM_ERR_SERVER, "the answer is too long");
	} else if (code != CURLE_OK && s->text.len == 0) {
		llm_failed(c, LLM_ERR_NETWORK, curl_easy_strerror(code));
	} else if (code != CURLE_OK || (!s->has_finish && !s->is_done)) {
		llm_failed(
		    c, LLM_ERR_PARTIAL, "the answer broke off before its end");
	} else if (s->text.len == 0) {
		llm_failed(c, LLM_ERR_EMPTY, "the answer is empty");
	} else {
		llm_breaker_note(c, LLM_ERR_NONE);
		llm_finish(c, LLM_ERR_NONE, "");
	}
}

static void
llm_collect(struct llm *llm)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(llm->multi, &left)) != NULL) {
		struct llm_call *c = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		llm_transferred(c, code);
	}
}

/* ---- sending ---- */

static void
llm_setup(struct llm_call *c)
{
	CURL *h = c->easy;

	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	c->headers = curl_slist_append(c->headers, "Accept: text/event-stream");
	c->headers = curl_slist_append(c->headers, "Expect:");
	if (*c->auth != '\0')
		c->headers = curl_slist_append(c->headers, c->auth);
	curl_easy_setopt(h, CURLOPT_URL, c->url);
	curl_easy_setopt(h, CURLOPT_PRIVATE, c);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(h, CURLOPT_POST, 1L);
	curl_easy_setopt(h, CURLOPT_POSTFIELDS, buf_text(&c->body));
	curl_easy_setopt(
	    h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, llm_on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, llm_on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT,
	    (long)c->llm->settings->llm_connect_timeout);
	curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 16384L);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "aragora/" PACKAGE_VERSION);
}

static void
llm_attempt(struct llm_call *c)
{
	c->attempts++;
	c->was_learnt = false;
	c->retry_after_ms = -1;
	c->is_known = false;
	c->is_sse = false;
	buf_clear(&c->reply);
	buf_clear(&c->stream.text);
	sse_release(&c->sse);
	sse_init(&c->sse, LLM_EVENT_MAX);
	c->stream = (struct llm_stream){.text = c->stream.text,
	    .tokens_in = -1,
	    .tokens_out = -1,
	    .on_text = llm_on_text,
	    .arg = c};
	if (!llm_breaker_lets(c)) {
		llm_finish(
		    c, LLM_ERR_OVERLOAD, "paused after repeated failures");
		return;
	}
	buf_clear(&c->body);
	c->heeded = c->endpoint->refused;
	llm_openai_body(&c->body, &c->agent, &c->request, &c->heeded);
	c->easy = curl_easy_init();
	if (c->easy == NULL)
		mem_exhausted(0);
	llm_setup(c);
	c->state = LLM_SENDING;
	c->sent_ms = clock_mono_ms();
	c->heard_ms = c->sent_ms;
	if (curl_multi_add_handle(c->llm->multi, c->easy) != CURLM_OK) {
		llm_failed(c, LLM_ERR_NETWORK, "cannot start the transfer");
		return;
	}
	llm_arm(c);
}

/* ---- deadlines ---- */

static int64_t
llm_quiet_left_ms(const struct llm_call *c)
{
	const struct settings *s = c->llm->settings;
	int64_t allowed = c->state == LLM_SENDING ? s->llm_first_byte_timeout
						  : s->llm_idle_timeout;

	return c->heard_ms + allowed * 1000 - clock_mono_ms();
}

static void
llm_arm(struct llm_call *c)
{
	int64_t quiet = llm_quiet_left_ms(c);
	int64_t left = llm_left_ms(c);

	loop_timer_set(c->llm->loop, &c->timer, quiet < left ? quiet : left);
}

/* A few words of the demo's text; the pause lets people watch. */
static void
llm_demo_piece(struct llm_call *c)
{
	const char *from = c->demo_text + c->demo_at;
	const char *to = from;
	bool is_fast = str_eq(c->agent.model, "fast");

	for (int words = 0; *to != '\0' && (is_fast || words < LLM_DEMO_WORDS);
	     words++) {
		to += strcspn(to, " \n");
		to += strspn(to, " \n");
	}
	if (to > from) {
		buf_append(&c->stream.text, from, (size_t)(to - from));
		llm_on_text(c, from, (size_t)(to - from));
		c->demo_at += (size_t)(to - from);
	}
	if (*to == '\0')
		llm_finish(c, LLM_ERR_NONE, "");
	else
		loop_timer_set(c->llm->loop, &c->timer, LLM_DEMO_PAUSE_MS);
}

static void
llm_on_timer(struct loop_timer *t)
{
	struct llm_call *c = t->arg;

	switch (c->state) {
	case LLM_DEMOING:
		llm_demo_piece(c);
		return;
	case LLM_PAUSING:
		llm_attempt(c);
		return;
	case LLM_SENDING:
	case LLM_STREAMING:
		break;
	}
	if (llm_left_ms(c) <= 0)
		llm_finish(c, LLM_ERR_TIMEOUT, "no whole answer in time");
	else if (llm_quiet_left_ms(c) <= 0)
		llm_failed(c,
		    c->stream.text.len > 0 ? LLM_ERR_PARTIAL : LLM_ERR_TIMEOUT,
		    "the provider fell silent");
	else
		llm_arm(c);
}

struct llm_call *
llm_call_start(struct llm *llm, const struct llm_agent *agent,
    const struct llm_request *request, const struct llm_call_ops *ops)
{
	struct llm_call *c = mem_zalloc(sizeof(*c));
	enum llm_dialect dialect = llm_agent_dialect(agent->row);

	c->llm = llm;
	c->ops = *ops;
	c->arena = arena_new(0);
	c->timer = (struct loop_timer){.fn = llm_on_timer, .arg = c};
	c->started_ms = clock_mono_ms();
	c->agent = (struct llm_agent){.row = agent->row,
	    .name = arena_strdup(c->arena, agent->name),
	    .model = arena_strdup(c->arena, agent->model),
	    .persona = arena_strdup(c->arena, agent->persona),
	    .role = arena_strdup(c->arena, agent->role)};
	buf_init(&c->body, LLM_BODY_MAX * 2);
	buf_init(&c->reply, LLM_BODY_MAX);
	buf_init(&c->stream.text, LLM_BODY_MAX);
	sse_init(&c->sse, LLM_EVENT_MAX);
	list_add_tail(&llm->calls, &c->link);
	if (dialect == LLM_DEMO) {
		c->attempts = 1;
		c->state = LLM_DEMOING;
		c->stream.tokens_in = 0;
		c->stream.tokens_out = 0;
		c->demo_text = llm_demo_answer(&c->agent, request);
	} else {
		const char *key = llm_agent_key(agent->row, llm->settings);
		const char *url = llm_agent_url(agent->row, llm->settings);
		size_t len = strlen(url);
		while (len > 0 && url[len - 1] == '/')
			len--;
		c->request = llm_request_copy(c->arena, request);
		c->endpoint = llm_endpoint(llm, agent);
		c->url = arena_printf(c->arena, "%.*s%s/chat/completions",
		    (int)len, url, llm_dialect(dialect)->path);
		c->auth = *key != '\0'
		    ? arena_printf(c->arena, "Authorization: Bearer %s", key)
		    : "";
		c->state = LLM_PAUSING; /* the first attempt, next turn */
	}
	loop_timer_set(llm->loop, &c->timer, 0);
	return c;
}
