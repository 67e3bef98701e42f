/* SPDX-License-Identifier: MIT */
#include "telemetry/otlp_post.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"

#define POST_TICK_MS	1000
#define POST_HEADER_MAX 8192

struct otlp_post {
	CURLM *multi; /* keeps the connection between messages */
	_Atomic int64_t end_ms;
	bool is_offline;
	bool is_denied;
};

enum err
otlp_post_new(struct otlp_post **out, struct err_info *info)
{
	const struct heap_hooks *h = &heap_curl_hooks;
	CURLcode code = heap_is_on
	    ? curl_global_init_mem(CURL_GLOBAL_DEFAULT, h->malloc, h->free,
		  h->realloc, h->strdup, h->calloc)
	    : curl_global_init(CURL_GLOBAL_DEFAULT);

	if (code != CURLE_OK)
		return err_set(info, ERR_INTERNAL, "", "cannot start curl");
	struct otlp_post *p = mem_zalloc(sizeof(*p));
	atomic_store(&p->end_ms, INT64_MAX);
	p->multi = curl_multi_init();
	if (p->multi == NULL)
		mem_exhausted(0);
	*out = p;
	return ERR_OK;
}

void
otlp_post_free(struct otlp_post **out)
{
	struct otlp_post *p = *out;

	if (p == NULL)
		return;
	curl_multi_cleanup(p->multi);
	free(p);
	curl_global_cleanup();
	*out = NULL;
}

void
otlp_post_end_at(struct otlp_post *p, int64_t mono_ms)
{
	atomic_store(&p->end_ms, mono_ms);
	curl_multi_wakeup(p->multi);
}

static bool
post_is_loopback(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family != AF_INET6)
		return false;
	memcpy(&v6, address, sizeof(v6));
	return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
	    (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) &&
		v6.sin6_addr.s6_addr[12] == 127);
}

/* What the name has led to is what counts. */
static curl_socket_t
post_open_socket(
    void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *address)
{
	struct otlp_post *p = arg;

	if (p->is_offline && !post_is_loopback(&address->addr)) {
		p->is_denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
	    address->protocol);
}

/* What is too long is of no interest, and no reason to break off. */
static size_t
post_on_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *out = arg;

	buf_append(out, data, size * n);
	return size * n;
}

static struct curl_slist *
post_add(struct curl_slist *list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(list, line);

	if (longer == NULL)
		mem_exhausted(0);
	return longer;
}

static struct curl_slist *
post_headers(const struct otel_pairs *pairs)
{
	struct curl_slist *list =
	    post_add(NULL, "Content-Type: application/json");
	struct buf line;

	list = post_add(list, "Accept: application/json");
	list = post_add(list, "Expect:");
	buf_init(&line, POST_HEADER_MAX);
	for (size_t i = 0; i < pairs->n; i++) {
		buf_clear(&line);
		buf_printf(
		    &line, "%s: %s", pairs->rows[i].key, pairs->rows[i].value);
		list = post_add(list, buf_text(&line));
	}
	buf_release(&line);
	return list;
}

static void
post_set_up(struct otlp_post *p, CURL *e, const struct otlp_request *r,
    struct curl_slist *headers, struct otlp_answer *answer)
{
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body);
	curl_easy_setopt(
	    e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, post_on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, &answer->body);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, post_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, p);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "aragora/" PACKAGE_VERSION);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A resolver that hangs is not waited for. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
	if (r->certificates[0] != '\0')
		curl_easy_setopt(e, CURLOPT_CAINFO, r->certificates);
}

/* Until it is done or its time is over; false: the latter. */
static bool
post_run(struct otlp_post *p, CURLcode *code)
{
	CURLMsg *m;
	int running = 1, left;

	while (running > 0) {
		int64_t wait_ms = atomic_load(&p->end_ms) - clock_mono_ms();
		if (wait_ms <= 0 ||
		    curl_multi_perform(p->multi, &running) != CURLM_OK)
			return false;
		if (wait_ms > POST_TICK_MS)
			wait_ms = POST_TICK_MS;
		if (running > 0 &&
		    curl_multi_poll(p->multi, NULL, 0, (int)wait_ms, NULL) !=
			CURLM_OK)
			return false;
	}
	while ((m = curl_multi_info_read(p->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE)
			*code = m->data.result;
	return true;
}

static void
post_read(CURL *e, struct otlp_answer *answer)
{
	curl_off_t after_s = 0;

	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(e, CURLINFO_RETRY_AFTER, &after_s);
	if (after_s > 0 && after_s < INT64_MAX / 1000)
		answer->retry_after_ms = after_s * 1000;
}

void
otlp_post_send(struct otlp_post *p, const struct otlp_request *r,
    struct otlp_answer *answer)
{
	struct curl_slist *headers = post_headers(r->headers);
	CURL *e = curl_easy_init();
	CURLcode code = CURLE_OK;

	if (e == NULL)
		mem_exhausted(0);
	answer->status = 0;
	answer->retry_after_ms = -1;
	answer->reason = "the process ends";
	p->is_offline = r->is_offline;
	p->is_denied = false;
	post_set_up(p, e, r, headers, answer);
	if (curl_multi_add_handle(p->multi, e) == CURLM_OK) {
		bool is_done = post_run(p, &code);
		if (is_done && code == CURLE_OK)
			post_read(e, answer);
		else if (is_done)
			answer->reason = p->is_denied
			    ? "ARAGORA_OFFLINE is set and the address is not "
			      "this machine's"
			    : curl_easy_strerror(code);
		curl_multi_remove_handle(p->multi, e);
	}
	curl_easy_cleanup(e);
	curl_slist_free_all(headers);
}
