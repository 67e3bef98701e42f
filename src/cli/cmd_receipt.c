/* SPDX-License-Identifier: MIT
 *
 * aragora receipt: the keys of receipts, and the receipt of one debate.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "receipt/receipt.h"

/* A new file: whoever has a key does not lose it. */
static bool
receipt_write_file(const char *path, mode_t mode, const char *text)
{
	int fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	size_t len = strlen(text);
	bool ok =
	    fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	int why = errno;

	if (fd >= 0 && close(fd) != 0 && ok) {
		ok = false;
		why = errno;
	}
	if (!ok)
		fprintf(
		    stderr, "aragora receipt: %s: %s\n", path, strerror(why));
	return ok;
}

static enum cmd_exit
receipt_keygen(const char *path)
{
	char id[RECEIPT_KEY_ID_SIZE];
	char *private_pem, *public_pem;
	char *public_path = mem_printf("%s.pub", path);
	enum cmd_exit code = CMD_UNAVAILABLE;

	if (receipt_key_make(&private_pem, &public_pem, id) == ERR_OK &&
	    receipt_write_file(path, 0600, private_pem) &&
	    receipt_write_file(public_path, 0644, public_pem)) {
		printf("%s\n", id);
		fprintf(stderr,
		    "The key is in %s; set ARAGORA_RECEIPT_KEY_FILE to it. Who "
		    "verifies needs %s only.\n",
		    path, public_path);
		code = CMD_OK;
	}
	if (private_pem != NULL)
		explicit_bzero(private_pem, strlen(private_pem));
	free(private_pem);
	free(public_pem);
	free(public_path);
	return code;
}

static enum cmd_exit
receipt_list_keys(void)
{
	struct settings *settings = settings_start("aragora");
	struct receipt_keys *keys = NULL;
	struct err_info info = {0};

	enum err e = receipt_keys_open(&keys, settings, &info);
	settings_free(&settings);
	if (e != ERR_OK)
		return cmd_fail(CMD_CONFIG, "settings", &info);
	for (size_t i = 0; i < receipt_keys_count(keys); i++) {
		char *pem = receipt_keys_pem(keys, i);
		const char *id = receipt_keys_id(keys, i);
		printf("%s %s\n%s", id,
		    str_eq(id, receipt_keys_signer(keys)) ? "signs"
							  : "verifies",
		    pem != NULL ? pem : "");
		free(pem);
	}
	receipt_keys_free(&keys);
	return CMD_OK;
}

static enum cmd_exit
receipt_show(const char *id)
{
	struct settings *settings = NULL;
	struct store *store = NULL;
	struct receipt_keys *keys = NULL;
	struct store_receipt r;
	struct err_info info = {0};

	enum cmd_exit code = cmd_open("aragora", false, &settings, &store);
	if (code != CMD_OK)
		return code;
	struct arena *a = arena_new(0);
	enum err e = receipt_keys_open(&keys, settings, &info);
	if (e == ERR_OK)
		e = receipt_seal(store, keys, a, STORE_TENANT_DEFAULT, id, &r);
	if (e == ERR_OK)
		printf("%s\n%s\n", r.text,
		    r.signature != NULL ? r.signature : "unsigned");
	else
		fprintf(stderr, "aragora receipt: '%s': %s\n", id,
		    *info.text != '\0'	    ? info.text
			: e == ERR_CONFLICT ? "the debate is not finished"
					    : err_text(e));
	receipt_keys_free(&keys);
	arena_free(&a);
	store_close(&store);
	settings_free(&settings);
	return e == ERR_OK			      ? CMD_OK
	    : e == ERR_CONFLICT || e == ERR_NOT_FOUND ? CMD_NOT_DONE
						      : CMD_UNAVAILABLE;
}

static enum cmd_exit
receipt_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"out", required_argument, NULL, 'o'}, CMD_COMMON_OPTIONS,
	    {NULL, 0, NULL, 0}};
	const char *out = NULL;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_receipt, stdout);
			return CMD_OK;
		}
		if (c == 'o')
			out = optarg;
		else if (!cmd_common(c, optarg))
			return cmd_usage(&cmd_receipt, "bad option");
	}
	const char *verb = optind < argc ? argv[optind++] : "";
	const char *id = optind < argc ? argv[optind++] : NULL;
	bool is_plain = optind == argc && id == NULL;
	if (is_plain && str_eq(verb, "keygen") && !str_is_empty(out))
		return receipt_keygen(out);
	if (is_plain && str_eq(verb, "keys") && out == NULL)
		return receipt_list_keys();
	if (optind == argc && id != NULL && str_eq(verb, "show") && out == NULL)
		return receipt_show(id);
	return cmd_usage(
	    &cmd_receipt, "expected keygen --out FILE, keys or show ID");
}

const struct cmd cmd_receipt = {
    .name = "receipt",
    .args = "keygen --out FILE | keys | show ID",
    .summary = "Make the key that signs receipts; show a receipt.",
    .help =
	"  keygen --out FILE   a new Ed25519 key into FILE (mode 0600) and "
	"its\n"
	"                      public half into FILE.pub; prints the key's id\n"
	"  keys                public keys of ARAGORA_RECEIPT_KEY\n"
	"  show ID             a debate's receipt and its "
	"signature\n" CMD_COMMON_HELP
	"\nTo change the key, put the new one first into the file and leave "
	"the\nearlier FILE.pub behind it: what that key signed still "
	"verifies.\n",
    .run = receipt_run,
};
