/* SPDX-License-Identifier: MIT */
#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define CHILD_PAUSE_MS	   250
#define CHILD_PAUSE_MAX_MS 15000
#define CHILD_STEADY_MS	   10000 /* ran this long: failures are forgotten */

static void
child_exec(struct child *c, pid_t parent)
{
	sigset_t none;
	int fd = c->stdin_fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0); /* Ctrl-C reaches the parent alone */
	if (getppid() != parent)
		_exit(127);
	if (fd < 0)
		fd = open("/dev/null", O_RDONLY);
	if (dup2(fd, STDIN_FILENO) != STDIN_FILENO)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(c->argv[0], c->argv);
	_exit(127);
}

bool
child_start(struct child *c)
{
	pid_t parent = getpid();

	c->restart_ms = 0;
	c->started_ms = clock_mono_ms();
	pid_t pid = fork();
	if (pid == 0)
		child_exec(c, parent);
	c->pid = pid > 0 ? pid : 0;
	return pid > 0;
}

void
child_ended(struct child *c, int status)
{
	int64_t now = clock_mono_ms();
	int64_t pause = CHILD_PAUSE_MS;

	if (now - c->started_ms > CHILD_STEADY_MS)
		c->failures = 0;
	for (int i = 0; i < c->failures && pause < CHILD_PAUSE_MAX_MS; i++)
		pause *= 2;
	c->failures++;
	/* What it left behind in its group (workers of a killed nginx) would
	 * hold the port. */
	kill(-c->pid, SIGKILL);
	c->pid = 0;
	c->restart_ms =
	    now + (pause < CHILD_PAUSE_MAX_MS ? pause : CHILD_PAUSE_MAX_MS);
	log_warning("serve.child", "name=%s end=%s code=%d restart_ms=%lld",
	    c->name, WIFSIGNALED(status) ? "signal" : "exit",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	    (long long)(c->restart_ms - now));
}

bool
child_is_due(const struct child *c)
{
	return c->pid == 0 && c->restart_ms != 0 &&
	    c->restart_ms <= clock_mono_ms();
}

void
child_stop(struct child *c)
{
	if (c->pid > 0)
		kill(c->pid, c->stop_signal);
}

static int
child_reap(struct child *children, int n)
{
	int alive = 0;

	for (int i = 0; i < n; i++)
		if (children[i].pid > 0) {
			if (waitpid(children[i].pid, NULL, WNOHANG) ==
			    children[i].pid)
				children[i].pid = 0;
			else
				alive++;
		}
	return alive;
}

bool
child_wait_some(struct child *children, int n, int64_t timeout_ms)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	struct timespec pause = {.tv_nsec = 20000000};
	int alive;

	while (
	    (alive = child_reap(children, n)) > 0 && clock_mono_ms() < deadline)
		nanosleep(&pause, NULL);
	return alive == 0;
}

void
child_wait_all(struct child *children, int n, int64_t timeout_ms)
{
	if (child_wait_some(children, n, timeout_ms))
		return;
	for (int i = 0; i < n; i++)
		if (children[i].pid > 0) {
			log_warning("child.kill", "name=%s", children[i].name);
			kill(children[i].pid, SIGKILL);
			waitpid(children[i].pid, NULL, 0);
			children[i].pid = 0;
		}
}
