/* SPDX-License-Identifier: MIT
 *
 * aragora verify: is an exported debate what the server sealed? Needs the file
 * and a public key, no server and no database.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cmd.h"
#include "receipt/receipt.h"
#include "receipt/verify.h"

#define VERIFY_KEYS_MAX	 16
#define VERIFY_KEY_BYTES ((size_t)64 << 10)
#define VERIFY_BYTES	 ((size_t)1 << 30)
#define VERIFY_STEP	 65536

/* A whole file, "-" = standard input. */
static bool
verify_load(const char *path, struct buf *out)
{
	bool is_stdin = str_eq(path, "-");
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0) {
		char *to = buf_reserve(out, VERIFY_STEP);
		if (to == NULL) {
			errno = EFBIG;
			n = -1;
			break;
		}
		n = read(fd, to, VERIFY_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_commit(out, (size_t)n);
	}
	if (n < 0)
		fprintf(
		    stderr, "aragora verify: %s: %s\n", path, strerror(errno));
	if (fd >= 0 && !is_stdin)
		close(fd);
	return n == 0;
}

static enum cmd_exit
verify_add_key(struct receipt_keys *keys, const char *path)
{
	struct err_info info = {0};
	struct buf pem;
	enum cmd_exit code = CMD_UNAVAILABLE;

	buf_init(&pem, VERIFY_KEY_BYTES + VERIFY_STEP);
	if (verify_load(path, &pem))
		code = receipt_keys_add(keys, buf_text(&pem), &info) == ERR_OK
		    ? CMD_OK
		    : cmd_fail(CMD_CONFIG, path, &info);
	buf_release(&pem);
	return code;
}

/* The keys named, else the server's own. */
static enum cmd_exit
verify_keys(
    struct receipt_keys **keys, const char *const *paths, size_t n_paths)
{
	struct err_info info = {0};
	enum cmd_exit code = CMD_OK;

	if (n_paths == 0) {
		struct settings *settings = settings_start("aragora");
		enum err e = receipt_keys_open(keys, settings, &info);
		settings_free(&settings);
		if (e != ERR_OK)
			return cmd_fail(CMD_CONFIG, "settings", &info);
	} else {
		*keys = receipt_keys_new();
	}
	for (size_t i = 0; code == CMD_OK && i < n_paths; i++)
		code = verify_add_key(*keys, paths[i]);
	if (code == CMD_OK && receipt_keys_count(*keys) == 0)
		code = cmd_usage(&cmd_verify,
		    "no key to verify with: --key, or ARAGORA_RECEIPT_KEY");
	return code;
}

static enum cmd_exit
verify_file(const struct receipt_keys *keys, const char *path, bool is_quiet)
{
	struct verify_report report;
	struct buf text;
	enum cmd_exit code = CMD_UNAVAILABLE;

	buf_init(&text, VERIFY_BYTES);
	if (!verify_load(path, &text))
		goto out;
	enum err e = verify_export(keys, buf_text(&text), text.len, &report);
	code = e == ERR_OK ? CMD_OK : CMD_NOT_DONE;
	if (e == ERR_OK && !is_quiet)
		printf("%s: %lld events, signed by %s: all of it holds\n",
		    report.debate_id, (long long)report.events, report.key_id);
	if (e != ERR_OK && report.event > 0)
		fprintf(stderr, "aragora verify: %s: at event %lld: %s\n", path,
		    (long long)report.event, report.why);
	else if (e != ERR_OK)
		fprintf(stderr, "aragora verify: %s: %s\n", path, report.why);
out:
	buf_release(&text);
	return code;
}

static enum cmd_exit
verify_run(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"key", required_argument, NULL, 'k'},
	    {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	const char *paths[VERIFY_KEYS_MAX];
	struct receipt_keys *keys = NULL;
	size_t n = 0;
	bool is_quiet = false;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == 'h') {
			cmd_print_help(&cmd_verify, stdout);
			return CMD_OK;
		}
		if (c == 'q')
			is_quiet = true;
		else if (c == 'k' && n < VERIFY_KEYS_MAX)
			paths[n++] = optarg;
		else
			return cmd_usage(&cmd_verify, "bad option");
	}
	if (optind != argc - 1)
		return cmd_usage(&cmd_verify, "expected one FILE");
	enum cmd_exit code = verify_keys(&keys, paths, n);
	if (code == CMD_OK)
		code = verify_file(keys, argv[optind], is_quiet);
	receipt_keys_free(&keys);
	return code;
}

const struct cmd cmd_verify = {
    .name = "verify",
    .args = "FILE [--key PUBLIC.pem]...",
    .summary = "Verify an exported debate offline.",
    .help =
	"  --key FILE          public key to trust, may be repeated (default: "
	"the\n                      keys of ARAGORA_RECEIPT_KEY)\n"
	"  --quiet             say nothing when all of it holds\n"
	"\nFILE is an export in the format json; - is standard input. Exit "
	"status\n0 only when the signature, the receipt, every event and every "
	"byte of\nthe file hold; else the first event that fails is named.\n",
    .run = verify_run,
};
