/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over every file of a folder, so that `make check` replays
 * the committed corpus with whatever compiler there is. REPLAY_CORPUS is the
 * folder under the source tree.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define REPLAY_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	uint8_t *whole = mem_alloc(REPLAY_MAX);
	FILE *f = fopen(path, "rb");
	size_t n = f == NULL ? 0 : fread(whole, 1, REPLAY_MAX, f);
	int failed = f == NULL || ferror(f) != 0;

	if (f != NULL)
		fclose(f);
	/* A block of exactly that size: an overrun by one is then seen. */
	uint8_t *data = mem_alloc(n + 1);
	for (size_t i = 0; i < n; i++)
		data[i] = whole[i];
	data = mem_realloc_array(data, n == 0 ? 1 : n, 1);
	if (!failed)
		LLVMFuzzerTestOneInput(data, n);
	free(data);
	free(whole);
	free(path);
	return failed;
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	char *folder = argc > 1
			   ? mem_strdup(argv[1])
			   : mem_printf("%s/%s", srcdir == NULL ? "." : srcdir,
				 REPLAY_CORPUS);
	DIR *dir = opendir(folder);
	int count = 0, failed = 0;

	if (dir == NULL) {
		fprintf(stderr, "cannot open '%s'\n", folder);
		free(folder);
		return EXIT_FAILURE;
	}
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		failed += replay_file(folder, e->d_name);
		count++;
	}
	closedir(dir);
	printf("%s: %d inputs\n", folder, count);
	free(folder);
	return count > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
