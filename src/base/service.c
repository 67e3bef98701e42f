/* SPDX-License-Identifier: MIT */
#include "base/service.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"

#define SERVICE_TEXT 512

/* Best effort, as the manual asks: a manager that is not there is no fault of
 * the service. */
static void
service_send(const char *text, int flags)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");

	if (str_is_empty(path) || strlen(path) >= sizeof(at.sun_path))
		return;
	memcpy(at.sun_path, path, strlen(path));
	if (at.sun_path[0] == '@')
		at.sun_path[0] = '\0'; /* abstract */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL | flags,
	    (const struct sockaddr *)&at,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	(void)n;
	close(fd);
}

/* A status is one line. */
static void
service_line(const char *before, const char *fmt, va_list args)
{
	char text[SERVICE_TEXT];

	size_t n = (size_t)snprintf(text, sizeof(text), "%sSTATUS=", before);
	vsnprintf(text + n, sizeof(text) - n, fmt, args);
	for (char *p = text + n; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	service_send(text, 0);
}

void
service_ready(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	service_line("READY=1\n", fmt, args);
	va_end(args);
}

void
service_status(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	service_line("", fmt, args);
	va_end(args);
}

void
service_reloading(void)
{
	char text[SERVICE_TEXT];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)clock_mono_us());
	service_send(text, 0);
}

void
service_stopping(int64_t takes_ms)
{
	char text[SERVICE_TEXT];

	snprintf(text, sizeof(text),
	    "STOPPING=1\nSTATUS=finishing what is under way\n"
	    "EXTEND_TIMEOUT_USEC=%lld",
	    (long long)takes_ms * 1000);
	service_send(text, 0);
}

int64_t
service_watchdog_ms(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	const char *usec = getenv("WATCHDOG_USEC");
	int64_t us, who;

	if (str_is_empty(usec) ||
	    str_to_i64(usec, 1000, INT64_MAX / 2, &us) != ERR_OK)
		return 0;
	if (!str_is_empty(pid) &&
	    (str_to_i64(pid, 1, INT32_MAX, &who) != ERR_OK ||
		who != (int64_t)getpid()))
		return 0;
	return us / 2000;
}

void
service_alive(void)
{
	/* A manager that reads late must not hold a loop up. */
	service_send("WATCHDOG=1", MSG_DONTWAIT);
}

static void
service_on_timer(struct loop_timer *t)
{
	service_alive();
	loop_timer_set(t->arg, t, service_watchdog_ms());
}

void
service_watch_loop(struct loop *loop, struct loop_timer *timer)
{
	*timer = (struct loop_timer){.fn = service_on_timer, .arg = loop};
	if (service_watchdog_ms() > 0)
		service_on_timer(timer);
}
