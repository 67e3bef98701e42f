/* SPDX-License-Identifier: MIT */
#include "store/fit.h"

#include "base/clock.h"

#define FIT_REFUSAL_MS 1000

void
fit_init(struct fit *f)
{
	*f = (struct fit){0};
	pthread_mutex_init(&f->lock, NULL);
	store_schema_range(&f->seen);
}

void
fit_release(struct fit *f)
{
	pthread_mutex_destroy(&f->lock);
}

enum err
fit_look(struct fit *f, const struct settings *settings, struct err_info *info)
{
	struct store_schema schema;
	struct err_info why = {0};

	enum err e = store_schema(settings, &schema, &why);
	if (e == ERR_OK)
		e = store_schema_fits(&schema, &why);
	if (e == ERR_OK || e == ERR_SCHEMA) {
		pthread_mutex_lock(&f->lock);
		f->is_refused = e == ERR_SCHEMA;
		f->looked_ms = clock_mono_ms();
		f->seen = schema;
		f->why = why;
		pthread_mutex_unlock(&f->lock);
	}
	if (e != ERR_OK)
		*info = why;
	return e;
}

bool
fit_is_refused(struct fit *f, struct err_info *info)
{
	pthread_mutex_lock(&f->lock);
	bool is_refused =
	    f->is_refused && clock_mono_ms() - f->looked_ms < FIT_REFUSAL_MS;
	if (is_refused)
		*info = f->why;
	pthread_mutex_unlock(&f->lock);
	return is_refused;
}

void
fit_forget(struct fit *f)
{
	pthread_mutex_lock(&f->lock);
	f->looked_ms = INT64_MIN / 2;
	pthread_mutex_unlock(&f->lock);
}

void
fit_read(struct fit *f, struct store_schema *seen, struct err_info *why)
{
	pthread_mutex_lock(&f->lock);
	*seen = f->seen;
	if (why != NULL)
		*why = f->why;
	pthread_mutex_unlock(&f->lock);
}
