/*
 * A stream's image as JSON, for control: a map {"stream", "class", "generation", "size", "image",
 * "blocks": [{"number", "size", "steps"}]}, the bytes as Z85 (rfc.zeromq.org/spec/32), padded with zeros to a multiple of
 * four.
 */
#ifndef DAEMON_STORED_JSON_H
#define DAEMON_STORED_JSON_H

#include "daemon/stored.h"

#include <jansson.h>

/* NULL when memory is short. */
json_t *stored_json_write(const struct stored *stored, const char *class);

/* An image as stored_json_write gives it. NULL with the sentence in err. */
struct stored *stored_json_read(const json_t *map, struct error *err);

#endif
