/* SPDX-License-Identifier: MIT
 *
 * The bus over local sockets, its wire format and the set of wanted debates.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "bus/bus_impl.h"
#include "bus_kit.h"
#include "check_run.h"

static struct kit kit;

static void
setup(void)
{
	kit_open(&kit);
}

static void
teardown(void)
{
	kit_close(&kit);
}

START_TEST(test_exchange)
{
	kit_exchange(&kit);
}
END_TEST

START_TEST(test_nobody)
{
	struct bus *bus = kit_bus(&kit);

	ck_assert_int_eq(bus_ping_redis(bus), ERR_UNSUPPORTED);
	ck_assert_int_eq(kit_publish(bus, "x", 1, "{}"), ERR_OK);
	ck_assert_int_eq(bus_wake(bus), ERR_OK);
	ck_assert_uint_eq(bus_take_dropped(bus), 0);
	bus_close(&bus);
	ck_assert_ptr_null(bus);
	bus_close(&bus);
}
END_TEST

/* A subscriber that comes later hears the very next message. */
START_TEST(test_latecomer)
{
	struct bus *bus = kit_bus(&kit);

	for (int64_t i = 1; i <= 50; i++) {
		struct heard h = HEARD;
		ck_assert_int_eq(kit_publish(bus, "mine", i, "{}"), ERR_OK);
		struct bus_sub *sub = heard_open(&h, &kit, false);
		bus_sub_add(sub, "mine");
		while (heard_now(&h).gaps == 0)
			kit_nap();
		ck_assert_int_eq(
		    kit_publish(bus, "mine", i + 100, "{}"), ERR_OK);
		while (heard_now(&h).last_seq != i + 100)
			kit_nap();
		ck_assert_int_eq(heard_now(&h).messages, 1);
		bus_sub_close(&sub);
	}
	bus_close(&bus);
}
END_TEST

/* The subscriber's socket, behind its back: what arrives there. */
static int
spy_open(const char *folder, char *path, size_t size)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(path, size, "%s/bus/spy", folder);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

/* A connection to the one subscriber there is. */
static int
subscriber_connect(const char *data_dir)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char folder[64];
	struct dirent *d;

	snprintf(folder, sizeof(folder), "%s/bus", data_dir);
	DIR *dir = opendir(folder);
	ck_assert_ptr_nonnull(dir);
	do
		d = readdir(dir);
	while (d != NULL && d->d_name[0] == '.');
	ck_assert_ptr_nonnull(d);
	ck_assert_int_lt(snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s",
			     folder, d->d_name),
	    sizeof(at.sun_path));
	closedir(dir);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Who leaves right after its last word, without having read what it was told,
 * is heard to the end. */
START_TEST(test_hurried_publisher)
{
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, &kit, true);
	char packet[32];
	int sent = 0;

	bus_sub_add(sub, "mine");
	while (heard_now(&h).gaps == 0)
		kit_nap();
	for (int i = 0; i < 50; i++) {
		int fd = subscriber_connect(kit.settings->data_dir);
		struct pollfd told = {.fd = fd, .events = POLLIN};
		ck_assert_int_eq(poll(&told, 1, -1), 1);
		for (int k = 0; k < 20; k++) {
			int n = snprintf(
			    packet, sizeof(packet), "mine %d\n{}", ++sent);
			ck_assert_int_eq(send(fd, packet, (size_t)n, 0), n);
		}
		close(fd);
		while (heard_now(&h).last_seq != sent)
			kit_nap();
	}
	ck_assert_int_eq(heard_now(&h).messages, sent);
	bus_sub_close(&sub);
}
END_TEST

/* While a subscriber says that it wants no debate, no pieces of texts are sent
 * to it; what is stored always is. */
START_TEST(test_pieces)
{
	char path[108], packet[64];
	struct bus *bus = kit_bus(&kit);
	ck_assert_int_eq(kit_publish(bus, "mine", 1, "{}"), ERR_OK);
	int listener = spy_open(kit.settings->data_dir, path, sizeof(path));
	ck_assert_int_eq(kit_publish(bus, "mine", 0, "{}"), ERR_OK);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	/* Who has said nothing gets all. */
	ck_assert_int_gt(recv(fd, packet, sizeof(packet), 0), 0);
	ck_assert_int_eq(send(fd, "i", 1, 0), 1);
	ck_assert_int_eq(kit_publish(bus, "mine", 0, "{}"), ERR_OK);
	ck_assert_int_eq(kit_publish(bus, "mine", 2, "{}"), ERR_OK);
	ck_assert_int_eq(recv(fd, packet, sizeof(packet), 0), 9);
	ck_assert_mem_eq(packet, "mine 2\n{}", 9);
	ck_assert_int_eq(send(fd, "w", 1, 0), 1);
	ck_assert_int_eq(kit_publish(bus, "mine", 0, "{}"), ERR_OK);
	ck_assert_int_eq(recv(fd, packet, sizeof(packet), 0), 9);
	ck_assert_mem_eq(packet, "mine 0\n{}", 9);
	close(fd);
	close(listener);
	unlink(path);
	bus_close(&bus);
}
END_TEST

/* From the gap on that tells that it is in force, a subscription brings the
 * pieces too, and after it is given up and taken again. */
START_TEST(test_pieces_are_heard)
{
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, &kit, false);
	struct bus *bus = kit_bus(&kit);

	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(kit_publish(bus, "mine", 7, "{}"), ERR_OK);
		int gaps = heard_now(&h).gaps;
		bus_sub_add(sub, "mine");
		while (heard_now(&h).gaps == gaps)
			kit_nap();
		int before = heard_now(&h).messages;
		ck_assert_int_eq(kit_publish(bus, "mine", 0, "{}"), ERR_OK);
		while (heard_now(&h).messages == before ||
		    heard_now(&h).last_seq != 0)
			kit_nap();
		bus_sub_del(sub, "mine");
	}
	bus_sub_close(&sub);
	bus_close(&bus);
}
END_TEST

/* Too long for a packet: a bare doorbell comes instead, or nothing when there
 * is no table to look into. */
START_TEST(test_long)
{
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, &kit, false);
	struct bus *bus = kit_bus(&kit);
	size_t len = 1 << 20;
	char *payload = malloc(len + 1);

	ck_assert_ptr_nonnull(payload);
	memset(payload, 'x', len);
	payload[len] = '\0';
	bus_sub_add(sub, "mine");
	ck_assert_int_eq(kit_publish(bus, "mine", 0, payload), ERR_OK);
	ck_assert_uint_eq(bus_take_dropped(bus), 1);
	ck_assert_uint_eq(bus_take_dropped(bus), 0);
	ck_assert_int_eq(kit_publish(bus, "mine", 2, payload), ERR_OK);
	while (heard_now(&h).last_seq != 2)
		kit_nap();
	ck_assert_uint_eq(heard_now(&h).last_len, 0);
	ck_assert_int_eq(heard_now(&h).messages, 1);
	payload[100000] = '\0';
	ck_assert_int_eq(kit_publish(bus, "mine", 3, payload), ERR_OK);
	while (heard_now(&h).last_seq != 3)
		kit_nap();
	ck_assert_uint_eq(heard_now(&h).last_len, 100000);
	bus_sub_close(&sub);
	bus_close(&bus);
	free(payload);
}
END_TEST

/* As many publishers as a host with many workers has. */
START_TEST(test_many_publishers)
{
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, &kit, true);
	struct bus *buses[200];

	for (size_t i = 0; i < ARRAY_LEN(buses); i++) {
		buses[i] = kit_bus(&kit);
		ck_assert_int_eq(bus_wake(buses[i]), ERR_OK);
	}
	while (heard_now(&h).wakes != (int)ARRAY_LEN(buses))
		kit_nap();
	for (size_t i = 0; i < ARRAY_LEN(buses); i++)
		bus_close(&buses[i]);
	bus_sub_close(&sub);
}
END_TEST

/* A subscriber that does not read costs its own messages, never time. */
START_TEST(test_slow_subscriber)
{
	struct heard slow = HEARD, quick = HEARD;
	struct bus_sub *subs[] = {
	    heard_open(&slow, &kit, false), heard_open(&quick, &kit, false)};
	struct bus *bus = kit_bus(&kit);
	char payload[32001];
	int64_t seq = 0;

	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	bus_sub_add(subs[0], "mine");
	bus_sub_add(subs[1], "mine");
	kit_publish_until(bus, &slow, "mine", ++seq);
	kit_publish_until(bus, &quick, "mine", ++seq);
	pthread_mutex_lock(&slow.lock); /* its thread stands still now */
	while (bus_take_dropped(bus) == 0) {
		ck_assert_int_eq(
		    kit_publish(bus, "mine", ++seq, payload), ERR_OK);
		while (heard_now(&quick).last_seq != seq)
			kit_nap();
	}
	pthread_mutex_unlock(&slow.lock);
	kit_publish_until(bus, &slow, "mine", ++seq);
	bus_sub_close(&subs[0]);
	bus_sub_close(&subs[1]);
	bus_close(&bus);
}
END_TEST

/* What a killed subscriber leaves behind goes away; strange files do not
 * disturb. */
START_TEST(test_leftovers)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct heard h = HEARD;
	struct bus_sub *sub = heard_open(&h, &kit, true);
	struct bus *bus = kit_bus(&kit);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/bus/dead", kit.folder);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	char file[128];
	snprintf(file, sizeof(file), "%s/bus/notes.txt", kit.folder);
	fd = open(file, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(bus_wake(bus), ERR_OK);
	while (heard_now(&h).wakes != 1)
		kit_nap();
	ck_assert_int_ne(access(at.sun_path, F_OK), 0);
	bus_sub_close(&sub);
	ck_assert_int_eq(bus_wake(bus), ERR_OK);
	bus_close(&bus);
}
END_TEST

/* A path longer than an address of a Unix socket. */
START_TEST(test_long_path)
{
	char name[150], path[256];

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(path, sizeof(path), "%s/%s", kit.folder, name);
	setenv("ARAGORA_DATA_DIR", path, 1);
	kit_load(&kit);
	kit_exchange(&kit);
}
END_TEST

START_TEST(test_no_folder)
{
	const struct bus_sub_ops ops = {.on_message = heard_message};
	struct bus *bus = NULL;
	struct bus_sub *sub = NULL;
	struct err_info info = {0};

	setenv("ARAGORA_DATA_DIR", "/proc/none", 1);
	kit_load(&kit);
	ck_assert_int_eq(bus_open(&bus, kit.settings, &info), ERR_IO);
	ck_assert_str_eq(info.field, "ARAGORA_DATA_DIR");
	ck_assert_int_eq(
	    bus_sub_open(&sub, kit.settings, "x", true, &ops, &info), ERR_IO);
	ck_assert_ptr_null(bus);
	ck_assert_ptr_null(sub);
}
END_TEST

/* ---- wire ---- */

START_TEST(test_wire)
{
	char id[ID_MAX + 1];
	struct bus_message m,
	    in = {.debate_id = "adhoc_1",
		.seq = INT64_MAX,
		.payload = "a\nb c",
		.payload_len = 5};
	struct buf b;

	buf_init(&b, 1000);
	bus_wire_encode(&b, &in);
	ck_assert_int_eq(bus_wire_decode(b.data, b.len, id, &m), ERR_OK);
	ck_assert_str_eq(m.debate_id, "adhoc_1");
	ck_assert_int_eq(m.seq, INT64_MAX);
	ck_assert_uint_eq(m.payload_len, 5);
	ck_assert_mem_eq(m.payload, "a\nb c", 5);
	/* Cut anywhere in its head it is garbage. */
	for (size_t len = 0; len < b.len - 5; len++)
		ck_assert_int_eq(
		    bus_wire_decode(b.data, len, id, &m), ERR_SYNTAX);
	buf_clear(&b);
	bus_wire_encode(&b, &(struct bus_message){.debate_id = ""});
	ck_assert_int_eq(bus_wire_decode(b.data, b.len, id, &m), ERR_OK);
	ck_assert_str_eq(m.debate_id, "");
	ck_assert_int_eq(m.seq, 0);
	buf_release(&b);
}
END_TEST

START_TEST(test_wire_garbage)
{
	static const char *const bad[] = {"", "\n", "id\n", "id 1", "id -1\n",
	    "id x\n", "id 1 \n", "id 9223372036854775808\n", "i/d 1\n",
	    "two words 1\n", "\nid 1\n", "\x80 1\n"};
	char id[ID_MAX + 1], text[ID_MAX + 8];
	struct bus_message m;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(bus_wire_decode(bad[i], strlen(bad[i]), id, &m) ==
			ERR_SYNTAX,
		    "%s", bad[i]);
	ck_assert_int_eq(bus_wire_decode("i\0d 1\n", 6, id, &m), ERR_SYNTAX);
	memset(text, 'a', ID_MAX);
	memcpy(text + ID_MAX, " 1\n", 4);
	ck_assert_int_eq(bus_wire_decode(text, ID_MAX + 3, id, &m), ERR_OK);
	memset(text, 'a', ID_MAX + 1);
	memcpy(text + ID_MAX + 1, " 1\n", 4);
	ck_assert_int_eq(bus_wire_decode(text, ID_MAX + 4, id, &m), ERR_SYNTAX);
}
END_TEST

START_TEST(test_backoff)
{
	int64_t least = bus_backoff_ms(1);

	ck_assert_int_gt(least, 0);
	for (int64_t n = -3; n < 200; n++) {
		int64_t ms = bus_backoff_ms(n);
		ck_assert_int_gt(ms, 0);
		ck_assert_int_le(ms, 5000);
		ck_assert(n < 20 || ms >= 3750);
	}
}
END_TEST

/* ---- the wanted set, against plain counters ---- */

#define IDS 300

START_TEST(test_set)
{
	int counts[IDS] = {0};
	struct bus_set s;
	uint32_t random = 12345;
	char id[16];

	bus_set_init(&s);
	for (int step = 0; step < 20000; step++) {
		random = random * 1664525 + 1013904223;
		int i = (int)((random >> 8) % IDS);
		bool is_more = (random >> 24) % 2 == 0 || counts[i] == 0;
		snprintf(id, sizeof(id), "id_%d", i);
		counts[i] += is_more ? 1 : -1;
		bus_set_count(&s, id, is_more);
		ck_assert_int_eq(bus_set_has(&s, id), counts[i] > 0);
		if (step % 50 == 0)
			list_for_each (it, &s.changed) {
				struct bus_set_entry *e = LIST_ENTRY(
				    it, struct bus_set_entry, changed);
				e->is_subscribed = e->count > 0;
				bus_set_settle(&s, e);
			}
	}
	size_t wanted = 0, changed = 0;
	bus_set_reset(&s);
	list_for_each (it, &s.changed) {
		struct bus_set_entry *e =
		    LIST_ENTRY(it, struct bus_set_entry, changed);
		ck_assert(!e->is_subscribed);
		changed += e->count > 0;
		bus_set_settle(&s, e);
	}
	for (int i = 0; i < IDS; i++)
		wanted += counts[i] > 0;
	ck_assert_uint_eq(changed, wanted);
	ck_assert_uint_eq(s.n_entries, wanted);
	bus_set_release(&s);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 0);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_exchange);
	tcase_add_test(t, test_nobody);
	tcase_add_test(t, test_latecomer);
	tcase_add_test(t, test_long);
	tcase_add_test(t, test_hurried_publisher);
	tcase_add_test(t, test_pieces);
	tcase_add_test(t, test_pieces_are_heard);
	tcase_add_test(t, test_many_publishers);
	tcase_add_test(t, test_slow_subscriber);
	tcase_add_test(t, test_leftovers);
	tcase_add_test(t, test_long_path);
	tcase_add_test(t, test_no_folder);
	tcase_add_test(t, test_wire);
	tcase_add_test(t, test_wire_garbage);
	tcase_add_test(t, test_backoff);
	tcase_add_test(t, test_set);
}

int
main(void)
{
	return check_run("bus", add_tests);
}
