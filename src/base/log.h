/* SPDX-License-Identifier: MIT
 *
 * One line per event on stderr: JSON (default off a terminal) or logfmt. An
 * event word, then key=value pairs; control characters are escaped and bytes
 * that are not UTF-8 replaced, so input cannot forge a line. A text is cut at
 * 2 kB. Never pass bodies, prompts, answers, tokens or DSNs.
 *
 *   log_info("debate.start", "id=%s rounds=%d", id, rounds);
 *
 * error = an operator must act; warning = degraded; info = state change;
 * debug = off in production. Log once, where the failure is handled.
 */
#pragma once

#include "base/attr.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_JSON, LOG_LOGFMT };

/* Once, at start; program is borrowed and names the process in each line. */
void log_init(
    const char *program, enum log_level level, enum log_format format);
void log_write(enum log_level level, const char *event, const char *fmt, ...)
    PRINTF(3, 4);

#define log_debug(...)	 log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...)	 log_write(LOG_ERROR, __VA_ARGS__)
