#include "clients/forecast/timetext.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define NS 1000000000LL

static const char *const names[] = {
    [TIME_NONE] = "none",
    [TIME_EPOCH] = "epoch",
    [TIME_EPOCH_MS] = "epoch-ms",
    [TIME_EPOCH_US] = "epoch-us",
    [TIME_EPOCH_NS] = "ns",
    [TIME_ISO] = "iso",
    [TIME_US] = "us",
    [TIME_STRPTIME] = "strptime",
};

bool time_format_parse(const char *text, struct time_format *ret_format) {
    for (int kind = TIME_EPOCH; kind < TIME_STRPTIME; kind++)
        if (strcasecmp(text, names[kind]) == 0) {
            *ret_format = (struct time_format){.kind = (unsigned)kind};
            return true;
        }
    if (strcasecmp(text, "epoch-ns") == 0)
        *ret_format = (struct time_format){.kind = TIME_EPOCH_NS};
    else if (strchr(text, '%'))
        *ret_format = (struct time_format){.kind = TIME_STRPTIME, .pattern = text};
    else
        return false;
    return true;
}

const char *time_format_name(const struct time_format *format) {
    return format->kind == TIME_STRPTIME ? format->pattern : names[format->kind];
}

/* Reads exactly n digits. */
static bool digits(const char **at, int n, int *ret_value) {
    int value = 0;

    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return false;
        value = 10 * value + ((*at)[i] - '0');
    }
    *at += n;
    *ret_value = value;
    return true;
}

/* Reads the digits of a fraction behind its point, in units of 10^-places, cutting what is finer. */
static int64_t fraction(const char **at, int places) {
    int64_t value = 0;
    int n = 0;

    for (; isdigit((unsigned char)**at); (*at)++)
        if (n < places) {
            value = 10 * value + (**at - '0');
            n++;
        }
    for (; n < places; n++)
        value *= 10;
    return value;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
 * algorithms", days_from_civil). */
static int64_t days_since_epoch(int year, int month, int day) {
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static bool date_exists(int year, int month, int day) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1] + (leap && month == 2);
}

static bool to_ns(int64_t seconds, int64_t rest, int64_t *ret_t) {
    int64_t t;

    if (__builtin_mul_overflow(seconds, NS, &t) || __builtin_add_overflow(t, rest, &t))
        return false;
    *ret_t = t;
    return true;
}

/* What may follow a date: [(T| )HH:MM[:SS[.fraction]]][ ][Z|+HH[[:]MM]]. Adds it to seconds and *ret_rest. */
static bool time_of_day(const char **at, int64_t *seconds, int64_t *ret_rest) {
    int hour, minute, second = 0, zone_hour, zone_minute = 0;

    *ret_rest = 0;
    if ((**at != 'T' && **at != 't' && **at != ' ') || !isdigit((unsigned char)(*at)[1]))
        return true;
    (*at)++;
    if (!digits(at, 2, &hour) || *(*at)++ != ':' || !digits(at, 2, &minute))
        return false;
    if (**at == ':') {
        (*at)++;
        if (!digits(at, 2, &second))
            return false;
        if ((**at == '.' || **at == ',') && isdigit((unsigned char)(*at)[1])) {
            (*at)++;
            *ret_rest = fraction(at, 9);
        }
    }
    /* Second 60 is a leap second; 24:00 the end of a day. Both are the next one's first moment. */
    if (hour > 24 || minute > 59 || second > 60 || (hour == 24 && (minute || second)))
        return false;
    *seconds += hour * 3600 + minute * 60 + second;
    if (**at == ' ' && ((*at)[1] == '+' || (*at)[1] == '-' || (*at)[1] == 'Z'))
        (*at)++;
    if (**at == 'Z' || **at == 'z') {
        (*at)++;
    } else if (**at == '+' || **at == '-') {
        int sign = *(*at)++ == '-' ? -1 : 1;

        if (!digits(at, 2, &zone_hour))
            return false;
        if (**at == ':')
            (*at)++;
        if (isdigit((unsigned char)**at) && !digits(at, 2, &zone_minute))
            return false;
        *seconds -= sign * (zone_hour * 3600 + zone_minute * 60);
    }
    return true;
}

static bool parse_date(const char **at, bool us, int64_t *ret_t) {
    int year, month, day;
    int64_t seconds, rest;
    char separator;

    if (us) {
        /* 7/1/2016 is written as well as 07/01/2016. */
        if (!digits(at, isdigit((unsigned char)**at) && isdigit((unsigned char)(*at)[1]) ? 2 : 1, &month) ||
            *(*at)++ != '/' ||
            !digits(at, isdigit((unsigned char)**at) && isdigit((unsigned char)(*at)[1]) ? 2 : 1, &day) ||
            *(*at)++ != '/' || !digits(at, 4, &year))
            return false;
    } else {
        if (!digits(at, 4, &year))
            return false;
        separator = *(*at)++;
        if ((separator != '-' && separator != '/') || !digits(at, 2, &month) || *(*at)++ != separator ||
            !digits(at, 2, &day))
            return false;
    }
    if (!date_exists(year, month, day))
        return false;
    seconds = days_since_epoch(year, month, day) * 86400;
    return time_of_day(at, &seconds, &rest) && to_ns(seconds, rest, ret_t);
}

/* A number of units, with a fraction down to the ns. */
static bool parse_epoch(const char **at, int places, int64_t *ret_t) {
    int64_t whole = 0, rest = 0, unit = 1, t;
    bool negative = **at == '-';

    for (int i = 0; i < places; i++)
        unit *= 10;
    if (**at == '-' || **at == '+')
        (*at)++;
    if (!isdigit((unsigned char)**at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, **at - '0', &whole))
            return false;
    if (**at == '.') {
        (*at)++;
        rest = fraction(at, places);
    }
    if (__builtin_mul_overflow(whole, unit, &t) || __builtin_add_overflow(t, rest, &t))
        return false;
    *ret_t = negative ? -t : t;
    return true;
}

static bool parse_strptime(const char **at, const char *pattern, int64_t *ret_t) {
    struct tm parts = {.tm_mday = 1};
    const char *end = strptime(*at, pattern, &parts);

    if (!end)
        return false;
    *at = end;
    long zone = parts.tm_gmtoff; /* set by %z; timegm() clears it */
    return to_ns((int64_t)timegm(&parts) - zone, 0, ret_t);
}

bool time_text_parse(const struct time_format *format, const char *text, int64_t *ret_t) {
    const char *at = text + strspn(text, " \t");
    int64_t t = 0;
    bool read = false;

    switch (format->kind) {
    case TIME_EPOCH: read = parse_epoch(&at, 9, &t); break;
    case TIME_EPOCH_MS: read = parse_epoch(&at, 6, &t); break;
    case TIME_EPOCH_US: read = parse_epoch(&at, 3, &t); break;
    case TIME_EPOCH_NS: read = parse_epoch(&at, 0, &t); break;
    case TIME_ISO:
    case TIME_US: read = parse_date(&at, format->kind == TIME_US, &t); break;
    case TIME_STRPTIME: read = parse_strptime(&at, format->pattern, &t); break;
    case TIME_NONE: break;
    }
    if (!read || at[strspn(at, " \t")] != '\0')
        return false;
    *ret_t = t;
    return true;
}

bool time_format_detect(const char *text, struct time_format *ret_format) {
    static const struct time_format candidates[] = {{.kind = TIME_ISO},      {.kind = TIME_US},
                                                    {.kind = TIME_EPOCH},    {.kind = TIME_EPOCH_MS},
                                                    {.kind = TIME_EPOCH_US}, {.kind = TIME_EPOCH_NS}};
    const int64_t earliest = 473385600 * NS, latest = 7258118400 * NS; /* 1985, 2200 */
    int64_t t;

    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        bool number = candidates[i].kind >= TIME_EPOCH && candidates[i].kind <= TIME_EPOCH_NS;

        if (time_text_parse(&candidates[i], text, &t) && (!number || (t >= earliest && t < latest))) {
            *ret_format = candidates[i];
            return true;
        }
    }
    return false;
}
