/*
 * A version as a file: its parameters and its pooled ridge, what model they are for, and facts for people. Written by
 * the daemon before anybody takes the version over, read when it starts and by a backtest. An image (image.h):
 *
 *     "vers" 1:  u64 number   u32 n, text that it is for   u32 n, text of facts
 *                u8 has a network   u32 n, f32 [n] parameters
 *                u32 n, f32 [n] coefficients of the ridge (0: none)   i64 period, i64 window that it was solved for
 *
 * Any thread; blocks while the disk works.
 */
#ifndef ENGINE_VERSION_FILE_H
#define ENGINE_VERSION_FILE_H

#include "engine/config.h"
#include "engine/version.h"

/* What decides whether parameters fit a model and mean the same in it: features, targets, horizon, how values are
 * scaled and the output is read, the layers; as JSON. The caller's to free; NULL with the sentence in err. */
char *version_file_model(const struct config_model *model, const struct config_class *class, struct error *err);

/* As a whole or not at all. made_for: by version_file_model; facts: any text. Returns -1 with the sentence in err. */
int version_file_write(const char *path, const struct config_model *model, const struct version *version,
                       const char *made_for, const char *facts, struct error *err);

enum version_file {
    VERSION_FILE_READ,
    VERSION_FILE_NONE,    /* there is no such file */
    VERSION_FILE_DAMAGED, /* it is not what was written, or something else */
    VERSION_FILE_NEWER,   /* of a later program */
    VERSION_FILE_OTHER,   /* whole, but made for another model: err says what differs */
    VERSION_FILE_FAILED,  /* the disk or the memory */
};

/* ret_facts (NULL: not asked for): the caller's to free. A ridge that does not fit the model is left out. Where the result is not VERSION_FILE_READ err has the
 * sentence, and nothing is returned. */
enum version_file version_file_read(const char *path, const struct config_model *model, const char *made_for,
                                    struct version **ret_version, char **ret_facts, struct error *err);

/* A sum of a network's parameters, that differs where they do; 0 of NULL. */
uint64_t version_file_digest(const struct network *network);

#endif
