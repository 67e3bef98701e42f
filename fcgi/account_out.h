/* SPDX-License-Identifier: MIT
 *
 * What the handlers of accounts share: a user and its tenant as clients see
 * them, the tokens of a session, and the answers to what goes wrong.
 */
#pragma once

#include "account/account.h"
#include "fcgi/req.h"
#include "fcgi/res.h"

/* 400 for one field. */
enum http_status account_wrong(
    struct res *res, const char *field, const char *message);
/* 400 for ERR_INVALID, else res_err. */
enum http_status account_refuse(
    struct res *res, enum err e, const struct err_info *info);
/* 401 INVALID_TOKEN with a challenge. */
enum http_status account_deny(struct res *res, const char *text);

/* HTTP_OK, or 503: this server has no secret to sign with, or nowhere to
 * count its password slots. */
enum http_status account_is_ready(struct req *req, struct res *res) MUST_CHECK;

/* Hashes a password. HTTP_OK, or the answer is written. */
enum http_status account_hash(struct req *req, struct res *res,
    const char *password, char out[PASSWORD_SIZE]) MUST_CHECK;
/* account_check_password as an answer: HTTP_OK, 401 with this text, 429,
 * 503. */
enum http_status account_prove(struct req *req, struct res *res,
    const char *email, const struct store_user *user, const char *password,
    const char *refusal) MUST_CHECK;

/* The row of the caller's user; of a caller who has none, what the credential
 * says. */
enum err account_caller(
    struct req *req, struct store_user *u, struct store_tenant *t) MUST_CHECK;

/* Members of a user object. */
void account_user(struct json_w *w, const struct req *req,
    const struct store_user *u, const struct store_tenant *t);
/* "user", "organization" and "organizations". */
void account_union(struct json_w *w, const struct req *req,
    const struct store_user *u, const struct store_tenant *t);
/* "tokens", and the same members again beside it. */
void account_token_union(
    struct json_w *w, const struct req *req, const struct account_tokens *t);

/* Members of a tenant object. */
void account_tenant(struct json_w *w, const struct store_tenant *t);
/* The tenant of the path's first parameter: the caller's own, or for the
 * operator any that was made. HTTP_OK, or the answer (404) is written. */
enum http_status tenant_fetch(
    struct req *req, struct res *res, struct store_tenant *t) MUST_CHECK;
