/*
 * What the daemon wants of a stream, asked over control: pushed ticks have no answer, so a feed asks
 * before it sends what would all be refused.
 */
#ifndef FORECAST_CLASSES_H
#define FORECAST_CLASSES_H

#include <stddef.h>

struct class_answer {
    enum {
        CLASS_UNKNOWN, /* nobody answered: nothing is known */
        CLASS_NONE,    /* no class matches; text says which there are */
        CLASS_FOUND,
    } result;
    char *name;
    char **features; /* [n_features] */
    int n_features;
    char text[512];
};

/* Asks the daemon at endpoint (NULL: the default) for the class of a stream. Waits at most timeout_ms. */
void class_ask(const char *endpoint, const char *stream, int timeout_ms, struct class_answer *ret_answer);

/* The same from the text of a reply to hello. */
void class_find(const char *hello, const char *stream, struct class_answer *ret_answer);

void class_answer_fini(struct class_answer *answer);

#endif
