/* SPDX-License-Identifier: MIT
 *
 * A limit that hiredis 0.14 lacks: what is announced as an array of two
 * thousand million replies is allocated and walked through as announced.
 */
#pragma once

#include <hiredis/hiredis.h>

/* More elements than a pushed message has are a protocol error. */
void bus_reader_limit(redisReader *reader);
