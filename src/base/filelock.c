/* SPDX-License-Identifier: MIT */
#include "base/filelock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool
filelock_set(int fd, off_t byte, short type, bool is_waiting)
{
	struct flock lock = {
	    .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int rc;

	do
		rc = fcntl(fd, is_waiting ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	while (rc != 0 && errno == EINTR);
	return rc == 0;
}

bool
filelock_take(int fd, off_t byte, bool is_waiting)
{
	return filelock_set(fd, byte, F_WRLCK, is_waiting);
}

void
filelock_drop(int fd, off_t byte)
{
	filelock_set(fd, byte, F_UNLCK, true);
}

enum filelock
filelock_look(int fd, off_t byte, off_t n)
{
	struct flock lock = {.l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = byte,
	    .l_len = n};

	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return FILELOCK_UNKNOWN;
	return lock.l_type == F_UNLCK ? FILELOCK_FREE : FILELOCK_HELD;
}
