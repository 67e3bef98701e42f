/* SPDX-License-Identifier: MIT
 *
 * The tokens that this server signs itself (HS256): access tokens, which name
 * a user and a session, and the refresh tokens of sessions. Whether the
 * session still holds is the store's to say.
 *
 * The secret is ARAGORA_JWT_SECRET, or a random one in the data folder that
 * the first process of the installation writes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct access;
struct settings;

#define ACCESS_SECRET_MIN 32 /* bytes */

struct access_claims {
	const char *user, *email, *tenant, *role;
	const char *session;
	int64_t token_version;
	bool is_refresh;
	int64_t expires_us;
};

/* ERR_INVALID: the secret is too short, or others may read its file. ERR_IO:
 * there is none and none can be written. */
enum err access_open(struct access **out, const struct settings *settings,
    struct err_info *info) MUST_CHECK;
void access_close(struct access **a);

/* On the arena; no two are equal. */
const char *access_sign(const struct access *a, struct arena *arena,
    const struct access_claims *claims, int64_t now_us);

/* Does it say that this server signed it? Proves nothing. */
bool access_takes(struct arena *arena, const char *token);
/* ERR_AUTH with a text that may be shown; of the other kind it is refused
 * too. */
enum err access_verify(const struct access *a, struct arena *arena,
    const char *token, bool is_refresh, int64_t now_us,
    struct access_claims *out, struct err_info *info) MUST_CHECK;
