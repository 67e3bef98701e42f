/* SPDX-License-Identifier: MIT
 *
 * An entry of memory as clients send it. Its content is the text of its value:
 * the text itself, or JSON; what else it has is an object beside it.
 */
#pragma once

#include "fcgi/handler.h"
#include "store/store_memory.h"

#define MEMORY_IN_TIERS "fast|medium|slow|glacial|" /* by enum memory_tier */

struct memory_in {
	const char *key;
	int tier; /* -1 = not said; as are the others by NULL and 0 */
	int64_t importance_ppm, surprise_ppm; /* -1 = not said */
	int64_t ttl_s;
	const char *agent, *debate_id, *domain;
	const struct json *value, *tags, *metadata;
};

/* An object's members. The value is "value", or else the text "content".
 * ERR_INVALID with what is wrong. */
enum err memory_in_read(const struct req *req, const struct json *object,
    struct memory_in *out, struct err_info *info) MUST_CHECK;
/* Of the request's body; HTTP_OK, or the answer is written. */
enum http_status memory_in_body(
    struct req *req, struct res *res, struct memory_in *out) MUST_CHECK;
/* A new entry; what was not said has its first value. Texts on the arena. */
void memory_in_entry(struct arena *a, const struct memory_in *in,
    enum memory_tier tier, struct store_memory *out);
/* What was said, over an entry as it is. is_merging: members of an object
 * over those that are there. ERR_INVALID: they cannot be. */
enum err memory_in_over(struct arena *a, const struct memory_in *in,
    bool is_merging, struct store_memory *m, struct err_info *info) MUST_CHECK;

/* Tiers of a list such as "fast,slow" as bits; NULL or "" = all. ERR_INVALID
 * under the name of the input. */
enum err memory_in_tiers(struct arena *a, const char *field, const char *text,
    unsigned *tiers, struct err_info *info) MUST_CHECK;
/* The tier, or the key or id, that the path names; false and the answer. */
bool memory_in_path_tier(
    struct req *req, struct res *res, enum memory_tier *tier) MUST_CHECK;
bool memory_in_path_key(struct req *req, struct res *res, const char **key)
    MUST_CHECK;
/* 400 for what is missing or wrong; else as res_err. */
enum http_status memory_in_fail(
    struct res *res, enum err e, const struct err_info *info);

/* The stored object beside the content; NULL when there is none. */
const struct json *memory_in_beside(struct arena *a, const char *body);
/* A stored content as JSON; NULL: it is a text. */
const struct json *memory_in_value(
    struct arena *a, const struct json *beside, const char *content);
