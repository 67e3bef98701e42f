/* SPDX-License-Identifier: MIT
 *
 * What a program tells the service manager that started it, by the datagrams
 * of sd_notify(3). Under any other parent all of it does nothing. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct loop;
struct loop_timer;

/* It serves from now on. */
void service_ready(const char *fmt, ...) PRINTF(1, 2);
/* A line for `systemctl status`. */
void service_status(const char *fmt, ...) PRINTF(1, 2);
/* It reads its settings again; service_ready ends that. */
void service_reloading(void);
/* It is ending, and may take so long. */
void service_stopping(int64_t takes_ms);

/* How often service_alive is to be called: half of what the manager waits;
 * 0 = it does not. */
int64_t service_watchdog_ms(void);
void service_alive(void);
/* Let a loop say so while it turns; the timer is the caller's memory. */
void service_watch_loop(struct loop *loop, struct loop_timer *timer);
