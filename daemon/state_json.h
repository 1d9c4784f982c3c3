/*
 * The state of a slot as a map from the names of layers to arrays of their pieces, in the order of Keras'
 * return_state: {"lstm": [[h...], [c...]], "gru": [[h...]]}. Pure functions; any thread.
 */
#ifndef DAEMON_STATE_JSON_H
#define DAEMON_STATE_JSON_H

#include "engine/network.h"

#include <jansson.h>

/* A new map; state [network_state_size]. */
json_t *state_json_make(const struct network *network, const float *state);

/* Reads such a map into ret_state [network_state_size]: NaN for the layers that it leaves out. Returns -1 with the
 * sentence in err where it does not fit the network, ret_state then being undefined. */
int state_json_read(const struct network *network, const json_t *map, float *ret_state, struct error *err);

#endif
