#include "daemon/recovery.h"

#include "daemon/homecoming.h"
#include "daemon/journal_command.h"
#include "daemon/log.h"
#include "daemon/records.h"
#include "daemon/stream.h"
#include "daemon/stream_image.h"
#include "daemon/streams.h"

#include <stdlib.h>
#include <string.h>

struct recovery {
    const struct config *config;
    const struct streams *streams;
    struct ingest *ingest;
    struct returns *returns;
    struct versions *versions;
    uint64_t order;       /* of the entry at hand */
    uint64_t entries;     /* read */
    uint64_t passed_over; /* commands on streams or models that the configuration does not know any more */
    struct error *err;
    bool failed; /* err says why */
};

static void fail(struct recovery *recovery) {
    recovery->failed = true;
    error_set(recovery->err, "the journal cannot be read: out of memory");
}

/* NULL: the name belongs to no class, or that has failed. */
static struct returning *find(struct recovery *recovery, const char *name) {
    struct returning *returning = returns_find(recovery->returns, name, strlen(name));
    int class = returning == NULL ? streams_class_of(recovery->streams, name) : -1;
    if (class < 0)
        return returning;
    returning = returns_begin(recovery->returns, class, name, strlen(name));
    if (returning == NULL)
        fail(recovery);
    return returning;
}

static void keep(struct recovery *recovery, struct returning *returning, const void *record, size_t n) {
    void *at = returns_reserve(recovery->returns, returning, n);
    if (at == NULL) {
        fail(recovery);
        return;
    }
    memcpy(at, record, n);
    returns_commit(recovery->returns, recovery->order, 0);
}

static void keep_takeover(struct recovery *recovery, struct returning *returning,
                          const struct journal_command *command, int model) {
    const struct record_takeover record = {
        .kind = RECORD_TAKEOVER,
        .model = model,
        .generation = command->generation,
        .takeover = {.version = command->version, .began = command->began, .step = command->step}};
    if (!returns_has_ended(returning, command->generation)) /* else it was told late */
        keep(recovery, returning, &record, sizeof record);
}

static void keep_state(struct recovery *recovery, struct returning *returning, const struct journal_command *command,
                       int model) {
    struct state_order *order = calloc(1, sizeof *order + command->n * sizeof *order->values);
    if (order == NULL) {
        fail(recovery);
        return;
    }
    order->place = stream_place_of(recovery->config, model);
    order->set = true;
    order->journaled = recovery->order;
    order->n = command->n;
    if (command->n > 0)
        memcpy(order->values, command->values, command->n * sizeof *order->values);
    const struct record_state record = {RECORD_STATE, order};
    keep(recovery, returning, &record, sizeof record);
}

/* Takes the image. Where something of the stream came before it there was one, and nothing was taken over. */
static void keep_import(struct recovery *recovery, struct returning *returning, struct journal_command *command) {
    struct error err;
    if (stream_image_fits(recovery->config, returning_class(returning), command->image, &err) != 0) {
        recovery->passed_over++;
        return;
    }
    int failed = returns_import(recovery->returns, returning, command->image, 0);
    if (failed == -2)
        fail(recovery);
    if (failed != 0)
        return;
    command->image = NULL;
    returns_import_at(recovery->returns, returning, recovery->order);
}

static void refuse(struct recovery *recovery, struct returning *returning, const struct journal_command *command) {
    struct kept *kept = returns_refused(recovery->returns, returning, command->step, (uint32_t)command->version);
    enum reason reason = command->began < N_REASONS ? (enum reason)command->began : REASON_NONE;
    if (kept == NULL)
        return;
    ingest_replay_refused(recovery->ingest, (const struct record *)(const void *)kept->record, reason,
                          command->stream);
    kept_free(kept);
}

static void obey(struct recovery *recovery, struct journal_command *command) {
    const struct config_model *model =
        command->model[0] != '\0' ? config_find_model(recovery->config, command->model) : NULL;
    int index = model != NULL ? (int)(model - recovery->config->models) : -1;
    struct returning *returning = find(recovery, command->stream);
    if (returning == NULL || (model == NULL && command->model[0] != '\0') ||
        (model != NULL && model->class != returning_class(returning))) {
        recovery->passed_over++;
        return;
    }
    switch ((enum journal_what)command->what) {
    case JOURNALED_RESET: {
        const struct record_reset record = {RECORD_RESET, NULL, recovery->order, index};
        keep(recovery, returning, &record, sizeof record);
        break;
    }
    case JOURNALED_PAUSE:
    case JOURNALED_RESUME: {
        const struct record_pause record = {RECORD_PAUSE, NULL, recovery->order, command->what == JOURNALED_PAUSE};
        keep(recovery, returning, &record, sizeof record);
        break;
    }
    case JOURNALED_CLOSE: {
        const struct record_close record = {
            .kind = RECORD_CLOSE, .order = recovery->order, .end = (int64_t)command->step};
        keep(recovery, returning, &record, sizeof record);
        break;
    }
    case JOURNALED_END: returns_ended(recovery->returns, returning, command->generation); break;
    case JOURNALED_STATE: keep_state(recovery, returning, command, index); break;
    case JOURNALED_TAKEOVER:
        if (index >= 0)
            versions_named(recovery->versions, index, command->version, recovery->order);
        keep_takeover(recovery, returning, command, index);
        break;
    case JOURNALED_IMPORT: keep_import(recovery, returning, command); break;
    case JOURNALED_REFUSED: refuse(recovery, returning, command); break;
    case N_JOURNALED: break;
    }
}

static bool take(void *context, uint64_t order, const struct journal_entry *entry) {
    struct recovery *recovery = context;
    struct journal_command command;
    recovery->order = order;
    recovery->entries++;
    switch (entry->kind) {
    case JOURNAL_TICKS:
        if (!ingest_replay(recovery->ingest, order, entry))
            fail(recovery);
        break;
    case JOURNAL_COMMAND:
    case JOURNAL_TAKEOVER:
        if (journal_command_read(&command, entry->bytes, entry->n, recovery->err) != 0) {
            recovery->failed = true;
            break;
        }
        obey(recovery, &command);
        free(command.values);
        stored_free(command.image);
        break;
    case JOURNAL_GAP: break; /* what failed to be written was acknowledged to nobody */
    }
    return !recovery->failed;
}

/* What is not taken by its own fault was refused when it came, too; what the configuration has no place for may have been
 * taken. */
static void tell_left_out(const struct ingest_counters *counters) {
    static const enum reason reasons[] = {REASON_FEATURES, REASON_NO_CLASS, REASON_NO_MODEL};
    for (size_t r = 0; r < sizeof reasons / sizeof *reasons; r++)
        if (counters->not_replayed[reasons[r]] > 0)
            log_warning("%llu ticks of the journal are left out, if they were not refused already: %s",
                        (unsigned long long)counters->not_replayed[reasons[r]], reason_sentence(reasons[r]));
}

int recovery_read(const struct config *config, struct store *store, const struct streams *streams,
                  struct ingest *ingest, struct returns *returns, struct versions *versions, struct error *err) {
    struct recovery recovery = {
        .config = config, .streams = streams, .ingest = ingest, .returns = returns, .versions = versions, .err = err};
    returns_read_tail(returns, true);
    if (store_tail(store, take, &recovery, err) != 0)
        return -1;
    returns_read_tail(returns, false);
    if (ingest_acknowledged(ingest) != NULL)
        acknowledged_restored(ingest_acknowledged(ingest), store_order(store));
    if (recovery.entries > 0)
        log_info("the journal holds %llu entries behind the last images; %llu ticks of them are taken once more",
                 (unsigned long long)recovery.entries, (unsigned long long)ingest_counters(ingest)->replayed);
    tell_left_out(ingest_counters(ingest));
    if (recovery.passed_over > 0)
        log_warning("%llu commands of the journal are for streams or models that the configuration does not know",
                    (unsigned long long)recovery.passed_over);
    return recovery.failed ? -1 : 0;
}
