/* SPDX-License-Identifier: MIT
 *
 * The frame codec: a table of inputs and the events they must give, each fed
 * whole, cut in two at every place, and one byte at a time.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ws-bridge/ws_codec.h"

#define INPUT_MAX 1024
#define LIMIT	  200 /* bytes of a message in these tests */

/* A masked frame with mask 00000000 has its payload in clear: most vectors
 * use it so that they can be read. hex may hold spaces. */
struct vector {
	const char *name;
	const char *hex;
	const char *want; /* events joined by " " */
	enum ws_role role;
	bool is_text_only;
};

#define M "00000000" /* mask */

static const struct vector vectors[] = {
    {"rfc: masked hello", "8185 37fa213d 7f9f4d5158", "text:Hello"},
    {"rfc: unmasked hello", "8105 48656c6c6f", "text:Hello", WS_CLIENT},
    {"rfc: fragments", "0103 48656c 8002 6c6f", "text:Hello", WS_CLIENT},
    {"rfc: ping", "8905 48656c6c6f", "ping:Hello", WS_CLIENT},
    {"rfc: masked pong", "8a85 37fa213d 7f9f4d5158", "pong:Hello"},
    {"empty text", "8180" M, "text:"},
    {"empty ping", "8980" M, "ping:"},
    {"two messages", "8181" M "61 8181" M "62", "text:a text:b"},
    {"binary", "8282" M "0001", "binary:2"},
    {"binary refused at its header", "82", "error:1003", WS_SERVER, true},
    {"ping inside fragments", "0181" M "61 8981" M "70 8081" M "62",
	"ping:p text:ab"},
    {"three fragments, one empty", "0181" M "61 0080" M "8081" M "62",
	"text:ab"},
    {"character cut by fragments", "0181" M "c3 8081" M "a4", "text:\xc3\xa4"},
    {"length 126 in 16 bits", "81fe 007e" M "*126:61", "text*126"},
    {"length 200 is the limit", "81fe 00c8" M "*200:61", "text*200"},

    {"unmasked to a server", "8105", "error:1002"},
    {"masked to a client", "8185", "error:1002", WS_CLIENT},
    {"RSV1", "c1", "error:1002"},
    {"RSV2", "a1", "error:1002"},
    {"RSV3", "91", "error:1002"},
    {"opcode 3", "83", "error:1002"},
    {"opcode 7", "87", "error:1002"},
    {"opcode 11", "8b", "error:1002"},
    {"opcode 15", "8f", "error:1002"},
    {"fragmented ping", "09", "error:1002"},
    {"fragmented close", "08", "error:1002"},
    {"ping of 126 bytes", "89fe", "error:1002"},
    {"ping of 125 bytes", "89fd" M "*125:70", "ping*125"},
    {"continuation first", "80", "error:1002"},
    {"text inside a message", "0181" M "61 81", "error:1002"},
    {"continuation after the end", "8181" M "61 80", "text:a error:1002"},
    {"16 bits for 125", "81fe 007d", "error:1002"},
    {"64 bits for 65535", "81ff 000000000000ffff", "error:1002"},
    {"64 bits with the top bit", "81ff 8000000000000000", "error:1002"},
    {"16 bits for 125 to a client", "817e 007d", "error:1002", WS_CLIENT},

    {"201 bytes, by the header", "81fe 00c9", "error:1009"},
    {"2^62 bytes, by the header", "81ff 4000000000000000", "error:1009"},
    {"201 bytes in two frames", "01fe 00c8" M "*200:61 8081", "error:1009"},
    {"ping fits beside a full message",
	"01fe 00c8" M "*200:61 8981" M "70 8080" M, "ping:p text*200"},

    {"bad first byte", "8185" M "ff", "error:1007"},
    {"overlong slash", "8185" M "c0", "error:1007"},
    {"overlong in three bytes", "8185" M "e080", "error:1007"},
    {"surrogate", "8185" M "eda0", "error:1007"},
    {"past U+10FFFF", "8185" M "f490", "error:1007"},
    {"lone continuation byte", "8185" M "80", "error:1007"},
    {"ends within a character", "8181" M "c3", "error:1007"},
    {"bad byte in a later fragment", "0181" M "c3 8082" M "41", "error:1007"},
    {"good four bytes", "8184" M "f09f9880", "text:\xf0\x9f\x98\x80"},
    {"binary is not checked", "8281" M "ff", "binary:1"},

    {"close without a code", "8880" M, "close:1005"},
    {"close 1000", "8882" M "03e8", "close:1000"},
    {"close with a reason", "8885" M "03e9 627965", "close:1001"},
    {"close of one byte", "8881" M "03", "error:1002"},
    {"close 999", "8882" M "03e7", "error:1002"},
    {"close 1004", "8882" M "03ec", "error:1002"},
    {"close 1005", "8882" M "03ed", "error:1002"},
    {"close 1006", "8882" M "03ee", "error:1002"},
    {"close 1015", "8882" M "03f7", "error:1002"},
    {"close 2999", "8882" M "0bb7", "error:1002"},
    {"close 3000", "8882" M "0bb8", "close:3000"},
    {"close 4999", "8882" M "1387", "close:4999"},
    {"close 5000", "8882" M "1388", "error:1002"},
    {"close reason not UTF-8", "8883" M "03e8 ff", "error:1007"},
    {"nothing counts after close", "8882" M "03e8 8181" M "61", "close:1000"},
    {"nothing counts after an error", "83 8181" M "61", "error:1002"},
};

static size_t
from_hex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	while (*hex != '\0') {
		unsigned byte;
		unsigned times = 1;
		int used;
		if (*hex == ' ') {
			hex++;
			continue;
		}
		if (*hex == '*') {
			ck_assert_int_eq(
			    sscanf(hex, "*%u:%n", &times, &used), 1);
			hex += used;
		}
		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		hex += 2;
		ck_assert_uint_le(n + times, INPUT_MAX);
		memset(out + n, (int)byte, times);
		n += times;
	}
	return n;
}

/* Payloads that need not be read are shown by their length alone. */
static void
add_bytes(struct buf *out, const char *kind, const void *data, size_t len)
{
	if (len > 100)
		buf_printf(out, " %s*%zu", kind, len);
	else
		buf_printf(out, " %s:%.*s", kind, (int)len,
		    len > 0 ? (const char *)data : "");
}

static void
add_event(struct buf *out, const struct ws_decoder *d, enum ws_event e)
{
	switch (e) {
	case WS_EVENT_MORE:
		break;
	case WS_EVENT_MESSAGE:
		if (d->message_opcode == WS_TEXT)
			add_bytes(
			    out, "text", buf_text(&d->message), d->message.len);
		else
			buf_printf(out, " binary:%zu", d->message.len);
		break;
	case WS_EVENT_PING:
		add_bytes(out, "ping", d->control, d->control_len);
		break;
	case WS_EVENT_PONG:
		add_bytes(out, "pong", d->control, d->control_len);
		break;
	case WS_EVENT_CLOSE:
		buf_printf(out, " close:%d", d->close_code);
		break;
	case WS_EVENT_ERROR:
		ck_assert_ptr_nonnull(d->reason);
		buf_printf(out, " error:%d", d->close_code);
		break;
	}
}

/* Feeds a heap copy, so that a sanitizer sees a read past the piece. */
static void
feed_piece(
    struct ws_decoder *d, struct buf *out, const uint8_t *data, size_t len)
{
	uint8_t *copy = mem_alloc(len > 0 ? len : 1);
	size_t at = 0;
	size_t used;

	if (len > 0)
		memcpy(copy, data, len);
	for (enum ws_event e = WS_EVENT_PING; e != WS_EVENT_MORE;) {
		e = ws_decoder_feed(d, copy + at, len - at, &used);
		ck_assert_uint_le(used, len - at);
		at += used;
		add_event(out, d, e);
		if (e == WS_EVENT_ERROR || e == WS_EVENT_CLOSE)
			ck_assert_uint_eq(at, len);
	}
	ck_assert_uint_eq(at, len);
	free(copy);
}

/* Pieces of `piece` bytes; the first one has `first`. */
static void
check_split(const struct vector *v, const uint8_t *data, size_t len,
    size_t first, size_t piece)
{
	struct ws_decoder d;
	struct buf got;

	buf_init(&got, 4096);
	ws_decoder_init(&d, v->role, LIMIT);
	d.is_text_only = v->is_text_only;
	for (size_t at = 0, n = first; at < len; at += n, n = piece) {
		if (n > len - at)
			n = len - at;
		feed_piece(&d, &got, data + at, n);
	}
	ck_assert_msg(got.len > 0 && strcmp(buf_text(&got) + 1, v->want) == 0,
	    "%s (cut at %zu): got '%s', want '%s'", v->name, first,
	    buf_text(&got), v->want);
	buf_release(&got);
	ws_decoder_release(&d);
}

START_TEST(test_vectors)
{
	const struct vector *v = &vectors[_i];
	uint8_t data[INPUT_MAX] = {0};
	size_t len = from_hex(v->hex, data);

	check_split(v, data, len, len, len);
	check_split(v, data, len, 1, 1);
	for (size_t first = 1; first < len; first++)
		check_split(v, data, len, first, len);
}
END_TEST

/* What a side encodes, the other side reads. */
static void
check_round_trip(enum ws_role reader, size_t len)
{
	static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
	const uint8_t *m = reader == WS_SERVER ? mask : NULL;
	uint8_t header[WS_HEADER_MAX];
	struct ws_decoder d;
	struct buf got;
	uint8_t *data = mem_alloc(len + 1);

	memset(data, 'x', len);
	size_t header_len = ws_encode_header(header, WS_TEXT, len, m);
	if (m != NULL)
		ws_mask(data, len, m, 0);
	buf_init(&got, 256);
	ws_decoder_init(&d, reader, 70000);
	feed_piece(&d, &got, header, header_len);
	size_t used;
	if (len > 0) {
		ck_assert_int_eq(
		    ws_decoder_feed(&d, data, len, &used), WS_EVENT_MESSAGE);
		ck_assert_uint_eq(used, len);
		ck_assert_uint_eq(d.message.len, len);
		for (size_t i = 0; i < len; i++)
			ck_assert_int_eq(d.message.data[i], 'x');
	} else {
		ck_assert_str_eq(buf_text(&got), " text:");
	}
	ws_decoder_release(&d);
	buf_release(&got);
	free(data);
}

START_TEST(test_round_trip)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536};

	check_round_trip(WS_SERVER, sizes[_i]);
	check_round_trip(WS_CLIENT, sizes[_i]);
}
END_TEST

START_TEST(test_mask_offset)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	uint8_t whole[11] = "hello world";
	uint8_t parts[11] = "hello world";

	ws_mask(whole, 11, mask, 0);
	ws_mask(parts, 3, mask, 0);
	ws_mask(parts + 3, 8, mask, 3);
	ck_assert_mem_eq(whole, parts, 11);
}
END_TEST

START_TEST(test_close_reason_is_cut_between_characters)
{
	uint8_t out[WS_CONTROL_MAX];
	char reason[200];

	memset(reason, 'a', 122);
	memcpy(reason + 122, "\xc3\xa4", 3);
	ck_assert_uint_eq(ws_encode_close(out, 1001, reason), 2 + 122);
	ck_assert_int_eq(out[0] << 8 | out[1], 1001);
	reason[121] = '\0';
	ck_assert_uint_eq(ws_encode_close(out, 1001, reason), 2 + 121);
}
END_TEST

START_TEST(test_idle_holds_no_memory)
{
	static const uint8_t hello[] = {
	    0x81, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
	struct ws_decoder d;
	size_t used;

	ws_decoder_init(&d, WS_SERVER, LIMIT);
	ck_assert(ws_decoder_is_idle(&d));
	ck_assert_int_eq(ws_decoder_feed(&d, hello, 3, &used), WS_EVENT_MORE);
	ck_assert(!ws_decoder_is_idle(&d));
	ck_assert_int_eq(
	    ws_decoder_feed(&d, hello + 3, sizeof(hello) - 3, &used),
	    WS_EVENT_MESSAGE);
	ck_assert_int_eq(ws_decoder_feed(&d, hello, 0, &used), WS_EVENT_MORE);
	ck_assert(ws_decoder_is_idle(&d));
	ck_assert_ptr_null(d.message.data);
	ws_decoder_release(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_codec");
	TCase *t = tcase_create("codec");
	SRunner *r = srunner_create(s);

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, test_vectors, 0, (int)ARRAY_LEN(vectors));
	tcase_add_loop_test(t, test_round_trip, 0, 7);
	tcase_add_test(t, test_mask_offset);
	tcase_add_test(t, test_close_reason_is_cut_between_characters);
	tcase_add_test(t, test_idle_holds_no_memory);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
