/* Options, what the daemon's classes want, and how forecasts look. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/bench.h"
#include "clients/forecast/classes.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"
#include "clients/forecast/table.h"
#include "clients/forecast/view.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ------------------------------------------------------------------------------ */

static struct {
    bool flag;
    const char *text;
    char character;
    long integer;
    double number;
} given;

static const struct option_row rows[] = {
    {"flag", 'f', OPTION_FLAG, NULL, "a flag", &given.flag, 0, 0},
    {"text", 't', OPTION_TEXT, "TEXT", "a text", &given.text, 0, 0},
    {"character", 'c', OPTION_CHARACTER, "C", "a character", &given.character, 0, 0},
    {"integer", 'i', OPTION_INTEGER, "N", "a number of things that is long to explain", &given.integer, 1, 100},
    {"number", 0, OPTION_NUMBER, "X", "first line\nsecond line", &given.number, -1, 1},
    {0},
};

static const struct option_command command = {
    .name = "forecast try",
    .usage = "[OPTIONS]",
    .summary = "tries.",
    .rows = rows,
    .examples = "  forecast try\n",
};

/* Parses up to five words. */
static enum options_result parse(const char *const words[5], int *ret_first, char *text) {
    char *argv[7] = {(char *)"try"};
    int argc = 1;

    memset(&given, 0, sizeof given);
    for (int i = 0; i < 5 && words[i]; i++)
        argv[argc++] = (char *)words[i];
    text[0] = '\0';
    enum options_result result = options_parse(&command, argc, argv, ret_first, text, 256);
    *ret_first = argc - *ret_first; /* operands */
    return result;
}

static void test_options_values(void **state) {
    (void)state;
    char text[256];
    int operands;

    assert_int_equal(
        parse((const char *const[5]){"--flag", "--text=a b", "-i7", "--number", "-0.5"}, &operands, text),
        OPTIONS_OK);
    assert_true(given.flag && given.integer == 7 && given.number == -0.5);
    assert_string_equal(given.text, "a b");
    assert_int_equal(operands, 0);
    assert_int_equal(parse((const char *const[5]){"-c;"}, &operands, text), OPTIONS_OK);
    assert_int_equal(given.character, ';');
    assert_int_equal(parse((const char *const[5]){"--character", "\\t"}, &operands, text), OPTIONS_OK);
    assert_int_equal(given.character, '\t');
    assert_int_equal(parse((const char *const[5]){"x", "-f", "--", "-i"}, &operands, text), OPTIONS_OK);
    assert_true(given.flag && given.integer == 0);
    assert_int_equal(operands, 2);
    assert_int_equal(parse((const char *const[5]){"--int", "3"}, &operands, text), OPTIONS_OK); /* clear enough */
    assert_int_equal(given.integer, 3);
    assert_int_equal(parse((const char *const[5]){"-f", "--help"}, &operands, text), OPTIONS_HELP);
    assert_int_equal(parse((const char *const[5]){"-h"}, &operands, text), OPTIONS_HELP);
}

static void test_options_wrong(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"--foo", NULL, "there is no option --foo (or more than one begins so)"},
        {"--foo=3", NULL, "there is no option --foo (or more than one begins so)"},
        {"-x", NULL, "there is no option -x"},
        {"--text", NULL, "--text needs a value"},
        {"-i", NULL, "-i needs a value"},
        {"--flag=1", NULL, "--flag takes no value"},
        {"-c", "", "--character takes one character, not \"\""},
        {"-c", "\\n", "--character takes one character, not \"\\n\""},
        {"-i", "0", "--integer takes a whole number from 1 to 100, not \"0\""},
        {"-i", "1.5", "--integer takes a whole number from 1 to 100, not \"1.5\""},
        {"-i", "", "--integer takes a whole number from 1 to 100, not \"\""},
        {"-i", "99999999999999999999", "--integer takes a whole number from 1 to 100, not \"99999999999999999999\""},
        {"--number", "nan", "--number takes a number from -1 to 1, not \"nan\""},
        {"--number", "2", "--number takes a number from -1 to 1, not \"2\""},
        {"--number", "1x", "--number takes a number from -1 to 1, not \"1x\""},
    };
    char text[256];
    int operands;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse((const char *const[5]){cases[i][0], cases[i][1]}, &operands, text), OPTIONS_WRONG);
        assert_string_equal(text, cases[i][2]);
    }
}

static void test_options_help(void **state) {
    (void)state;
    char *help;
    size_t n;
    FILE *out = open_memstream(&help, &n);

    options_print_help(&command, out);
    fclose(out);
    assert_string_equal(help, "forecast try: tries.\n\nUsage: forecast try [OPTIONS]\n\nOptions:\n"
                              "  -f, --flag                  a flag\n"
                              "  -t, --text TEXT             a text\n"
                              "  -c, --character C           a character\n"
                              "  -i, --integer N             a number of things that is long to explain\n"
                              "  --number X                  first line\n"
                              "                              second line\n"
                              "  -h, --help                  this text\n"
                              "\nExamples:\n  forecast try\n");
    free(help);
}

/* ---- classes ------------------------------------------------------------------------------ */

static void test_classes(void **state) {
    (void)state;
    static const char hello[] =
        "{\"ok\":true,\"classes\":[{\"class\":\"host\",\"pattern\":\"host/*\",\"features\":[\"a\",\"b\"]},"
        "{\"class\":\"rest\",\"pattern\":\"*[0-9]\",\"features\":[\"c\"]}]}";
    struct class_answer answer;

    class_find(hello, "host/1", &answer); /* the first that matches */
    assert_int_equal(answer.result, CLASS_FOUND);
    assert_string_equal(answer.name, "host");
    assert_int_equal(answer.n_features, 2);
    assert_string_equal(answer.features[1], "b");
    class_answer_fini(&answer);
    class_find(hello, "a/b/7", &answer);
    assert_string_equal(answer.name, "rest");
    class_answer_fini(&answer);
    class_find(hello, "plant", &answer);
    assert_int_equal(answer.result, CLASS_NONE);
    assert_string_equal(answer.text, "host/*, *[0-9]");
    class_answer_fini(&answer);
    class_find("{\"ok\":true}", "plant", &answer);
    assert_int_equal(answer.result, CLASS_UNKNOWN);
    class_find("nonsense", "plant", &answer);
    assert_int_equal(answer.result, CLASS_UNKNOWN);
}

/* ---- how things look ---------------------------------------------------------------------- */

static void test_numbers_and_times(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0, "0"},           {NAN, "-"},         {1.005, "1.00"},  {-12.345, "-12.35"}, {123.45, "123.5"},
                   {12345.6, "12346"}, {0.0123, "0.0123"}, {1e5, "1.0e+05"}, {-1e-5, "-1.0e-05"}};
    char buffer[32];

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        assert_string_equal(run_format_number(numbers[i].value, buffer, sizeof buffer), numbers[i].text);
    assert_string_equal(run_format_time(1467331200000000000, buffer, sizeof buffer), "2016-07-01 00:00:00");
    assert_string_equal(run_format_time(1467331200250000000, buffer, sizeof buffer), "2016-07-01 00:00:00.250");
    assert_string_equal(run_format_time(-250000000, buffer, sizeof buffer), "1969-12-31 23:59:59.750");
}

static void test_table(void **state) {
    (void)state;
    static const char *const cells[] = {"NAME", "N", "WHY", "a/ü", "7", "x", "b", "100", ""};
    struct table table = {.n_columns = 3, .right = {false, true, false}};
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    for (size_t i = 0; i < 9; i++)
        table_cell(&table, cells[i]);
    table_print(&table, out);
    text_print(out, "longer", 4, false);
    text_print(out, "ab", 4, true);
    fclose(out);
    assert_string_equal(text, "NAME    N  WHY\na/ü     7  x\nb     100  \nlon~  ab");
    table_fini(&table);
    free(text);
}

static void test_sparkline(void **state) {
    (void)state;
    const double values[] = {99, 0, 1, NAN, 3.5, 7};
    char buffer[64];
    double means[4];

    assert_int_equal(view_sparkline(values, 6, 5, 0, 7, true, buffer, sizeof buffer), 5);
    assert_string_equal(buffer, "▁▂ ▄█");
    assert_int_equal(view_sparkline(values, 6, 5, 0, 7, false, buffer, sizeof buffer), 5);
    assert_string_equal(buffer, "_. -#");
    assert_int_equal(view_sparkline(values + 1, 1, 5, 0, 0, true, buffer, sizeof buffer), 1);
    assert_string_equal(buffer, "▄");
    assert_int_equal(view_resample(values, 6, 3, means), 3);
    assert_true(means[0] == 49.5 && means[1] == 1 && means[2] == 5.25);
    assert_int_equal(view_resample(values, 2, 4, means), 2);
    assert_true(means[0] == 99 && means[1] == 0);
}

static const char *const targets[] = {"load", "flow"};
static const struct forecast_score scores[] = {
    {.h = 1, .n = 5, .mae = 0.2, .mae_last_value = 0.4, .mae_seasonal = NAN},
    {.h = 2, .n = 4, .mae = 0.4, .mae_last_value = 0.4, .mae_seasonal = NAN},
    {.h = 3, .mae = NAN, .mae_last_value = NAN, .mae_seasonal = NAN}};

static struct forecast make_forecast(const char *model, const char *stream, uint64_t step, const double *values,
                                     const double *mean) {
    return (struct forecast){.stream = stream,
                             .model = model,
                             .version = 2,
                             .epoch = 1,
                             .generation = 1,
                             .step = step,
                             .t = 1467331200000000000,
                             .horizon = 3,
                             .n_targets = 2,
                             .n_scores = 3,
                             .targets = targets,
                             .values = values,
                             .mean = mean,
                             .scores = scores,
                             .source = FORECAST_SOURCE_NETWORK};
}

static void test_line(void **state) {
    (void)state;
    const double values[] = {1, 10}, mean[] = {2, 20, 3, 30, 4, 40};
    struct forecast f = make_forecast("m", "a/b", 7, values, mean);
    char line[512];

    assert_int_equal(view_target(&f, NULL), 0);
    assert_int_equal(view_target(&f, "flow"), 1);
    assert_int_equal(view_target(&f, "none"), -1);
    view_line(&f, 1, line, sizeof line);
    assert_string_equal(line, "2016-07-01 00:00:00  a/b  m network v2  step 7  flow 10.00 -> 20.00 .. 40.00 (+3)"
                              "  mae 0.300, of last value 0.400");
    const double lower[] = {1, 15, 1, NAN, 1, 20}, upper[] = {3, 25, 3, NAN, 3, 60}, inner[] = {0};
    const struct forecast_interval intervals[] = {{80, inner, inner}, {95, lower, upper}};
    const struct forecast_share shares[] = {
        {"seasonal", 0.04}, {"network", 0.3}, {"smoothing", 0.3}, {"ridge", 0.31}, {"drift", 0.05}};
    f.n_intervals = 2;
    f.intervals = intervals;
    f.n_shares = 5;
    f.shares = shares;
    f.n_scores = 0;
    f.flags = FORECAST_FLAG_CAPPED;
    view_line(&f, 1, line, sizeof line);
    assert_string_equal(line,
                        "2016-07-01 00:00:00  a/b  m ridge 31% + network v2 30% + smoothing 30%  step 7  flow 10.00 "
                        "-> 20.00 (15.00 to 25.00) .. 40.00 (20.00 to 60.00) (+3)  [capped]");
    f.horizon = 2; /* an end that is not known has none */
    view_line(&f, 1, line, sizeof line);
    assert_non_null(strstr(line, "-> 20.00 (15.00 to 25.00) .. 30.00 (+2)"));
    f.n_shares = 1;
    f.shares = (const struct forecast_share[]){{"last_value", 1}};
    f.n_intervals = 0;
    view_line(&f, 1, line, sizeof line);
    assert_non_null(strstr(line, "m last_value  step 7"));
    f.n_shares = 0;
    f.source = FORECAST_SOURCE_BASELINE;
    f.horizon = 1;
    f.flags = FORECAST_FLAG_GAP | FORECAST_FLAG_LAST;
    size_t n = view_line(&f, 0, line, sizeof line);
    assert_int_equal(n, strlen(line));
    assert_string_equal(
        line, "2016-07-01 00:00:00  a/b  m baseline (last value)  step 7  load 1.00 -> 2.00  [gap]  [last]");
    assert_int_equal(view_line(&f, 0, line, 20), 19); /* cut, not overrun */
    assert_int_equal(strlen(line), 19);
}

static void test_live_table(void **state) {
    (void)state;
    static const char *const streams[] = {"b", "c", "a", "b"}, *const models[] = {"m", "m", "m", "k"};
    static const char *const sorted[] = {"a", "b", "b", "c"};
    struct view_table table = {0};
    double values[] = {1, 10}, low, high;
    const double mean[] = {2, 20, 3, 30, -4, 40};

    for (size_t i = 0; i < 4; i++) {
        struct forecast f = make_forecast(models[i], streams[i], 1, values, mean);
        view_table_take(&table, &f);
    }
    assert_int_equal(table.n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(table.rows[i]->stream, sorted[i]);
    assert_string_equal(table.rows[1]->model, "k");

    struct view_row *row = table.rows[0];
    for (uint64_t step = 1; step <= 300; step++) { /* the first is known already */
        struct forecast f = make_forecast("m", "a", step, values, mean);

        values[0] = (double)step;
        view_table_take(&table, &f);
        view_table_take(&table, &f);
    }
    assert_int_equal(table.n, 4);
    assert_int_equal(row->n_recent, VIEW_RECENT);
    assert_true(row->recent[VIEW_RECENT - 1] == 300 && row->recent[0] == 300 - VIEW_RECENT + 1);
    assert_int_equal(row->n_path, 3);
    assert_true(row->path[2] == -4);
    assert_true(fabs(row->ratio - 0.75) < 1e-12);
    assert_true(view_row_range(row, 10, &low, &high));
    assert_true(low == -4 && high == 300);
    assert_int_equal(table.forecasts, 4 + 299);

    struct forecast again = make_forecast("m", "a", 1, values, mean);
    again.generation = 2; /* the stream ended and began again */
    view_table_take(&table, &again);
    assert_int_equal(row->step, 1);
    view_table_fini(&table);

    table.target = "flow";
    view_table_take(&table, &again);
    assert_true(table.rows[0]->recent[0] == 10 && table.rows[0]->path[2] == 40);
    table.target = "none";
    again.stream = "z";
    view_table_take(&table, &again);
    assert_int_equal(table.n, 1);
    view_table_fini(&table);
}

static void test_model_line(void **state) {
    (void)state;
    char line[64];

    view_model_line("host", 3, "network", "idle", "promoted", line, sizeof line);
    assert_string_equal(line, "host: network v3, idle; promoted");
    view_model_line("host", 0, "baseline", "", "", line, sizeof line);
    assert_string_equal(line, "host: baseline");
}

static void test_quantiles(void **state) {
    (void)state;
    int64_t sorted[1000];

    for (int i = 0; i < 1000; i++)
        sorted[i] = i + 1;
    assert_true(bench_quantile(sorted, 1000, 0.5) == 500);
    assert_true(bench_quantile(sorted, 1000, 0.999) == 999);
    assert_true(bench_quantile(sorted, 1000, 1) == 1000);
    assert_true(bench_quantile(sorted, 1, 0.5) == 1);
    assert_true(isnan(bench_quantile(sorted, 0, 0.5)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_values),    cmocka_unit_test(test_options_wrong),
        cmocka_unit_test(test_options_help),      cmocka_unit_test(test_classes),
        cmocka_unit_test(test_numbers_and_times), cmocka_unit_test(test_table),
        cmocka_unit_test(test_sparkline),         cmocka_unit_test(test_line),
        cmocka_unit_test(test_live_table),        cmocka_unit_test(test_model_line),
        cmocka_unit_test(test_quantiles),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
