/* SPDX-License-Identifier: MIT */
#include "tests/load/stage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* A number at *at up to one of the ends; *at moves behind that. */
static enum err
stage_number(const char **at, const char *ends, double *out)
{
	char text[32];
	size_t n = strcspn(*at, ends);

	if (n == 0 || n >= sizeof(text))
		return ERR_INVALID;
	memcpy(text, *at, n);
	text[n] = '\0';
	*at += n;
	return str_to_double(text, out);
}

static enum err
stage_parse(const char **at, struct stage *s)
{
	if (stage_number(at, "-:,", &s->from) != ERR_OK)
		return ERR_INVALID;
	s->to = s->from;
	if (**at == '-') {
		++*at;
		if (stage_number(at, ":,", &s->to) != ERR_OK)
			return ERR_INVALID;
	}
	if (*(*at)++ != ':')
		return ERR_INVALID;
	return stage_number(at, ",", &s->seconds);
}

static enum err
stage_check(const struct stage *s, struct err_info *info)
{
	if (s->from < 0 || s->to < 0 || s->from > STAGE_RATE_MAX ||
	    s->to > STAGE_RATE_MAX)
		return err_set(info, ERR_INVALID, "",
		    "a rate is 0 to %d requests a second", STAGE_RATE_MAX);
	if (s->seconds <= 0 || s->seconds > STAGE_SECONDS_MAX)
		return err_set(info, ERR_INVALID, "",
		    "a stage lasts up to %d seconds", STAGE_SECONDS_MAX);
	return ERR_OK;
}

enum err
stages_parse(const char *text, struct stages *out, struct err_info *info)
{
	const char *at = text;
	enum err e;

	out->n = 0;
	do {
		if (out->n == STAGE_MAX)
			return err_set(info, ERR_INVALID, "",
			    "more than %d stages", STAGE_MAX);
		struct stage *s = &out->rows[out->n];
		if (stage_parse(&at, s) != ERR_OK)
			return err_set(info, ERR_INVALID, "",
			    "'%.80s' is not RATE:SECONDS or FROM-TO:SECONDS, "
			    "with commas between several",
			    text);
		if ((e = stage_check(s, info)) != ERR_OK)
			return e;
		out->n++;
	} while (*at++ == ',');
	return ERR_OK;
}

void
stages_set_rate(struct stages *s, double rate)
{
	double top = 0;

	for (size_t i = 0; i < s->n; i++)
		top = fmax(top, fmax(s->rows[i].from, s->rows[i].to));
	for (size_t i = 0; top > 0 && i < s->n; i++) {
		s->rows[i].from *= rate / top;
		s->rows[i].to *= rate / top;
	}
}

double
stages_seconds(const struct stages *s)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += s->rows[i].seconds;
	return sum;
}

void
stages_set_seconds(struct stages *s, double seconds)
{
	double factor = seconds / stages_seconds(s);

	for (size_t i = 0; i < s->n; i++)
		s->rows[i].seconds *= factor;
}

/* The hair is for products like 0.1 * 30 that are meant to be whole. */
int64_t
stage_count(const struct stage *s)
{
	return (int64_t)floor((s->from + s->to) / 2 * s->seconds + 1e-6);
}

/* By then from*t + (to-from)*t*t/(2*seconds) requests are due; the form that
 * has no difference of nearly equal numbers also takes from == to. */
int64_t
stage_due_us(const struct stage *s, int64_t i)
{
	double slope = (s->to - s->from) / s->seconds;
	double n = (double)i;
	double root = sqrt(fmax(0, s->from * s->from + 2 * slope * n));
	double t = n == 0 ? 0 : 2 * n / (s->from + root);

	return (int64_t)llround(fmin(t, s->seconds) * 1e6);
}
