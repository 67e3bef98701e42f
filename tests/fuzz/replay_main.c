/* SPDX-License-Identifier: MIT
 *
 * Feeds files to a fuzz target, once each: the files and those of the
 * directories named as arguments. Arguments that begin with '-' are libFuzzer's
 * and are ignored. Fails when there was no file.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"

#define REPLAY_FILE_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input is a block of its own size, so that a read past its end shows. */
static void
replay_bytes(const struct buf *b)
{
	uint8_t *exact = mem_alloc(b->len > 0 ? b->len : 1);

	if (b->len > 0)
		memcpy(exact, b->data, b->len);
	LLVMFuzzerTestOneInput(exact, b->len);
	free(exact);
}

static int
replay_file(const char *path)
{
	char chunk[65536];
	struct buf b;
	FILE *f = fopen(path, "rbe");

	if (f == NULL) {
		perror(path);
		exit(2);
	}
	buf_init(&b, REPLAY_FILE_MAX);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_append(&b, chunk, n);
	fclose(f);
	if (b.is_overflowed) {
		fprintf(stderr, "%s: too large\n", path);
		exit(2);
	}
	replay_bytes(&b);
	buf_release(&b);
	return 1;
}

static int
replay_path(const char *path)
{
	struct stat st;
	int count = 0;

	if (stat(path, &st) != 0) {
		perror(path);
		exit(2);
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	DIR *dir = opendir(path);
	if (dir == NULL) {
		perror(path);
		exit(2);
	}
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		char *inner = mem_printf("%s/%s", path, d->d_name);
		count += replay_path(inner);
		free(inner);
	}
	closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	int count = 0;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')
			count += replay_path(argv[i]);
	printf("%d files\n", count);
	return count > 0 ? 0 : 1;
}
