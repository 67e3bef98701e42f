/* SPDX-License-Identifier: MIT
 *
 * Passwords to what is stored of them: argon2id, with its parameters in the
 * text. One hash takes PASSWORD_MEMORY bytes and some 100 ms; at most
 * PASSWORD_SLOTS are computed at once by all processes that share a data
 * folder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PASSWORD_MIN	8 /* bytes */
#define PASSWORD_MAX	128
#define PASSWORD_SIZE	128 /* of a hash, with its NUL */
#define PASSWORD_MEMORY (64u << 20)
#define PASSWORD_SLOTS	2

struct password;

/* folder is borrowed. ERR_IO: the slots' file cannot be had; ERR_INTERNAL: the
 * library does not start. */
enum err password_open(struct password **out, const char *folder,
    struct err_info *info) MUST_CHECK;
void password_close(struct password **p);

/* Both ERR_BUSY when no slot came free in time. */
enum err password_hash(struct password *p, const char *password,
    char out[PASSWORD_SIZE]) MUST_CHECK;
/* ERR_AUTH: it is another one. hash NULL: there is nobody, which takes as long
 * to say. *is_old: it was made with other parameters; hash it again. */
enum err password_verify(struct password *p, const char *hash,
    const char *password, bool *is_old) MUST_CHECK;
