#include "engine/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(a) (sizeof(a) / sizeof *(a))
#define DIGITS    "0123456789"

struct unit {
    const char *name;
    int64_t factor;
};

/* From the smallest to the largest. */
static const struct unit durations[] = {
    {"ns", 1},          {"us", 1000},         {"ms", 1000000},       {"s", 1000000000},
    {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000},
};

static const struct unit sizes[] = {
    {"", 1},
    {"KiB", (int64_t)1 << 10},
    {"MiB", (int64_t)1 << 20},
    {"GiB", (int64_t)1 << 30},
    {"TiB", (int64_t)1 << 40},
};

int units_parse_integer(const char *text, int64_t *ret_integer) {
    const char *digits = text + (*text == '-');
    if (!*digits || digits[strspn(digits, DIGITS)])
        return -1;
    errno = 0;
    long long integer = strtoll(text, NULL, 10);
    if (errno)
        return -1;
    *ret_integer = integer;
    return 0;
}

/* strtod alone would also take "inf", "0x1p3" and leading spaces. */
int units_parse_number(const char *text, double *ret_number) {
    if (!*text || text[strspn(text, DIGITS "+-.eE")])
        return -1;
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number))
        return -1;
    *ret_number = number;
    return 0;
}

int units_parse_share(const char *text, double *ret_share) {
    char number[32];
    size_t length = strlen(text);
    bool percent = length && text[length - 1] == '%';
    if (length >= sizeof number)
        return -1;
    snprintf(number, sizeof number, "%.*s", (int)(length - percent), text);
    double share;
    if (units_parse_number(number, &share))
        return -1;
    *ret_share = percent ? share / 100 : share;
    return 0;
}

/* Integers are exact over all of int64_t; with a decimal point the result is rounded. */
static int parse_with_unit(const char *text, const struct unit *units, size_t n, int64_t *ret_value) {
    size_t whole = strspn(text, DIGITS);
    size_t fraction = text[whole] == '.' ? 1 + strspn(text + whole + 1, DIGITS) : 0;
    if (whole == 0 || fraction == 1)
        return -1;
    const char *name = text + whole + fraction;
    size_t i = 0;
    while (i < n && strcmp(units[i].name, name))
        i++;
    if (i == n)
        return -1;
    int64_t value;
    if (fraction) {
        double exact = strtod(text, NULL) * (double)units[i].factor;
        if (exact > 9e18)
            return -1;
        value = llround(exact);
    } else {
        errno = 0;
        value = strtoll(text, NULL, 10);
        if (errno || __builtin_mul_overflow(value, units[i].factor, &value))
            return -1;
    }
    *ret_value = value;
    return 0;
}

int units_parse_duration(const char *text, int64_t *ret_ns) {
    if (!strcmp(text, "0")) {
        *ret_ns = 0;
        return 0;
    }
    return parse_with_unit(text, durations, LENGTH(durations), ret_ns);
}

int units_parse_bytes(const char *text, int64_t *ret_bytes) {
    return parse_with_unit(text, sizes, LENGTH(sizes), ret_bytes);
}

int units_parse_boolean(const char *text, bool *ret_boolean) {
    if (strcmp(text, "true") && strcmp(text, "false"))
        return -1;
    *ret_boolean = *text == 't';
    return 0;
}

static void print_with_unit(char *out, size_t size, int64_t value, const struct unit *units, size_t n) {
    size_t i = n - 1;
    while (i && (value == 0 || value % units[i].factor))
        i--;
    snprintf(out, size, "%" PRId64 "%s", value / units[i].factor, units[i].name);
}

void units_print_duration(char *out, size_t size, int64_t ns) {
    if (ns == 0)
        snprintf(out, size, "0");
    else
        print_with_unit(out, size, ns, durations, LENGTH(durations));
}

void units_print_bytes(char *out, size_t size, int64_t bytes) {
    print_with_unit(out, size, bytes, sizes, LENGTH(sizes));
}
