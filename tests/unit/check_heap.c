/* SPDX-License-Identifier: MIT
 *
 * The accounts of the heap: known amounts are seen to the byte, and what comes
 * and goes leaves nothing. Each test is a process of its own.
 */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/mem.h"
#include "debate/debate.h"
#include "metrics/heap_report.h"
#include "metrics/metrics.h"
#include "tests/unit/bus_kit.h"
#include "tests/unit/check_run.h"
#include "tests/unit/engine_kit.h"

#define REQUESTS 100000
#define DEBATES	 300
#define THREADS	 4

static struct heap_amount
amount(enum heap_account account)
{
	struct heap_figures f;

	heap_read(&f);
	return f.accounts[account];
}

static int64_t
cost(void *block)
{
	return (int64_t)(malloc_usable_size(block) + sizeof(size_t));
}

/* A sanitizer's malloc does not tell what it has. */
static bool
malloc_tells(void)
{
	return mallinfo2().uordblks > 0;
}

/* Is on every account what was there before? */
static bool
is_back(const struct heap_figures *before)
{
	struct heap_figures now;

	heap_read(&now);
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++)
		if (now.accounts[i].bytes != before->accounts[i].bytes ||
		    now.accounts[i].blocks != before->accounts[i].blocks)
			return false;
	return true;
}

START_TEST(test_each_account)
{
	heap_open();
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++) {
		enum heap_account account = (enum heap_account)i;
		struct heap_amount before = amount(account);
		struct heap_figures all;
		void *blocks[100];
		int64_t bytes = 0;
		heap_read(&all);
		for (size_t n = 0; n < ARRAY_LEN(blocks); n++) {
			blocks[n] = heap_take(account, mem_alloc(n * 37 + 1));
			bytes += cost(blocks[n]);
		}
		struct heap_amount now = amount(account);
		ck_assert_int_eq(now.bytes - before.bytes, bytes);
		ck_assert_int_eq(now.blocks - before.blocks, 100);
		ck_assert(!is_back(&all));
		for (size_t n = 0; n < ARRAY_LEN(blocks); n++)
			heap_free(account, blocks[n]);
		ck_assert_msg(is_back(&all), "%s", heap_account_name(account));
	}
	heap_free(HEAP_CACHE, NULL);
	ck_assert_ptr_null(heap_take(HEAP_CACHE, NULL));
	ck_assert_int_eq(amount(HEAP_CACHE).blocks, 0);
}
END_TEST

START_TEST(test_arena)
{
	heap_open();
	struct arena *a = arena_new_for(HEAP_DEBATES, 1000);
	struct arena *b = arena_new(0);
	int64_t first = cost(a);

	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, first);
	ck_assert_int_eq(amount(HEAP_WORK).bytes, cost(b));
	(void)!arena_alloc(a, 900);
	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, first);
	for (int i = 0; i < 10; i++)
		(void)!arena_alloc(a, 5000);
	struct heap_amount grown = amount(HEAP_DEBATES);
	ck_assert_int_eq(grown.blocks, 11);
	ck_assert_int_ge(grown.bytes, (int64_t)arena_size(a));
	ck_assert_int_le(grown.bytes, (int64_t)arena_size(a) + 11 * 32);
	arena_clear(a);
	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, first);
	arena_free(&a);
	arena_free(&b);
	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, 0);
	ck_assert_int_eq(amount(HEAP_WORK).blocks, 0);
}
END_TEST

START_TEST(test_buf)
{
	struct buf b, c;

	heap_open();
	buf_init(&b, 1u << 20);
	buf_init_for(&c, HEAP_CALLS, 1u << 20);
	ck_assert_int_eq(amount(HEAP_BUFFERS).bytes, 0);
	for (int i = 0; i < 10000; i++) {
		buf_puts(&b, "abc");
		buf_puts(&c, "de");
	}
	ck_assert_int_eq(amount(HEAP_BUFFERS).bytes, cost(b.data));
	ck_assert_int_eq(amount(HEAP_BUFFERS).blocks, 1);
	ck_assert_int_eq(amount(HEAP_CALLS).bytes, cost(c.data));
	/* Who takes the text takes it off the account. */
	char *text = buf_steal(&b);
	ck_assert_int_eq(amount(HEAP_BUFFERS).bytes, 0);
	free(text);
	buf_puts(&b, "again");
	ck_assert_int_eq(amount(HEAP_BUFFERS).blocks, 1);
	buf_release(&b);
	buf_release(&c);
	ck_assert_int_eq(amount(HEAP_BUFFERS).blocks, 0);
	ck_assert_int_eq(amount(HEAP_CALLS).bytes, 0);
}
END_TEST

/* Off: nothing. What was begun before it is on stays uncounted to its end. */
START_TEST(test_off_and_late)
{
	struct arena *a = arena_new_for(HEAP_DEBATES, 0);
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_puts(&b, "early");
	void *block = heap_take(HEAP_CACHE, mem_alloc(100));
	heap_free(HEAP_CACHE, block);
	for (int i = HEAP_NONE + 1; i < HEAP__COUNT; i++)
		ck_assert_int_eq(amount((enum heap_account)i).bytes, 0);
	heap_open();
	heap_open();
	(void)!arena_alloc(a, 10000);
	while (b.len < 10000)
		buf_puts(&b, "late");
	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, 0);
	ck_assert_int_eq(amount(HEAP_BUFFERS).bytes, 0);
	arena_free(&a);
	buf_release(&b);
	ck_assert_int_eq(amount(HEAP_DEBATES).bytes, 0);
	ck_assert_int_eq(amount(HEAP_BUFFERS).bytes, 0);
	/* The same buffer, begun anew. */
	ck_assert_int_eq(amount(HEAP_START).bytes > 0, malloc_tells());
}
END_TEST

START_TEST(test_libraries)
{
	const struct heap_hooks *h = &heap_curl_hooks;

	heap_open();
	char *p = h->malloc(100);
	ck_assert_int_eq(amount(HEAP_CURL).bytes, cost(p));
	p = h->realloc(p, 100000);
	ck_assert_int_eq(amount(HEAP_CURL).bytes, cost(p));
	char *q = h->strdup("text");
	char *r = h->calloc(10, 10);
	char *s = h->realloc(NULL, 10);
	ck_assert_int_eq(
	    amount(HEAP_CURL).bytes, cost(p) + cost(q) + cost(r) + cost(s));
	ck_assert_int_eq(amount(HEAP_CURL).blocks, 4);
	h->free(p);
	h->free(q);
	h->free(r);
	h->free(s);
	h->free(NULL);
	ck_assert_int_eq(amount(HEAP_CURL).bytes, 0);

	struct heap_amount before = amount(HEAP_OPENSSL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ck_assert_int_gt(amount(HEAP_OPENSSL).bytes, before.bytes);
	EVP_MD_CTX_free(ctx);
	ck_assert_int_eq(amount(HEAP_OPENSSL).bytes, before.bytes);
}
END_TEST

/* What nobody counts is "other", and everything together is what is used. */
START_TEST(test_other)
{
	struct heap_figures before, now;

	heap_open();
	heap_read(&before);
	void *counted = heap_take(HEAP_STORE, mem_alloc(50000));
	void *uncounted = mem_alloc(60000);
	heap_read(&now);
	int64_t sum = 0;
	for (int i = HEAP_NONE; i < HEAP__COUNT; i++)
		sum += now.accounts[i].bytes;
	ck_assert_int_eq(sum, now.used);
	ck_assert_int_ge(now.total, now.used);
	ck_assert_int_gt(now.resident, 0);
	ck_assert_int_eq(now.accounts[HEAP_STORE].bytes, cost(counted));
	if (malloc_tells())
		ck_assert_int_eq(now.accounts[HEAP_NONE].bytes -
			before.accounts[HEAP_NONE].bytes,
		    cost(uncounted));
	heap_free(HEAP_STORE, counted);
	free(uncounted);
}
END_TEST

/* ---- churn ---- */

static void *leaked;

/* leaks: one of a thousand forgets a block. */
static void
request(int i, bool leaks)
{
	struct arena *a = arena_new(0);
	struct buf b;
	struct json_w w;

	buf_init(&b, 1u << 20);
	json_w_init(&w, &b);
	json_w_begin(&w, NULL);
	for (int k = 0; k < i % 50; k++)
		json_w_int(&w, arena_printf(a, "key%d", k), i);
	json_w_end(&w);
	void *kept = heap_take(HEAP_CACHE, mem_alloc(b.len + 1));
	if (leaks && i % 1000 == 7)
		leaked = kept;
	else
		heap_free(HEAP_CACHE, kept);
	buf_release(&b);
	arena_free(&a);
}

START_TEST(test_requests)
{
	struct heap_figures before;

	heap_open();
	heap_read(&before);
	for (int i = 0; i < REQUESTS; i++)
		request(i, false);
	ck_assert(is_back(&before));
	/* The same look sees one that is planted. */
	for (int i = 0; i < 1000; i++)
		request(i, true);
	ck_assert(!is_back(&before));
	ck_assert_int_eq(amount(HEAP_CACHE).bytes, cost(leaked));
	heap_free(HEAP_CACHE, leaked);
	ck_assert(is_back(&before));
}
END_TEST

static struct debate *
debate_begin(struct world *w)
{
	struct debate *d = NULL;
	struct debate_output out;

	ck_assert_int_eq(
	    debate_restore(&d, &w->row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	return d;
}

static const char config[] =
    "{\"task\":\"Tea or coffee?\",\"context\":\"\",\"rounds\":3,"
    "\"consensus\":\"majority\",\"threshold_ppm\":600000,"
    "\"early_stopping\":false,\"seed\":1,\"max_tokens\":1024,"
    "\"metadata\":{},\"tags\":[],\"domain\":\"general\",\"agents\":["
    "{\"type\":\"demo\",\"name\":\"demo_1\"},"
    "{\"type\":\"demo\",\"name\":\"demo_2\"}]}";

/* What a debate says it holds is what its account shows, and goes with it. */
START_TEST(test_debates)
{
	struct heap_figures before;
	struct debate *all[DEBATES];
	struct world w;
	int64_t said = 0;

	heap_open();
	world_init(&w, config);
	heap_read(&before);
	for (int round = 0; round < 3; round++) {
		said = 0;
		for (size_t i = 0; i < DEBATES; i++) {
			all[i] = debate_begin(&w);
			said += (int64_t)debate_memory(all[i]);
		}
		int64_t seen = amount(HEAP_DEBATES).bytes;
		ck_assert_int_ge(seen, said);
		ck_assert_int_le(seen, said + said / 50);
		for (size_t i = 0; i < DEBATES; i++)
			debate_free(&all[i]);
		ck_assert(is_back(&before));
	}
	struct debate *forgotten = debate_begin(&w);
	ck_assert(!is_back(&before));
	debate_free(&forgotten);
	arena_free(&w.a);
}
END_TEST

static void *
churn(void *arg)
{
	for (int i = 0; i < REQUESTS / 50; i++)
		request(i, false);
	return arg;
}

START_TEST(test_threads)
{
	struct heap_figures before;
	pthread_t threads[THREADS];

	heap_open();
	heap_read(&before);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(is_back(&before));
}
END_TEST

/* ---- told to others ---- */

static void
say(int64_t bytes)
{
	struct heap_process p = {.pid = getpid(), .n_debates = 3, .n_top = 1};

	snprintf(p.program, sizeof(p.program), "test");
	snprintf(p.top[0].id, sizeof(p.top[0].id), "adhoc_1");
	p.top[0].bytes = bytes;
	metrics_heap_write(&p);
}

/* What a process says is there while it lives. */
START_TEST(test_processes)
{
	struct kit kit = {0};
	struct heap_process rows[8];
	struct err_info info;
	int ready[2];
	char byte = 0;
	int status;

	kit_open(&kit);
	ck_assert_int_eq(metrics_open(kit.settings, &info), ERR_OK);
	ck_assert_uint_eq(metrics_heap_read(rows, 8), 0);
	say(1);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		if (metrics_open(kit.settings, NULL) != ERR_OK)
			_exit(1);
		say(2);
		if (write(ready[1], &byte, 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	ck_assert_int_eq((int)read(ready[0], &byte, 1), 1);
	ck_assert_uint_eq(metrics_heap_read(rows, 1), 1);
	ck_assert_uint_eq(metrics_heap_read(rows, 8), 2);
	ck_assert_int_eq(rows[0].pid, getpid());
	ck_assert_int_eq(rows[1].pid, child);
	ck_assert_int_eq(rows[1].top[0].bytes, 2);
	ck_assert_str_eq(rows[1].top[0].id, "adhoc_1");
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	ck_assert_uint_eq(metrics_heap_read(rows, 8), 1);
	metrics_close();
	ck_assert_uint_eq(metrics_heap_read(rows, 8), 0);
	/* The next owner of a slot has said nothing yet. */
	ck_assert_int_eq(metrics_open(kit.settings, &info), ERR_OK);
	ck_assert_uint_eq(metrics_heap_read(rows, 8), 0);
	metrics_close();
	kit_close(&kit);
}
END_TEST

/* The thread: gauges and the slot at once, and it ends when told. */
START_TEST(test_report)
{
	struct kit kit = {0};
	struct heap_process p;
	struct heap_debate top = {.id = "adhoc_2", .bytes = 7};
	struct err_info info;

	kit_open(&kit);
	ck_assert_int_eq(metrics_open(kit.settings, &info), ERR_OK);
	heap_report_start("test"); /* off: nothing happens */
	heap_report_stop();
	ck_assert_uint_eq(metrics_heap_read(&p, 1), 0);
	heap_open();
	heap_report_signals();
	heap_report_debates(&top, 1, 1);
	void *block = heap_take(HEAP_CACHE, mem_alloc(5000));
	heap_report_start("test");
	while (metrics_heap_read(&p, 1) == 0)
		kit_nap();
	ck_assert_str_eq(p.program, "test");
	ck_assert_int_eq(p.n_debates, 1);
	ck_assert_str_eq(p.top[0].id, "adhoc_2");
	ck_assert_int_eq(metric_read(METRIC_HEAP_CACHE), cost(block));
	heap_report_stop();
	metrics_close();
	kit_close(&kit);
	heap_free(HEAP_CACHE, block);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_each_account);
	tcase_add_test(t, test_arena);
	tcase_add_test(t, test_buf);
	tcase_add_test(t, test_off_and_late);
	tcase_add_test(t, test_libraries);
	tcase_add_test(t, test_other);
	tcase_add_test(t, test_requests);
	tcase_add_test(t, test_debates);
	tcase_add_test(t, test_threads);
	tcase_add_test(t, test_processes);
	tcase_add_test(t, test_report);
}

int
main(void)
{
	return check_run("heap", add_tests);
}
