#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/load.h"

#include "engine/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t begins = 1700000000, second = 1000000000;
enum { INTERVAL = 3 };

const char *load_config(int max_resident) {
    static char text[2048];
    char most[32] = "";
    if (max_resident > 0)
        snprintf(most, sizeof most, ", max_resident: %d", max_resident);
    snprintf(
        text, sizeof text,
        "streams:\n"
        "  - {class: s, pattern: 's/*', features: [a, b], history: 96%s}\n"
        "  - {class: t, pattern: 't/*', features: [a], history: 96}\n"
        "  - {class: e, pattern: 'e/*', features: [a], history: 96, every: %ds, aggregate: mean}\n"
        "models:\n"
        "  - {name: s, class: s, horizon: 4, period: 12, layers: [{lstm: 8}], seed: 5, batch_size: 4, train: false}\n"
        "  - {name: e, class: e, horizon: 2, layers: [{gru: 5}], seed: 6, train: false}\n"
        "  - name: t\n"
        "    class: t\n"
        "    horizon: 3\n"
        "    layers: [{gru: 6}]\n"
        "    batch_size: 2\n"
        "    promote: manual\n"
        "    retrain_every: 0s\n"
        "    training: {window: 16, burn_in: 2, unroll: 8, first_after: 100000, epochs: 2, max_windows: 32}\n",
        most, INTERVAL);
    return text;
}

/* ---- the ticks ------------------------------------------------------------------------------ */

static struct placed { int stream, row; } * ticks; /* in the order in which they are sent */
static uint64_t *before_row;

void load_make(int rows, bool (*quiet)(int stream, int row)) {
    uint64_t n = 0;
    load_free();
    ticks = calloc((size_t)rows * LOAD_STREAMS, sizeof *ticks);
    before_row = calloc((size_t)rows + 1, sizeof *before_row);
    assert_true(ticks != NULL && before_row != NULL);
    for (int row = 0; row < rows; row++) {
        struct rng rng = {rng_hash(3, &row, sizeof row)};
        int order[LOAD_STREAMS];
        for (int s = 0; s < LOAD_STREAMS; s++) {
            int at = (int)rng_below(&rng, (uint64_t)s + 1);
            order[s] = order[at];
            order[at] = s;
        }
        for (int i = 0; i < LOAD_STREAMS; i++)
            if (!quiet(order[i], row))
                ticks[n++] = (struct placed){order[i], row};
        before_row[row + 1] = n;
    }
}

bool load_pauses(int stream, int row) {
    return stream < LOAD_S && (row / 4 + stream) % 3 == 0;
}

void load_free(void) {
    free(ticks);
    free(before_row);
    ticks = NULL;
    before_row = NULL;
}

uint64_t load_before_row(int row) {
    return before_row[row];
}

int load_row_of(uint64_t number) {
    return ticks[number - 1].row;
}

const char *load_class(int stream) {
    return stream < LOAD_S ? "s" : stream < LOAD_S + LOAD_T ? "t" : "e";
}

const char *load_name(int stream, char name[16]) {
    snprintf(name, 16, "%s/%d", load_class(stream), stream);
    return name;
}

void load_tick(uint64_t number, struct sender_tick *ret_tick) {
    int s = ticks[number - 1].stream, row = ticks[number - 1].row;
    const int place[] = {s, row};
    struct rng rng = {rng_hash(4, place, sizeof place)};
    *ret_tick = (struct sender_tick){.t = second * (begins + row), .n = s < LOAD_S ? 2 : 1};
    load_name(s, ret_tick->stream);
    for (int f = 0; f < ret_tick->n; f++)
        ret_tick->values[f] = s + sin(0.5236 * row + s + f) * (2 + sin(0.01 * row)) + 0.2 * rng_normal(&rng);
    if (rng_below(&rng, 20) == 0)
        ret_tick->values[0] = NAN;
}

uint64_t load_steps(int stream, uint64_t n) {
    uint64_t steps = 0;
    int64_t open = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (ticks[i].stream != stream)
            continue;
        int64_t interval = (begins + ticks[i].row) / INTERVAL;
        steps += *load_class(stream) != 'e' || (open != 0 && interval != open);
        open = interval;
    }
    return steps;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static int row_of(const struct heard_forecast *forecast) {
    return (int)(forecast->t / second - begins);
}

void load_compare(const struct heard_stream *heard, size_t i, const struct heard_stream *all, bool loosely) {
    uint64_t step = heard_at(heard, i)->step;
    if (step > all->n)
        fail_msg("%s came to step %d; there are %zu", all->key, (int)step, all->n);
    const struct heard_forecast *same = heard_at(all, step - 1);
    assert_int_equal(same->step, step);
    if (heard_at(heard, i)->t != same->t)
        fail_msg("%s: a tick was lost or came twice: step %d is of second %d, not of %d", all->key, (int)step,
                 row_of(heard_at(heard, i)), row_of(same));
    if (!loosely)
        heard_compare(heard, i, all, step - 1, 1);
}
