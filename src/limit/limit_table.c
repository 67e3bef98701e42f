/* SPDX-License-Identifier: MIT
 *
 * Buckets of a host, in a file that its processes map: groups of slots, each
 * group under one of a few locks that the kernel opens when their holder is
 * killed. A slot is one number, so it is whole at any instruction.
 *
 * A bucket that is full again is forgotten. Where a group has no free slot,
 * the one that is nearest to that makes room.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/filelock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "limit/limit_impl.h"

#define TABLE_GROUPS 8192
#define TABLE_SLOTS  8
#define TABLE_LOCKS  256
static_assert(TABLE_SLOTS > LIMIT_ASKS_MAX, "each of a call's finds a slot");
#define TABLE_BOOT 40 /* of boot_id, a UUID */
#define TABLE_KEY  16 /* hex digits of the name that make the key */

struct limit_slot {
	uint64_t key; /* 0 = free */
	int64_t tat_us;
};

struct limit_shared {
	char boot[TABLE_BOOT]; /* which start of the machine; "" = unmade */
	pthread_mutex_t locks[TABLE_LOCKS];
	struct limit_slot slots[TABLE_GROUPS][TABLE_SLOTS];
};

struct limit_table {
	int fd; /* -1: memory of this process */
	struct limit_shared *shared;
};

/* A slot's time and a lock's holder mean nothing after a restart. */
static void
table_boot(char out[TABLE_BOOT])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, TABLE_BOOT - 1) : 0;

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		memcpy(out, "unknown", sizeof("unknown"));
}

static void
table_make(struct limit_shared *s, const char *boot, bool is_shared)
{
	pthread_mutexattr_t a;

	memset(s, 0, sizeof(*s));
	pthread_mutexattr_init(&a);
	if (is_shared) {
		pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	}
	for (size_t i = 0; i < TABLE_LOCKS; i++)
		pthread_mutex_init(&s->locks[i], &a);
	pthread_mutexattr_destroy(&a);
	snprintf(s->boot, sizeof(s->boot), "%s", boot);
}

static struct limit_shared *
table_map(int fd)
{
	int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *at = mmap(NULL, sizeof(struct limit_shared),
	    PROT_READ | PROT_WRITE, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* The file, mapped and made; NULL with errno. */
static struct limit_shared *
table_share(const char *path, int *fd)
{
	char boot[TABLE_BOOT] = "";
	struct limit_shared *s = NULL;

	table_boot(boot);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (*fd < 0 || !filelock_take(*fd, 0, true))
		return NULL;
	/* A page that the disk has no room for would be a SIGBUS. */
	errno = posix_fallocate(*fd, 0, sizeof(*s));
	if (errno == 0)
		s = table_map(*fd);
	if (s != NULL && !str_eq(s->boot, boot))
		table_make(s, boot, true);
	filelock_drop(*fd, 0);
	return s;
}

enum err
limit_table_open(
    struct limit_table **out, const char *path, struct err_info *info)
{
	struct limit_table *t = mem_zalloc(sizeof(*t));
	enum err e = ERR_OK;

	t->fd = -1;
	if (path != NULL)
		t->shared = table_share(path, &t->fd);
	if (t->shared == NULL) {
		e = err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot share '%s': %s", path != NULL ? path : "memory",
		    strerror(errno));
		if (t->fd >= 0)
			close(t->fd);
		t->fd = -1;
		t->shared = table_map(-1);
		if (t->shared == NULL)
			mem_exhausted(sizeof(*t->shared));
		table_make(t->shared, "process", false);
	}
	*out = t;
	return e;
}

void
limit_table_close(struct limit_table **table)
{
	struct limit_table *t = *table;

	if (t == NULL)
		return;
	munmap(t->shared, sizeof(*t->shared));
	if (t->fd >= 0)
		close(t->fd);
	free(t);
	*table = NULL;
}

/* ---- one call ---- */

static void
table_lock(struct limit_shared *s, size_t lock)
{
	/* Its holder died; whatever it left is whole. */
	if (pthread_mutex_lock(&s->locks[lock]) == EOWNERDEAD)
		pthread_mutex_consistent(&s->locks[lock]);
}

static uint64_t
table_key(const struct limit_bucket *b)
{
	char hex[TABLE_KEY + 1];

	memcpy(hex, b->name, TABLE_KEY);
	hex[TABLE_KEY] = '\0';
	uint64_t key = strtoull(hex, NULL, 16);
	return key != 0 ? key : 1;
}

/* With its group's lock. Those of this call that were found before keep
 * theirs. */
static struct limit_slot *
table_slot(struct limit_slot *group, uint64_t key, int64_t now_us,
    struct limit_slot *const *mine, size_t n_mine)
{
	struct limit_slot *room = NULL;

	for (size_t i = 0; i < TABLE_SLOTS; i++)
		if (group[i].key == key)
			return &group[i];
	for (size_t i = 0; i < TABLE_SLOTS; i++) {
		bool is_mine = false;
		for (size_t k = 0; k < n_mine; k++)
			is_mine = is_mine || mine[k] == &group[i];
		if (!is_mine &&
		    (room == NULL || group[i].tat_us < room->tat_us))
			room = &group[i];
	}
	*room = (struct limit_slot){.key = key, .tat_us = now_us};
	return room;
}

struct table_place {
	uint64_t key;
	size_t group, lock;
};

/* Locks in rising order, each once. */
static void
table_lock_all(struct limit_shared *s, const struct table_place *p, size_t n,
    bool is_locking)
{
	bool wanted[LIMIT_ASKS_MAX] = {false};
	size_t order[LIMIT_ASKS_MAX];

	for (size_t i = 0; i < n; i++) {
		size_t k = i;
		for (; k > 0 && p[order[k - 1]].lock > p[i].lock; k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	for (size_t i = 0; i < n; i++)
		wanted[i] = i == 0 || p[order[i]].lock != p[order[i - 1]].lock;
	for (size_t i = 0; i < n; i++) {
		if (!wanted[i])
			continue;
		if (is_locking)
			table_lock(s, p[order[i]].lock);
		else
			pthread_mutex_unlock(&s->locks[p[order[i]].lock]);
	}
}

bool
limit_table_take(struct limit_table *t, struct limit_bucket *buckets, size_t n,
    int64_t now_us, bool is_forced)
{
	struct table_place places[LIMIT_ASKS_MAX] = {0};
	struct limit_slot *slots[LIMIT_ASKS_MAX];
	bool is_admitted = true;

	for (size_t i = 0; i < n; i++) {
		uint64_t key = table_key(&buckets[i]);
		size_t group = (size_t)(key % TABLE_GROUPS);
		places[i] = (struct table_place){
		    .key = key, .group = group, .lock = group % TABLE_LOCKS};
	}
	table_lock_all(t->shared, places, n, true);
	for (size_t i = 0; i < n; i++) {
		struct limit_bucket *b = &buckets[i];
		slots[i] = table_slot(t->shared->slots[places[i].group],
		    places[i].key, now_us, slots, i);
		b->debt_us = gcra_debt(&b->rule, slots[i]->tat_us, now_us);
		if (!gcra_admits(&b->rule, b->debt_us, b->units))
			is_admitted = false;
	}
	for (size_t i = 0; (is_admitted || is_forced) && i < n; i++) {
		struct limit_bucket *b = &buckets[i];
		b->debt_us += b->units * b->rule.interval_us;
		if (b->debt_us > gcra_tolerance(&b->rule))
			b->debt_us = gcra_tolerance(&b->rule);
		slots[i]->tat_us = now_us + b->debt_us;
	}
	table_lock_all(t->shared, places, n, false);
	return is_admitted;
}

int64_t
limit_table_held(struct limit_table *t, int64_t now_us)
{
	int64_t n = 0;

	for (size_t lock = 0; lock < TABLE_LOCKS; lock++) {
		table_lock(t->shared, lock);
		for (size_t g = lock; g < TABLE_GROUPS; g += TABLE_LOCKS)
			for (size_t i = 0; i < TABLE_SLOTS; i++)
				n += t->shared->slots[g][i].tat_us > now_us;
		pthread_mutex_unlock(&t->shared->locks[lock]);
	}
	return n;
}
