/* SPDX-License-Identifier: MIT
 *
 * Whether the schema fits the program, as last seen. Thread-safe. A refusal
 * is kept for a moment, so that those who are refused do not all ask.
 */
#pragma once

#include <pthread.h>

#include "store/store.h"

struct fit {
	pthread_mutex_t lock;
	struct store_schema seen;
	struct err_info why; /* of the refusal */
	int64_t looked_ms;
	bool is_refused;
};

void fit_init(struct fit *f);
void fit_release(struct fit *f);
/* Asks the database. ERR_SCHEMA: does not fit. */
enum err fit_look(struct fit *f, const struct settings *settings,
    struct err_info *info) MUST_CHECK;
/* Refused a moment ago: the reason in info. */
bool fit_is_refused(struct fit *f, struct err_info *info);
/* Ask again, whenever the last time was. */
void fit_forget(struct fit *f);
void fit_read(struct fit *f, struct store_schema *seen, struct err_info *why);
