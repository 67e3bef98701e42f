/* SPDX-License-Identifier: MIT
 *
 * The runner's writer and teller over a pretended database and bus: a commit
 * that hangs holds no piece of an answer up, and one transition that the
 * database refuses ends its own debate and no other.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/bus.h"
#include "check_run.h"
#include "runner/runner.h"
#include "runner/teller.h"
#include "settings/settings.h"
#include "store/store_key.h"
#include "store/store_memory.h"

#define ROOM 64

/* The world the two threads see. */
static struct world {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool is_stuck;	 /* commits wait */
	bool is_hearing; /* false: the bus waits */
	int n_waiting;	 /* commits that hang now */
	int n_bus;	 /* publishes that hang now */
	int n_down;	 /* commits that fail before one goes through */
	enum err down;
	bool is_group_uncertain;
	char poison[16]; /* the debate that is refused */
	enum err refusal;
	char told[ROOM][32];
	int n_told;
	size_t told_len[ROOM];
	char written[ROOM][48];
	int n_written;
} world;

/* ---- the database ---- */

enum err
store_commit(
    struct store *store UNUSED, struct store_transition *const *t, size_t n)
{
	enum err e = ERR_OK;

	pthread_mutex_lock(&world.lock);
	world.n_waiting++;
	pthread_cond_broadcast(&world.change);
	while (world.is_stuck)
		pthread_cond_wait(&world.change, &world.lock);
	world.n_waiting--;
	if (world.n_down > 0) {
		world.n_down--;
		e = world.down;
	}
	if (world.is_group_uncertain && n > 1)
		e = ERR_UNCERTAIN;
	for (size_t i = 0; e == ERR_OK && i < n; i++)
		if (str_eq(t[i]->debate_id, world.poison) &&
		    !str_eq(t[i]->phase, "done"))
			e = world.refusal;
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		t[i]->outcome = ERR_OK;
		for (size_t k = 0; k < t[i]->n_events; k++)
			t[i]->events[k].seq = t[i]->round;
		snprintf(world.written[world.n_written++],
		    sizeof(world.written[0]), "%s/%s/%lld", t[i]->debate_id,
		    t[i]->phase, (long long)t[i]->round);
	}
	pthread_cond_broadcast(&world.change);
	pthread_mutex_unlock(&world.lock);
	return e;
}

bool
store_status_is_final(enum store_status s)
{
	return s == STORE_COMPLETED || s == STORE_FAILED ||
	    s == STORE_CANCELLED;
}

enum err
store_claim(struct store *store UNUSED, struct arena *a UNUSED,
    const char *runner UNUSED, int64_t lease_us UNUSED, int64_t max UNUSED,
    struct store_debate **rows UNUSED, size_t *n)
{
	*n = 0;
	return ERR_OK;
}

enum err
store_claim_one(struct store *store UNUSED, struct arena *a UNUSED,
    const char *runner UNUSED, int64_t lease_us UNUSED,
    const char *debate_id UNUSED, struct store_debate *row UNUSED)
{
	return ERR_NOT_FOUND;
}

enum err
store_turn_list(struct store *store UNUSED, struct arena *a UNUSED,
    const char *tenant UNUSED, const char *debate_id UNUSED,
    struct store_turn **rows UNUSED, size_t *n)
{
	*n = 0;
	return ERR_OK;
}

enum err
store_heartbeat(struct store *store UNUSED, const char *const *ids UNUSED,
    const int64_t *epochs UNUSED, size_t n UNUSED, int64_t lease_us UNUSED,
    bool *lost UNUSED)
{
	return ERR_OK;
}

enum err
store_human_list(struct store *store UNUSED, struct arena *a UNUSED,
    const char *tenant UNUSED, const char *id UNUSED, int64_t since UNUSED,
    struct store_human **rows, size_t *n)
{
	*rows = NULL;
	*n = 0;
	return ERR_OK;
}

enum err
store_pausing(struct store *store UNUSED, const char *const *ids UNUSED,
    const int64_t *epochs UNUSED, size_t n, bool *pausing)
{
	memset(pausing, 0, n * sizeof(*pausing));
	return ERR_OK;
}

enum err
store_park(struct store *store UNUSED, const char *tenant UNUSED,
    const char *id UNUSED, int64_t epoch UNUSED, struct store_event *e UNUSED)
{
	return ERR_CONFLICT;
}

enum err
store_release(struct store *store UNUSED, const char *tenant UNUSED,
    const char *id UNUSED, int64_t epoch UNUSED)
{
	return ERR_OK;
}

enum err
store_runner_seen(
    struct store *store UNUSED, const struct store_runner *runner UNUSED)
{
	return ERR_OK;
}

enum err
store_memory_sweep(struct store *store UNUSED, int64_t now_us UNUSED,
    struct store_memory_work *work)
{
	*work = (struct store_memory_work){0};
	return ERR_OK;
}

enum err
store_key_sweep(struct store *store UNUSED, int64_t now_us UNUSED, int64_t *n)
{
	*n = 0;
	return ERR_OK;
}

enum err
store_runner_gone(struct store *store UNUSED, const char *id UNUSED)
{
	return ERR_OK;
}

/* ---- the bus ---- */

enum err
bus_publish(struct bus *bus UNUSED, const struct bus_message *m, size_t n)
{
	pthread_mutex_lock(&world.lock);
	world.n_bus++;
	pthread_cond_broadcast(&world.change);
	while (!world.is_hearing)
		pthread_cond_wait(&world.change, &world.lock);
	world.n_bus--;
	for (size_t i = 0; i < n && world.n_told < ROOM; i++) {
		world.told_len[world.n_told] = m[i].payload_len;
		snprintf(world.told[world.n_told++], sizeof(world.told[0]),
		    "%s %lld", m[i].debate_id, (long long)m[i].seq);
	}
	pthread_cond_broadcast(&world.change);
	pthread_mutex_unlock(&world.lock);
	return ERR_OK;
}

uint64_t
bus_take_dropped(struct bus *bus UNUSED)
{
	return 0;
}

/* ---- fixture ---- */

static struct settings *settings;
static struct loop *loop;
static struct teller *teller;
static struct writer *writer;
static enum err answers[ROOM]; /* by tag - 1 */
static int n_answers;

static void
on_commit(void *arg UNUSED, void *tag, enum err result)
{
	answers[(intptr_t)tag - 1] = result;
	n_answers++;
}

static void
on_claimed(void *arg UNUSED, struct arena *a UNUSED,
    const struct store_debate *row UNUSED,
    const struct store_turn *turns UNUSED, size_t n UNUSED)
{
}

static void
on_claim_end(void *arg UNUSED, size_t n UNUSED)
{
}

static void
on_lost(void *arg UNUSED, const char *id UNUSED, int64_t epoch UNUSED)
{
}

static void
setup(void)
{
	const struct writer_ops ops = {.on_commit = on_commit,
	    .on_claimed = on_claimed,
	    .on_claim_end = on_claim_end,
	    .on_lost = on_lost};
	struct buf b;

	world = (struct world){.is_hearing = true};
	pthread_mutex_init(&world.lock, NULL);
	pthread_cond_init(&world.change, NULL);
	n_answers = 0;
	for (size_t i = 0; i < ROOM; i++)
		answers[i] = ERR__COUNT;
	buf_init(&b, 65536);
	ck_assert_int_eq(settings_load(&settings, &b), ERR_OK);
	buf_release(&b);
	ck_assert_int_eq(loop_new(&loop), ERR_OK);
	ck_assert_int_eq(teller_new(&teller, NULL), ERR_OK);
	ck_assert_int_eq(
	    writer_new(&writer, settings, NULL, teller, loop, "run_1", &ops),
	    ERR_OK);
}

static void
teardown(void)
{
	writer_free(&writer);
	teller_free(&teller);
	loop_free(&loop);
	settings_free(&settings);
}

static void
set_stuck(bool is_stuck)
{
	pthread_mutex_lock(&world.lock);
	world.is_stuck = is_stuck;
	pthread_cond_broadcast(&world.change);
	pthread_mutex_unlock(&world.lock);
}

/* Until *what has the value. */
static void
wait_for(const int *what, int value)
{
	pthread_mutex_lock(&world.lock);
	while (*what < value)
		pthread_cond_wait(&world.change, &world.lock);
	pthread_mutex_unlock(&world.lock);
}

/* round also becomes the event's sequence number; tag is counted from 1. */
static void
commit(const char *id, const char *phase, int64_t round, intptr_t tag)
{
	struct store_event event = {.type = "vote", .data = "{}"};
	const struct store_transition t = {.debate_id = id,
	    .phase = phase,
	    .round = round,
	    .events = &event,
	    .n_events = 1,
	    .status = STORE_RUNNING};

	if (str_eq(phase, "done"))
		writer_commit_last_word(writer, &t, "default", 1, (void *)tag);
	else
		writer_commit(writer, &t, "default", 1, (void *)tag);
}

/* Everything that was queued. */
static void
finish(void)
{
	writer_stop(writer);
	writer_deliver(writer);
}

static bool
was_written(const char *what)
{
	for (int i = 0; i < world.n_written; i++)
		if (str_eq(world.written[i], what))
			return true;
	return false;
}

/* ---- tests ---- */

START_TEST(test_pieces_pass_a_stuck_commit)
{
	set_stuck(true);
	commit("d1", "vote", 1, 1);
	wait_for(&world.n_waiting, 1);
	teller_tell(teller, "d1", 0, "piece", 5);
	wait_for(&world.n_told, 1);
	ck_assert_str_eq(world.told[0], "d1 0");
	ck_assert_int_eq(world.n_written, 0);
	set_stuck(false);
	finish();
	teller_free(&teller);
	ck_assert_int_eq(answers[0], ERR_OK);
	ck_assert_str_eq(world.told[1], "d1 1");
}
END_TEST

/* A piece that came before the answer's commit is published before it. */
START_TEST(test_order)
{
	set_stuck(true);
	teller_tell(teller, "d1", 0, "piece", 5);
	commit("d1", "vote", 7, 1);
	set_stuck(false);
	finish();
	teller_tell(teller, "d1", 0, "next", 4);
	teller_free(&teller);
	ck_assert_int_eq(world.n_told, 3);
	ck_assert_str_eq(world.told[0], "d1 0");
	ck_assert_str_eq(world.told[1], "d1 7");
	ck_assert_str_eq(world.told[2], "d1 0");
}
END_TEST

/* A bus that hangs costs a bounded amount of memory: pieces are left out,
 * stored events lose only their payload. */
START_TEST(test_bus_hangs)
{
	enum { LEN = 8 << 20, FIT = 4 };
	char *big = mem_zalloc(LEN);

	world.is_hearing = false;
	teller_tell(teller, "first", 0, "x", 1);
	wait_for(&world.n_bus, 1);
	for (int i = 0; i < FIT + 2; i++)
		teller_tell(teller, "big", 0, big, LEN);
	teller_tell(teller, "stored", 9, big, LEN);
	pthread_mutex_lock(&world.lock);
	world.is_hearing = true;
	pthread_cond_broadcast(&world.change);
	pthread_mutex_unlock(&world.lock);
	finish();
	teller_free(&teller);
	ck_assert_int_eq(world.n_told, 1 + FIT + 1);
	ck_assert_str_eq(world.told[FIT + 1], "stored 9");
	ck_assert_uint_eq(world.told_len[FIT + 1], 0);
	free(big);
}
END_TEST

static const enum err refusals[] = {ERR_INTERNAL, ERR_TOO_LARGE, ERR_INVALID,
    ERR_SYNTAX, ERR_EXISTS, ERR_CONFLICT};

START_TEST(test_refusal_is_isolated)
{
	memcpy(world.poison, "bad", sizeof("bad"));
	world.refusal = refusals[_i];
	set_stuck(true);
	commit("first", "vote", 1, 1); /* the rest gathers behind it */
	wait_for(&world.n_waiting, 1);
	commit("d1", "vote", 1, 2);
	commit("bad", "vote", 1, 3);
	commit("bad", "vote", 2, 4); /* stands on the one before */
	commit("d2", "vote", 1, 5);
	set_stuck(false);
	pthread_mutex_lock(&world.lock);
	while (!was_written("d2/vote/1"))
		pthread_cond_wait(&world.change, &world.lock);
	pthread_mutex_unlock(&world.lock);
	commit("bad", "done", 3, 6);
	commit("d3", "vote", 1, 7);
	finish();
	ck_assert_int_eq(n_answers, 7);
	ck_assert_int_eq(answers[1], ERR_OK);
	ck_assert_int_eq(answers[2], refusals[_i]);
	ck_assert_int_eq(answers[3], ERR_CANCELLED);
	ck_assert_int_eq(answers[4], ERR_OK);
	ck_assert_int_eq(answers[5], ERR_OK);
	ck_assert_int_eq(answers[6], ERR_OK);
	ck_assert(!was_written("bad/vote/1") && !was_written("bad/vote/2"));
	ck_assert(was_written("bad/done/3"));
}
END_TEST

/* What the database's state explains is tried again, never refused. */
static const enum err states[] = {ERR_DOWN, ERR_BUSY, ERR_FULL, ERR_RETRY,
    ERR_UNCERTAIN, ERR_TIMEOUT, ERR_IO, ERR_AUTH, ERR_SCHEMA};

START_TEST(test_state_is_waited_out)
{
	world.n_down = 2;
	world.down = states[_i];
	commit("d1", "vote", 1, 1);
	finish();
	ck_assert_int_eq(answers[0], ERR_OK);
	ck_assert(was_written("d1/vote/1"));
}
END_TEST

/* As after a COMMIT whose answer was lost, with one among them that cannot be
 * written any more. */
START_TEST(test_uncertain_group_is_parted)
{
	world.is_group_uncertain = true;
	set_stuck(true);
	commit("first", "vote", 1, 1);
	wait_for(&world.n_waiting, 1);
	commit("d1", "vote", 1, 2);
	commit("d2", "vote", 1, 3);
	set_stuck(false);
	pthread_mutex_lock(&world.lock);
	while (!was_written("d2/vote/1"))
		pthread_cond_wait(&world.change, &world.lock);
	pthread_mutex_unlock(&world.lock);
	finish();
	ck_assert_int_eq(answers[1], ERR_OK);
	ck_assert_int_eq(answers[2], ERR_OK);
	ck_assert(was_written("d1/vote/1"));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_pieces_pass_a_stuck_commit);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_bus_hangs);
	tcase_add_loop_test(
	    t, test_refusal_is_isolated, 0, (int)ARRAY_LEN(refusals));
	tcase_add_test(t, test_uncertain_group_is_parted);
	tcase_add_loop_test(
	    t, test_state_is_waited_out, 0, (int)ARRAY_LEN(states));
}

int
main(void)
{
	return check_run("writer", add_tests);
}
