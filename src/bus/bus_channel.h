/* SPDX-License-Identifier: MIT
 *
 * The names of the Redis channels.
 */
#pragma once

#include <stdio.h>

#include "base/id.h"

#define BUS_CHANNEL_DEBATE "aragora:debate:"
#define BUS_CHANNEL_ALL	   BUS_CHANNEL_DEBATE "*"
#define BUS_CHANNEL_WAKE   "aragora:wake"
#define BUS_CHANNEL_SIZE   (sizeof(BUS_CHANNEL_DEBATE) + ID_MAX)

/* "" = wake-ups. */
static inline void
bus_channel(const char *debate_id, char out[BUS_CHANNEL_SIZE])
{
	snprintf(out, BUS_CHANNEL_SIZE, "%s%s",
	    *debate_id == '\0' ? BUS_CHANNEL_WAKE : BUS_CHANNEL_DEBATE,
	    debate_id);
}
