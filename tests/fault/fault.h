/*
 * A program under the layer (plan.h): started by a test, which says meanwhile what fails. Errors fail the running
 * cmocka test. One thread.
 */
#ifndef TESTS_FAULT_FAULT_H
#define TESTS_FAULT_FAULT_H

#include "tests/fault/plan.h"

#include <stdbool.h>

struct fault {
    struct fault_plan *plan;
    char folder[96];                          /* with all that follows */
    char root[128], plan_path[128], log[128]; /* the root is made, and is empty */
    char left[128];                           /* for what a crash leaves; not made */
};

void fault_open(struct fault *fault);
/* Removes the folder. */
void fault_close(struct fault *fault);

/* Around every test, for cmocka; the test's initial state is its fault, which is opened. What a failed test has left is
 * closed, daemons too. */
int fault_set_up(void **state);
int fault_tear_down(void **state);

/* From now on what this process starts has the layer below it, with a log if wanted; or no more. */
void fault_begin(const struct fault *fault, bool with_log);
void fault_end(void);

/* The from-th to the to-th operation of these kinds that comes from now on fails with this error. */
void fault_set(struct fault *fault, int kinds, int error, long from, long to);
void fault_clear(struct fault *fault);

/* Runs this test program once more under the layer, with one argument, its root and another: main hands it to a
 * function of its own. Returns its exit status, or 128 and a signal. */
int fault_run_self(const struct fault *fault, const char *what, const char *more);

/* A run of it for each operation of these kinds, until there is none: that one fails, or (for_good) all from it on; the
 * process has to end well. Then what it has left is looked at, and goes, with the log. */
struct fault_each {
    const char *what;
    int kinds, error;
    bool for_good;
    long step; /* from one operation to the next that is looked at, behind the first few */
    void (*look)(const char *which);
};
void fault_each(struct fault *fault, const struct fault_each *each);

/* The root is empty again, and there is no log. */
void fault_begin_anew(const struct fault *fault);

/* Where in the program the latest allocation that failed was asked for, as text until the next call. NULL: in
 * this one. */
const char *fault_where(const struct fault *fault, const char *program);

/* Called in a program under test: puts a text into the log where there is a layer. */
void fault_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Called in the test: the same, while a program under test writes the log. */
void fault_note_beside(const struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Called in a program under test: how many operations of the plan's kinds have come. */
long fault_seen_here(void);

#endif
