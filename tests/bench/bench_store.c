/*
 * The durable store: how many entries a second it takes, how long an acknowledgement waits beside a bare fdatasync
 * under the same background writes, and how fast images go in and come back. BENCH_DIR: where the folder is made.
 */
#include "daemon/clock.h"
#include "daemon/store.h"
#include "tests/support/bench.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A tick of 8 features as a bundle has it, and ticks of a bundle. */
enum { TICK_BYTES = 100, BUNDLE = 64 };
enum { BLOCKS = 5, BLOCK_BYTES = 2000, IMAGE_BYTES = 10000 };

struct scene {
    char folder[300];
    struct config config;
    struct doorbell bell;
    struct store *store;
};

static void open_store(struct scene *scene) {
    struct error err;
    int64_t began = clock_monotonic();
    scene->store = store_open(&scene->config, &scene->bell, &err);
    if (scene->store == NULL) {
        fprintf(stderr, "bench_store: %s\n", err.text);
        exit(1);
    }
    bench_row("store", "ms", 1e-6 * (double)(clock_monotonic() - began), "\"what\": \"open\"");
}

static void begin(struct scene *scene) {
    const char *parent = getenv("BENCH_DIR");
    snprintf(scene->folder, sizeof scene->folder, "%s/bench-store-XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(scene->folder) == NULL || doorbell_init(&scene->bell) != 0)
        exit(1);
    scene->config = (struct config){.workers = 1,
                                    .state_dir = scene->folder,
                                    .sync_every = 10000000,
                                    .journal_size = INT64_C(1) << 40,
                                    .journal_ring = 64 << 20,
                                    .bus = {.max_message = 1 << 20}};
    open_store(scene);
}

static void end(struct scene *scene) {
    char command[400];
    store_close(scene->store);
    doorbell_fini(&scene->bell);
    snprintf(command, sizeof command, "rm -r %s", scene->folder);
    if (system(command) != 0)
        exit(1);
}

static void wait_bell(struct scene *scene, uint64_t order) {
    doorbell_arm(&scene->bell);
    if (store_durable(scene->store) < order)
        doorbell_wait(&scene->bell, 1000);
    doorbell_disarm(&scene->bell);
}

static uint64_t append(struct scene *scene, size_t n) {
    static char bytes[1 << 20];
    uint64_t order;
    const struct journal_entry entry = {.kind = JOURNAL_TICKS, .bytes = bytes, .n = n};
    while (!store_append(scene->store, &entry, &order))
        usleep(100);
    return order;
}

/* ---- entries ------------------------------------------------------------------------------------ */

/* All are waited for, `most` at a time. */
static double acknowledged(struct scene *scene, double seconds, size_t n, uint64_t most) {
    int64_t began = clock_monotonic(), until = began + (int64_t)(1e9 * seconds);
    uint64_t first = store_order(scene->store), order = first;
    while (clock_monotonic() < until) {
        while (order - store_durable(scene->store) < most)
            order = append(scene, n);
        store_hurry(scene->store);
        wait_bell(scene, order - most / 2);
    }
    store_hurry(scene->store);
    while (store_durable(scene->store) < order)
        wait_bell(scene, order);
    return (double)(order - first) / (1e-9 * (double)(clock_monotonic() - began));
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

enum { SAMPLES = 1000 };

/* By turns, so that whatever else runs meets both. */
static void latencies(struct scene *scene, size_t n, const char *background) {
    static double waits[SAMPLES], syncs[SAMPLES];
    static char bytes[1 << 20];
    char path[400];
    snprintf(path, sizeof path, "%s/bare", scene->folder);
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; i < SAMPLES; i++) {
        int64_t began = clock_monotonic();
        if (write(file, bytes, n) != (ssize_t)n || fdatasync(file) != 0)
            exit(1);
        int64_t middle = clock_monotonic();
        uint64_t order = append(scene, n);
        store_hurry(scene->store);
        while (store_durable(scene->store) < order)
            wait_bell(scene, order);
        syncs[i] = 1e-3 * (double)(middle - began);
        waits[i] = 1e-3 * (double)(clock_monotonic() - middle);
    }
    close(file);
    qsort(waits, SAMPLES, sizeof *waits, ascending);
    qsort(syncs, SAMPLES, sizeof *syncs, ascending);
    const struct {
        const char *what;
        double at;
    } shares[] = {{"p50", 0.5}, {"p99", 0.99}};
    for (int s = 0; s < 2; s++) {
        double wait = waits[(int)(SAMPLES * shares[s].at)], sync = syncs[(int)(SAMPLES * shares[s].at)];
        bench_row(
            "store", "us", wait,
            "\"what\": \"acknowledgement, %s\", \"bytes\": %zu, \"beside\": \"%s\", \"fdatasync\": %.0f, \"ratio\": %.2f",
            shares[s].what, n, background, sync, wait / sync);
    }
}

/* ---- images ------------------------------------------------------------------------------------- */

static struct stored *image_of(int stream, size_t image_bytes, int blocks) {
    char name[32];
    int n = snprintf(name, sizeof name, "plant/boiler-%d", stream);
    struct stored *stored = stored_new(name, (size_t)n);
    stored->generation = 1;
    stored->n = image_bytes;
    stored->bytes = malloc(image_bytes);
    memset(stored->bytes, stream, image_bytes);
    for (int b = 0; b < blocks; b++) {
        char *bytes = malloc(BLOCK_BYTES);
        memset(bytes, stream + b, BLOCK_BYTES);
        stored_add_block(stored, (uint64_t)b, bytes, BLOCK_BYTES);
    }
    return stored;
}

struct writer {
    struct store *store;
    atomic_bool stop;
    int streams, written; /* streams: of a round; 0: on and on */
};

static void *write_images(void *context) {
    struct writer *writer = context;
    while (!atomic_load(&writer->stop) && (writer->streams == 0 || writer->written < writer->streams)) {
        struct stored *stored = image_of(writer->written % 100000, IMAGE_BYTES, writer->streams > 0 ? BLOCKS : 1);
        while (!store_put(writer->store, 0, stored, false))
            usleep(200);
        writer->written++;
    }
    return NULL;
}

static void round_of(struct scene *scene, int streams) {
    struct writer writer = {.store = scene->store, .streams = streams};
    uint64_t order = append(scene, 100);
    int64_t began = clock_monotonic();
    store_round_begin(scene->store, order);
    write_images(&writer);
    store_round_end(scene->store);
    while (store_trimmed(scene->store) < order)
        usleep(1000);
    bench_row("store", "per_second", streams / (1e-9 * (double)(clock_monotonic() - began)),
              "\"what\": \"images of a round\", \"streams\": %d", streams);
}

/* Known streams come back, or unknown ones are found to be unknown. */
static void ask_all(struct scene *scene, int streams, bool known) {
    int64_t began = clock_monotonic();
    int found = 0;
    for (int asked = 0, answered = 0; answered < streams;) {
        char name[32];
        int n = snprintf(name, sizeof name, known ? "plant/boiler-%d" : "plant/new-%d", asked);
        if (asked < streams && store_ask(scene->store, name, (size_t)n, NULL)) {
            asked++;
            continue;
        }
        doorbell_arm(&scene->bell);
        struct stored *stored = store_answer(scene->store);
        if (stored == NULL)
            doorbell_wait(&scene->bell, 1000);
        doorbell_disarm(&scene->bell);
        for (; stored != NULL; stored = store_answer(scene->store), answered++) {
            found += stored->found == STORED_IMAGE && stored->n_blocks == BLOCKS;
            stored_free(stored);
        }
    }
    if (found != (known ? streams : 0)) {
        fprintf(stderr, "bench_store: %d of %d found\n", found, streams);
        exit(1);
    }
    bench_row("store", "per_second", streams / (1e-9 * (double)(clock_monotonic() - began)),
              "\"what\": \"%s streams asked for\", \"streams\": %d", known ? "known" : "unknown", streams);
}

static void entries(struct scene *scene) {
    bench_row("store", "per_second", acknowledged(scene, 3, BUNDLE * TICK_BYTES, 64) * BUNDLE,
              "\"what\": \"acknowledged ticks in bundles\"");
    bench_row("store", "per_second", acknowledged(scene, 3, TICK_BYTES, 1000),
              "\"what\": \"acknowledged ticks, one a message\"");
    latencies(scene, TICK_BYTES, "nothing");
    latencies(scene, BUNDLE * TICK_BYTES, "nothing");
    struct writer writer = {.store = scene->store};
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_images, &writer) != 0)
        exit(1);
    latencies(scene, TICK_BYTES, "images");
    latencies(scene, BUNDLE * TICK_BYTES, "images");
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
}

static void images(struct scene *scene, int streams) {
    round_of(scene, streams);
    ask_all(scene, streams, false);
    ask_all(scene, streams, true);
    store_close(scene->store);
    open_store(scene);
    ask_all(scene, streams, true);
    ask_all(scene, streams, false);
}

/* PART: 1, entries alone; 2, images alone. */
int main(void) {
    struct scene scene;
    int part = (int)bench_setting("PART", 3);
    begin(&scene);
    if (part & 1)
        entries(&scene);
    if (part & 2)
        images(&scene, (int)bench_setting("STREAMS", 100000));
    end(&scene);
    return 0;
}
