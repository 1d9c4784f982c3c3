#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/version_file.h"

#include "engine/image.h"
#include "engine/pooled.h"
#include "engine/whole_file.h"
#include "tests/support/fixtures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

struct scene {
    struct fixture fixture;
    char *features[2];
    char *made_for;
    struct version *version; /* number 7, with a network and a ridge */
};

static void open_scene(struct scene *scene) {
    struct error err;
    fixture_init(&scene->fixture, 2);
    static char a[] = "a", b[] = "b";
    scene->features[0] = a;
    scene->features[1] = b;
    scene->fixture.class.features = scene->features;
    scene->fixture.model.experts = EXPERTS_LIGHT;
    scene->fixture.model.train = true;
    scene->made_for = version_file_model(&scene->fixture.model, &scene->fixture.class, &err);
    assert_non_null(scene->made_for);
    scene->version = fixture_version(&scene->fixture.model, 7, 3);
    size_t n = pooled_size(&scene->fixture.model);
    float *ridge = calloc(n, sizeof *ridge);
    for (size_t i = 0; i < n; i++)
        ridge[i] = 0.1f * (float)i;
    version_set_ridge(scene->version, ridge);
}

static void close_scene(struct scene *scene) {
    version_release(scene->version);
    free(scene->made_for);
    unlink(path);
}

static void put(struct scene *scene) {
    struct error err;
    assert_int_equal(
        version_file_write(path, &scene->fixture.model, scene->version, scene->made_for, "{\"a\":1}", &err), 0);
}

static enum version_file get(struct scene *scene, const char *made_for, struct version **ret_version,
                             struct error *err) {
    return version_file_read(path, &scene->fixture.model, made_for, ret_version, NULL, err);
}

static void it_comes_back_to_the_bit(void **state) {
    (void)state;
    struct scene scene;
    struct version *read;
    struct error err;
    char *facts;
    open_scene(&scene);
    put(&scene);
    assert_int_equal(version_file_read(path, &scene.fixture.model, scene.made_for, &read, &facts, &err),
                     VERSION_FILE_READ);
    const struct network *a = version_network(scene.version), *b = version_network(read);
    assert_int_equal(version_number(read), 7);
    assert_int_equal(network_n_params(a), network_n_params(b));
    assert_memory_equal(network_params_const(a), network_params_const(b), network_n_params(a) * sizeof(float));
    assert_memory_equal(version_ridge(scene.version), version_ridge(read),
                        pooled_size(&scene.fixture.model) * sizeof(float));
    assert_string_equal(facts, "{\"a\":1}");
    assert_true(version_file_digest(a) == version_file_digest(b) && version_file_digest(a) != 0);
    free(facts);
    version_release(read);
    close_scene(&scene);
}

static void one_without_a_network(void **state) {
    (void)state;
    struct scene scene;
    struct version *read;
    struct error err;
    open_scene(&scene);
    version_release(scene.version);
    scene.version = version_new(UINT64_C(1) << 60, NULL);
    put(&scene);
    assert_int_equal(get(&scene, scene.made_for, &read, &err), VERSION_FILE_READ);
    assert_true(version_number(read) == UINT64_C(1) << 60);
    assert_null(version_network(read));
    assert_null(version_ridge(read));
    assert_true(version_file_digest(NULL) == 0);
    version_release(read);
    close_scene(&scene);
}

/* Whatever has happened to a file, it is never taken for a version. */
static void what_is_damaged_is_told(void **state) {
    (void)state;
    struct scene scene;
    struct version *read;
    struct error err;
    void *bytes;
    size_t n;
    open_scene(&scene);
    put(&scene);
    assert_int_equal(whole_file_read(path, &bytes, &n, &err), 0);
    uint8_t *at = bytes;
    for (size_t i = 0; i < n; i += 1 + i / 64) {
        FILE *file = fopen(path, "wb");
        at[i] ^= 0x20;
        assert_int_equal(fwrite(bytes, 1, i % 2 == 0 ? n : i, file), i % 2 == 0 ? n : i);
        at[i] ^= 0x20;
        fclose(file);
        assert_int_equal(get(&scene, scene.made_for, &read, &err), VERSION_FILE_DAMAGED);
        assert_non_null(strstr(err.text, path));
    }
    free(bytes);
    unlink(path);
    assert_int_equal(get(&scene, scene.made_for, &read, &err), VERSION_FILE_NONE);
    close_scene(&scene);
}

static void a_later_format_is_no_damage(void **state) {
    (void)state;
    struct scene scene;
    struct version *read;
    struct error err;
    struct image image = {0};
    struct image_io io, section;
    open_scene(&scene);
    image_begin(&io, &image);
    image_enter(&io, "vers", 2, &section);
    image_leave(&io, &section);
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(whole_file_write(path, image.bytes, image.n, &err), 0);
    assert_int_equal(get(&scene, scene.made_for, &read, &err), VERSION_FILE_NEWER);
    image_free(&image);
    close_scene(&scene);
}

static void expect_other(struct scene *scene, const char *sentence) {
    struct error err;
    struct version *read;
    char *made_for = version_file_model(&scene->fixture.model, &scene->fixture.class, &err);
    assert_int_equal(get(scene, made_for, &read, &err), VERSION_FILE_OTHER);
    if (strstr(err.text, sentence) == NULL)
        fail_msg("%s", err.text);
    free(made_for);
}

static void another_model_is_told_by_what_differs(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    put(&scene);
    struct config_model *model = &scene.fixture.model;
    model->horizon++;
    expect_other(&scene, "horizon is 4 now, and was 3 then");
    model->horizon--;
    scene.fixture.layers[0].units++;
    expect_other(&scene, "the layers of that were others");
    scene.fixture.layers[0].units--;
    scene.fixture.layers[0].recurrent_activation = ACTIVATION_HARD_SIGMOID; /* as many parameters */
    expect_other(&scene, "the layers of that were others");
    scene.fixture.layers[0].recurrent_activation = ACTIVATION_SIGMOID;
    model->residual = !model->residual;
    expect_other(&scene, "residual is false now, and was true then");
    model->residual = !model->residual;
    scene.features[0] = (char[]){"other"};
    expect_other(&scene, "[\"other\"");
    close_scene(&scene);
}

/* Where the ridge does not fit, the network serves without. */
static void a_ridge_on_other_inputs_is_left_out(void **state) {
    (void)state;
    struct scene scene;
    struct version *read;
    struct error err;
    open_scene(&scene);
    put(&scene);
    scene.fixture.model.period++;
    assert_int_equal(get(&scene, scene.made_for, &read, &err), VERSION_FILE_READ);
    assert_non_null(version_network(read));
    assert_null(version_ridge(read));
    version_release(read);
    close_scene(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_to_the_bit),
        cmocka_unit_test(one_without_a_network),
        cmocka_unit_test(what_is_damaged_is_told),
        cmocka_unit_test(a_later_format_is_no_damage),
        cmocka_unit_test(another_model_is_told_by_what_differs),
        cmocka_unit_test(a_ridge_on_other_inputs_is_left_out),
    };
    snprintf(path, sizeof path, "/tmp/test_version_file.%d", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
