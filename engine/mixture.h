/*
 * A mixture of experts: weights learnt from the losses of forecasts whose answers have arrived.
 *
 * The rule is Bernstein online aggregation (Wintenberger, 2017): exponential weights with a learning rate per
 * expert, on the gradient of the loss, so that the mixture's mean loss comes close to that of the best convex
 * combination of the experts: for T answers its regret is at most of the order of b sqrt(T log K), b being the
 * largest regret of one answer. The past is forgotten exponentially with MIXTURE_MEMORY answers.
 *
 * The answer h steps ahead comes h steps late, and as many forecasts are made before it can tell: at the rates of
 * prompt answers the weights would go too far, from one that was wrong to another. So the rates are less by sqrt(h);
 * the bound of the regret grows by as much, as it must (Weinberger and Ordentlich, 2002).
 *
 * The loss is the squared and the absolute error together, each relative to the mixture's own running mean of it, as
 * neither alone makes the other small; and of the two, that one counts more in which the mixture is further from the
 * best of its rivals, some of the experts. Errors beyond MIXTURE_CLIP times the root of the mean square count as
 * that. An expert that said nothing of an answer is taken to have done as the mixture did (Freund et al., 1997).
 *
 * One mixture is of one target and one number of steps ahead of one stream. One owner; nothing is allocated.
 */
#ifndef ENGINE_MIXTURE_H
#define ENGINE_MIXTURE_H

#include "engine/image.h"

#include <stdbool.h>

enum { MIXTURE_MEMORY = 3000, MIXTURE_ERRORS = 1000, MIXTURE_CLIP = 10 };

/* Running means of errors over MIXTURE_ERRORS answers. Zeros: none yet. */
struct mixture_errors {
    float square, absolute;
    float n; /* answers, up to as many */
};

/* Of one expert in one mixture. Zeros are one of which nothing is known. */
struct mixture_record {
    float regret;  /* sum of what the mixture lost beyond it, less rate x its square */
    float squares; /* sum of the squares of its regrets, times h */
    float range;   /* the largest */
    float rate;    /* of its learning, from the above; 0: not known. Its weight is rate x exp(rate x regret) */
};

/* The answer to what was forecast h steps before has arrived: forecasts [n] are what the experts said of it (NaN:
 * nothing), mixed what the mixture said; all finite and in one unit; bit k of rivals: expert k is one. errors [n + 1]
 * are the experts' and, last, the mixture's own. The records [n] are those of a context: where answers are of
 * different kinds, each kind may have records of its own. */
void mixture_learn(struct mixture_errors *errors, struct mixture_record *records, int n, int h, unsigned rivals,
                   const float *forecasts, float mixed, float answer);

/* Shares [n], sum 1, of those experts that speak; prior [n], above 0: what they would be, but for a factor, without
 * losses. Returns false, with zeros, where none does or no answer has come yet. */
bool mixture_shares(const struct mixture_record *records, int n, const bool *speaks, const float *prior,
                    float *shares);

/* Somebody new speaks as expert k: nothing is known but how large regrets are (the others'), so that a few answers
 * decide little. */
void mixture_renew(struct mixture_record *records, int n, int k);

/* The records [n] of a context, and errors [n], to an image or from one. */
void mixture_serialize_records(struct mixture_record *records, int n, struct image_io *io);
void mixture_serialize_errors(struct mixture_errors *errors, int n, struct image_io *io);

#endif
