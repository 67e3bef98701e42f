/* SPDX-License-Identifier: MIT */
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"

#define SHOW_WIDTH_MIN	   40
#define SHOW_WIDTH_DEFAULT 80
#define SHOW_WIDTH_MAX	   100

#define SHOW_BOLD  "1"
#define SHOW_DIM   "2"
#define SHOW_GREEN "32"
#define SHOW_BLUE  "34"
#define SHOW_AMBER "33"

void
show_init(struct show *s, FILE *to)
{
	struct winsize w;
	const char *term = getenv("TERM");
	bool is_tty = isatty(fileno(to)) != 0;
	bool is_live = is_tty && !str_is_empty(term) && !str_eq(term, "dumb");

	*s = (struct show){.to = to,
	    .is_live = is_live,
	    .is_color = is_live && str_is_empty(getenv("NO_COLOR")),
	    .width = SHOW_WIDTH_DEFAULT};
	if (is_tty && ioctl(fileno(to), TIOCGWINSZ, &w) == 0 &&
	    w.ws_col >= SHOW_WIDTH_MIN)
		s->width =
		    w.ws_col < SHOW_WIDTH_MAX ? w.ws_col : SHOW_WIDTH_MAX;
}

static void
show_style(struct show *s, const char *style)
{
	if (s->is_color)
		fprintf(s->to, "\x1b[%sm", style);
}

/* Models' text is hostile to terminals: control characters are dropped, those
 * of 8 bits (U+0080 to U+009F) as well. */
static void
show_word(struct show *s, const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)word[i];
		unsigned char next =
		    i + 1 < len ? (unsigned char)word[i + 1] : 0;
		if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			i++;
		else if (c >= 0x20 && c != 0x7f)
			putc(word[i], s->to);
	}
}

void
show_status(struct show *s, const char *text)
{
	if (!s->is_live || (*text == '\0' && !s->has_status))
		return;
	fputs("\r\x1b[2K", s->to);
	s->has_status = *text != '\0';
	if (s->has_status) {
		/* A line that wraps could not be taken back. */
		size_t len = str_utf8_cut(text, strlen(text), s->width - 3);
		show_style(s, SHOW_DIM);
		fputs("  ", s->to);
		show_word(s, text, len);
		show_style(s, "0");
	}
	fflush(s->to);
}

/* Wrapped and indented. */
static void
show_text(struct show *s, const char *text, size_t indent)
{
	size_t column = 0;

	while (*text != '\0') {
		if (*text == '\n') {
			putc('\n', s->to);
			column = 0;
			text++;
			continue;
		}
		size_t space = strspn(text, " \t\r");
		text += space;
		size_t len = strcspn(text, " \t\r\n");
		if (len == 0)
			continue;
		size_t chars = str_utf8_count(text, len);
		if (column > 0 && column + 1 + chars > s->width) {
			putc('\n', s->to);
			column = 0;
		}
		if (column == 0) {
			fprintf(s->to, "%*s", (int)indent, "");
			column = indent;
		} else if (space > 0) {
			putc(' ', s->to);
			column++;
		}
		show_word(s, text, len);
		column += chars;
		text += len;
	}
	if (column > 0)
		putc('\n', s->to);
}

static void
show_heading(struct show *s, const char *style, const char *text)
{
	show_style(s, SHOW_BOLD);
	show_style(s, style);
	show_word(s, text, strlen(text));
	show_style(s, "0");
	putc('\n', s->to);
}

static void
show_line(
    struct show *s, const char *style, const char *left, const char *right)
{
	show_style(s, style);
	fputs("  ", s->to);
	show_word(s, left, strlen(left));
	show_style(s, "0");
	show_style(s, SHOW_DIM);
	show_word(s, right, strlen(right));
	show_style(s, "0");
	putc('\n', s->to);
}

static void
show_start(struct show *s, const struct json *d, struct arena *a)
{
	const struct json *agents = json_get(d, "agents");
	const char *names = "";

	for (size_t i = 0; i < json_len(agents); i++)
		names = arena_printf(a, "%s%s%s", names, i > 0 ? ", " : "",
		    json_str(json_at(agents, i), NULL));
	show_heading(s, "0", json_get_str(d, "task", ""));
	show_line(s, SHOW_DIM, names,
	    arena_printf(a, "  %lld rounds, decided by %s",
		(long long)json_get_int(d, "total_rounds", 0),
		json_get_str(d, "consensus", "judge")));
}

static void
show_critique(struct show *s, const struct json *d, struct arena *a)
{
	show_line(s, SHOW_AMBER,
	    arena_printf(a, "%s -> %s", json_get_str(d, "critic", "?"),
		json_get_str(d, "target", "?")),
	    arena_printf(
		a, "  severity %.0f/10", json_get_num(d, "severity", 0)));
	show_text(s, json_get_str(d, "content", ""), 4);
}

static void
show_revision(
    struct show *s, const char *agent, const struct json *d, struct arena *a)
{
	bool is_changed = json_get_bool(d, "changed", true);

	show_line(s, is_changed ? SHOW_GREEN : SHOW_BLUE,
	    arena_printf(a, "%s %s", agent,
		is_changed ? "changed its mind" : "keeps its position"),
	    arena_printf(
		a, "  confidence %.2f", json_get_num(d, "confidence", 0)));
	show_text(s, json_get_str(d, "why", ""), 4);
	if (is_changed)
		show_text(s, json_get_str(d, "content", ""), 4);
}

static void
show_vote(
    struct show *s, const char *agent, const struct json *d, struct arena *a)
{
	const char *choice = json_get_str(d, "choice", "");

	show_line(s, SHOW_BLUE,
	    *choice != '\0' ? arena_printf(a, "%s votes for %s", agent, choice)
			    : arena_printf(a, "%s abstains", agent),
	    arena_printf(
		a, "  confidence %.2f", json_get_num(d, "confidence", 0)));
	show_text(s, json_get_str(d, "reasoning", ""), 4);
}

static void
show_end(struct show *s, const struct json *d, struct arena *a)
{
	const struct json *debate = json_get(d, "debate");
	const struct json *c = json_get(debate, "consensus");
	const struct json *dissent = json_get(c, "dissent");
	const char *status = json_get_str(d, "status", "");

	putc('\n', s->to);
	if (!str_eq(status, "completed")) {
		show_heading(s, SHOW_AMBER,
		    arena_printf(a, "Debate %s: %s", status,
			json_get_str(d, "reason", "no reason given")));
		return;
	}
	show_heading(s, SHOW_GREEN, "Answer");
	show_text(s, json_get_str(d, "result", ""), 2);
	putc('\n', s->to);
	show_heading(s, "0",
	    arena_printf(a, "Confidence %.2f, agreement %.2f, %s (%s)",
		json_get_num(d, "confidence", 0),
		json_get_num(c, "agreement", 0),
		json_get_bool(d, "consensus_reached", false)
		    ? "consensus reached"
		    : "no consensus",
		json_get_str(c, "method", "")));
	show_heading(s, "0", json_len(dissent) > 0 ? "Dissent" : "No dissent");
	for (size_t i = 0; i < json_len(dissent); i++)
		show_text(s, json_str(json_at(dissent, i), NULL), 2);
}

void
show_event(struct show *s, const struct store_event *e, const struct json *d)
{
	struct arena *a = arena_new(0);
	const char *agent = e->agent != NULL ? e->agent : "";

	show_status(s, "");
	if (str_eq(e->type, "debate_start")) {
		show_start(s, d, a);
	} else if (str_eq(e->type, "round_start")) {
		putc('\n', s->to);
		show_heading(s, SHOW_BLUE,
		    arena_printf(a, "Round %lld of %lld", (long long)e->round,
			(long long)json_get_int(d, "total_rounds", 0)));
	} else if (str_eq(e->type, "phase_change")) {
		show_line(s, SHOW_DIM,
		    arena_printf(a, "[%s]", json_get_str(d, "phase", "")), "");
	} else if (str_eq(e->type, "agent_message")) {
		show_line(s, SHOW_BLUE,
		    arena_printf(a, "%s %s", agent,
			str_eq(json_get_str(d, "role", ""), "judge")
			    ? "judges"
			    : "proposes"),
		    arena_printf(a, "  confidence %.2f",
			json_get_num(d, "confidence", 0)));
		show_text(s, json_get_str(d, "content", ""), 4);
	} else if (str_eq(e->type, "critique")) {
		show_critique(s, d, a);
	} else if (str_eq(e->type, "revision")) {
		show_revision(s, agent, d, a);
	} else if (str_eq(e->type, "vote")) {
		show_vote(s, agent, d, a);
	} else if (str_eq(e->type, "agent_error")) {
		show_line(s, SHOW_AMBER, arena_printf(a, "%s failed: ", agent),
		    json_get_str(d, "message", ""));
	} else if (str_eq(e->type, "debate_end")) {
		show_end(s, d, a);
	}
	fflush(s->to);
	arena_free(&a);
}
