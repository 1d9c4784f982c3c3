/* Streams as images, out of the daemon and into it. */
#include "daemon/control_internal.h"

#include "daemon/records.h"
#include "daemon/returns.h"
#include "daemon/stored_json.h"
#include "daemon/stream_image.h"

#include <stdio.h>
#include <stdlib.h>

json_t *control_export(struct control *control, const json_t *request) {
    json_t *failed;
    struct stream *stream = control_stream_of(control, request, NULL, &failed);
    if (stream == NULL)
        return failed;
    struct image_order *order = calloc(1, sizeof *order);
    if (order == NULL)
        return control_failure("memory", "out of memory");
    order->stream = stream;
    order->request = requests_keep(control->requests);
    if (order->request == 0) {
        free(order);
        return control_failure("busy", "too many requests wait: try again");
    }
    const struct record_image record = {RECORD_IMAGE, order};
    if (!ingest_command(control->setup.ingest, stream->worker, &record, sizeof record)) {
        requests_answer_kept(control->requests, order->request, control_busy());
        free(order);
    }
    return NULL;
}

void control_image_done(struct control *control, struct image_order *order) {
    const char *class = control->setup.config->classes[order->stream->class].name;
    json_t *map = order->image != NULL ? stored_json_write(order->image, class) : NULL;
    json_t *reply =
        map != NULL ? json_pack("{s:b, s:o}", "ok", 1, "image", map) : control_failure("memory", "out of memory");
    requests_answer_kept(control->requests, order->request, reply);
    stored_free(order->image);
    free(order);
}

/* ---- import --------------------------------------------------------------------------------- */

static uint64_t weights_of(const struct control *control, int model) {
    const struct version *version = placement_version(control->setup.placement, model);
    return version != NULL ? version_weights(version) : 0;
}

/* Whether each model of the stream has the weights now that it had then; NULL, or an error reply. */
static json_t *check_weights(const struct control *control, int class, const struct stored *image) {
    const struct config *config = control->setup.config;
    struct saved_version versions[config->n_models];
    struct error err;
    if (stream_image_versions(config, image, versions, &err) != 0)
        return control_failure("argument", err.text);
    for (int m = 0; m < config->n_models; m++) {
        bool had = config->models[m].class == class && versions[m].number != STREAM_IMAGE_NONE;
        if (!had || versions[m].weights == weights_of(control, m))
            continue;
        char sentence[512];
        snprintf(
            sentence, sizeof sentence,
            "the image of stream %s is of other weights than model %s has now: with `reprime` its steps are run again",
            image->name, config->models[m].name);
        return control_failure("weights", sentence);
    }
    return NULL;
}

/* What stands in the way of it, an error reply; NULL: nothing, and *ret_class is the stream's. */
static json_t *check_image(const struct control *control, const json_t *request, const struct stored *image,
                           int *ret_class) {
    struct error err;
    *ret_class = streams_class_of(control->setup.streams, image->name);
    if (*ret_class < 0)
        return control_failure("argument", "the stream's name belongs to no class");
    if (stream_image_check(control->setup.config, *ret_class, image, &err) != 0)
        return control_failure("argument", err.text);
    return json_is_true(json_object_get(request, "reprime")) ? NULL : check_weights(control, *ret_class, image);
}

static json_t *there_is(void) {
    return control_failure("exists", "there is a stream of this name: end it first");
}

json_t *control_import(struct control *control, const json_t *request) {
    struct error err;
    struct stored *image = stored_json_read(json_object_get(request, "image"), &err);
    if (image == NULL)
        return control_failure("argument", err.text);
    int class;
    json_t *failed = check_image(control, request, image, &class);
    uint64_t number = failed == NULL && control->setup.returns != NULL ? requests_keep(control->requests) : 0;
    if (failed == NULL && control->setup.returns != NULL && number == 0)
        failed = control_failure("busy", "too many requests wait: try again");
    int begun = failed == NULL ? ingest_import(control->setup.ingest, class, image, number) : -2;
    if (begun == 1)
        return NULL;
    if (begun == 0)
        return control_success();
    stored_free(image);
    if (failed == NULL)
        failed = begun == -1 ? there_is() : control_busy();
    if (number == 0)
        return failed;
    requests_answer_kept(control->requests, number, failed);
    return NULL;
}

void control_answer_imports(struct control *control) {
    uint64_t number;
    bool done;
    while (control->setup.returns != NULL && returns_imported(control->setup.returns, &number, &done))
        requests_answer_kept(control->requests, number, done ? control_success() : there_is());
}
