/* SPDX-License-Identifier: MIT
 *
 * The GET parser and the judgement of a handshake: a table of requests and
 * answers, each fed whole and one byte at a time.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "ws-bridge/ws_handshake.h"

#define ORIGINS "http://localhost:3000, https://app.example"
#define KEY	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define REST                                                                   \
	"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" KEY        \
	"Sec-WebSocket-Version: 13\r\n"
#define HOST	   "Host: example\r\n"
#define GET(path)  "GET " path " HTTP/1.1\r\n" HOST
#define OPEN(path) GET(path) REST

struct request {
	const char *name;
	const char *text;
	int status; /* 101 = upgrade, 200 = health */
	const char *debate_id;
	const char *token;
	int64_t since; /* -1 = none */
	bool has_subprotocol;
};

#define OK(id, token, since) 101, id, token, since

static const struct request requests[] = {
    {"ws", OPEN("/ws") "\r\n", OK(NULL, NULL, -1)},
    {"root", OPEN("/") "\r\n", OK(NULL, NULL, -1)},
    {"events", OPEN("/ws/events") "\r\n", OK(NULL, NULL, -1)},
    {"api", OPEN("/api/v1/ws") "\r\n", OK(NULL, NULL, -1)},
    {"id in the path", OPEN("/ws/debates/adhoc_1") "\r\n",
	OK("adhoc_1", NULL, -1)},
    {"id in the query", OPEN("/ws?debate_id=adhoc_1") "\r\n",
	OK("adhoc_1", NULL, -1)},
    {"loop_id", OPEN("/ws?loop_id=adhoc_1") "\r\n", OK("adhoc_1", NULL, -1)},
    {"empty id", OPEN("/ws?debate_id=") "\r\n", OK(NULL, NULL, -1)},
    {"since", OPEN("/ws?debate_id=a&since=17") "\r\n", OK("a", NULL, 17)},
    {"since 0", OPEN("/ws?debate_id=a&since=0") "\r\n", OK("a", NULL, 0)},
    {"replay_from_seq", OPEN("/ws?replay_from_seq=3&debate_id=a") "\r\n",
	OK("a", NULL, 3)},
    {"encoded id", OPEN("/ws?debate_id=%61b") "\r\n", OK("ab", NULL, -1)},
    {"encoded path", OPEN("/ws/debates/%61b") "\r\n", OK("ab", NULL, -1)},
    {"token in the query", OPEN("/ws?token=t%2B1") "\r\n", OK(NULL, "t+1", -1)},
    {"token in the header",
	OPEN("/ws?token=q") "Authorization: bearer  h \r\n\r\n",
	OK(NULL, "h", -1)},
    {"token in the subprotocol",
	OPEN("/ws?token=q") "Sec-WebSocket-Protocol: aragora-v1, "
			    "access_token.s\r\n\r\n",
	OK(NULL, "s", -1), true},
    {"header before subprotocol",
	OPEN("/ws") "Authorization: Bearer h\r\n"
		    "Sec-WebSocket-Protocol: access_token.s\r\n\r\n",
	OK(NULL, "h", -1)},
    {"repeated subprotocol lines",
	OPEN("/ws") "Sec-WebSocket-Protocol: other\r\n"
		    "Sec-WebSocket-Protocol: aragora-v1\r\n\r\n",
	OK(NULL, NULL, -1), true},
    {"allowed origin", OPEN("/ws") "Origin: https://app.example\r\n\r\n",
	OK(NULL, NULL, -1)},
    {"own origin", OPEN("/ws") "Origin: http://EXAMPLE\r\n\r\n",
	OK(NULL, NULL, -1)},
    {"own origin, default port",
	"GET /ws HTTP/1.1\r\nHost: example:443\r\n" REST
	"Origin: https://example\r\n\r\n",
	OK(NULL, NULL, -1)},
    {"case of names",
	"GET /ws HTTP/1.1\r\nhOST: e\r\nUPGRADE: WebSocket\r\n"
	"connection: UPGRADE\r\n" KEY "sec-websocket-version: 13\r\n\r\n",
	OK(NULL, NULL, -1)},
    {"other fields are ignored",
	OPEN("/ws") "X-Any: \xc3\xa4 thing\r\nCookie: a=b\r\n\r\n",
	OK(NULL, NULL, -1)},

    {"healthz", GET("/healthz") "\r\n", 200},
    {"healthz of HTTP/1.0", "GET /healthz HTTP/1.0\r\n\r\n", 200},

    {"bare LF", "GET /ws HTTP/1.1\nHost: e\n\n", 400},
    {"bare LF later", GET("/ws") "Upgrade: websocket\n\r\n", 400},
    {"bare CR", "GET /ws HTTP/1.1\rHost: e\r\n\r\n", 400},
    {"empty line first", "\r\n" OPEN("/ws") "\r\n", 400},
    {"bytes after the request", OPEN("/ws") "\r\nx", 400},
    {"second request behind", OPEN("/ws") "\r\n" OPEN("/ws") "\r\n", 400},
    {"no version", "GET /ws\r\n\r\n", 400},
    {"two spaces", "GET  /ws HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute target", "GET http://e/ws HTTP/1.1\r\n" HOST "\r\n", 400},
    {"fragment", OPEN("/ws#a") "\r\n", 400},
    {"lower-case protocol", "GET /ws http/1.1\r\n" HOST "\r\n", 400},
    {"HTTP/2", "GET /ws HTTP/2.0\r\n" HOST "\r\n", 505},
    {"HTTP/1.0 upgrade", "GET /ws HTTP/1.0\r\n" HOST REST "\r\n", 400},
    {"no host", "GET /ws HTTP/1.1\r\n" REST "\r\n", 400},
    {"two hosts", OPEN("/ws") HOST "\r\n", 400},
    {"two keys", OPEN("/ws") KEY "\r\n", 400},
    {"two versions", OPEN("/ws") "Sec-WebSocket-Version: 13\r\n\r\n", 400},
    {"two origins",
	OPEN("/ws") "Origin: http://example\r\nOrigin: http://example\r\n\r\n",
	400},
    {"space before the colon", OPEN("/ws") "Origin : x\r\n\r\n", 400},
    {"folded line", OPEN("/ws") "X-Any: a\r\n b\r\n\r\n", 400},
    {"line without a colon", OPEN("/ws") "nonsense\r\n\r\n", 400},
    {"control character", OPEN("/ws") "X-Any: a\x01\r\n\r\n", 400},
    {"body", OPEN("/ws") "Content-Length: 5\r\n\r\n", 400},
    {"chunked", OPEN("/ws") "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"bad percent", OPEN("/ws/debates/%zz") "\r\n", 400},
    {"NUL in the path", OPEN("/ws%00") "\r\n", 400},
    {"cut percent in the query", OPEN("/ws?debate_id=%4") "\r\n", 400},
    {"repeated parameter", OPEN("/ws?debate_id=a&debate_id=b") "\r\n", 400},
    {"bad id", OPEN("/ws?debate_id=a%2Fb") "\r\n", 400},
    {"bad since", OPEN("/ws?since=-1") "\r\n", 400},
    {"since is no number", OPEN("/ws?since=x") "\r\n", 400},
    {"version 8",
	GET("/ws") "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY
		   "Sec-WebSocket-Version: 8\r\n\r\n",
	426},
    {"version missing",
	GET("/ws") "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY "\r\n",
	400},
    {"key missing",
	GET("/ws") "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Version: 13\r\n\r\n",
	400},
    {"key of 15 bytes",
	GET("/ws") "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Version: 13\r\n"
		   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n\r\n",
	400},
    {"key with stray bits",
	GET("/ws") "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Version: 13\r\n"
		   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n",
	400},
    {"no upgrade", GET("/ws") "\r\n", 426},
    {"other upgrade", GET("/ws") "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
	426},
    {"connection without upgrade",
	GET("/ws") "Upgrade: websocket\r\nConnection: close\r\n" KEY
		   "Sec-WebSocket-Version: 13\r\n\r\n",
	426},
    {"POST", "POST /ws HTTP/1.1\r\n" HOST REST "\r\n", 405},
    {"extensions without a name",
	OPEN("/ws") "Sec-WebSocket-Extensions: ;\r\n\r\n", 400},
    {"other path", OPEN("/elsewhere") "\r\n", 404},
    {"debates without id", OPEN("/ws/debates/") "\r\n", 404},
    {"foreign origin", OPEN("/ws") "Origin: https://evil.example\r\n\r\n", 403},
    {"null origin", OPEN("/ws") "Origin: null\r\n\r\n", 403},
    {"origin with our host in front",
	OPEN("/ws") "Origin: http://example.evil\r\n\r\n", 403},
    {"basic credential", OPEN("/ws") "Authorization: Basic eDp5\r\n\r\n", 401},
};

static enum ws_request_result
feed(struct ws_request *r, const char *text, size_t piece)
{
	enum ws_request_result result = WS_REQUEST_MORE;
	size_t len = strlen(text);

	for (size_t at = 0; at < len && result != WS_REQUEST_BAD; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		char *copy = mem_alloc(n);
		memcpy(copy, text + at, n);
		result = ws_request_feed(r, copy, n);
		free(copy);
	}
	return result;
}

static void
check_request(const struct request *q, size_t piece)
{
	struct ws_handshake h = {0};
	struct ws_request r;
	int status;

	ws_request_init(&r);
	enum ws_request_result result = feed(&r, q->text, piece);
	ck_assert_msg(result != WS_REQUEST_MORE, "%s: unfinished", q->name);
	if (result == WS_REQUEST_BAD) {
		status = r.status;
	} else {
		enum ws_handshake_kind kind =
		    ws_handshake_judge(&h, &r, ORIGINS);
		status = kind == WS_HANDSHAKE_UPGRADE ? 101
		    : kind == WS_HANDSHAKE_HEALTH     ? 200
						      : h.status;
	}
	ck_assert_msg(status == q->status, "%s: got %d, want %d", q->name,
	    status, q->status);
	if (status == 101) {
		ck_assert_msg(str_eq(h.debate_id, q->debate_id), "%s", q->name);
		ck_assert_msg(str_eq(h.token, q->token), "%s", q->name);
		ck_assert_int_eq(h.has_since, q->since >= 0);
		if (h.has_since)
			ck_assert_int_eq(h.since, q->since);
		ck_assert_int_eq(h.has_subprotocol, q->has_subprotocol);
	}
	ws_request_release(&r);
}

START_TEST(test_requests)
{
	const struct request *q = &requests[_i];

	check_request(q, strlen(q->text));
	check_request(q, 1);
	check_request(q, 7);
}
END_TEST

/* RFC 6455 1.3 */
START_TEST(test_accept_key)
{
	char out[WS_ACCEPT_SIZE];

	ck_assert(ws_handshake_accept_key("dGhlIHNhbXBsZSBub25jZQ==", out));
	ck_assert_str_eq(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
END_TEST

START_TEST(test_token_is_never_echoed)
{
	struct ws_handshake h;
	struct ws_request r;
	struct buf out;

	ws_request_init(&r);
	ck_assert_int_eq(
	    feed(&r,
		OPEN("/ws") "Sec-WebSocket-Protocol: access_token.secret,"
			    "aragora-v1\r\n\r\n",
		1000),
	    WS_REQUEST_DONE);
	ck_assert_int_eq(ws_handshake_judge(&h, &r, ""), WS_HANDSHAKE_UPGRADE);
	buf_init(&out, 4096);
	ws_handshake_accept(&h, &out);
	ck_assert_ptr_nonnull(strstr(
	    buf_text(&out), "\r\nSec-WebSocket-Protocol: aragora-v1\r\n"));
	ck_assert_ptr_null(strstr(buf_text(&out), "secret"));
	ck_assert_int_eq(strcmp(buf_text(&out) + out.len - 4, "\r\n\r\n"), 0);
	buf_release(&out);
	ws_request_release(&r);
}
END_TEST

/* 8192 bytes pass, one more is 431: judged without waiting for the end. */
START_TEST(test_size_limit)
{
	static const char begin[] = "GET /healthz HTTP/1.1\r\nHost: e\r\nX: ";
	struct ws_request r;
	char text[WS_REQUEST_MAX + 2];

	memset(text, 'x', sizeof(text));
	memcpy(text, begin, sizeof(begin) - 1);
	memcpy(text + WS_REQUEST_MAX - 4, "\r\n\r\n", 5);
	ws_request_init(&r);
	ck_assert_int_eq(feed(&r, text, 500), WS_REQUEST_DONE);
	ws_request_release(&r);

	memset(text + WS_REQUEST_MAX - 4, 'x', 6);
	text[WS_REQUEST_MAX + 1] = '\0';
	ws_request_init(&r);
	ck_assert_int_eq(feed(&r, text, 500), WS_REQUEST_BAD);
	ck_assert_int_eq(r.status, 431);
	ck_assert_int_eq(ws_request_feed(&r, "\r\n\r\n", 4), WS_REQUEST_BAD);
	ws_request_release(&r);
}
END_TEST

START_TEST(test_too_many_fields)
{
	struct ws_request r;
	struct buf text;

	buf_init(&text, WS_REQUEST_MAX);
	buf_puts(&text, GET("/ws"));
	for (int i = 0; i < WS_REQUEST_ROWS; i++)
		buf_puts(&text, "A: b\r\n");
	buf_puts(&text, "\r\n");
	ws_request_init(&r);
	ck_assert_int_eq(feed(&r, buf_text(&text), text.len), WS_REQUEST_BAD);
	ck_assert_int_eq(r.status, 431);
	ws_request_release(&r);
	buf_release(&text);
}
END_TEST

START_TEST(test_refusals)
{
	static const struct {
		int status;
		int retry_s;
		const char *has;
	} rows[] = {
	    {426, 0, "\r\nSec-WebSocket-Version: 13\r\n"},
	    {426, 0, "HTTP/1.1 426 Upgrade Required\r\n"},
	    {401, 0, "\r\nWWW-Authenticate: Bearer\r\n"},
	    {405, 0, "\r\nAllow: GET\r\n"},
	    {503, 1, "\r\nRetry-After: 1\r\n"},
	    {429, 17, "\r\nRetry-After: 17\r\n"},
	    {429, 17, "\"retry_after\":17}"},
	    {431, 0, "HTTP/1.1 431 "},
	    {400, 0, "\"code\":\"C\""},
	    {400, 0, "\"error\":\"a \\\"b\\\"\""},
	    {400, 0, "\"trace_id\":\"tid\""},
	    {400, 0, "\r\nX-Trace-Id: tid\r\n"},
	};
	struct buf out;

	buf_init(&out, 4096);
	ws_handshake_refuse(
	    &out, rows[_i].status, "C", "a \"b\"", "tid", rows[_i].retry_s);
	ck_assert_msg(strstr(buf_text(&out), rows[_i].has) != NULL,
	    "'%s' is not in '%s'", rows[_i].has, buf_text(&out));
	const char *body = strstr(buf_text(&out), "\r\n\r\n");
	char length[64];
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n",
	    strlen(body + 4));
	ck_assert_ptr_nonnull(strstr(buf_text(&out), length));
	buf_release(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_handshake");
	TCase *t = tcase_create("handshake");
	SRunner *r = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, test_requests, 0, (int)ARRAY_LEN(requests));
	tcase_add_test(t, test_accept_key);
	tcase_add_test(t, test_token_is_never_echoed);
	tcase_add_test(t, test_size_limit);
	tcase_add_test(t, test_too_many_fields);
	tcase_add_loop_test(t, test_refusals, 0, 12);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
