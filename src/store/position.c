/* SPDX-License-Identifier: MIT */
#include "store/position.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/mem.h"
#include "base/str.h"

#define POSITION_PREFIX "w1-" /* the form, for those to come */
#define POSITION_DIGITS 16

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared by processes");
static_assert(sizeof(POSITION_PREFIX) + POSITION_DIGITS == POSITION_TEXT_SIZE,
    "prefix, digits and the end");

struct positions {
	int fd; /* -1: memory of this process alone */
	_Atomic(uint64_t) *at;
};

static size_t
position_slot(const char *tenant)
{
	return str_hash(tenant, strlen(tenant), 0) % POSITION_SLOTS;
}

void
position_set_add(struct position_set *s, const char *tenant)
{
	size_t slot = position_slot(tenant);

	s->bits[slot / 64] |= UINT64_C(1) << slot % 64;
}

bool
position_set_is_empty(const struct position_set *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->bits); i++)
		if (s->bits[i] != 0)
			return false;
	return true;
}

/* Only ever grown, so that processes may open it at once. */
static enum err
positions_map(struct positions *p, const char *path)
{
	size_t size = POSITION_SLOTS * sizeof(*p->at);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (path != NULL) {
		flags = MAP_SHARED;
		p->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
		if (p->fd < 0)
			return ERR_IO;
		/* A page that the disk has no room for would be a SIGBUS. */
		errno = posix_fallocate(p->fd, 0, (off_t)size);
		if (errno != 0)
			return ERR_IO;
	}
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, p->fd, 0);
	if (at == MAP_FAILED)
		return ERR_IO;
	p->at = at;
	return ERR_OK;
}

enum err
positions_open(struct positions **out, const char *path, struct err_info *info)
{
	struct positions *p = mem_zalloc(sizeof(*p));

	p->fd = -1;
	*out = p;
	if (positions_map(p, path) == ERR_OK)
		return ERR_OK;
	err_set(info, ERR_IO, "ARAGORA_DATA_DIR", "cannot share '%s': %s",
	    path != NULL ? path : "memory", strerror(errno));
	positions_close(out);
	return ERR_IO;
}

void
positions_close(struct positions **positions)
{
	struct positions *p = *positions;

	if (p == NULL)
		return;
	if (p->at != NULL)
		munmap(p->at, POSITION_SLOTS * sizeof(*p->at));
	if (p->fd >= 0)
		close(p->fd);
	free(p);
	*positions = NULL;
}

void
positions_raise(struct positions *p, const struct position_set *s, uint64_t at)
{
	for (size_t i = 0; i < POSITION_SLOTS; i++) {
		if ((s->bits[i / 64] >> i % 64 & 1) == 0)
			continue;
		uint64_t old = atomic_load(&p->at[i]);
		while (old < at &&
		    !atomic_compare_exchange_weak(&p->at[i], &old, at))
			;
	}
}

uint64_t
positions_read(struct positions *p, const char *tenant)
{
	return atomic_load(&p->at[position_slot(tenant)]);
}

void
positions_lower(
    struct positions *p, const char *tenant, uint64_t from, uint64_t to)
{
	if (to < from)
		atomic_compare_exchange_strong(
		    &p->at[position_slot(tenant)], &from, to);
}

void
position_write(uint64_t at, char out[POSITION_TEXT_SIZE])
{
	snprintf(out, POSITION_TEXT_SIZE, POSITION_PREFIX "%016" PRIx64, at);
}

enum err
position_parse(const char *text, uint64_t *out)
{
	uint64_t at = 0;

	*out = 0;
	if (text == NULL || !str_starts(text, POSITION_PREFIX) ||
	    strlen(text) != POSITION_TEXT_SIZE - 1)
		return ERR_INVALID;
	for (const char *p = text + strlen(POSITION_PREFIX); *p != '\0'; p++) {
		if (!str_is_digit(*p) && (*p < 'a' || *p > 'f'))
			return ERR_INVALID;
		at = at << 4 |
		    (uint64_t)(str_is_digit(*p) ? *p - '0' : *p - 'a' + 10);
	}
	/* What the database counts in is signed. */
	if (at >= POSITION_UNKNOWN)
		return ERR_INVALID;
	*out = at;
	return ERR_OK;
}
