/* SPDX-License-Identifier: MIT
 *
 * The shared file: a header and SLOTS slots of METRIC__COUNT atomics. A slot
 * is claimed by writing our pid into it; slot 0 collects the counters of
 * processes that are gone.
 */
#include "metrics/metrics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "settings/settings.h"

#define METRICS_SLOTS 256
/* Another layout is another file name: changes with the table. */
#define METRICS_LAYOUT ((uint64_t)METRIC__COUNT << 32 | METRICS_SLOTS)

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

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
	_Atomic(int64_t) pid;
	_Atomic(int64_t) value[METRIC__COUNT];
};

struct metrics_file {
	_Atomic(uint64_t) layout;
	struct metrics_slot slots[METRICS_SLOTS];
};

/* What counting writes to before metrics_open and when it failed. */
static struct metrics_slot metrics_private;

static struct {
	struct metrics_file *file;
	struct metrics_slot *mine;
} metrics = {.mine = &metrics_private};

/* Move the counters of a dead process to slot 0 and free its slot. Called
 * with the file locked. */
static void
metrics_reap(struct metrics_file *f, struct metrics_slot *s)
{
	for (int m = 0; m < METRIC__COUNT; m++) {
		int64_t value = atomic_exchange(&s->value[m], 0);
		if (metric_rows[m].kind == METRIC_COUNTER)
			atomic_fetch_add(&f->slots[0].value[m], value);
	}
	atomic_store(&s->pid, 0);
}

static bool
metrics_is_gone(int64_t pid)
{
	return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static struct metrics_slot *
metrics_claim(struct metrics_file *f)
{
	struct metrics_slot *free_slot = NULL;

	for (int i = 1; i < METRICS_SLOTS; i++) {
		struct metrics_slot *s = &f->slots[i];
		if (metrics_is_gone(atomic_load(&s->pid)) ||
		    atomic_load(&s->pid) == getpid())
			metrics_reap(f, s);
		if (free_slot == NULL && atomic_load(&s->pid) == 0)
			free_slot = s;
	}
	if (free_slot != NULL)
		atomic_store(&free_slot->pid, getpid());
	return free_slot;
}

enum err
metrics_open(const struct settings *settings, struct err_info *info)
{
	char path[512];

	mkdir(settings->data_dir, 0750); /* may exist; open tells */
	snprintf(path, sizeof(path), "%s/metrics", settings->data_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_set(
		    info, ERR_IO, "ARAGORA_DATA_DIR", "cannot open '%s'", path);
	struct metrics_file *f = MAP_FAILED;
	flock(fd, LOCK_EX);
	if (ftruncate(fd, sizeof(*f)) == 0)
		f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	if (f == MAP_FAILED) {
		close(fd);
		return err_set(info, ERR_IO, "", "cannot map '%s'", path);
	}
	if (atomic_load(&f->layout) != METRICS_LAYOUT) {
		for (int i = 0; i < METRICS_SLOTS; i++) {
			atomic_store(&f->slots[i].pid, 0);
			for (int m = 0; m < METRIC__COUNT; m++)
				atomic_store(&f->slots[i].value[m], 0);
		}
		atomic_store(&f->layout, METRICS_LAYOUT);
	}
	struct metrics_slot *mine = metrics_claim(f);
	flock(fd, LOCK_UN); /* the mapping keeps the file, and so the lock */
	close(fd);
	if (mine == NULL) {
		munmap(f, sizeof(*f));
		return err_set(info, ERR_BUSY, "",
		    "more than %d processes count in '%s'", METRICS_SLOTS - 1,
		    path);
	}
	metrics.file = f;
	metrics.mine = mine;
	return ERR_OK;
}

void
metrics_close(void)
{
	if (metrics.file == NULL)
		return;
	for (int m = 0; m < METRIC__COUNT; m++)
		if (metric_rows[m].kind == METRIC_GAUGE)
			atomic_store(&metrics.mine->value[m], 0);
	munmap(metrics.file, sizeof(*metrics.file));
	metrics.file = NULL;
	metrics.mine = &metrics_private;
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
	assert(metric_rows[m].kind == METRIC_GAUGE);
	atomic_store_explicit(
	    &metrics.mine->value[m], value, memory_order_relaxed);
}

int64_t
metric_read(enum metric m)
{
	int64_t sum = 0;

	if (metrics.file == NULL)
		return atomic_load(&metrics.mine->value[m]);
	for (int i = 0; i < METRICS_SLOTS; i++) {
		struct metrics_slot *s = &metrics.file->slots[i];
		int64_t pid = atomic_load(&s->pid);
		int64_t value = atomic_load(&s->value[m]);
		if (value == 0)
			continue;
		if (metric_rows[m].kind == METRIC_COUNTER ||
		    (pid > 0 && !metrics_is_gone(pid)))
			sum += value;
	}
	return sum;
}

void
metrics_render(struct buf *out)
{
	for (int m = 0; m < METRIC__COUNT; m++) {
		const struct metric_row *row = &metric_rows[m];
		if (m == 0 || !str_eq(row->name, metric_rows[m - 1].name))
			buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
			    row->name, row->help, row->name,
			    row->kind == METRIC_GAUGE ? "gauge" : "counter");
		buf_printf(out,
		    *row->label != '\0' ? "%s{%s} %lld\n" : "%s%s %lld\n",
		    row->name, row->label,
		    (long long)metric_read((enum metric)m));
	}
}
