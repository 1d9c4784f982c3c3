/*
 * What wire.c asks of each form of tick message; for the wire's own files. Every next function has the
 * contract of wire_ticks_next, every begin function that of wire_ticks_begin.
 */
#ifndef DAEMON_WIRE_FORMS_H
#define DAEMON_WIRE_FORMS_H

#include "daemon/wire.h"

enum reason wire_packed_begin(struct wire_ticks *ticks);
int wire_packed_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

enum reason wire_json_begin(struct wire_ticks *ticks);
int wire_json_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

enum reason wire_lines_begin(struct wire_ticks *ticks);
int wire_lines_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason);

/* Makes a tick that says nothing. Leaves the arrays alone: clearing 24 KB would cost more than reading a tick. */
static inline void wire_tick_clear(struct wire_tick *tick, struct wire_text stream) {
    tick->stream = stream;
    tick->has_time = tick->has_seq = tick->is_label = tick->named = tick->lenient = false;
    tick->t = 0;
    tick->seq = 0;
    tick->n_values = 0;
}

#endif
