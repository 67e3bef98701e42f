/* SPDX-License-Identifier: MIT
 *
 * Processes for the tests of the connection budget: puppets that do one thing
 * for each letter they are sent and answer it with one.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/budget.h"
#include "store/pool.h"

#define LIMIT	3
#define PUPPETS 5
#define ROUNDS	200
#define SOON_MS 1
#define LONG_MS 60000

enum word {
	WORD_OPEN = 'o', /* the budget */
	WORD_ENTER = 'e',
	WORD_TRY = 't', /* to enter, for SOON_MS */
	WORD_LEAVE = 'l',
	WORD_STORM = 's', /* enter and leave, ROUNDS times */
	WORD_MILL = 'm',  /* the same for ever */
	WORD_POOL = 'p',  /* open a pool */
	WORD_GET = 'g',	  /* from the pool */
	WORD_PUT = 'b',	  /* back */
	WORD_STORM_POOL = 'S',
	WORD_COUNT = 'c', /* with the lock of the file, ROUNDS times */
	WORD_YES = 'y',
	WORD_NO = 'n',
};

/* Seen by all. */
struct board {
	char folder[32], path[64];
	_Atomic(int64_t) limit, size, overflow;
	_Atomic(int64_t) now, most; /* permits or connections out */
	_Atomic(int64_t) opened;
	_Atomic(int64_t) turns;
	volatile int64_t count; /* for one at a time */
};
extern struct board *board;

struct puppet {
	pid_t pid;
	int to, from;
};
extern struct puppet puppets[PUPPETS];

/* Fixture: a folder, a board and the puppets. */
void puppets_setup(void);
void puppets_teardown(void);
/* Before this process has threads. */
void puppet_make(struct puppet *p);

void tell(int i, enum word word);
enum word answer(int i);
/* Tell, and be answered yes. */
void say(int i, enum word word);
void murder(int i);

/* In this process. */
void give_nothing(void *arg);
struct budget *budget_here(int64_t limit);
/* Over a driver whose connections are counted on the board. */
struct pool *counting_pool(const char *folder, const char *target);
