/* SPDX-License-Identifier: MIT
 *
 * One GET for a key set, bounded in time and size. The only user of curl
 * beside the models' machine.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Longest a fetch takes, all told. */
#define FETCH_TIMEOUT_MS 5000

/* https, or http to this machine: keys that came in clear are nobody's.
 * ERR_INVALID with the reason. */
enum err fetch_check_url(const char *url, struct err_info *info) MUST_CHECK;

/* The body of a 200 into out, up to out->max bytes. No redirects, no proxy.
 * ERR_DOWN, ERR_TIMEOUT, ERR_TOO_LARGE; ERR_INVALID for another status. */
enum err fetch_get(const char *url, struct buf *out, struct err_info *info)
    MUST_CHECK;

/* Around all of the above, before other threads run and after they ended. */
enum err fetch_init(void) MUST_CHECK;
void fetch_release(void);
