/* SPDX-License-Identifier: MIT
 *
 * A debate on a terminal, event by event.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/json.h"
#include "store/store.h"

struct show {
	FILE *to;
	bool is_live; /* a terminal that can take a line back */
	bool is_color;
	bool has_status; /* the status line is on the screen */
	size_t width;
};

void show_init(struct show *s, FILE *to);
/* One line that the next output replaces; "" takes it away. Nothing off a
 * terminal. */
void show_status(struct show *s, const char *text);
/* data: of the event. */
void show_event(
    struct show *s, const struct store_event *e, const struct json *data);
