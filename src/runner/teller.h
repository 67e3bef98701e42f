/* SPDX-License-Identifier: MIT
 *
 * The thread that rings the bus: it never touches the database, so that pieces
 * of answers reach their readers while a commit waits. What is told first is
 * published first.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bus;
struct teller;

enum err teller_new(struct teller **out, struct bus *bus) MUST_CHECK;
/* Publish what was told, then join the thread. */
void teller_free(struct teller **t);

/* Any thread; never blocks on the bus. seq 0: a piece that nobody stored, left
 * out when the bus is too far behind. A stored event then goes out without its
 * payload: who hears it reads the table. All is copied. */
void teller_tell(struct teller *t, const char *debate_id, int64_t seq,
    const char *payload, size_t len);
