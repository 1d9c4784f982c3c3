#include "clients/forecast/feed_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct waiting {
    int64_t t, label;
};

struct feed_labels_stream {
    UT_hash_handle hh;
    char *name;
    struct waiting *ring; /* [after] the latest rows */
    size_t at, n;         /* the oldest, and how many */
};

static int send_label(struct feed_labels *labels, const char *stream, struct waiting label) {
    if (label.label == ROWS_NO_LABEL)
        return 0;
    int code = feed_sender_label(labels->sender, stream, label.t, label.label);
    labels->sent += code == 0;
    return code;
}

/* NULL without memory. */
static struct feed_labels_stream *find(struct feed_labels *labels, const char *name) {
    struct feed_labels_stream *stream;
    HASH_FIND_STR(labels->streams, name, stream);
    if (stream != NULL || (stream = calloc(1, sizeof *stream)) == NULL)
        return stream;
    stream->name = strdup(name);
    stream->ring = calloc((size_t)labels->after, sizeof *stream->ring);
    if (stream->name == NULL || stream->ring == NULL) {
        free(stream->name);
        free(stream->ring);
        free(stream);
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, labels->streams, stream->name, strlen(stream->name), stream);
    return stream;
}

int feed_labels_row(struct feed_labels *labels, const char *stream, int64_t t, int64_t label) {
    const struct waiting now = {t, label};
    if (labels->after == 0)
        return send_label(labels, stream, now);
    struct feed_labels_stream *of = find(labels, stream);
    if (of == NULL) {
        fprintf(stderr, "forecast feed: there is no memory for the labels\n");
        return FORECAST_ERROR_MEMORY;
    }
    size_t after = (size_t)labels->after;
    int code = 0;
    if (of->n == after) {
        code = send_label(labels, stream, of->ring[of->at]);
        of->at = (of->at + 1) % after;
        of->n--;
    }
    of->ring[(of->at + of->n++) % after] = now;
    return code;
}

int feed_labels_flush(struct feed_labels *labels) {
    int code = 0;
    for (struct feed_labels_stream *of = labels->streams; of != NULL && code == 0; of = of->hh.next)
        for (; of->n > 0 && code == 0; of->n--) {
            code = send_label(labels, of->name, of->ring[of->at]);
            of->at = (of->at + 1) % (size_t)labels->after;
        }
    return code;
}

void feed_labels_fini(struct feed_labels *labels) {
    struct feed_labels_stream *of, *next;
    HASH_ITER (hh, labels->streams, of, next) {
        HASH_DEL(labels->streams, of);
        free(of->name);
        free(of->ring);
        free(of);
    }
}
