/* SPDX-License-Identifier: MIT
 *
 * Texts of the error codes.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const err_texts[ERR__COUNT] = {
#define X(id, text) [id] = text,
    ERR_LIST(X)
#undef X
};

const char *
err_text(enum err e)
{
	if ((unsigned)e >= ERR__COUNT)
		return "unknown error";
	return err_texts[e];
}

enum err
err_set(
    struct err_info *info, enum err e, const char *field, const char *fmt, ...)
{
	if (info == NULL)
		return e;

	snprintf(
	    info->field, sizeof(info->field), "%s", field != NULL ? field : "");
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(info->text, sizeof(info->text), fmt, ap);
	va_end(ap);
	return e;
}
