/*
 * A mixture of experts: weights learnt from the losses of forecasts whose answers have arrived.
 *
 * The rule is Bernstein online aggregation (Wintenberger, 2017) on the gradient of the squared error, with a learning
 * rate per expert, so that the mixture's mean loss comes close to that of the best convex combination of the experts: for T
 * answers with errors within b, its regret is at most of the order of b^2 sqrt(T log K). The past is forgotten
 * exponentially with MIXTURE_MEMORY answers, so that the bound holds for a recent stretch rather than for all time. An
 * expert that said nothing of an answer is taken to have done as the mixture did (Freund et al., 1997).
 *
 * One mixture is of one target and one number of steps ahead of one stream. One owner; nothing is allocated.
 */
#ifndef ENGINE_MIXTURE_H
#define ENGINE_MIXTURE_H

#include <stdbool.h>

enum { MIXTURE_MEMORY = 2000 };

/* Of one expert in one mixture. Zeros are one of which nothing is known. */
struct mixture_record {
    float regret;  /* sum of what the mixture lost beyond it, regularised */
    float squares; /* sum of the squares of its regrets */
    float range;   /* the largest */
    float weight;  /* unnormalised, from the above; meaningless before the first answer */
};

/* An answer has arrived: forecasts[k] are what the experts said of it (NaN: nothing), mixed what the mixture said, all
 * in a unit of the target in which errors beyond MIXTURE_CLIP count as that. */
enum { MIXTURE_CLIP = 10 };
void mixture_learn(struct mixture_record *records, int n, const float *forecasts, float mixed, float answer);

/* Shares [n], sum 1, of those experts that speak. Returns false, with zeros, where none does or no answer has come yet. */
bool mixture_shares(const struct mixture_record *records, int n, const bool *speaks, float *shares);

/* The expert begins anew: it is taken to have done as the mixture did all the time. */
void mixture_forget(struct mixture_record *record);

#endif
