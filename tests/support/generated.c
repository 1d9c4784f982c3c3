#include "tests/support/generated.h"

#include "engine/random.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F = GENERATED_FEATURES, DAY = 24 };

static const double turn = 6.283185307179586;

static double season(size_t i, int f) {
    double phase = turn * (double)i / DAY + f;
    return sin(phase) + 0.5 * sin(2 * phase + 1);
}

/* A season with noise that lasts, about 1.5 in size. */
static void fill_plain(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed};
    double noise[F] = {0};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            noise[f] = 0.8 * noise[f] + 0.4 * rng_normal(&rng);
            values[i * F + (size_t)f] = 10 + season(i, f) + noise[f];
        }
}

/* In one feature of the two, now and then, fifty deviations either way. */
static void fill_bursts(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 1};
    fill_plain(seed, n, values);
    for (size_t i = 0; i < n; i++)
        if (rng_below(&rng, 150) == 0)
            for (uint64_t left = 1 + rng_below(&rng, 3); left > 0 && i < n; left--, i++)
                values[i * F] += 50 * (rng_below(&rng, 2) ? 1 : -1) * (0.5 + rng_uniform(&rng));
}

static void fill_jumps(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 2};
    double level[F] = {0};
    fill_plain(seed, n, values);
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            if (rng_below(&rng, 400) == 0)
                level[f] += 10 * rng_normal(&rng);
            values[i * F + (size_t)f] += level[f];
        }
}

/* The sensor hangs at its last value for stretches of 20 to 320 rows. */
static void fill_flat(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 3};
    fill_plain(seed, n, values);
    for (int f = 0; f < F; f++)
        for (size_t i = 1; i < n; i++)
            if (rng_below(&rng, 300) == 0)
                for (uint64_t left = 20 + rng_below(&rng, 300); left > 0 && i < n; left--, i++)
                    values[i * F + (size_t)f] = values[(i - 1) * F + (size_t)f];
}

/* Single values and whole stretches are missing, and rows too (gap_every). */
static void fill_gaps(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 4};
    fill_plain(seed, n, values);
    for (int f = 0; f < F; f++)
        for (size_t i = 0; i < n; i++) {
            uint64_t left = rng_below(&rng, 500) == 0 ? 10 + rng_below(&rng, 100) : rng_below(&rng, 20) == 0;
            for (; left > 0 && i < n; left--, i++)
                values[i * F + (size_t)f] = NAN;
        }
}

static void fill_walk(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 5};
    double level[F] = {100, 100};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++)
            values[i * F + (size_t)f] = level[f] += rng_normal(&rng);
}

static void fill_noise(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 6};
    for (size_t i = 0; i < n * F; i++)
        values[i] = rng_normal(&rng);
}

/* The season grows and shrinks, moves to other hours, and rides on a trend that turns. */
static void fill_drift(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 7};
    double trend[F] = {0}, level[F] = {0};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            double size = 2 + 1.5 * sin(turn * (double)i / 3000),
                   moved = (double)i + 6 * sin(turn * (double)i / 5000);
            trend[f] = 0.999 * trend[f] + 0.0005 * rng_normal(&rng);
            level[f] += trend[f];
            values[i * F + (size_t)f] = level[f] + size * sin(turn * moved / DAY + f) + 0.4 * rng_normal(&rng);
        }
}

/* Calm and wild weeks: the noise is ten times as large in some. */
static void fill_variance(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 8};
    double noise[F] = {0}, size = 0.2;
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            if (rng_below(&rng, 300) == 0)
                size = size < 1 ? 2 : 0.2;
            noise[f] = 0.7 * noise[f] + size * rng_normal(&rng);
            values[i * F + (size_t)f] = season(i, f) + noise[f];
        }
}

/* Mostly nothing, then a few: counts. */
static void fill_counts(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 9};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            double rate = 0.1 + 0.3 * (1 + sin(turn * (double)i / DAY + f)) / 2;
            values[i * F + (size_t)f] = rng_uniform(&rng) < rate ? (double)(1 + rng_below(&rng, 5)) : 0;
        }
}

/* Another law from the middle on: what was a season of a day is one of 31 rows upside down. */
static void fill_change(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 10};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++)
            values[i * F + (size_t)f] =
                (i < n / 2 ? 2 * season(i, f) : -2 * sin(turn * (double)i / 31 + f)) + 0.3 * rng_normal(&rng);
}

/* The day and the week: five days alike, two others. */
static void fill_week(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 11};
    double noise[F] = {0};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            bool weekend = i / DAY % 7 >= 5;
            noise[f] = 0.6 * noise[f] + 0.2 * rng_normal(&rng);
            values[i * F + (size_t)f] = 5 + (weekend ? 0.3 : 1) * 2 * season(i, f) - (weekend ? 1 : 0) + noise[f];
        }
}

/* It grows by the year, and so do its seasons and its noise. */
static void fill_growth(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 12};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++)
            values[i * F + (size_t)f] = exp((double)i / 2000) * (10 + 2 * season(i, f) + 0.5 * rng_normal(&rng));
}

/* Heavy tails: the noise has no variance to speak of (the ratio of two normal numbers, at times). */
static void fill_tails(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 13};
    for (size_t i = 0; i < n; i++)
        for (int f = 0; f < F; f++) {
            double x = rng_normal(&rng), y = rng_normal(&rng);
            values[i * F + (size_t)f] = season(i, f) + 0.2 * x / fmax(fabs(y), 0.02);
        }
}

/* The second feature does what the first one did three rows before. */
static void fill_coupled(uint64_t seed, size_t n, double *values) {
    struct rng rng = {seed + 14};
    double level = 0;
    for (size_t i = 0; i < n; i++) {
        level = 0.97 * level + rng_normal(&rng);
        values[i * F] = level + 0.2 * rng_normal(&rng);
        values[i * F + 1] = (i >= 3 ? values[(i - 3) * F] : 0) + 0.2 * rng_normal(&rng);
    }
}

const struct generated generated_series[] = {
    {"plain", "a season with noise that lasts", DAY, fill_plain, 0},
    {"bursts", "fifty deviations now and then, in one of two features", DAY, fill_bursts, 0},
    {"jumps", "the level jumps", DAY, fill_jumps, 0},
    {"flat", "the value hangs for stretches", DAY, fill_flat, 0},
    {"gaps", "values, stretches and rows are missing", DAY, fill_gaps, 700},
    {"walk", "a random walk", 0, fill_walk, 0},
    {"noise", "noise without memory", 0, fill_noise, 0},
    {"drift", "season and trend change", DAY, fill_drift, 0},
    {"variance", "calm and wild weeks", DAY, fill_variance, 0},
    {"counts", "mostly zeros", DAY, fill_counts, 0},
    {"week", "a day and a week", DAY, fill_week, 0},
    {"growth", "it grows, and its seasons and noise with it", DAY, fill_growth, 0},
    {"tails", "noise with heavy tails", DAY, fill_tails, 0},
    {"coupled", "one feature follows the other", 0, fill_coupled, 0},
    {"change", "another law from the middle on", DAY, fill_change, 0},
};
const int generated_count = sizeof generated_series / sizeof *generated_series;

const struct generated *generated_of(const char *name) {
    for (int i = 0; i < generated_count; i++)
        if (strcmp(generated_series[i].name, name) == 0)
            return &generated_series[i];
    abort();
}

int64_t generated_time(const struct generated *series, size_t row) {
    size_t gaps = series->gap_every > 0 ? row / (size_t)series->gap_every : 0;
    return (int64_t)(1600000000 + 3600 * (row + 47 * gaps)) * 1000000000;
}

int generated_write(const struct generated *series, uint64_t seed, size_t n, const char *path) {
    FILE *out = fopen(path, "w");
    double *values = malloc(n * F * sizeof *values);
    if (out == NULL || values == NULL)
        abort();
    series->fill(seed, n, values);
    fputs("time,a,b\n", out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "%lld", (long long)(generated_time(series, i) / 1000000000));
        for (int f = 0; f < F; f++)
            fprintf(out, isnan(values[i * F + (size_t)f]) ? "," : ",%.9g", values[i * F + (size_t)f]);
        fputc('\n', out);
    }
    free(values);
    return fclose(out) == 0 ? 0 : -1;
}
