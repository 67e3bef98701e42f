/* SPDX-License-Identifier: MIT */
#include "ws-bridge/ws_deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/heap.h"
#include "base/mem.h"
#include "base/str.h"

#define WS_DEFLATE_WINDOW 15
#define WS_DEFLATE_MEM	  8
#define WS_DEFLATE_TAIL	  4 /* 00 00 ff ff, RFC 7692 7.2.1 */
#define WS_DEFLATE_SLACK  64
#define WS_INFLATE_PIECE  16384u
/* zlib.h, inflate: a block has ended and the next has not begun. */
#define WS_INFLATE_BETWEEN 128

struct ws_deflater {
	z_stream out;
	z_stream in;
	bool has_out;
	bool has_in;
};

/* ---- the offer ---- */

static void
ws_offer_space(const char **p)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
}

/* RFC 9110 5.6.2; the length of a token, 0 = there is none. */
static size_t
ws_offer_token(const char *p)
{
	size_t n = 0;

	while (str_is_alnum(p[n]) ||
	    (p[n] != '\0' && strchr("!#$%&'*+-.^_`|~", p[n]) != NULL))
		n++;
	return n;
}

static bool
ws_offer_is(const char *token, size_t len, const char *name)
{
	return strlen(name) == len && strncmp(token, name, len) == 0;
}

/* "8" to "15" without leading zero, 0 = something else. */
static int
ws_offer_bits(const char *value, size_t len)
{
	if (len == 1 && (*value == '8' || *value == '9'))
		return *value - '0';
	if (len == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5')
		return 10 + value[1] - '0';
	return 0;
}

/* One parameter of an offer: may we take it? seen has a bit for each. */
static bool
ws_offer_param(const char *name, size_t name_len, const char *value,
    size_t value_len, unsigned *seen)
{
	static const char *const names[] = {"server_no_context_takeover",
	    "client_no_context_takeover", "server_max_window_bits",
	    "client_max_window_bits"};
	unsigned i = 0;

	while (i < ARRAY_LEN(names) && !ws_offer_is(name, name_len, names[i]))
		i++;
	if (i == ARRAY_LEN(names) || (*seen & 1u << i) != 0)
		return false;
	*seen |= 1u << i;
	if (i < 2)
		return value == NULL;
	if (i == 2)
		return value != NULL &&
		    ws_offer_bits(value, value_len) == WS_DEFLATE_WINDOW;
	return value == NULL || ws_offer_bits(value, value_len) != 0;
}

/* A token, or a token in quotes. false: neither. */
static bool
ws_offer_value(const char **p, const char **value, size_t *len)
{
	bool is_quoted = **p == '"';

	*p += is_quoted;
	*value = *p;
	*len = ws_offer_token(*p);
	*p += *len;
	if (*len == 0 || (is_quoted && **p != '"'))
		return false;
	*p += is_quoted;
	return true;
}

/* The parameters behind a name; *is_taken: we may agree to all of them.
 * false: bad grammar. */
static bool
ws_offer_params(const char **p, bool *is_taken)
{
	unsigned seen = 0;

	for (ws_offer_space(p); **p == ';'; ws_offer_space(p)) {
		const char *value = NULL;
		size_t value_len = 0;
		(*p)++;
		ws_offer_space(p);
		const char *name = *p;
		size_t name_len = ws_offer_token(name);
		if (name_len == 0)
			return false;
		*p += name_len;
		ws_offer_space(p);
		if (**p == '=') {
			(*p)++;
			ws_offer_space(p);
			if (!ws_offer_value(p, &value, &value_len))
				return false;
		}
		if (!ws_offer_param(name, name_len, value, value_len, &seen))
			*is_taken = false;
	}
	return true;
}

enum ws_offer
ws_deflate_offer(const char *extensions)
{
	const char *p = extensions;
	enum ws_offer offer = WS_OFFER_NONE;

	if (p == NULL)
		return WS_OFFER_NONE;
	for (;;) {
		ws_offer_space(&p);
		size_t len = ws_offer_token(p);
		if (len == 0)
			return WS_OFFER_BAD;
		bool is_taken = ws_offer_is(p, len, "permessage-deflate");
		p += len;
		if (!ws_offer_params(&p, &is_taken))
			return WS_OFFER_BAD;
		if (is_taken)
			offer = WS_OFFER_DEFLATE;
		if (*p == '\0')
			return offer;
		if (*p++ != ',')
			return WS_OFFER_BAD;
	}
}

/* ---- the data ---- */

static void *
ws_zlib_alloc(void *arg UNUSED, unsigned count, unsigned size)
{
	return heap_take(HEAP_ZLIB, calloc(count, size));
}

static void
ws_zlib_free(void *arg UNUSED, void *block)
{
	heap_free(HEAP_ZLIB, block);
}

struct ws_deflater *
ws_deflater_new(void)
{
	struct ws_deflater *d = mem_zalloc(sizeof(*d));

	if (heap_is_on) {
		d->out.zalloc = d->in.zalloc = ws_zlib_alloc;
		d->out.zfree = d->in.zfree = ws_zlib_free;
	}
	return d;
}

void
ws_deflater_free(struct ws_deflater **dp)
{
	struct ws_deflater *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	if (d->has_out)
		deflateEnd(&d->out);
	if (d->has_in)
		inflateEnd(&d->in);
	free(d);
}

static bool
ws_deflate_begin(struct ws_deflater *d)
{
	if (d->has_out)
		return deflateReset(&d->out) == Z_OK;
	d->has_out =
	    deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
		-WS_DEFLATE_WINDOW, WS_DEFLATE_MEM, Z_DEFAULT_STRATEGY) == Z_OK;
	return d->has_out;
}

/* zlib takes an unsigned, and without ZLIB_CONST a pointer to what it does not
 * change. */
static void
ws_stream_input(z_stream *z, const void *data, size_t len)
{
	union {
		const void *in;
		void *out;
	} u = {.in = data};

	z->next_in = u.out;
	z->avail_in = (uInt)len;
}

bool
ws_deflate(struct ws_deflater *d, const void *data, size_t len, struct buf *out)
{
	if (len > UINT32_MAX / 2 || !ws_deflate_begin(d))
		return false;
	size_t room = deflateBound(&d->out, (uLong)len) + WS_DEFLATE_SLACK;
	if (room > out->max - out->len)
		room = out->max - out->len;
	char *to = room > 0 ? buf_reserve(out, room) : NULL;
	if (to == NULL)
		return false;
	ws_stream_input(&d->out, data, len);
	d->out.next_out = (Bytef *)to;
	d->out.avail_out = (uInt)room;
	/* Room that is left tells that the flush is complete. */
	if (deflate(&d->out, Z_SYNC_FLUSH) != Z_OK || d->out.avail_in != 0 ||
	    d->out.avail_out == 0)
		return false;
	size_t made = room - d->out.avail_out;
	if (made < WS_DEFLATE_TAIL)
		return false;
	buf_commit(out, made - WS_DEFLATE_TAIL);
	return true;
}

static bool
ws_inflate_begin(struct ws_deflater *d)
{
	if (d->has_in)
		return inflateReset(&d->in) == Z_OK;
	d->has_in = inflateInit2(&d->in, -WS_DEFLATE_WINDOW) == Z_OK;
	return d->has_in;
}

/* Take all input. WS_INFLATED: it is used up. */
static enum ws_inflated
ws_inflate_run(z_stream *z, struct buf *out, bool *is_ended)
{
	/* One byte more than may be there tells "full" from "too big". */
	while (!*is_ended) {
		uint8_t piece[WS_INFLATE_PIECE];
		size_t room = out->max - out->len + 1;
		if (room > sizeof(piece))
			room = sizeof(piece);
		z->next_out = piece;
		z->avail_out = (uInt)room;
		int rc = inflate(z, Z_SYNC_FLUSH);
		size_t made = room - z->avail_out;
		if (made > out->max - out->len)
			return WS_INFLATED_TOO_BIG;
		buf_append(out, piece, made);
		if (rc == Z_STREAM_END)
			*is_ended = true;
		else if (rc == Z_BUF_ERROR)
			break; /* nothing more can come of it */
		else if (rc != Z_OK)
			return WS_INFLATED_BAD;
		else if (z->avail_in == 0 && z->avail_out != 0)
			break;
	}
	return WS_INFLATED;
}

enum ws_inflated
ws_inflate(struct ws_deflater *d, const void *data, size_t len, struct buf *out)
{
	static const uint8_t tail[WS_DEFLATE_TAIL] = {0, 0, 0xff, 0xff};
	bool is_ended = false;

	if (len > UINT32_MAX / 2 || !ws_inflate_begin(d))
		return WS_INFLATED_BAD;
	ws_stream_input(&d->in, data, len);
	enum ws_inflated r = ws_inflate_run(&d->in, out, &is_ended);
	/* A block with the final bit: nothing may follow it but what the
	 * sender takes off. RFC 7692 7.2.3.5 lets it be. */
	if (r != WS_INFLATED)
		return r;
	if (is_ended)
		return d->in.avail_in <= 1 ? WS_INFLATED : WS_INFLATED_BAD;
	ws_stream_input(&d->in, tail, sizeof(tail));
	r = ws_inflate_run(&d->in, out, &is_ended);
	/* A message that ends within a block took the four bytes for data. */
	if (r == WS_INFLATED && !is_ended &&
	    (d->in.data_type & WS_INFLATE_BETWEEN) == 0)
		return WS_INFLATED_BAD;
	return r;
}
