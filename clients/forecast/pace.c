#include "clients/forecast/pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct shown {
    UT_hash_handle hh;
    int64_t at;
    char key[]; /* model/stream: a model's name has no slash */
};

struct pace {
    int64_t every;
    struct shown *shown;
};

struct pace *pace_new(int64_t every) {
    struct pace *pace = calloc(1, sizeof *pace);
    if (pace != NULL)
        pace->every = every;
    return pace;
}

void pace_free(struct pace *pace) {
    if (pace == NULL)
        return;
    struct shown *shown, *next;
    HASH_ITER (hh, pace->shown, shown, next) {
        HASH_DEL(pace->shown, shown);
        free(shown);
    }
    free(pace);
}

bool pace_due(struct pace *pace, const char *model, const char *stream, int64_t now) {
    char key[1024];
    int n = snprintf(key, sizeof key, "%s/%s", model, stream);
    if (n >= (int)sizeof key)
        return true;
    struct shown *shown;
    HASH_FIND_STR(pace->shown, key, shown);
    if (shown != NULL && now - shown->at < pace->every)
        return false;
    if (shown == NULL) {
        shown = calloc(1, sizeof *shown + (size_t)n + 1);
        if (shown == NULL)
            return true;
        memcpy(shown->key, key, (size_t)n + 1);
        HASH_ADD_STR(pace->shown, key, shown);
    }
    shown->at = now;
    return true;
}
