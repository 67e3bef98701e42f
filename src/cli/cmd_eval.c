/* SPDX-License-Identifier: MIT
 *
 * aragora eval: which way of deciding is right how often, and at what cost.
 */
#include <getopt.h>
#include <stdlib.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "cli/eval.h"

#define EVAL_JOBS     16
#define EVAL_JOBS_MAX 1000

struct eval_options {
	const char *file, *protocols, *samples, *out;
	bool is_json;
};

/* false after it was said what is wrong. */
static bool
eval_number_option(
    const char *name, const char *text, int64_t min, int64_t max, int64_t *out)
{
	if (str_to_i64(text, min, max, out) == ERR_OK)
		return true;
	cmd_usage(&cmd_eval, "--%s must be an integer from %lld to %lld", name,
	    (long long)min, (long long)max);
	return false;
}

static bool
eval_options(int argc, char **argv, struct eval_options *o, struct eval *e)
{
	static const struct option longs[] = {
	    {"protocols", required_argument, NULL, 'p'},
	    {"agents", required_argument, NULL, 'a'},
	    {"samples", required_argument, NULL, 's'},
	    {"seed", required_argument, NULL, 'S'},
	    {"jobs", required_argument, NULL, 'n'},
	    {"out", required_argument, NULL, 'o'},
	    {"json", no_argument, NULL, 'j'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	bool is_good = true;

	for (int c;
	     is_good && (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'p')
			o->protocols = optarg;
		else if (c == 'a')
			e->agents = optarg;
		else if (c == 's')
			o->samples = optarg;
		else if (c == 'S')
			is_good = eval_number_option(
			    "seed", optarg, 0, INT64_MAX, &e->seed);
		else if (c == 'n')
			is_good = eval_number_option(
			    "jobs", optarg, 1, EVAL_JOBS_MAX, &e->jobs);
		else if (c == 'o')
			o->out = optarg;
		else if (c == 'j')
			o->is_json = true;
		else if (c == 'h') {
			cmd_print_help(&cmd_eval, stdout);
			exit(CMD_OK);
		} else if (!cmd_common(c, optarg)) {
			cmd_usage(&cmd_eval, "bad option");
			is_good = false;
		}
	}
	if (!is_good)
		return false;
	if (optind + 1 != argc || o->protocols == NULL) {
		cmd_usage(&cmd_eval, "expected FILE.jsonl and --protocols");
		return false;
	}
	o->file = argv[optind];
	return true;
}

static enum cmd_exit
eval_prepare(struct eval *e, const struct eval_options *o)
{
	struct err_info info = {0};
	enum err err = eval_items_read(e, o->file);

	if (err != ERR_OK)
		return err == ERR_IO ? CMD_UNAVAILABLE : CMD_USAGE;
	if (eval_plan_read(e, o->protocols, o->samples, &info) != ERR_OK)
		return cmd_usage(&cmd_eval, "%s: %s", info.field, info.text);
	if (eval_plan_check(e) != ERR_OK)
		return CMD_USAGE;
	if (o->out == NULL)
		return CMD_OK;
	err = eval_journal_open(&e->journal, o->out, &info);
	return err == ERR_OK ? CMD_OK
			     : cmd_fail(CMD_UNAVAILABLE, "eval", &info);
}

static enum cmd_exit
eval_finish(struct eval *e, const struct eval_options *o)
{
	struct err_info info = {0};
	bool is_complete = true;
	enum err err = eval_run(e, &info);

	if (err == ERR_INVALID || err == ERR_SYNTAX)
		return cmd_fail(CMD_USAGE, "eval", &info);
	if (err != ERR_OK)
		cmd_fail(CMD_UNAVAILABLE, "eval", &info);
	eval_report(e, o->is_json);
	for (size_t i = 0; i < e->n_runs; i++)
		is_complete = is_complete && e->runs[i].state == EVAL_DONE;
	if (err != ERR_OK)
		return CMD_UNAVAILABLE;
	return is_complete ? CMD_OK : CMD_NOT_DONE;
}

static enum cmd_exit
eval_command(int argc, char **argv)
{
	struct eval e = {.jobs = EVAL_JOBS};
	struct eval_options o = {0};

	if (!eval_options(argc, argv, &o, &e))
		return CMD_USAGE;
	struct settings *settings = settings_start("aragora");
	e.settings = settings;
	e.arena = arena_new(0);
	enum cmd_exit code = eval_prepare(&e, &o);
	if (code == CMD_OK)
		code = eval_finish(&e, &o);
	eval_journal_close(&e.journal);
	free(e.runs);
	free(e.items);
	arena_free(&e.arena);
	settings_free(&settings);
	return code;
}

const struct cmd cmd_eval = {
    .name = "eval",
    .args = "FILE.jsonl --protocols LIST [--agents A,B,C] [--out FILE]",
    .summary = "Compare protocols on questions whose answers are known.",
    .help =
	"  --protocols LIST   of single, self_consistency, council, moa, "
	"debate,\n"
	"                     debate_judge, cascade; each may go on with\n"
	"                     :KEY=VALUE (rounds, topology, consensus, ...)\n"
	"  --agents LIST      who sits there, as in `aragora debate`\n"
	"  --samples N        answers that self_consistency counts, or the "
	"name\n"
	"                     of another of the protocols: as many as cost "
	"the\n"
	"                     same tokens\n"
	"  --seed N           of everything that is drawn by lot (0)\n"
	"  --jobs N           calls under way at once (16)\n"
	"  --out FILE         keep each answer and result there, and go on "
	"from\n"
	"                     what is there: nothing is paid for twice\n"
	"  --json             the report as JSON\n" CMD_COMMON_HELP
	"\nA line of FILE.jsonl is {\"id\", \"question\", \"answer\"} and may "
	"have "
	"\"choices\"\nand \"domain\". No database is used. Ctrl-C waits for "
	"the "
	"calls under way and\nreports what is finished.\n\n"
	"  aragora eval questions.jsonl --protocols "
	"single,self_consistency,debate \\\n"
	"      --agents openai-api,anthropic-api,gemini --samples debate "
	"--out eval.jsonl\n",
    .run = eval_command,
};
