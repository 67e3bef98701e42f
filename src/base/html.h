/* SPDX-License-Identifier: MIT
 *
 * Text in HTML.
 */
#pragma once

#include "base/buf.h"

/* Append text so that it is nothing but text, between tags and within quotes;
 * NULL is none. */
void html_escape(struct buf *out, const char *text);
/* The same as an element of its own. */
void html_element(struct buf *out, const char *name, const char *text);
