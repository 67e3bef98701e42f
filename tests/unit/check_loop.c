/* SPDX-License-Identifier: MIT
 *
 * The event loop: order of timers, deletion inside callbacks, wake-ups from
 * another thread. No test waits for a clock but through the loop itself.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/gather.h"
#include "base/loop.h"
#include "tests/unit/check_run.h"

static struct loop *loop;
static int fired[64];
static int n_fired;

/* A timer that notes its number and stops the loop after `last`. */
struct noted {
	struct loop_timer timer;
	int number;
	int last;
};

static void
note_timer(struct loop_timer *t)
{
	struct noted *n = t->arg;

	ck_assert(!loop_timer_is_set(t));
	fired[n_fired++] = n->number;
	if (n_fired == n->last)
		loop_stop(loop);
}

static void
set_up(void)
{
	ck_assert_int_eq(loop_new(&loop), ERR_OK);
	n_fired = 0;
}

static void
tear_down(void)
{
	loop_free(&loop);
	ck_assert_ptr_null(loop);
	loop_free(&loop);
}

static void
slow_timer(struct loop_timer *t)
{
	const int64_t *ms = t->arg;
	int64_t until = clock_mono_ms() + *ms;

	while (clock_mono_ms() < until)
		usleep(1000);
}

/* The second of two that are due together is as late as the first is slow. */
START_TEST(test_lag)
{
	int64_t ms = 30;
	struct loop_timer slow = {.fn = slow_timer, .arg = &ms};
	struct noted last = {.number = 1, .last = 1};

	last.timer = (struct loop_timer){.fn = note_timer, .arg = &last};
	ck_assert_int_eq(loop_take_lag_ms(loop), 0);
	loop_timer_set(loop, &slow, 0);
	loop_timer_set(loop, &last.timer, 0);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_fired, 1);
	ck_assert_int_ge(loop_take_lag_ms(loop), ms);
	ck_assert_int_eq(loop_take_lag_ms(loop), 0);
}
END_TEST

START_TEST(test_timers_fire_in_order)
{
	enum { COUNT = 40 };
	struct noted timers[COUNT];

	/* Armed in another order than due; every third one is taken back and
	 * every fifth one armed twice. */
	int alive = 0;
	for (int i = 0; i < COUNT; i++)
		timers[i] = (struct noted){
		    .timer = {.fn = note_timer, .arg = &timers[i]}};
	for (int i = 0; i < COUNT; i++) {
		int k = i * 17 % COUNT;
		timers[k].number = k;
		loop_timer_set(loop, &timers[k].timer, 2 + k);
		if (k % 5 == 0)
			loop_timer_set(loop, &timers[k].timer, 1 + k);
	}
	for (int i = 0; i < COUNT; i++) {
		if (i % 3 == 0)
			loop_timer_del(loop, &timers[i].timer);
		else
			alive++;
		ck_assert_int_eq(
		    loop_timer_is_set(&timers[i].timer), i % 3 != 0);
	}
	for (int i = 0; i < COUNT; i++)
		timers[i].last = alive;
	int64_t due[COUNT];
	for (int i = 0; i < COUNT; i++)
		due[i] = timers[i].timer.due_ms;
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_fired, alive);
	for (int i = 1; i < n_fired; i++)
		ck_assert_int_le(due[fired[i - 1]], due[fired[i]]);
}
END_TEST

static int turns;

static void
count_turn(void *arg)
{
	(void)arg;
	turns++;
}

/* A timer that arms itself again for "now" lets the loop turn. */
static void
rearm(struct loop_timer *t)
{
	ck_assert_int_eq(turns, n_fired);
	if (++n_fired < 5)
		loop_timer_set(loop, t, 0);
	else
		loop_stop(loop);
}

START_TEST(test_rearming_timer_waits_a_turn)
{
	struct loop_timer t = {.fn = rearm};
	struct loop_timer far[8] = {0};

	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		far[i].fn = rearm;
		loop_timer_set(loop, &far[i], 1000000);
	}
	turns = 0;
	loop_on_turn_end(loop, count_turn, NULL);
	loop_timer_set(loop, &t, -5);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_fired, 5);
}
END_TEST

static struct loop_timer victim;

static void
never(struct loop_timer *t)
{
	(void)t;
	ck_abort_msg("a deleted timer fired");
}

static void
kill_timer(struct loop_timer *t)
{
	(void)t;
	loop_timer_del(loop, &victim);
	loop_timer_del(loop, &victim);
	loop_stop(loop);
}

START_TEST(test_timer_deleted_by_another)
{
	struct loop_timer killer = {.fn = kill_timer};

	victim = (struct loop_timer){.fn = never};
	loop_timer_set(loop, &killer, 0);
	loop_timer_set(loop, &victim, 1);
	/* Both are due when the loop looks. */
	int64_t due = victim.due_ms;
	while (clock_mono_ms() <= due)
		;
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert(!loop_timer_is_set(&victim));
}
END_TEST

/* Two pipes readable in one turn; the first callback deletes and frees the
 * other's watch, whichever comes first. */
static struct loop_watch *watches[2];
static int n_called;

static void
kill_other(struct loop_watch *w, uint32_t events)
{
	struct loop_watch **other = w == watches[0] ? &watches[1] : &watches[0];

	ck_assert_uint_eq(events & EPOLLIN, EPOLLIN);
	ck_assert_ptr_nonnull(*other);
	loop_watch_del(loop, *other);
	free(*other);
	*other = NULL;
	n_called++;
	loop_stop(loop);
}

START_TEST(test_watch_deleted_in_its_turn)
{
	int pipes[2][2];

	n_called = 0;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(pipes[i]), 0);
		ck_assert_int_eq(write(pipes[i][1], "x", 1), 1);
		watches[i] = malloc(sizeof(*watches[i]));
		ck_assert_ptr_nonnull(watches[i]);
		*watches[i] =
		    (struct loop_watch){.fd = pipes[i][0], .fn = kill_other};
		ck_assert_int_eq(
		    loop_watch_add(loop, watches[i], EPOLLIN), ERR_OK);
	}
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_called, 1);
	for (int i = 0; i < 2; i++) {
		free(watches[i]);
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}
END_TEST

static void
delete_self(struct loop_watch *w, uint32_t events)
{
	(void)events;
	n_called++;
	loop_watch_del(loop, w);
	loop_stop(loop);
}

START_TEST(test_watch_modified)
{
	int ends[2];

	n_called = 0;
	ck_assert_int_eq(pipe(ends), 0);
	struct loop_watch w = {.fd = ends[1], .fn = delete_self};
	ck_assert_int_eq(loop_watch_add(loop, &w, 0), ERR_OK);
	ck_assert_int_eq(loop_watch_add(loop, &w, 0), ERR_IO);
	loop_watch_mod(loop, &w, EPOLLOUT);
	ck_assert_uint_eq(w.events, EPOLLOUT);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_called, 1);
	struct loop_watch bad = {.fd = -1, .fn = delete_self};
	ck_assert_int_eq(loop_watch_add(loop, &bad, EPOLLIN), ERR_IO);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static atomic_int wakes;
static pthread_t loop_thread;

static void
on_wake(void *arg)
{
	ck_assert_ptr_eq(arg, &wakes);
	ck_assert(pthread_equal(pthread_self(), loop_thread));
	/* The waker goes on when it sees this. */
	if (atomic_fetch_add(&wakes, 1) + 1 == 3)
		loop_stop(loop);
}

static void *
waker(void *arg)
{
	for (int i = 0; i < 3; i++) {
		loop_wake(loop);
		while (atomic_load(&wakes) <= i)
			sched_yield();
	}
	return arg;
}

START_TEST(test_wake_from_a_thread)
{
	pthread_t thread;

	atomic_store(&wakes, 0);
	loop_thread = pthread_self();
	loop_on_wake(loop, on_wake, &wakes);
	ck_assert_int_eq(pthread_create(&thread, NULL, waker, NULL), 0);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(atomic_load(&wakes), 3);
}
END_TEST

static void *
stopper(void *arg)
{
	loop_stop(arg);
	return NULL;
}

START_TEST(test_stop_from_a_thread)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, stopper, loop), 0);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	/* Stopped before it ran: it does not run. */
	ck_assert_int_eq(loop_run(loop), ERR_OK);
}
END_TEST

/* ---- gather ---- */

#define STREAMS 300 /* more than one batch */
#define PAUSE	40  /* ms */

struct stream {
	struct loop_watch watch;
	int write_fd;
	int n_read; /* bytes */
};

static struct gather *streams;
static struct stream stream[STREAMS];
static int n_reads, n_deleted;
static int64_t read_ms;

static void
stream_open(struct stream *s, loop_watch_fn fn)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	*s = (struct stream){.write_fd = ends[1]};
	s->watch = (struct loop_watch){.fd = ends[0], .fn = fn, .arg = s};
	ck_assert_int_eq(gather_add(streams, &s->watch, EPOLLIN), ERR_OK);
}

static void
stream_close(struct stream *s)
{
	gather_del(streams, &s->watch);
	close(s->watch.fd);
	close(s->write_fd);
}

static void
stream_write(struct stream *s)
{
	ck_assert_int_eq(write(s->write_fd, "x", 1), 1);
}

/* Says the next thing itself: one byte, then two, which come together. */
static void
stream_read(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stream *s = w->arg;
	char bytes[8];

	int64_t now = clock_mono_ms();
	ssize_t n = read(w->fd, bytes, sizeof(bytes));
	if (++n_reads == 1) {
		ck_assert_int_eq(n, 1);
		stream_write(s);
		stream_write(s);
	} else {
		ck_assert_int_eq(n, 2);
		ck_assert_int_ge(now - read_ms, PAUSE);
		loop_stop(loop);
	}
	read_ms = now;
}

START_TEST(test_gather_pauses)
{
	ck_assert_int_eq(gather_new(&streams, loop), ERR_OK);
	gather_set_pause(streams, PAUSE);
	stream_open(&stream[0], stream_read);
	stream_write(&stream[0]);
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_reads, 2);
	stream_close(&stream[0]);
	gather_free(&streams);
	ck_assert_ptr_null(streams);
}
END_TEST

static void
stream_count(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stream *s = w->arg;
	char byte;

	ck_assert_int_eq(read(w->fd, &byte, 1), 1);
	ck_assert_int_eq(s->n_read++, 0);
	if (++n_reads == STREAMS)
		loop_stop(loop);
}

/* A pause does not begin before all that was ready has been read. */
START_TEST(test_gather_takes_all)
{
	ck_assert_int_eq(gather_new(&streams, loop), ERR_OK);
	gather_set_pause(streams, INT64_C(3600000));
	for (size_t i = 0; i < STREAMS; i++) {
		stream_open(&stream[i], stream_count);
		stream_write(&stream[i]);
	}
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	for (size_t i = 0; i < STREAMS; i++)
		stream_close(&stream[i]);
	gather_free(&streams);
}
END_TEST

/* Whoever is called first deletes the other, which is ready too. */
static void
stream_delete_other(struct loop_watch *w, uint32_t events UNUSED)
{
	struct stream *other = w->arg == &stream[0] ? &stream[1] : &stream[0];

	ck_assert_int_eq(n_deleted++, 0);
	gather_del(streams, &other->watch);
	loop_stop(loop);
}

START_TEST(test_gather_deletes)
{
	ck_assert_int_eq(gather_new(&streams, loop), ERR_OK);
	for (size_t i = 0; i < 2; i++) {
		stream_open(&stream[i], stream_delete_other);
		stream_write(&stream[i]);
	}
	ck_assert_int_eq(loop_run(loop), ERR_OK);
	ck_assert_int_eq(n_deleted, 1);
	for (size_t i = 0; i < 2; i++)
		stream_close(&stream[i]);
	gather_free(&streams);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_lag);
	tcase_add_test(t, test_timers_fire_in_order);
	tcase_add_test(t, test_rearming_timer_waits_a_turn);
	tcase_add_test(t, test_timer_deleted_by_another);
	tcase_add_test(t, test_watch_deleted_in_its_turn);
	tcase_add_test(t, test_watch_modified);
	tcase_add_test(t, test_wake_from_a_thread);
	tcase_add_test(t, test_stop_from_a_thread);
	tcase_add_test(t, test_gather_pauses);
	tcase_add_test(t, test_gather_takes_all);
	tcase_add_test(t, test_gather_deletes);
}

int
main(void)
{
	return check_run("loop", add_tests);
}
