/* SPDX-License-Identifier: MIT
 *
 * A relay between libpq and a PostgreSQL server over Unix sockets that loses
 * the connection at a chosen message.
 */
#pragma once

enum relay_cut {
	RELAY_CUT_BEFORE, /* the server never sees the message */
	RELAY_CUT_AFTER,  /* the server has answered it, the client not heard */
	RELAY_CUT_EARLY	  /* the client is cut off, then the server gets it */
};

struct relay;

/* Accepts on `path`, passes to `server`. */
struct relay *relay_start(const char *path, const char *server);
/* Cut at the next `times` client messages that hold `text` (borrowed). */
void relay_arm(
    struct relay *r, const char *text, enum relay_cut cut, int times);
/* Cuts that have not happened yet. */
int relay_left(struct relay *r);
/* Questions asked since the last call: what the client says until the server
 * answers is one. */
int relay_trips(struct relay *r);
/* After the next cut nobody is accepted until relay_accept. */
void relay_refuse_after_cut(struct relay *r);
void relay_accept(struct relay *r);
void relay_stop(struct relay **r);
