/* SPDX-License-Identifier: MIT */
#include "store/budget_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/filelock.h"

/* Bytes that are locked: the state as a whole, then slots. */
#define BUDGET_LOCK_STATE 0
#define BUDGET_LOCK_SLOT  1

static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_BOOL_LOCK_FREE == 2,
    "atomics are shared by processes");

/* When it cannot be known it is taken to be so. */
static bool
budget_file_is_held(int fd, off_t byte, off_t n)
{
	return filelock_look(fd, byte, n) != FILELOCK_FREE;
}

/* With the lock: the size and, when nobody uses it, a state without a past,
 * which a crash of the machine may have left half written. */
static enum err
budget_file_prepare(struct budget_file *f)
{
	off_t size = (off_t)sizeof(struct budget_shared);
	bool is_new =
	    !budget_file_is_held(f->fd, BUDGET_LOCK_SLOT, BUDGET_SLOTS);
	struct stat st;

	if (is_new && ftruncate(f->fd, 0) != 0)
		return ERR_IO;
	/* A page that the disk has no room for would be a SIGBUS. */
	if (is_new && (errno = posix_fallocate(f->fd, 0, size)) != 0)
		return ERR_IO;
	if (fstat(f->fd, &st) != 0)
		return ERR_IO;
	errno = EINVAL;
	return st.st_size == size ? ERR_OK : ERR_IO;
}

static bool
budget_file_claim(struct budget_file *f)
{
	struct budget_shared *shared = f->shared;

	for (uint32_t i = 0; i < BUDGET_SLOTS; i++) {
		if (f->fd >= 0 &&
		    !filelock_take(f->fd, BUDGET_LOCK_SLOT + (off_t)i, false))
			continue;
		f->slot = i;
		for (uint32_t w = 0; w < shared->used_waiters; w++)
			if (shared->waiters[w].slot == i)
				shared->waiters[w].state = BUDGET_FREE;
		shared->slots[i].held = 0;
		atomic_store(&shared->slots[i].idle, 0);
		atomic_store(&shared->slots[i].is_owned, true);
		if (shared->used_slots <= i)
			shared->used_slots = i + 1;
		return true;
	}
	errno = EUSERS;
	return false;
}

static enum err
budget_file_map(struct budget_file *f)
{
	int flags = f->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *at = mmap(NULL, sizeof(struct budget_shared),
	    PROT_READ | PROT_WRITE, flags, f->fd, 0);

	if (at == MAP_FAILED)
		return ERR_IO;
	f->shared = at;
	return budget_file_claim(f) ? ERR_OK : ERR_IO;
}

enum err
budget_file_open(struct budget_file *f, const char *path, struct err_info *info)
{
	enum err e = ERR_OK;

	*f = (struct budget_file){.fd = -1};
	if (path != NULL) {
		f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
		if (f->fd < 0 || !filelock_take(f->fd, BUDGET_LOCK_STATE, true))
			e = ERR_IO;
		else
			e = budget_file_prepare(f);
	}
	if (e == ERR_OK)
		e = budget_file_map(f);
	if (e == ERR_OK) {
		pthread_mutex_init(&f->lock, NULL);
		if (f->fd >= 0)
			filelock_drop(f->fd, BUDGET_LOCK_STATE);
		return ERR_OK;
	}
	err_set(info, e, "ARAGORA_DATA_DIR", "cannot share '%s': %s",
	    path != NULL ? path : "memory", strerror(errno));
	if (f->shared != NULL)
		munmap(f->shared, sizeof(*f->shared));
	if (f->fd >= 0)
		close(f->fd);
	return e;
}

void
budget_file_close(struct budget_file *f)
{
	struct budget_slot *slot = &f->shared->slots[f->slot];

	budget_file_lock(f);
	assert(slot->held == 0);
	atomic_store(&slot->idle, 0);
	atomic_store(&slot->is_owned, false);
	budget_file_unlock(f);
	munmap(f->shared, sizeof(*f->shared));
	if (f->fd >= 0)
		close(f->fd);
	pthread_mutex_destroy(&f->lock);
}

/* The lock of the file keeps out other processes and not our own threads,
 * which share it. */
void
budget_file_lock(struct budget_file *f)
{
	pthread_mutex_lock(&f->lock);
	if (f->fd >= 0)
		filelock_take(f->fd, BUDGET_LOCK_STATE, true);
}

void
budget_file_unlock(struct budget_file *f)
{
	if (f->fd >= 0)
		filelock_drop(f->fd, BUDGET_LOCK_STATE);
	pthread_mutex_unlock(&f->lock);
}

bool
budget_file_is_gone(struct budget_file *f, uint32_t slot)
{
	return f->fd >= 0 && slot != f->slot &&
	    !budget_file_is_held(f->fd, BUDGET_LOCK_SLOT + (off_t)slot, 1);
}
