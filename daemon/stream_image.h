/*
 * A stream as an image (engine/image.h): its series and, model by model, what its slots hold; and its steps, in blocks
 * of their own, so that what was written of the past is not written again. The stream's worker only.
 */
#ifndef DAEMON_STREAM_IMAGE_H
#define DAEMON_STREAM_IMAGE_H

#include "daemon/stored.h"
#include "daemon/stream.h"
#include "engine/config.h"
#include "engine/image.h"

#include <stdbool.h>
#include <stdint.h>

/* Steps of a block; the one that holds step s begins behind a multiple of it. */
enum { STREAM_IMAGE_BLOCK = 64 };

/* Whether the stream can be written now: no step of it waits, and no slot of it replays. */
bool stream_image_can(const struct stream *stream);

/* What the stream is, for the store, with the blocks of its steps behind `saved`, as far as they are held. NULL when memory is
 * short. */
struct stored *stream_image_new(const struct config *config, const struct stream *stream, uint64_t saved);

/* Whether it is of a stream of the class: -1 with the sentence in err. Fills in `taken`. Any thread. */
int stream_image_fits(const struct config *config, int class, struct stored *stored, struct error *err);
/* And whether all its steps are whole, which what comes from the store is: that has sums of its own. */
int stream_image_check(const struct config *config, int class, struct stored *stored, struct error *err);

/* Which version (number 0: none) the stream stood under in each model, in ret_versions [n_models];
 * STREAM_IMAGE_NONE where the image has nothing of the model. -1 with the sentence in err. Any thread. */
#define STREAM_IMAGE_NONE UINT64_MAX
int stream_image_versions(const struct config *config, const struct stored *stored,
                          struct saved_version *ret_versions, struct error *err);

/* The stream, which is new and has places that it has not acquired, becomes what it was, and acquires them. Returns the
 * number of models, as which the image does not fit any more (err says why of one): they begin behind the steps, as does one
 * of which it has nothing. -1 with the sentence in err: the image is not the stream's, which is then to be made anew. */
int stream_image_read(const struct config *config, struct stream *stream, const struct stored *stored,
                      struct error *err);

#endif
