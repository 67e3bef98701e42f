/* SPDX-License-Identifier: MIT
 *
 * The hash chain over the events of a debate. docs/receipt.md has the encoding
 * byte by byte, for whoever writes a verifier of his own.
 *
 *   h(0) = SHA-256("aragora-chain-1 start" NUL, L(debate id),
 *                  SHA-256(configuration))
 *   h(n) = SHA-256("aragora-chain-1 event" NUL, h(n-1), U(seq), L(type),
 *                  U(round), 0 or 1 L(agent), U(created_us), L(data))
 *
 * U(x) is x in 8 bytes, the highest first; L(text) is U(length) and the bytes.
 * What is hashed is the stored text, so equal JSON that is written otherwise
 * is another event.
 */
#pragma once

#include "base/id.h"
#include "store/store.h"

#define CHAIN_HASH_BYTES 32

struct chain {
	unsigned char head[CHAIN_HASH_BYTES];
};

void chain_start(struct chain *c, const char *debate_id, const char *config);
void chain_add(struct chain *c, const struct store_event *e);
/* The head in lower-case hex into out[ID_HASH_SIZE]. */
void chain_hex(const struct chain *c, char *out);
