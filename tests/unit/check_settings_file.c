/* SPDX-License-Identifier: MIT
 *
 * The file that ARAGORA_CONFIG names, and reading it again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "check_run.h"
#include "settings/settings.h"
#include "settings/settings_file.h"

static struct buf errors, changed;
static struct settings *s;
static char path[64];

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
set_up(void)
{
	clearenv();
	snprintf(path, sizeof(path), "/tmp/aragora-config-XXXXXX");
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(setenv("ARAGORA_CONFIG", path, 1), 0);
	buf_init(&errors, 1u << 20);
	buf_init(&changed, 1u << 20);
	s = NULL;
}

static void
tear_down(void)
{
	settings_free(&s);
	buf_release(&errors);
	buf_release(&changed);
	unlink(path);
}

static enum err
load(const char *text)
{
	write_file(text);
	settings_free(&s);
	buf_clear(&errors);
	return settings_load(&s, &errors);
}

static enum err
reload(const char *text)
{
	write_file(text);
	buf_clear(&errors);
	buf_clear(&changed);
	return settings_reload(s, &changed, &errors);
}

START_TEST(test_lines)
{
	ck_assert_msg(load("# a comment\n"
			   "; another\n"
			   "\n"
			   "ARAGORA_MAX_ROUNDS=17\n"
			   "  ARAGORA_WORKERS = 3  \r\n"
			   "export ARAGORA_RATE_LIMIT=61\n"
			   "ARAGORA_API_TOKEN=\"with # and = in it\"\n"
			   "ARAGORA_ALLOWED_ORIGINS='https://a.example'\n"
			   "ARAGORA_DATA_DIR=\n"
			   "ARAGORA_ELO_K_FACTOR=16") == ERR_OK,
	    "%s", buf_text(&errors));
	ck_assert_int_eq(s->max_rounds, 17);
	ck_assert_int_eq(s->workers, 3);
	ck_assert_int_eq(s->rate_limit, 61);
	ck_assert_int_eq(s->elo_k_factor, 16);
	ck_assert_str_eq(s->api_token, "with # and = in it");
	ck_assert_str_eq(s->allowed_origins, "https://a.example");
	ck_assert_str_eq(s->data_dir, ".nomic"); /* empty is unset */
}
END_TEST

/* The environment wins, under whichever name; a setting's own name is looked
 * for before others in each place. */
START_TEST(test_precedence)
{
	enum settings_origin origin;
	struct buf value;

	setenv("ARAGORA_MAX_ROUNDS", "18", 1);
	setenv("DATABASE_URL", "sqlite:/from/env", 1);
	ck_assert_int_eq(load("ARAGORA_MAX_ROUNDS=17\n"
			      "ARAGORA_WORKERS=3\n"
			      "ARAGORA_DATABASE_URL=sqlite:/from/file\n"
			      "REDIS_URL=redis://b/\n"
			      "ARAGORA_REDIS_URL=redis://a/\n"),
	    ERR_OK);
	ck_assert_int_eq(s->max_rounds, 18);
	ck_assert_str_eq(s->database_url, "sqlite:/from/env");
	ck_assert_str_eq(s->redis_url, "redis://a/");
	buf_init(&value, 1000);
	settings_show(s, SETTINGS_workers, &value, &origin);
	ck_assert_int_eq(origin, SETTINGS_FILE);
	settings_show(s, SETTINGS_max_rounds, &value, &origin);
	ck_assert_int_eq(origin, SETTINGS_ENV);
	settings_show(s, SETTINGS_elo_k_factor, &value, &origin);
	ck_assert_int_eq(origin, SETTINGS_DEFAULT);
	buf_release(&value);
}
END_TEST

START_TEST(test_secret_file)
{
	char text[200];
	char key[] = "/tmp/aragora-key-XXXXXX";
	int fd = mkstemp(key);

	ck_assert_int_eq((int)write(fd, "sk-1\n", 5), 5);
	close(fd);
	snprintf(text, sizeof(text), "OPENAI_API_KEY_FILE=%s\n", key);
	ck_assert_int_eq(load(text), ERR_OK);
	ck_assert_str_eq(s->openai_api_key, "sk-1");
	unlink(key);
	ck_assert_int_eq(load(text), ERR_INVALID);
}
END_TEST

START_TEST(test_bad_files)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"ARAGORA_WORKERS\n", ":1: is not NAME=value"},
	    {"\n=3\n", ":2: no name"},
	    {"A B=3\n", ":1: no name"},
	    {"1A=3\n", ":1: no name"},
	    {"A=\"x\n", ":1: a quote is not closed"},
	    {"A='x' y\n", ":1: a quote is not closed"},
	    {"A='x'y'\n", ":1: a quote is not closed"},
	    {"A=1\n\nA=2\n", ":3: A stands in line 1 already"},
	    {"ARAGORA_WORKERS=none\n", "ARAGORA_WORKERS: 'none' is not"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(load(cases[i].text), ERR_INVALID);
		ck_assert_msg(strstr(buf_text(&errors), cases[i].says) != NULL,
		    "%zu: %s", i, buf_text(&errors));
	}
	unlink(path);
	buf_clear(&errors);
	ck_assert_int_eq(settings_load(&s, &errors), ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(buf_text(&errors), "cannot open"));
}
END_TEST

START_TEST(test_too_large)
{
	struct arena *a = arena_new(0);
	struct settings_file file;
	struct err_info info = {0};
	FILE *f = fopen(path, "w");

	for (int i = 0; i < 30000; i++)
		fprintf(f, "# %08d\n", i);
	fclose(f);
	ck_assert_int_eq(
	    settings_file_read(a, path, &file, &info), ERR_TOO_LARGE);
	ck_assert_int_eq(settings_file_read(a, "/tmp", &file, &info), ERR_IO);
	arena_free(&a);
}
END_TEST

/* What is marked changes in place; what is not stays and is named. */
START_TEST(test_reload)
{
	ck_assert_int_eq(load("ARAGORA_RATE_LIMIT=61\n"
			      "ARAGORA_WORKERS=3\n"
			      "ARAGORA_BURST_MULTIPLIER=1.5\n"
			      "ARAGORA_ALLOWED_ORIGINS=https://a.example\n"),
	    ERR_OK);
	const char *origins = s->allowed_origins;
	ck_assert_int_eq(reload("ARAGORA_RATE_LIMIT=62\n"
				"ARAGORA_WORKERS=4\n"
				"ARAGORA_BURST_MULTIPLIER=2.5\n"
				"ARAGORA_ENABLE_TELEMETRY=1\n"
				"ARAGORA_ALLOWED_ORIGINS=https://b.example\n"
				"ARAGORA_LOG_LEVEL=debug\n"),
	    ERR_OK);
	ck_assert_int_eq(s->rate_limit, 62);
	ck_assert_int_eq(s->workers, 3);
	ck_assert_double_eq(s->burst_multiplier, 2.5);
	ck_assert(s->enable_telemetry);
	ck_assert_str_eq(s->allowed_origins, "https://b.example");
	ck_assert_str_eq(s->log_level, "DEBUG");
	ck_assert_str_eq(origins, "https://a.example"); /* who has it, has it */
	ck_assert_ptr_nonnull(
	    strstr(buf_text(&changed), "ARAGORA_WORKERS(restart)"));
	ck_assert_ptr_nonnull(
	    strstr(buf_text(&changed), "ARAGORA_RATE_LIMIT "));
	/* Gone from the file is back to the default. */
	ck_assert_int_eq(reload("ARAGORA_WORKERS=3\n"), ERR_OK);
	ck_assert_int_eq(s->rate_limit, 60);
	ck_assert(!s->enable_telemetry);
	ck_assert_int_eq(reload("ARAGORA_WORKERS=3\n"), ERR_OK);
	ck_assert_str_eq(buf_text(&changed), "");
}
END_TEST

START_TEST(test_reload_of_nonsense)
{
	ck_assert_int_eq(load("ARAGORA_RATE_LIMIT=61\n"), ERR_OK);
	ck_assert_int_eq(reload("ARAGORA_RATE_LIMIT=62\n"
				"ARAGORA_IP_RATE_LIMIT=lots\n"),
	    ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(buf_text(&errors), "'lots'"));
	ck_assert_int_eq(s->rate_limit, 61);
	/* A rule across settings. */
	ck_assert_int_eq(reload("ARAGORA_DEFAULT_ROUNDS=13\n"), ERR_INVALID);
	ck_assert_int_eq(s->rate_limit, 61);
	ck_assert_int_eq(s->default_rounds, 9);
}
END_TEST

static atomic_bool is_over;

static void *
read_them(void *arg)
{
	size_t sum = 0;

	(void)arg;
	while (!atomic_load(&is_over)) {
		const char *text =
		    __atomic_load_n(&s->allowed_origins, __ATOMIC_ACQUIRE);
		ck_assert(str_starts(text, "https://"));
		sum += strlen(text);
	}
	return sum > 0 ? &is_over : NULL;
}

/* A text in use is never taken away. */
START_TEST(test_readers)
{
	char text[100];
	pthread_t threads[2];

	ck_assert_int_eq(
	    load("ARAGORA_ALLOWED_ORIGINS=https://a.example\n"), ERR_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, read_them, NULL), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text),
		    "ARAGORA_ALLOWED_ORIGINS=https://%d.example\n", i);
		ck_assert_int_eq(reload(text), ERR_OK);
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_str_eq(s->allowed_origins, "https://199.example");
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_lines);
	tcase_add_test(t, test_precedence);
	tcase_add_test(t, test_secret_file);
	tcase_add_test(t, test_bad_files);
	tcase_add_test(t, test_too_large);
	tcase_add_test(t, test_reload);
	tcase_add_test(t, test_reload_of_nonsense);
	tcase_add_test(t, test_readers);
}

int
main(void)
{
	return check_run("settings_file", add_tests);
}
