#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/versions.h"

#include "daemon/log.h"
#include "engine/image.h"
#include "engine/whole_file.h"
#include "tests/support/bus_fixture.h"
#include "tests/support/fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[256];

#define REST(name, more) \
    "streams:\n  - {class: c, pattern: 'c/*', features: [a, b]}\nmodels:\n  - name: \"" name \
    "\"\n    class: c\n    batch_size: 2\n    layers:\n      - lstm: 4\n" more

struct scene {
    struct config *config;
    struct doorbell bell;
    struct versions *versions;
};

static void open_scene(struct scene *scene, const char *rest) {
    char text[2048];
    struct error err;
    snprintf(text, sizeof text, "state_dir: %s\n%s", folder, rest);
    scene->config = rig_config("", text);
    assert_int_equal(doorbell_init(&scene->bell), 0);
    scene->versions = versions_open(scene->config, &scene->bell, &err);
    if (scene->versions == NULL)
        fail_msg("%s", err.text);
}

static void close_scene(struct scene *scene) {
    versions_close(scene->versions);
    doorbell_fini(&scene->bell);
    config_free(scene->config);
}

static void remove_all(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/state", rig_folder());
    remove_all();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_all();
    return 0;
}

static struct version *version_of(const struct scene *scene, uint64_t number) {
    return fixture_version(&scene->config->models[0], number, number);
}

/* Publishes versions of these numbers, 0 being the baseline before the first one; before: -1 for none. */
static void publish(struct scene *scene, uint64_t number, int before) {
    struct error err;
    struct version *champion = version_of(scene, number);
    struct version *replaced = before < 0    ? NULL
                               : before == 0 ? version_new(0, NULL)
                                             : version_of(scene, (uint64_t)before);
    char facts[32];
    snprintf(facts, sizeof facts, "facts of %d", (int)number);
    const struct versions_record record = {
        .champion = champion, .before = replaced, .facts = facts, .about = "how it came"};
    if (versions_put(scene->versions, &record, &err) != 0)
        fail_msg("%s", err.text);
    version_release(champion);
    version_release(replaced);
}

/* What is found: numbers, -1 for none; and whether the champion has the weights of its number. */
static void expect(struct scene *scene, int champion, int before, int highest) {
    struct versions_found found;
    struct error err;
    if (versions_find(scene->versions, 0, &found, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(found.champion != NULL ? (int)version_number(found.champion) : -1, champion);
    assert_int_equal(found.before != NULL ? (int)version_number(found.before) : -1, before);
    assert_int_equal(found.highest, highest);
    if (champion > 0) {
        struct version *same = version_of(scene, (uint64_t)champion);
        const struct network *a = version_network(same), *b = version_network(found.champion);
        assert_memory_equal(network_params_const(a), network_params_const(b), network_n_params(a) * sizeof(float));
        version_release(same);
    }
    version_release(found.champion);
    version_release(found.before);
    free(found.facts);
}

static bool exists(const char *name) {
    char path[400];
    snprintf(path, sizeof path, "%s/versions/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* Something else in the middle of a file. */
static void damage(const char *name) {
    char path[400];
    snprintf(path, sizeof path, "%s/versions/%s", folder, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 60, SEEK_SET);
    fputs("####", file);
    fclose(file);
}

static void who_served_is_found_again(void **state) {
    (void)state;
    struct scene scene;
    struct versions_found found;
    struct error err;
    open_scene(&scene, REST("m", ""));
    expect(&scene, -1, -1, 0);
    publish(&scene, 1, 0);
    expect(&scene, 1, 0, 1);
    publish(&scene, 4, 1);
    close_scene(&scene);

    open_scene(&scene, REST("m", ""));
    expect(&scene, 4, 1, 4);
    assert_int_equal(versions_find(scene.versions, 0, &found, &err), 0);
    assert_string_equal(found.facts, "facts of 4");
    free(found.facts);
    version_release(found.champion);
    version_release(found.before);
    struct version *version = versions_load(scene.versions, 0, 1, &err);
    assert_int_equal(version_number(version), 1);
    struct version *again = versions_load(scene.versions, 0, 1, &err);
    assert_ptr_equal(again, version); /* one for all */
    version_release(again);
    version_release(version);
    assert_null(versions_load(scene.versions, 0, 2, &err));
    assert_non_null(strstr(err.text, "/m/2.version: No such file"));
    close_scene(&scene);
}

static void what_was_being_written_is_taken_away(void **state) {
    (void)state;
    struct scene scene;
    char path[400];
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    close_scene(&scene);
    snprintf(path, sizeof path, "%s/versions/m/champion.123.0.tmp", folder);
    fclose(fopen(path, "w"));
    open_scene(&scene, REST("m", ""));
    assert_false(exists("m/champion.123.0.tmp"));
    expect(&scene, 1, -1, 1);
    close_scene(&scene);
}

/* A version that was written, and whose champion was not, never served: its number is not given again. */
static void a_version_that_never_served_counts(void **state) {
    (void)state;
    struct scene scene;
    char command[800];
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    snprintf(command, sizeof command, "cp %s/versions/m/champion %s/kept", folder, folder);
    assert_int_equal(system(command), 0);
    publish(&scene, 2, 1);
    snprintf(command, sizeof command, "mv %s/kept %s/versions/m/champion", folder, folder);
    assert_int_equal(system(command), 0);
    expect(&scene, 1, -1, 2);
    close_scene(&scene);
}

static void the_predecessor_serves_for_a_damaged_champion(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    publish(&scene, 2, 1);
    damage("m/2.version");
    expect(&scene, 1, -1, 2);
    assert_true(exists("m/2.version~1"));
    assert_false(exists("m/2.version"));
    expect(&scene, 1, -1, 2); /* and again */
    damage("m/1.version");
    expect(&scene, -1, -1, 2);
    close_scene(&scene);
}

static void copy_file(const char *from, const char *to) {
    char command[800];
    snprintf(command, sizeof command, "cp %s/versions/%s %s/versions/%s", folder, from, folder, to);
    assert_int_equal(system(command), 0);
}

static void take_away(const char *name) {
    char path[400];
    snprintf(path, sizeof path, "%s/versions/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void expect_facts(struct scene *scene, const char *facts) {
    struct versions_found found;
    struct error err;
    assert_int_equal(versions_find(scene->versions, 0, &found, &err), 0);
    assert_string_equal(found.facts, facts);
    free(found.facts);
    version_release(found.champion);
    version_release(found.before);
}

/* Who served is not the latest: that had been rolled back from. */
static void a_damaged_record_has_a_copy(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    publish(&scene, 3, 1);
    publish(&scene, 4, 3);
    publish(&scene, 3, 4);
    damage("m/champion");
    expect(&scene, 3, 4, 4);
    expect_facts(&scene, "facts of 3");
    assert_true(exists("m/champion~1") && exists("m/champion"));
    damage("m/champion.copy"); /* there are two again */
    expect(&scene, 3, 4, 4);
    damage("m/champion");
    expect(&scene, 3, 4, 4);
    assert_true(exists("m/champion~2"));
    take_away("m/champion");
    expect(&scene, 3, 4, 4);
    assert_true(exists("m/champion"));
    close_scene(&scene);
}

/* As a crash between the two leaves it, or a daemon that wrote one only. */
static void a_copy_that_is_old_or_missing_is_written(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    copy_file("m/champion.copy", "older");
    publish(&scene, 2, 1);
    copy_file("older", "m/champion.copy");
    expect(&scene, 2, 1, 2);
    damage("m/champion");
    expect(&scene, 2, 1, 2);
    take_away("m/champion.copy");
    expect(&scene, 2, 1, 2);
    damage("m/champion");
    expect(&scene, 2, 1, 2);
    close_scene(&scene);
}

static void a_copy_for_another_configuration(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    close_scene(&scene);
    damage("m/champion");
    open_scene(&scene, REST("m", "    horizon: 5\n"));
    expect(&scene, -1, -1, 1);
    assert_true(exists("m~1/1.version") && exists("m~1/champion.copy") && exists("m~1/champion~1"));
    close_scene(&scene);
}

static void the_latest_serve_for_a_damaged_record(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    publish(&scene, 3, 1);
    publish(&scene, 4, 3);
    damage("m/champion");
    damage("m/champion.copy");
    damage("m/4.version");
    expect(&scene, 3, 1, 4);
    assert_true(exists("m/champion~1") && exists("m/champion.copy~1"));
    publish(&scene, 3, 1);
    damage("m/champion");
    take_away("m/champion.copy"); /* as an older daemon had none */
    expect(&scene, 3, 1, 4);
    assert_true(exists("m/champion~2"));
    close_scene(&scene);
}

static void a_later_format_is_left_alone(void **state) {
    (void)state;
    struct scene scene;
    struct versions_found found;
    struct error err;
    struct image image = {0};
    struct image_io io, section;
    char path[400];
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    image_begin(&io, &image);
    image_enter(&io, "chmp", 2, &section);
    image_leave(&io, &section);
    assert_int_equal(image_end(&io), 0);
    snprintf(path, sizeof path, "%s/versions/m/champion", folder);
    assert_int_equal(whole_file_write(path, image.bytes, image.n, &err), 0);
    image_free(&image);
    assert_int_equal(versions_find(scene.versions, 0, &found, &err), -1);
    assert_non_null(strstr(err.text, "model m: its versions in "));
    assert_non_null(strstr(err.text, "are of a later forecastd; run that one, or move the folder away"));
    assert_true(exists("m/champion"));
    close_scene(&scene);
}

static void another_configuration_begins_anew(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    publish(&scene, 2, 1);
    close_scene(&scene);
    open_scene(&scene, REST("m", "    horizon: 5\n"));
    expect(&scene, -1, -1, 2);
    assert_true(exists("m~1/2.version") && exists("m~1/champion"));
    expect(&scene, -1, -1, 2);
    publish(&scene, 3, -1);
    close_scene(&scene);
    open_scene(&scene, REST("m", ""));
    expect(&scene, -1, -1, 3);
    assert_true(exists("m~2/3.version"));
    close_scene(&scene);
    /* What changes nothing for the parameters changes nothing here. */
    open_scene(&scene, REST("m", "    retrain_every: 5m\n    combine: network\n"));
    publish(&scene, 4, -1);
    close_scene(&scene);
    open_scene(&scene, REST("m", ""));
    expect(&scene, 4, -1, 4);
    close_scene(&scene);
}

static void a_folder_has_any_name(void **state) {
    (void)state;
    static const char *const names[] = {REST(".", ""), REST("a~1 b", ""), REST("..x", "")};
    static const char *const folders[] = {"%2E/1.version", "a%7E1%20b/1.version", "%2E.x/1.version"};
    struct scene scene;
    for (int i = 0; i < 3; i++) {
        open_scene(&scene, names[i]);
        publish(&scene, 1, -1);
        expect(&scene, 1, -1, 1);
        assert_true(exists(folders[i]));
        close_scene(&scene);
    }
    /* Long ones differ in their last letter. */
    char longs[2][600];
    for (int i = 0; i < 2; i++) {
        char name[256];
        memset(name, '+', 250);
        name[250] = (char)('a' + i);
        name[251] = '\0';
        snprintf(
            longs[i], sizeof longs[i],
            "streams:\n  - {class: c, pattern: 'c/*', features: [a, b]}\nmodels:\n  - {name: \"%s\", class: c}\n",
            name);
        open_scene(&scene, longs[i]);
        expect(&scene, -1, -1, 0);
        publish(&scene, (uint64_t)i + 1, -1);
        close_scene(&scene);
    }
    open_scene(&scene, longs[0]);
    expect(&scene, 1, -1, 1);
    close_scene(&scene);
}

static void old_ones_go(void **state) {
    (void)state;
    struct scene scene;
    char name[32];
    open_scene(&scene, REST("m", ""));
    publish(&scene, 1, -1);
    enum { ALL = VERSIONS_KEPT + 14 };
    for (int i = 2; i <= ALL; i++)
        publish(&scene, (uint64_t)i, 1); /* the first remains the way back */
    for (int i = 1; i <= ALL; i++) {
        snprintf(name, sizeof name, "m/%d.version", i);
        if (exists(name) != (i == 1 || i > ALL - VERSIONS_KEPT))
            fail_msg("%s", name);
    }
    expect(&scene, ALL, 1, ALL);
    close_scene(&scene);
}

static void what_the_journal_names_stays(void **state) {
    (void)state;
    struct scene scene;
    char name[32];
    open_scene(&scene, REST("m", ""));
    enum { ALL = VERSIONS_KEPT + 20 };
    for (int i = 1; i <= ALL; i++) {
        publish(&scene, (uint64_t)i, i - 1);
        versions_named(scene.versions, 0, (uint64_t)i, (uint64_t)i * 100);
        versions_named(scene.versions, 0, (uint64_t)i, (uint64_t)i * 100 + 50); /* by another stream */
        if (i == 20)
            versions_keep_from(scene.versions, 1050); /* where version 10 served */
    }
    for (int i = 1; i <= ALL; i++) {
        snprintf(name, sizeof name, "m/%d.version", i);
        assert_true(exists(name) == (i >= 10 - VERSIONS_KEPT_BELOW));
    }
    versions_keep_from(scene.versions, 1100000);
    publish(&scene, ALL + 1, ALL);
    assert_false(exists("m/20.version"));
    assert_true(exists("m/22.version"));
    close_scene(&scene);
}

/* What has left memory is read from the disk. */
static void few_are_in_memory(void **state) {
    (void)state;
    struct scene scene;
    struct error err;
    open_scene(&scene, REST("m", ""));
    for (int i = 1; i <= 8; i++)
        publish(&scene, (uint64_t)i, -1);
    for (int round = 0; round < 2; round++)
        for (uint64_t number = 1; number <= 8; number++) {
            struct version *version = versions_load(scene.versions, 0, number, &err),
                           *same = version_of(&scene, number);
            const struct network *a = version_network(same), *b = version_network(version);
            assert_int_equal(version_number(version), number);
            assert_memory_equal(network_params_const(a), network_params_const(b),
                                network_n_params(a) * sizeof(float));
            version_release(version);
            version_release(same);
        }
    close_scene(&scene);
}

static void it_is_written_behind_the_bus(void **state) {
    (void)state;
    struct scene scene;
    struct versions_result result;
    open_scene(&scene, REST("m", ""));
    struct version *version = version_of(&scene, 1);
    const struct versions_record record = {.champion = version, .facts = "{}", .about = "{}"};
    assert_false(versions_take(scene.versions, &result));
    assert_int_equal(versions_start(scene.versions, &record), 0);
    assert_int_equal(versions_start(scene.versions, &record), -1);
    version_release(version);
    assert_true(versions_take(scene.versions, &result));
    assert_false(result.failed);
    expect(&scene, 1, -1, 1);

    char command[600];
    snprintf(command, sizeof command, "mv %s/versions/m %s/away", folder, folder);
    assert_int_equal(system(command), 0);
    version = version_of(&scene, 2);
    const struct versions_record next = {.champion = version, .facts = "{}", .about = "{}"};
    assert_int_equal(versions_start(scene.versions, &next), 0);
    version_release(version);
    assert_true(versions_take(scene.versions, &result));
    assert_true(result.failed);
    assert_non_null(strstr(result.err.text, "/versions/m/2.version: No such file"));
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_served_is_found_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_being_written_is_taken_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_version_that_never_served_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_predecessor_serves_for_a_damaged_champion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_record_has_a_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_that_is_old_or_missing_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_for_another_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_latest_serve_for_a_damaged_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_later_format_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_configuration_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_has_any_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_ones_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_journal_names_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_are_in_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_written_behind_the_bus, set_up, tear_down),
    };
    log_open((enum log_level)0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
