#include "engine/event.h"

#include "engine/loss.h"

#include <math.h>

int event_width(int n_classes) {
    return n_classes == 2 ? 1 : n_classes;
}

void event_probabilities(int n_classes, const float *y, float *ret_probabilities) {
    double most = -INFINITY, sum = 0;
    if (n_classes == 2) {
        *ret_probabilities = (float)loss_probability((double)*y);
        return;
    }
    for (int i = 0; i < n_classes; i++)
        most = fmax(most, (double)y[i]);
    for (int i = 0; i < n_classes; i++)
        sum += exp((double)y[i] - most);
    for (int i = 0; i < n_classes; i++)
        ret_probabilities[i] = (float)(exp((double)y[i] - most) / sum);
}

bool event_is_label(int n_classes, double label) {
    return label >= 0 && label < n_classes && label == floor(label);
}

void event_count(double *counts, int n_classes, int label) {
    for (int i = 0; i < n_classes; i++)
        counts[i] *= 1 - 1.0 / EVENT_MEMORY;
    counts[label] += 1;
}

void event_baseline(const double *counts, int n_classes, float *ret_probabilities) {
    double sum = n_classes;
    for (int i = 0; i < n_classes; i++)
        sum += counts[i];
    for (int i = 0, first = n_classes == 2; i + first < n_classes; i++)
        ret_probabilities[i] = (float)((counts[i + first] + 1) / sum);
}

static void move(struct event_means *means, double brier, double accuracy, double share) {
    means->brier += (brier - means->brier) * share;
    means->accuracy += (accuracy - means->accuracy) * share;
}

void event_score_add(struct event_score *score, int n_classes, const float *probabilities, int label) {
    double brier = 0, off;
    int likeliest = 0;
    if (n_classes == 2) {
        off = (double)*probabilities - label;
        brier = off * off;
        likeliest = *probabilities > 0.5f;
    } else {
        for (int i = 0; i < n_classes; i++) {
            off = (double)probabilities[i] - (i == label);
            brier += off * off;
            likeliest = probabilities[i] > probabilities[likeliest] ? i : likeliest;
        }
    }
    score->n++;
    move(&score->all, brier, likeliest == label, 1 / (double)score->n);
    move(&score->recent, brier, likeliest == label,
         1 / (double)(score->n < EVENT_MEMORY ? score->n : (uint64_t)EVENT_MEMORY));
}
