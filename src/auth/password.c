/* SPDX-License-Identifier: MIT
 *
 * The slots are locks on bytes of a file: they bound all processes of a host
 * and end with whoever held them.
 */
#include "auth/password.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/filelock.h"
#include "base/mem.h"

#define PASSWORD_PASSES	 2
#define PASSWORD_FILE	 "password.lock"
#define PASSWORD_WAIT_MS 10000 /* for a slot */
#define PASSWORD_POLL_US 5000

_Static_assert(PASSWORD_SIZE >= crypto_pwhash_STRBYTES, "a hash fits");

struct password {
	char *path;
	char nobody[PASSWORD_SIZE]; /* hash that no password has */
};

enum err
password_open(struct password **out, const char *folder, struct err_info *info)
{
	unsigned char salt[16], hash[32];

	*out = NULL;
	if (sodium_init() < 0)
		return err_set(
		    info, ERR_INTERNAL, "", "libsodium does not start");
	mkdir(folder, 0750); /* may exist; open tells */
	char *path = mem_printf("%s/" PASSWORD_FILE, folder);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (fd < 0) {
		free(path);
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "holds no file for password slots");
	}
	close(fd);
	struct password *p = mem_zalloc(sizeof(*p));
	p->path = path;
	/* With the parameters of a real one, and 32 random bytes that nothing
	 * hashes to. */
	char salt_text[32], hash_text[64];
	randombytes_buf(salt, sizeof(salt));
	randombytes_buf(hash, sizeof(hash));
	sodium_bin2base64(salt_text, sizeof(salt_text), salt, sizeof(salt),
	    sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	sodium_bin2base64(hash_text, sizeof(hash_text), hash, sizeof(hash),
	    sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	snprintf(p->nobody, sizeof(p->nobody),
	    "$argon2id$v=19$m=%u,t=%d,p=1$%s$%s", PASSWORD_MEMORY / 1024,
	    PASSWORD_PASSES, salt_text, hash_text);
	*out = p;
	return ERR_OK;
}

void
password_close(struct password **pp)
{
	struct password *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	free(p->path);
	free(p);
}

/* A descriptor that holds a slot until it is closed, -1 = none came free. An
 * open file of its own each time: locks belong to that. */
static int
password_slot(const struct password *p)
{
	const struct timespec pause = {.tv_nsec = PASSWORD_POLL_US * 1000};
	int64_t end_ms = clock_mono_ms() + PASSWORD_WAIT_MS;
	int fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);

	while (fd >= 0) {
		for (off_t i = 0; i < PASSWORD_SLOTS; i++)
			if (filelock_take(fd, i, false))
				return fd;
		if (clock_mono_ms() >= end_ms)
			break;
		nanosleep(&pause, NULL);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

enum err
password_hash(struct password *p, const char *password, char out[PASSWORD_SIZE])
{
	int slot = password_slot(p);

	if (slot < 0)
		return ERR_BUSY;
	int failed = crypto_pwhash_str_alg(out, password, strlen(password),
	    PASSWORD_PASSES, PASSWORD_MEMORY, crypto_pwhash_ALG_ARGON2ID13);
	close(slot);
	return failed != 0 ? ERR_BUSY : ERR_OK; /* no memory now */
}

enum err
password_verify(
    struct password *p, const char *hash, const char *password, bool *is_old)
{
	bool is_somebody = hash != NULL;

	*is_old = false;
	int slot = password_slot(p);
	if (slot < 0)
		return ERR_BUSY;
	int failed = crypto_pwhash_str_verify(
	    is_somebody ? hash : p->nobody, password, strlen(password));
	close(slot);
	if (failed != 0 || !is_somebody)
		return ERR_AUTH;
	*is_old = crypto_pwhash_str_needs_rehash(
		      hash, PASSWORD_PASSES, PASSWORD_MEMORY) != 0;
	return ERR_OK;
}
