/* Streams as images, out of the daemon. */
#include "daemon/control_internal.h"

#include "daemon/records.h"
#include "daemon/stored_json.h"

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
