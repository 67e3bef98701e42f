/* SPDX-License-Identifier: MIT */
#include "receipt/keys.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "auth/b64url.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"

#define KEY_BYTES	    32
#define KEY_SIGNATURE_BYTES 64

/* With its NUL in front of what is signed: the key signs nothing that could
 * be read as something else. */
static const char key_domain[] = "aragora-receipt-1";

struct receipt_key {
	EVP_PKEY *pkey;
	bool is_private;
	char id[RECEIPT_KEY_ID_SIZE];
	char public[RECEIPT_PUBLIC_SIZE];
};

struct receipt_keys {
	struct receipt_key *rows;
	size_t n;
};

static void
key_b64url(const unsigned char *data, size_t len, char *out)
{
	unsigned char text[4 * (KEY_SIGNATURE_BYTES / 3 + 1) + 1];
	size_t n = 0;

	EVP_EncodeBlock(text, data, (int)len);
	for (; text[n] != '\0' && text[n] != '='; n++)
		out[n] = text[n] == '+' ? '-'
		    : text[n] == '/'	? '_'
					: (char)text[n];
	out[n] = '\0';
}

static enum err
key_describe(struct receipt_key *k)
{
	unsigned char raw[KEY_BYTES];
	char hash[ID_HASH_SIZE];
	size_t len = sizeof(raw);

	if (EVP_PKEY_get_id(k->pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(k->pkey, raw, &len) != 1 ||
	    len != sizeof(raw))
		return ERR_INVALID;
	id_sha256(raw, len, hash);
	memcpy(k->id, hash, RECEIPT_KEY_ID_SIZE - 1);
	k->id[RECEIPT_KEY_ID_SIZE - 1] = '\0';
	key_b64url(raw, len, k->public);
	return ERR_OK;
}

struct receipt_keys *
receipt_keys_new(void)
{
	return mem_zalloc(sizeof(struct receipt_keys));
}

void
receipt_keys_free(struct receipt_keys **keys)
{
	struct receipt_keys *r = *keys;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		EVP_PKEY_free(r->rows[i].pkey);
	free(r->rows);
	free(r);
	*keys = NULL;
}

static const struct receipt_key *
key_find(const struct receipt_keys *keys, const char *id)
{
	for (size_t i = 0; i < keys->n; i++)
		if (str_eq(keys->rows[i].id, id))
			return &keys->rows[i];
	return NULL;
}

/* Takes pkey. */
static enum err
key_put(struct receipt_keys *keys, EVP_PKEY *pkey, bool is_private)
{
	struct receipt_key k = {.pkey = pkey, .is_private = is_private};

	if (key_describe(&k) != ERR_OK) {
		EVP_PKEY_free(pkey);
		return ERR_INVALID;
	}
	if (key_find(keys, k.id) != NULL) {
		EVP_PKEY_free(pkey);
		return ERR_OK;
	}
	keys->rows = mem_realloc_array(
	    keys->rows, keys->n + 1, sizeof(struct receipt_key));
	keys->rows[keys->n++] = k;
	return ERR_OK;
}

/* A pass phrase is never asked for at the terminal. */
static int
key_no_phrase(
    char *buf UNUSED, int size UNUSED, int rwflag UNUSED, void *arg UNUSED)
{
	return -1;
}

/* Private blocks, or public ones, in order; *n counts them. */
static enum err
key_read_blocks(
    struct receipt_keys *keys, const char *pem, bool is_private, size_t *n)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	enum err e = bio == NULL ? ERR_INTERNAL : ERR_OK;

	while (e == ERR_OK) {
		EVP_PKEY *pkey = is_private
		    ? PEM_read_bio_PrivateKey(bio, NULL, key_no_phrase, NULL)
		    : PEM_read_bio_PUBKEY(bio, NULL, key_no_phrase, NULL);
		if (pkey == NULL)
			break;
		e = key_put(keys, pkey, is_private);
		(*n)++;
	}
	BIO_free(bio);
	ERR_clear_error();
	return e;
}

static size_t
key_count_blocks(const char *pem)
{
	size_t n = 0;

	for (const char *p = pem; (p = strstr(p, "-----BEGIN ")) != NULL; p++)
		n++;
	return n;
}

enum err
receipt_keys_add(
    struct receipt_keys *keys, const char *pem, struct err_info *info)
{
	size_t n = 0;

	enum err e = key_read_blocks(keys, pem, true, &n);
	if (e == ERR_OK)
		e = key_read_blocks(keys, pem, false, &n);
	if (e != ERR_OK)
		return err_set(info, e, "", "holds a key that is not Ed25519");
	if (n == 0 || n != key_count_blocks(pem))
		return err_set(info, ERR_INVALID, "",
		    "is not a text of unencrypted PEM keys");
	return ERR_OK;
}

size_t
receipt_keys_count(const struct receipt_keys *keys)
{
	return keys->n;
}

const char *
receipt_keys_id(const struct receipt_keys *keys, size_t i)
{
	return keys->rows[i].id;
}

const char *
receipt_keys_public(const struct receipt_keys *keys, size_t i)
{
	return keys->rows[i].public;
}

static const struct receipt_key *
key_signer(const struct receipt_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		if (keys->rows[i].is_private)
			return &keys->rows[i];
	return NULL;
}

const char *
receipt_keys_signer(const struct receipt_keys *keys)
{
	const struct receipt_key *k = key_signer(keys);

	return k != NULL ? k->id : NULL;
}

/* What is signed; malloc'd. */
static unsigned char *
key_message(const char *text, size_t len, size_t *out_len)
{
	unsigned char *m = mem_alloc(sizeof(key_domain) + len);

	memcpy(m, key_domain, sizeof(key_domain));
	memcpy(m + sizeof(key_domain), text, len);
	*out_len = sizeof(key_domain) + len;
	return m;
}

enum err
receipt_keys_sign(
    const struct receipt_keys *keys, const char *text, size_t len, char *out)
{
	const struct receipt_key *k = key_signer(keys);
	unsigned char raw[KEY_SIGNATURE_BYTES];
	size_t raw_len = sizeof(raw), message_len;

	if (k == NULL)
		return ERR_UNSUPPORTED;
	unsigned char *message = key_message(text, len, &message_len);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL &&
	    EVP_DigestSignInit(md, NULL, NULL, NULL, k->pkey) == 1 &&
	    EVP_DigestSign(md, raw, &raw_len, message, message_len) == 1 &&
	    raw_len == sizeof(raw);
	EVP_MD_CTX_free(md);
	free(message);
	if (!ok) {
		ERR_clear_error();
		return ERR_INTERNAL;
	}
	key_b64url(raw, raw_len, out);
	return ERR_OK;
}

enum err
receipt_keys_verify(const struct receipt_keys *keys, const char *id,
    const char *text, size_t len, const char *signature)
{
	const struct receipt_key *k = key_find(keys, id);
	struct arena *a = arena_new(0);
	unsigned char *raw = NULL;
	size_t raw_len = 0, message_len;
	EVP_MD_CTX *md = NULL;
	enum err e = ERR_NOT_FOUND;

	if (k == NULL)
		goto out;
	e = ERR_DENIED;
	if (b64url_decode(a, signature, strlen(signature), &raw, &raw_len) !=
		ERR_OK ||
	    raw_len != KEY_SIGNATURE_BYTES)
		goto out;
	unsigned char *message = key_message(text, len, &message_len);
	md = EVP_MD_CTX_new();
	if (md != NULL &&
	    EVP_DigestVerifyInit(md, NULL, NULL, NULL, k->pkey) == 1 &&
	    EVP_DigestVerify(md, raw, raw_len, message, message_len) == 1)
		e = ERR_OK;
	free(message);
	ERR_clear_error();
out:
	EVP_MD_CTX_free(md);
	arena_free(&a);
	return e;
}

static char *
key_bio_text(BIO *bio)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	return mem_strndup(data, (size_t)len);
}

static char *
key_pem(EVP_PKEY *pkey, bool is_private)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = NULL;

	if (bio != NULL &&
	    (is_private ? PEM_write_bio_PKCS8PrivateKey(
			      bio, pkey, NULL, NULL, 0, NULL, NULL)
			: PEM_write_bio_PUBKEY(bio, pkey)) == 1)
		text = key_bio_text(bio);
	BIO_free(bio);
	return text;
}

enum err
receipt_key_make(char **private_pem, char **public_pem, char *id)
{
	struct receipt_key k = {
	    .pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
	enum err e = ERR_INTERNAL;

	*private_pem = *public_pem = NULL;
	if (k.pkey == NULL || key_describe(&k) != ERR_OK)
		goto out;
	*private_pem = key_pem(k.pkey, true);
	*public_pem = key_pem(k.pkey, false);
	memcpy(id, k.id, RECEIPT_KEY_ID_SIZE);
	if (*private_pem != NULL && *public_pem != NULL)
		e = ERR_OK;
out:
	EVP_PKEY_free(k.pkey);
	return e;
}

char *
receipt_keys_pem(const struct receipt_keys *keys, size_t i)
{
	return key_pem(keys->rows[i].pkey, false);
}
