#include "clients/forecast/backtest_takeovers.h"

#include "engine/following.h"
#include "engine/version_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What happened to a stream behind a step. */
struct one {
    enum { A_TAKEOVER, A_RESET, A_RESET_OF_ALL, A_STATE } kind;
    struct following takeover; /* its version is one of versions */
    uint64_t step;
    float *values; /* [n_values] of a state */
    size_t n_values;
};

/* The steps behind that one come in a pause, or not. */
struct turn {
    uint64_t step;
    bool paused;
};

struct of_stream {
    const char *name;
    json_int_t generation; /* -1: none yet */
    struct one *list;      /* [n] in the order of the file */
    int n, size;
    int next;           /* that has not been done */
    struct turn *turns; /* [n_turns] in their order */
    int n_turns, next_turn;
};

struct backtest_takeovers {
    const char *path;
    const struct config_model *model;
    char *made_for;            /* by version_file_model */
    struct version **versions; /* [n_versions] */
    int n_versions;
    struct of_stream *streams; /* [n_streams] */
    int n_streams;
};

/* ---- the file ---------------------------------------------------------------------------------- */

/* It stands in a file beside the journal. */
static int add_version(struct backtest_takeovers *takeovers, const json_t *map, struct error *err) {
    char path[4096];
    const char *name = json_string_value(json_object_get(map, "file"));
    const char *slash = strrchr(takeovers->path, '/');
    int folder = slash != NULL ? (int)(slash + 1 - takeovers->path) : 0;
    if (name == NULL || (size_t)snprintf(path, sizeof path, "%.*s%s", folder, takeovers->path, name) >= sizeof path)
        return error_set(err, "%s: a version has no file, or the path is too long", takeovers->path);
    struct version **versions =
        realloc(takeovers->versions, ((size_t)takeovers->n_versions + 1) * sizeof(struct version *));
    if (versions == NULL)
        return error_set(err, "out of memory");
    takeovers->versions = versions;
    if (version_file_read(path, takeovers->model, takeovers->made_for, &versions[takeovers->n_versions], NULL, err) !=
        VERSION_FILE_READ)
        return -1;
    takeovers->n_versions++;
    return 0;
}

static struct version *find_version(const struct backtest_takeovers *takeovers, uint64_t number) {
    for (int i = takeovers->n_versions - 1; i >= 0; i--)
        if (version_number(takeovers->versions[i]) == number)
            return takeovers->versions[i];
    return NULL;
}

static struct of_stream *find_stream(const struct backtest_takeovers *takeovers, const char *name) {
    for (int i = 0; name != NULL && i < takeovers->n_streams; i++)
        if (strcmp(takeovers->streams[i].name, name) == 0)
            return &takeovers->streams[i];
    return NULL;
}

/* The stream of a line; NULL: none that is looked at. */
static struct of_stream *stream_of(const struct backtest_takeovers *takeovers, const json_t *map) {
    struct of_stream *stream = find_stream(takeovers, json_string_value(json_object_get(map, "stream")));
    json_int_t generation = json_integer_value(json_object_get(map, "generation"));
    if (stream == NULL || (stream->generation >= 0 && stream->generation != generation))
        return NULL;
    stream->generation = generation;
    return stream;
}

static uint64_t step_of(const json_t *map, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(map, key));
}

/* Takes the values of one over. */
static int add_one(struct of_stream *stream, struct one one, struct error *err) {
    if (stream->n == stream->size) {
        int size = stream->size > 0 ? 2 * stream->size : 8;
        struct one *list = realloc(stream->list, (size_t)size * sizeof *list);
        if (list == NULL) {
            free(one.values);
            return error_set(err, "out of memory");
        }
        stream->list = list;
        stream->size = size;
    }
    stream->list[stream->n++] = one;
    return 0;
}

static int add_takeover(struct backtest_takeovers *takeovers, const json_t *map, int line, struct error *err) {
    struct of_stream *stream = stream_of(takeovers, map);
    if (stream == NULL)
        return 0;
    struct following takeover = {.version = find_version(takeovers, step_of(map, "version")),
                                 .began = step_of(map, "began"),
                                 .step = step_of(map, "step")};
    uint64_t before = stream->n > 0 ? stream->list[stream->n - 1].step : 0;
    if (takeover.version == NULL || takeover.began < before || takeover.step < takeover.began)
        return error_set(err, "%s:%d: this takeover %s", takeovers->path, line,
                         takeover.version == NULL ? "is of a version that no line before it tells of"
                                                  : "is not behind what is before it");
    return add_one(stream, (struct one){.kind = A_TAKEOVER, .takeover = takeover, .step = takeover.step}, err);
}

static int add_turn(struct of_stream *stream, struct turn turn, struct error *err) {
    struct turn *turns = realloc(stream->turns, ((size_t)stream->n_turns + 1) * sizeof *turns);
    if (turns == NULL)
        return error_set(err, "out of memory");
    stream->turns = turns;
    turns[stream->n_turns++] = turn;
    return 0;
}

static int read_values(const json_t *array, struct one *one, struct error *err) {
    one->n_values = json_array_size(array);
    one->values = calloc(one->n_values + 1, sizeof *one->values);
    if (one->values == NULL)
        return error_set(err, "out of memory");
    for (size_t i = 0; i < one->n_values; i++)
        one->values[i] = (float)json_number_value(json_array_get(array, i));
    return 0;
}

static int add_command(struct backtest_takeovers *takeovers, const json_t *map, int line, struct error *err) {
    struct of_stream *stream = stream_of(takeovers, map);
    const char *command = json_string_value(json_object_get(map, "command"));
    if (stream == NULL || command == NULL)
        return 0;
    bool paused = strcmp(command, "pause") == 0, state = strcmp(command, "set_state") == 0;
    if (paused || strcmp(command, "resume") == 0)
        return add_turn(stream, (struct turn){step_of(map, "step"), paused}, err);
    if (!state && strcmp(command, "reset") != 0)
        return error_set(err, "%s:%d: the command \"%.40s\" is not known", takeovers->path, line, command);
    bool all = json_is_null(json_object_get(map, "model"));
    struct one one = {.kind = state ? A_STATE : all ? A_RESET_OF_ALL : A_RESET, .step = step_of(map, "step")};
    if (state && read_values(json_object_get(map, "values"), &one, err) != 0)
        return -1;
    return add_one(stream, one, err);
}

static int read_line(struct backtest_takeovers *takeovers, const char *text, int number, struct error *err) {
    json_error_t wrong;
    json_t *map = json_loads(text, 0, &wrong);
    if (map == NULL)
        return error_set(err, "%s:%d: %.200s", takeovers->path, number, wrong.text);
    const char *model = json_string_value(json_object_get(map, "model"));
    bool ours = model == NULL || strcmp(model, takeovers->model->name) == 0;
    int failed = 0;
    if (json_object_get(map, "lost") != NULL)
        failed = error_set(err, "%s:%d: the daemon had no room for %lld lines; what it forecast cannot be told",
                           takeovers->path, number, json_integer_value(json_object_get(map, "lost")));
    else if (ours && json_object_get(map, "command") != NULL)
        failed = add_command(takeovers, map, number, err);
    else if (ours)
        failed = json_object_get(map, "stream") != NULL ? add_takeover(takeovers, map, number, err)
                                                        : add_version(takeovers, map, err);
    json_decref(map);
    return failed;
}

static int read_file(struct backtest_takeovers *takeovers, struct error *err) {
    FILE *file = fopen(takeovers->path, "r");
    char *text = NULL;
    size_t size = 0;
    int failed = 0;
    if (file == NULL)
        return error_set(err, "%s: %s", takeovers->path, strerror(errno));
    for (int number = 1; failed == 0 && getline(&text, &size, file) > 0; number++)
        failed = read_line(takeovers, text, number, err);
    free(text);
    fclose(file);
    return failed;
}

struct backtest_takeovers *backtest_takeovers_load(const char *path, const struct config_model *model,
                                                   const struct config_class *class,
                                                   const struct backtest_stream *streams, int n_streams,
                                                   struct error *err) {
    struct backtest_takeovers *takeovers = calloc(1, sizeof *takeovers);
    error_set(err, "out of memory");
    if (takeovers == NULL)
        return NULL;
    takeovers->path = path;
    takeovers->model = model;
    takeovers->streams = calloc((size_t)n_streams, sizeof *takeovers->streams);
    takeovers->n_streams = takeovers->streams != NULL ? n_streams : 0;
    for (int i = 0; i < takeovers->n_streams; i++)
        takeovers->streams[i] = (struct of_stream){.name = streams[i].name, .generation = -1};
    if (takeovers->streams != NULL && (takeovers->made_for = version_file_model(model, class, err)) != NULL &&
        read_file(takeovers, err) == 0)
        return takeovers;
    backtest_takeovers_free(takeovers);
    return NULL;
}

void backtest_takeovers_free(struct backtest_takeovers *takeovers) {
    if (takeovers == NULL)
        return;
    for (int i = 0; i < takeovers->n_versions; i++)
        version_release(takeovers->versions[i]);
    for (int i = 0; i < takeovers->n_streams; i++) {
        for (int k = 0; k < takeovers->streams[i].n; k++)
            free(takeovers->streams[i].list[k].values);
        free(takeovers->streams[i].list);
        free(takeovers->streams[i].turns);
    }
    free(takeovers->made_for);
    free(takeovers->versions);
    free(takeovers->streams);
    free(takeovers);
}

int backtest_takeovers_count(const struct backtest_takeovers *takeovers) {
    int n = 0;
    for (int i = 0; i < takeovers->n_streams; i++)
        for (int k = 0; k < takeovers->streams[i].n; k++)
            n += takeovers->streams[i].list[k].kind == A_TAKEOVER;
    return n;
}

/* ---- the replay -------------------------------------------------------------------------------- */

static int differs(const struct backtest_takeovers *takeovers, const struct of_stream *stream, uint64_t step,
                   struct error *err) {
    return error_set(err,
                     "%s: stream \"%s\" at step %llu: the takeover comes out otherwise than the daemon wrote it; the "
                     "rows and the configuration are not those that it had",
                     takeovers->path, stream->name, (unsigned long long)step);
}

/* A command, in its place between the takeovers. */
static int obey(const struct backtest_takeovers *takeovers, struct of_stream *stream, struct forecaster *forecaster,
                struct history *history, uint64_t step, struct error *err) {
    const struct one *one = &stream->list[stream->next];
    if (one->step < step)
        return differs(takeovers, stream, step, err);
    if (one->kind == A_STATE) {
        if (forecaster_set_state(forecaster, 0, one->values, one->n_values) != 0)
            return differs(takeovers, stream, step, err);
    } else {
        forecaster_reset(forecaster, 0);
    }
    if (one->kind == A_RESET_OF_ALL)
        history_reset(history);
    return 0;
}

/* Up to a takeover that goes on, or something behind a later step. */
static int follow_list(struct backtest_takeovers *takeovers, struct of_stream *stream, struct forecaster *forecaster,
                       struct history *history, uint64_t step, struct error *err) {
    for (; stream->next < stream->n; stream->next++) {
        struct one *one = &stream->list[stream->next];
        if (one->kind != A_TAKEOVER) {
            if (one->step > step || history == NULL)
                return 0;
            if (obey(takeovers, stream, forecaster, history, step, err) != 0)
                return -1;
            continue;
        }
        switch (following_go(&one->takeover, forecaster, step)) {
        case FOLLOWED_LATER: return 0;
        case FOLLOWED_OTHERWISE: return differs(takeovers, stream, step, err);
        case FOLLOWED_NO_MEMORY: return error_set(err, "out of memory");
        case FOLLOWED_DONE: break;
        }
    }
    return 0;
}

int backtest_takeovers_follow(struct backtest_takeovers *takeovers, int index, struct forecaster *forecaster,
                              struct history *history, uint64_t step, struct error *err) {
    struct of_stream *stream = &takeovers->streams[index];
    for (; history != NULL && stream->next_turn < stream->n_turns; stream->next_turn++) {
        const struct turn *turn = &stream->turns[stream->next_turn];
        if (turn->step > step)
            break;
        history_pause(history, turn->paused);
    }
    return follow_list(takeovers, stream, forecaster, history, step, err);
}
