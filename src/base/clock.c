/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

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

char *
clock_iso(int64_t wall_us, char *out)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	int micros = (int)(wall_us % 1000000);
	struct tm tm;

	if (micros < 0) {
		micros += 1000000;
		seconds--;
	}
	gmtime_r(&seconds, &tm);
	size_t n = strftime(out, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_ISO_SIZE - n, ".%06dZ", micros);
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
