/* SPDX-License-Identifier: MIT
 *
 * An example request for each route: a line of curl for a shell where $ARAGORA
 * is the server and $TOKEN a credential.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

/* Of the row route_at(index): path, needed parameters and needed members of
 * the body. Not yet escaped for anything but the shell. */
void api_example(struct buf *out, struct arena *a, size_t index);
