/* Line protocol: what is read of it, what is refused, line by line, and mutations. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/wire_cases.h"

#include <stdio.h>
#include <string.h>

static const char *lines(const char *text) {
    struct wire_text frame = {text, strlen(text)};
    return ticks_as_text(&frame, 1);
}

struct text_case {
    const char *lines, *expected;
};

static void check(const struct text_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *text = lines(cases[i].lines);
        if (strcmp(text, cases[i].expected) != 0)
            fail_msg("%s gives %s, not %s", cases[i].lines, text, cases[i].expected);
    }
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof(cases[0]))

static void well_formed_lines(void **state) {
    static const struct text_case cases[] = {
        {"cpu user=1.5 1000", "~cpu@1000{user=1.5}"},
        {"cpu user=1.5", "~cpu@-{user=1.5}"},
        {"cpu user=1.5 -7\n", "~cpu@-7{user=1.5}"},
        {"cpu user=1 9223372036854775807", "~cpu@9223372036854775807{user=1}"},
        {"cpu user=1 -9223372036854775808", "~cpu@-9223372036854775808{user=1}"},
        {"cpu,host=a,core=3 user=1,system=2 5", "~cpu/a/3@5{user=1,system=2}"},
        {"cpu,core=3,host=a user=1 5", "~cpu/3/a@5{user=1}"}, /* in the order given */
        {"cpu  user=1  5 ", "~cpu@5{user=1}"},
        {"cpu a=1,a=2 5", "~cpu@5{a=1,a=2}"},
        /* kinds of fields */
        {"m a=1,b=-1,c=+1,d=1.,e=.5,f=1e3,g=1E-2,h=0 5", "~m@5{a=1,b=-1,c=1,d=1,e=0.5,f=1000,g=0.01,h=0}"},
        {"m a=12i,b=-12i,c=12u,d=9223372036854775807i,e=18446744073709551615u 5",
         "~m@5{a=12,b=-12,c=12,d=9.2233720368547758e+18,e=1.8446744073709552e+19}"},
        {"m a=t,b=T,c=true,d=True,e=TRUE 5", "~m@5{a=1,b=1,c=1,d=1,e=1}"},
        {"m a=f,b=F,c=false,d=False,e=FALSE 5", "~m@5{a=0,b=0,c=0,d=0,e=0}"},
        {"m a=\"text\",b=1 5", "~m@5{b=1}"},
        {"m a=\"text\" 5", "~m@5{}"},
        {"m a=\"\",b=1 5", "~m@5{b=1}"},
        {"m a=\"x, y=2 z\",b=1 5", "~m@5{b=1}"},
        {"m a=\"say \\\"hi\\\"\",b=1 5", "~m@5{b=1}"},
        {"m a=\"back\\\\\",b=1 5", "~m@5{b=1}"},
        {"m a=\"two\nlines\",b=1 5\nn a=2 6", "~m@5{b=1}; ~n@6{a=2}"},
        /* escapes */
        {"a\\,b\\ c\\=d x=1 5", "~a,b c\\=d@5{x=1}"},
        {"m,k\\,\\=\\ k=v\\,\\=\\ w x=1 5", "~m/v,= w@5{x=1}"},
        {"m x\\,\\=\\ y=1,z=2 5", "~m@5{x,= y=1,z=2}"},
        {"m x\\=\"y=1 5\nn a=2 6", "~m@5{x=\"y=1}; ~n@6{a=2}"},
        {"a\\b\\\\c x\\d=1 5", "~a\\b\\\\c@5{x\\d=1}"}, /* other backslashes are themselves */
        {"a=b x=1 5", "~a=b@5{x=1}"},
        {"\"q\",t=\"v\" x=1 5", "~\"q\"/\"v\"@5{x=1}"},
        {"m,t=a/b x=1 5", "~m/a/b@5{x=1}"},
        {"caf\xc3\xa9,t=\xe2\x82\xac x=1 5", "~caf\xc3\xa9/\xe2\x82\xac@5{x=1}"},
        /* lines */
        {"a x=1 1\nb x=2 2\nc x=3 3\n", "~a@1{x=1}; ~b@2{x=2}; ~c@3{x=3}"},
        {"a x=1 1\r\nb x=2\r\n", "~a@1{x=1}; ~b@-{x=2}"},
        {"\n\n  \n# comment = 1 \"\na x=1 1\n#x\n\n\tb x=2 2\n#", "~a@1{x=1}; ~b@2{x=2}"},
        {"\n", ""},
        {"# nothing", ""},
    };
    (void)state;
    CHECK(cases);
}

static void refused_lines(void **state) {
    static const struct text_case cases[] = {
        {"m", "!malformed()"},
        {"m ", "!malformed()"},
        {"hello world", "!malformed(hello)"},
        {"m x", "!malformed(m)"},
        {"m x=", "!malformed(m)"},
        {"m x= 5", "!malformed(m)"},
        {"m =1 5", "!malformed(m)"},
        {"m x=1, 5", "!malformed(m)"},
        {"m x=1,,y=2 5", "!malformed(m)"},
        {"m x=\"open 5", "!malformed(m)"},
        {"m x=\"a\"b 5", "!malformed(m)"},
        {",t=v x=1 5", "!malformed()"},
        {"m,t x=1 5", "!malformed()"},
        {"m,t= x=1 5", "!malformed()"},
        {"m,=v x=1 5", "!malformed()"},
        {"m,t=v=w x=1 5", "!malformed()"},
        {"m, x=1 5", "!malformed()"},
        {"m,t=v", "!malformed()"},
        {"\xff x=1 5", "!name()"},
        {"m,t=\xc3 x=1 5", "!name()"},
        {"m x=one 5", "!value(m)"},
        {"m x=nan 5", "!value(m)"},
        {"m x=inf 5", "!value(m)"},
        {"m x=0x10 5", "!value(m)"},
        {"m x=1.5.2 5", "!value(m)"},
        {"m x=1e 5", "!value(m)"},
        {"m x=- 5", "!value(m)"},
        {"m x=i 5", "!value(m)"},
        {"m x=1.5i 5", "!value(m)"},
        {"m x=-1u 5", "!value(m)"},
        {"m x=9223372036854775808i 5", "!value(m)"},
        {"m x=18446744073709551616u 5", "!value(m)"},
        {"m x=1ii 5", "!value(m)"},
        {"m x=tRue 5", "!value(m)"},
        {"m x=00000000000000000000000000000000000000000000000000000000000000001 5", "!value(m)"},
        {"m x=1e999 5", "!infinite(m)"},
        {"m x=-1e999 5", "!infinite(m)"},
        {"m x=1 now", "!time(m)"},
        {"m x=1 1.5", "!time(m)"},
        {"m x=1 +5", "!time(m)"},
        {"m x=1 5 6", "!time(m)"},
        {"m x=1 9223372036854775808", "!time(m)"},
        {"m x=1 -", "!time(m)"},
        {"m x=1 0x5", "!time(m)"},
        /* the lines beside it are taken */
        {"a x=1 1\nb x=no 2\nc x=3 3", "~a@1{x=1}; !value(b); ~c@3{x=3}"},
        {"a x=1 1\nb\nc x=3 3", "~a@1{x=1}; !malformed(); ~c@3{x=3}"},
        {"a\\\nb x=1 5", "!malformed(); ~b@5{x=1}"}, /* a line break has no escape */
    };
    (void)state;
    CHECK(cases);
}

static void a_nul_is_refused_where_it_stands(void **state) {
    static const struct {
        const char *text;
        size_t n;
        const char *expected;
    } cases[] = {
        {"m\0n x=1 5", 9, "!name()"},
        {"m x=1\0 5", 8, "!value(m)"},
        {"m x=t\0 5", 8, "!value(m)"},
        {"m x=1 5\0", 8, "!time(m)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(ticks_as_text(&(struct wire_text){cases[i].text, cases[i].n}, 1), cases[i].expected);
}

static void long_names_and_many_fields(void **state) {
    static char line[16 * WIRE_MAX_VALUES];
    (void)state;
    for (int n = WIRE_MAX_NAME - 1; n <= WIRE_MAX_NAME; n++) {
        int used = snprintf(line, sizeof(line), "%0*d,t=v x=1 5", n - 2 + 1, 0);
        assert_int_equal(ticks_walk(&(struct wire_text){line, (size_t)used}, 1), n + 1 <= WIRE_MAX_NAME);
    }
    for (int n = WIRE_MAX_VALUES; n <= WIRE_MAX_VALUES + 1; n++) {
        size_t used = (size_t)snprintf(line, sizeof(line), "m x=1");
        for (int i = 1; i < n; i++)
            used += (size_t)snprintf(line + used, sizeof(line) - used, ",f%d=%d", i, i);
        assert_int_equal(ticks_walk(&(struct wire_text){line, used}, 1), n == WIRE_MAX_VALUES);
    }
}

/* Views of earlier ticks stay good while later ones are read, escapes or not. */
static void views_live_until_the_end(void **state) {
    static struct wire_tick first, second;
    const char *text = "a\\ b,t=c\\ d x\\ y=1 5\nm,t=n z\\ z=2 6";
    struct wire_text frame = {text, strlen(text)};
    struct wire_ticks ticks;
    enum reason reason;
    (void)state;
    assert_int_equal(wire_ticks_begin(&ticks, &frame, 1), REASON_NONE);
    assert_int_equal(wire_ticks_next(&ticks, &first, &reason), 1);
    assert_int_equal(wire_ticks_next(&ticks, &second, &reason), 1);
    assert_int_equal(first.stream.n, 7);
    assert_memory_equal(first.stream.at, "a b/c d", 7);
    assert_int_equal(first.names[0].n, 3);
    assert_memory_equal(first.names[0].at, "x y", 3);
    assert_memory_equal(second.stream.at, "m/n", 3);
    assert_memory_equal(second.names[0].at, "z z", 3);
    wire_ticks_end(&ticks);
}

static void mutations_are_survived(void **state) {
    static const char *const seeds[] = {
        "cpu,host=a,core=3 user=1.5,system=2i 1000\n# comment\nmem free=3u,ok=t,name=\"x \\\" y\"\n",
        "a\\,b\\ c,k\\=k=v\\ w x\\,y=1e3,z=-.5 -7\r\n\r\nm,t=\xc3\xa9 a=\"two\nlines\",b=F 9223372036854775807",
    };
    uint64_t random = 20240607;
    size_t taken = 0;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        unsigned char bytes[160];
        size_t n = strlen(seeds[i % 2]);
        memcpy(bytes, seeds[i % 2], n);
        n = mutate(bytes, n, sizeof(bytes), &random);
        taken += ticks_walk(&(struct wire_text){(char *)bytes, n}, 1);
    }
    assert_true(taken > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_lines),
        cmocka_unit_test(refused_lines),
        cmocka_unit_test(a_nul_is_refused_where_it_stands),
        cmocka_unit_test(long_names_and_many_fields),
        cmocka_unit_test(views_live_until_the_end),
        cmocka_unit_test(mutations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
