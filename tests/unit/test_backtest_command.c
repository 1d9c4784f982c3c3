/* forecast backtest, as a user types it: what it prints, what it says of bad input, and what it exits with. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/commands.h"
#include "tests/support/command.h"
#include "tests/support/generated.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_backtest_command.XXXXXX";

/* ---- files -------------------------------------------------------------------------------------- */

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Rows of time, a and b an hour apart; a and b as printf has them, of the row's number. */
static void write_rows(const char *name, int n, double (*a)(int), double (*b)(int)) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs("time,a,b\n", file);
    for (int i = 0; i < n; i++) {
        fprintf(file, "%d", 1600000000 + 3600 * i);
        fprintf(file, isnan(a(i)) ? "," : ",%.17g", a(i));
        fprintf(file, isnan(b(i)) ? ",\n" : ",%.17g\n", b(i));
    }
    assert_int_equal(fclose(file), 0);
}

static json_t *load_printed(void) {
    json_error_t error;
    json_t *all = json_loads(command_printed, JSON_REJECT_DUPLICATES, &error);
    if (all == NULL)
        fail_msg("%s in:\n%s", error.text, command_printed);
    return all;
}

static int setup(void **state) {
    (void)state;
    command_is("backtest", command_backtest);
    return mkdtemp(folder) == NULL || chdir(folder) != 0 ||
           generated_write(generated_of("plain"), 1, 700, "s.csv") != 0;
}

static int teardown(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") != 0 || system(command) != 0;
}

/* ---- what it says ------------------------------------------------------------------------------- */

static void expect_keys(const json_t *map, const char *const *keys, size_t n) {
    assert_int_equal(json_object_size(map), n);
    for (size_t i = 0; i < n; i++)
        if (json_object_get(map, keys[i]) == NULL)
            fail_msg("there is no \"%s\"", keys[i]);
}

/* known: there are answers; intervals: it is what is published. */
static void expect_errors(const json_t *map, bool known, bool intervals) {
    static const char *const levels[] = {"80", "95"};
    static const char *const keys[] = {"mse", "mae", "mase", "raw_mae", "coverage", "width"};
    expect_keys(map, keys, 6);
    for (int i = 0; i < 4; i++) {
        const json_t *value = json_object_get(map, keys[i]);
        if (known ? !json_is_real(value) || !(json_real_value(value) >= 0) : !json_is_null(value))
            fail_msg("%s is %s", keys[i], known ? "no number of 0 or more" : "not null");
    }
    for (int i = 4; i < 6; i++) {
        const json_t *of_level = json_object_get(map, keys[i]);
        expect_keys(of_level, levels, 2);
        for (int l = 0; l < 2; l++) {
            const json_t *value = json_object_get(of_level, levels[l]);
            if (known && intervals ? !(json_number_value(value) > 0.5) : !json_is_null(value))
                fail_msg("%s of level %s is not what it should be", keys[i], levels[l]);
        }
    }
}

static void the_json_is_as_it_is_said_to_be(void **state) {
    (void)state;
    static const char *const keys[] = {"h", "published", "experts", "targets"}, *const targets[] = {"a", "b"};
    static const int h[] = {1, 6, 500};
    command_exits(0, "s.csv --json --horizons 6,1,500 --no-network");
    json_t *all = load_printed();
    assert_int_equal(json_object_size(all), 1);
    const json_t *horizons = json_object_get(all, "horizons");
    assert_int_equal(json_array_size(horizons), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_array_get(horizons, i), *experts = json_object_get(one, "experts"), *map;
        const char *name;
        expect_keys(one, keys, 4);
        assert_int_equal(json_integer_value(json_object_get(one, "h")), h[i]);
        expect_errors(json_object_get(one, "published"), h[i] < 500, true);
        expect_keys(json_object_get(one, "targets"), targets, 2);
        json_object_foreach(json_object_get(one, "targets"), name, map) expect_errors(map, h[i] < 500, true);
        assert_non_null(json_object_get(experts, "last_value"));
        assert_non_null(json_object_get(experts, "seasonal"));
        json_object_foreach((json_t *)experts, name, map) expect_errors(map, h[i] < 500, false);
    }
    json_decref(all);
    assert_string_equal(command_complained, "");
}

static void it_says_what_it_chose(void **state) {
    (void)state;
    command_exits(0, "s.csv --no-network");
    command_has_printed("a season of 24 steps was found");
    command_has_printed("280 steps to train, 70 to validate");
    command_has_printed("published");
    command_exits(0, "s.csv --no-network --period 0");
    assert_null(strstr(command_printed, "seasonal"));
}

/* What is printed as a configuration is one, and does the same. */
static void the_chosen_configuration_can_be_kept(void **state) {
    (void)state;
    static char first[sizeof command_printed];
    assert_int_equal(generated_write(generated_of("plain"), 1, 160, "t.csv"), 0);
    command_exits(0, "t.csv --horizons 1,4 --print-config");
    write_text("kept.yaml", command_printed);
    command_exits(0, "t.csv --horizons 1,4 --json");
    memcpy(first, command_printed, sizeof first);
    command_exits(0, "t.csv --horizons 1,4 --json -c kept.yaml");
    assert_string_equal(command_printed, first);
    command_fails(2, "t.csv -c kept.yaml --print-config", "--print-config is of the default model");
}

static void wrong_use_is_told(void **state) {
    (void)state;
    write_text("two.yaml", "streams:\n  - {class: c, pattern: '*', features: [a, b]}\n"
                           "models:\n  - {name: m, class: c, horizon: 3}\n");
    command_fails(2, "", "it needs a CSV file");
    command_fails(2, "s.csv --model m", "--config names that");
    command_fails(2, "s.csv t.csv --stream x", "--stream goes with one file");
    command_fails(2, "s.csv --stream x --stream-column a", "--stream and --stream-column exclude each other");
    command_fails(1, "s.csv -c two.yaml --model x", "two.yaml has no model \"x\"");
    write_text("event.yaml", "streams:\n  - {class: c, pattern: '*', features: [a, b]}\n"
                             "models:\n  - {name: m, class: c, head: event}\n");
    command_fails(1, "s.csv -c event.yaml", "model m: an event is scored by labels, which these files do not have");
    command_fails(1, "s.csv --horizons 0", "--horizons takes steps from 1 to 4096");
    command_fails(1, "s.csv --horizons 1,,2", "--horizons takes steps from 1 to 4096");
    command_fails(1, "s.csv -c two.yaml --horizons 1,4", "model m forecasts 3 steps; --horizons asks for 4");
    command_fails(1, "nowhere.csv", "nowhere.csv: No such file");
    command_fails(1, "s.csv ./s.csv", "both have the stream \"s\"");
}

static void wrong_files_are_told(void **state) {
    (void)state;
    write_text("empty.csv", "");
    write_text("header.csv", "time,a\n");
    write_text("text.csv", "time,a\n2020-01-01,1\n2020-01-02,x\n");
    write_text("notime.csv", "a,b\n1,2\n3,4\n");
    write_text("words.csv", "time,a,what\n2020-01-01,1,rain\n2020-01-02,2,sun\n2020-01-03,3,sun\n");
    write_text("other.yaml", "streams:\n  - {class: c, pattern: '*', features: [a, x]}\n"
                             "models:\n  - {name: m, class: c, horizon: 3}\n");
    write_text("long.yaml", "streams:\n  - {class: c, pattern: '*', features: [a, b], history: 100}\n"
                            "models:\n  - {name: m, class: c, horizon: 3, period: 98, training: {window: 50}}\n");
    write_text("far.yaml", "streams:\n  - {class: c, pattern: '*', features: [a, b], history: 40}\n"
                           "models:\n  - {name: m, class: c, horizon: 40, training: {window: 40}}\n");
    command_fails(1, "empty.csv", "empty.csv is empty");
    command_fails(1, "header.csv", "no row behind its header");
    command_fails(1, "text.csv", "text.csv:3:12: column \"a\": \"x\" is no number");
    command_fails(1, "notime.csv", "no column of this row holds a time");
    command_fails(1, "s.csv --period 9000", "a season of 9000 steps is never seen twice: the longest stream makes ");
    command_fails(1, "s.csv -c other.yaml", "s.csv: the features are a, x, and the file has a, b");
    command_fails(1, "s.csv -c long.yaml", "period: 98 is more than 97, the history of its class less the horizon");
    command_fails(1, "s.csv -c far.yaml", "horizon: 40 is not less than 40, the history of its class");
    write_text("twice.csv", "time,a,a\n2020-01-01,1,2\n2020-01-02,2,3\n2020-01-03,2,3\n");
    write_text("back.csv", "time,a\n2020-01-03,1\n2020-01-02,2\n2020-01-01,2\n");
    command_fails(1, "twice.csv", "twice.csv: the default model:4: streams[0].features[1]: a second feature \"a\"");
    command_fails(1, "back.csv", "stream \"back\" makes 1 step (of 3 rows, as the others are not later than the one");
    command_exits(0, "words.csv --train 1 --valid 0 --horizons 1");
    assert_string_equal(command_complained, "words.csv: left out, as it holds no numbers: what\n");
    command_exits(0, "s.csv -c two.yaml --no-network --columns a=b,b=a");
}

static void a_file_may_hold_many_streams(void **state) {
    (void)state;
    static char together[sizeof command_printed];
    FILE *all = fopen("all.csv", "w"), *x = fopen("x.csv", "w"), *y = fopen("y.csv", "w");
    assert_true(all != NULL && x != NULL && y != NULL);
    fputs("time,who,v\n", all);
    fputs("time,v\n", x);
    fputs("time,v\n", y);
    for (int i = 0; i < 100; i++) {
        double v = sin(0.5 * i);
        fprintf(all, "%d,x,%.3f\n", 1600000000 + 60 * i, v);
        fprintf(x, "%d,%.3f\n", 1600000000 + 60 * i, v);
        if (i % 3 == 0)
            continue;
        fprintf(all, "%d,y,%.3f\n", 1600000000 + 60 * i, 2 * v);
        fprintf(y, "%d,%.3f\n", 1600000000 + 60 * i, 2 * v);
    }
    assert_true(fclose(all) == 0 && fclose(x) == 0 && fclose(y) == 0);
    command_exits(0, "all.csv --stream-column who --no-network --horizons 2 --json");
    memcpy(together, command_printed, sizeof together);
    command_exits(0, "x.csv y.csv --no-network --horizons 2 --json");
    assert_string_equal(command_printed, together);
    command_fails(1, "all.csv x.csv --stream-column who", "x.csv has no column \"who\"");
    command_fails(1, "x.csv --horizons 1,4096 --columns a=v,b=v,c=v,d=v,e=v,f=v,g=v --train 10 --no-network",
                  "would take");
}

/* ---- odd series ---------------------------------------------------------------------------------- */

static double constant(int i) {
    (void)i;
    return 5;
}
static double missing(int i) {
    (void)i;
    return NAN;
}
static double enormous(int i) {
    return i % 3 ? 1e30 : -1e30;
}
static double denormal(int i) {
    return 5e-324 * (i % 5);
}
static double utmost(int i) {
    return i % 3 ? 1.7e308 : -1.7e308;
}
static double counted(int i) {
    return i;
}

/* Where the last value can be scored, so can what is published. */
static void expect_served(const char *line) {
    char text[128];
    snprintf(text, sizeof text, "%s --json", line);
    command_exits(0, text);
    json_t *all = load_printed();
    const json_t *one = json_array_get(json_object_get(all, "horizons"), 0);
    const json_t *last = json_object_get(json_object_get(one, "experts"), "last_value");
    if (json_is_number(json_object_get(last, "mae")) &&
        !json_is_number(json_object_get(json_object_get(one, "published"), "mae")))
        fail_msg("%s:\n%s", line, command_printed);
    json_decref(all);
}

static void odd_series_are_served(void **state) {
    (void)state;
    write_rows("constant.csv", 160, constant, constant);
    write_rows("missing.csv", 160, missing, missing);
    write_rows("half.csv", 160, counted, missing);
    write_rows("enormous.csv", 160, enormous, counted);
    write_rows("denormal.csv", 160, denormal, constant);
    write_rows("utmost.csv", 160, utmost, counted);
    write_rows("few.csv", 40, counted, counted);
    write_rows("one.csv", 1, counted, counted);
    write_rows("two.csv", 2, counted, counted);
    expect_served("constant.csv --horizons 1,4");
    expect_served("half.csv --horizons 1,4");
    expect_served("enormous.csv --horizons 1,4");
    expect_served("denormal.csv --horizons 1,4");
    expect_served("utmost.csv --horizons 1,4");
    expect_served("two.csv --horizons 1");
    expect_served("few.csv --train 0 --valid 0 --horizons 1");
    command_has_printed("\"mse\": 1.0");
    command_exits(0, "constant.csv --horizons 1,4");
    command_has_printed("a: it never changes in the train part, its errors are in its own unit");
    command_exits(0, "missing.csv");
    command_has_printed("a: no forecast has an answer that was observed");
    command_has_printed("nothing could be trained: the streams have too few steps to train on and judge by");
    command_exits(0, "few.csv");
    command_has_printed("nothing could be trained: the streams have too few steps");
    command_fails(1, "one.csv",
                  "one.csv: stream \"one\" makes 1 step: behind 0 to train and 0 to validate on none is left");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_json_is_as_it_is_said_to_be),
        cmocka_unit_test(it_says_what_it_chose),
        cmocka_unit_test(the_chosen_configuration_can_be_kept),
        cmocka_unit_test(wrong_use_is_told),
        cmocka_unit_test(wrong_files_are_told),
        cmocka_unit_test(a_file_may_hold_many_streams),
        cmocka_unit_test(odd_series_are_served),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
