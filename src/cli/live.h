/* SPDX-License-Identifier: MIT
 *
 * The bus as `aragora debate` uses it: it wakes the command when there is
 * something new in the event table, and tells who is writing meanwhile.
 * Without it the command looks into the table at intervals.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct live;
struct settings;

/* with_writers: the pieces of answers are wanted too. */
enum err live_open(struct live **out, const struct settings *settings,
    const char *debate_id, bool with_writers, struct err_info *info) MUST_CHECK;
void live_close(struct live **live);

/* Until something happened, a signal came or the time is over. */
void live_wait(struct live *live, int timeout_ms);

/* "ann writes (120 characters), bob writes (7 characters)"; nothing when
 * nobody writes. */
void live_writers(struct live *live, struct buf *out);
