/* SPDX-License-Identifier: MIT
 *
 * Included before everything else by the makefile: the libc functions that
 * this tree does not use, because each has cost somebody a CVE. Use buf_*,
 * snprintf or str_* instead.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fortified headers make macros of these two under clang. */
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok
#pragma GCC poison atoi atol atoll atof gets setlocale tmpnam
