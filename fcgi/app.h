/* SPDX-License-Identifier: MIT
 *
 * What every request of this process shares. Built once by main, read by all
 * threads; the parts that change look after themselves.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;
struct store;
struct bus;
struct router;
struct client_ip_list;
struct probe;
struct auth;
struct limit;
struct password;
struct receipt_keys;
struct redis_pool;
struct cache;
struct api_page;

struct app {
	const struct settings *settings;
	struct store *store;
	struct bus *bus;
	struct router *router;
	struct client_ip_list *trusted;
	struct probe *probe;
	struct auth *auth;
	struct password *password; /* NULL = nobody can log in */
	struct redis_pool *redis;  /* NULL = none is configured */
	struct limit *limit;	   /* NULL = switched off */
	struct cache *cache;
	struct receipt_keys *receipt_keys;
	const char *openapi; /* JSON text */
	struct api_page *api_page;
	int64_t started_ms; /* CLOCK_MONOTONIC */
	atomic_bool is_draining;
	/* SIGHUP has come: on the main thread. */
	void (*on_hangup)(void *arg);
	void *hangup_arg;
	/* Trace ids: random per process, then counted. They tell requests
	 * apart and are no secret. */
	uint64_t trace_seed[2];
	_Atomic uint64_t trace_count;
};
