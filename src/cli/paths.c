/* SPDX-License-Identifier: MIT
 *
 * Where the other programs and the data files are: in the tree this program
 * was built in, else where `make install` put them.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cmd.h"

#define PATH_MODE 0750

static char *
path_self_dir(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return mem_strdup(".");
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash != NULL && slash != self)
		*slash = '\0';
	return mem_strdup(self);
}

static char *
path_if(char *path, int mode)
{
	if (access(path, mode) == 0)
		return path;
	free(path);
	return NULL;
}

char *
path_program(const char *name)
{
	char *dir = path_self_dir();
	char *found = path_if(mem_printf("%s/%s", dir, name), X_OK);

	if (found == NULL)
		found = mem_printf("%s/%s", ARAGORA_SBINDIR, name);
	free(dir);
	return found;
}

char *
path_data(const char *name)
{
	char *dir = path_self_dir();
	const char *share = getenv(settings_row(SETTINGS_share_dir)->env);
	char *found = NULL;

	if (!str_is_empty(share))
		found = path_if(mem_printf("%s/%s", share, name), R_OK);
	if (found == NULL)
		found = path_if(mem_printf("%s/%s", dir, name), R_OK);
	if (found == NULL)
		found = path_if(mem_printf("%s/../%s", dir, name), R_OK);
	if (found == NULL)
		found = path_if(
		    mem_printf("%s/%s", ARAGORA_PKGDATADIR, name), R_OK);
	free(dir);
	return found;
}

bool
path_make(const char *path)
{
	char *copy = mem_strdup(path);
	struct stat st;

	/* Those that exist say so; the last look tells whether it is there. */
	for (char *p = copy; *p != '\0'; p++)
		if (*p == '/' && p != copy) {
			*p = '\0';
			mkdir(copy, PATH_MODE);
			*p = '/';
		}
	mkdir(copy, PATH_MODE);
	free(copy);
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *
path_find(const char *name)
{
	const char *path = getenv("PATH");
	char *list = mem_printf(
	    "%s:/usr/sbin:/usr/local/sbin:/sbin", path != NULL ? path : "");
	char *found = NULL;

	for (char *p = list, *next; p != NULL && found == NULL; p = next) {
		next = strchr(p, ':');
		if (next != NULL)
			*next++ = '\0';
		if (*p != '\0')
			found = path_if(mem_printf("%s/%s", p, name), X_OK);
	}
	free(list);
	return found;
}
