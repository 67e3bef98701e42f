/* SPDX-License-Identifier: MIT
 *
 * Declared inputs: a handler says in a const array what it takes, one call
 * checks it all and fills a struct. OpenAPI lists the same rows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/req.h"
#include "fcgi/res.h"

struct settings;

enum input_kind {
	INPUT_TEXT,   /* const char *; NULL when absent; at most max bytes */
	INPUT_INT,    /* int64_t within min..max, else an error */
	INPUT_PAGE,   /* int64_t size of a page: clamped to 1..max, never an
		       * error; default and max 0 = the settings' */
	INPUT_OFFSET, /* int64_t from 0; never an error */
	INPUT_BOOL,   /* int: 0, 1, or -1 when absent */
	INPUT_TIME,   /* int64_t microseconds from ISO 8601; 0 when absent */
	INPUT_CHOICE, /* int: place in choices, or -1 when absent */
	INPUT_SHARE,  /* int64_t millionths of a number from 0 to 1 */
};

struct input {
	const char *key;
	enum input_kind kind;
	bool is_required;
	int64_t fallback; /* when absent */
	int64_t min, max;
	const char *choices; /* "a|b|c|" */
	size_t offset;	     /* of the member in the handler's struct */
	const char *help;
};

struct input_list {
	const struct input *rows;
	size_t n;
};
extern const struct input_list input_none;

#define INPUT_ERRORS_MAX 16

/* Fill the struct at out from the query, or from members of the body.
 * HTTP_OK, or the answer (400 naming every wrong field) is written. */
enum http_status input_read_query(const struct req *req,
    const struct input_list *list, void *out, struct res *res) MUST_CHECK;
enum http_status input_read_body(const struct req *req,
    const struct input_list *list, void *out, struct res *res) MUST_CHECK;

/* The same of any object, such as one of a list. The first that is wrong:
 * ERR_INVALID, or ERR_NOT_FOUND when it is missing. */
enum err input_read_object(const struct req *req, const struct input_list *list,
    const struct json *object, void *out, struct err_info *info) MUST_CHECK;

/* Default and largest value of a row. */
int64_t input_fallback(const struct input *row, const struct settings *s);
int64_t input_max(const struct input *row, const struct settings *s);
