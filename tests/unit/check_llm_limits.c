/* SPDX-License-Identifier: MIT
 *
 * The pure parts of calling: limits from headers, the retry budget, pauses,
 * prices, addresses and base URLs.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "llm/llm_endpoint.h"
#include "llm/llm_limits.h"
#include "llm/llm_policy.h"
#include "llm/llm_provider.h"
#include "llm/llm_url.h"
#include "metrics/metrics.h"
#include "settings/settings.h"
#include "tests/unit/check_run.h"

static struct arena *arena;

static void
set_up(void)
{
	arena = arena_new(0);
}

static void
tear_down(void)
{
	arena_free(&arena);
}

/* ---- buckets ---- */

START_TEST(test_bucket)
{
	struct llm_bucket b;

	llm_bucket_init(&b, 60, 1000); /* one a second */
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 60, 1000), 0);
	llm_bucket_take(&b, 60, 1000);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 1000), 1000);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 1400), 600);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 2000), 0);
	/* More than it holds goes when it is full. */
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 600, 2000), 59000);
	/* It never holds more than it may. */
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 60, 900000), 0);
	llm_bucket_take(&b, 60, 900000);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 900000), 1000);
	llm_bucket_shrink(&b);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 900000), 2000);
	/* What was not used comes back. */
	llm_bucket_take(&b, -5, 900000);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 5, 900000), 0);
}
END_TEST

START_TEST(test_no_limit)
{
	struct llm_bucket b;

	llm_bucket_init(&b, 0, 5);
	llm_bucket_take(&b, 1000000, 5);
	llm_bucket_shrink(&b);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1000000, 5), 0);
}
END_TEST

static const struct {
	const char *value;
	int64_t ms;
} resets[] = {
    {"6m0s", 360000},
    {"1s", 1000},
    {"20ms", 20},
    {"1.5s", 1500},
    {"1h2m3s", 3723000},
    {"7.66s", 7660},
    {"2", 2000},
    {"0", 0},
    {"2026-01-02T03:04:35Z", 30000},
    {"2026-01-02T03:04:00Z", 0},
    {"", -1},
    {"soon", -1},
    {"5x", -1},
    {"5s5", -1},
    {"-1s", -1},
    {"1e300s", -1},
    {"nan", -1},
    {"48h", -1},
};

START_TEST(test_reset)
{
	struct llm_limits l;
	int64_t now;

	ck_assert_int_eq(clock_parse_iso("2026-01-02T03:04:05Z", &now), ERR_OK);
	llm_limits_init(&l);
	llm_limits_header(
	    &l, "X-RateLimit-Reset-Tokens", resets[_i].value, now);
	ck_assert_int_eq(l.reset_ms[LLM_LIMIT_TOKENS], resets[_i].ms);
	ck_assert_int_eq(l.reset_ms[LLM_LIMIT_REQUESTS], -1);
}
END_TEST

/* Both spellings; the bucket then lasts until the reset. */
START_TEST(test_sync)
{
	static const char *const names[][3] = {
	    {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
		"x-ratelimit-reset-requests"},
	    {"anthropic-ratelimit-requests-limit",
		"anthropic-ratelimit-requests-remaining",
		"anthropic-ratelimit-requests-reset"}};
	struct llm_limits l;
	struct llm_bucket b;

	llm_bucket_init(&b, 0, 0);
	llm_limits_init(&l);
	llm_limits_header(&l, names[_i][0], "100", 0);
	llm_limits_header(&l, names[_i][1], "0", 0);
	llm_bucket_sync(&b, &l, LLM_LIMIT_REQUESTS, 50);
	/* Not all was said yet. */
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 50), 0);
	llm_limits_header(&l, names[_i][2], "10s", 0);
	llm_bucket_sync(&b, &l, LLM_LIMIT_TOKENS, 50);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 50), 0);
	llm_bucket_sync(&b, &l, LLM_LIMIT_REQUESTS, 50);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 1, 50), 100);
	ck_assert_int_eq(llm_bucket_wait_ms(&b, 100, 50), 10000);
	llm_limits_header(&l, names[_i][1], "many", 0);
	ck_assert_int_eq(l.left[LLM_LIMIT_REQUESTS], -1);
}
END_TEST

/* ---- repetitions ---- */

START_TEST(test_budget)
{
	struct llm_budget b;
	int n = 0;

	llm_budget_init(&b, 0);
	while (llm_budget_spend(&b, 0))
		n++;
	ck_assert_int_eq(n, 50);
	/* A tenth of the calls, with a rounding error to spare. */
	for (int i = 0; i < 11; i++)
		llm_budget_earn(&b);
	ck_assert(llm_budget_spend(&b, 0));
	ck_assert(!llm_budget_spend(&b, 0));
	/* One a second. */
	ck_assert(llm_budget_spend(&b, 1000));
	ck_assert(!llm_budget_spend(&b, 1000));
	for (n = 0; llm_budget_spend(&b, 86400000); n++)
		;
	ck_assert_int_eq(n, 50);
}
END_TEST

START_TEST(test_pause)
{
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_SERVER, 1, -1, 300), 1000);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_SERVER, 1, -1, 0), 700);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_SERVER, 1, -1, 600), 1300);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_SERVER, 3, -1, 300), 4000);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_SERVER, 60, -1, 300), 60000);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_RATE, 1, 2500, 7), 2507);
	/* From 0.1 s up to the whole pause. */
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_OVERLOAD, 1, -1, 0), 100);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_OVERLOAD, 1, -1, 899), 999);
	ck_assert_int_eq(llm_pause_ms(LLM_ERR_OVERLOAD, 2, -1, 1899), 1999);
}
END_TEST

START_TEST(test_breaker)
{
	struct llm_breaker b = {0};
	bool is_probe;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
		    llm_breaker_note(&b, LLM_ERR_SERVER, false, 10), 0);
	/* A rate limit is no failure, and does not make up for one. */
	ck_assert_int_eq(llm_breaker_note(&b, LLM_ERR_RATE, false, 10), 0);
	ck_assert_int_eq(
	    llm_breaker_note(&b, LLM_ERR_NETWORK, false, 10), 60000);
	ck_assert(!llm_breaker_enter(&b, 60009, &is_probe));
	/* Three at a time, and two good ones close it. */
	for (int i = 0; i < 3; i++) {
		ck_assert(llm_breaker_enter(&b, 60010, &is_probe));
		ck_assert(is_probe);
	}
	ck_assert(!llm_breaker_enter(&b, 60010, &is_probe));
	for (int i = 0; i < 2; i++) {
		llm_breaker_note(&b, LLM_ERR_NONE, true, 60010);
		llm_breaker_leave(&b, true);
	}
	ck_assert(llm_breaker_enter(&b, 60011, &is_probe));
	ck_assert(!is_probe);
	ck_assert_int_eq(
	    llm_breaker_note(&b, LLM_ERR_MONEY, false, 100000), 600000);
	ck_assert(!llm_breaker_enter(&b, 699999, &is_probe));
}
END_TEST

/* A provider is as badly off as the worst of its models; time alone half
 * opens a breaker. */
START_TEST(test_breaker_metrics)
{
	struct settings *s = NULL;
	struct buf problems;
	struct llm_endpoint *list = NULL;
	struct llm_agent openai = {
	    .row = llm_agent_find("openai-api"), .model = "one"};
	struct llm_agent demo = {.row = llm_agent_find("demo")};
	int64_t opened = metric_read(METRIC_BREAKER_OPENED_OPENAI);

	buf_init(&problems, 4096);
	ck_assert_int_eq(settings_load(&s, &problems), ERR_OK);
	struct llm_endpoint *one = llm_endpoint_get(&list, &openai, s);
	openai.model = "two";
	struct llm_endpoint *two = llm_endpoint_get(&list, &openai, s);
	struct llm_endpoint *none = llm_endpoint_get(&list, &demo, s);
	ck_assert_ptr_ne(one, two);
	llm_endpoint_note(one, LLM_ERR_MONEY, false, 10);
	for (int i = 0; i < 3; i++) {
		llm_endpoint_note(two, LLM_ERR_SERVER, false, 10);
		llm_endpoint_note(none, LLM_ERR_SERVER, false, 10);
	}
	ck_assert_int_eq(metric_read(METRIC_BREAKER_OPENED_OPENAI), opened + 2);
	llm_endpoint_measure(list, 20);
	ck_assert_int_eq(metric_read(METRIC_BREAKER_OPENAI), 2);
	ck_assert_int_eq(metric_read(METRIC_BREAKER_XAI), 0);
	llm_endpoint_measure(list, 60010); /* that of money is for longer */
	ck_assert_int_eq(metric_read(METRIC_BREAKER_OPENAI), 2);
	llm_endpoint_measure(list, 600010);
	ck_assert_int_eq(metric_read(METRIC_BREAKER_OPENAI), 1);
	for (int i = 0; i < 2; i++) {
		llm_endpoint_note(one, LLM_ERR_NONE, true, 600010);
		llm_endpoint_note(two, LLM_ERR_NONE, true, 600010);
	}
	llm_endpoint_measure(list, 600020);
	ck_assert_int_eq(metric_read(METRIC_BREAKER_OPENAI), 0);
	llm_endpoint_free_all(&list);
	settings_free(&s);
	buf_release(&problems);
}
END_TEST

/* ---- prices ---- */

static int64_t
cost(const char *provider, const char *model, int64_t in, int64_t out)
{
	struct llm_price p = llm_price_of(provider, model);

	return llm_price_cost(&p, in, out);
}

START_TEST(test_price)
{
	ck_assert_int_eq(cost("openai", "gpt-4o", 1000000, 0), 2500000);
	ck_assert_int_eq(cost("openai", "gpt-4o", 0, 1000000), 10000000);
	ck_assert_int_eq(cost("openai", "gpt-4o", 1000, 100), 3500);
	/* Rounded up: 0.15 + 0.6 */
	ck_assert_int_eq(cost("openai", "gpt-4o-mini", 1, 1), 1);
	ck_assert_int_eq(cost("openai", "gpt-4o-mini", 0, 0), 0);
	/* A dated version, but not another model that begins alike. */
	ck_assert_int_eq(
	    cost("openai", "gpt-4o-2024-08-06", 1000000, 0), 2500000);
	ck_assert_int_eq(cost("openai", "gpt-4o-audio", 1, 1), -1);
	ck_assert_int_eq(cost("openai", "gpt-4ox", 1, 1), -1);
	ck_assert_int_eq(cost("mistral", "gpt-4o", 1, 1), -1);
	ck_assert_int_eq(cost("ollama", "whatever", 5000, 5000), 0);
	ck_assert_int_eq(cost("openai", "gpt-4o", -1, 5), -1);
	ck_assert_int_eq(cost("openai", "gpt-4o", INT64_MAX, 5), -1);
}
END_TEST

START_TEST(test_price_override)
{
	struct llm_price p;
	struct err_info info = {0};
	static const char list[] =
	    "openai/gpt-4o=1/2, xai/grok-4.2=3/15 ,vllm/a/b=0.5/0.25";

	ck_assert_int_eq(
	    llm_price_override(arena, list, "xai", "grok-4.2", &p, &info),
	    ERR_OK);
	ck_assert(p.is_known && p.in == 3000000 && p.out == 15000000);
	ck_assert_int_eq(
	    llm_price_override(arena, list, "vllm", "a/b", &p, &info), ERR_OK);
	ck_assert(p.is_known && p.in == 500000 && p.out == 250000);
	ck_assert_int_eq(
	    llm_price_override(arena, list, "vllm", "c", &p, &info), ERR_OK);
	ck_assert(!p.is_known);
	ck_assert_int_eq(
	    llm_price_override(arena, "", "vllm", "c", &p, &info), ERR_OK);
}
END_TEST

START_TEST(test_bad_price)
{
	static const char *const bad[] = {"x", "x/y", "x/y=", "x/y=1", "x/y=1/",
	    "x/y=a/b", "x/y=1/2/3", "x/y=-1/2", "x/y=1/101", "x/y=1/nan"};
	struct llm_price p;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err_info info = {0};
		ck_assert_msg(llm_price_override(arena, bad[i], "x", "y", &p,
				  &info) == ERR_INVALID,
		    "%s", bad[i]);
		ck_assert_str_eq(info.field, "ARAGORA_LLM_PRICES");
	}
}
END_TEST

/* ---- addresses ---- */

static const struct {
	const char *address;
	enum llm_reach reach;
} reaches[] = {
    {"127.0.0.1", LLM_REACH_LOOPBACK},
    {"127.255.255.254", LLM_REACH_LOOPBACK},
    {"0.0.0.0", LLM_REACH_LOOPBACK},
    {"10.0.0.1", LLM_REACH_PRIVATE},
    {"10.255.255.255", LLM_REACH_PRIVATE},
    {"172.16.0.1", LLM_REACH_PRIVATE},
    {"172.31.255.255", LLM_REACH_PRIVATE},
    {"172.32.0.1", LLM_REACH_PUBLIC},
    {"172.15.255.255", LLM_REACH_PUBLIC},
    {"192.168.1.1", LLM_REACH_PRIVATE},
    {"192.169.0.1", LLM_REACH_PUBLIC},
    {"100.64.0.1", LLM_REACH_PRIVATE},
    {"100.127.255.255", LLM_REACH_PRIVATE},
    {"100.128.0.1", LLM_REACH_PUBLIC},
    {"169.254.169.254", LLM_REACH_NEVER},
    {"0.0.0.1", LLM_REACH_NEVER},
    {"224.0.0.1", LLM_REACH_NEVER},
    {"240.0.0.1", LLM_REACH_NEVER},
    {"255.255.255.255", LLM_REACH_NEVER},
    {"8.8.8.8", LLM_REACH_PUBLIC},
    {"::1", LLM_REACH_LOOPBACK},
    {"::", LLM_REACH_LOOPBACK},
    {"::ffff:127.0.0.1", LLM_REACH_LOOPBACK},
    {"::ffff:10.0.0.1", LLM_REACH_PRIVATE},
    {"::ffff:169.254.169.254", LLM_REACH_NEVER},
    {"::ffff:8.8.8.8", LLM_REACH_PUBLIC},
    {"64:ff9b::a9fe:a9fe", LLM_REACH_NEVER},
    {"64:ff9b::7f00:1", LLM_REACH_LOOPBACK},
    {"64:ff9b::a00:1", LLM_REACH_PRIVATE},
    {"fc00::1", LLM_REACH_PRIVATE},
    {"fdff::1", LLM_REACH_PRIVATE},
    {"fd00:ec2::254", LLM_REACH_PRIVATE},
    {"fe80::1", LLM_REACH_NEVER},
    {"ff02::1", LLM_REACH_NEVER},
    {"::127.0.0.1", LLM_REACH_NEVER},
    {"2001:4860:4860::8888", LLM_REACH_PUBLIC},
};

START_TEST(test_reach)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const char *text = reaches[_i].address;
	enum llm_reach reach;

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		reach = llm_url_reach((struct sockaddr *)&v4);
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		reach = llm_url_reach((struct sockaddr *)&v6);
	}
	ck_assert_msg(reach == reaches[_i].reach, "%s: %d", text, (int)reach);
}
END_TEST

static const struct {
	const char *text, *port, *path, *base;
} bases[] = {
    {"https://api.example.org/v1", "", "", "https://api.example.org/v1"},
    {"https://api.example.org/v1/", "", "", "https://api.example.org/v1"},
    {"https://api.example.org", "", "/v1", "https://api.example.org/v1"},
    {"https://api.example.org/v1//", "", "/v1", "https://api.example.org/v1"},
    {"localhost", "11434", "/api", "http://localhost:11434/api"},
    {"localhost:1", "11434", "/api", "http://localhost:1/api"},
    {"[::1]", "11434", "/api", "http://[::1]:11434/api"},
    {"[::1]:7", "11434", "/api", "http://[::1]:7/api"},
    {"http://h", "11434", "/api", "http://h/api"},
};

START_TEST(test_base)
{
	struct err_info info = {0};
	const char *base;

	ck_assert_int_eq(llm_url_base(arena, bases[_i].text, bases[_i].port,
			     bases[_i].path, &base, &info),
	    ERR_OK);
	ck_assert_str_eq(base, bases[_i].base);
}
END_TEST

static const char *const bad_bases[] = {"", "ftp://127.0.0.1/v1",
    "file:///etc/passwd", "gopher://127.0.0.1/", "javascript://x",
    "http://user@127.0.0.1/v1", "https://a:b@example.org/v1",
    "http://127.0.0.1\\@example.org/v1", "http://127.0.0.1 /v1",
    "http://127.0.0.1/v1\r\nX: y", "http:///v1", "http://:80/v1",
    "//127.0.0.1/v1", "http://127.0.0.1/v1?x=1", "http://127.0.0.1/v1#x",
    "http://\xe2\x93\x9bocalhost/v1", "http://a\"b/", "http://a<b>/"};

START_TEST(test_bad_base)
{
	struct err_info info = {0};
	const char *base;

	ck_assert_int_eq(
	    llm_url_base(arena, bad_bases[_i], "", "", &base, &info),
	    ERR_INVALID);
	ck_assert_ptr_null(base);
	ck_assert_ptr_nonnull(strstr(info.text, "base URL"));
}
END_TEST

START_TEST(test_may_be_private)
{
	static const char list[] = "gpu.corp, models.corp";

	ck_assert(llm_url_may_be_private("https://10.0.0.1/v1", ""));
	ck_assert(llm_url_may_be_private("https://[fd00::1]:8/v1", ""));
	ck_assert(llm_url_may_be_private("https://localhost:8/v1", ""));
	ck_assert(llm_url_may_be_private("https://gpu.corp/v1", list));
	ck_assert(llm_url_may_be_private("https://MODELS.corp:1/v1", list));
	ck_assert(!llm_url_may_be_private("https://gpu.corp/v1", ""));
	ck_assert(!llm_url_may_be_private("https://u.corp/v1", list));
	ck_assert(!llm_url_may_be_private("https://gpu.corp.x/v1", list));
	/* An address in disguise was not meant. */
	ck_assert(!llm_url_may_be_private("https://2130706433/v1", ""));
	ck_assert(!llm_url_may_be_private("https://0x7f.1/v1", ""));
	ck_assert(!llm_url_may_be_private("https://127.1/v1", ""));
}
END_TEST

/* What a client may have us call. */
static const struct {
	const char *url;
	enum err any, local; /* without and with private networks */
} foreign[] = {
    {"https://hooks.example.org/a?b=c", ERR_OK, ERR_OK},
    {"http://93.184.216.34:8080/", ERR_OK, ERR_OK},
    {"http://[2606:2800::1]/", ERR_OK, ERR_OK},
    {"http://127.0.0.1/", ERR_DENIED, ERR_OK},
    {"http://LOCALHOST:1/", ERR_DENIED, ERR_OK},
    {"http://[::1]:1/", ERR_DENIED, ERR_OK},
    {"http://0.0.0.0/", ERR_DENIED, ERR_OK},
    {"https://10.1.2.3/", ERR_DENIED, ERR_OK},
    {"http://[fd00::1]/", ERR_DENIED, ERR_OK},
    {"http://[::ffff:10.0.0.1]/", ERR_DENIED, ERR_OK},
    {"http://169.254.169.254/", ERR_DENIED, ERR_DENIED},
    {"http://[fe80::1]/", ERR_DENIED, ERR_DENIED},
    {"ftp://example.org/", ERR_INVALID, ERR_INVALID},
    {"example.org", ERR_INVALID, ERR_INVALID},
    {"http://", ERR_INVALID, ERR_INVALID},
    {"http://:80/", ERR_INVALID, ERR_INVALID},
    {"http://user@example.org/", ERR_INVALID, ERR_INVALID},
    {"http://example.org/a b", ERR_INVALID, ERR_INVALID},
    {"http://example.org/\r\nX: y", ERR_INVALID, ERR_INVALID},
};

START_TEST(test_foreign)
{
	struct err_info info;

	ck_assert_msg(
	    llm_url_foreign(foreign[_i].url, false, &info) == foreign[_i].any,
	    "%s", foreign[_i].url);
	ck_assert_msg(
	    llm_url_foreign(foreign[_i].url, true, &info) == foreign[_i].local,
	    "%s", foreign[_i].url);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_foreign, 0, ARRAY_LEN(foreign));
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_bucket);
	tcase_add_test(t, test_no_limit);
	tcase_add_loop_test(t, test_reset, 0, ARRAY_LEN(resets));
	tcase_add_loop_test(t, test_sync, 0, 2);
	tcase_add_test(t, test_budget);
	tcase_add_test(t, test_pause);
	tcase_add_test(t, test_breaker);
	tcase_add_test(t, test_breaker_metrics);
	tcase_add_test(t, test_price);
	tcase_add_test(t, test_price_override);
	tcase_add_test(t, test_bad_price);
	tcase_add_loop_test(t, test_reach, 0, ARRAY_LEN(reaches));
	tcase_add_loop_test(t, test_base, 0, ARRAY_LEN(bases));
	tcase_add_loop_test(t, test_bad_base, 0, ARRAY_LEN(bad_bases));
	tcase_add_test(t, test_may_be_private);
}

int
main(void)
{
	return check_run("llm_limits", add_tests);
}
