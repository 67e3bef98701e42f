/* SPDX-License-Identifier: MIT */
#include "bus/bus_local_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"

#define BUS_LOCAL_DIR "bus"

enum err
bus_local_dir_open(const struct settings *s, int *fd, struct err_info *info)
{
	enum err e = ERR_OK;

	/* Both may exist; open tells. */
	mkdir(s->data_dir, 0750);
	int data_fd = open(s->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (data_fd >= 0)
		mkdirat(data_fd, BUS_LOCAL_DIR, 0750);
	*fd = data_fd < 0 ? -1
			  : openat(data_fd, BUS_LOCAL_DIR,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		e = err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot open the folder '%s/" BUS_LOCAL_DIR "': %s",
		    s->data_dir, strerror(errno));
	if (data_fd >= 0)
		close(data_fd);
	return e;
}

enum err
bus_local_dir_address(int dir_fd, const char *name, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(out->sun_path, sizeof(out->sun_path),
	    "/proc/self/fd/%d/%s", dir_fd, name);
	return n > 0 && (size_t)n < sizeof(out->sun_path) ? ERR_OK
							  : ERR_TOO_LARGE;
}
