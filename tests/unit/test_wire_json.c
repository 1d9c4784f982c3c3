/* Ticks in JSON, and control messages between MessagePack, JSON and jansson values. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/wire.h"
#include "tests/support/wire_cases.h"

#include <stdlib.h>
#include <string.h>

struct text_case {
    const char *in, *expected;
};

static const char *single(const char *json) {
    const struct wire_text frames[2] = {{"s", 1}, {json, strlen(json)}};
    return ticks_as_text(frames, 2);
}

static const char *bundle(const char *json) {
    const struct wire_text frame = {json, strlen(json)};
    return ticks_as_text(&frame, 1);
}

/* The MessagePack of hex as JSON text, until the next call. */
static const char *json_of(const char *hex) {
    static char text[4096];
    unsigned char bytes[2048];
    size_t n = bytes_of(hex, bytes, sizeof(bytes)), text_n = 0;
    char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    char *json = wire_to_json(exact, n, &text_n);
    free(exact);
    if (!json)
        return "!";
    assert_true(text_n == strlen(json) && text_n < sizeof(text));
    strcpy(text, json);
    free(json);
    return text;
}

static void check(const struct text_case *cases, size_t n, const char *(*text_of)(const char *)) {
    for (size_t i = 0; i < n; i++) {
        const char *text = text_of(cases[i].in);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("%s gives %s, not %s", cases[i].in, text, cases[i].expected);
    }
}
#define CHECK(cases, text_of) check(cases, sizeof(cases) / sizeof(cases[0]), text_of)

static void single_ticks(void **state) {
    static const struct text_case cases[] = {
        {"[5, [1.5, null, 3, -1e3]]", "s@5[1.5,nil,3,-1000]"},
        {"[5,[1],12]", "s@5[1]#12"},
        {"[-9223372036854775808,[]]", "s@-9223372036854775808[]"},
        {"[9223372036854775807,[]]\n", "s@9223372036854775807[]"},
        {"{\"t\":5,\"v\":[1]}", "s@5[1]"},
        {"{\"v\":{\"a\":1,\"b\":null},\"x\":[{}],\"seq\":9,\"t\":5}", "s@5{a=1,b=nil}#9"},
        {"{\"t\":5,\"v\":{\"a\":1,\"a\":2}}", "s@5{a=2}"},
        {"[5,{}]", "s@5{}"},
        {"{\"t\":5,\"label\":2}", "s@5=2"},
        {"{\"t\":5,\"q\":[true,false,null],\"v\":[1,2,3]}", "s@5[1,nil,3]"},
        {"{\"t\":5,\"q\":{\"b\":false,\"x\":false},\"v\":{\"a\":1,\"b\":2}}", "s@5{a=1,b=nil}"},
        {"{\"t\":5,\"q\":[true],\"v\":[1,2]}", "!quality(s)"},
        {"{\"t\":5,\"q\":[1,0],\"v\":[1,2]}", "!quality(s)"},
        {"{\"t\":5,\"q\":{\"a\":0},\"v\":{\"a\":1}}", "!quality(s)"},
        {"{\"t\":5,\"q\":{},\"v\":[1,2]}", "!quality(s)"},
        {"{\"t\":5,\"q\":[],\"v\":{\"a\":2}}", "!quality(s)"},
        {"{\"t\":5,\"label\":2,\"v\":[1]}", "!shape(s)"},
        {"{\"label\":2}", "!shape(s)"},
        {"{\"t\":5.5,\"label\":2}", "!time(s)"},
        {"{\"t\":5,\"label\":2.0}", "!label(s)"},
        {"{\"t\":5,\"label\":true}", "!label(s)"},
        /* refused */
        {"[5,[1]", "!!malformed"},
        {"[5,[1]] x", "!!malformed"},
        {"[5,[NaN]]", "!!malformed"},
        {"[5,[1e999]]", "!!malformed"},
        {"[9223372036854775808,[1]]", "!!malformed"},
        {"{\"t\":5,\"v\":[\"\xff\"]}", "!!malformed"},
        {"[]", "!shape(s)"},
        {"{}", "!shape(s)"},
        {"[5]", "!shape(s)"},
        {"[5,[1],1,1]", "!shape(s)"},
        {"[5,1]", "!shape(s)"},
        {"[5,\"AAAA\"]", "!shape(s)"},
        {"{\"t\":5}", "!shape(s)"},
        {"{\"v\":[1]}", "!shape(s)"},
        {"[5,[1],-1]", "!shape(s)"},
        {"[5,[1],null]", "!shape(s)"},
        {"[5,[1],1.0]", "!shape(s)"},
        {"[5.0,[1]]", "!time(s)"},
        {"[\"5\",[1]]", "!time(s)"},
        {"[null,[1]]", "!time(s)"},
        {"[5,[true]]", "!value(s)"},
        {"[5,[\"1\"]]", "!value(s)"},
        {"[5,[[1]]]", "!value(s)"},
        {"[5,{\"a\":false}]", "!value(s)"},
    };
    (void)state;
    CHECK(cases, single);
}

static void bundles(void **state) {
    static const struct text_case cases[] = {
        {"[]", ""},
        {"[[\"a\",5,[1]],[\"b\",6,{\"x\":null},7]]", "a@5[1]; b@6{x=nil}#7"},
        {"[[\"a\",5,[1]],[\"b\",5.5,[1]],[\"c\",6,[2]]]", "a@5[1]; !time(b); c@6[2]"},
        {"[[\"a\",5,[1]],[\"b\",5],5,{},[],[5,5,[1]],[\"c\",6,[2]]]",
         "a@5[1]; !shape(b); !shape(); !shape(); !shape(); !shape(); c@6[2]"},
        {"[{\"stream\":\"a\",\"t\":5,\"label\":1},{\"stream\":\"b\",\"t\":6,\"v\":[2]},{\"t\":5,\"label\":1}]",
         "a@5=1; b@6[2]; !shape()"},
        {"[[\"\",5,[1]],[\"x\\u0000y\",5,[1]],[\"c\",6,[2]]]", "!name(); !name(); c@6[2]"},
        {"[[\"caf\\u00e9\",5,[1]]]", "caf\xc3\xa9@5[1]"},
        {"{\"t\":5,\"v\":[1]}", "!!shape"},
        {"[[\"a\",5,[1]],", "!!malformed"},
    };
    (void)state;
    CHECK(cases, bundle);
}

static void numbers_of_values(void **state) {
    static char text[2 * WIRE_MAX_VALUES + 64];
    (void)state;
    for (size_t n = WIRE_MAX_VALUES; n <= WIRE_MAX_VALUES + 1; n++) {
        strcpy(text, "[5,[1");
        for (size_t i = 1; i < n; i++)
            memcpy(text + 5 + 2 * (i - 1), ",1", 2);
        strcpy(text + 5 + 2 * (n - 1), "]]");
        const struct wire_text frames[2] = {{"s", 1}, {text, strlen(text)}};
        assert_int_equal(ticks_walk(frames, 2), n == WIRE_MAX_VALUES);
    }
}

static void messagepack_to_json(void **state) {
    static const struct text_case cases[] = {
        {"83 a1'a' 01 a1'b' 93 c0 c3 c2 a1'c' cb3ff8000000000000", "{\"a\":1,\"b\":[null,true,false],\"c\":1.5}"},
        {"93 cb7ff8000000000000 cb7ff0000000000000 caff800000", "[null,null,null]"},
        {"92 ca3fc00000 e0", "[1.5,-32]"},
        {"92 cf7fffffffffffffff d38000000000000000", "[9223372036854775807,-9223372036854775808]"},
        {"91 cf8000000000000000", "[9.2233720368547758e18]"},
        {"92 a3 e282ac c403'abc'", "[\"\xe2\x82\xac\",\"abc\"]"},
        {"91 a3'a' 00 'b'", "[\"a\\u0000b\"]"},
        {"82 a1'a' 01 a1'a' 02", "{\"a\":2}"},
        {"de0001 d901'a' dc0001 dd00000000", "{\"a\":[[]]}"},
        {"05", "5"},
        /* what it cannot be */
        {"", "!"},
        {"c1", "!"},
        {"91", "!"},
        {"81 a1'a'", "!"},
        {"81 01 01", "!"},
        {"91 a2'a'", "!"},
        {"91 a1 ff", "!"},
        {"81 a1 ff 01", "!"},
        {"91 d40100", "!"},
        {"90 00", "!"},
        {"ddffffffff 00", "!"},
        {"dfffffffff a1'a' 00", "!"},
    };
    (void)state;
    CHECK(cases, json_of);
}

/* What maps of a bundle come to; "" for what is none. The last of them is read by itself. */
static const char *overlaid(const char *hex, const char *last) {
    static char text[1024];
    unsigned char bytes[512];
    json_t *whole = NULL;
    bool ok = wire_forecast_overlay(&whole, bytes, bytes_of(hex, bytes, sizeof bytes)) &&
              wire_forecast_overlay(&whole, bytes, bytes_of(last, bytes, sizeof bytes));
    char *dumped = ok ? json_dumps(whole, JSON_COMPACT) : NULL;
    strcpy(text, dumped ? dumped : "");
    free(dumped);
    json_decref(whole);
    return text;
}

static void forecasts_of_a_bundle(void **state) {
    (void)state;
    assert_string_equal(overlaid("82 a1'a' 01 a1'b' 02", "80"), "{\"a\":1,\"b\":2}");
    assert_string_equal(overlaid("82 a1'a' 01 a1'b' 02 81 a1'b' 03", "81 a1'a' c0"), "{\"a\":null,\"b\":3}");
    assert_string_equal(overlaid("81 a1'a' 01", ""), "{\"a\":1}");
    assert_string_equal(overlaid("82 a6'labels' 90 a1'a' 01", "81 a1'b' 02"), "{\"a\":1,\"b\":2}");
    assert_string_equal(overlaid("82 a5'state' 80 a1'a' 01 80", "81 a5'state' 05"), "{\"a\":1,\"state\":5}");
    assert_string_equal(overlaid("81 a7'outputs' 90 81 a7'outputs' 91 01", "80"), "{}");
    assert_string_equal(overlaid("81 a1'a' 01 90", "80"), "");
    assert_string_equal(overlaid("81 a1'a' 01 81", "80"), "");
    assert_string_equal(overlaid("05", "80"), "");
}

static void nesting_is_bounded(void **state) {
    char bytes[64];
    size_t n;
    (void)state;
    for (size_t depth = 31; depth <= 32; depth++) {
        memset(bytes, (char)0x91, sizeof(bytes));
        bytes[depth] = (char)0xc0;
        char *json = wire_to_json(bytes, depth + 1, &n);
        assert_int_equal(json != NULL, depth == 31);
        free(json);
    }
    static char deep[1000000];
    memset(deep, (char)0x91, sizeof(deep));
    assert_null(wire_to_json(deep, sizeof(deep), &n));
    memset(deep, '[', sizeof(deep));
    bool is_json;
    assert_null(wire_message_decode(deep, sizeof(deep), &is_json));
    assert_true(is_json);
}

/* A reply has the form of its request. */
static void messages_in_both_forms(void **state) {
    static const char text[] =
        "{\"cmd\":\"streams\",\"limit\":-1000000000000,\"big\":[0.10000000000000001,true,false,null,"
        "\"a long string, of more than thirty-two bytes \xe2\x82\xac\"],\"m\":{\"x\":{}}}";
    (void)state;
    bool is_json = false;
    json_t *value = wire_message_decode(text, sizeof(text) - 1, &is_json);
    assert_non_null(value);
    assert_true(is_json);
    for (int as_json = 0; as_json < 2; as_json++) {
        char *data = NULL;
        size_t n = 0;
        assert_int_equal(wire_message_encode(value, as_json, &data, &n), 0);
        json_t *back = wire_message_decode(data, n, &is_json);
        assert_non_null(back);
        assert_int_equal(is_json, as_json);
        assert_true(json_equal(value, back));
        if (as_json)
            assert_int_equal(n, sizeof(text) - 1);
        json_decref(back);
        free(data);
    }
    json_decref(value);
}

static void long_values_are_written(void **state) {
    static const size_t lengths[] = {0, 15, 16, 31, 32, 255, 256, 65535, 65536};
    static char text[65536];
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        json_t *array = json_array(), *map = json_object();
        for (size_t k = 0; k < lengths[i]; k++) {
            char key[32];
            json_array_append_new(array, json_integer((json_int_t)k - 40000));
            snprintf(key, sizeof(key), "%zu", k);
            json_object_set_new(map, key, json_integer((json_int_t)k));
        }
        json_t *value = json_pack("[s#,o,o]", text, (int)lengths[i], array, map);
        char *data;
        size_t n;
        bool is_json;
        assert_int_equal(wire_message_encode(value, false, &data, &n), 0);
        json_t *back = wire_message_decode(data, n, &is_json);
        assert_true(back && !is_json && json_equal(value, back));
        json_decref(back);
        json_decref(value);
        free(data);
    }
}

static void what_is_no_message_still_says_its_form(void **state) {
    bool is_json;
    (void)state;
    assert_null(wire_message_decode("{\"cmd\":", 7, &is_json));
    assert_true(is_json);
    assert_null(wire_message_decode("\x81", 1, &is_json));
    assert_false(is_json);
    assert_null(wire_message_decode("", 0, &is_json));
    assert_false(is_json);
    assert_null(wire_message_decode("hello", 5, &is_json));
    assert_false(is_json);
}

static void mutations_are_survived(void **state) {
    static const char *const texts[] = {
        "[[\"a\",5,[1.5,null]],[\"caf\\u00e9\",6,{\"x\":1e3},7]]",
        "{\"t\":5,\"v\":{\"a\":1,\"b\":[]},\"seq\":9}",
    };
    static const char packed[] = "84 a3'cmd' a6'status' a1'b' 93 c0 c3 ca3fc00000 a1'c' cf8000000000000000 "
                                 "a1'd' 81 a1'x' c403'abc'";
    uint64_t random = 20240607;
    size_t taken = 0, decoded = 0;
    (void)state;
    for (int i = 0; i < 60000; i++) {
        unsigned char bytes[128];
        size_t n = strlen(texts[i % 2]), text_n;
        memcpy(bytes, texts[i % 2], n);
        n = mutate(bytes, n, sizeof(bytes), &random);
        struct wire_text frames[2] = {{"s", 1}, {(char *)bytes, n}};
        taken += i % 2 ? ticks_walk(frames, 2) : ticks_walk(frames + 1, 1);
        n = bytes_of(packed, bytes, sizeof(bytes));
        n = mutate(bytes, n, sizeof(bytes), &random);
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, n);
        char *json = wire_to_json(exact, n, &text_n);
        decoded += json != NULL;
        free(json);
        free(exact);
    }
    assert_true(taken > 3000 && decoded > 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_ticks),
        cmocka_unit_test(bundles),
        cmocka_unit_test(numbers_of_values),
        cmocka_unit_test(messagepack_to_json),
        cmocka_unit_test(forecasts_of_a_bundle),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(messages_in_both_forms),
        cmocka_unit_test(long_values_are_written),
        cmocka_unit_test(what_is_no_message_still_says_its_form),
        cmocka_unit_test(mutations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
