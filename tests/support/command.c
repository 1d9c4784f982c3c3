#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char command_printed[65536], command_complained[4096];

static const char *name;
static int (*command)(int argc, char **argv);

void command_is(const char *of, int (*run)(int argc, char **argv)) {
    name = of;
    command = run;
}

/* In the child. */
static void become(const char *line, FILE *out, FILE *err) {
    char words[1024], *argv[32] = {(char *)name}, *rest = words;
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    for (char *word; argc < 31 && (word = strsep(&rest, " "));)
        if (*word != '\0')
            argv[argc++] = word;
    if (dup2(fileno(out), STDOUT_FILENO) < 0 || dup2(fileno(err), STDERR_FILENO) < 0)
        _exit(99);
    int code = command(argc, argv);
    fflush(NULL);
    _exit(code);
}

/* The file, which is closed. */
static void take(FILE *file, char *text, size_t size) {
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

int command_run(const char *line, int interrupt_ms) {
    FILE *out = tmpfile(), *err = tmpfile();
    int status;
    assert_true(out != NULL && err != NULL);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        become(line, out, err);
    if (interrupt_ms > 0) {
        usleep((useconds_t)interrupt_ms * 1000);
        kill(child, SIGINT);
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    take(out, command_printed, sizeof command_printed);
    take(err, command_complained, sizeof command_complained);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void command_exits(int code, const char *line) {
    int got = command_run(line, 0);
    if (got != code)
        fail_msg("forecast %s %s: exit %d: %s%s", name, line, got, command_complained, command_printed);
}

void command_fails(int code, const char *line, const char *text) {
    char begin[64];
    command_exits(code, line);
    int n = snprintf(begin, sizeof begin, "forecast %s", name);
    if (!strstr(command_complained, text) || strncmp(command_complained, begin, (size_t)n) != 0)
        fail_msg("forecast %s %s: \"%s\" does not say \"%s\"", name, line, command_complained, text);
    assert_string_equal(command_printed, "");
}

void command_has_printed(const char *text) {
    if (!strstr(command_printed, text))
        fail_msg("\"%s\" is not in:\n%s", text, command_printed);
}
