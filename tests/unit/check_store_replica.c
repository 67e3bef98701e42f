/* SPDX-License-Identifier: MIT
 *
 * What reads from replicas stand on: the table of positions, their text, and
 * the order in which hosts are tried.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "check_run.h"
#include "store/db_pgsql_hosts.h"
#include "store/position.h"

#define PROCESSES 4
#define RAISES	  20000

static char folder[64];
static char *path;

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/aragora-position-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	path = mem_printf("%s/table", folder);
}

static void
teardown(void)
{
	unlink(path);
	rmdir(folder);
	free(path);
}

static struct positions *
table(const char *at)
{
	struct positions *p = NULL;

	ck_assert_int_eq(positions_open(&p, at, NULL), ERR_OK);
	return p;
}

static void
raise_one(struct positions *p, const char *tenant, uint64_t at)
{
	struct position_set s = {0};

	position_set_add(&s, tenant);
	positions_raise(p, &s, at);
}

/* A tenant that shares no slot with another. */
static const char *
apart_from(const char *tenant)
{
	static char other[32];
	struct position_set one = {0};

	position_set_add(&one, tenant);
	for (int i = 0;; i++) {
		struct position_set s = {0};
		snprintf(other, sizeof(other), "tenant-%d", i);
		position_set_add(&s, other);
		if (memcmp(&one, &s, sizeof(one)) != 0)
			return other;
	}
}

START_TEST(test_set)
{
	struct position_set s = {0};

	ck_assert(position_set_is_empty(&s));
	position_set_add(&s, "a");
	ck_assert(!position_set_is_empty(&s));
}
END_TEST

START_TEST(test_greatest_stays)
{
	struct positions *p = table(NULL);
	const char *other = apart_from("a");
	struct position_set both = {0};

	ck_assert_uint_eq(positions_read(p, "a"), 0);
	raise_one(p, "a", 7);
	raise_one(p, "a", 5);
	ck_assert_uint_eq(positions_read(p, "a"), 7);
	ck_assert_uint_eq(positions_read(p, other), 0);
	position_set_add(&both, "a");
	position_set_add(&both, other);
	positions_raise(p, &both, 9);
	ck_assert_uint_eq(positions_read(p, "a"), 9);
	ck_assert_uint_eq(positions_read(p, other), 9);
	positions_close(&p);
	ck_assert_ptr_null(p);
}
END_TEST

START_TEST(test_lower)
{
	struct positions *p = table(NULL);

	raise_one(p, "a", 9);
	positions_lower(p, "a", 8, 3); /* somebody wrote meanwhile */
	ck_assert_uint_eq(positions_read(p, "a"), 9);
	positions_lower(p, "a", 9, 12); /* never up */
	ck_assert_uint_eq(positions_read(p, "a"), 9);
	positions_lower(p, "a", 9, 3);
	ck_assert_uint_eq(positions_read(p, "a"), 3);
	positions_close(&p);
}
END_TEST

/* Two that name one file, and one that comes when both have gone. */
START_TEST(test_shared)
{
	struct positions *one = table(path);
	struct positions *two = table(path);

	raise_one(one, "a", 7);
	ck_assert_uint_eq(positions_read(two, "a"), 7);
	raise_one(two, "a", 8);
	ck_assert_uint_eq(positions_read(one, "a"), 8);
	positions_close(&one);
	positions_close(&two);
	one = table(path);
	ck_assert_uint_eq(positions_read(one, "a"), 8);
	positions_close(&one);
}
END_TEST

/* Processes that raise one slot in turns and die in the middle of it. */
START_TEST(test_killed)
{
	struct positions *p = table(path);
	pid_t pids[PROCESSES];
	uint64_t last = 0;

	for (uint64_t i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] != 0)
			continue;
		struct positions *mine = table(path);
		for (uint64_t at = i + 1;; at += PROCESSES)
			raise_one(mine, "a", at);
	}
	while (last < RAISES) {
		uint64_t at = positions_read(p, "a");
		ck_assert_uint_ge(at, last);
		last = at;
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFSIGNALED(status));
	}
	last = positions_read(p, "a");
	raise_one(p, "a", last + 1);
	ck_assert_uint_eq(positions_read(p, "a"), last + 1);
	positions_close(&p);
}
END_TEST

START_TEST(test_no_file)
{
	struct positions *p = NULL;
	struct err_info info = {0};
	char *lost = mem_printf("%s/none/table", folder);

	ck_assert_int_eq(positions_open(&p, lost, &info), ERR_IO);
	ck_assert_ptr_null(p);
	ck_assert_str_eq(info.field, "ARAGORA_DATA_DIR");
	free(lost);
}
END_TEST

START_TEST(test_text)
{
	static const uint64_t all[] = {
	    0, 1, 0x16b374d848, POSITION_UNKNOWN - 1};
	char text[POSITION_TEXT_SIZE];
	uint64_t back;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		position_write(all[i], text);
		ck_assert_uint_eq(strlen(text), POSITION_TEXT_SIZE - 1);
		ck_assert_int_eq(position_parse(text, &back), ERR_OK);
		ck_assert_uint_eq(back, all[i]);
	}
}
END_TEST

static const char *const bad[] = {NULL, "", "w1", "w1-", "w1-0",
    "w1-000000000000001", "w1-00000000000000001", "w1-000000000000000g",
    "w1-000000000000000A", "w1-00000000000000 1", "w1-+000000000000001",
    "w2-0000000000000001", "W1-0000000000000001", " w1-0000000000000001",
    "w1-0000000000000001 ", "w1-8000000000000000", "w1-ffffffffffffffff",
    "w1-7fffffffffffffff", "0/16B374D8"};

START_TEST(test_bad_text)
{
	uint64_t at = 1;

	ck_assert_int_eq(position_parse(bad[_i], &at), ERR_INVALID);
	ck_assert_uint_eq(at, 0);
}
END_TEST

/* ---- hosts ---- */

static const struct order {
	const char *conninfo;
	bool is_replica;
	const char *hosts; /* "host/hostaddr/port", sorted when shuffled */
	const char *attrs;
} orders[] = {
    /* One server is asked as the operator says. */
    {"postgresql://h/x", false, "-/-/-", "-"},
    {"postgresql://h/x", true, "-/-/-", "-"},
    {"host=/run dbname=x target_session_attrs=any", true, "-/-/-", "-"},
    /* Several: who can be written to; standbys first. */
    {"postgresql://a,b/x", false, "a/-/5432 b/-/5432", "read-write"},
    {"postgresql://a:1,b:2/x", false, "a/-/1 b/-/2", "read-write"},
    {"postgresql://a,b/x", true, "a/-/5432 b/-/5432", "standby any"},
    {"host=a,b,c port=7 dbname=x", true, "a/-/7 b/-/7 c/-/7", "standby any"},
    {"hostaddr=::1,127.0.0.1 port=1,2", false, "-/::1/1 -/127.0.0.1/2",
	"read-write"},
    {"host=a,b hostaddr=::1,::2", false, "a/::1/- b/::2/-", "read-write"},
    {"postgresql:///x?host=/r/a,/r/b", false, "/r/a/-/- /r/b/-/-",
	"read-write"},
    /* The operator's word. */
    {"postgresql://a,b/x?target_session_attrs=any", false, "a/-/5432 b/-/5432",
	"-"},
    {"postgresql://a,b/x?target_session_attrs=read-only", true,
	"a/-/5432 b/-/5432", "-"},
    {"postgresql://a,b:6432/x", true, "a/-/5432 b/-/6432", "standby any"},
    {"postgresql://a,b/x?target_session_attrs=prefer-standby", false,
	"a/-/5432 b/-/5432", "standby any"},
    /* What libpq must see whole. */
    {"host=a,b port=1,2,3", false, "-/-/-", "read-write"},
    {"host=a,b hostaddr=::1", false, "-/-/-", "-"},
    {"host=a,,b", true, "-/-/-", "prefer-standby"},
    {"host=,b", false, "-/-/-", "read-write"},
    {"host=a,", false, "-/-/-", "read-write"},
};

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *
or_none(const char *text)
{
	return text != NULL ? text : "-";
}

/* The hosts in their order, or sorted; malloc'd. */
static char *
hosts_text(const struct db_pgsql_hosts *h, bool is_sorted)
{
	char **rows = mem_array(h->n, sizeof(*rows));
	char *all = mem_strdup("");

	for (size_t i = 0; i < h->n; i++)
		rows[i] = mem_printf("%s/%s/%s", or_none(h->rows[i].host),
		    or_none(h->rows[i].hostaddr), or_none(h->rows[i].port));
	if (is_sorted)
		qsort(rows, h->n, sizeof(*rows), by_text);
	for (size_t i = 0; i < h->n; i++) {
		char *more =
		    mem_printf("%s%s%s", all, i > 0 ? " " : "", rows[i]);
		free(all);
		free(rows[i]);
		all = more;
	}
	free(rows);
	return all;
}

START_TEST(test_hosts)
{
	const struct order *o = &orders[_i];
	struct db_pgsql_hosts h;

	db_pgsql_hosts_read(&h, o->conninfo, o->is_replica);
	char *hosts = hosts_text(&h, o->is_replica);
	ck_assert_str_eq(hosts, o->hosts);
	ck_assert_uint_ge(h.n_attrs, 1);
	char *attrs = mem_printf("%s%s%s", or_none(h.attrs[0]),
	    h.n_attrs > 1 ? " " : "", h.n_attrs > 1 ? h.attrs[1] : "");
	ck_assert_str_eq(attrs, o->attrs);
	free(hosts);
	free(attrs);
	db_pgsql_hosts_release(&h);
}
END_TEST

/* Each replica comes first sometimes, and none is lost. 200 draws of 3 that
 * never show one of them would come once in 10^35. */
START_TEST(test_shuffled)
{
	int first[3] = {0};

	for (int i = 0; i < 200; i++) {
		struct db_pgsql_hosts h;
		db_pgsql_hosts_read(&h, "host=a,b,c", true);
		char *all = hosts_text(&h, true);
		ck_assert_str_eq(all, "a/-/- b/-/- c/-/-");
		first[h.rows[0].host[0] - 'a']++;
		free(all);
		db_pgsql_hosts_release(&h);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_gt(first[i], 0);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_set);
	tcase_add_test(t, test_greatest_stays);
	tcase_add_test(t, test_lower);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_killed);
	tcase_add_test(t, test_no_file);
	tcase_add_test(t, test_text);
	tcase_add_loop_test(t, test_bad_text, 0, ARRAY_LEN(bad));
	tcase_add_loop_test(t, test_hosts, 0, ARRAY_LEN(orders));
	tcase_add_test(t, test_shuffled);
}

int
main(void)
{
	return check_run("store replica", add_tests);
}
