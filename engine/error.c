#include "engine/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int error_prefix(struct error *err, const char *format, ...) {
    char said[sizeof err->text];
    memcpy(said, err->text, sizeof said);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": ");
    used = strlen(err->text);
    size_t room = sizeof err->text - 1 - used;
    size_t n = strnlen(said, sizeof said - 1);
    memcpy(err->text + used, said, n < room ? n : room);
    err->text[used + (n < room ? n : room)] = '\0';
    return -1;
}
