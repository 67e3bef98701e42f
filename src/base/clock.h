/* SPDX-License-Identifier: MIT
 *
 * Time. Stored times are microseconds since 1970 UTC (`_us`); deadlines are
 * milliseconds of CLOCK_MONOTONIC (`_ms`) and never leave the process.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

int64_t clock_wall_us(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

#define CLOCK_ISO_SIZE 32

/* "2026-01-02T03:04:05.678901Z" into out[CLOCK_ISO_SIZE]; returns out. Years
 * beyond 0000 to 9999 become the nearest time within. */
char *clock_iso(int64_t wall_us, char *out);
/* RFC 3339 with Z or an offset, fraction optional. */
enum err clock_parse_iso(const char *text, int64_t *wall_us) MUST_CHECK;
