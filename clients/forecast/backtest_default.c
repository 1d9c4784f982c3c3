#include "clients/forecast/backtest_default.h"

#include "engine/period.h"

#include <stdlib.h>
#include <string.h>

/* Steps kept at most: of hours more than a year. */
enum { HISTORY_LEAST = 256, HISTORY_MOST = 10000 };

/* Steps between two trainings at least. */
enum { RETRAIN_LEAST = 512 };

enum { YEAR = 31536000 }; /* s */

static const int64_t seconds = 1000000000;

/* Periods that the clock suggests: a day, an hour, a minute, a week. */
static int hints_of(int64_t interval, int *ret_hints) {
    static const int64_t lengths[] = {86400, 3600, 60, 604800};
    int n = 0;
    for (size_t i = 0; interval > 0 && i < sizeof lengths / sizeof *lengths; i++) {
        int64_t steps = lengths[i] * seconds / interval;
        if (lengths[i] * seconds % interval == 0 && steps >= 2 && steps <= PERIOD_MAX)
            ret_hints[n++] = (int)steps;
    }
    return n;
}

/* The period of the stream with the most rows, by its train rows. */
static int find_period(const struct backtest_data *data, struct backtest_default *choice, struct error *err) {
    const struct backtest_stream *longest = &data->streams[0];
    for (int i = 1; i < data->n_streams; i++)
        if (data->streams[i].n > longest->n)
            longest = &data->streams[i];
    struct backtest_stream known = *longest;
    known.n = choice->train < longest->n ? (size_t)choice->train : longest->n;
    choice->interval = backtest_stream_interval(&known);
    if (choice->period > 0 && (size_t)choice->period >= longest->n)
        return error_set(err, "a season of %d steps is never seen twice: the longest stream makes %zu",
                         choice->period, longest->n);
    if (choice->period >= 0)
        return 0;
    int hints[4], n_hints = hints_of(choice->interval, hints);
    struct period found;
    if (period_find(known.values, (int)known.n, data->n_features, hints, n_hints, &found) != 0)
        return error_set(err, "out of memory");
    choice->period = found.period;
    choice->support = found.support;
    return 0;
}

/* A text as YAML has it in double quotes. */
static void put_quoted(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(out, "\\x%02x", *at);
        else
            fputc(*at, out);
    }
    fputc('"', out);
}

static int at_least(int x, int least) {
    return x > least ? x : least;
}

static int at_most(int x, int most) {
    return x < most ? x : most;
}

static void put_model(FILE *out, const struct backtest_default *choice, int history, int window) {
    uint64_t first = choice->train + choice->valid;
    int kept = at_most((int)first, history);
    /* What is held back is not learnt from, and the newest is what matters most: as little as can tell. */
    double share = kept > 0 ? 4.0 * choice->horizon / kept : 0;
    share = share < 0.1 ? 0.1 : share > 0.5 ? 0.5 : share;
    fprintf(out, "models:\n  - name: default\n    class: default\n    horizon: %d\n    period: %d\n", choice->horizon,
            choice->period);
    fprintf(out, "    layers:\n      - lstm: 64\n        dropout: 0.2\n        recurrent_dropout: 0.2\n");
    int64_t each = at_least((int)first / 2, RETRAIN_LEAST), retrain;
    if (__builtin_mul_overflow(choice->interval, each, &retrain) || retrain > YEAR * seconds)
        retrain = YEAR * seconds; /* the most that the key takes */
    if (retrain > 0)
        fprintf(out, "    retrain_every: %lld%s\n", (long long)(retrain % seconds == 0 ? retrain / seconds : retrain),
                retrain % seconds == 0 ? "s" : "ns");
    fprintf(out, "    training:\n      window: %d\n      burn_in: %d\n      unroll: %d\n      batch: 16\n", window,
            window / 7, at_most(window, 64));
    fprintf(out, "      stride: %d\n      epochs: 60\n      min_steps: 1000\n", at_least(window / 7, 1));
    fprintf(out, "      optimizer: adamw\n      weight_decay: 0.05\n      learning_rate: 0.002\n");
    fprintf(out, "      validation: %.4g%%\n      first_after: %llu\n", 100 * share,
            (unsigned long long)(first > 0 ? first : 1));
}

int backtest_default_choose(const struct backtest_data *data, struct backtest_default *choice, struct error *err) {
    size_t size;
    if (choice->train + choice->valid > 1u << 24)
        return error_set(err, "%llu steps to train on are more than the %d that a history holds",
                         (unsigned long long)(choice->train + choice->valid), 1 << 24);
    if (find_period(data, choice, err) != 0)
        return -1;
    FILE *out = open_memstream(&choice->text, &size);
    if (out == NULL)
        return error_set(err, "out of memory");
    int first = (int)(choice->train + choice->valid);
    int history = at_most(at_least(first, HISTORY_LEAST), HISTORY_MOST);
    /* A season behind the horizon is looked up, and a week of days where there is room. */
    history = at_least(history, 2 * (choice->period + choice->horizon) + 1);
    int window = choice->period > 0 ? 7 * choice->period : 128;
    window = at_least(at_most(at_most(window, 256), first / 8), 16);
    fprintf(out, "streams:\n  - class: default\n    pattern: \"*\"\n    features: [");
    for (int i = 0; i < data->n_features; i++) {
        fputs(i > 0 ? ", " : "", out);
        put_quoted(out, data->features[i]);
    }
    fprintf(out, "]\n    max_streams: 1000\n    history: %d\n", history);
    put_model(out, choice, history, window);
    if (fclose(out) == 0)
        return 0;
    free(choice->text);
    choice->text = NULL;
    return error_set(err, "out of memory");
}
