/* SPDX-License-Identifier: MIT
 *
 * Every row of settings.def, and the rules that all of them share.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/str.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"

static struct buf errors;
static struct settings *s;
static char file_name[64];

static void
set_up(void)
{
	clearenv();
	buf_init(&errors, 1u << 20);
	s = NULL;
	file_name[0] = '\0';
}

static void
tear_down(void)
{
	buf_release(&errors);
	settings_free(&s);
	ck_assert_ptr_null(s);
	if (file_name[0] != '\0')
		unlink(file_name);
}

static void
env(const char *name, const char *value)
{
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

static enum err
load(void)
{
	settings_free(&s);
	buf_clear(&errors);
	return settings_load(&s, &errors);
}

static void
expect_ok(void)
{
	ck_assert_msg(load() == ERR_OK, "%s", buf_text(&errors));
	ck_assert_str_eq(buf_text(&errors), "");
}

/* One error line, for this variable. */
static void
expect_bad(const char *name)
{
	ck_assert_int_eq(load(), ERR_INVALID);
	ck_assert_ptr_null(s);
	ck_assert_msg(str_starts(errors.data, name) &&
		errors.data[strlen(name)] == ':' &&
		strchr(errors.data, '\n') == errors.data + errors.len - 1,
	    "%s: got '%s'", name, errors.data);
}

static const char *
shown(enum settings_id id, enum settings_origin *origin)
{
	static char text[5000];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	settings_show(s, id, &b, origin);
	snprintf(text, sizeof(text), "%s", buf_text(&b));
	buf_release(&b);
	return text;
}

START_TEST(test_rows_are_whole)
{
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		ck_assert_msg(strlen(row->help) > 10 &&
			row->help[strlen(row->help) - 1] == '.',
		    "%s: help is no sentence", row->env);
		ck_assert_msg(strspn(row->env,
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_") == strlen(row->env),
		    "%s", row->env);
		ck_assert_msg(
		    !row->is_bounded || row->min < row->max, "%s", row->env);
		ck_assert_msg(!row->is_secret ||
			(str_eq(row->type, "text") &&
			    *row->default_value == '\0'),
		    "%s", row->env);
		/* Settings of the Python client; a server must not read
		 * them (contract 10). */
		ck_assert_str_ne(row->env, "ARAGORA_API_URL");
		ck_assert_str_ne(row->env, "ARAGORA_API_KEY");
		ck_assert_str_ne(row->env, "ARAGORA_TIMEOUT");
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(
			    row->env, settings_row((enum settings_id)k)->env);
	}
}
END_TEST

START_TEST(test_defaults)
{
	enum settings_origin origin;

	expect_ok();
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		const char *text = shown((enum settings_id)i, &origin);
		ck_assert_int_eq(origin, SETTINGS_DEFAULT);
		double want, got;
		if (str_eq(row->type, "number")) {
			ck_assert_int_eq(str_to_double(text, &got), ERR_OK);
			ck_assert_int_eq(
			    str_to_double(row->default_value, &want), ERR_OK);
			ck_assert_double_eq(got, want);
		} else {
			ck_assert_str_eq(text, row->default_value);
		}
	}
	ck_assert_int_eq(s->max_rounds, 12);
	ck_assert_int_eq(s->default_rounds, 9);
	ck_assert_double_eq(s->burst_multiplier, 2);
	ck_assert_str_eq(s->database_url, "");
	ck_assert(!s->auth_required);
}
END_TEST

/* The names and defaults of the contract, section 10. */
START_TEST(test_contract)
{
	static const struct {
		const char *env;
		const char *value;
	} rows[] = {
	    {"ARAGORA_MAX_CONCURRENT_DEBATES", "10"},
	    {"ARAGORA_MAX_AGENTS_PER_DEBATE", "10"},
	    {"ARAGORA_DEFAULT_ROUNDS", "9"},
	    {"ARAGORA_MAX_ROUNDS", "12"},
	    {"ARAGORA_DEFAULT_CONSENSUS", "judge"},
	    {"ARAGORA_DEBATE_TIMEOUT", "600"},
	    {"ARAGORA_AGENT_TIMEOUT", "240"},
	    {"ARAGORA_MAX_QUESTION_LENGTH", "10000"},
	    {"ARAGORA_WS_MAX_MESSAGE_SIZE", "65536"},
	    {"ARAGORA_WS_HEARTBEAT", "30"},
	    {"ARAGORA_WS_CONN_RATE", "30"},
	    {"ARAGORA_WS_MAX_PER_IP", "10"},
	    {"ARAGORA_WS_MSG_RATE", "10"},
	    {"ARAGORA_WS_MSG_BURST", "20"},
	    {"ARAGORA_EVENT_REPLAY_BUFFER_SIZE", "1000"},
	    {"ARAGORA_USER_EVENT_QUEUE_SIZE", "10000"},
	    {"ARAGORA_RATE_LIMIT", "60"},
	    {"ARAGORA_IP_RATE_LIMIT", "120"},
	    {"ARAGORA_BURST_MULTIPLIER", "2.0"},
	    {"ARAGORA_RATE_LIMIT_FAIL_OPEN", "false"},
	    {"ARAGORA_RATE_LIMIT_STRICT", "false"},
	    {"ARAGORA_REDIS_FAILURE_THRESHOLD", "3"},
	    {"ARAGORA_DISABLE_ALL_RATE_LIMITS", "false"},
	    {"ARAGORA_TRUSTED_PROXIES", "127.0.0.1,::1,localhost"},
	    {"ARAGORA_REDIS_URL", ""},
	    {"ARAGORA_REDIS_KEY_PREFIX", "aragora:ratelimit:"},
	    {"ARAGORA_REDIS_TTL", "120"},
	    {"ARAGORA_REDIS_MAX_CONNECTIONS", "50"},
	    {"ARAGORA_REDIS_SOCKET_TIMEOUT", "5.0"},
	    {"ARAGORA_CACHE_TTL", "300"},
	    {"ARAGORA_DB_POOL_SIZE", "10"},
	    {"ARAGORA_DB_POOL_MAX_OVERFLOW", "10"},
	    {"ARAGORA_DB_POOL_TIMEOUT", "30"},
	    {"ARAGORA_DATABASE_URL", ""},
	    {"ARAGORA_DB_BACKEND", "auto"},
	    {"ARAGORA_DB_TIMEOUT", "30"},
	    {"ARAGORA_DATA_DIR", ".nomic"},
	    {"ARAGORA_EMBEDDING_CACHE_SIZE", "1000"},
	    {"ARAGORA_EMBEDDING_CACHE_TTL", "86400"},
	    {"ARAGORA_ENABLE_TELEMETRY", "false"},
	    {"ARAGORA_METRICS_TOKEN", ""},
	    {"ARAGORA_MEMORY_PROFILING", "false"},
	    {"ARAGORA_ELO_INITIAL", "1500"},
	    {"ARAGORA_ELO_K_FACTOR", "32"},
	    {"ARAGORA_CONSENSUS_SIMILARITY", "0.85"},
	    {"ARAGORA_CONSENSUS_MIN_VOTES", "0.6"},
	    {"ARAGORA_CONSENSUS_EARLY_EXIT", "0.95"},
	    {"ARAGORA_CONSENSUS_SUPERMAJORITY", "0.67"},
	    {"ARAGORA_API_TOKEN", ""},
	    {"ARAGORA_TOKEN_TTL", "3600"},
	    {"ARAGORA_JWT_SECRET", ""},
	    {"ARAGORA_JWT_EXPIRY_HOURS", "24"},
	    {"ARAGORA_REFRESH_TOKEN_EXPIRY_DAYS", "30"},
	    {"ARAGORA_ENV", "development"},
	    {"ARAGORA_LOG_LEVEL", "INFO"},
	    {"ARAGORA_MAX_REQUEST_SIZE", "10485760"},
	    {"ARAGORA_SSL_ENABLED", "false"},
	    {"ARAGORA_WEBHOOK_ALLOW_LOCALHOST", "false"},
	    {"ARAGORA_MAX_API_LIMIT", "100"},
	    {"ARAGORA_DEFAULT_PAGINATION", "20"},
	    {"ARAGORA_DEMO_MODE", "false"},
	    {"ARAGORA_OFFLINE", "false"},
	    {"ARAGORA_AUTH_REQUIRED", "false"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int id = 0;
		while (id < SETTINGS__COUNT &&
		    !str_eq(
			settings_row((enum settings_id)id)->env, rows[i].env))
			id++;
		ck_assert_msg(id < SETTINGS__COUNT, "%s", rows[i].env);
		ck_assert_str_eq(
		    settings_row((enum settings_id)id)->default_value,
		    rows[i].value);
	}
}
END_TEST

/* Each bounded row takes its bounds and refuses what lies just beyond. Rows
 * that other rows limit are set apart. */
START_TEST(test_bounds)
{
	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		char text[64];
		if (!row->is_bounded)
			continue;
		clearenv();
		env("ARAGORA_MAX_ROUNDS", "50");
		env("ARAGORA_DEFAULT_ROUNDS", "1");
		env("ARAGORA_MAX_API_LIMIT", "10000");
		env("ARAGORA_DEFAULT_PAGINATION", "1");
		bool is_whole = str_eq(row->type, "integer");
		double step = is_whole ? 1 : 0.001;
		snprintf(text, sizeof(text), "%.15g", row->min);
		env(row->env, text);
		expect_ok();
		snprintf(text, sizeof(text), "%.15g", row->max);
		env(row->env, text);
		expect_ok();
		snprintf(text, sizeof(text), "%.15g", row->min - step);
		env(row->env, text);
		expect_bad(row->env);
		snprintf(text, sizeof(text), "%.15g", row->max + step);
		env(row->env, text);
		expect_bad(row->env);
		env(row->env, "nan");
		expect_bad(row->env);
		env(row->env, "12x");
		expect_bad(row->env);
		env(row->env, "99999999999999999999");
		expect_bad(row->env);
		if (is_whole) {
			snprintf(text, sizeof(text), "%.15g.5", row->min);
			env(row->env, text);
			expect_bad(row->env);
		}
	}
}
END_TEST

/* Each choice is taken in any case and kept as the table spells it; other
 * words, and parts of words, are refused. */
START_TEST(test_choices)
{
	struct arena *a = arena_new(0);
	int seen = 0;

	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		enum settings_origin origin;
		size_t n;
		if (!str_eq(row->type, "choice"))
			continue;
		seen++;
		clearenv();
		char **choices = str_split(a, row->unit, '|', &n);
		ck_assert_uint_ge(n, 2);
		for (size_t k = 0; k < n; k++) {
			char *odd = arena_strdup(a, choices[k]);
			odd[0] ^= 0x20;
			env(row->env, odd);
			expect_ok();
			ck_assert_str_eq(
			    shown((enum settings_id)i, &origin), choices[k]);
			ck_assert_int_eq(origin, SETTINGS_ENV);
			env(row->env, arena_printf(a, "%sx", choices[k]));
			expect_bad(row->env);
			odd[1] = '\0';
			env(row->env, odd);
			expect_bad(row->env);
		}
		env(row->env, row->unit);
		expect_bad(row->env);
		env(row->env, "|");
		expect_bad(row->env);
	}
	ck_assert_int_ge(seen, 5);
	arena_free(&a);
}
END_TEST

START_TEST(test_booleans_and_texts)
{
	char text[5000];

	env("ARAGORA_OFFLINE", "Yes");
	env("ARAGORA_AUTH_REQUIRED", "1");
	env("ARAGORA_DEFAULT_AGENTS", "demo,demo");
	expect_ok();
	ck_assert(s->offline && s->auth_required && !s->demo_mode);
	ck_assert_str_eq(s->default_agents, "demo,demo");
	env("ARAGORA_OFFLINE", "maybe");
	expect_bad("ARAGORA_OFFLINE");
	unsetenv("ARAGORA_OFFLINE");

	memset(text, 'a', sizeof(text));
	text[4096] = '\0';
	env("ARAGORA_DEFAULT_AGENTS", text);
	expect_ok();
	text[4096] = 'a';
	text[4097] = '\0';
	env("ARAGORA_DEFAULT_AGENTS", text);
	expect_bad("ARAGORA_DEFAULT_AGENTS");
	env("ARAGORA_DEFAULT_AGENTS", "\xff");
	expect_bad("ARAGORA_DEFAULT_AGENTS");
	unsetenv("ARAGORA_DEFAULT_AGENTS");
	text[201] = '\0';
	env("ARAGORA_DATA_DIR", text);
	expect_bad("ARAGORA_DATA_DIR");
	text[200] = '\0';
	env("ARAGORA_DATA_DIR", text);
	expect_ok();
}
END_TEST

START_TEST(test_aliases)
{
	static const struct {
		const char *alias;
		enum settings_id id;
	} rows[] = {
	    {"REDIS_URL", SETTINGS_redis_url},
	    {"DATABASE_URL", SETTINGS_database_url},
	    {"ARAGORA_POSTGRES_DSN", SETTINGS_database_url},
	    {"ENVIRONMENT", SETTINGS_env},
	    {"GROK_API_KEY", SETTINGS_xai_api_key},
	    {"GOOGLE_API_KEY", SETTINGS_gemini_api_key},
	    {"ARAGORA_DB_POOL_OVERFLOW", SETTINGS_db_pool_max_overflow},
	};
	enum settings_origin origin;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct settings_row *row = settings_row(rows[i].id);
		bool is_number = row->is_bounded;
		bool is_choice = str_eq(row->type, "choice");
		clearenv();
		env(rows[i].alias,
		    is_number	    ? "7"
			: is_choice ? "staging"
				    : "redis://a");
		expect_ok();
		shown(rows[i].id, &origin);
		ck_assert_int_eq(origin, SETTINGS_ENV);
		/* The name proper wins; empty is unset. */
		env(row->env, "");
		expect_ok();
		shown(rows[i].id, &origin);
		ck_assert_int_eq(origin, SETTINGS_ENV);
		env(row->env,
		    is_number	    ? "8"
			: is_choice ? "test"
				    : "redis://b");
		expect_ok();
		if (!row->is_secret)
			ck_assert_str_eq(shown(rows[i].id, &origin),
			    is_number ? "8" : "test");
	}
	clearenv();
	env("DATABASE_URL", "third");
	env("ARAGORA_POSTGRES_DSN", "second");
	expect_ok();
	ck_assert_str_eq(s->database_url, "second");
	env("ARAGORA_DATABASE_URL", "first");
	expect_ok();
	ck_assert_str_eq(s->database_url, "first");
}
END_TEST

static void
write_file(const char *content, size_t len)
{
	if (file_name[0] == '\0') {
		snprintf(file_name, sizeof(file_name), "check_settings.%d.tmp",
		    (int)getpid());
	}
	FILE *f = fopen(file_name, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(content, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(test_secret_files)
{
	enum settings_origin origin;
	char large[4200];

	write_file("tok en\n", 7);
	env("ARAGORA_API_TOKEN_FILE", file_name);
	expect_ok();
	ck_assert_str_eq(s->api_token, "tok en");
	ck_assert_str_eq(shown(SETTINGS_api_token, &origin), "********");
	ck_assert_int_eq(origin, SETTINGS_FILE);
	/* Only one line end is taken off. */
	write_file("token\n\n", 7);
	expect_ok();
	ck_assert_str_eq(s->api_token, "token\n");
	/* The variable itself wins. */
	env("ARAGORA_API_TOKEN", "direct");
	expect_ok();
	ck_assert_str_eq(s->api_token, "direct");
	unsetenv("ARAGORA_API_TOKEN");

	write_file("\n", 1);
	expect_bad("ARAGORA_API_TOKEN");
	write_file("a\0b", 3);
	expect_bad("ARAGORA_API_TOKEN");
	memset(large, 'x', sizeof(large));
	write_file(large, 4096);
	expect_ok();
	write_file(large, 4097);
	expect_bad("ARAGORA_API_TOKEN");
	ck_assert_ptr_null(strstr(errors.data, "xxxx"));
	env("ARAGORA_API_TOKEN_FILE", "./no/such/file");
	expect_bad("ARAGORA_API_TOKEN");
	unsetenv("ARAGORA_API_TOKEN_FILE");

	/* An older name has its file too; a setting that is no secret has
	 * none. */
	write_file("postgresql:///x", 15);
	env("DATABASE_URL_FILE", file_name);
	env("ARAGORA_MAX_ROUNDS_FILE", file_name);
	expect_ok();
	ck_assert_str_eq(s->database_url, "postgresql:///x");
	ck_assert_int_eq(s->max_rounds, 12);
}
END_TEST

START_TEST(test_all_bad_values_are_listed)
{
	static const char *const names[] = {"ARAGORA_MAX_ROUNDS",
	    "ARAGORA_OFFLINE", "ARAGORA_BURST_MULTIPLIER", "ARAGORA_LOG_LEVEL",
	    "ARAGORA_DB_POOL_SIZE", "ARAGORA_API_TOKEN"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		env(names[i], "x y\xff");
	env("ARAGORA_SSL_ENABLED", "on");
	ck_assert_int_eq(load(), ERR_INVALID);
	size_t lines = 0;
	for (const char *p = errors.data; *p != '\0'; p++)
		lines += *p == '\n';
	ck_assert_uint_eq(lines, ARRAY_LEN(names) + 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ck_assert_msg(
		    strstr(errors.data, names[i]) != NULL, "%s", names[i]);
	ck_assert_ptr_nonnull(strstr(errors.data,
	    "ARAGORA_MAX_ROUNDS: 'x y\xff' is not an integer from 1 to 50"));
	ck_assert_ptr_nonnull(strstr(errors.data, "ARAGORA_SSL_ENABLED: "));
	/* What was appended before stays. */
	buf_clear(&errors);
	buf_puts(&errors, "before\n");
	ck_assert_int_eq(settings_load(&s, &errors), ERR_INVALID);
	ck_assert(str_starts(errors.data, "before\nARAGORA_"));
	/* Even when there is no room to say it. */
	struct buf tiny;
	buf_init(&tiny, 0);
	ck_assert_int_eq(settings_load(&s, &tiny), ERR_INVALID);
	buf_release(&tiny);
}
END_TEST

START_TEST(test_a_value_cannot_forge_a_line)
{
	env("ARAGORA_MAX_ROUNDS", "1\nARAGORA_ENV: forged\x1b[2J");
	expect_bad("ARAGORA_MAX_ROUNDS");
	ck_assert_ptr_null(strchr(errors.data, 0x1b));
}
END_TEST

START_TEST(test_secrets_are_masked)
{
	int seen = 0;

	for (int i = 0; i < SETTINGS__COUNT; i++) {
		const struct settings_row *row =
		    settings_row((enum settings_id)i);
		enum settings_origin origin;
		if (!row->is_secret)
			continue;
		seen++;
		clearenv();
		expect_ok();
		ck_assert_str_eq(shown((enum settings_id)i, &origin), "");
		env(row->env,
		    i == SETTINGS_redis_url	     ? "redis://:hunter2@h"
			: i == SETTINGS_otel_headers ? "key=hunter2"
						     : "hunter2");
		expect_ok();
		ck_assert_str_eq(
		    shown((enum settings_id)i, &origin), "********");
		env(row->env, "hunter2\xff");
		expect_bad(row->env);
		ck_assert_ptr_null(strstr(errors.data, "hunter2"));
	}
	ck_assert_int_ge(seen, 10);
}
END_TEST

START_TEST(test_cross_checks)
{
	env("ARAGORA_DISABLE_ALL_RATE_LIMITS", "1");
	expect_ok();
	env("ARAGORA_ENV", "Production");
	expect_bad("ARAGORA_DISABLE_ALL_RATE_LIMITS");
	clearenv();
	env("ENVIRONMENT", "production");
	expect_ok();
	env("ARAGORA_DISABLE_ALL_RATE_LIMITS", "1");
	expect_bad("ARAGORA_DISABLE_ALL_RATE_LIMITS");

	clearenv();
	env("ARAGORA_MAX_ROUNDS", "8");
	expect_bad("ARAGORA_DEFAULT_ROUNDS");
	env("ARAGORA_DEFAULT_ROUNDS", "8");
	expect_ok();

	clearenv();
	env("ARAGORA_MAX_API_LIMIT", "19");
	expect_bad("ARAGORA_DEFAULT_PAGINATION");

	clearenv();
	env("ARAGORA_RATE_LIMIT_STRICT", "1");
	expect_ok();
	env("ARAGORA_RATE_LIMIT_FAIL_OPEN", "1");
	expect_bad("ARAGORA_RATE_LIMIT_FAIL_OPEN");

	clearenv();
	env("ARAGORA_URL_PREFIX", "/aragora");
	expect_ok();
	env("ARAGORA_URL_PREFIX", "aragora");
	expect_bad("ARAGORA_URL_PREFIX");

	clearenv();
	env("REDIS_URL", "redis://:pw@host:port");
	expect_bad("ARAGORA_REDIS_URL");
	ck_assert_ptr_null(strstr(errors.data, "pw"));
	env("REDIS_URL", "redis://[::1]:6380/2");
	expect_ok();
	env("REDIS_URL", "rediss://:pw@host");
	expect_bad("ARAGORA_REDIS_URL");
	ck_assert_ptr_null(strstr(errors.data, "pw"));

	clearenv();
	env("ARAGORA_SSL_ENABLED", "on");
	env("ARAGORA_SSL_CERT", "cert.pem");
	expect_bad("ARAGORA_SSL_ENABLED");
	env("ARAGORA_SSL_KEY", "key.pem");
	expect_ok();
}
END_TEST

START_TEST(test_override)
{
	enum settings_origin origin;

	env("ARAGORA_DATA_DIR", "from-env");
	settings_override(SETTINGS_data_dir, "from-flag");
	expect_ok();
	ck_assert_str_eq(s->data_dir, "from-flag");
	ck_assert_str_eq(shown(SETTINGS_data_dir, &origin), "from-flag");
	ck_assert_int_eq(origin, SETTINGS_FLAG);
	/* Child processes see it. */
	ck_assert_str_eq(getenv("ARAGORA_DATA_DIR"), "from-flag");
}
END_TEST

/* settings_start in a child: exit status and what it says. */
static int
start_status(char *out, size_t size)
{
	int ends[2], status;

	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		s = settings_start("prog");
		int ok = s != NULL && s->max_rounds == 12;
		settings_free(&s);
		buf_release(&errors);
		_exit(ok ? 0 : 1);
	}
	close(ends[1]);
	size_t len = 0;
	for (ssize_t n; len < size - 1 &&
	     (n = read(ends[0], out + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	out[len] = '\0';
	close(ends[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_start)
{
	char out[1000];

	ck_assert_int_eq(start_status(out, sizeof(out)), 0);
	ck_assert_str_eq(out, "");
	env("ARAGORA_MAX_ROUNDS", "0");
	env("ARAGORA_WORKERS", "many");
	ck_assert_int_eq(start_status(out, sizeof(out)), EX_CONFIG);
	ck_assert(str_starts(out, "prog: bad settings:\n"));
	ck_assert_ptr_nonnull(strstr(out, "ARAGORA_MAX_ROUNDS: '0' is not"));
	ck_assert_ptr_nonnull(strstr(out, "ARAGORA_WORKERS: 'many' is not"));
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_rows_are_whole);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_contract);
	tcase_add_test(t, test_bounds);
	tcase_add_test(t, test_choices);
	tcase_add_test(t, test_booleans_and_texts);
	tcase_add_test(t, test_aliases);
	tcase_add_test(t, test_secret_files);
	tcase_add_test(t, test_all_bad_values_are_listed);
	tcase_add_test(t, test_a_value_cannot_forge_a_line);
	tcase_add_test(t, test_secrets_are_masked);
	tcase_add_test(t, test_cross_checks);
	tcase_add_test(t, test_override);
	tcase_add_test(t, test_start);
}

int
main(void)
{
	return check_run("settings", add_tests);
}
