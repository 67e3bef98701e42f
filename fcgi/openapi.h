/* SPDX-License-Identifier: MIT
 *
 * The OpenAPI 3.1 document, made from routes.def, the handlers' inputs and
 * schemas.def.
 */
#pragma once

#include "base/buf.h"

struct settings;

void openapi_write(struct buf *out, const struct settings *settings);
