#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/journal.h"

#include "daemon/log.h"
#include "engine/pooled.h"
#include "engine/version_file.h"
#include "tests/support/bus_fixture.h"
#include "tests/support/fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scene {
    char folder[256];
    struct config *config;
};

static void open_scene(struct scene *scene) {
    char rest[1024];
    snprintf(scene->folder, sizeof scene->folder, "%s/journal", rig_folder());
    snprintf(rest, sizeof rest, "journal: %s\n" RIG_CLASS RIG_MODEL, scene->folder);
    scene->config = rig_config("", rest);
    assert_string_equal(scene->config->journal, scene->folder);
}

static void close_scene(struct scene *scene) {
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", scene->folder);
    assert_int_equal(system(command), 0);
    config_free(scene->config);
}

static void put_takeover(struct journal *journal, const char *stream, uint64_t step) {
    _Alignas(struct record_takeover) char bytes[sizeof(struct record_takeover) + 64];
    struct record_takeover *record = (struct record_takeover *)(void *)bytes;
    *record = (struct record_takeover){.kind = RECORD_TAKEOVER,
                                       .generation = 2,
                                       .takeover = {.version = 7, .began = step - 1, .step = step},
                                       .n = strlen(stream)};
    memcpy(record->name, stream, record->n);
    journal_takeover(journal, record);
}

/* A line of the file; NULL at its end. */
static json_t *next_line(FILE *file) {
    char line[512];
    return fgets(line, sizeof line, file) != NULL ? json_loads(line, 0, NULL) : NULL;
}

static json_int_t number(const json_t *map, const char *key) {
    return json_integer_value(json_object_get(map, key));
}

static void versions_and_takeovers_are_written(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    char path[300];
    open_scene(&scene);
    struct journal *journal = journal_open(scene.config, 42, &err);
    assert_non_null(journal);
    struct version *version = fixture_version(&scene.config->models[0], 7, 3), *none = version_new(8, NULL);
    const struct config_model *model = &scene.config->models[0];
    float *ridge = calloc(pooled_size(model), sizeof *ridge);
    ridge[3] = 0.25f;
    version_set_ridge(none, ridge);
    journal_version(journal, 0, version);
    put_takeover(journal, "c/\"odd\"", 100);
    put_takeover(journal, "c/2", UINT64_C(1) << 60);
    journal_version(journal, 0, none);
    version_release(none);
    journal_close(journal);

    snprintf(path, sizeof path, "%s/42/takeovers.jsonl", scene.folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    json_t *map = next_line(file);
    assert_string_equal(json_string_value(json_object_get(map, "model")), "m");
    assert_int_equal(number(map, "version"), 7);
    assert_string_equal(json_string_value(json_object_get(map, "file")), "m-7.version");
    json_decref(map);
    map = next_line(file);
    assert_string_equal(json_string_value(json_object_get(map, "stream")), "c/\"odd\"");
    assert_string_equal(json_string_value(json_object_get(map, "model")), "m");
    assert_true(number(map, "generation") == 2 && number(map, "version") == 7);
    assert_true(number(map, "began") == 99 && number(map, "step") == 100);
    json_decref(map);
    map = next_line(file);
    assert_true(number(map, "step") == INT64_C(1) << 60);
    json_decref(map);
    map = next_line(file);
    assert_int_equal(number(map, "version"), 8);
    assert_string_equal(json_string_value(json_object_get(map, "file")), "m-8.version");
    json_decref(map);
    assert_null(next_line(file));
    fclose(file);

    char *made_for = version_file_model(model, &scene.config->classes[0], &err);
    struct version *read;
    snprintf(path, sizeof path, "%s/42/m-7.version", scene.folder);
    assert_int_equal(version_file_read(path, model, made_for, &read, NULL, &err), VERSION_FILE_READ);
    const struct network *network = version_network(version);
    assert_int_equal(version_number(read), 7);
    assert_memory_equal(network_params_const(version_network(read)), network_params_const(network),
                        network_n_params(network) * sizeof(float));
    assert_null(version_ridge(read));
    version_release(read);
    snprintf(path, sizeof path, "%s/42/m-8.version", scene.folder);
    assert_int_equal(version_file_read(path, model, made_for, &read, NULL, &err), VERSION_FILE_READ);
    assert_null(version_network(read));
    assert_true(version_ridge(read)[3] == 0.25f && version_ridge(read)[0] == 0);
    version_release(read);
    free(made_for);
    version_release(version);
    close_scene(&scene);
}

static void commands_are_written(void **state) {
    (void)state;
    static const char *const wanted[] = {
        "{\"stream\":\"c/1\",\"generation\":3,\"model\":null,\"command\":\"reset\",\"step\":5}",
        "{\"stream\":\"c/1\",\"generation\":3,\"model\":\"m\",\"command\":\"reset\",\"step\":6}",
        "{\"stream\":\"c/1\",\"generation\":3,\"model\":null,\"command\":\"pause\",\"step\":7}",
        "{\"stream\":\"c/1\",\"generation\":3,\"model\":null,\"command\":\"resume\",\"step\":8}",
        ("{\"stream\":\"s\",\"generation\":9,\"model\":\"m\",\"command\":\"set_state\",\"step\":11,"
         "\"values\":[0.5,0.10000000149011612]}"),
    };
    static const enum commanded commands[] = {COMMANDED_RESET, COMMANDED_RESET, COMMANDED_PAUSE, COMMANDED_RESUME};
    _Alignas(struct record_commanded) char bytes[sizeof(struct record_commanded) + 3];
    _Alignas(struct state_order) char order_bytes[sizeof(struct state_order) + 2 * sizeof(float)];
    struct record_commanded *record = (struct record_commanded *)(void *)bytes;
    struct state_order *order = (struct state_order *)(void *)order_bytes;
    struct batch batch = {.model = 0};
    struct place place = {.batch = &batch};
    struct stream stream = {.name = (char[]){"s"}, .name_length = 1, .generation = 9, .places = &place};
    const float values[] = {0.5f, 0.1f};
    struct scene scene;
    struct error err;
    char path[300], line[512];
    open_scene(&scene);
    struct journal *journal = journal_open(scene.config, 1, &err);
    for (int i = 0; i < 4; i++) {
        *record = (struct record_commanded){.kind = RECORD_COMMANDED,
                                            .what = commands[i],
                                            .model = i == 1 ? 0 : -1,
                                            .generation = 3,
                                            .step = (uint64_t)i + 5,
                                            .n = 3};
        memcpy(record->name, "c/1", 3);
        journal_command(journal, record);
    }
    for (int i = 0; i < 3; i++) { /* one that was read, one that was refused, and one that was set */
        *order = (struct state_order){
            .stream = &stream, .set = i > 0, .outcome = i == 1 ? STATE_OTHER : STATE_DONE, .step = 11, .n = 2};
        memcpy(order->values, values, sizeof values);
        journal_state(journal, order);
    }
    journal_close(journal);
    snprintf(path, sizeof path, "%s/1/takeovers.jsonl", scene.folder);
    FILE *file = fopen(path, "r");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        line[strcspn(line, "\n")] = '\0';
        assert_string_equal(line, wanted[i]);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    close_scene(&scene);
}

/* The bus does not wait: what has no room is left out, and the file says so. */
static void what_has_no_room_is_told(void **state) {
    (void)state;
    enum { MANY = 300000 };
    struct scene scene;
    struct error err;
    char path[300];
    open_scene(&scene);
    struct journal *journal = journal_open(scene.config, 1, &err);
    for (int i = 0; i < MANY; i++)
        put_takeover(journal, "c/1", (uint64_t)i + 1);
    json_int_t told = 0, lost = 0;
    usleep(200000); /* there is room again: what comes next tells what was lost */
    put_takeover(journal, "c/1", 1);
    journal_close(journal);
    snprintf(path, sizeof path, "%s/1/takeovers.jsonl", scene.folder);
    FILE *file = fopen(path, "r");
    for (json_t *map; (map = next_line(file)) != NULL; json_decref(map)) {
        lost += number(map, "lost");
        told += json_object_get(map, "stream") != NULL;
    }
    fclose(file);
    print_message("%d written, %d lost\n", (int)told, (int)lost);
    assert_int_equal(told + lost, MANY + 1);
    close_scene(&scene);
}

static void a_folder_that_cannot_be(void **state) {
    (void)state;
    struct error err;
    struct config *config = rig_config("", "journal: /proc/none\n" RIG_CLASS RIG_MODEL);
    assert_null(journal_open(config, 1, &err));
    assert_non_null(strstr(err.text, "/proc/none"));
    config_free(config);
    journal_version(NULL, 0, NULL); /* without a journal nothing is written */
    journal_takeover(NULL, NULL);
    journal_command(NULL, NULL);
    journal_state(NULL, NULL);
    journal_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_and_takeovers_are_written),
        cmocka_unit_test(commands_are_written),
        cmocka_unit_test(what_has_no_room_is_told),
        cmocka_unit_test(a_folder_that_cannot_be),
    };
    log_open(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
