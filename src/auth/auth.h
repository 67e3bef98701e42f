/* SPDX-License-Identifier: MIT
 *
 * Users' tokens of an identity provider (Supabase, or any with a key set), by
 * the settings: verified here, without asking the provider. Shared by all
 * threads of a process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/jwt.h"
#include "base/arena.h"
#include "base/err.h"

struct access;
struct auth;
struct settings;

/* ERR_INVALID: a setting is bad; info->field names it. settings is borrowed.
 * Starts a thread when the keys come from a URL. */
enum err auth_open(struct auth **out, const struct settings *settings,
    struct err_info *info) MUST_CHECK;
void auth_close(struct auth **a);

/* Do the settings name an identity provider's keys? a may be NULL. */
bool auth_has_provider(const struct auth *a);
/* What our own tokens are signed with; NULL when there is no secret and none
 * can be kept (a warning was logged): nobody can log in. */
const struct access *auth_access(const struct auth *a);

/* Is it for auth_verify? false without a provider, and for API tokens. */
bool auth_takes(const struct auth *a, const char *token);

/* ERR_AUTH with a text that may be shown; ERR_DOWN: no keys could be had yet.
 * May wait a few seconds for keys, at most once a minute for all callers
 * together. The claims live on the arena. */
enum err auth_verify(struct auth *a, struct arena *arena, const char *token,
    int64_t now_us, struct jwt_claims *out, struct err_info *info) MUST_CHECK;
/* Both only with a provider.
 * How many keys there are, once they are there from everywhere they should
 * come from; ERR_DOWN when that does not happen in time. */
enum err auth_ready(struct auth *a, size_t *n_keys) MUST_CHECK;
/* Is the key (claims.key_mark) still one of ours? Never waits. */
bool auth_knows_key(struct auth *a, uint64_t key_mark);
