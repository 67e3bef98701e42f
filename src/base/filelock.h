/* SPDX-License-Identifier: MIT
 *
 * Locks on single bytes of an open file, which keep out other processes. They
 * belong to the open file, not to the process or thread (F_OFD_SETLK of
 * fcntl(2)), and end with its last descriptor, however its process ends.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* is_waiting: until it is free. False when another holds it. */
bool filelock_take(int fd, off_t byte, bool is_waiting);
void filelock_drop(int fd, off_t byte);

enum filelock { FILELOCK_FREE, FILELOCK_HELD, FILELOCK_UNKNOWN };
/* Does another open file hold one of n bytes? errno tells why it cannot be
 * known. */
enum filelock filelock_look(int fd, off_t byte, off_t n);
