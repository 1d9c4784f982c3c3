#include "daemon/control_internal.h"

#include "daemon/clock.h"
#include "daemon/returns.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Requests answered in one go. */
enum { SERVE_MOST = 16 };

/* Requests that wait for the disk alone beside which others are read: soon they are answered, and there is room to wait. */
enum { WRITING_MOST = REQUESTS_KEPT_MOST / 2 };

struct control *control_open(void *zmq, const struct control_setup *setup, struct error *err) {
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        error_set(err, "control: out of memory");
        return NULL;
    }
    control->setup = *setup;
    control->started = clock_monotonic();
    control->requests = requests_open(zmq, &setup->config->bus, err);
    if (control->requests == NULL)
        goto close;
    control->saver = saver_new(setup->write, setup->bell);
    if (control->saver == NULL) {
        error_set(err, "control: out of memory");
        goto close;
    }
    return control;

close:
    control_close(control, 0);
    return NULL;
}

void control_close(struct control *control, int linger_ms) {
    if (control == NULL)
        return;
    if (control->saver != NULL)
        control_answer_saved(control);
    saver_free(control->saver);
    while (control->waiting != NULL)
        control_forget(control, control->waiting);
    requests_close(control->requests, linger_ms);
    free(control);
}

void *control_socket(const struct control *control) {
    return requests_socket(control->requests);
}

/* ---- commands ---------------------------------------------------------------------------------- */

json_t *control_failure(const char *code, const char *message) {
    return json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);
}

const char *control_text(const json_t *request, const char *key) {
    const json_t *value = json_object_get(request, key);
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

json_t *control_success(void) {
    return json_pack("{s:b}", "ok", 1);
}

json_t *control_busy(void) {
    return control_failure("busy", "the stream's worker is behind: try again");
}

json_t *control_crowded(void) {
    return control_failure("busy", "too many requests wait: try again");
}

json_t *control_no_memory(void) {
    return control_failure("memory", "out of memory");
}

static json_t *do_reload(struct control *control, const json_t *request) {
    (void)request;
    uint64_t number = control->reload == 0 ? requests_keep(control->requests) : 0;
    if (number == 0)
        return control_failure("busy", "the configuration is being read, or too many requests wait: try again");
    control->reload = number;
    control->setup.reload(control->setup.context);
    return NULL;
}

void control_reloaded(struct control *control, json_t *reply) {
    requests_answer_kept(control->requests, control->reload, reply);
    control->reload = 0;
}

static json_t *do_stop(struct control *control, const json_t *request) {
    (void)request;
    control->setup.stop(control->setup.context);
    return control_success();
}

static const struct command commands[] = {
    {"hello", control_hello, AS_IT_IS},
    {"status", control_status, AS_IT_IS},
    {"streams", control_streams, AS_IT_IS},
    {"names", control_names, AS_IT_IS},
    {"models", control_models, AS_IT_IS},
    {"end", control_end, IN_MEMORY | OR_ANEW | DURABLE},
    {"retrain", control_retrain, AS_IT_IS},
    {"reset", control_reset, IN_MEMORY | DURABLE},
    {"state", control_state, IN_MEMORY},
    {"set_state", control_set_state, IN_MEMORY}, /* then durable, when its worker is done: control_state_done */
    {"save", control_save, AS_IT_IS},
    {"stop", do_stop, AS_IT_IS},
    {"stop_training", control_stop_training, AS_IT_IS},
    {"promote", control_promote, AS_IT_IS},
    {"reject", control_reject, AS_IT_IS},
    {"rollback", control_rollback, AS_IT_IS},
    {"decisions", control_decisions, AS_IT_IS},
    {"pause", control_pause, IN_MEMORY | DURABLE},
    {"resume", control_resume, IN_MEMORY | DURABLE},
    {"scores", control_scores, IN_MEMORY},
    {"export", control_export, AS_IT_IS},
    {"import", control_import, AS_IT_IS},
    {"reload", do_reload, AS_IT_IS},
};

static json_t *answer(struct control *control, const json_t *request) {
    if (!json_is_object(request))
        return control_failure("malformed", "a request is a map in MessagePack or JSON");
    const char *cmd = control_text(request, "cmd");
    if (cmd == NULL)
        return control_failure("argument", "a request has a text cmd");
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        if (strcmp(commands[c].name, cmd) == 0)
            return (commands[c].needs & IN_MEMORY) != 0 && control_is_away(control, request)
                       ? control_bring(control, &commands[c], request)
                       : control_carry_out(control, &commands[c], request);
    return control_failure("unknown_command", "no such command");
}

/* ---- requests that wait ------------------------------------------------------------------------- */

bool control_done(struct control *control, const struct waiting *waiting, const struct stored *answer,
                  json_t *reply) {
    if (reply == NULL && answer == NULL)
        return false;
    requests_answer_kept(control->requests, waiting->number, reply);
    return true;
}

void control_forget(struct control *control, struct waiting *waiting) {
    DL_DELETE2(control->waiting, waiting, previous, next);
    json_decref(waiting->request);
    json_decref(waiting->reply);
    json_decref(waiting->memory);
    free(waiting);
}

json_t *control_wait(struct control *control, const json_t *request,
                     bool (*go_on)(struct control *control, struct waiting *waiting, struct stored *answer)) {
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL)
        return control_no_memory();
    json_t *kept = json_incref((json_t *)(uintptr_t)request); /* NULL stays NULL */
    uint64_t number = requests_keep(control->requests);
    if (number == 0) {
        json_decref(kept);
        free(waiting);
        return control_crowded();
    }
    *waiting = (struct waiting){.number = number, .request = kept, .go_on = go_on};
    DL_APPEND2(control->waiting, waiting, previous, next);
    return NULL;
}

static void take_looked(struct control *control) {
    uint64_t number;
    for (struct stored *answer; (answer = returns_looked(control->setup.returns, &number)) != NULL;) {
        struct waiting *waiting = control->waiting;
        while (waiting->number != number) /* it waits for nothing else */
            waiting = waiting->next;
        waiting->asked = false;
        if (waiting->go_on(control, waiting, answer))
            control_forget(control, waiting);
        stored_free(answer);
    }
}

static void go_on(struct control *control) {
    struct waiting *waiting, *next;
    if (control->waiting == NULL)
        return;
    take_looked(control);
    DL_FOREACH_SAFE2(control->waiting, waiting, next, next) {
        if (!waiting->asked && waiting->go_on(control, waiting, NULL))
            control_forget(control, waiting);
    }
}

bool control_is_full(const struct control *control) {
    const struct waiting *waiting;
    int writing = 0;
    DL_FOREACH2(control->waiting, waiting, next) {
        writing += waiting->reply != NULL;
    }
    return writing > WRITING_MOST;
}

bool control_waits(const struct control *control) {
    return control->waiting != NULL;
}

/* ---- serving ------------------------------------------------------------------------------------ */

bool control_serve(struct control *control) {
    if (saver_has_result(control->saver))
        control_answer_saved(control);
    control_answer_imports(control);
    go_on(control);
    const json_t *request;
    for (int i = 0; i < SERVE_MOST; i++) {
        if (control_is_full(control) || !requests_next(control->requests, &request))
            return false;
        json_t *reply = answer(control, request);
        if (reply != NULL || requests_is_open(control->requests)) /* else it is kept */
            requests_answer(control->requests, reply);
    }
    return true;
}
