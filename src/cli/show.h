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
	bool is_color;
	size_t width;
};

void show_init(struct show *s, FILE *to);
/* data: of the event. */
void show_event(
    struct show *s, const struct store_event *e, const struct json *data);
