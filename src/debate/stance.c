/* SPDX-License-Identifier: MIT */
#include "debate/stance.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define STANCE_SENTENCES_MAX 64
#define STANCE_WORDS_MAX     48
#define STANCE_WORD_MAX	     32
#define STANCE_NUMBERS_MAX   8
/* Sentences that share so much of their words speak of the same. */
#define STANCE_SHARED_MIN_PERCENT 60

struct stance_sentence {
	uint64_t words[STANCE_WORDS_MAX]; /* sorted, each once */
	size_t n_words;
	uint64_t numbers[STANCE_NUMBERS_MAX]; /* the same */
	size_t n_numbers;
	bool is_negated;
};

struct stance {
	struct stance_sentence *sentences;
	size_t n;
	uint64_t answer; /* hash of all letters and digits */
};

/* Words that turn the sense of a sentence round. */
static const char *const stance_negations[] = {"not", "no", "never", "cannot",
    "cant", "wont", "dont", "doesnt", "didnt", "isnt", "arent", "wasnt",
    "shouldnt", "mustnt", "wouldnt", "couldnt", "neednt", "nor", "neither",
    "without", "against", "nobody", "nothing", "none"};

/* The second says the contrary of the first. */
static const char *const stance_antonyms[][2] = {{"adopt", "reject"},
    {"adopt", "avoid"}, {"adopt", "refuse"}, {"adopt", "abandon"},
    {"accept", "decline"}, {"increase", "decrease"}, {"raise", "lower"},
    {"allow", "forbid"}, {"allow", "ban"}, {"allow", "prohibit"},
    {"buy", "sell"}, {"keep", "remove"}, {"keep", "drop"}, {"more", "less"},
    {"more", "fewer"}, {"better", "worse"}, {"faster", "slower"},
    {"safe", "unsafe"}, {"safe", "dangerous"}, {"true", "false"},
    {"legal", "illegal"}, {"possible", "impossible"}, {"agree", "disagree"},
    {"support", "oppose"}, {"start", "stop"}, {"begin", "end"},
    {"succeed", "fail"}, {"win", "lose"}, {"before", "after"},
    {"likely", "unlikely"}, {"correct", "wrong"}, {"correct", "incorrect"},
    {"good", "bad"}, {"enable", "disable"}};

/* Words that say nothing about what a sentence speaks of. */
static const char *const stance_empty[] = {"a", "an", "the", "we", "i", "you",
    "it", "its", "this", "that", "these", "those", "is", "are", "was", "were",
    "be", "been", "am", "will", "would", "should", "shall", "must", "may",
    "might", "can", "could", "do", "does", "did", "to", "of", "in", "on", "at",
    "by", "for", "with", "and", "or", "so", "as", "our", "my", "your", "their",
    "they", "he", "she", "there", "here", "very", "also", "need", "ought",
    "have", "has", "had", "because", "therefore", "thus"};

static bool
stance_is_one_of(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i], word))
			return true;
	return false;
}

/* "rejects", "rejected" and "reject" are one. */
static bool
stance_is_form(const char *word, const char *base)
{
	static const char *const endings[] = {"", "s", "es", "d", "ed", "ing"};
	size_t len = strlen(base);

	if (strncmp(word, base, len) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (str_eq(word + len, endings[i]))
			return true;
	return false;
}

static int
stance_order(const void *x, const void *y)
{
	const uint64_t *a = x;
	const uint64_t *b = y;

	return *a < *b ? -1 : *a > *b;
}

static size_t
stance_sort(uint64_t *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), stance_order);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || list[kept - 1] != list[i])
			list[kept++] = list[i];
	return kept;
}

static void
stance_add_word(struct stance_sentence *s, const char *word)
{
	if (str_is_digit(*word)) {
		if (s->n_numbers < STANCE_NUMBERS_MAX)
			s->numbers[s->n_numbers++] =
			    str_hash(word, strlen(word), 0);
		return;
	}
	if (stance_is_one_of(
		stance_negations, ARRAY_LEN(stance_negations), word)) {
		s->is_negated = !s->is_negated;
		return;
	}
	if (stance_is_one_of(stance_empty, ARRAY_LEN(stance_empty), word))
		return;
	for (size_t i = 0; i < ARRAY_LEN(stance_antonyms); i++) {
		bool is_contrary = stance_is_form(word, stance_antonyms[i][1]);
		if (!is_contrary &&
		    !stance_is_form(word, stance_antonyms[i][0]))
			continue;
		s->is_negated = s->is_negated != is_contrary;
		word = stance_antonyms[i][0];
		break;
	}
	if (s->n_words < STANCE_WORDS_MAX)
		s->words[s->n_words++] = str_hash(word, strlen(word), 0);
}

static bool
stance_is_letter(char c)
{
	return str_is_alnum(c) || (unsigned char)c >= 0x80;
}

/* A dot or comma within a number and an apostrophe within a word go along:
 * "1.5", "don't", and the apostrophe of printers, which has three bytes. */
static size_t
stance_joint(const char *p, char before)
{
	if ((*p == '.' || *p == ',') && str_is_digit(before) &&
	    str_is_digit(p[1]))
		return 1;
	if (*p == '\'' && str_is_alnum(p[1]))
		return 1;
	return str_starts(p, "\xe2\x80\x99") && str_is_alnum(p[3]) ? 3 : 0;
}

/* The word at *text, small letters without joints; 0 = there is none. */
static size_t
stance_word(const char **text, char *out)
{
	const char *p = *text;
	size_t len = 0;

	while (
	    stance_is_letter(*p) || (len > 0 && stance_joint(p, p[-1]) > 0)) {
		size_t joint = len > 0 ? stance_joint(p, p[-1]) : 0;
		/* A decimal point is part of the number. */
		bool is_kept = joint == 0 || *p == '.';
		if (is_kept && len + 1 < STANCE_WORD_MAX)
			out[len++] = str_lower(*p);
		p += joint > 0 ? joint : 1;
	}
	out[len] = '\0';
	*text = p;
	return len;
}

static bool
stance_ends_sentence(char c)
{
	return c == '.' || c == '!' || c == '?' || c == ';' || c == '\n' ||
	    c == ':';
}

static void
stance_close(struct stance *s, struct stance_sentence *open)
{
	open->n_words = stance_sort(open->words, open->n_words);
	open->n_numbers = stance_sort(open->numbers, open->n_numbers);
	if (open->n_words > 0 && s->n < STANCE_SENTENCES_MAX)
		s->sentences[s->n++] = *open;
	*open = (struct stance_sentence){0};
}

struct stance *
stance_read(struct arena *a, const char *text)
{
	struct stance *s = ARENA_NEW(a, struct stance);
	struct stance_sentence all[STANCE_SENTENCES_MAX];
	struct stance_sentence open = {0};
	char word[STANCE_WORD_MAX];

	s->sentences = all;
	while (*text != '\0') {
		size_t len = stance_word(&text, word);
		if (len > 0) {
			s->answer = str_hash(word, len, s->answer + 1);
			stance_add_word(&open, word);
			continue;
		}
		if (stance_ends_sentence(*text))
			stance_close(s, &open);
		text += *text != '\0';
	}
	stance_close(s, &open);
	s->sentences = ARENA_ARRAY(a, s->n + 1, struct stance_sentence);
	memcpy(s->sentences, all, s->n * sizeof(*all));
	return s;
}

static size_t
stance_shared(const uint64_t *x, size_t n, const uint64_t *y, size_t m)
{
	size_t shared = 0;

	for (size_t i = 0, k = 0; i < n && k < m;) {
		shared += x[i] == y[k];
		if (x[i] <= y[k])
			i++;
		else
			k++;
	}
	return shared;
}

static bool
stance_sentences_clash(
    const struct stance_sentence *x, const struct stance_sentence *y)
{
	size_t shared =
	    stance_shared(x->words, x->n_words, y->words, y->n_words);
	size_t shorter = x->n_words < y->n_words ? x->n_words : y->n_words;

	/* Of the shorter one: what is denied may be said in fewer words. */
	if (shared * 100 < shorter * STANCE_SHARED_MIN_PERCENT)
		return false;
	if (x->is_negated != y->is_negated)
		return true;
	return x->n_numbers != y->n_numbers ||
	    stance_shared(x->numbers, x->n_numbers, y->numbers, y->n_numbers) !=
	    x->n_numbers;
}

static bool
stance_has(const struct stance *s, const struct stance_sentence *x)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->sentences[i].n_words == x->n_words &&
		    s->sentences[i].n_numbers == x->n_numbers &&
		    s->sentences[i].is_negated == x->is_negated &&
		    memcmp(s->sentences[i].words, x->words,
			x->n_words * sizeof(*x->words)) == 0 &&
		    memcmp(s->sentences[i].numbers, x->numbers,
			x->n_numbers * sizeof(*x->numbers)) == 0)
			return true;
	return false;
}

bool
stance_contradicts(const struct stance *x, const struct stance *y)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct stance_sentence *s = &x->sentences[i];
		/* What both say is no matter between them. */
		if (stance_has(y, s))
			continue;
		for (size_t k = 0; k < y->n; k++)
			if (!stance_has(x, &y->sentences[k]) &&
			    stance_sentences_clash(s, &y->sentences[k]))
				return true;
	}
	return false;
}

bool
stance_is_same(const struct stance *x, const struct stance *y)
{
	return x->answer == y->answer;
}
