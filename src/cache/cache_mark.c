/* SPDX-License-Identifier: MIT
 *
 * Marks of a host, in a file that its processes map: a counter for each place
 * that every write moves. There is nothing to lock and nothing to set up: a
 * file of zeros is as good as any, for values do not outlive their process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/cache_impl.h"

struct mark_place {
	_Atomic uint64_t count;
	_Atomic int64_t hold_until_ms; /* CLOCK_MONOTONIC */
	_Atomic uint64_t owed;	       /* drops that Redis was not told of */
};

struct cache_marks {
	struct mark_place *places;
	bool is_shared;
};

static struct mark_place *
mark_map(int fd)
{
	int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *at = mmap(NULL, CACHE_PLACES * sizeof(struct mark_place),
	    PROT_READ | PROT_WRITE, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static struct mark_place *
mark_share(const char *path)
{
	struct mark_place *places = NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0)
		return NULL;
	/* A page that the disk has no room for would be a SIGBUS. */
	errno = posix_fallocate(fd, 0, CACHE_PLACES * sizeof(*places));
	if (errno == 0)
		places = mark_map(fd);
	int why = errno;
	close(fd);
	errno = why;
	return places;
}

enum err
cache_marks_open(
    struct cache_marks **out, const char *path, struct err_info *info)
{
	struct cache_marks *m = mem_zalloc(sizeof(*m));
	enum err e = ERR_OK;

	if (path != NULL)
		m->places = mark_share(path);
	m->is_shared = m->places != NULL;
	if (!m->is_shared) {
		e = err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot share '%s': %s", path != NULL ? path : "memory",
		    strerror(errno));
		m->places = mark_map(-1);
		if (m->places == NULL)
			mem_exhausted(CACHE_PLACES * sizeof(*m->places));
	}
	*out = m;
	return e;
}

void
cache_marks_close(struct cache_marks **marks)
{
	struct cache_marks *m = *marks;

	if (m == NULL)
		return;
	munmap(m->places, CACHE_PLACES * sizeof(*m->places));
	free(m);
	*marks = NULL;
}

bool
cache_marks_are_shared(const struct cache_marks *m)
{
	return m->is_shared;
}

/* The hold first: a writer that has let go has moved the count before. A time
 * further ahead than a hold lasts is of another start of the machine. */
bool
cache_marks_read(
    struct cache_marks *m, size_t place, int64_t now_ms, uint64_t *mark)
{
	int64_t until = atomic_load(&m->places[place].hold_until_ms);

	*mark = atomic_load(&m->places[place].count);
	return until <= now_ms || until > now_ms + CACHE_HOLD_MS;
}

void
cache_marks_hold(struct cache_marks *m, size_t place, int64_t now_ms)
{
	atomic_store(&m->places[place].hold_until_ms, now_ms + CACHE_HOLD_MS);
}

void
cache_marks_drop(struct cache_marks *m, size_t place)
{
	atomic_fetch_add(&m->places[place].count, 1);
	atomic_store(&m->places[place].hold_until_ms, 0);
}

uint64_t
cache_marks_owed(const struct cache_marks *m, size_t place)
{
	return atomic_load(&m->places[place].owed);
}

void
cache_marks_owe(struct cache_marks *m, size_t place)
{
	atomic_fetch_add(&m->places[place].owed, 1);
}

void
cache_marks_pay(struct cache_marks *m, size_t place, uint64_t owed)
{
	atomic_compare_exchange_strong(&m->places[place].owed, &owed, 0);
}
