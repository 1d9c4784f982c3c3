/* Names, and ticks in MessagePack: single, bundled, refused, mutated, and as clients write them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/wire.h"
#include "tests/support/wire_cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *single(const char *name, const char *hex) {
    unsigned char payload[4096];
    struct wire_text frames[2] = {{name, strlen(name)}, {(char *)payload, bytes_of(hex, payload, sizeof(payload))}};
    return ticks_as_text(frames, 2);
}

static const char *bundle(const char *hex) {
    unsigned char payload[4096];
    struct wire_text frame = {(char *)payload, bytes_of(hex, payload, sizeof(payload))};
    return ticks_as_text(&frame, 1);
}

struct text_case {
    const char *hex, *expected;
};

static void check(const struct text_case *cases, size_t n, bool bundled) {
    for (size_t i = 0; i < n; i++) {
        const char *text = bundled ? bundle(cases[i].hex) : single("s", cases[i].hex);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("%s gives %s, not %s", cases[i].hex, text, cases[i].expected);
    }
}
#define CHECK(cases, bundled) check(cases, sizeof(cases) / sizeof(cases[0]), bundled)

static void single_ticks(void **state) {
    static const struct text_case cases[] = {
        {"92 05 92 cb3ff8000000000000 c0", "s@5[1.5,nil]"},
        {"93 05 91 01 0c", "s@5[1]#12"},
        {"93 05 91 01 cfffffffffffffffff", "s@5[1]#18446744073709551615"},
        {"92 05 90", "s@5[]"},
        /* every form of a number */
        {"92 05 91 ca3fc00000", "s@5[1.5]"},
        {"92 05 91 cb7ff8000000000000", "s@5[nil]"},
        {"92 05 91 ca7fc00000", "s@5[nil]"},
        {"92 05 98 00 7f ccff cdffff ceffffffff cf0000000100000000 ff e0",
         "s@5[0,127,255,65535,4294967295,4294967296,-1,-32]"},
        {"92 05 94 d080 d18000 d280000000 d38000000000000000",
         "s@5[-128,-32768,-2147483648,-9.2233720368547758e+18]"},
        {"92 05 94 d07f d17fff d27fffffff d300000000ffffffff", "s@5[127,32767,2147483647,4294967295]"},
        {"92 05 91 d3fffffffeffffffff", "s@5[-4294967297]"},
        /* every form of a time */
        {"92 ff 90", "s@-1[]"},
        {"92 ce80000000 90", "s@2147483648[]"},
        {"92 cf7fffffffffffffff 90", "s@9223372036854775807[]"},
        {"92 d38000000000000000 90", "s@-9223372036854775808[]"},
        {"92 d3fffffffe80000000 90", "s@-6442450944[]"},
        /* values by name and packed */
        {"92 05 82 a1'a' 01 a2'bc' c0", "s@5{a=1,bc=nil}"},
        {"92 05 82 a1'a' 01 a1'a' 02", "s@5{a=1,a=2}"},
        {"92 05 80", "s@5{}"},
        {"92 05 c408 0000c03f 000080bf", "s@5[1.5,-1]"},
        {"92 05 c404 0000c07f", "s@5[nil]"},
        {"92 05 c50004 0000c03f", "s@5[1.5]"},
        {"92 05 c400", "s@5[]"},
        /* long heads for short things */
        {"dc0002 cd0005 dd00000001 01", "s@5[1]"},
        {"dd00000002 05 de0001 d901'a' 01", "s@5{a=1}"},
        /* maps, in any order, with keys that nobody knows */
        {"82 a1't' 05 a1'v' 91 01", "s@5[1]"},
        {"83 a3'seq' 09 a1'v' 91 01 a1't' 05", "s@5[1]#9"},
        {"83 a1'x' 92 01 81 a1'y' c0 a1't' 05 a1'v' 91 01", "s@5[1]"},
        {"83 a1'x' c70401'abcd' a1't' 05 a1'v' 91 01", "s@5[1]"},
        {"84 a1't' 05 a1'v' 81 a1'a' 01 a1't' 06 a1'v' 91 02", "s@6[2]"},
        /* labels */
        {"82 a1't' 05 a5'label' 02", "s@5=2"},
        {"82 a5'label' cf7fffffffffffffff a1't' 05", "s@5=9223372036854775807"},
        {"82 a5'label' ff a1't' 05", "s@5=-1"},
        /* qualities, before and behind the values */
        {"83 a1't' 05 a1'v' 93 01 02 03 a1'q' 93 c3 c2 c0", "s@5[1,nil,3]"},
        {"83 a1'q' 92 c2 c2 a1't' 05 a1'v' c408 0000c03f 000080bf", "s@5[nil,nil]"},
        {"83 a1't' 05 a1'v' 83 a1'a' 01 a2'bc' 02 a1'd' 03 a1'q' 83 a2'bc' c2 a1'd' c3 a1'x' c2",
         "s@5{a=1,bc=nil,d=3}"},
        {"83 a1't' 05 a1'v' 90 a1'q' 90", "s@5[]"},
        {"84 a1'q' 91 c2 a1't' 05 a1'v' 91 01 a1'q' 91 c3", "s@5[1]"},
    };
    (void)state;
    CHECK(cases, false);
}

static void refused_single_ticks(void **state) {
    static const struct text_case cases[] = {
        {"", "!!malformed"},
        {"c1", "!malformed(s)"},
        {"92", "!malformed(s)"},
        {"92 05", "!malformed(s)"},
        {"92 05 91", "!malformed(s)"},
        {"92 05 91 cb3ff800", "!malformed(s)"},
        {"92 05 91 01 00", "!malformed(s)"},
        {"92 05 91 01 92 05 91 01", "!malformed(s)"},
        {"92 05 82 a1'a' 01 a1", "!malformed(s)"},
        {"92 05 c408 0000c03f", "!malformed(s)"},
        {"92 05 c6fffffffc 00", "!malformed(s)"},
        {"92 05 ddffffffff 00", "!malformed(s)"}, /* claims what is not there */
        {"dfffffffff a1't' 05", "!malformed(s)"},
        {"82 a1't' 05 dbffffffff", "!malformed(s)"},
        {"05", "!shape(s)"},
        {"c0", "!shape(s)"},
        {"a1'x'", "!shape(s)"},
        {"90", "!shape(s)"},
        {"91 05", "!shape(s)"},
        {"94 05 91 01 01 01", "!shape(s)"},
        {"92 05 01", "!shape(s)"},
        {"92 05 a1'x'", "!shape(s)"},
        {"92 05 d40100", "!shape(s)"},
        {"92 05 81 01 01", "!shape(s)"},
        {"93 05 91 01 c0", "!shape(s)"},
        {"93 05 91 01 ff", "!shape(s)"},
        {"80", "!shape(s)"},
        {"81 a1't' 05", "!shape(s)"},
        {"81 a1'v' 91 01", "!shape(s)"},
        {"81 05 06", "!shape(s)"},
        {"81 a5'label' 02", "!shape(s)"},
        {"83 a1't' 05 a1'v' 91 01 a5'label' 02", "!shape(s)"},
        {"82 a1't' 05 a5'label' c0", "!label(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' 92 c3 c3", "!quality(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' 90", "!quality(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' 91 01", "!quality(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' 81 a1'a' c2", "!quality(s)"},
        {"83 a1't' 05 a1'v' 81 a1'a' 01 a1'q' 91 c2", "!quality(s)"},
        {"83 a1't' 05 a1'v' 81 a1'a' 01 a1'q' 81 05 c2", "!quality(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' c2", "!quality(s)"},
        {"83 a1't' 05 a1'v' 91 01 a1'q' 92 c3", "!malformed(s)"},
        {"82 a1't' 05 a5'label' cb3ff0000000000000", "!label(s)"},
        {"82 a1't' 05 a5'label' c3", "!label(s)"},
        {"92 c0 91 01", "!time(s)"},
        {"92 cb3ff8000000000000 91 01", "!time(s)"},
        {"92 cf8000000000000000 91 01", "!time(s)"},
        {"92 a1'5' 91 01", "!time(s)"},
        {"92 c3 91 01", "!time(s)"},
        {"92 d6ff00000000 91 01", "!time(s)"}, /* MessagePack's own timestamp is an ext */
        {"82 a1't' c0 a1'v' 91 01", "!time(s)"},
        {"92 05 91 c3", "!value(s)"},
        {"92 05 91 a1'1'", "!value(s)"},
        {"92 05 91 91 01", "!value(s)"},
        {"92 05 91 d40100", "!value(s)"},
        {"92 05 91 c70401'abcd'", "!value(s)"},
        {"92 05 81 a1'a' c2", "!value(s)"},
        {"92 05 c403 000000", "!value(s)"},
        {"92 05 91 cb7ff0000000000000", "!infinite(s)"},
        {"92 05 91 cbfff0000000000000", "!infinite(s)"},
        {"92 05 91 ca7f800000", "!infinite(s)"},
        {"92 05 81 a1'a' ca7f800000", "!infinite(s)"},
        {"92 05 c404 0000807f", "!infinite(s)"},
    };
    (void)state;
    CHECK(cases, false);
}

static void bundles(void **state) {
    static const struct text_case cases[] = {
        {"90", ""},
        {"91 93 a1'a' 05 91 01", "a@5[1]"},
        {"92 93 a1'a' 05 91 01 94 a1'b' 06 81 a1'x' 02 07", "a@5[1]; b@6{x=2}#7"},
        {"dd00000001 93 a1'a' 05 c404 0000c03f", "a@5[1.5]"},
        {"dc0001 dc0003 d901'a' 05 90", "a@5[]"},
        /* maps */
        {"92 83 a6'stream' a1'a' a1't' 05 a5'label' 02 93 a1'b' 05 91 01", "a@5=2; b@5[1]"},
        {"92 84 a6'stream' a1'a' a1't' 05 a1'q' 91 c2 a1'v' 91 02 93 a1'b' 05 91 01", "a@5[nil]; b@5[1]"},
        {"91 83 a1't' 05 a1'v' 91 01 a6'stream' a1'a'", "a@5[1]"},
        {"92 82 a1't' 05 a5'label' 02 93 a1'c' 06 91 02", "!shape(); c@6[2]"},
        {"92 83 a6'stream' a0 a1't' 05 a5'label' 02 93 a1'c' 06 91 02", "!name(); c@6[2]"},
        {"92 83 a6'stream' 05 a1't' 05 a5'label' 02 93 a1'c' 06 91 02", "!shape(); c@6[2]"},
        {"92 83 a6'stream' a1'a' a1't' c0 a5'label' 02 93 a1'c' 06 91 02", "!time(a); c@6[2]"},
        /* one that is refused between two that are not */
        {"93 93 a1'a' 05 91 01 93 a1'b' 05 91 c3 93 a1'c' 06 91 02", "a@5[1]; !value(b); c@6[2]"},
        {"93 93 a1'a' 05 91 01 93 a1'b' c0 91 01 93 a1'c' 06 91 02", "a@5[1]; !time(b); c@6[2]"},
        {"93 93 a1'a' 05 91 01 92 a1'b' 05 93 a1'c' 06 91 02", "a@5[1]; !shape(b); c@6[2]"},
        {"93 93 a1'a' 05 91 01 93 a0 05 91 01 93 a1'c' 06 91 02", "a@5[1]; !name(); c@6[2]"},
        {"93 93 a1'a' 05 91 01 93 a1 ff 05 91 01 93 a1'c' 06 91 02", "a@5[1]; !name(); c@6[2]"},
        {"93 93 a1'a' 05 91 01 93 05 05 91 01 93 a1'c' 06 91 02", "a@5[1]; !shape(); c@6[2]"},
        {"93 93 a1'a' 05 91 01 90 93 a1'c' 06 91 02", "a@5[1]; !shape(); c@6[2]"},
        {"93 93 a1'a' 05 91 01 81 91 91 80 c70101'x' 93 a1'c' 06 91 02", "a@5[1]; !shape(); c@6[2]"},
        {"92 95 a1'b' 05 90 01 01 93 a1'c' 06 91 02", "!shape(b); c@6[2]"},
        {"92 93 a1'b' 05 93 cb7ff0000000000000 91 91 01 c403'abc' 93 a1'c' 06 91 02", "!infinite(b); c@6[2]"},
        /* what follows cannot be read */
        {"92 93 a1'a' 05 91 01", "a@5[1]; !malformed()"},
        {"92 93 a1'a' 05 91 01 93 a1'b' 05 91 cb3f", "a@5[1]; !malformed(b)"},
        {"93 93 a1'a' 05 91 01 c1 93 a1'c' 06 91 02", "a@5[1]; !malformed()"},
        {"92 93 a1'a' 05 91 c3 93 a1'b' ddffffffff", "!value(a); !malformed(b)"},
        {"91 93 a1'a' 05 91 01 00", "a@5[1]; !malformed()"},
        {"90 90", "!malformed()"},
        {"ddffffffff 93 a1'a' 05 91 01", "!!malformed"},
        {"dc00", "!!malformed"},
    };
    (void)state;
    CHECK(cases, true);
}

static void numbers_of_frames(void **state) {
    const struct wire_text frames[3] = {{"s", 1}, {"\x92\x05\x90", 3}, {"x", 1}};
    (void)state;
    assert_string_equal(ticks_as_text(frames, 0), "!!frames");
    assert_string_equal(ticks_as_text(frames, 2), "s@5[]");
    assert_string_equal(ticks_as_text(frames, 3), "!!frames");
    assert_string_equal(single("", "92 05 90"), "!!name");
    assert_string_equal(single("\xff", "92 05 90"), "!!name");
}

static void names(void **state) {
    static const struct {
        const char *hex;
        bool valid;
    } cases[] = {
        {"", false},
        {"'a'", true},
        {"'plant/boiler-7, north'", true},
        {"00", false},
        {"'abcdefgh' 00", false},
        {"'abc' 00 'efgh'", false},
        {"'abcdefg' 00", false},
        {"01 7f", true},
        {"'abcdefg' 80", false},
        {"c3a9", true},
        {"'abcdefg' c3a9 'hijklmno'", true},
        {"c3", false},
        {"c328", false},
        {"a9", false},
        {"c080", false},
        {"c1bf", false},
        {"c280", true},
        {"dfbf", true}, /* overlong */
        {"e08080", false},
        {"e09fbf", false},
        {"e0a080", true},
        {"e282ac", true},
        {"e282", false},
        {"e28228", false},
        {"ed9fbf", true},
        {"eda080", false},
        {"edbfbf", false},
        {"ee8080", true}, /* surrogates */
        {"f0808080", false},
        {"f08fbfbf", false},
        {"f0908080", true},
        {"f09f9880", true},
        {"f09f98", false},
        {"f48fbfbf", true},
        {"f4908080", false},
        {"f5808080", false},
        {"fe", false},
        {"ff", false},
        {"f09f9828", false},
        {"f09f2880", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char bytes[64];
        size_t n = bytes_of(cases[i].hex, bytes, sizeof(bytes));
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, n);
        if (wire_name_valid((struct wire_text){exact, n}) != cases[i].valid)
            fail_msg("%s", cases[i].hex);
        free(exact);
    }
    char longest[WIRE_MAX_NAME + 1];
    memset(longest, 'x', sizeof(longest));
    assert_true(wire_name_valid((struct wire_text){longest, WIRE_MAX_NAME}));
    assert_false(wire_name_valid((struct wire_text){longest, WIRE_MAX_NAME + 1}));
}

/* A tick of n values is taken up to WIRE_MAX_VALUES, in each of the three forms of values. */
static void numbers_of_values(void **state) {
    static unsigned char payload[16 * WIRE_MAX_VALUES];
    (void)state;
    for (unsigned n = WIRE_MAX_VALUES; n <= WIRE_MAX_VALUES + 1; n++) {
        struct wire_text frames[2] = {{"s", 1}, {(char *)payload, 0}};
        size_t expected = n <= WIRE_MAX_VALUES;
        unsigned char *p = payload;
        memset(payload, 0, sizeof(payload));
        memcpy(p, (unsigned char[]){0x92, 5, 0xdc, (unsigned char)(n >> 8), (unsigned char)n}, 5);
        frames[1].n = 5 + n;
        assert_int_equal(ticks_walk(frames, 2), expected);
        assert_true(expected || strcmp(ticks_as_text(frames, 2), "!features(s)") == 0);
        memcpy(p, (unsigned char[]){0x92, 5, 0xc5, (unsigned char)(4 * n >> 8), (unsigned char)(4 * n)}, 5);
        frames[1].n = 5 + 4 * n;
        assert_int_equal(ticks_walk(frames, 2), expected);
        memcpy(p, (unsigned char[]){0x92, 5, 0xde, (unsigned char)(n >> 8), (unsigned char)n}, 5);
        memset(p + 5, 0xa0, 2 * n);
        for (unsigned i = 0; i < n; i++)
            p[6 + 2 * i] = 1;
        frames[1].n = 5 + 2 * n;
        assert_int_equal(ticks_walk(frames, 2), expected);
    }
}

/* Neither a stack nor time that grows with the nesting. */
static void deep_nesting(void **state) {
    enum { DEPTH = 1000000 };
    (void)state;
    char *payload = malloc(DEPTH + 8);
    assert_non_null(payload);
    memcpy(payload, "\x92\x91", 2);
    memset(payload + 2, 0x91, DEPTH);
    memcpy(payload + 2 + DEPTH, "\xc0\x90", 2);
    struct wire_text frame = {payload, DEPTH + 4};
    assert_string_equal(ticks_as_text(&frame, 1), "!shape(); !shape()");
    frame.n -= 2;
    assert_string_equal(ticks_as_text(&frame, 1), "!malformed()");
    free(payload);
}

/* An iteration can be left and gone on with: nothing of it lives in the tick. */
static void iteration_can_be_left(void **state) {
    static struct wire_tick tick;
    unsigned char payload[64];
    struct wire_ticks ticks;
    enum reason reason;
    (void)state;
    struct wire_text frame = {(char *)payload, bytes_of("92 93 a1'a' 05 91 01 93 a1'b' 06 91 02", payload, 64)};
    assert_int_equal(wire_ticks_begin(&ticks, &frame, 1), REASON_NONE);
    assert_int_equal(wire_ticks_next(&ticks, &tick, &reason), 1);
    memset(&tick, 0x55, sizeof(tick));
    struct wire_ticks parked = ticks;
    assert_int_equal(wire_ticks_next(&parked, &tick, &reason), 1);
    assert_memory_equal(tick.stream.at, "b", 1);
    assert_true(tick.t == 6 && tick.n_values == 1 && !tick.has_seq && !tick.named && !tick.lenient);
    assert_int_equal(wire_ticks_next(&parked, &tick, &reason), 0);
    wire_ticks_end(&parked);
}

static void encoded_ticks_are_read_back(void **state) {
    static const int64_t times[] = {
        0,   1,   127,  128,  255,    256,    65535,       65536,       4294967295,  4294967296,  INT64_MAX, -1,
        -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -4294967297, -6442450944, INT64_MIN};
    static const double values[] = {1.5, NAN, -0.1, 1e300};
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char buffer[WIRE_TICK_BOUND(4)], expected[256];
        uint64_t seq = (uint64_t)times[i];
        size_t n = wire_tick_encode(buffer, sizeof(buffer), times[i], values, 4, i % 2 ? &seq : NULL);
        assert_true(n > 0);
        struct wire_text frames[2] = {{"s", 1}, {buffer, n}};
        int used = snprintf(expected, sizeof(expected),
                            "s@%lld[1.5,nil,-0.10000000000000001,1.0000000000000001e+300]", (long long)times[i]);
        if (i % 2)
            snprintf(expected + used, sizeof(expected) - (size_t)used, "#%llu", (unsigned long long)seq);
        assert_string_equal(ticks_as_text(frames, 2), expected);
    }
}

static void a_tick_that_does_not_fit_is_not_written(void **state) {
    static double values[WIRE_MAX_VALUES];
    char buffer[WIRE_TICK_BOUND(2)];
    uint64_t seq = UINT64_MAX;
    (void)state;
    for (size_t size = 0; size < sizeof(buffer); size++)
        assert_int_equal(wire_tick_encode(buffer, size, 1, values, 2, NULL), 0);
    assert_true(wire_tick_encode(buffer, sizeof(buffer), 1, values, 2, NULL) > 0);
    char largest[WIRE_TICK_BOUND(WIRE_MAX_VALUES)];
    size_t n = wire_tick_encode(largest, sizeof(largest), INT64_MIN, values, WIRE_MAX_VALUES, &seq);
    assert_true(n > 0 && n <= sizeof(largest));
}

static void bundles_grow_and_are_reused(void **state) {
    struct wire_bundle bundle = {0};
    (void)state;
    struct wire_text message = wire_bundle_message(&bundle);
    assert_string_equal(ticks_as_text(&message, 1), "");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            char name[32];
            double values[2] = {i, NAN};
            int n = snprintf(name, sizeof(name), "stream-%d", i);
            assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){name, (size_t)n}, -i, values, 2), 0);
        }
        message = wire_bundle_message(&bundle);
        assert_int_equal(ticks_walk(&message, 1), 5000);
        wire_bundle_clear(&bundle);
    }
    double value = 2;
    assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){"b", 1}, 7, &value, 1), 0);
    assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){"c", 1}, 8, &value, 1), 0);
    message = wire_bundle_message(&bundle);
    assert_string_equal(ticks_as_text(&message, 1), "b@7[2]; c@8[2]");
    wire_bundle_fini(&bundle);
    assert_null(bundle.buffer);
}

static void assert_example(const char *name, struct wire_text expected) {
    unsigned char bytes[1024];
    assert_int_equal(protocol_example(name, bytes, sizeof(bytes)), expected.n);
    assert_memory_equal(bytes, expected.at, expected.n);
}

static void the_examples_of_the_protocol(void **state) {
    const double first[] = {20.5, NAN, 3}, second[] = {21, 0.25, 3};
    struct wire_bundle bundle = {0};
    unsigned char bytes[1024];
    char buffer[WIRE_TICK_BOUND(3)];
    (void)state;
    size_t n = wire_tick_encode(buffer, sizeof(buffer), 1700000000000000000, first, 3, NULL);
    assert_example("tick", (struct wire_text){buffer, n});
    wire_bundle_add(&bundle, (struct wire_text){"boiler-7", 8}, 1700000000000000000, first, 3);
    wire_bundle_add(&bundle, (struct wire_text){"boiler-8", 8}, 1700000000000000000, second, 3);
    assert_example("bundle", wire_bundle_message(&bundle));
    wire_bundle_fini(&bundle);
    struct wire_text frames[2] = {{"boiler-7", 8}, {(char *)bytes, 0}};
    frames[1].n = protocol_example("tick by name", bytes, sizeof(bytes));
    assert_string_equal(ticks_as_text(frames, 2), "boiler-7@1700000000000000000{temperature=20.5,flow=3}#42");
    frames[1].n = protocol_example("tick packed", bytes, sizeof(bytes));
    assert_string_equal(ticks_as_text(frames, 2), "boiler-7@1700000000000000000[20.5,nil,3]");
}

static void mutations_are_survived(void **state) {
    static const char *const seeds[] = {
        "92 cf1797923b80f60000 93 cb4034800000000000 c0 ca40400000",
        "93 05 82 a1'a' 01 a2'bc' c0 0c",
        "84 a1't' 05 a1'v' c408 0000c03f 000080bf a1'x' c70401'abcd' a3'seq' 09",
        "92 93 a1'a' 05 92 01 cb3ff8000000000000 94 a2 c3a9 06 81 a1'x' 02 07",
        "dd00000003 93 a1'a' 05 c404 0000c03f 93 a1'b' d3fffffffe80000000 91 e0 93 a1'c' 06 91 d18000",
    };
    uint64_t random = 20240607;
    size_t taken = 0;
    (void)state;
    for (int i = 0; i < 300000; i++) {
        unsigned char bytes[128];
        size_t n = bytes_of(seeds[i % 5], bytes, sizeof(bytes));
        n = mutate(bytes, n, sizeof(bytes), &random);
        struct wire_text frames[2] = {{"s", 1}, {(char *)bytes, n}};
        taken += i % 5 < 3 ? ticks_walk(frames, 2) : ticks_walk(frames + 1, 1);
    }
    assert_true(taken > 10000); /* otherwise the mutations reach nothing */
}

/* What is seen ahead is what is read then; and nothing is read beyond the end, wherever a message is cut off. */
static void the_next_streams_are_seen_ahead(void **state) {
    (void)state;
    enum { TICKS = 5 };
    struct wire_bundle bundle = {0};
    char names[TICKS][32];
    for (int i = 0; i < TICKS; i++) {
        const double values[3] = {i, NAN, 2};
        int n = snprintf(names[i], sizeof names[i], "%.*s", 3 + 6 * i, "plant/boiler/of/many/letters");
        assert_int_equal(wire_bundle_add(&bundle, (struct wire_text){names[i], (size_t)n}, 1000 + i, values,
                                         i == 3 ? 3 : 1 + (i == 1)),
                         0);
    }
    struct wire_text whole = wire_bundle_message(&bundle);
    for (size_t n = whole.n; n > 6; n--) {
        char *cut = malloc(n);
        assert_non_null(cut);
        memcpy(cut, whole.at, n);
        struct wire_text text = {cut, n}, ahead;
        static struct wire_tick tick;
        struct wire_ticks ticks;
        enum reason reason;
        if (wire_ticks_begin(&ticks, &text, 1) == REASON_NONE)
            for (int i = 0; i < TICKS; i++) {
                const char *at = ticks.at;
                int k = i;
                while (k < TICKS && (at = wire_ticks_look(&ticks, at, &ahead)) != NULL) {
                    assert_int_equal(ahead.n, strlen(names[k]));
                    assert_memory_equal(ahead.at, names[k++], ahead.n);
                }
                if (n == whole.n)
                    assert_true(k > i);
                if (wire_ticks_next(&ticks, &tick, &reason) != 1)
                    break;
            }
        wire_ticks_end(&ticks);
        free(cut);
    }
    wire_bundle_fini(&bundle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_ticks),
        cmocka_unit_test(refused_single_ticks),
        cmocka_unit_test(bundles),
        cmocka_unit_test(numbers_of_frames),
        cmocka_unit_test(names),
        cmocka_unit_test(numbers_of_values),
        cmocka_unit_test(deep_nesting),
        cmocka_unit_test(iteration_can_be_left),
        cmocka_unit_test(encoded_ticks_are_read_back),
        cmocka_unit_test(a_tick_that_does_not_fit_is_not_written),
        cmocka_unit_test(bundles_grow_and_are_reused),
        cmocka_unit_test(the_examples_of_the_protocol),
        cmocka_unit_test(mutations_are_survived),
        cmocka_unit_test(the_next_streams_are_seen_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
