/* SPDX-License-Identifier: MIT
 *
 * What people say to a debate under way: votes for an agent's answer and
 * suggestions. They are stored as they come, each an event with a number, and
 * the engine takes them up at the end of a round only. From then on they are
 * part of the record, as the answer of a model is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "debate/config.h"
#include "store/store_human.h"

#define AUDIENCE_INTENSITY_MIN	   1
#define AUDIENCE_INTENSITY_NEUTRAL 5
#define AUDIENCE_INTENSITY_MAX	   10
#define AUDIENCE_TEXT_MAX	   10240 /* bytes of a suggestion */
#define AUDIENCE_WHO_MAX	   200	 /* bytes of a person's name */
/* A prompt shows so many suggestions and so many bytes of them. */
#define AUDIENCE_PROMPT_MAX   16
#define AUDIENCE_PROMPT_BYTES 32768
/* People never weigh more than the agents do. */
#define AUDIENCE_SHARE_MAX_PPM 500000

struct debate;

/* In millionths of an agent's vote: half of a factor that goes from 0.5 (1)
 * over 1.0 (5) to 2.0 (10), linear on each side. */
int64_t audience_weight(int64_t intensity);

/* A person's vote for an option. */
struct audience_vote {
	const char *who;
	int64_t seq;
	int choice;
	int64_t intensity;
};

/* One vote a person, the latest of each (votes is sorted in place), added up
 * in weights[n_options]; returns how many people voted. */
size_t audience_count(
    struct audience_vote *votes, size_t n, int64_t *weights, size_t n_options);

/* Cut the weights in proportion so that of all weight, the agents' included,
 * people have at most share_ppm. Rounded down. */
void audience_cap(
    int64_t *weights, size_t n_options, int64_t agents_ppm, int64_t share_ppm);

/* What a round takes up, as the text of the engine's turn. */
const char *audience_write(
    struct arena *a, const struct store_human *rows, size_t n);

/* The event of an input: its type and its data. */
const char *audience_event_type(enum store_human_kind kind);
const char *audience_event_data(struct arena *a, const struct store_human *in);

/* Before the store: is it complete, and does the debate take it? ERR_INVALID
 * with the field; ERR_DENIED: this debate listens to nobody. The choice
 * becomes the agent's name as the debate spells it. */
enum err audience_check(struct arena *a, const struct debate_config *config,
    struct store_human *in, struct err_info *info) MUST_CHECK;

/* ---- within the engine ---- */

/* Number of the newest input that was taken up; 0 = none. */
int64_t audience_heard(const struct debate *d);
/* The people's weight for each seat, before the cap; how many voted. */
size_t audience_tally(
    const struct debate *d, int64_t *weights, size_t n_options);
/* Texts that were taken up in a phase of a round, at most
 * AUDIENCE_PROMPT_MAX; borrowed. Returns how many. */
size_t audience_suggestions(
    const struct debate *d, int phase, int64_t round, const char **texts);
/* Members of the event that tells what a turn took up. */
size_t audience_inputs(const struct json *parsed);
void audience_summary(
    const struct debate *d, const struct json *parsed, struct json_w *w);
