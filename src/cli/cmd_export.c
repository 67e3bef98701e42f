/* SPDX-License-Identifier: MIT
 *
 * aragora export: a debate as a file on standard output.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "receipt/export.h"
#include "receipt/receipt.h"

#define EXPORT_PIECE_MAX ((size_t)256 << 20)

static enum err
export_print(struct export *x, FILE *to)
{
	struct buf piece;
	bool is_last = false;
	enum err e = ERR_OK;

	buf_init(&piece, EXPORT_PIECE_MAX);
	while (e == ERR_OK && !is_last) {
		buf_clear(&piece);
		e = export_next(x, &piece, &is_last);
		if (e == ERR_OK && piece.len > 0 &&
		    fwrite(piece.data, 1, piece.len, to) != piece.len)
			e = ERR_IO;
	}
	if (e == ERR_OK && fflush(to) != 0)
		e = ERR_IO;
	buf_release(&piece);
	return e;
}

/* Sealed on the way when nobody has done it yet. */
static enum err
export_debate(struct store *store, const struct settings *settings,
    struct arena *a, const char *id, enum export_kind kind,
    enum export_table table, struct err_info *info)
{
	struct receipt_keys *keys = NULL;
	struct store_receipt receipt;
	struct store_debate d;

	enum err e = receipt_keys_open(&keys, settings, info);
	if (e == ERR_OK)
		e = store_debate_get(store, a, STORE_TENANT_DEFAULT, id, &d);
	if (e != ERR_OK)
		goto out;
	enum err sealed =
	    receipt_seal(store, keys, a, d.tenant, d.id, &receipt);
	if (sealed != ERR_OK && sealed != ERR_CONFLICT) {
		e = sealed;
		goto out;
	}
	struct export *x = export_new(
	    store, &d, sealed == ERR_OK ? &receipt : NULL, kind, table);
	e = export_print(x, stdout);
	export_free(&x);
out:
	receipt_keys_free(&keys);
	return e;
}

static enum cmd_exit
export_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"format", required_argument, NULL, 'f'},
	    {"table", required_argument, NULL, 't'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	enum export_kind kind = EXPORT_JSON;
	enum export_table table = EXPORT_SUMMARY;
	struct settings *settings = NULL;
	struct store *store = NULL;
	struct err_info info = {0};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_export, stdout);
			return CMD_OK;
		}
		if (c == 'f') {
			if (export_kind_parse(optarg, &kind, &info) != ERR_OK)
				return cmd_usage(
				    &cmd_export, "--format %s", info.text);
		} else if (c == 't') {
			if (export_table_parse(optarg, &table, &info) != ERR_OK)
				return cmd_usage(
				    &cmd_export, "--table %s", info.text);
		} else if (!cmd_common(c, optarg)) {
			return cmd_usage(&cmd_export, "bad option");
		}
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_export, "expected one ID");
	enum cmd_exit code = cmd_open("aragora", false, &settings, &store);
	if (code != CMD_OK)
		return code;
	struct arena *a = arena_new(0);
	enum err e =
	    export_debate(store, settings, a, argv[optind], kind, table, &info);
	if (e != ERR_OK)
		fprintf(stderr, "aragora export: '%s': %s\n", argv[optind],
		    *info.text != '\0' ? info.text : err_text(e));
	arena_free(&a);
	store_close(&store);
	settings_free(&settings);
	return e == ERR_OK	 ? CMD_OK
	    : e == ERR_NOT_FOUND ? CMD_NOT_DONE
				 : CMD_UNAVAILABLE;
}

const struct cmd cmd_export = {
    .name = "export",
    .args = "ID [--format FORMAT] [--table TABLE]",
    .summary = "Write a debate to standard output as a file.",
    .help =
	"  --format FORMAT     json (default; what `aragora verify` takes), "
	"md,\n"
	"                      txt, html or csv\n"
	"  --table TABLE       of csv: summary (default), messages, critiques\n"
	"                      or votes\n" CMD_COMMON_HELP,
    .run = export_run,
};
