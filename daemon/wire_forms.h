/*
 * What wire.c asks of each form of tick message; for the wire's own files. Every next function has the
 * contract of wire_ticks_next, every begin function that of wire_ticks_begin.
 */
#ifndef DAEMON_WIRE_FORMS_H
#define DAEMON_WIRE_FORMS_H

#include "daemon/wire.h"

#include <math.h>
#include <string.h>

enum reason wire_packed_begin(struct wire_ticks *ticks);
int wire_packed_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

enum reason wire_json_begin(struct wire_ticks *ticks);
int wire_json_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

enum reason wire_lines_begin(struct wire_ticks *ticks);
int wire_lines_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

/* The i-th value of a tick is of bad quality: it is missing. */
static inline void wire_tick_bad(struct wire_tick *tick, int i) {
    tick->values[i] = (double)NAN;
    tick->bad++;
}

/* The same of all values of a name. */
static inline void wire_tick_bad_named(struct wire_tick *tick, struct wire_text name) {
    for (int i = 0; i < tick->n_values; i++)
        if (tick->names[i].n == name.n && memcmp(tick->names[i].at, name.at, name.n) == 0)
            wire_tick_bad(tick, i);
}

/* Makes a tick that says nothing. Leaves the arrays alone: clearing 24 KB would cost more than reading a tick. */
static inline void wire_tick_clear(struct wire_tick *tick, struct wire_text stream) {
    tick->stream = stream;
    tick->has_time = tick->has_seq = tick->is_label = tick->named = tick->lenient = false;
    tick->t = 0;
    tick->seq = 0;
    tick->n_values = tick->bad = 0;
}

#endif
