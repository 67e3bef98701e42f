/* SPDX-License-Identifier: MIT
 *
 * Messages at the end of batches, on a thread and a loop of their own: a slow
 * receiver holds up no debate. A row of the database says what is owed; this
 * takes it for a while, sends it, and writes down what came of it. A runner
 * that dies in between owes it still: another sends it again, so that a
 * receiver may get a message twice, but not never.
 */
#pragma once

#include "base/err.h"

struct settings;
struct store;
struct hook;

enum err hook_new(struct hook **out, const struct settings *settings,
    struct store *store) MUST_CHECK;
/* What is on its way is given back. */
void hook_free(struct hook **hook);
