/* SPDX-License-Identifier: MIT */
#include "llm/llm_http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/gather.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_url.h"

#define HTTP_BUFFER_BYTES 1536L	 /* of each stream; tokens are small */
#define HTTP_UPLOAD_BYTES 16384L /* least that curl takes; else 64 KiB */
#define HTTP_HEADER_MAX	  256	 /* longer ones are of no interest here */
/* Answers that stream are read no more often than this, all of them together:
 * the more there are, the larger the pieces. */
#define HTTP_READS_A_SECOND 20000
/* curl looks through all connections of a multi handle at the end of each
 * transfer: each handle has so many, and those beyond the first are given up
 * when they had nothing to do for a while. */
#define HTTP_POOL_TRANSFERS 256
#define HTTP_POOL_IDLE_MS   60000

/* One multi handle with its connections. */
struct http_pool {
	struct llm_http *http;
	CURLM *multi; /* NULL = given up */
	int n_transfers;
	struct loop_timer timer; /* curl's own */
	struct loop_timer idle;
};

struct http_socket {
	struct loop_watch watch;
	struct http_pool *pool;
	bool is_gathered; /* its answer streams; else the loop watches it */
};

struct llm_http {
	struct loop *loop;
	struct http_pool **pools;
	size_t n_pools;
	struct list transfers;
	struct list closing;	    /* closed while curl was on the stack */
	int depth;		    /* of calls into curl that call us back */
	struct curl_slist *headers; /* of every request */
	struct gather *streams;
	int64_t n_streams;
	/* While curl looks at a socket: which, and has it brought a part of an
	 * answer? */
	struct http_socket *looked_at;
	bool is_heard;
};

struct llm_transfer {
	struct list link;
	struct llm_http *http;
	struct http_pool *pool;
	struct llm_transfer_ops ops;
	CURL *easy;
	struct curl_slist *headers; /* its own, then those of all */
	size_t body_len;
	bool is_plain, is_offline, may_be_private, is_foreign;
	bool is_closed;
	bool is_sent;	/* the whole body */
	bool is_denied; /* an address was refused */
	bool is_aborted;
};

static void http_collect(struct http_pool *p);

/* ---- memory ---- */

/* Accept is the first, and for providers. */
static struct curl_slist *
http_common_headers(const struct llm_transfer *t)
{
	return t->is_foreign ? t->http->headers->next : t->http->headers;
}

static void
http_headers_free(struct llm_transfer *t)
{
	while (t->headers != http_common_headers(t)) {
		struct curl_slist *own = t->headers;
		t->headers = own->next;
		own->next = NULL;
		curl_slist_free_all(own);
	}
}

static void
http_transfer_free(struct llm_transfer *t)
{
	struct http_pool *p = t->pool;

	list_del(&t->link);
	curl_multi_remove_handle(p->multi, t->easy);
	curl_easy_cleanup(t->easy);
	http_headers_free(t);
	heap_free(HEAP_CALLS, t);
	if (--p->n_transfers == 0 && p != p->http->pools[0])
		loop_timer_set(p->http->loop, &p->idle, HTTP_POOL_IDLE_MS);
}

void
llm_transfer_close(struct llm_transfer **out)
{
	struct llm_transfer *t = *out;

	*out = NULL;
	if (t == NULL || t->is_closed)
		return;
	t->is_closed = true;
	if (t->http->depth == 0) {
		http_transfer_free(t);
		return;
	}
	/* curl may not lose a handle under its feet. */
	list_del(&t->link);
	list_add_tail(&t->http->closing, &t->link);
}

static void
http_enter(struct llm_http *h)
{
	h->depth++;
}

static void
http_leave(struct llm_http *h)
{
	if (--h->depth > 0)
		return;
	list_for_each (it, &h->closing)
		http_transfer_free(LIST_ENTRY(it, struct llm_transfer, link));
}

/* ---- curl on the loop ---- */

static void
http_act(struct http_pool *p, curl_socket_t fd, int mask)
{
	int running;

	http_enter(p->http);
	curl_multi_socket_action(p->multi, fd, mask, &running);
	http_leave(p->http);
	http_collect(p);
}

static void
http_count_streams(struct llm_http *h, int64_t more)
{
	h->n_streams += more;
	gather_set_pause(h->streams, h->n_streams * 1000 / HTTP_READS_A_SECOND);
}

static void
http_unwatch(struct http_socket *s)
{
	struct llm_http *h = s->pool->http;

	if (s->is_gathered)
		gather_del(h->streams, &s->watch);
	else
		loop_watch_del(h->loop, &s->watch);
	http_count_streams(h, -s->is_gathered);
	s->is_gathered = false;
}

static enum err
http_watch(struct http_socket *s, bool is_gathered, uint32_t events)
{
	struct llm_http *h = s->pool->http;
	enum err e = is_gathered ? gather_add(h->streams, &s->watch, events)
				 : loop_watch_add(h->loop, &s->watch, events);

	s->is_gathered = is_gathered && e == ERR_OK;
	http_count_streams(h, s->is_gathered);
	return e;
}

static void
http_on_socket_event(struct loop_watch *w, uint32_t events)
{
	struct http_socket *s = w->arg;
	struct llm_http *h = s->pool->http;
	int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
	    ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
	    ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

	h->looked_at = s;
	h->is_heard = false;
	http_act(s->pool, w->fd, mask);
	bool is_streaming = h->looked_at != NULL && h->is_heard &&
	    !s->is_gathered && w->events == EPOLLIN;
	h->looked_at = NULL;
	if (!is_streaming)
		return;
	http_unwatch(s);
	if (http_watch(s, true, EPOLLIN) != ERR_OK)
		(void)!http_watch(s, false, EPOLLIN);
}

static void
http_socket_free(struct http_socket *s)
{
	struct llm_http *h = s->pool->http;

	if (h->looked_at == s)
		h->looked_at = NULL;
	http_unwatch(s);
	heap_free(HEAP_CALLS, s);
}

static int
http_on_socket(
    CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct http_pool *p = arg;
	struct llm_http *h = p->http;
	struct http_socket *s = socket;
	uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) {
			http_socket_free(s);
			curl_multi_assign(p->multi, fd, NULL);
		}
		return 0;
	}
	if (s != NULL && !s->is_gathered) {
		loop_watch_mod(h->loop, &s->watch, events);
		return 0;
	}
	if (s == NULL) {
		s = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*s)));
		s->pool = p;
		s->watch = (struct loop_watch){
		    .fd = fd, .fn = http_on_socket_event, .arg = s};
	} else {
		http_unwatch(s);
	}
	if (http_watch(s, false, events) != ERR_OK) {
		curl_multi_assign(p->multi, fd, NULL);
		http_socket_free(s);
		return -1;
	}
	curl_multi_assign(p->multi, fd, s);
	return 0;
}

static int
http_on_curl_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct http_pool *p = arg;

	if (timeout_ms < 0)
		loop_timer_del(p->http->loop, &p->timer);
	else
		loop_timer_set(p->http->loop, &p->timer, timeout_ms);
	return 0;
}

static void
http_on_curl_due(struct loop_timer *t)
{
	http_act(t->arg, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- pools ---- */

static void
http_on_idle(struct loop_timer *t)
{
	struct http_pool *p = t->arg;

	curl_multi_cleanup(p->multi);
	p->multi = NULL;
	loop_timer_del(p->http->loop, &p->timer);
}

static void
http_pool_open(struct http_pool *p)
{
	p->multi = curl_multi_init();
	if (p->multi == NULL)
		mem_exhausted(0);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, http_on_curl_timer);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
}

static struct http_pool *
http_pool_new(struct llm_http *h)
{
	struct http_pool *p = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*p)));

	p->http = h;
	p->timer = (struct loop_timer){.fn = http_on_curl_due, .arg = p};
	p->idle = (struct loop_timer){.fn = http_on_idle, .arg = p};
	h->pools = mem_realloc_array(
	    h->pools, h->n_pools + 1, sizeof(struct http_pool *));
	h->pools[h->n_pools++] = p;
	return p;
}

/* The first with room: few transfers share the connections of one. */
static struct http_pool *
http_pool_take(struct llm_http *h)
{
	struct http_pool *p = NULL;

	for (size_t i = 0; i < h->n_pools && p == NULL; i++)
		if (h->pools[i]->n_transfers < HTTP_POOL_TRANSFERS)
			p = h->pools[i];
	if (p == NULL)
		p = http_pool_new(h);
	if (p->multi == NULL)
		http_pool_open(p);
	loop_timer_del(h->loop, &p->idle);
	p->n_transfers++;
	return p;
}

static CURLcode
http_curl_init(void)
{
	const struct heap_hooks *h = &heap_curl_hooks;

	return heap_is_on ? curl_global_init_mem(CURL_GLOBAL_DEFAULT, h->malloc,
				h->free, h->realloc, h->strdup, h->calloc)
			  : curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum err
llm_http_new(struct llm_http **out, struct loop *loop)
{
	struct llm_http *h = mem_zalloc(sizeof(*h));

	if (http_curl_init() != CURLE_OK) {
		free(h);
		return ERR_INTERNAL;
	}
	if (gather_new(&h->streams, loop) != ERR_OK) {
		curl_global_cleanup();
		free(h);
		return ERR_IO;
	}
	h->loop = loop;
	h->headers = curl_slist_append(NULL,
	    "Accept: text/event-stream, application/x-ndjson, "
	    "application/json");
	h->headers =
	    curl_slist_append(h->headers, "Content-Type: application/json");
	h->headers = curl_slist_append(h->headers, "Expect:");
	list_init(&h->transfers);
	list_init(&h->closing);
	*out = h;
	return ERR_OK;
}

void
llm_http_free(struct llm_http **out)
{
	struct llm_http *h = *out;

	if (h == NULL)
		return;
	assert(h->depth == 0);
	list_for_each (it, &h->transfers)
		http_transfer_free(LIST_ENTRY(it, struct llm_transfer, link));
	for (size_t i = 0; i < h->n_pools; i++) {
		struct http_pool *p = h->pools[i];
		curl_multi_cleanup(p->multi);
		loop_timer_del(h->loop, &p->timer);
		loop_timer_del(h->loop, &p->idle);
		heap_free(HEAP_CALLS, p);
	}
	free(h->pools);
	curl_slist_free_all(h->headers);
	gather_free(&h->streams);
	free(h);
	curl_global_cleanup();
	*out = NULL;
}

/* ---- one transfer ---- */

/* The address a name has led to is what is judged, so that no name, spelling
 * or changing answer of the resolver leads elsewhere. */
static curl_socket_t
http_open_socket(
    void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *address)
{
	struct llm_transfer *t = arg;
	enum llm_reach reach = llm_url_reach(&address->addr);
	/* A public name that suddenly leads inside is none of ours. */
	bool is_inside = (t->is_plain && !t->is_foreign) || t->may_be_private;
	bool is_outside = !t->is_plain || t->is_foreign;
	bool is_allowed = (reach == LLM_REACH_LOOPBACK && is_inside) ||
	    (reach == LLM_REACH_PRIVATE && is_inside && !t->is_offline) ||
	    (reach == LLM_REACH_PUBLIC && !t->is_offline && is_outside);

	if (!is_allowed) {
		t->is_denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
	    address->protocol);
}

/* Once bytes of an answer are there, curl does not begin anew. */
static void
http_look_if_sent(struct llm_transfer *t)
{
	curl_off_t sent = 0;

	if (t->is_sent || t->ops.on_sent == NULL)
		return;
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	t->is_sent = sent >= (curl_off_t)t->body_len;
	if (t->is_sent)
		t->ops.on_sent(t->ops.arg);
}

static size_t
http_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct llm_transfer *t = arg;
	const char *type = NULL;
	long status = 0;

	if (t->is_closed)
		return 0;
	t->http->is_heard = true;
	http_look_if_sent(t);
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
	bool goes_on = t->ops.on_body(
	    t->ops.arg, status, type != NULL ? type : "", data, size * n);
	t->is_aborted = !goes_on;
	return goes_on && !t->is_closed ? size * n : 0;
}

static size_t
http_on_header(char *data, size_t size, size_t n, void *arg)
{
	struct llm_transfer *t = arg;
	size_t len = size * n;
	char line[HTTP_HEADER_MAX];

	if (t->is_closed)
		return 0;
	if (len >= sizeof(line))
		return len;
	while (len > 0 && str_is_space(data[len - 1]))
		len--;
	snprintf(line, sizeof(line), "%.*s", (int)len, data);
	char *value = strchr(line, ':');
	if (value != NULL) {
		*value++ = '\0';
		while (str_is_space(*value))
			value++;
		t->ops.on_header(t->ops.arg, line, value);
	}
	return size * n;
}

static void
http_add_header(struct llm_transfer *t, const char *line)
{
	if (*line == '\0')
		return;
	struct curl_slist *own = curl_slist_append(NULL, line);
	if (own == NULL)
		mem_exhausted(strlen(line));
	own->next = t->headers;
	t->headers = own;
}

static void
http_set_up(struct llm_transfer *t, const struct llm_transfer_spec *spec)
{
	CURL *e = t->easy;

	t->headers = http_common_headers(t);
	http_add_header(t, spec->auth);
	http_add_header(t, spec->header);
	http_add_header(t, spec->key);
	for (size_t i = 0; i < spec->n_headers; i++)
		http_add_header(t, spec->headers[i]);
	curl_easy_setopt(e, CURLOPT_URL, spec->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, spec->body);
	curl_easy_setopt(
	    e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, http_on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, http_on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, http_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(
	    e, CURLOPT_PROTOCOLS_STR, t->is_plain ? "http" : "https");
	curl_easy_setopt(
	    e, CURLOPT_CONNECTTIMEOUT, (long)spec->connect_timeout_s);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, HTTP_BUFFER_BYTES);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, HTTP_UPLOAD_BYTES);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "aragora/" PACKAGE_VERSION);
}

struct llm_transfer *
llm_transfer_start(struct llm_http *h, const struct llm_transfer_spec *spec,
    const struct llm_transfer_ops *ops)
{
	struct llm_transfer *t = heap_take(HEAP_CALLS, mem_zalloc(sizeof(*t)));

	t->http = h;
	t->ops = *ops;
	t->is_plain = llm_url_is_plain(spec->url);
	t->is_offline = spec->is_offline;
	t->may_be_private = spec->may_be_private;
	t->is_foreign = spec->is_foreign;
	t->body_len = spec->body_len;
	t->easy = curl_easy_init();
	if (t->easy == NULL)
		mem_exhausted(0);
	t->pool = http_pool_take(h);
	list_add_tail(&h->transfers, &t->link);
	http_set_up(t, spec);
	if (curl_multi_add_handle(t->pool->multi, t->easy) != CURLM_OK) {
		http_transfer_free(t);
		return NULL;
	}
	return t;
}

static enum llm_transfer_end
http_end(const struct llm_transfer *t, CURLcode code)
{
	if (code == CURLE_OK)
		return LLM_TRANSFER_OK;
	if (t->is_aborted)
		return LLM_TRANSFER_ABORTED;
	/* The only time limit curl knows is that of connecting. */
	if (code == CURLE_OPERATION_TIMEDOUT)
		return LLM_TRANSFER_TIMEOUT;
	return t->is_denied ? LLM_TRANSFER_DENIED : LLM_TRANSFER_BROKEN;
}

static const char *
http_reason(
    const struct llm_transfer *t, enum llm_transfer_end end, CURLcode code)
{
	switch (end) {
	case LLM_TRANSFER_OK:
		break;
	case LLM_TRANSFER_DENIED:
		return t->is_offline ? "ARAGORA_OFFLINE is set and the address "
				       "is not this machine's"
		    : t->is_plain && !t->is_foreign
		    ? "plain http is for this machine and "
		      "private networks only"
		    : "the address is not allowed";
	case LLM_TRANSFER_TIMEOUT:
		return "no connection in time";
	case LLM_TRANSFER_BROKEN:
		return curl_easy_strerror(code);
	case LLM_TRANSFER_ABORTED:
		return "stopped";
	}
	return "";
}

static void
http_collect(struct http_pool *p)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
		struct llm_transfer *t = NULL;
		long status = 0;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		enum llm_transfer_end end = http_end(t, code);
		struct llm_transfer_ops ops = t->ops;
		const char *reason = http_reason(t, end, code);
		llm_transfer_close(&t);
		ops.on_end(ops.arg, end, status, reason);
	}
}
