/* SPDX-License-Identifier: MIT
 *
 * What a debate in hand holds: five seats, three rounds, answers of ordinary
 * length. The figures bound what a runner needs for thousands of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "debate/debate.h"
#include "tests/unit/check_run.h"
#include "tests/unit/engine_kit.h"

#define SEATS  5
#define ROUNDS 3
#define ANSWER 400 /* bytes of a position */
/* Of a debate, between two answers: when the longest phase begins, and ever. */
#define WAITING_MOST 30000
#define PHASE_MOST   60000

static const char position[] = "Position: take the smaller step first. ";
static const char critique[] =
    "{\"issues\":[\"The measurement is not described.\",\"Who pays, and when, "
    "stays open.\"],\"suggestions\":[\"Name the measurement and its "
    "date.\"],\"severity\":4,\"fatal\":false,\"quote\":\"Position: take the "
    "smaller step first.\"}";
static const char ballot[] =
    "{\"choice\":\"Proposal A\",\"confidence\":0.7,\"reasoning\":\"It states "
    "its costs.\",\"continue_debate\":true}";

static const char *
said(struct arena *a, const struct debate_call *call)
{
	struct buf b;

	if (call->request.task == LLM_CRITIQUE)
		return critique;
	if (call->request.task == LLM_VOTE)
		return ballot;
	buf_init(&b, 2 * ANSWER);
	while (b.len < ANSWER)
		buf_puts(&b, position);
	const char *text = arena_printf(a, "%s\nCONFIDENCE: 0.7", buf_text(&b));
	buf_release(&b);
	return text;
}

static const char *
config_text(struct arena *a)
{
	struct buf b;

	buf_init(&b, 1u << 16);
	buf_puts(&b, "{\"task\":\"Tea or coffee?\",\"context\":\"\",");
	buf_printf(&b,
	    "\"rounds\":%d,\"consensus\":\"majority\",\"threshold_ppm\":"
	    "600000,\"early_stopping\":false,\"seed\":1,\"max_tokens\":1024,"
	    "\"metadata\":{},\"tags\":[],\"domain\":\"general\",\"agents\":[",
	    ROUNDS);
	for (int i = 0; i < SEATS; i++)
		buf_printf(&b, "%s{\"type\":\"demo\",\"name\":\"demo_%d\"}",
		    i > 0 ? "," : "", i + 1);
	buf_puts(&b, "]}");
	const char *text = arena_strdup(a, buf_text(&b));
	buf_release(&b);
	return text;
}

START_TEST(test_debate)
{
	struct arena *a = arena_new(0);
	struct world w;
	struct debate *d = NULL;
	struct debate_output out;
	struct queue *q = mem_zalloc(sizeof(*q));
	size_t most[DEBATE_PHASE__COUNT] = {0};
	size_t waiting = 0;

	world_init(&w, config_text(a));
	ck_assert_int_eq(
	    debate_restore(&d, &w.row, NULL, 0, NOW, NULL), ERR_OK);
	debate_start(d, NOW, &out);
	queue_take(q, &out);
	while (!out.is_done) {
		enum debate_phase phase = debate_phase(d);
		ck_assert_uint_gt(q->n, 0);
		struct debate_call call = q->calls[--q->n];
		const struct llm_result r = {.message = "",
		    .text = said(a, &call),
		    .text_len = strlen(said(a, &call))};
		debate_result(d, call.step_key, &r, NOW, &out);
		queue_take(q, &out);
		debate_output_drop(d);
		if (debate_memory(d) > most[phase])
			most[phase] = debate_memory(d);
		/* Twenty calls are about to begin. */
		if (debate_phase(d) == DEBATE_CRITIQUE &&
		    phase != DEBATE_CRITIQUE && debate_memory(d) > waiting)
			waiting = debate_memory(d);
	}
	for (int p = 0; p < DEBATE_PHASE__COUNT; p++) {
		const char *name = debate_phase_name((enum debate_phase)p);
		if (most[p] > 0)
			printf("%s: at most %zu bytes\n", name, most[p]);
		ck_assert_msg(most[p] <= PHASE_MOST, "%s: %zu", name, most[p]);
	}
	ck_assert_uint_le(waiting, WAITING_MOST);
	debate_free(&d);
	free(q);
	arena_free(&w.a);
	arena_free(&a);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_debate);
}

int
main(void)
{
	return check_run("footprint", add_tests);
}
