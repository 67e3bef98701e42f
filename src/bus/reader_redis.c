/* SPDX-License-Identifier: MIT */
#include "bus/reader_redis.h"

#include <stddef.h>
#include <stdint.h>

/* pmessage, pattern, channel, data */
#define BUS_READER_ELEMENTS 4

static const redisReplyObjectFunctions *
bus_reader_usual(const redisReadTask *task)
{
	return task->privdata;
}

static void *
bus_reader_string(const redisReadTask *task, char *text, size_t len)
{
	return bus_reader_usual(task)->createString(task, text, len);
}

static void *
bus_reader_array(const redisReadTask *task, int elements)
{
	/* NULL is reported as being out of memory. */
	return elements <= BUS_READER_ELEMENTS
	    ? bus_reader_usual(task)->createArray(task, elements)
	    : NULL;
}

static void *
bus_reader_integer(const redisReadTask *task, long long value)
{
	return bus_reader_usual(task)->createInteger(task, value);
}

static void *
bus_reader_nil(const redisReadTask *task)
{
	return bus_reader_usual(task)->createNil(task);
}

void
bus_reader_limit(redisReader *reader)
{
	static const redisReplyObjectFunctions limited = {
	    .createString = bus_reader_string,
	    .createArray = bus_reader_array,
	    .createInteger = bus_reader_integer,
	    .createNil = bus_reader_nil,
	    .freeObject = freeReplyObject,
	};

	reader->privdata = reader->fn; /* hiredis hands it to each task */
	reader->fn = (redisReplyObjectFunctions *)(uintptr_t)&limited;
}
