/*
 * A subcommand of forecast as a user types it: run in a child, as it keeps options and signals, in the working
 * folder. One for each test program. What goes wrong fails the test.
 */
#ifndef TESTS_SUPPORT_COMMAND_H
#define TESTS_SUPPORT_COMMAND_H

/* What the latest run has said on standard output and standard error. */
extern char command_printed[65536], command_complained[4096];

/* Which it is: before the others. run: one of clients/forecast/commands.h. */
void command_is(const char *name, int (*run)(int argc, char **argv));

/* Runs it with the words of a line, divided by blanks. interrupt_ms > 0: sends SIGINT then. Returns what it exits
 * with; 128: it was killed. */
int command_run(const char *line, int interrupt_ms);

/* It exits with the code. */
void command_exits(int code, const char *line);

/* The same, and it says the text behind its name on standard error, and nothing on standard output. */
void command_fails(int code, const char *line, const char *text);

/* The text is in command_printed. */
void command_has_printed(const char *text);

#endif
