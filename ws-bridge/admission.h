/* SPDX-License-Identifier: MIT
 *
 * Who may connect, how often and how many times at once, by address. Shared
 * by the loops of a process; thread-safe. Memory is bounded: an address with
 * an open connection costs less than the connection, and of those without
 * only the ADMISSION_IDLE_MAX newest are remembered.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "limit/client_ip.h"

#define ADMISSION_WINDOW_MS 60000
#define ADMISSION_IDLE_MAX  16384

struct admission;
struct admission_entry; /* one address */

/* per_minute counts from the first connection of an address: the number is
 * exact within that minute. */
struct admission *admission_new(int64_t per_minute, int64_t at_once) MUST_CHECK;
void admission_free(struct admission **a);
/* Other limits from now on. Nobody who is in has to leave. */
void admission_limit(struct admission *a, int64_t per_minute, int64_t at_once);

/* A new connection at now_ms (any clock that does not go back). NULL: refused,
 * and *wait_ms is when to come again. What was admitted must leave. */
struct admission_entry *admission_enter(struct admission *a,
    const uint8_t key[CLIENT_IP_KEY], int64_t now_ms, int64_t *wait_ms);
void admission_leave(struct admission *a, struct admission_entry **e);
/* Addresses that are remembered. */
size_t admission_size(struct admission *a);
