/* SPDX-License-Identifier: MIT
 *
 * What one debate leaves for the next, and what a new one is given of it. The
 * lookup is done once, when the debate is made: what it found is part of the
 * debate's configuration, so a restart and a replay give the models the same
 * bytes, whatever the memory holds by then.
 */
#pragma once

#include "debate/config.h"
#include "store/store_memory.h"

struct debate;

#define RECALL_MAX	   3
#define RECALL_SCANNED	   200
#define RECALL_CONTENT_MAX 4096
/* Entries whose words have less than this in common with the question say
 * nothing about it. */
#define RECALL_LIKENESS_MIN 50000

/* Fills config->recalled from the entries of its tenant and domain, when the
 * request asked for it. Texts on the arena. */
enum err recall_find(struct store *store, struct arena *a, const char *tenant,
    struct debate_config *config, int64_t now_us) MUST_CHECK;
/* The best first; pure. */
void recall_pick(struct arena *a, struct debate_config *config,
    const struct store_memory *rows, size_t n, int64_t now_us);

/* In a configuration's text. */
void recall_write(struct json_w *w, const struct debate_config *config);
void recall_parse(
    struct arena *a, const struct json *config, struct debate_config *out);

/* What a completed debate leaves behind, on its scratch; NULL when it came to
 * no answer. */
struct store_memory *recall_entry(struct debate *d);
