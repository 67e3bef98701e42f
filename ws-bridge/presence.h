/* SPDX-License-Identifier: MIT
 *
 * Tells the database every few seconds that this bridge is there and what it
 * holds (store/store_bridge.h), so that health on any host counts the
 * connections of all. A thread of its own: nobody waits for it, and a database
 * that is away or slow costs nothing but the row.
 */
#pragma once

#include "base/err.h"

struct presence;
struct store;

/* Borrows the store. ERR_IO: no thread to be had. */
enum err presence_start(struct presence **out, struct store *store) MUST_CHECK;
/* Takes the row away, if the database lets it; else it grows too old. */
void presence_stop(struct presence **presence);
