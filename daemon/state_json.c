#include "daemon/state_json.h"

#include <float.h>
#include <math.h>
#include <string.h>

json_t *state_json_make(const struct network *network, const float *state) {
    const struct network_spec *spec = network_spec(network);
    json_t *map = json_object();
    for (int l = 0; l < spec->n_layers; l++) {
        size_t at;
        int n, pieces = network_layer_states(network, l, &at, &n);
        json_t *layer = json_array();
        for (int p = 0; p < pieces; p++) {
            json_t *piece = json_array();
            for (int i = 0; i < n; i++)
                json_array_append_new(piece, json_real((double)state[at++]));
            json_array_append_new(layer, piece);
        }
        if (pieces > 0)
            json_object_set_new(map, spec->layers[l].name, layer);
        else
            json_decref(layer);
    }
    return map;
}

static int read_piece(const json_t *piece, const char *name, int index, int n, float *ret_piece, struct error *err) {
    if (!json_is_array(piece) || json_array_size(piece) != (size_t)n)
        return error_set(err, "state.%s[%d] is not an array of %d numbers", name, index, n);
    for (int i = 0; i < n; i++) {
        const json_t *value = json_array_get(piece, (size_t)i);
        double x = json_number_value(value);
        if (!json_is_number(value) || !(fabs(x) <= (double)FLT_MAX))
            return error_set(err, "state.%s[%d][%d] is not a number that a float holds", name, index, i);
        ret_piece[i] = (float)x;
    }
    return 0;
}

static int read_layer(const struct network *network, const char *name, const json_t *layer, float *ret_state,
                      struct error *err) {
    const struct network_spec *spec = network_spec(network);
    for (int l = 0; l < spec->n_layers; l++) {
        if (strcmp(spec->layers[l].name, name) != 0)
            continue;
        size_t at;
        int n, pieces = network_layer_states(network, l, &at, &n);
        if (pieces == 0)
            return error_set(err, "layer %s has no state", name);
        if (!json_is_array(layer) || json_array_size(layer) != (size_t)pieces)
            return error_set(err, "state.%s is not an array of %d arrays", name, pieces);
        for (int p = 0; p < pieces; p++)
            if (read_piece(json_array_get(layer, (size_t)p), name, p, n, ret_state + at + p * n, err) != 0)
                return -1;
        return 0;
    }
    /* A name that the sentence would cut may be cut within a character. */
    return error_set(err, "the model has no layer %s", strlen(name) < LAYER_NAME_MAX ? name : "of so long a name");
}

int state_json_read(const struct network *network, const json_t *map, float *ret_state, struct error *err) {
    if (!json_is_object(map) || json_object_size(map) == 0)
        return error_set(err, "state is not a map with a layer");
    for (size_t i = 0; i < network_state_size(network); i++)
        ret_state[i] = NAN;
    const char *name;
    json_t *layer;
    json_object_foreach((json_t *)map, name,
                        layer) if (read_layer(network, name, layer, ret_state, err) != 0) return -1;
    return 0;
}
