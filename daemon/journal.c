#include "daemon/journal.h"

#include "daemon/doorbell.h"
#include "daemon/log.h"
#include "daemon/ring.h"
#include "engine/version_file.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { RING_BYTES = 4 << 20 };

/* What goes through the ring. */
struct entry {
    enum { ENTRY_VERSION, ENTRY_TAKEOVER, ENTRY_COMMAND, ENTRY_STATE } kind;
    int model;               /* -1: all */
    uint64_t lost;           /* entries before it that had no room */
    struct version *version; /* with a reference */
    struct takeover takeover;
    enum commanded command;
    uint64_t step; /* of a command */
    uint32_t generation;
    size_t n, n_values; /* bytes of the stream's name; numbers of a state */
    float values[];     /* the name behind them */
};

struct journal {
    const struct config *config;
    char folder[4200];
    char **made_for; /* [n_models] by version_file_model */
    FILE *file;
    struct ring *ring;
    struct doorbell bell;
    atomic_bool stopping;
    pthread_t thread;
    bool started;
    uint64_t lost; /* bus */
    bool failed;   /* thread: told once */
};

/* ---- the thread --------------------------------------------------------------------------------- */

static void fail(struct journal *journal, const struct error *err) {
    if (!journal->failed)
        log_error("journal: cannot write %s", err->text);
    journal->failed = true;
}

static void fail_file(struct journal *journal) {
    struct error err;
    error_set(&err, "%s: %s", journal->folder, strerror(errno));
    fail(journal, &err);
}

/* Takes the map. */
static void put_line(struct journal *journal, json_t *map) {
    if (map == NULL || json_dumpf(map, journal->file, JSON_COMPACT) != 0 || fputc('\n', journal->file) == EOF)
        fail_file(journal);
    json_decref(map);
}

static void put_version(struct journal *journal, const struct entry *entry) {
    const struct config_model *of = &journal->config->models[entry->model];
    char path[8600], name[CONFIG_MAX_NAME + 40];
    struct error err;
    uint64_t number = version_number(entry->version);
    snprintf(name, sizeof name, "%s-%llu.version", of->name, (unsigned long long)number);
    snprintf(path, sizeof path, "%s/%s", journal->folder, name);
    if (version_file_write(path, of, entry->version, journal->made_for[entry->model], "{}", &err) != 0)
        fail(journal, &err);
    put_line(journal, json_pack("{s:s, s:I, s:s}", "model", of->name, "version", (json_int_t)number, "file", name));
}

/* The map of a stream and a model, to which the rest is added. NULL without memory. */
static json_t *map_of(const struct journal *journal, const struct entry *entry) {
    const char *name = (const char *)(entry->values + entry->n_values);
    return json_pack("{s:s%, s:i, s:s?}", "stream", name, entry->n, "generation", (int)entry->generation, "model",
                     entry->model >= 0 ? journal->config->models[entry->model].name : NULL);
}

static void put_takeover(struct journal *journal, const struct entry *entry) {
    const struct takeover *takeover = &entry->takeover;
    json_t *map = map_of(journal, entry);
    json_object_set_new(map, "version", json_integer((json_int_t)takeover->version));
    json_object_set_new(map, "began", json_integer((json_int_t)takeover->began));
    json_object_set_new(map, "step", json_integer((json_int_t)takeover->step));
    put_line(journal, map);
}

static void put_command(struct journal *journal, const struct entry *entry) {
    static const char *const names[] = {
        [COMMANDED_RESET] = "reset", [COMMANDED_PAUSE] = "pause", [COMMANDED_RESUME] = "resume"};
    json_t *map = map_of(journal, entry);
    bool state = entry->kind == ENTRY_STATE;
    json_object_set_new(map, "command", json_string(state ? "set_state" : names[entry->command]));
    json_object_set_new(map, "step", json_integer((json_int_t)entry->step));
    json_t *values = state ? json_array() : NULL;
    for (size_t i = 0; i < entry->n_values; i++)
        json_array_append_new(values, json_real((double)entry->values[i]));
    if (state)
        json_object_set_new(map, "values", values);
    put_line(journal, map);
}

static void put_entry(struct journal *journal, const struct entry *entry) {
    if (entry->lost > 0)
        put_line(journal, json_pack("{s:I}", "lost", (json_int_t)entry->lost));
    switch (entry->kind) {
    case ENTRY_VERSION:
        put_version(journal, entry);
        version_release(entry->version);
        break;
    case ENTRY_TAKEOVER: put_takeover(journal, entry); break;
    default: put_command(journal, entry); break;
    }
}

static void *run(void *context) {
    struct journal *journal = context;
    size_t n;
    for (;;) {
        /* Read first: what was handed over before the stop is written. */
        bool stopping = atomic_load_explicit(&journal->stopping, memory_order_acquire);
        for (const struct entry *entry; (entry = ring_peek(journal->ring, &n)) != NULL; ring_consume(journal->ring))
            put_entry(journal, entry);
        if (fflush(journal->file) != 0)
            fail_file(journal);
        if (stopping)
            return NULL;
        doorbell_arm(&journal->bell);
        if (ring_peek(journal->ring, &n) == NULL && !atomic_load_explicit(&journal->stopping, memory_order_acquire))
            doorbell_wait(&journal->bell, -1);
        doorbell_disarm(&journal->bell);
    }
}

/* ---- the bus ------------------------------------------------------------------------------------ */

/* Room for an entry, its numbers and its name; NULL (and counted) where there is none. */
static struct entry *reserve(struct journal *journal, const struct entry *head) {
    struct entry *entry = ring_reserve(journal->ring, sizeof *entry + head->n_values * sizeof(float) + head->n, 0);
    if (entry == NULL) {
        journal->lost++;
        return NULL;
    }
    *entry = *head;
    entry->lost = journal->lost;
    journal->lost = 0;
    return entry;
}

static void commit(struct journal *journal, const struct entry *entry) {
    ring_commit(journal->ring, sizeof *entry + entry->n_values * sizeof(float) + entry->n);
    doorbell_ring(&journal->bell);
}

void journal_version(struct journal *journal, int model, struct version *version) {
    const struct entry head = {.kind = ENTRY_VERSION, .model = model, .version = version};
    struct entry *entry = journal != NULL ? reserve(journal, &head) : NULL;
    if (entry == NULL)
        return;
    version_acquire(version);
    commit(journal, entry);
}

/* An entry of a stream without numbers. */
static void hand_over(struct journal *journal, const struct entry *head, const char *name) {
    struct entry *entry = reserve(journal, head);
    if (entry == NULL)
        return;
    memcpy(entry->values, name, head->n);
    commit(journal, entry);
}

void journal_takeover(struct journal *journal, const struct record_takeover *record) {
    if (journal == NULL)
        return;
    const struct entry head = {.kind = ENTRY_TAKEOVER,
                               .model = record->model,
                               .takeover = record->takeover,
                               .generation = record->generation,
                               .n = record->n};
    hand_over(journal, &head, record->name);
}

void journal_command(struct journal *journal, const struct record_commanded *record) {
    if (journal == NULL)
        return;
    const struct entry head = {.kind = ENTRY_COMMAND,
                               .model = record->model,
                               .command = record->what,
                               .step = record->step,
                               .generation = record->generation,
                               .n = record->n};
    hand_over(journal, &head, record->name);
}

void journal_state(struct journal *journal, const struct state_order *order) {
    if (journal == NULL || !order->set || order->outcome != STATE_DONE)
        return;
    const struct entry head = {.kind = ENTRY_STATE,
                               .model = order->stream->places[order->place].batch->model,
                               .step = order->step,
                               .generation = order->stream->generation,
                               .n = order->stream->name_length,
                               .n_values = order->n};
    struct entry *entry = reserve(journal, &head);
    if (entry == NULL)
        return;
    memcpy(entry->values, order->values, order->n * sizeof *order->values);
    memcpy(entry->values + order->n, order->stream->name, order->stream->name_length);
    commit(journal, entry);
}

static int open_file(struct journal *journal, const char *folder, uint64_t epoch, struct error *err) {
    char path[4300];
    snprintf(journal->folder, sizeof journal->folder, "%s/%llu", folder, (unsigned long long)epoch);
    if ((mkdir(folder, 0777) != 0 && errno != EEXIST) || (mkdir(journal->folder, 0777) != 0 && errno != EEXIST))
        return error_set(err, "journal: cannot make %s: %s", journal->folder, strerror(errno));
    snprintf(path, sizeof path, "%s/takeovers.jsonl", journal->folder);
    journal->file = fopen(path, "ae");
    return journal->file != NULL ? 0 : error_set(err, "journal: cannot write %s: %s", path, strerror(errno));
}

static int describe_models(struct journal *journal, struct error *err) {
    const struct config *config = journal->config;
    journal->made_for = calloc((size_t)config->n_models, sizeof(char *));
    if (journal->made_for == NULL)
        return error_set(err, "journal: out of memory");
    for (int m = 0; m < config->n_models; m++) {
        const struct config_model *model = &config->models[m];
        if ((journal->made_for[m] = version_file_model(model, &config->classes[model->class], err)) == NULL)
            return -1;
    }
    return 0;
}

struct journal *journal_open(const struct config *config, uint64_t epoch, struct error *err) {
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        error_set(err, "journal: out of memory");
        return NULL;
    }
    journal->config = config;
    journal->bell.fd = -1;
    atomic_init(&journal->stopping, false);
    if (open_file(journal, config->journal, epoch, err) != 0 || describe_models(journal, err) != 0)
        goto fail;
    journal->ring = ring_new(RING_BYTES);
    if (journal->ring == NULL || doorbell_init(&journal->bell) != 0 ||
        pthread_create(&journal->thread, NULL, run, journal) != 0) {
        error_set(err, "journal: out of memory, descriptors or threads");
        goto fail;
    }
    journal->started = true;
    pthread_setname_np(journal->thread, "journal");
    return journal;

fail:
    journal_close(journal);
    return NULL;
}

void journal_close(struct journal *journal) {
    if (journal == NULL)
        return;
    if (journal->started) {
        atomic_store_explicit(&journal->stopping, true, memory_order_release);
        doorbell_ring(&journal->bell);
        pthread_join(journal->thread, NULL);
    }
    if (journal->file != NULL && fclose(journal->file) != 0)
        fail_file(journal);
    for (int m = 0; journal->made_for != NULL && m < journal->config->n_models; m++)
        free(journal->made_for[m]);
    free(journal->made_for);
    ring_free(journal->ring);
    doorbell_fini(&journal->bell);
    free(journal);
}
