/* Streams as images, out of the daemon and into it. */
#include "daemon/control_internal.h"

#include "daemon/records.h"
#include "daemon/returns.h"
#include "daemon/stored_json.h"
#include "daemon/stream_image.h"
#include "daemon/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Has the worker make the image, and answers the request with it. */
static void order_image(struct control *control, struct stream *stream, uint64_t request) {
    struct image_order *order = calloc(1, sizeof *order);
    if (order == NULL) {
        requests_answer_kept(control->requests, request, control_no_memory());
        return;
    }
    *order = (struct image_order){.request = request, .stream = stream};
    const struct record_image record = {RECORD_IMAGE, order};
    if (!ingest_command(control->setup.ingest, stream->worker, &record, sizeof record)) {
        requests_answer_kept(control->requests, request, control_busy());
        free(order);
    }
}

static json_t *describe_image(const struct control *control, const struct stored *image) {
    int class = streams_class_of(control->setup.streams, image->name);
    json_t *map = stored_json_write(image, class >= 0 ? control->setup.config->classes[class].name : "");
    return map != NULL ? json_pack("{s:b, s:o}", "ok", 1, "image", map) : control_no_memory();
}

void control_image_done(struct control *control, struct image_order *order) {
    requests_answer_kept(control->requests, order->request,
                         order->image != NULL ? describe_image(control, order->image) : control_no_memory());
    stored_free(order->image);
    free(order);
}

/* What the store has of a stream that stays there. */
static json_t *describe_answer(const struct control *control, const struct stored *answer) {
    if (answer->found == STORED_IMAGE)
        return describe_image(control, answer);
    json_t *unread = control_unread(answer);
    return unread != NULL ? unread : control_failure("unknown_stream", "no such stream");
}

/* In memory its worker has it, and who returns is soon there; what is on disk is read there. */
static bool go_on_exporting(struct control *control, struct waiting *waiting, struct stored *answer) {
    const char *name = control_text(waiting->request, "stream");
    size_t n = strlen(name);
    struct stream *stream = answer == NULL ? streams_find(control->setup.streams, name, n) : NULL;
    if (stream != NULL) {
        order_image(control, stream, waiting->number);
        return true;
    }
    const struct returning *returning = answer == NULL ? returns_find(control->setup.returns, name, n) : NULL;
    bool comes = returning != NULL;
    if (answer == NULL && !comes)
        waiting->asked = returns_look(control->setup.returns, name, n, waiting->number);
    json_t *reply = answer != NULL                          ? describe_answer(control, answer)
                    : comes && returning_is_held(returning) ? control_held()
                    : comes && store_degraded(control->setup.store)
                        ? control_failure("degraded", "the stream is on its way from a disk that fails: try again")
                        : NULL;
    return control_done(control, waiting, answer, reply);
}

json_t *control_export(struct control *control, const json_t *request) {
    json_t *failed;
    const char *name = control_text(request, "stream");
    struct stream *stream = control_stream_of(control, request, -1, &failed);
    if (stream == NULL && (name == NULL || strlen(name) > WIRE_MAX_NAME || control->setup.returns == NULL))
        return failed;
    if (stream == NULL) {
        json_decref(failed);
        return control_wait(control, request, go_on_exporting);
    }
    uint64_t number = requests_keep(control->requests);
    if (number == 0)
        return control_crowded();
    order_image(control, stream, number);
    return NULL;
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
static json_t *check_image(const struct control *control, const json_t *request, struct stored *image,
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

/* It is answered when it is durable: what came of it is known by then. */
static bool go_on_importing(struct control *control, struct waiting *waiting, struct stored *answer) {
    const struct store *store = control->setup.store;
    json_t *reply = NULL;
    if (store_degraded(store))
        reply =
            control_failure("degraded", "the disk fails: whether the stream comes to be shows when it works again");
    else if (waiting->order > 0 && store_durable(store) >= waiting->order)
        reply = control_success();
    return control_done(control, waiting, answer, reply); /* it asks for nothing, so there is no answer */
}

/* With a store; NULL: it is on its way, and the image taken over. */
static json_t *begin_import(struct control *control, int class, struct stored *image) {
    if (store_degraded(control->setup.store))
        return control_failure("degraded", "the disk fails: no stream is taken until it works again");
    json_t *failed = control_wait(control, NULL, go_on_importing);
    if (failed != NULL)
        return failed;
    struct waiting *waiting = control->waiting->previous; /* utlist: the last one */
    int begun = ingest_import(control->setup.ingest, class, image, waiting->number);
    if (begun == 1)
        return NULL;
    requests_answer_kept(control->requests, waiting->number, begun == -1 ? there_is() : control_busy());
    control_forget(control, waiting);
    stored_free(image);
    return NULL;
}

json_t *control_import(struct control *control, const json_t *request) {
    struct error err;
    struct stored *image = stored_json_read(json_object_get(request, "image"), &err);
    if (image == NULL)
        return control_failure("argument", err.text);
    int class;
    json_t *failed = check_image(control, request, image, &class);
    if (failed == NULL && control->setup.returns != NULL) {
        failed = begin_import(control, class, image);
        if (failed == NULL)
            return NULL;
    }
    int begun = failed == NULL ? ingest_import(control->setup.ingest, class, image, 0) : -2;
    if (begun == 0)
        return control_success();
    stored_free(image);
    return failed != NULL ? failed : begun == -1 ? there_is() : control_busy();
}

void control_answer_imports(struct control *control) {
    struct import_outcome outcome;
    while (control->setup.returns != NULL && returns_imported(control->setup.returns, &outcome)) {
        struct waiting *waiting = control->waiting;
        while (waiting != NULL && waiting->number != outcome.request)
            waiting = waiting->next;
        if (waiting == NULL)
            continue; /* it was answered while the disk failed */
        waiting->order = outcome.order;
        if (outcome.done)
            continue;
        requests_answer_kept(control->requests, waiting->number, there_is());
        control_forget(control, waiting);
    }
}
