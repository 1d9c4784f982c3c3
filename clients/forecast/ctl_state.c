#include "clients/forecast/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *ctl_read_state(const char *path) {
    json_error_t error;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file) {
        fprintf(stderr, "forecast ctl: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    json_t *read = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    if (file != stdin)
        fclose(file);
    if (!json_is_object(read)) {
        fprintf(stderr, "forecast ctl: %s: %s\n", path, read ? "not a JSON object" : error.text);
        json_decref(read);
        return NULL;
    }
    /* A layer that is called "state" holds an array. */
    json_t *inner = json_object_get(read, "state");
    if (!json_is_object(inner))
        return read;
    json_incref(inner);
    json_decref(read);
    return inner;
}

char *ctl_absolute(const char *path) {
    char *folder = NULL, *whole = NULL;
    if (path[0] == '/')
        whole = strdup(path);
    else if ((folder = getcwd(NULL, 0)) && asprintf(&whole, "%s/%s", folder, path) < 0)
        whole = NULL;
    if (!whole)
        fprintf(stderr, "forecast ctl: %s: %s\n", path, strerror(errno));
    free(folder);
    return whole;
}

void ctl_print_state(const json_t *reply) {
    const char *layer;
    json_t *pieces, *piece, *value;
    size_t p, i;
    printf("version %" JSON_INTEGER_FORMAT ", step %" JSON_INTEGER_FORMAT ", primed %" JSON_INTEGER_FORMAT "\n",
           json_integer_value(json_object_get(reply, "version")), json_integer_value(json_object_get(reply, "step")),
           json_integer_value(json_object_get(reply, "primed")));
    json_object_foreach(json_object_get(reply, "state"), layer, pieces) json_array_foreach(pieces, p, piece) {
        printf("%s[%zu]", layer, p);
        json_array_foreach(piece, i, value) printf(" %.9g", json_number_value(value));
        putchar('\n');
    }
}
