/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "bus/bus_impl.h"

/* An id, a space, 19 digits, a line feed. */
#define BUS_WIRE_HEAD_MAX    (ID_MAX + 21)
#define BUS_BACKOFF_FIRST_MS 100
#define BUS_BACKOFF_MAX_MS   5000

void
bus_wire_encode(struct buf *out, const struct bus_message *m)
{
	buf_printf(out, "%s %lld\n", m->debate_id, (long long)m->seq);
	if (m->payload_len > 0)
		buf_append(out, m->payload, m->payload_len);
}

enum err
bus_wire_decode(const char *text, size_t len, char *id, struct bus_message *out)
{
	size_t head = len < BUS_WIRE_HEAD_MAX ? len : BUS_WIRE_HEAD_MAX;
	const char *end = memchr(text, '\n', head);
	const char *space =
	    end != NULL ? memchr(text, ' ', (size_t)(end - text)) : NULL;
	uint64_t seq;

	if (space == NULL)
		return ERR_SYNTAX;
	size_t id_len = (size_t)(space - text);
	if (id_len > ID_MAX ||
	    str_to_u64(space + 1, (size_t)(end - space) - 1, INT64_MAX, &seq) !=
		ERR_OK)
		return ERR_SYNTAX;
	memcpy(id, text, id_len);
	id[id_len] = '\0';
	if (strlen(id) != id_len || (id_len > 0 && !id_is_valid(id)))
		return ERR_SYNTAX;
	*out = (struct bus_message){
	    .debate_id = id,
	    .seq = (int64_t)seq,
	    .payload = end + 1,
	    .payload_len = len - (size_t)(end + 1 - text),
	};
	return ERR_OK;
}

int64_t
bus_backoff_ms(int64_t failures)
{
	int64_t pause_ms = BUS_BACKOFF_FIRST_MS;
	uint16_t random;

	for (int64_t i = 1; i < failures && pause_ms < BUS_BACKOFF_MAX_MS; i++)
		pause_ms *= 2;
	if (pause_ms > BUS_BACKOFF_MAX_MS)
		pause_ms = BUS_BACKOFF_MAX_MS;
	id_random(&random, sizeof(random));
	return pause_ms - pause_ms * random / (4 * (UINT16_MAX + 1));
}
