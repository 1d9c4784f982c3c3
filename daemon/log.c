#include "daemon/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_int log_most = LOG_LEVEL_INFO;
static bool log_to_journal;

void log_open(enum log_level most) {
    log_limit(most);
    /* systemd.exec(5): device and inode of the journal's stream, which standard error may have been turned away
     * from. */
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat own;
    unsigned long long device, inode;
    log_to_journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                     fstat(STDERR_FILENO, &own) == 0 && own.st_dev == device && own.st_ino == inode;
}

void log_limit(enum log_level most) {
    atomic_store_explicit(&log_most, (int)most, memory_order_relaxed);
}

static const char *level_name(enum log_level level) {
    switch (level) {
    case LOG_LEVEL_ERROR: return "error: ";
    case LOG_LEVEL_WARNING: return "warning: ";
    case LOG_LEVEL_INFO: return "";
    case LOG_LEVEL_DEBUG: return "debug: ";
    }
    return "";
}

void log_line(enum log_level level, const char *format, ...) {
    if ((int)level > atomic_load_explicit(&log_most, memory_order_relaxed))
        return;
    char line[1024];
    int used;
    if (log_to_journal) {
        used = snprintf(line, sizeof line, "<%d>", (int)level);
    } else {
        struct timespec now;
        struct tm local;
        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &local);
        used = (int)strftime(line, sizeof line, "%H:%M:%S", &local);
        used += snprintf(line + used, sizeof line - (size_t)used, ".%03ld forecastd: %s", now.tv_nsec / 1000000,
                         level_name(level));
    }
    va_list args;
    va_start(args, format);
    int said = vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    used += said < 0 ? 0 : said;
    if (used > (int)sizeof line - 1)
        used = (int)sizeof line - 1;
    line[used++] = '\n'; /* over the NUL: a line is one write */
    ssize_t put = write(STDERR_FILENO, line, (size_t)used);
    (void)put; /* nowhere to tell */
}
