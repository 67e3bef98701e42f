/* SPDX-License-Identifier: MIT
 *
 * The answer that a text gives, brought into one form so that it can be
 * compared: a rational number, one of given choices, or plain words. Pure, and
 * it never guesses: a text with two different answers has none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define EVAL_CHOICES_MAX 26 /* A to Z */

enum eval_kind { EVAL_WORDS, EVAL_NUMBER, EVAL_CHOICE };

struct eval_value {
	enum eval_kind kind;
	int64_t num, den; /* in lowest terms, den > 0; num: the choice */
	const char *text; /* what it looks like for all who mean the same */
};

/* What a question's answer must look like. */
struct eval_form {
	enum eval_kind kind;
	const char *const *choices;
	size_t n_choices;
};

/* A number at the start of text: "-1,234.5", "3/4", "12%", "6.02e23"; *len:
 * how much of it. false when there is none, or it is too large. */
bool eval_number(const char *text, int64_t *num, int64_t *den, size_t *len);

/* The whole text as the value it stands for; false: none, or not one. */
bool eval_value_read(struct arena *a, const struct eval_form *form,
    const char *text, struct eval_value *out);
bool eval_value_is(const struct eval_value *x, const struct eval_value *y);

/* What a model's text says: after the last "ANSWER:", else "####", else in
 * \boxed{}, else after "the answer is", else the text itself. */
bool eval_answer_find(struct arena *a, const struct eval_form *form,
    const char *text, struct eval_value *out);
