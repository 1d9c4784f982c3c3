/* CSV files as forecast feed reads them: rows and fields, times, columns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/csv.h"
#include "clients/forecast/rows.h"
#include "clients/forecast/timetext.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS 1000000000LL

/* ---- fields ------------------------------------------------------------------------------- */

static FILE *file_of(const char *text, size_t n) {
    FILE *file = fmemopen((void *)text, n, "r");

    assert_non_null(file);
    return file;
}

/* Reads text as rows and writes them as [field|field] with what was wrong at the end. Returns the line of a row that is not
 * whole. */
static int read_rows(const char *text, size_t n, char delimiter, bool whole, char *out, size_t size) {
    FILE *file = file_of(text, n);
    struct csv csv;
    size_t used = 0;
    int got;

    csv_init(&csv, file, "f", delimiter);
    csv.whole = whole;
    out[0] = '\0';
    while ((got = csv_next(&csv)) == 1)
        for (int i = 0; i < csv.n_fields; i++) {
            assert_int_equal(strlen(csv.fields[i].text), csv.fields[i].n);
            used += (size_t)snprintf(out + used, size - used, "%s%s%s", i ? "|" : "[", csv.fields[i].text,
                                     i == csv.n_fields - 1 ? "]" : "");
        }
    if (got < 0)
        snprintf(out + used, size - used, "!%s", csv.error);
    int torn = csv.torn;
    csv_fini(&csv);
    fclose(file);
    return torn;
}

static void read_all(const char *text, size_t n, char delimiter, char *out, size_t size) {
    read_rows(text, n, delimiter, false, out, size);
}

/* A file that is written while it is read: wherever it ends, a row is one when its newline has come. */
static void a_row_is_whole_with_its_newline(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbf"
                               "a,b\n10,25\r\n\n\"x\ny\",\"\"\"\"\n 7,8\n";
    static const char *const rows[] = {"", "[a|b]", "[a|b][10|25]", "[a|b][10|25][x\ny|\"]",
                                       "[a|b][10|25][x\ny|\"][ 7|8]"};
    static const size_t ends[] = {7, 14, 26, 31};
    char out[256];
    for (size_t n = 1; n < sizeof text; n++) {
        size_t whole = 0;
        while (whole < 4 && n >= ends[whole])
            whole++;
        size_t end = whole > 0 ? ends[whole - 1] : 3;
        bool torn = n > end && !(n == 15 && whole == 2); /* a blank line */
        int line = read_rows(text, n, ',', true, out, sizeof out);
        assert_string_equal(out, rows[whole]);
        assert_int_equal(line, !torn ? 0 : whole < 2 ? 1 + (int)whole : whole == 2 ? 4 : 6);
    }
}

static void test_csv_rows(void **state) {
    (void)state;
    static const struct {
        const char *text;
        char delimiter;
        const char *rows;
    } cases[] = {
        {"a,b\n1,2\n", ',', "[a|b][1|2]"},
        {"a,b\n1,2", ',', "[a|b][1|2]"},
        {"a,b\r\n1,2\r\n", ',', "[a|b][1|2]"},
        {"\xef\xbb\xbf"
         "a,b\n1,2\n",
         ',', "[a|b][1|2]"},
        {"a;b\n1,5;2\n", ';', "[a|b][1,5|2]"},
        {"\"a\"\"b\",\"c,d\"\n\"e\nf\",\"\"\n", ',', "[a\"b|c,d][e\nf|]"},
        {"a,b\n\n\r\n1,\n,\n", ',', "[a|b][1|][|]"},
        {"a\n\"\"\nb", ',', "[a][][b]"},
        {"a\rb,c\n", ',', "[a\rb|c]"},
        {"\"a\" ,b\n", ',', "[a|b]"},
        {"", ',', ""},
        {"\n\n", ',', ""},
        {"a,b\n1,\"2\n3\n", ',', "[a|b]!f:2:3: this quote is not closed"},
        {"a\n\"b\"c\n", ',', "[a]!f:2:4: there is text behind a closing quote"},
    };
    char out[256];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].text[0] == '\0')
            continue; /* fmemopen takes no empty buffer */
        read_all(cases[i].text, strlen(cases[i].text), cases[i].delimiter, out, sizeof out);
        assert_string_equal(out, cases[i].rows);
    }
    read_all("a,\0b\n", 5, ',', out, sizeof out);
    assert_string_equal(out, "!f:1:3: there is a NUL byte; is this text?");
}

static void test_csv_places(void **state) {
    (void)state;
    static const char text[] = "aa,b\n\"x\ny\",zz\n7,8\n";
    FILE *file = file_of(text, sizeof text - 1);
    struct csv csv;

    csv_init(&csv, file, "f", ',');
    assert_int_equal(csv_next(&csv), 1);
    assert_int_equal(csv.fields[1].line, 1);
    assert_int_equal(csv.fields[1].column, 4);
    assert_int_equal(csv_next(&csv), 1);
    assert_int_equal(csv.fields[0].line, 2);
    assert_int_equal(csv.fields[1].line, 3);
    assert_int_equal(csv.fields[1].column, 4);
    assert_int_equal(csv_next(&csv), 1);
    assert_int_equal(csv.fields[0].line, 4);
    assert_int_equal(csv_next(&csv), 0);
    assert_int_equal(csv.bytes, sizeof text - 1);
    csv_fini(&csv);
    fclose(file);
}

/* A row of a megabyte in a thousand fields: buffers grow under the fields. */
static void test_csv_long_row(void **state) {
    (void)state;
    enum { FIELDS = 1000, LENGTH = 1000 };
    char *text = malloc(FIELDS * (LENGTH + 1));

    for (int i = 0; i < FIELDS; i++) {
        memset(text + i * (LENGTH + 1), 'a' + i % 26, LENGTH);
        text[i * (LENGTH + 1) + LENGTH] = i == FIELDS - 1 ? '\n' : ',';
    }
    FILE *file = file_of(text, FIELDS * (LENGTH + 1));
    struct csv csv;
    csv_init(&csv, file, "f", ',');
    assert_int_equal(csv_next(&csv), 1);
    assert_int_equal(csv.n_fields, FIELDS);
    for (int i = 0; i < FIELDS; i++) {
        assert_int_equal(csv.fields[i].n, LENGTH);
        assert_int_equal(csv.fields[i].text[LENGTH - 1], 'a' + i % 26);
    }
    csv_fini(&csv);
    fclose(file);
    free(text);
}

static bool number_of(const char *text, double *ret_value) {
    return csv_number(&(struct csv_field){.text = text, .n = strlen(text)}, ret_value);
}

static void test_csv_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } numbers[] = {{"1", 1}, {" -2.5 ", -2.5}, {"+1e3", 1000}, {".5", 0.5}, {"1E-2", 0.01}};
    static const char *const missing[] = {"", " ", "NA", "nan", "NaN", "null", "NULL", "n/a", "-", "None"};
    static const char *const wrong[] = {"abc", "1x", "0x10", "inf", "-Infinity", "1e999", "1 2", "1,5", "--1", "e"};
    double value = 7;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_true(number_of(numbers[i].text, &value));
        assert_true(value == numbers[i].value);
    }
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_true(number_of(missing[i], &value));
        assert_true(isnan(value));
    }
    value = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(number_of(wrong[i], &value));
    assert_true(value == 7);
}

/* ---- times -------------------------------------------------------------------------------- */

static void test_times(void **state) {
    (void)state;
    static const struct {
        const char *format, *text;
        int64_t t;
    } cases[] = {
        {"iso", "1970-01-01", 0},
        {"iso", "2016-07-01 00:00:00", 1467331200 * NS},
        {"iso", " 2016-07-01T00:00:00Z ", 1467331200 * NS},
        {"iso", "2016-07-01T02:30:00.5+02:30", 1467331200 * NS + NS / 2},
        {"iso", "2016-06-30 19:00 -0500", 1467331200 * NS},
        {"iso", "2016-07-01T00:00:00.123456789123", 1467331200 * NS + 123456789},
        {"iso", "2016/07/01 01:00", 1467334800 * NS},
        {"iso", "2000-02-29", 951782400 * NS},
        {"iso", "1969-12-31 23:59:59.75", -NS / 4},
        {"us", "07/01/2016", 1467331200 * NS},
        {"us", "7/1/2016 01:00:00", 1467334800 * NS},
        {"epoch", "1467331200", 1467331200 * NS},
        {"epoch", "1467331200.000000001", 1467331200 * NS + 1},
        {"epoch", "-0.25", -NS / 4},
        {"epoch-ms", "1467331200123.5", 1467331200 * NS + 123500000},
        {"epoch-us", "1467331200000001", 1467331200 * NS + 1000},
        {"ns", "1467331200000000001", 1467331200 * NS + 1},
        {"epoch-ns", "9223372036854775807", INT64_MAX},
        {"%d.%m.%Y %H:%M", "01.07.2016 00:00", 1467331200 * NS},
        {"%Y%m%d %z", "20160701 +0200", (1467331200 - 7200) * NS},
    };
    struct time_format format;
    int64_t t;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(time_format_parse(cases[i].format, &format));
        assert_true(time_text_parse(&format, cases[i].text, &t));
        assert_true(t == cases[i].t);
    }
    assert_false(time_format_parse("julian", &format));
}

static void test_times_wrong(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"iso", ""},
        {"iso", "2016"},
        {"iso", "2016-13-01"},
        {"iso", "2016-02-30"},
        {"iso", "2015-02-29"},
        {"iso", "1900-02-29"},
        {"iso", "2016-07-01x"},
        {"iso", "2016-07-01 25:00"},
        {"iso", "2016-07-01 10"},
        {"iso", "2016-07/01"},
        {"iso", "9999-01-01"},
        {"us", "13/01/2016"},
        {"us", "2016-01-01"},
        {"epoch", "abc"},
        {"epoch", "1e9"},
        {"epoch", "9999999999999"},
        {"ns", "9223372036854775808"},
        {"%Y", "2016-"},
    };
    struct time_format format;
    int64_t t = 7;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(time_format_parse(cases[i][0], &format));
        assert_false(time_text_parse(&format, cases[i][1], &t));
    }
    assert_true(t == 7);
}

static void test_times_detected(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"2016-07-01", "iso"},
        {"2016-07-01T00:00:00Z", "iso"},
        {"07/01/2016", "us"},
        {"1467331200", "epoch"},
        {"1467331200.5", "epoch"},
        {"1467331200000", "epoch-ms"},
        {"1467331200000000", "epoch-us"},
        {"1467331200000000000", "ns"},
        {"5.827", ""},
        {"100", ""},
        {"abc", ""},
        {"31/12/2016", ""},
        {"", ""},
    };
    struct time_format format;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool found = time_format_detect(cases[i][0], &format);

        assert_string_equal(found ? time_format_name(&format) : "", cases[i][1]);
    }
}

/* ---- rows --------------------------------------------------------------------------------- */

static char path[] = "/tmp/test_csv_XXXXXX";

static void write_file(const char *text) {
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_path(void **state) {
    (void)state;
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static void test_rows_defaults(void **state) {
    (void)state;
    struct rows rows;

    write_file("kind,when,a,b,note\nx,2016-07-01,1,,hello\nx,2016-07-02,NaN,4,hi\nx,2016-07-03,2\n");
    assert_int_equal(rows_open(&rows, &(struct rows_options){.path = path, .delimiter = ','}), 0);
    assert_int_equal(rows.time_column, 1);
    assert_true(strncmp(rows_first_stream(&rows), "test_csv_", 9) == 0);
    assert_int_equal(rows_choose(&rows, NULL, NULL, 0), 0);
    assert_int_equal(rows.n_values, 2); /* texts are left out, a missing cell is not */
    assert_string_equal(rows.names[0], "a");
    assert_string_equal(rows.names[1], "b");
    assert_int_equal(rows_next(&rows), 1);
    assert_true(rows.t == 1467331200 * NS && rows.values[0] == 1 && isnan(rows.values[1]));
    assert_int_equal(rows_next(&rows), 1);
    assert_true(isnan(rows.values[0]) && rows.values[1] == 4);
    assert_int_equal(rows_next(&rows), 1); /* short: the rest is missing */
    assert_true(rows.values[0] == 2 && isnan(rows.values[1]));
    assert_int_equal(rows_next(&rows), 0);
    rows_close(&rows);
}

static void test_rows_columns(void **state) {
    (void)state;
    static const char *const features[] = {"b", "a"}, *const others[] = {"b", "zz"};
    struct rows rows;

    write_file("t,name,a,b\n1467331200,s1,1,2\n1467331201,s2,3,4\n");
    const struct rows_options options = {.path = path, .delimiter = ',', .stream_column = "name"};
    assert_int_equal(rows_open(&rows, &options), 0);
    assert_string_equal(rows_first_stream(&rows), "s1");
    assert_int_equal(rows_choose(&rows, "pressure=b,a,b", features, 2), 0); /* what is asked for goes first */
    assert_int_equal(rows.n_values, 3);
    assert_string_equal(rows.names[0], "pressure");
    assert_int_equal(rows_next(&rows), 1);
    assert_string_equal(rows.stream, "s1");
    assert_true(rows.values[0] == 2 && rows.values[1] == 1 && rows.values[2] == 2);
    assert_int_equal(rows_next(&rows), 1);
    assert_string_equal(rows.stream, "s2");
    rows_close(&rows);

    assert_int_equal(rows_open(&rows, &options), 0);
    assert_int_equal(rows_choose(&rows, NULL, features, 2), 0); /* the class' order */
    assert_int_equal(rows_next(&rows), 1);
    assert_true(rows.values[0] == 2 && rows.values[1] == 1);
    rows_close(&rows);

    assert_int_equal(rows_open(&rows, &options), 0);
    assert_int_equal(rows_choose(&rows, NULL, others, 2), 0); /* not all there: the file's order */
    assert_string_equal(rows.names[0], "a");
    rows_close(&rows);

    assert_int_equal(rows_open(&rows, &options), 0);
    assert_int_equal(rows_choose(&rows, "a,c", NULL, 0), -1);
    assert_non_null(strstr(rows.error, "no column \"c\"; it has: t, name, a, b"));
    rows_close(&rows);
}

static void test_rows_labels(void **state) {
    (void)state;
    const struct rows_options options = {.path = path, .delimiter = ',', .label_column = "fault"};
    static const int64_t wanted[] = {1, ROWS_NO_LABEL, 0, ROWS_NO_LABEL, 12};
    struct rows rows;

    /* The column is neither the time nor one of the values. */
    write_file("fault,t,a\n1,1467331200,5\n,1467331201,6\n0.0,1467331202,7\nNA,1467331203,8\n12,1467331204\n");
    assert_int_equal(rows_open(&rows, &options), 0);
    assert_int_equal(rows_choose(&rows, NULL, NULL, 0), 0);
    assert_int_equal(rows.n_values, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rows_next(&rows), 1);
        assert_int_equal(rows.label, wanted[i]);
    }
    assert_int_equal(rows_next(&rows), 0);
    rows_close(&rows);
}

/* Opens text and reads all; the sentence that it ends with. */
static const char *error_of(const char *text, const struct rows_options *options) {
    static char error[1024];
    struct rows rows;
    int got;

    write_file(text);
    got = rows_open(&rows, options);
    if (got == 0)
        got = rows_choose(&rows, NULL, NULL, 0);
    while (got == 0 || got == 1)
        if ((got = rows_next(&rows)) == 0)
            break;
    snprintf(error, sizeof error, "%s", got < 0 ? rows.error : "");
    rows_close(&rows);
    return strncmp(error, path, strlen(path)) == 0 ? error + strlen(path) : error;
}

static void test_rows_errors(void **state) {
    (void)state;
    const struct rows_options plain = {.path = path, .delimiter = ','};
    const struct rows_options named = {.path = path, .delimiter = ',', .time_column = "a"};
    const struct rows_options format = {.path = path, .delimiter = ',', .time_format = "days"};

    assert_string_equal(error_of("", &plain), " is empty; a row with the names of the columns comes first");
    assert_string_equal(error_of("t,a\n", &plain), " has no row behind its header");
    assert_string_equal(error_of("2016-07-01,1\n2016-07-02,2\n", &plain),
                        ":1: this looks like data; a row with the names of the columns comes first");
    assert_string_equal(error_of("t,a\n1,2\n", &plain),
                        ":2: no column of this row holds a time; --time-column and --time-format say which does");
    assert_string_equal(error_of("t,a\n2016-07-01,1\n2016-07-02,abc\n", &plain),
                        ":3:12: column \"a\": \"abc\" is no number");
    assert_string_equal(error_of("t,a\n2016-07-01,1\nyesterday,2\n", &plain),
                        ":3:1: column \"t\": \"yesterday\" is no time in the form of iso");
    assert_string_equal(error_of("t,a\n2016-07-01,1\n2016-07-02,1,2\n", &plain),
                        ":3: this row has 3 fields, and the header 2 names");
    assert_string_equal(error_of("a,t\n1,2016-07-01\n1\n", &plain), ":3: this row ends before column \"t\"");
    assert_string_equal(error_of("t,a\n2016-07-01,x\n", &plain),
                        ":2: no column of this row but the time has a number");
    assert_non_null(strstr(error_of("a,t\n1,2016-07-01\n", &named), "--time-format says what it is"));
    assert_non_null(strstr(error_of("a,t\n1,2016-07-01\n", &format), "\"days\" is no time format"));
    assert_string_equal(error_of("t,a\n2016-07-01,1\n2016-07-02,,\n", &plain), ""); /* a delimiter too many */
    assert_non_null(strstr(error_of("", &(struct rows_options){.path = "/nowhere/x.csv"}), "No such file"));
    static const char *const wrong[] = {"-1", "0.5", "yes", "1e10"};
    const struct rows_options labels = {.path = path, .delimiter = ',', .label_column = "f"};
    for (int i = 0; i < 4; i++) {
        char text[64], wanted[128];

        snprintf(text, sizeof text, "t,a,f\n2016-07-01,1,%s\n", wrong[i]);
        snprintf(wanted, sizeof wanted, ":2:14: column \"f\": \"%s\" is no label: the number of a class, from 0",
                 wrong[i]);
        assert_string_equal(error_of(text, &labels), wanted);
    }
    assert_non_null(strstr(error_of("t,a\n2016-07-01,1\n", &labels), "no column \"f\"; it has: t, a"));
}

static void test_rows_store(void **state) {
    (void)state;
    char text[65536] = "t,s,a,b\n";
    size_t used = strlen(text);
    struct rows rows;
    struct row_store store;

    for (int i = 0; i < 2000; i++) /* more than the store begins with */
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,s%d,%d,%d\n", 1467331200 + i, i % 3, i, -i);
    write_file(text);
    assert_int_equal(rows_open(&rows, &(struct rows_options){.path = path, .delimiter = ',', .stream_column = "s"}),
                     0);
    assert_int_equal(rows_choose(&rows, NULL, NULL, 0), 0);
    assert_int_equal(row_store_load(&store, &rows), 0);
    assert_int_equal(store.n, 2000);
    for (size_t i = 0; i < store.n; i++) {
        char name[16];

        snprintf(name, sizeof name, "s%zu", i % 3);
        assert_string_equal(store.streams[i], name);
        assert_true(store.t[i] == (1467331200 + (int64_t)i) * NS);
        assert_true(store.values[2 * i] == (double)i && store.values[2 * i + 1] == -(double)i);
    }
    row_store_fini(&store);
    rows_close(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_whole_with_its_newline),
        cmocka_unit_test(test_csv_rows),
        cmocka_unit_test(test_csv_places),
        cmocka_unit_test(test_csv_long_row),
        cmocka_unit_test(test_csv_numbers),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_times_wrong),
        cmocka_unit_test(test_times_detected),
        cmocka_unit_test(test_rows_defaults),
        cmocka_unit_test(test_rows_columns),
        cmocka_unit_test(test_rows_errors),
        cmocka_unit_test(test_rows_labels),
        cmocka_unit_test(test_rows_store),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
