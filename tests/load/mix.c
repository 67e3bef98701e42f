/* SPDX-License-Identifier: MIT */
#include "tests/load/mix.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define MIX_BYTES_MAX (64u << 10)
#define MIX_IDS	      256 /* debates that are remembered */

static const struct mix_row {
	const char *name, *method, *path, *body;
	int weight, status;
	const char *has;
} mix_rows[MIX__COUNT] = {
#define REQUEST(id, name, method, path, body, weight, status, has)             \
	[MIX_##id] = {name, method, path, body, weight, status, has},
#include "tests/load/request.def"
#undef REQUEST
};

struct mix_request {
	struct pool_job job;
	struct list link; /* of mix.open */
	struct mix *mix;
	enum mix_id id;
	char debate[MIX_ID_SIZE]; /* what stood for {id} */
	int64_t due_us;
	struct stats *stage;
};

struct mix {
	struct pool *pool;
	const char *host, *token;
	int64_t timeout_us;
	bool is_on[MIX__COUNT];
	int64_t turn[MIX__COUNT]; /* how much a row is owed */
	char ids[MIX_IDS][MIX_ID_SIZE];
	size_t n_ids, next_id, last_id;
	int64_t number;
	struct list open;
	int64_t n_open;
	struct stats stats[MIX__COUNT];
	struct stats all;
	struct hist *service;
	void (*on_done)(void *arg);
	void *on_done_arg;
};

/* ---- what is asked ---- */

static bool
mix_needs_id(enum mix_id id)
{
	return strstr(mix_rows[id].path, "{id}") != NULL;
}

/* Each row gains its weight, the one that is owed most has its turn and pays
 * for all: no row comes in bursts. */
static enum mix_id
mix_next(struct mix *m)
{
	int64_t sum = 0;
	int best = -1;

	for (int i = 0; i < MIX__COUNT; i++) {
		if (!m->is_on[i] || (mix_needs_id(i) && m->n_ids == 0))
			continue;
		m->turn[i] += mix_rows[i].weight;
		sum += mix_rows[i].weight;
		if (best < 0 || m->turn[i] > m->turn[best])
			best = i;
	}
	m->turn[best] -= sum;
	return best;
}

/* text with {id} and {n} put in. */
static void
mix_fill(struct mix *m, const char *text, const char *id, struct buf *out)
{
	for (const char *at = text; *at != '\0';) {
		if (strncmp(at, "{id}", 4) == 0) {
			buf_puts(out, id);
			at += 4;
		} else if (strncmp(at, "{n}", 3) == 0) {
			buf_printf(out, "%lld", (long long)m->number);
			at += 3;
		} else {
			buf_putc(out, *at++);
		}
	}
}

static void
mix_head(struct mix *m, struct buf *out)
{
	buf_printf(out,
	    " HTTP/1.1\r\nHost: %s\r\nUser-Agent: aragora-loadgen\r\n",
	    m->host);
	if (m->token != NULL)
		buf_printf(out, "Authorization: Bearer %s\r\n", m->token);
}

static void
mix_write_row(struct mix *m, enum mix_id i, const char *id, struct buf *out)
{
	const struct mix_row *row = &mix_rows[i];
	struct buf body;

	m->number++;
	buf_init(&body, MIX_BYTES_MAX);
	mix_fill(m, row->body, id, &body);
	buf_printf(out, "%s ", row->method);
	mix_fill(m, row->path, id, out);
	mix_head(m, out);
	buf_puts(out, "Accept: application/json\r\n");
	if (body.len > 0)
		buf_printf(out,
		    "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n",
		    body.len);
	buf_puts(out, "\r\n");
	buf_append(out, buf_text(&body), body.len);
	buf_release(&body);
}

void
mix_write(struct mix *m, enum mix_id id, struct buf *out)
{
	mix_write_row(m, id, "", out);
}

void
mix_write_get(
    struct mix *m, const char *path, const char *headers, struct buf *out)
{
	buf_printf(out, "GET %s", path);
	mix_head(m, out);
	buf_printf(out, "%s\r\n", headers);
}

/* ---- what comes back ---- */

bool
mix_read_id(const struct pool_answer *a, char *out)
{
	static const char key[] = "\"debate_id\":\"";
	const char *at = strstr(a->body, key);

	if (at == NULL)
		return false;
	at += sizeof(key) - 1;
	size_t n = strcspn(at, "\"");
	/* It goes into paths as it is. */
	if (n == 0 || n >= MIX_ID_SIZE || strcspn(at, " \\/?#\r\n") < n)
		return false;
	memcpy(out, at, n);
	out[n] = '\0';
	return true;
}

static bool
mix_body_is_right(const struct mix_request *r, const struct pool_answer *a)
{
	struct buf wanted;

	buf_init(&wanted, MIX_BYTES_MAX);
	mix_fill(r->mix, mix_rows[r->id].has, r->debate, &wanted);
	bool is_right = strstr(a->body, buf_text(&wanted)) != NULL;
	buf_release(&wanted);
	return is_right;
}

static enum stats_error
mix_judge(const struct mix_request *r, const struct pool_answer *a)
{
	if (a->error != STATS_NONE)
		return a->error;
	if (a->status != mix_rows[r->id].status)
		return STATS_STATUS;
	return mix_body_is_right(r, a) ? STATS_NONE : STATS_BODY;
}

static void
mix_keep_id(struct mix *m, const struct pool_answer *a)
{
	if (!mix_read_id(a, m->ids[m->next_id]))
		return;
	m->next_id = (m->next_id + 1) % MIX_IDS;
	if (m->n_ids < MIX_IDS)
		m->n_ids++;
}

static void
mix_request_free(struct mix_request *r)
{
	list_del(&r->link);
	buf_release(&r->job.bytes);
	free(r);
}

static void
mix_on_answer(struct pool_job *j, const struct pool_answer *a)
{
	struct mix_request *r = CONTAINER_OF(j, struct mix_request, job);
	struct mix *m = r->mix;
	int64_t now_us = clock_mono_us();
	int64_t us = now_us - r->due_us;
	enum stats_error error = mix_judge(r, a);

	stats_count(&m->stats[r->id], a->status, error, us);
	stats_count(&m->all, a->status, error, us);
	stats_count(r->stage, a->status, error, us);
	if (a->status > 0)
		hist_record(m->service, now_us - j->sent_us);
	if (r->id == MIX_CREATE && error == STATS_NONE)
		mix_keep_id(m, a);
	mix_request_free(r);
	m->n_open--;
	if (m->on_done != NULL)
		m->on_done(m->on_done_arg);
}

/* ---- from outside ---- */

void
mix_send(struct mix *m, int64_t due_us, struct stats *stage)
{
	struct mix_request *r = mem_zalloc(sizeof(*r));

	r->mix = m;
	r->id = mix_next(m);
	r->due_us = due_us;
	r->stage = stage;
	if (mix_needs_id(r->id))
		memcpy(r->debate, m->ids[m->last_id++ % m->n_ids],
		    sizeof(r->debate));
	buf_init(&r->job.bytes, MIX_BYTES_MAX);
	mix_write_row(m, r->id, r->debate, &r->job.bytes);
	r->job.is_safe = str_eq(mix_rows[r->id].method, "GET");
	r->job.timeout_us = due_us + m->timeout_us;
	r->job.done = mix_on_answer;
	m->stats[r->id].wanted++;
	m->all.wanted++;
	stage->wanted++;
	list_add_tail(&m->open, &r->link);
	m->n_open++;
	pool_send(m->pool, &r->job);
}

int64_t
mix_open(const struct mix *m)
{
	return m->n_open;
}

void
mix_on_done(struct mix *m, void (*fn)(void *arg), void *arg)
{
	m->on_done = fn;
	m->on_done_arg = arg;
}

bool
mix_has(const struct mix *m, enum mix_id id)
{
	return m->is_on[id];
}

static int
mix_find(const char *name)
{
	for (int i = 0; i < MIX__COUNT; i++)
		if (str_eq(mix_rows[i].name, name))
			return i;
	return MIX__COUNT;
}

static enum err
mix_unknown(const char *name, struct err_info *info)
{
	struct buf names;

	buf_init(&names, 256);
	for (int i = 0; i < MIX__COUNT; i++)
		buf_printf(
		    &names, "%s%s", i == 0 ? "" : ", ", mix_rows[i].name);
	enum err e = err_set(info, ERR_INVALID, "",
	    "no request is called '%.40s'; there are %s", name,
	    buf_text(&names));
	buf_release(&names);
	return e;
}

enum err
mix_only(struct mix *m, const char *names, struct err_info *info)
{
	struct arena *a = arena_new(0);
	size_t n;
	char **parts = str_split(a, names, ',', &n);
	enum err e = ERR_OK;

	memset(m->is_on, 0, sizeof(m->is_on));
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		int id = mix_find(parts[i]);
		if (id == MIX__COUNT)
			e = mix_unknown(parts[i], info);
		else
			m->is_on[id] = true;
	}
	arena_free(&a);
	bool is_possible = false;
	for (int i = 0; i < MIX__COUNT; i++)
		is_possible |= m->is_on[i] && !mix_needs_id(i);
	if (e == ERR_OK && !is_possible)
		e = err_set(info, ERR_INVALID, "",
		    "nothing in '%.40s' can be asked for first", names);
	return e;
}

const char *
mix_name(enum mix_id id)
{
	return mix_rows[id].name;
}

const struct stats *
mix_stats(const struct mix *m, enum mix_id id)
{
	return &m->stats[id];
}

const struct stats *
mix_all(const struct mix *m)
{
	return &m->all;
}

const struct hist *
mix_service(const struct mix *m)
{
	return m->service;
}

struct mix *
mix_new(
    struct pool *pool, const char *host, const char *token, int64_t timeout_us)
{
	struct mix *m = mem_zalloc(sizeof(*m));

	m->pool = pool;
	m->host = host;
	m->token = token;
	m->timeout_us = timeout_us;
	list_init(&m->open);
	stats_init(&m->all);
	m->service = hist_new();
	for (int i = 0; i < MIX__COUNT; i++) {
		m->is_on[i] = true;
		stats_init(&m->stats[i]);
	}
	return m;
}

void
mix_free(struct mix **mix)
{
	struct mix *m = *mix;

	if (m == NULL)
		return;
	list_for_each (it, &m->open)
		mix_request_free(LIST_ENTRY(it, struct mix_request, link));
	stats_release(&m->all);
	hist_free(&m->service);
	for (int i = 0; i < MIX__COUNT; i++)
		stats_release(&m->stats[i]);
	free(m);
	*mix = NULL;
}
