/* SPDX-License-Identifier: MIT
 *
 * What people bring to a debate beside its question, and files of many debates
 * that were asked for.
 */
#pragma once

#include "store/store.h"

struct store_evidence {
	const char *id;
	const char *text;
	const char *source;   /* NULL = not named */
	const char *metadata; /* JSON object */
	int64_t created_us;
	struct store_key *key; /* read and answered by add; NULL = none */
};
/* Of a debate that exists. */
enum err store_evidence_add(struct store *store, const char *tenant,
    const char *debate_id, const struct store_evidence *e) MUST_CHECK;
/* Oldest first. */
enum err store_evidence_list(struct store *store, struct arena *a,
    const char *tenant, const char *debate_id, struct store_evidence **rows,
    size_t *n) MUST_CHECK;

struct store_export_job {
	const char *id;
	const char *tenant;
	const char *format;	/* name of an export kind */
	const char *debate_ids; /* JSON array of strings */
	int64_t created_us;
	struct store_key *key; /* read and answered by add; NULL = none */
};
enum err store_export_add(
    struct store *store, const struct store_export_job *job) MUST_CHECK;
enum err store_export_get(struct store *store, struct arena *a,
    const char *tenant, const char *id, struct store_export_job *out)
    MUST_CHECK;

/* What was agreed on in finished debates, by how firmly. */
struct store_agreed {
	const char *strength;
	int64_t debates, firm; /* firm: of at least that confidence */
	int64_t dissents;
};
enum err store_agreed_list(struct store *store, struct arena *a,
    const char *tenant, double confidence, struct store_agreed **rows,
    size_t *n) MUST_CHECK;
