/* SPDX-License-Identifier: MIT */
#include "settings/settings_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "settings/settings_impl.h"

#define SETTINGS_FILE_MAX ((size_t)256 << 10)

/* NULL and *e when it cannot be had. */
static char *
settings_file_text(
    struct arena *a, const char *path, enum err *e, struct err_info *info)
{
	char *text = arena_alloc(a, SETTINGS_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		*e = err_set(info, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
		    settings_defs[SETTINGS_config].row.env,
		    "cannot open '%s': %s", path, strerror(errno));
		return NULL;
	}
	while (n > 0 && len < SETTINGS_FILE_MAX + 1) {
		n = read(fd, text + len, SETTINGS_FILE_MAX + 1 - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	int why = errno;
	close(fd);
	if (n < 0) {
		*e = err_set(info, ERR_IO,
		    settings_defs[SETTINGS_config].row.env,
		    "cannot read '%s': %s", path, strerror(why));
		return NULL;
	}
	if (len > SETTINGS_FILE_MAX) {
		*e = err_set(info, ERR_TOO_LARGE,
		    settings_defs[SETTINGS_config].row.env,
		    "'%s' is longer than %zu bytes", path, SETTINGS_FILE_MAX);
		return NULL;
	}
	if (memchr(text, '\0', len) != NULL) {
		*e = err_set(info, ERR_SYNTAX,
		    settings_defs[SETTINGS_config].row.env, "'%s' is not text",
		    path);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

static bool
settings_file_is_name(const char *name)
{
	const char *p = name;

	while (str_is_alnum(*p) || *p == '_')
		p++;
	return p > name && *p == '\0' && !str_is_digit(*name);
}

/* Without the quotes around it; false when they do not match. */
static bool
settings_file_unquote(char **value)
{
	size_t n = strlen(*value);
	char quote = **value;

	if (quote != '"' && quote != '\'')
		return true;
	if (n < 2 || (*value)[n - 1] != quote)
		return false;
	(*value)[n - 1] = '\0';
	(*value)++;
	return strchr(*value, quote) == NULL;
}

static enum err
settings_file_line(struct arena *a, char *text, int number,
    struct settings_file *f, struct err_info *info)
{
	static const char export[] = "export ";
	char *name = str_trim(a, text);

	if (*name == '\0' || *name == '#' || *name == ';')
		return ERR_OK;
	if (str_starts(name, export))
		name = str_trim(a, name + sizeof(export) - 1);
	char *equals = strchr(name, '=');
	if (equals == NULL)
		return err_set(info, ERR_SYNTAX,
		    settings_defs[SETTINGS_config].row.env,
		    "%s:%d: is not NAME=value", f->path, number);
	*equals = '\0';
	char *value = str_trim(a, equals + 1);
	name = str_trim(a, name);
	if (!settings_file_is_name(name))
		return err_set(info, ERR_SYNTAX,
		    settings_defs[SETTINGS_config].row.env,
		    "%s:%d: no name stands before the '='", f->path, number);
	if (!settings_file_unquote(&value))
		return err_set(info, ERR_SYNTAX,
		    settings_defs[SETTINGS_config].row.env,
		    "%s:%d: a quote is not closed", f->path, number);
	for (size_t i = 0; i < f->n; i++)
		if (str_eq(f->lines[i].name, name))
			return err_set(info, ERR_SYNTAX,
			    settings_defs[SETTINGS_config].row.env,
			    "%s:%d: %s stands in line %d already", f->path,
			    number, name, f->lines[i].number);
	f->lines[f->n++] = (struct settings_line){
	    .name = name, .value = value, .number = number};
	return ERR_OK;
}

enum err
settings_file_read(struct arena *a, const char *path, struct settings_file *out,
    struct err_info *info)
{
	size_t lines = 1;
	enum err e = ERR_OK;

	*out = (struct settings_file){.path = path};
	if (str_is_empty(path))
		return ERR_OK;
	char *text = settings_file_text(a, path, &e, info);
	if (text == NULL)
		return e;
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	out->lines = ARENA_ARRAY(a, lines, struct settings_line);
	int number = 1;
	for (char *line = text; line != NULL && e == ERR_OK; number++) {
		char *next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		e = settings_file_line(a, line, number, out, info);
		line = next;
	}
	return e;
}

const char *
settings_file_get(const struct settings_file *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_eq(f->lines[i].name, name))
			return *f->lines[i].value == '\0' ? NULL
							  : f->lines[i].value;
	return NULL;
}
