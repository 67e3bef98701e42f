/* SPDX-License-Identifier: MIT */
#include "base/html.h"

#include <stddef.h>

void
html_escape(struct buf *out, const char *text)
{
	for (const char *p = text; p != NULL && *p != '\0'; p++) {
		switch (*p) {
		case '<':
			buf_puts(out, "&lt;");
			break;
		case '>':
			buf_puts(out, "&gt;");
			break;
		case '&':
			buf_puts(out, "&amp;");
			break;
		case '"':
			buf_puts(out, "&quot;");
			break;
		case '\'':
			buf_puts(out, "&#39;");
			break;
		default:
			buf_putc(out, *p);
		}
	}
}

void
html_element(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "<%s>", name);
	html_escape(out, text);
	buf_printf(out, "</%s>\n", name);
}
