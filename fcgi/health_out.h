/* SPDX-License-Identifier: MIT
 *
 * The state of the service as its routes tell it, from what the probe saw.
 */
#pragma once

#include "fcgi/probe.h"
#include "fcgi/req.h"
#include "fcgi/res.h"

bool health_is_serving(const struct probe_state *state);
/* "healthy", "degraded", "unhealthy" */
const char *health_status(
    const struct app *app, const struct probe_state *state);
/* "connected", "disconnected", "not_configured" */
const char *health_redis(const struct probe_state *state);

/* The members of every answer. */
void health_members(
    struct json_w *w, const struct req *req, const struct probe_state *state);
/* Members: a check of the database and one of Redis; the queue; the runners of
 * all hosts; their bridges. */
void health_stores(struct json_w *w, const struct probe_state *state);
void health_queue(
    struct json_w *w, const struct req *req, const struct probe_state *state);
void health_runners(struct json_w *w, const struct probe_state *state);
void health_bridges(struct json_w *w, const struct probe_state *state);
/* All of them as one object. */
void health_checks(struct json_w *w, const char *key, const struct req *req,
    const struct probe_state *state);
