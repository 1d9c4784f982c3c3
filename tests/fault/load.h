/*
 * What daemons are fed that are crashed: streams of three classes, each with a model of its own name, and their ticks by
 * number, the same in every run. One thread.
 *
 *   s  leaves memory and comes back where that is wanted; pauses for rows at a time
 *   t  can be trained; versions take over by command
 *   e  has steps of a mean over three seconds
 *
 * A row is a second; in each one streams tick in another order.
 */
#ifndef TESTS_FAULT_LOAD_H
#define TESTS_FAULT_LOAD_H

#include "tests/fault/sender.h"
#include "tests/support/heard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOAD_S = 14, LOAD_T = 5, LOAD_E = 3, LOAD_STREAMS = LOAD_S + LOAD_T + LOAD_E };

/* `streams` and `models` of a configuration, until the next call; of class s at most so many stay in memory (0: all).
 * Further models may follow as they would in it. */
const char *load_config(int max_resident);

/* Lays so many rows out. Who is quiet in a row is asked. */
void load_make(int rows, bool (*quiet)(int stream, int row));
/* Of class s, whoever pauses for four rows of twelve. */
bool load_pauses(int stream, int row);
void load_free(void);

/* Numbers begin with 1. How many ticks the rows before this one have. */
uint64_t load_before_row(int row);
int load_row_of(uint64_t number);
void load_tick(uint64_t number, struct sender_tick *ret_tick);

/* Also the name of the model. */
const char *load_class(int stream);
const char *load_name(int stream, char name[16]);
/* How many steps of a stream the first n ticks close. */
uint64_t load_steps(int stream, uint64_t n);

/* Fails unless a forecast that was heard is that of its step among all of the stream: in all, or (loosely) of the same
 * tick. */
void load_compare(const struct heard_stream *heard, size_t i, const struct heard_stream *all, bool loosely);

#endif
