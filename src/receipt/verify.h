/* SPDX-License-Identifier: MIT
 *
 * Verifies an exported file without any database: the signature over the
 * receipt, the configuration and the result that it names, every link of the
 * chain, and that the file holds nothing else.
 */
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "receipt/keys.h"

#define VERIFY_WHY_SIZE 320

struct verify_report {
	char debate_id[ID_MAX + 1]; /* "" = not known */
	char key_id[RECEIPT_KEY_ID_SIZE];
	int64_t events; /* that held */
	int64_t event;	/* the first that fails, 0 = it is not an event */
	char why[VERIFY_WHY_SIZE];
};

/* ERR_OK: all of it holds. Else the report says what does not: ERR_SYNTAX (no
 * export, or changed), ERR_NOT_FOUND (unknown key), ERR_UNSUPPORTED (another
 * algorithm, unsigned, no receipt), ERR_DENIED (signature, hash or chain). */
enum err verify_export(const struct receipt_keys *keys, const char *text,
    size_t len, struct verify_report *report) MUST_CHECK;
