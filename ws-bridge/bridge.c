/* SPDX-License-Identifier: MIT */
#include "ws-bridge/bridge.h"

#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "limit/client_ip.h"
#include "settings/settings.h"
#include "ws-bridge/admission.h"

#define BRIDGE_TIME_MAX (3600 * INT64_C(1000))

static const struct {
	const char *name;
	size_t offset;
	int64_t ms;
} bridge_times[] = {
#define X(name, ms) {#name, offsetof(struct bridge_times, name##_ms), ms},
    BRIDGE_TIMES(X)
#undef X
};

static int64_t *
bridge_time(struct bridge *b, size_t i)
{
	return (int64_t *)(void *)((char *)&b->times + bridge_times[i].offset);
}

enum err
bridge_init(struct bridge *b, const struct settings *settings, bool is_echo,
    struct err_info *info)
{
	*b = (struct bridge){.settings = settings, .is_echo = is_echo};
	for (size_t i = 0; i < ARRAY_LEN(bridge_times); i++)
		*bridge_time(b, i) = bridge_times[i].ms;
	if (!is_echo && !settings->disable_all_rate_limits)
		b->admission = admission_new(
		    settings->ws_conn_rate, settings->ws_max_per_ip);
	return client_ip_list_new(settings->trusted_proxies, &b->trusted, info);
}

void
bridge_reload(struct bridge *b)
{
	if (b->admission != NULL)
		admission_limit(b->admission, b->settings->ws_conn_rate,
		    b->settings->ws_max_per_ip);
}

void
bridge_release(struct bridge *b)
{
	admission_free(&b->admission);
	client_ip_list_free(&b->trusted);
}

static enum err
bridge_set_time(struct bridge *b, const char *part, struct err_info *info)
{
	for (size_t i = 0; i < ARRAY_LEN(bridge_times); i++) {
		size_t len = strlen(bridge_times[i].name);
		if (strncmp(part, bridge_times[i].name, len) == 0 &&
		    part[len] == '=' &&
		    str_to_i64(part + len + 1, 1, BRIDGE_TIME_MAX,
			bridge_time(b, i)) == ERR_OK)
			return ERR_OK;
	}
	return err_set(info, ERR_INVALID, "--times",
	    "'%s' is not NAME=MILLISECONDS", part);
}

enum err
bridge_set_times(struct bridge *b, const char *text, struct err_info *info)
{
	struct arena *a = arena_new(0);
	enum err e = ERR_OK;
	size_t n;
	char **parts = str_split(a, text, ',', &n);

	for (size_t i = 0; e == ERR_OK && i < n; i++)
		e = bridge_set_time(b, parts[i], info);
	arena_free(&a);
	return e;
}
