/* SPDX-License-Identifier: MIT
 *
 * What a database address means on Supabase. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

enum supabase_address {
	SUPABASE_NONE,	      /* no address of Supabase's own */
	SUPABASE_TRANSACTION, /* pooler, port 6543 */
	SUPABASE_SESSION,     /* pooler, port 5432 */
	SUPABASE_DIRECT	      /* db.PROJECT.supabase.co */
};

/* Of a URL "postgresql://...". Appended to hints: one line for each thing that
 * does not fit; it holds nothing of the address. */
enum supabase_address supabase_judge(const char *url, struct buf *hints);
/* What it is good for. */
const char *supabase_text(enum supabase_address address);
