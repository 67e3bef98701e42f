/* SPDX-License-Identifier: MIT
 *
 * What was paid for, a line each: the answers of calls as they come, and what
 * came of each question. A run that goes on takes both up again. Lines of
 * other questions, seeds or protocols are left alone.
 */
#include "cli/eval.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/filelock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#define JOURNAL_MODE	  0600 /* it holds what models said */
#define JOURNAL_BEGINNING "{\"kind\":\""

struct eval_journal {
	int fd;
	char *path;
	bool is_cut; /* a line was not written to its end: no other */
};

enum err
eval_journal_open(
    struct eval_journal **out, const char *path, struct err_info *info)
{
	int fd =
	    open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, JOURNAL_MODE);
	struct stat st;

	if (fd < 0)
		return err_set(info, ERR_IO, path, "%s", strerror(errno));
	/* It is read to its end before anything is written. */
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(info, ERR_INVALID, path, "is not a plain file");
	}
	if (!filelock_take(fd, 0, false)) {
		close(fd);
		return err_set(
		    info, ERR_BUSY, path, "another process writes to it");
	}
	struct eval_journal *j = mem_zalloc(sizeof(*j));
	j->fd = fd;
	j->path = mem_strdup(path);
	*out = j;
	return ERR_OK;
}

void
eval_journal_close(struct eval_journal **journal)
{
	struct eval_journal *j = *journal;

	if (j == NULL)
		return;
	close(j->fd);
	free(j->path);
	free(j);
	*journal = NULL;
}

/* ---- costs ---- */

void
eval_cost_add(struct eval_cost *to, const struct eval_cost *more)
{
	to->calls += more->calls;
	to->requests += more->requests;
	to->tokens_in += more->tokens_in;
	to->tokens_out += more->tokens_out;
	to->udollar += more->udollar;
	to->unpriced += more->unpriced;
	to->proposals += more->proposals;
	to->proposal_tokens += more->proposal_tokens;
}

void
eval_cost_of(
    struct eval_cost *out, enum llm_task task, const struct llm_result *result)
{
	bool is_proposal = task == LLM_PROPOSE;

	*out = (struct eval_cost){.calls = 1,
	    .requests = result->attempts,
	    .tokens_in = result->tokens_in,
	    .tokens_out = result->tokens_out,
	    .udollar = result->cost_udollar >= 0 ? result->cost_udollar : 0,
	    .unpriced = result->cost_udollar < 0,
	    .proposals = is_proposal,
	    .proposal_tokens =
		is_proposal ? result->tokens_in + result->tokens_out : 0};
}

/* ---- writing ---- */

static enum err
journal_append(struct eval_journal *j, struct buf *b)
{
	const char *p = buf_text(b);
	size_t left = b->len;

	if (b->is_overflowed)
		return ERR_TOO_LARGE;
	if (j->is_cut)
		return ERR_IO;
	while (left > 0) {
		ssize_t n = write(j->fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			j->is_cut = true;
			return errno == ENOSPC ? ERR_FULL : ERR_IO;
		}
		p += n;
		left -= (size_t)n;
	}
	return ERR_OK;
}

static void
journal_begin(struct buf *b, struct json_w *w, const char *kind,
    const struct eval_run *run)
{
	buf_init(b, EVAL_LINE_MAX);
	json_w_init(w, b);
	json_w_begin(w, NULL);
	json_w_str(w, "kind", kind);
	json_w_str(w, "key", run->key);
}

static enum err
journal_end(struct eval_journal *j, struct buf *b, struct json_w *w)
{
	json_w_end(w);
	buf_putc(b, '\n');
	enum err e = journal_append(j, b);
	buf_release(b);
	return e;
}

enum err
eval_journal_call(struct eval_journal *j, const struct eval_run *run,
    const char *step_key, enum llm_task task, const struct llm_result *r)
{
	struct buf b;
	struct json_w w;

	if (j == NULL)
		return ERR_OK;
	journal_begin(&b, &w, "call", run);
	json_w_str(&w, "step", step_key);
	json_w_str(&w, "task", llm_task_name(task));
	json_w_str(&w, "error", llm_error_name(r->error));
	json_w_bool(&w, "is_answer", r->error == LLM_ERR_NONE);
	json_w_strn(&w, "text", r->text, r->text_len);
	json_w_bool(&w, "truncated", r->is_truncated);
	json_w_int(&w, "requests", r->attempts);
	json_w_int(&w, "tokens_in", r->tokens_in);
	json_w_int(&w, "tokens_out", r->tokens_out);
	json_w_bool(&w, "estimated", r->is_usage_estimated);
	json_w_int(&w, "cost_udollar", r->cost_udollar);
	json_w_str(&w, "provider", r->provider);
	json_w_str(&w, "model", r->model);
	return journal_end(j, &b, &w);
}

enum err
eval_journal_result(struct eval_journal *j, const struct eval_run *run)
{
	struct buf b;
	struct json_w w;

	if (j == NULL)
		return ERR_OK;
	journal_begin(&b, &w, "result", run);
	json_w_str(&w, "protocol", run->protocol->label);
	json_w_str(&w, "id", run->item->id);
	json_w_str(&w, "domain", run->item->domain);
	json_w_str(&w, "expected", run->item->key.text);
	json_w_str(&w, "answer", run->answer);
	json_w_str(&w, "before", run->before);
	json_w_bool(&w, "reached", run->is_reached);
	json_w_int(&w, "rounds", run->rounds);
	json_w_int(&w, "calls", run->cost.calls);
	json_w_int(&w, "tokens_in", run->cost.tokens_in);
	json_w_int(&w, "tokens_out", run->cost.tokens_out);
	json_w_int(&w, "cost_udollar", run->cost.udollar);
	json_w_int(&w, "unpriced", run->cost.unpriced);
	return journal_end(j, &b, &w);
}

/* ---- reading ---- */

static int
journal_order(const void *key, const void *element)
{
	const struct eval_run *const *run = element;

	return strcmp(key, (*run)->key);
}

static enum llm_task
journal_task(const char *name)
{
	int t = 0;

	while (t < LLM_EMBED && !str_eq(llm_task_name((enum llm_task)t), name))
		t++;
	return (enum llm_task)t;
}

/* Only answers are taken up again; a call that failed has cost what it has
 * cost. */
static void
journal_take_call(struct eval_run *run, const struct json *j)
{
	struct eval_cost cost;
	const struct llm_result result = {
	    .attempts = json_get_int(j, "requests", 0),
	    .tokens_in = json_get_int(j, "tokens_in", 0),
	    .tokens_out = json_get_int(j, "tokens_out", 0),
	    .cost_udollar = json_get_int(j, "cost_udollar", -1)};

	eval_cost_of(&cost, journal_task(json_get_str(j, "task", "")), &result);
	eval_cost_add(&run->cost, &cost);
	if (!json_get_bool(j, "is_answer", false) || run->state == EVAL_DONE)
		return;
	if (run->arena == NULL)
		run->arena = arena_new(0);
	struct eval_record *r = ARENA_NEW(run->arena, struct eval_record);
	r->step_key = arena_strdup(run->arena, json_get_str(j, "step", ""));
	r->result = result;
	r->result.message = "";
	r->result.text = arena_strdup(run->arena, json_get_str(j, "text", ""));
	r->result.text_len = strlen(r->result.text);
	r->result.is_truncated = json_get_bool(j, "truncated", false);
	r->result.is_usage_estimated = json_get_bool(j, "estimated", false);
	r->result.provider =
	    arena_strdup(run->arena, json_get_str(j, "provider", ""));
	r->result.model =
	    arena_strdup(run->arena, json_get_str(j, "model", ""));
	r->next = run->records;
	run->records = r;
}

static void
journal_take_result(struct eval *e, struct eval_run *run, const struct json *j)
{
	run->state = EVAL_DONE;
	run->answer = arena_strdup(e->arena, json_get_str(j, "answer", NULL));
	run->before = arena_strdup(e->arena, json_get_str(j, "before", NULL));
	run->is_reached = json_get_bool(j, "reached", false);
	run->rounds = json_get_int(j, "rounds", 0);
	run->records = NULL; /* they have served */
	arena_free(&run->arena);
}

static enum err
journal_line(struct eval *e, struct eval_run **runs, size_t n, const char *text,
    size_t len, struct err_info *info)
{
	const struct json_limits limits = {.max_bytes = EVAL_LINE_MAX};
	struct arena *a = arena_new(0);
	const struct json *j = NULL;

	enum err err = json_parse(a, text, len, &limits, &j, info);
	const char *kind = json_get_str(j, "kind", "");
	bool is_call = str_eq(kind, "call");
	if (err == ERR_OK && !is_call && !str_eq(kind, "result"))
		err = err_set(info, ERR_INVALID, "kind",
		    "the line was not written by aragora eval");
	struct eval_run **run = err == ERR_OK && n > 0
	    ? bsearch(json_get_str(j, "key", ""), runs, n,
		  sizeof(struct eval_run *), journal_order)
	    : NULL;
	if (run != NULL && is_call)
		journal_take_call(*run, j);
	else if (run != NULL)
		journal_take_result(e, *run, j);
	arena_free(&a);
	return err;
}

/* What stands behind the last line's end was cut off while it was written. */
static enum err
journal_mend(
    struct eval_journal *j, const char *text, off_t at, struct err_info *info)
{
	size_t n = strlen(text);
	size_t begins = strlen(JOURNAL_BEGINNING);

	if (strncmp(text, JOURNAL_BEGINNING, n < begins ? n : begins) != 0)
		return err_set(info, ERR_INVALID, "",
		    "the last line was not written by aragora eval");
	if (ftruncate(j->fd, at) != 0)
		return err_set(info, ERR_IO, "", "%s", strerror(errno));
	return ERR_OK;
}

enum err
eval_journal_read(struct eval_journal *j, struct eval *e,
    struct eval_run **runs, size_t n, struct err_info *info)
{
	FILE *f = j != NULL ? fopen(j->path, "re") : NULL;
	char *line = NULL;
	size_t cap = 0;
	off_t at = 0;
	int64_t number = 0;
	enum err err = ERR_OK;

	if (j == NULL)
		return ERR_OK;
	if (f == NULL)
		return err_set(info, ERR_IO, j->path, "%s", strerror(errno));
	for (ssize_t len; err == ERR_OK && (len = getline(&line, &cap, f)) >= 0;
	     at += len) {
		number++;
		err = line[len - 1] == '\n'
		    ? journal_line(e, runs, n, line, (size_t)len - 1, info)
		    : journal_mend(j, line, at, info);
	}
	if (err == ERR_OK && ferror(f) != 0)
		err = err_set(info, ERR_IO, "", "%s", strerror(errno));
	if (err != ERR_OK) {
		char text[sizeof(info->text)];
		snprintf(text, sizeof(text), "%s", info->text);
		err_set(info, err, j->path, "line %lld: %.240s",
		    (long long)number, text);
	}
	free(line);
	fclose(f);
	return err;
}
