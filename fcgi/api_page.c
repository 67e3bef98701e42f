/* SPDX-License-Identifier: MIT */
#include "fcgi/api_page.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/html.h"
#include "base/mem.h"
#include "base/str.h"
#include "fcgi/api_example.h"
#include "fcgi/handler.h"
#include "fcgi/routes.h"
#include "fcgi/schemas.h"
#include "settings/settings.h"

#define PAGE_MAX     ((size_t)16 << 20)
#define PAGE_POLICY  256
#define PAGE_EXAMPLE ((size_t)64 << 10)

struct api_page {
	struct buf html;
	char policy[PAGE_POLICY];
};

/* What making it needs. */
struct page {
	struct buf *out;
	struct arena *arena;
	const struct settings *settings;
};

static const char page_style[] =
    ":root{color-scheme:light dark;--bg:#f6f5f1;--card:#fff;--ink:#1c2128;"
    "--soft:#59636e;--line:#dcd9d1;--accent:#2b5c8c;--tint:#eef2f6}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1c2127;"
    "--ink:#e6e8ea;--soft:#9ba6b1;--line:#343b43;--accent:#82b3e4;"
    "--tint:#222a32}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);"
    "font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "a{color:var(--accent);text-decoration:none}a:hover{text-decoration:"
    "underline}"
    ":target{outline:2px solid var(--accent);outline-offset:4px}"
    "nav{padding:1rem;font-size:.8rem;max-height:40vh;overflow:auto}nav "
    "ul{list-style:none;margin:0;"
    "padding:0 0 0 .5rem}summary{cursor:pointer;font-weight:600;"
    "padding:.15rem 0}"
    "main{padding:1rem 1.25rem 4rem;min-width:0;max-width:64rem}"
    "section{background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;padding:.1rem 1rem 1rem;margin:1rem 0;"
    "overflow-x:auto}"
    "h2{margin:2.5rem 0 0}h3{margin:.7rem 0 .3rem;font-size:1.05rem}"
    "h3 a{color:inherit}p{margin:.4rem 0}"
    "code,pre{font:.875em/1.5 ui-monospace,monospace}"
    "pre{background:var(--tint);border-radius:.3rem;padding:.5rem .75rem;"
    "margin:.6rem 0 0;white-space:pre-wrap}"
    ".soft{color:var(--soft);font-size:.875rem}"
    ".verb{display:inline-block;min-width:3.6rem;color:var(--accent);"
    "font:700 .8em ui-monospace,monospace}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem "
    "0}th,td{overflow-wrap:break-word;text-align:left;vertical-align:top;"
    "padding:.25rem .75rem .25rem "
    "0;border-top:1px solid var(--line)}th{color:var(--soft);border:0;"
    "font-weight:600}td:last-child{width:50%}"
    "@media(min-width:60rem){body{display:grid;"
    "grid-template-columns:22rem "
    "1fr}nav{position:sticky;top:0;height:100vh;max-height:none;"
    "border-right:1px solid var(--line)}}";

/* The media types of texts are not for linking; schemas are. */
static void
page_shape(struct page *p, const char *shape)
{
	const char *text = route_text_type(shape);

	if (text != NULL)
		buf_printf(p->out, "<code>%s</code>", text);
	else
		buf_printf(
		    p->out, "<a href=\"#schema-%s\">%s</a>", shape, shape);
}

/* A type word of schemas.def, its schema linked. */
static void
page_type(struct page *p, const struct schema_row *f)
{
	size_t len = strcspn(f->type, "[");
	const char *word = arena_strndup(p->arena, f->type, len);

	if (word[0] == '#')
		page_shape(p, word + 1);
	else
		html_escape(p->out, word);
	buf_puts(p->out, f->type + len);
	if ((f->flags & SCHEMA_NULL) != 0)
		buf_puts(p->out, " or null");
}

/* "a|b|" is "a, b". */
static const char *
page_choices(struct page *p, const char *choices)
{
	size_t n;
	char **words = str_split(p->arena, choices, '|', &n);
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_printf(
		    p->arena, "%s%s%s", text, i == 0 ? "" : ", ", words[i]);
	return text;
}

static const char *
page_input(struct page *p, const struct input *row)
{
	long long min = (long long)row->min;

	switch (row->kind) {
	case INPUT_TEXT:
		return arena_printf(p->arena, "string, at most %lld bytes",
		    (long long)row->max);
	case INPUT_INT:
		return arena_printf(p->arena, "integer from %lld", min);
	case INPUT_PAGE:
		return arena_printf(p->arena,
		    "integer from 1 to %lld, else %lld",
		    (long long)input_max(row, p->settings),
		    (long long)input_fallback(row, p->settings));
	case INPUT_OFFSET:
		return "integer from 0, else 0";
	case INPUT_BOOL:
		return "boolean";
	case INPUT_TIME:
		return "time (ISO 8601)";
	case INPUT_SHARE:
		return "number from 0 to 1";
	case INPUT_CHOICE:
		break;
	}
	return page_choices(p, row->choices);
}

static void
page_row(struct page *p, const char *name, bool is_required, const char *where,
    const char *type, const char *help)
{
	buf_puts(p->out, "<tr><td><code>");
	html_escape(p->out, name);
	buf_printf(p->out, "</code></td><td>%s%s</td><td>", where,
	    is_required ? ", needed" : "");
	html_escape(p->out, type);
	buf_puts(p->out, "</td><td>");
	html_escape(p->out, help);
	buf_puts(p->out, "</td></tr>\n");
}

static void
page_parameters(struct page *p, size_t index)
{
	const struct input_list *inputs = handler_at(index)->inputs;
	const char *at = strchr(route_at(index)->pattern, '{');

	if (at == NULL && inputs->n == 0)
		return;
	buf_puts(p->out,
	    "<table>\n<tr><th>Parameter</th><th>In</th><th>Type</th>"
	    "<th>Meaning</th></tr>\n");
	for (; at != NULL; at = strchr(at + 1, '{'))
		page_row(p,
		    arena_strndup(p->arena, at + 1, strcspn(at + 1, "}")), true,
		    "path", "string", "");
	for (size_t i = 0; i < inputs->n; i++) {
		const struct input *row = &inputs->rows[i];
		page_row(p, row->key, row->is_required, "query",
		    page_input(p, row), row->help);
	}
	buf_puts(p->out, "</table>\n");
}

static void
page_shapes(struct page *p, const struct route *r)
{
	const struct route_also *also = route_also(r);

	buf_puts(p->out, "<p>");
	if (*r->body != '\0') {
		buf_puts(p->out, "Body: ");
		page_shape(p, r->body);
		buf_printf(p->out, ", at most %zu bytes. ", r->max_body);
	}
	buf_printf(p->out, "Answer: %d ", (int)r->status);
	page_shape(p, r->answer);
	if (also != NULL) {
		buf_printf(p->out, ", or %d ", (int)also->status);
		page_shape(p, also->answer);
	}
	buf_puts(p->out, "; failures: ");
	page_shape(p, "Error");
	buf_puts(p->out, ".</p>\n");
}

static void
page_example(struct page *p, size_t index)
{
	struct buf line;

	buf_init(&line, PAGE_EXAMPLE);
	api_example(&line, p->arena, index);
	buf_puts(p->out, "<pre>");
	html_escape(p->out, buf_text(&line));
	buf_puts(p->out, "</pre>\n");
	buf_release(&line);
}

static void
page_verb(struct page *p, const struct route *r)
{
	buf_printf(p->out,
	    "<a href=\"#%s\"><span class=\"verb\">%s</span> <code>",
	    r->operation_id, http_method_name(r->method));
	html_escape(p->out, r->pattern);
	buf_puts(p->out, "</code></a>");
}

static void
page_operation(struct page *p, size_t index)
{
	const struct route *r = route_at(index);
	bool has_caller = r->auth == ROUTE_USER || r->auth == ROUTE_PUBLIC ||
	    r->auth == ROUTE_KNOWN;

	buf_printf(p->out, "<section id=\"%s\">\n<h3>", r->operation_id);
	page_verb(p, r);
	buf_puts(p->out, "</h3>\n");
	html_element(p->out, "p", r->summary);
	buf_printf(p->out,
	    "<p class=\"soft\">%s \xc2\xb7 credential: %s%s%s \xc2\xb7 rate: "
	    "%s%s</p>\n",
	    r->operation_id, route_auth_name(r->auth),
	    has_caller ? ", at least " : "",
	    has_caller ? role_level_name(route_needs(r)) : "",
	    route_rate_name(r->rate),
	    route_is_analytic(r) ? " \xc2\xb7 may come from a read replica"
				 : "");
	page_parameters(p, index);
	page_shapes(p, r);
	page_example(p, index);
	buf_puts(p->out, "</section>\n");
}

static void
page_contents(struct page *p)
{
	buf_puts(p->out, "<nav>\n");
	for (size_t i = 0; i < route_tag_count(); i++) {
		const char *tag = route_tag_at(i)->name;
		buf_printf(p->out,
		    "<details open><summary><a href=\"#tag-%s\">%s</a>"
		    "</summary>\n<ul>\n",
		    tag, tag);
		for (size_t j = 0; j < route_count(); j++) {
			if (!str_eq(route_at(j)->tag, tag))
				continue;
			buf_puts(p->out, "<li>");
			page_verb(p, route_at(j));
			buf_puts(p->out, "</li>\n");
		}
		buf_puts(p->out, "</ul>\n</details>\n");
	}
	buf_puts(p->out,
	    "<details><summary><a href=\"#schemas\">schemas</a>"
	    "</summary>\n<ul>\n");
	for (const struct schema_row *s = schema_first(); s != NULL;
	     s = schema_next(s))
		buf_printf(p->out, "<li><a href=\"#schema-%s\">%s</a></li>\n",
		    s->key, s->key);
	buf_puts(p->out, "</ul>\n</details>\n</nav>\n");
}

static void
page_intro(struct page *p)
{
	html_element(p->out, "h1", "Aragora API " PACKAGE_VERSION);
	buf_puts(p->out,
	    "<p>Debates between language models. Every <code>/api</code> path "
	    "is also reached under <code>/api/v1</code> and "
	    "<code>/api/v2</code>. The same for programs: <a href=\"");
	html_escape(p->out, p->settings->url_prefix);
	buf_puts(p->out,
	    "/api/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>\n"
	    "<p>Credential: open = nobody looks at one; public = none is "
	    "needed, a bad one is refused; user = needed where the server "
	    "asks for one; known = always needed; metrics = the token of "
	    "ARAGORA_METRICS_TOKEN, if that is set. Rate: the bucket that a "
	    "request counts in.</p>\n<p>In the examples:</p>\n<pre>"
	    "ARAGORA=https://aragora.example");
	html_escape(p->out, p->settings->url_prefix);
	buf_puts(p->out, "\nTOKEN=your-token</pre>\n");
}

static void
page_operations(struct page *p)
{
	for (size_t i = 0; i < route_tag_count(); i++) {
		const struct route_tag *tag = route_tag_at(i);
		buf_printf(p->out, "<h2 id=\"tag-%s\">%s</h2>\n", tag->name,
		    tag->name);
		html_element(p->out, "p", tag->help);
		for (size_t j = 0; j < route_count(); j++)
			if (str_eq(route_at(j)->tag, tag->name))
				page_operation(p, j);
	}
}

static void
page_schema(struct page *p, const struct schema_row *s)
{
	buf_printf(p->out, "<section id=\"schema-%s\">\n<h3>%s</h3>\n", s->key,
	    s->key);
	html_element(p->out, "p", s->help);
	if (*s->base != '\0') {
		buf_puts(p->out, "<p>With the members of ");
		page_shape(p, s->base);
		buf_puts(p->out, ".</p>\n");
	}
	if (s + 1 < schema_end(s))
		buf_puts(p->out,
		    "<table>\n<tr><th>Member</th><th>Type</th>"
		    "<th>Meaning</th></tr>\n");
	for (const struct schema_row *f = s + 1; f < schema_end(s); f++) {
		buf_printf(p->out, "<tr><td><code>%s</code></td><td>", f->key);
		page_type(p, f);
		if ((f->flags & SCHEMA_REQUIRED) == 0)
			buf_puts(p->out, ", may be missing");
		buf_puts(p->out, "</td><td>");
		html_escape(p->out, f->help);
		buf_puts(p->out, "</td></tr>\n");
	}
	if (s + 1 < schema_end(s))
		buf_puts(p->out, "</table>\n");
	buf_puts(p->out, "</section>\n");
}

static void
page_write(struct page *p)
{
	buf_puts(p->out,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	    "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
	    "content=\"width=device-width\">\n<title>Aragora API</title>\n"
	    "<style>");
	buf_puts(p->out, page_style);
	buf_puts(p->out, "</style>\n</head>\n<body>\n");
	page_contents(p);
	buf_puts(p->out, "<main>\n");
	page_intro(p);
	page_operations(p);
	buf_puts(p->out, "<h2 id=\"schemas\">schemas</h2>\n");
	for (const struct schema_row *s = schema_first(); s != NULL;
	     s = schema_next(s))
		page_schema(p, s);
	buf_puts(p->out, "</main>\n</body>\n</html>\n");
}

static void
page_policy(char *out, size_t size)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char hash[4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1];
	unsigned n = 0;

	if (EVP_Digest(page_style, strlen(page_style), digest, &n, EVP_sha256(),
		NULL) != 1)
		abort();
	EVP_EncodeBlock(hash, digest, (int)n);
	snprintf(out, size,
	    "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'",
	    hash);
}

struct api_page *
api_page_new(const struct settings *settings)
{
	struct api_page *page = mem_zalloc(sizeof(*page));
	struct page p = {
	    .out = &page->html, .arena = arena_new(0), .settings = settings};

	buf_init_for(&page->html, HEAP_TABLES, PAGE_MAX);
	page_write(&p);
	page_policy(page->policy, sizeof(page->policy));
	arena_free(&p.arena);
	return page;
}

void
api_page_free(struct api_page **page)
{
	if (*page == NULL)
		return;
	buf_release(&(*page)->html);
	free(*page);
	*page = NULL;
}

const char *
api_page_html(const struct api_page *page)
{
	return buf_text(&page->html);
}

const char *
api_page_policy(const struct api_page *page)
{
	return page->policy;
}
