/*
 * Another configuration for a process that runs: what the table marks live is taken over in place, the rest is named.
 *
 * A live key is read by one thread alone, the one that calls this, or it is an atomic in struct config, whoever reads it;
 * what must not change in the midst of some work is copied when that begins.
 */
#ifndef ENGINE_CONFIG_LIVE_H
#define ENGINE_CONFIG_LIVE_H

#include "engine/config.h"

/* A key that differs, by its path ("models[0].retrain_every"); live: it has been taken over. */
typedef void config_changed(void *context, const char *path, bool live);

/* Both are whole. What is not live stays as it is in `to`; entries of lists are compared by their place, and where they
 * are of another name nothing of them is taken. */
void config_take_live(struct config *to, const struct config *from, config_changed *changed, void *context);

#endif
