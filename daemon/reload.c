#include "daemon/reload.h"

#include "daemon/log.h"
#include "engine/config_live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reload *reload_read(const char *path, bool debug, bool asked) {
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload == NULL)
        return NULL;
    reload->asked = asked;
    if (config_load(path, &reload->config, &reload->err) == 0 && debug)
        reload->config->log = CONFIG_LOG_DEBUG;
    return reload;
}

void reload_free(struct reload *reload) {
    if (reload == NULL)
        return;
    config_free(reload->config);
    free(reload);
}

void reload_log_level(const struct config *config) {
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    log_limit(levels[config->log]);
}

struct changes {
    json_t *applied, *restart; /* arrays of paths */
};

static void note(void *context, const char *path, bool live) {
    const struct changes *changes = context;
    json_array_append_new(live ? changes->applied : changes->restart, json_string(path));
}

/* "a, b", cut; "nothing" of none. */
static void list(const json_t *paths, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s", json_array_size(paths) == 0 ? "nothing" : "");
    for (size_t i = 0; i < json_array_size(paths) && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 json_string_value(json_array_get(paths, i)));
}

static json_t *refuse(const struct error *err, struct publisher *publisher) {
    log_error("the configuration is not taken over: %s", err->text);
    publisher_event(publisher, "not_reloaded", "configuration", json_pack("{s:s}", "error", err->text),
                    "the configuration is not taken over: %s", err->text);
    return json_pack("{s:{s:s, s:s}}", "error", "code", "configuration", "message", err->text);
}

json_t *reload_take(struct config *config, const struct reload *reload, struct publisher *publisher) {
    if (reload->config == NULL)
        return refuse(&reload->err, publisher);
    struct changes changes = {json_array(), json_array()};
    char applied[200], restart[200];
    config_take_live(config, reload->config, note, &changes);
    reload_log_level(config);
    list(changes.applied, applied, sizeof applied);
    list(changes.restart, restart, sizeof restart);
    bool all = json_array_size(changes.restart) == 0;
    log_line(all ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "configuration: %s taken over%s%s", applied,
             all ? "" : "; a restart is needed for ", all ? "" : restart);
    publisher_event(publisher, "reloaded", "configuration",
                    json_pack("{s:O, s:O}", "applied", changes.applied, "restart", changes.restart),
                    "configuration: %s taken over%s%s", applied, all ? "" : "; a restart is needed for ",
                    all ? "" : restart);
    return json_pack("{s:b, s:o, s:o}", "ok", 1, "applied", changes.applied, "restart", changes.restart);
}
