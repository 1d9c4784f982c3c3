/*
 * One line per happening on standard error: with a journald priority prefix under systemd, with the time otherwise.
 * Any thread; a line is written whole.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
}; /* as syslog's */

/* Called once, before other threads start. Lines above the level are not written. */
void log_open(enum log_level most);

/* Any thread: from now on. */
void log_limit(enum log_level most);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
