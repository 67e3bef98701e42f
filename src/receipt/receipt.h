/* SPDX-License-Identifier: MIT
 *
 * The receipt of a finished debate: what was asked, what came out and the head
 * of the hash chain over all that happened, signed with Ed25519. It is written
 * once, when the debate ends, and kept beside it; who changes the database
 * afterwards does not have the key. It names no tenant, so it can be shown.
 *
 * Why at the end and not with each commit: a hash in each row costs every
 * commit one more look at the row before and 64 bytes, and keeps nobody out,
 * for who may write the rows may write their hashes too. Only the signature
 * does, and that is made once.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "receipt/chain.h"
#include "receipt/keys.h"
#include "store/store.h"

#define RECEIPT_FORMAT	  "aragora-receipt/1"
#define RECEIPT_ALGORITHM "Ed25519"
#define RECEIPT_UNSIGNED  "none"

struct settings;

struct receipt {
	const char *debate_id;
	const char *status;
	const char *config_sha256;
	const char *result_sha256; /* NULL = there is no result */
	int64_t events;
	const char *head; /* of the chain */
	int64_t created_us, started_us, completed_us;
	int64_t sealed_us;
	const char *program;
	const char *algorithm;
	const char *key_id; /* NULL = unsigned */
};

/* The keys of ARAGORA_RECEIPT_KEY, an empty ring without one; ERR_INVALID. */
enum err receipt_keys_open(struct receipt_keys **out,
    const struct settings *settings, struct err_info *info) MUST_CHECK;

/* The one text of a receipt: what is signed. */
void receipt_write(struct buf *out, const struct receipt *r);
/* Texts on the arena. ERR_SYNTAX (info says what): it is not the text that
 * receipt_write makes of its own members. */
enum err receipt_read(struct arena *a, const char *text, size_t len,
    struct receipt *out, struct err_info *info) MUST_CHECK;

/* Makes the receipt of a finished debate unless it has one, and gives the one
 * that is kept. ERR_CONFLICT: not finished; else as the store. */
enum err receipt_seal(struct store *store, const struct receipt_keys *keys,
    struct arena *a, const char *tenant, const char *id,
    struct store_receipt *out) MUST_CHECK;
