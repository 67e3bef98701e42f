/* SPDX-License-Identifier: MIT */
#include "llm/llm_http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/llm_url.h"

#define HTTP_BUFFER_BYTES 4096L	 /* of each stream; tokens are small */
#define HTTP_UPLOAD_BYTES 16384L /* least that curl takes; else 64 KiB */
#define HTTP_HEADER_MAX	  256	 /* longer ones are of no interest here */

struct http_socket {
	struct loop_watch watch;
	struct llm_http *http;
};

struct llm_http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* curl's own */
	struct list transfers;
	struct list closing; /* closed while curl was on the stack */
	int depth;	     /* of calls into curl that call us back */
};

struct llm_transfer {
	struct list link;
	struct llm_http *http;
	struct llm_transfer_ops ops;
	CURL *easy;
	struct curl_slist *headers;
	bool is_plain, is_offline, may_be_private, is_foreign;
	bool is_closed;
	bool is_denied; /* an address was refused */
	bool is_aborted;
};

static void http_collect(struct llm_http *h);

/* ---- memory ---- */

static void
http_transfer_free(struct llm_transfer *t)
{
	list_del(&t->link);
	curl_multi_remove_handle(t->http->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	free(t);
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
http_act(struct llm_http *h, curl_socket_t fd, int mask)
{
	int running;

	http_enter(h);
	curl_multi_socket_action(h->multi, fd, mask, &running);
	http_leave(h);
	http_collect(h);
}

static void
http_on_socket_event(struct loop_watch *w, uint32_t events)
{
	struct http_socket *s = w->arg;
	int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
	    ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
	    ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

	http_act(s->http, w->fd, mask);
}

static int
http_on_socket(
    CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct llm_http *h = arg;
	struct http_socket *s = socket;
	uint32_t events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) {
			loop_watch_del(h->loop, &s->watch);
			curl_multi_assign(h->multi, fd, NULL);
			free(s);
		}
		return 0;
	}
	if (s != NULL) {
		loop_watch_mod(h->loop, &s->watch, events);
		return 0;
	}
	s = mem_zalloc(sizeof(*s));
	s->http = h;
	s->watch =
	    (struct loop_watch){.fd = fd, .fn = http_on_socket_event, .arg = s};
	if (loop_watch_add(h->loop, &s->watch, events) != ERR_OK) {
		free(s);
		return -1;
	}
	curl_multi_assign(h->multi, fd, s);
	return 0;
}

static int
http_on_curl_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct llm_http *h = arg;

	if (timeout_ms < 0)
		loop_timer_del(h->loop, &h->timer);
	else
		loop_timer_set(h->loop, &h->timer, timeout_ms);
	return 0;
}

static void
http_on_curl_due(struct loop_timer *t)
{
	http_act(t->arg, CURL_SOCKET_TIMEOUT, 0);
}

enum err
llm_http_new(struct llm_http **out, struct loop *loop)
{
	struct llm_http *h = mem_zalloc(sizeof(*h));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(h);
		return ERR_INTERNAL;
	}
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		mem_exhausted(0);
	h->loop = loop;
	h->timer = (struct loop_timer){.fn = http_on_curl_due, .arg = h};
	list_init(&h->transfers);
	list_init(&h->closing);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, http_on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, http_on_curl_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
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
	curl_multi_cleanup(h->multi);
	loop_timer_del(h->loop, &h->timer);
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

static size_t
http_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct llm_transfer *t = arg;
	const char *type = NULL;
	long status = 0;

	if (t->is_closed)
		return 0;
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
http_set_up(struct llm_transfer *t, const struct llm_transfer_spec *spec)
{
	CURL *e = t->easy;

	t->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!spec->is_foreign)
		t->headers = curl_slist_append(t->headers,
		    "Accept: text/event-stream, application/x-ndjson, "
		    "application/json");
	t->headers = curl_slist_append(t->headers, "Expect:");
	if (*spec->auth != '\0')
		t->headers = curl_slist_append(t->headers, spec->auth);
	if (*spec->header != '\0')
		t->headers = curl_slist_append(t->headers, spec->header);
	if (*spec->key != '\0')
		t->headers = curl_slist_append(t->headers, spec->key);
	for (size_t i = 0; i < spec->n_headers; i++)
		t->headers = curl_slist_append(t->headers, spec->headers[i]);
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
	struct llm_transfer *t = mem_zalloc(sizeof(*t));

	t->http = h;
	t->ops = *ops;
	t->is_plain = llm_url_is_plain(spec->url);
	t->is_offline = spec->is_offline;
	t->may_be_private = spec->may_be_private;
	t->is_foreign = spec->is_foreign;
	t->easy = curl_easy_init();
	if (t->easy == NULL)
		mem_exhausted(0);
	list_add_tail(&h->transfers, &t->link);
	http_set_up(t, spec);
	if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
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
http_collect(struct llm_http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
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
