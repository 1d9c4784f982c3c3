#include "clients/forecast/classes.h"

#include "clients/libforecast/forecast.h"

#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* Copies the class' name and features. Without memory nothing is known. */
static void take_class(const json_t *found, struct class_answer *answer) {
    const json_t *features = json_object_get(found, "features");
    size_t n = json_array_size(features);

    answer->result = CLASS_FOUND;
    answer->name = strdup(text_of(found, "class"));
    answer->features = calloc(n + 1, sizeof *answer->features);
    for (size_t i = 0; answer->features && i < n; i++) {
        const char *feature = json_string_value(json_array_get(features, i));

        answer->features[i] = strdup(feature ? feature : "");
        if (!answer->features[i])
            break;
        answer->n_features++;
    }
    if (!answer->name || answer->n_features != (int)n) {
        class_answer_fini(answer);
        *answer = (struct class_answer){.result = CLASS_UNKNOWN};
    }
}

void class_find(const char *hello, const char *stream, struct class_answer *ret_answer) {
    json_t *reply = json_loads(hello, 0, NULL), *class;
    const json_t *classes = json_object_get(reply, "classes");
    size_t i, used = 0;

    *ret_answer = (struct class_answer){.result = json_is_array(classes) ? CLASS_NONE : CLASS_UNKNOWN};
    json_array_foreach(classes, i, class) {
        const char *pattern = text_of(class, "pattern");

        if (fnmatch(pattern, stream, 0) == 0) {
            take_class(class, ret_answer);
            break;
        }
        if (used < sizeof ret_answer->text)
            used += (size_t)snprintf(ret_answer->text + used, sizeof ret_answer->text - used, "%s%s", i ? ", " : "",
                                     pattern);
    }
    json_decref(reply);
}

void class_ask(const char *endpoint, const char *stream, int timeout_ms, struct class_answer *ret_answer) {
    struct forecast_control *control;
    const char *reply;

    *ret_answer = (struct class_answer){.result = CLASS_UNKNOWN};
    if (forecast_control_open(endpoint, &control))
        return;
    if (forecast_control_hello(control, timeout_ms, &reply) == FORECAST_OK)
        class_find(reply, stream, ret_answer);
    forecast_control_close(&control);
}

void class_answer_fini(struct class_answer *answer) {
    for (int i = 0; i < answer->n_features; i++)
        free(answer->features[i]);
    free(answer->features);
    free(answer->name);
    *answer = (struct class_answer){0};
}
