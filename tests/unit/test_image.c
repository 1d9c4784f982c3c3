#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/image.h"

#include <stdlib.h>
#include <string.h>

/* Some numbers, in a section and one within it. */
struct thing {
    bool mark;
    int small;
    uint64_t count;
    double real;
    float row[3];
    uint16_t inner;
};

static void serialize(struct thing *thing, uint16_t format, struct image_io *io) {
    struct image_io section, inner;
    image_enter(io, "thng", format, &section);
    image_bool(&section, &thing->mark);
    image_int(&section, &thing->small, -3, 9, "it is too small or too large");
    image_count(&section, &thing->count, 1000, "there are too many");
    image_enter(&section, "innr", 1, &inner);
    image_io(&inner, &thing->inner, 1);
    image_leave(&section, &inner);
    image_io(&section, &thing->real, 1);
    image_io(&section, thing->row, 3);
    image_leave(io, &section);
}

static const struct thing example = {true, -3, 1000, 0.1, {1, 2.5F, -3}, 0xabcd};

static void write_thing(struct image *image, const struct thing *thing, uint16_t format) {
    struct image_io io;
    struct thing copy = *thing;
    image_begin(&io, image);
    serialize(&copy, format, &io);
    assert_int_equal(image_end(&io), 0);
}

static int read_thing(const uint8_t *bytes, size_t n, uint16_t format, struct thing *ret, struct error *err) {
    struct image_io io;
    memset(err, 0, sizeof *err);
    if (image_open(&io, bytes, n, err) != 0)
        return -1;
    serialize(ret, format, &io);
    return image_end(&io);
}

/* What follows a number of things may be none of them. */
static void there_are_no_more_than_there_is_room_for(void **state) {
    (void)state;
    uint16_t things[] = {7, 8, 9};
    for (uint64_t n = 0; n <= 4; n++)
        for (uint64_t most = 2; most <= 5; most++) {
            struct image image = {0};
            struct image_io io;
            struct error err;
            uint64_t written = n, read = 99;
            image_begin(&io, &image);
            image_number(&io, &written, 0, sizeof *things, "");
            image_io(&io, things, 3);
            assert_int_equal(image_end(&io), 0);
            assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
            image_number(&io, &read, most, sizeof *things, "too many things");
            assert_int_equal(read, n <= 3 && n <= most ? n : 0);
            assert_int_equal(image_ok(&io), n <= 3 && n <= most);
            if (n > most)
                assert_non_null(strstr(err.text, "too many things"));
            else if (n > 3)
                assert_non_null(strstr(err.text, "it ends too early"));
            image_free(&image);
        }
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct image image = {0};
    struct error err;
    struct thing thing = {0};
    write_thing(&image, &example, 1);
    write_thing(&image, &example, 1); /* in the place of the first */
    assert_int_equal(read_thing(image.bytes, image.n, 1, &thing, &err), 0);
    assert_true(thing.mark && thing.small == -3 && thing.count == 1000 && thing.inner == 0xabcd);
    assert_true(thing.real == 0.1 && memcmp(thing.row, example.row, sizeof thing.row) == 0);
    /* Little-endian on every machine: the header, the section's, and the first numbers. */
    static const uint8_t head[] = {'f', 'c', 'i', 'm', 1, 0,    't',  'h',  'n',  'g',  1, 0,
                                   45,  0,   0,   0,   1, 0xfd, 0xff, 0xff, 0xff, 0xe8, 3, 0};
    assert_memory_equal(image.bytes, head, sizeof head);
    assert_int_equal(image.n, 6 + 10 + 45 + 8);
    image_free(&image);
    assert_null(image.bytes);
}

static void a_large_one_grows(void **state) {
    (void)state;
    enum { NUMBERS = 100000 };
    struct image image = {0};
    struct image_io io, section;
    struct error err;
    uint32_t *numbers = malloc(NUMBERS * sizeof *numbers), *got = malloc(NUMBERS * sizeof *got);
    for (uint32_t i = 0; i < NUMBERS; i++)
        numbers[i] = i * i;
    image_begin(&io, &image);
    for (int i = 0; i < 3; i++) {
        image_enter(&io, "many", 1, &section);
        image_io(&section, numbers, NUMBERS);
        image_leave(&io, &section);
    }
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(image_comes(&io, "many") && !image_comes(&io, "some"));
        image_enter(&io, "many", 1, &section);
        image_skip(&section, 4);
        image_io(&section, got, NUMBERS - 1);
        image_leave(&io, &section);
        assert_memory_equal(got, numbers + 1, (NUMBERS - 1) * sizeof *got);
    }
    assert_false(image_comes(&io, "many"));
    assert_int_equal(image_end(&io), 0);
    image_free(&image);
    free(numbers);
    free(got);
}

static void what_is_damaged_is_refused(void **state) {
    (void)state;
    struct image image = {0};
    struct error err;
    struct thing thing;
    write_thing(&image, &example, 1);
    for (size_t n = 0; n < image.n; n++) {
        uint8_t *part = malloc(n + 1); /* so that a sanitizer sees a step beyond */
        memcpy(part, image.bytes, n);
        assert_int_equal(read_thing(part, n, 1, &thing, &err), -1);
        assert_true(strlen(err.text) > 20);
        free(part);
    }
    for (size_t bit = 0; bit < 8 * image.n; bit++) {
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(read_thing(image.bytes, image.n, 1, &thing, &err), -1);
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(read_thing(image.bytes, image.n, 1, &thing, &err), 0);
    image_free(&image);
}

static void check_sentence(const struct thing *thing, uint16_t written, uint16_t newest, const char *expected) {
    struct image image = {0};
    struct error err;
    struct thing got;
    write_thing(&image, thing, written);
    assert_int_equal(read_thing(image.bytes, image.n, newest, &got, &err), -1);
    assert_string_equal(err.text, expected);
    image_free(&image);
}

/* Whoever knows its bytes to be whole reads it without its sum; all else is looked at as ever. */
static void what_is_known_is_not_summed_again(void **state) {
    (void)state;
    struct image image = {0};
    struct image_io io;
    struct error err;
    struct thing thing = {0};
    write_thing(&image, &example, 1);
    image.bytes[image.n - 1] ^= 1; /* of the sum */
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), -1);
    assert_int_equal(image_open_summed(&io, image.bytes, image.n, &err), 0);
    serialize(&thing, 1, &io);
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(thing.count, 1000);
    assert_int_equal(image_open_summed(&io, image.bytes, 13, &err), -1);
    image.bytes[0] ^= 1;
    assert_int_equal(image_open_summed(&io, image.bytes, image.n, &err), -1);
    image_free(&image);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    struct thing thing = example;
    thing.small = 10;
    check_sentence(&thing, 1, 1,
                   "the image is damaged in section thng before its byte 21: it is too small or too large");
    thing.small = 9;
    thing.count = 1001;
    check_sentence(&thing, 1, 1, "the image is damaged in section thng before its byte 29: there are too many");
    check_sentence(
        &example, 3, 2,
        "the image's section thng has format 3, and this version of forecastd reads up to 2: a newer one is "
        "needed");
    struct image image = {0};
    struct image_io io, section;
    struct error err;
    struct thing got;
    image_begin(&io, &image);
    image_enter(&io, "othr", 1, &section);
    image_leave(&io, &section);
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(read_thing(image.bytes, image.n, 1, &got, &err), -1);
    assert_string_equal(err.text,
                        "the image is damaged in section fcim before its byte 16: section thng is not there, or "
                        "not whole");
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    assert_int_equal(image_end(&io), -1); /* nothing of it has been read */
    assert_string_equal(err.text, "the image is damaged in section fcim before its byte 6: there is more than was "
                                  "expected");
    image_free(&image);
    assert_int_equal(read_thing((const uint8_t *)"a text, and no image", 20, 1, &got, &err), -1);
    assert_string_equal(err.text, "20 bytes that are no image: they do not begin as one");
}

/* An older section is read: whoever reads it knows which it is. */
static void an_older_one_is_read(void **state) {
    (void)state;
    struct image image = {0};
    struct image_io io, section;
    struct error err;
    uint8_t byte = 7;
    image_begin(&io, &image);
    image_enter(&io, "aged", 2, &section);
    image_io(&section, &byte, 1);
    image_leave(&io, &section);
    assert_int_equal(image_end(&io), 0);
    assert_int_equal(image_open(&io, image.bytes, image.n, &err), 0);
    image_enter(&io, "aged", 5, &section);
    assert_int_equal(section.format, 2);
    byte = 0;
    image_io(&section, &byte, 1);
    image_leave(&io, &section);
    assert_int_equal(byte, 7);
    assert_int_equal(image_end(&io), 0);
    image_free(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_no_more_than_there_is_room_for),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_large_one_grows),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test(what_is_known_is_not_summed_again),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(an_older_one_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
