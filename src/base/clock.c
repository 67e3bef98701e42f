/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

/* First and last microsecond of what has a year of four digits. */
#define CLOCK_YEAR_0_US	   (-62167219200000000)
#define CLOCK_YEAR_9999_US 253402300799999999

static int64_t
clock_read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_wall_us(void)
{
	return clock_read_us(CLOCK_REALTIME);
}

int64_t
clock_mono_us(void)
{
	return clock_read_us(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

/* value in exactly width digits; gives the place behind them. */
static char *
clock_put(char *out, int value, int width)
{
	for (int i = width; i-- > 0; value /= 10)
		out[i] = (char)('0' + value % 10);
	return out + width;
}

char *
clock_iso(int64_t wall_us, char *out)
{
	struct tm tm;

	if (wall_us < CLOCK_YEAR_0_US)
		wall_us = CLOCK_YEAR_0_US;
	if (wall_us > CLOCK_YEAR_9999_US)
		wall_us = CLOCK_YEAR_9999_US;
	time_t seconds = (time_t)(wall_us / 1000000);
	int micros = (int)(wall_us % 1000000);
	if (micros < 0) {
		micros += 1000000;
		seconds--;
	}
	gmtime_r(&seconds, &tm);

	const int parts[] = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, micros};
	char *p = out;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		p = clock_put(p, parts[i], i == 0 ? 4 : i == 6 ? 6 : 2);
		*p++ = "--T::.Z"[i];
	}
	*p = '\0';
	return out;
}

/* Exactly `digits` digits at *p within [min, max]; moves *p. */
static bool
clock_digits(const char **p, int digits, int min, int max, int *out)
{
	int value = 0;

	for (int i = 0; i < digits; i++, (*p)++) {
		if (!str_is_digit(**p))
			return false;
		value = value * 10 + (**p - '0');
	}
	*out = value;
	return value >= min && value <= max;
}

static bool
clock_char(const char **p, const char *allowed)
{
	if (**p == '\0' || strchr(allowed, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

/* "Z" or "+hh:mm" in seconds east of UTC. */
static bool
clock_offset(const char **p, int *seconds)
{
	int hours, minutes;
	int sign = **p == '-' ? -1 : 1;

	*seconds = 0;
	if (clock_char(p, "Zz"))
		return true;
	if (!clock_char(p, "+-") || !clock_digits(p, 2, 0, 23, &hours) ||
	    !clock_char(p, ":") || !clock_digits(p, 2, 0, 59, &minutes))
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

enum err
clock_parse_iso(const char *text, int64_t *wall_us)
{
	const char *p = text;
	struct tm tm = {0};
	int64_t micros = 0;
	int offset;

	if (!clock_digits(&p, 4, 1970, 9999, &tm.tm_year) ||
	    !clock_char(&p, "-") || !clock_digits(&p, 2, 1, 12, &tm.tm_mon) ||
	    !clock_char(&p, "-") || !clock_digits(&p, 2, 1, 31, &tm.tm_mday) ||
	    !clock_char(&p, "Tt ") ||
	    !clock_digits(&p, 2, 0, 23, &tm.tm_hour) || !clock_char(&p, ":") ||
	    !clock_digits(&p, 2, 0, 59, &tm.tm_min) || !clock_char(&p, ":") ||
	    !clock_digits(&p, 2, 0, 59, &tm.tm_sec))
		return ERR_INVALID;
	if (*p == '.') {
		int64_t unit = 100000;
		if (!str_is_digit(*++p))
			return ERR_INVALID;
		for (; str_is_digit(*p); p++, unit /= 10)
			micros += (*p - '0') * unit;
	}
	if (!clock_offset(&p, &offset) || *p != '\0')
		return ERR_INVALID;

	int day = tm.tm_mday;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	time_t seconds = timegm(&tm);
	if (tm.tm_mday != day) /* 31 February and the like */
		return ERR_INVALID;
	*wall_us = ((int64_t)seconds - offset) * 1000000 + micros;
	return ERR_OK;
}
