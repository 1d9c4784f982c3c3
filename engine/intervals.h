/*
 * Intervals around any point forecast that hold their share of the answers in the long run, whatever the data:
 * adaptive conformal inference, online, in constant memory and time for each answer.
 *
 * For each slot, cell (a target at a scored step ahead) and level p the half-width is
 *     r = widening x sum_k weight_k x q_k x base_k x (1 + c / (1 + n / h))
 * where base_k is a slow or a fast exponential mean of the cell's absolute errors, or the half-width that the network
 * itself gives to this forecast, where it does (heads of quantiles or a likelihood); q_k follows the p-quantile of
 * |error| / base_k (a quantile tracker: q += step x q x (miss - (1 - p)); Gibbs and Candes 2021, Angelopoulos and
 * others 2023), with several sizes of step, which are mixed by exponential weights of their pinball losses with a
 * fixed share (Gibbs and Candes 2024, DtACI; in the form (1 - eta loss), which needs no exponential); widening
 * follows the misses of what was really published, and so holds the long-run share whatever the mixture does; and the
 * last factor is Student's, expanded (c = (z^2 + 1) / 4), for n answers of which about every h-th tells something
 * new.
 *
 * Around |error|, not the two sides by themselves: measured on fifteen series, 8 % narrower at the same coverage.
 *
 * While a level has had fewer than 1 / (1 - p) - 1 answers its conformal interval is infinite: it is capped at the
 * largest error so far, and flagged; later at twice the largest.
 *
 * Trackers and bases have a floor below which they do not sink while nothing goes wrong: else a stream that sleeps
 * for long would be without intervals when it wakes up.
 *
 * One owner; memory is taken at new, none later.
 */
#ifndef ENGINE_INTERVALS_H
#define ENGINE_INTERVALS_H

#include "engine/image.h"

#include <stdbool.h>
#include <stddef.h>

struct intervals;

/* own: forecasts may come with half-widths of the network's. Of slots x (n_steps x n_targets) cells: cell i *
 * n_targets + j is target j at step ahead steps[i]; levels [n_levels] in percent, ascending. NULL when memory is
 * short. */
struct intervals *intervals_new(int slots, const int *steps, int n_steps, int n_targets, const double *levels,
                                int n_levels, bool own);
void intervals_free(struct intervals *intervals);

/* Nothing is known of the slot any more. */
void intervals_restart(struct intervals *intervals, int slot);

/* An answer has arrived: its error, the half-widths that had been published for it, [n_levels], NaN: none, and what
 * the network had given, [n_levels], NULL or not above 0: nothing. */
void intervals_answer(struct intervals *intervals, int slot, int cell, double error, const float *published,
                      const float *own);

/* The half-widths of a forecast made now, to which the network gives its own (as above), ret_radii [n_levels]: never
 * negative, none less than the one of the level before; NaN before the first answer, or beyond what a float holds.
 * Returns whether one of them is capped. */
bool intervals_radii(const struct intervals *intervals, int slot, int cell, const float *own, float *ret_radii);

/* A slot's, as a section of an image, or from one of the same steps, targets and levels. */
void intervals_serialize(struct intervals *intervals, int slot, struct image_io *io);

#endif
