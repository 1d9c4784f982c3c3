#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/log.h"

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Standard error goes to a file between begin and end, which reads what was written. */
struct capture {
    FILE *file;
    int before;
};

static void capture_begin(struct capture *capture, const char *journal, enum log_level most) {
    capture->file = tmpfile();
    assert_non_null(capture->file);
    capture->before = dup(STDERR_FILENO);
    dup2(fileno(capture->file), STDERR_FILENO);
    struct stat own;
    char stream[64];
    assert_int_equal(fstat(STDERR_FILENO, &own), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)own.st_dev, (unsigned long long)own.st_ino);
    if (journal != NULL) /* "": standard error is the journal's stream */
        setenv("JOURNAL_STREAM", journal[0] != '\0' ? journal : stream, 1);
    else
        unsetenv("JOURNAL_STREAM");
    log_open(most);
}

static size_t capture_end(struct capture *capture, char *text, size_t size) {
    dup2(capture->before, STDERR_FILENO);
    close(capture->before);
    rewind(capture->file);
    size_t n = fread(text, 1, size - 1, capture->file);
    text[n] = '\0';
    fclose(capture->file);
    return n;
}

static void under_systemd_lines_have_a_priority(void **state) {
    (void)state;
    struct capture capture;
    char text[1024];
    capture_begin(&capture, "", LOG_LEVEL_DEBUG);
    log_error("e%d", 1);
    log_warning("w");
    log_info("i");
    log_debug("d");
    capture_end(&capture, text, sizeof text);
    assert_string_equal(text, "<3>e1\n<4>w\n<6>i\n<7>d\n");
}

static void elsewhere_they_have_the_time_and_a_word(void **state) {
    (void)state;
    struct capture capture;
    char text[1024];
    capture_begin(&capture, "8:1", LOG_LEVEL_DEBUG);
    log_error("e");
    log_warning("w");
    log_info("i");
    log_debug("d");
    capture_end(&capture, text, sizeof text);
    static const char *const tails[] = {" forecastd: error: e", " forecastd: warning: w", " forecastd: i",
                                        " forecastd: debug: d"};
    char *rest = text;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *line = strsep(&rest, "\n");
        static const char form[] = "dd:dd:dd.ddd";
        assert_true(strlen(line) > strlen(form));
        for (size_t k = 0; k < strlen(form); k++)
            assert_true(form[k] == 'd' ? isdigit((unsigned char)line[k]) : line[k] == form[k]);
        assert_string_equal(line + strlen(form), tails[i]);
    }
    assert_string_equal(rest, "");
}

static void lines_above_the_level_are_not_written(void **state) {
    (void)state;
    struct capture capture;
    char text[1024];
    capture_begin(&capture, "", LOG_LEVEL_WARNING);
    log_debug("d");
    log_info("i");
    log_warning("w");
    log_error("e");
    capture_end(&capture, text, sizeof text);
    assert_string_equal(text, "<4>w\n<3>e\n");
}

/* Around the length where a line is cut, and far above it. */
static void a_long_line_is_cut_and_still_ends(void **state) {
    (void)state;
    static char said[5000], text[8192];
    static const size_t lengths[] = {1018, 1019, 1020, 1021, 1022, 1023, 1024, 4096};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct capture capture;
        memset(said, 'x', lengths[i]);
        said[lengths[i]] = '\0';
        capture_begin(&capture, "", LOG_LEVEL_INFO);
        log_info("%s", said);
        log_info("next");
        size_t n = capture_end(&capture, text, sizeof text);
        size_t line = lengths[i] < 1020 ? lengths[i] : 1020; /* 1024 with "<6>" and the newline */
        assert_int_equal(n, line + 4 + strlen("<6>next\n"));
        assert_memory_equal(text, "<6>", 3);
        assert_memory_equal(text + 3, said, line);
        assert_string_equal(text + 3 + line, "\n<6>next\n");
    }
}

enum { WRITERS = 3, LINES = 300 };

static void *write_lines(void *context) {
    for (int i = 0; i < LINES; i++)
        log_info("%s-%s-%s", (const char *)context, (const char *)context, (const char *)context);
    return NULL;
}

static void lines_of_several_threads_stay_whole(void **state) {
    (void)state;
    static char words[WRITERS][64], text[WRITERS * LINES * 256];
    struct capture capture;
    pthread_t threads[WRITERS];
    capture_begin(&capture, "", LOG_LEVEL_INFO);
    for (int i = 0; i < WRITERS; i++) {
        memset(words[i], 'a' + i, sizeof words[i] - 1);
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, words[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    capture_end(&capture, text, sizeof text);
    int lines = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
        assert_memory_equal(line, "<6>", 3);
        char expected[256];
        const char *word = words[line[3] - 'a'];
        snprintf(expected, sizeof expected, "%s-%s-%s", word, word, word);
        assert_string_equal(line + 3, expected);
    }
    assert_int_equal(lines, WRITERS * LINES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(under_systemd_lines_have_a_priority),
        cmocka_unit_test(elsewhere_they_have_the_time_and_a_word),
        cmocka_unit_test(lines_above_the_level_are_not_written),
        cmocka_unit_test(a_long_line_is_cut_and_still_ends),
        cmocka_unit_test(lines_of_several_threads_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
