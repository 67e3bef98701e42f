/* SPDX-License-Identifier: MIT
 *
 * The shared file: a header, the histograms, then slots of one atomic a
 * metric. A process owns
 * a slot while it holds the lock of one byte that stands for it, which ends
 * with the process however it ends; process numbers would be taken over by
 * others. The next owner of a slot goes on from the counters it finds, so
 * that no sum ever falls.
 */
#include "metrics/metrics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/filelock.h"
#include "base/str.h"
#include "metrics/heap_slot.h"
#include "metrics/histogram.h"
#include "settings/settings.h"

#define METRICS_SLOTS	   1024
#define METRICS_HEAP_SLOTS 256 /* who comes later says nothing of its heap */
#define METRICS_CACHE_LINE 64
#define METRICS_ATTEMPTS   16
/* Bytes that are locked: the whole file while it is opened, then slots. */
#define METRICS_LOCK_FILE 0
#define METRICS_LOCK_SLOT 1

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics are shared by processes");

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_LEVEL };

struct metric_row {
	enum metric_kind kind;
	const char *name;
	const char *label;
	const char *help;
};

static const struct metric_row metric_rows[METRIC__COUNT] = {
#define METRIC(id, type, text, pair, about)                                    \
	[METRIC_##id] = {METRIC_##type, text, pair, about},
#include "metrics/metric.def"
#undef METRIC
};

struct metrics_slot {
	_Alignas(METRICS_CACHE_LINE) _Atomic(int64_t) value[METRIC__COUNT];
};

struct metrics_file {
	uint64_t layout;	/* of the binary that made it */
	_Atomic(uint64_t) used; /* slots that ever had an owner */
	struct histogram_table histograms;
	struct metrics_slot slots[METRICS_SLOTS];
	struct heap_slot heaps[METRICS_HEAP_SLOTS]; /* of the first slots */
};

/* What counting writes to before metrics_open and when it failed. */
static struct metrics_slot metrics_private;

static struct {
	struct metrics_file *file;
	struct metrics_slot *mine;
	int fd;
	pthread_mutex_t
	    adding; /* of a series: the file's lock is a process's */
} metrics = {
    .mine = &metrics_private, .fd = -1, .adding = PTHREAD_MUTEX_INITIALIZER};

/* Another table is another layout. */
static uint64_t
metrics_layout(void)
{
	uint64_t hash = histogram_layout(METRICS_SLOTS);

	for (int m = 0; m < METRIC__COUNT; m++) {
		const struct metric_row *row = &metric_rows[m];
		hash = str_hash(row->name, strlen(row->name) + 1, hash);
		hash = str_hash(row->label, strlen(row->label) + 1, hash);
	}
	return hash;
}

/* Does another process hold the slot? */
static bool
metrics_is_held(int fd, size_t slot)
{
	return filelock_look(fd, METRICS_LOCK_SLOT + (off_t)slot, 1) ==
	    FILELOCK_HELD;
}

/* The file at path, locked, whatever may happen to its name meanwhile; -1
 * when it changed or cannot be had. */
static int
metrics_open_locked(const char *path, struct stat *st)
{
	struct stat named;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0)
		return -1;
	if (filelock_take(fd, METRICS_LOCK_FILE, true) && fstat(fd, st) == 0 &&
	    stat(path, &named) == 0 && st->st_ino == named.st_ino &&
	    st->st_dev == named.st_dev)
		return fd;
	close(fd);
	errno = EAGAIN;
	return -1;
}

static struct metrics_file *
metrics_map(int fd, bool is_new)
{
	/* Room on the disk for all of it: a page without is SIGBUS later. */
	if (posix_fallocate(fd, 0, sizeof(struct metrics_file)) != 0)
		return NULL;
	struct metrics_file *f =
	    mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (f == MAP_FAILED)
		return NULL;
	if (is_new)
		f->layout = metrics_layout();
	return f;
}

/* Open, lock and map. A file of another layout is left to those who use it
 * and replaced by a new one. */
static enum err
metrics_attach(const char *path, int *fd, struct metrics_file **out)
{
	struct stat st;

	for (int i = 0; i < METRICS_ATTEMPTS; i++) {
		*fd = metrics_open_locked(path, &st);
		if (*fd < 0 && errno == EAGAIN)
			continue;
		if (*fd < 0)
			return ERR_IO;
		bool is_new = st.st_size == 0;
		if (is_new || st.st_size == sizeof(struct metrics_file)) {
			*out = metrics_map(*fd, is_new);
			if (*out != NULL && (*out)->layout == metrics_layout())
				return ERR_OK;
			if (*out == NULL)
				break;
			munmap(*out, sizeof(**out));
		}
		unlink(path);
		close(*fd);
	}
	if (*fd >= 0)
		close(*fd);
	return ERR_IO;
}

/* A slot nobody holds; what its last owner counted stays. */
static struct metrics_slot *
metrics_claim(int fd, struct metrics_file *f)
{
	for (size_t i = 0; i < METRICS_SLOTS; i++) {
		off_t byte = METRICS_LOCK_SLOT + (off_t)i;
		if (!filelock_take(fd, byte, false))
			continue;
		for (int m = 0; m < METRIC__COUNT; m++)
			if (metric_rows[m].kind != METRIC_COUNTER)
				atomic_store(&f->slots[i].value[m], 0);
		if (i < METRICS_HEAP_SLOTS)
			heap_slot_clear(&f->heaps[i]);
		if (atomic_load(&f->used) <= i)
			atomic_store(&f->used, i + 1);
		return &f->slots[i];
	}
	return NULL;
}

enum err
metrics_open(const struct settings *settings, struct err_info *info)
{
	char path[512];
	struct metrics_file *f;
	int fd;

	mkdir(settings->data_dir, 0750); /* may exist; open tells */
	snprintf(path, sizeof(path), "%s/metrics", settings->data_dir);
	if (metrics_attach(path, &fd, &f) != ERR_OK)
		return err_set(info, ERR_IO, "ARAGORA_DATA_DIR",
		    "cannot open '%s': %s", path, strerror(errno));
	struct metrics_slot *mine = metrics_claim(fd, f);
	filelock_drop(fd, METRICS_LOCK_FILE);
	if (mine == NULL) {
		munmap(f, sizeof(*f));
		close(fd);
		return err_set(info, ERR_BUSY, "",
		    "more than %d processes count in '%s'", METRICS_SLOTS,
		    path);
	}
	metrics.file = f;
	metrics.mine = mine;
	metrics.fd = fd;
	return ERR_OK;
}

void
metrics_close(void)
{
	if (metrics.file == NULL)
		return;
	for (int m = 0; m < METRIC__COUNT; m++)
		if (metric_rows[m].kind != METRIC_COUNTER)
			atomic_store(&metrics.mine->value[m], 0);
	metrics.mine = &metrics_private;
	munmap(metrics.file, sizeof(*metrics.file));
	metrics.file = NULL;
	close(metrics.fd);
	metrics.fd = -1;
}

void
metric_add(enum metric m, int64_t delta)
{
	atomic_fetch_add_explicit(
	    &metrics.mine->value[m], delta, memory_order_relaxed);
}

void
metric_set(enum metric m, int64_t value)
{
	assert(metric_rows[m].kind != METRIC_COUNTER);
	atomic_store_explicit(
	    &metrics.mine->value[m], value, memory_order_relaxed);
}

int64_t
metric_read(enum metric m)
{
	struct metrics_file *f = metrics.file;
	int64_t sum = 0;

	if (f == NULL)
		return atomic_load(&metrics.mine->value[m]);
	uint64_t used = atomic_load(&f->used);
	for (size_t i = 0; i < used && i < METRICS_SLOTS; i++) {
		int64_t value = atomic_load(&f->slots[i].value[m]);
		if (value == 0 ||
		    (metric_rows[m].kind != METRIC_COUNTER &&
			&f->slots[i] != metrics.mine &&
			!metrics_is_held(metrics.fd, i)))
			continue;
		if (metric_rows[m].kind != METRIC_LEVEL)
			sum += value;
		else if (value > sum)
			sum = value;
	}
	return sum;
}

int64_t
metric_read_own(enum metric m)
{
	return atomic_load_explicit(
	    &metrics.mine->value[m], memory_order_relaxed);
}

void
metrics_heap_write(const struct heap_process *said)
{
	struct metrics_file *f = metrics.file;

	if (f != NULL && metrics.mine < f->slots + METRICS_HEAP_SLOTS)
		heap_slot_write(&f->heaps[metrics.mine - f->slots], said);
}

size_t
metrics_heap_read(struct heap_process *out, size_t max)
{
	struct metrics_file *f = metrics.file;
	size_t n = 0;

	if (f == NULL)
		return 0;
	uint64_t used = atomic_load(&f->used);
	for (size_t i = 0; i < used && i < METRICS_HEAP_SLOTS && n < max; i++)
		if ((&f->slots[i] == metrics.mine ||
			metrics_is_held(metrics.fd, i)) &&
		    heap_slot_read(&f->heaps[i], &out[n]))
			n++;
	return n;
}

static void
metrics_series_lock(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&metrics.adding);
	filelock_take(metrics.fd, METRICS_LOCK_FILE, true);
}

static void
metrics_series_unlock(void *arg)
{
	(void)arg;
	filelock_drop(metrics.fd, METRICS_LOCK_FILE);
	pthread_mutex_unlock(&metrics.adding);
}

void
metric_observe(enum histogram h, const char *label, int64_t us)
{
	static const struct histogram_lock lock = {
	    .lock = metrics_series_lock, .unlock = metrics_series_unlock};

	if (metrics.file != NULL)
		histogram_observe(
		    &metrics.file->histograms, &lock, h, label, us);
}

void
metric_label(struct buf *out, const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '\\' || *p == '"')
			buf_putc(out, '\\');
		buf_putc(out, (unsigned char)*p < 0x20 ? ' ' : *p);
	}
}

static void
metrics_render_value(struct buf *out, enum metric m)
{
	static const char seconds[] = "_seconds";
	const struct metric_row *row = &metric_rows[m];
	long long value = metric_read(m);
	size_t n = strlen(row->name);

	buf_printf(out, *row->label != '\0' ? "%s{%s} " : "%s%s ", row->name,
	    row->label);
	if (n >= sizeof(seconds) &&
	    str_eq(row->name + n - (sizeof(seconds) - 1), seconds))
		buf_printf(out, "%.3f\n", (double)value / 1000.0);
	else
		buf_printf(out, "%lld\n", value);
}

void
metrics_render(struct buf *out)
{
	for (int m = 0; m < METRIC__COUNT; m++) {
		const struct metric_row *row = &metric_rows[m];
		if (m == 0 || !str_eq(row->name, metric_rows[m - 1].name))
			buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
			    row->name, row->help, row->name,
			    row->kind == METRIC_COUNTER ? "counter" : "gauge");
		metrics_render_value(out, (enum metric)m);
	}
	if (metrics.file != NULL)
		histogram_render(&metrics.file->histograms, out);
}
