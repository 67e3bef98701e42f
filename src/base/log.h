/* SPDX-License-Identifier: MIT
 *
 * One line per event on stderr: JSON (default off a terminal) or logfmt. An
 * event word, then fields: the format holds key=value pairs, each of which
 * becomes a member of the JSON object, a single number as a number. Values
 * that may hold spaces stand in quotes. What has no key at its beginning is
 * one text, "msg". Which bytes belong to which field the format alone says;
 * control characters are escaped and bytes that are not UTF-8 replaced: input
 * can forge neither a field nor a line. A line's values are cut at 2 kB
 * together. Never pass bodies, prompts, answers, tokens or DSNs.
 *
 *   log_info("debate.start", "debate_id=%s rounds=%d", id, rounds);
 *   {"ts":"...","level":"info","prog":"aragora-runner","pid":7,
 *    "event":"debate.start","debate_id":"adhoc_1","rounds":2}
 *   ts=... level=info prog=... pid=7 event=debate.start debate_id=adhoc_1
 * rounds=2
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
