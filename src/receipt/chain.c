/* SPDX-License-Identifier: MIT */
#include "receipt/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/str.h"

/* With their NUL: no encoding is the beginning of another one. */
static const char chain_start_tag[] = "aragora-chain-1 start";
static const char chain_event_tag[] = "aragora-chain-1 event";

static void
chain_check(int ok)
{
	if (ok != 1) {
		fprintf(stderr, "no SHA-256 in this libcrypto\n");
		abort();
	}
}

static EVP_MD_CTX *
chain_begin(void)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	chain_check(md != NULL);
	chain_check(EVP_DigestInit_ex(md, EVP_sha256(), NULL));
	return md;
}

static void
chain_bytes(EVP_MD_CTX *md, const void *data, size_t len)
{
	chain_check(EVP_DigestUpdate(md, data, len));
}

static void
chain_number(EVP_MD_CTX *md, uint64_t n)
{
	unsigned char raw[8];

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (unsigned char)(n >> (56 - 8 * i));
	chain_bytes(md, raw, sizeof(raw));
}

static void
chain_text(EVP_MD_CTX *md, const char *text)
{
	size_t len = strlen(text);

	chain_number(md, len);
	chain_bytes(md, text, len);
}

static void
chain_end(EVP_MD_CTX *md, unsigned char *out)
{
	chain_check(EVP_DigestFinal_ex(md, out, NULL));
	EVP_MD_CTX_free(md);
}

void
chain_start(struct chain *c, const char *debate_id, const char *config)
{
	unsigned char hash[CHAIN_HASH_BYTES];
	EVP_MD_CTX *md = chain_begin();

	chain_bytes(md, config, strlen(config));
	chain_end(md, hash);
	md = chain_begin();
	chain_bytes(md, chain_start_tag, sizeof(chain_start_tag));
	chain_text(md, debate_id);
	chain_bytes(md, hash, sizeof(hash));
	chain_end(md, c->head);
}

void
chain_add(struct chain *c, const struct store_event *e)
{
	EVP_MD_CTX *md = chain_begin();
	unsigned char has_agent = e->agent != NULL;

	chain_bytes(md, chain_event_tag, sizeof(chain_event_tag));
	chain_bytes(md, c->head, sizeof(c->head));
	chain_number(md, (uint64_t)e->seq);
	chain_text(md, e->type);
	chain_number(md, (uint64_t)e->round);
	chain_bytes(md, &has_agent, 1);
	if (has_agent)
		chain_text(md, e->agent);
	chain_number(md, (uint64_t)e->created_us);
	chain_text(md, e->data);
	chain_end(md, c->head);
}

void
chain_hex(const struct chain *c, char *out)
{
	str_hex(c->head, sizeof(c->head), out);
}
