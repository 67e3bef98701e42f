/* SPDX-License-Identifier: MIT
 *
 * The folder of the local bus. It is reached through a descriptor, so that
 * neither a long path nor a change of the working folder matters.
 */
#pragma once

#include <sys/un.h>

#include "base/err.h"

struct settings;

/* What a subscriber says to its publishers: is any debate wanted? One byte. */
#define BUS_LOCAL_WATCHING 'w'
#define BUS_LOCAL_IDLE	   'i'

/* Makes <data_dir>/bus when it is missing. *fd is the caller's to close. */
enum err bus_local_dir_open(
    const struct settings *s, int *fd, struct err_info *info) MUST_CHECK;
/* The address of an entry. ERR_TOO_LARGE for a name nobody here made. */
enum err bus_local_dir_address(
    int dir_fd, const char *name, struct sockaddr_un *out) MUST_CHECK;
