/*
 * Ticks from InfluxDB's line protocol:
 *
 *     measurement[,tag=value...] field=value[,field=value...] [time]
 *
 * The stream is the measurement and then "/value" of each tag. What has escapes is unescaped into a copy,
 * at the place where its line stands in the message: it never gets longer than it was, and so the views
 * of all ticks stay good until the end.
 */
#include "daemon/wire_forms.h"
#include "daemon/wire_pack.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_NUMBER = 64 }; /* characters of a number */

struct line {
    const char *at, *end; /* what has not been read of the line */
    char *out;            /* where unescaped text goes */
};

enum reason wire_lines_begin(struct wire_ticks *ticks) {
    ticks->unescaped = malloc((size_t)(ticks->end - ticks->at));
    ticks->left = (size_t)(ticks->end - ticks->at); /* bytes here: tells where in the copy a line begins */
    return ticks->unescaped ? REASON_NONE : REASON_NO_MEMORY;
}

static const char *line_start(const char *at, const char *end) {
    while (at < end && (*at == '\n' || *at == '\r' || *at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* The end of the line that begins at: the first line break outside the quotes of a field's string. */
static const char *line_end(const char *at, const char *end) {
    bool fields = false, quoted = false, value = false; /* value: a field's value begins here */
    for (const char *p = at; p < end; p++) {
        if (*p == '\n' && !quoted)
            return p;
        if (*p == '"' && (quoted || value))
            quoted = !quoted;
        value = fields && *p == '=';
        if (*p == '\\' && p + 1 < end && p[1] != '\n')
            p++;
        else if (*p == ' ')
            fields = true;
    }
    return end;
}

static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

/* Text up to one of the stops or the line's end, copied to out without the backslashes before escapable
 * characters; any other backslash is itself. */
static struct wire_text read_text(struct line *line, const char *stops, const char *escapable) {
    char *out = line->out;
    while (line->at < line->end && !is_one_of(*line->at, stops)) {
        if (*line->at == '\\' && line->at + 1 < line->end && is_one_of(line->at[1], escapable))
            line->at++;
        *out++ = *line->at++;
    }
    struct wire_text text = {line->out, (size_t)(out - line->out)};
    line->out = out;
    return text;
}

static bool take(struct line *line, char c) {
    if (line->at == line->end || *line->at != c)
        return false;
    line->at++;
    return true;
}

/* Takes the measurement and the tags. The tags' keys are passed over, so that with each "/value" the name
 * is still shorter than what it was read from. */
static enum reason read_stream(struct line *line, struct wire_tick *tick) {
    struct wire_text name = read_text(line, ", ", ", ");
    if (name.n == 0)
        return REASON_MALFORMED;
    while (take(line, ',')) {
        char *end_of_name = line->out;
        struct wire_text key = read_text(line, ",= ", ",= ");
        line->out = end_of_name;
        if (key.n == 0 || !take(line, '='))
            return REASON_MALFORMED;
        *line->out++ = '/';
        struct wire_text value = read_text(line, ",= ", ",= ");
        if (value.n == 0)
            return REASON_MALFORMED;
        name.n += 1 + value.n;
    }
    if (!take(line, ' '))
        return REASON_MALFORMED;
    if (!wire_name_valid(name))
        return REASON_NAME;
    tick->stream = name;
    return REASON_NONE;
}

/* Passes over a quoted string. False when it does not end. */
static bool skip_string(struct line *line) {
    line->at++;
    while (line->at < line->end && *line->at != '"')
        line->at += *line->at == '\\' && line->at + 1 < line->end ? 2 : 1;
    return take(line, '"');
}

static bool parse_boolean(struct wire_text text, double *ret_value) {
    static const char *const words[2][5] = {
        {"f", "F", "false", "False", "FALSE"},
        {"t", "T", "true", "True", "TRUE"},
    };
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 5; i++) {
            if (wire_text_is(text, words[value][i], strlen(words[value][i]))) {
                *ret_value = value;
                return true;
            }
        }
    }
    return false;
}

/* The integer of text, which ends with its i or u. */
static bool parse_integer(const char *text, char kind, double *ret_value) {
    char *end;
    errno = 0;
    if (kind == 'i')
        *ret_value = (double)strtoll(text, &end, 10);
    else if (text[0] != '-')
        *ret_value = (double)strtoull(text, &end, 10);
    else
        return false;
    return errno == 0 && end != text && end[0] == kind && end[1] == '\0';
}

/* Only what the protocol's grammar has: no hexadecimal, no words. The process keeps the C locale's point. */
static enum reason parse_number(struct wire_text text, double *ret_value) {
    char copy[MAX_NUMBER + 1], *end;
    if (text.n == 0)
        return REASON_MALFORMED;
    if (text.n > MAX_NUMBER)
        return REASON_VALUE;
    memcpy(copy, text.at, text.n);
    copy[text.n] = '\0';
    char last = copy[text.n - 1];
    if (strspn(copy, "0123456789+-.eE") < text.n - (last == 'i' || last == 'u'))
        return REASON_VALUE;
    if (last == 'i' || last == 'u')
        return parse_integer(copy, last, ret_value) ? REASON_NONE : REASON_VALUE;
    *ret_value = strtod(copy, &end);
    if (end == copy || *end != '\0')
        return REASON_VALUE;
    return isinf(*ret_value) ? REASON_INFINITE : REASON_NONE;
}

static enum reason read_field(struct line *line, struct wire_tick *tick) {
    struct wire_text name = read_text(line, ",= ", ",= ");
    if (name.n == 0 || !take(line, '='))
        return REASON_MALFORMED;
    if (line->at < line->end && *line->at == '"')
        return skip_string(line) ? REASON_NONE : REASON_MALFORMED;
    struct wire_text text = {line->at, 0};
    while (line->at < line->end && *line->at != ',' && *line->at != ' ')
        line->at++;
    text.n = (size_t)(line->at - text.at);
    double value;
    if (!parse_boolean(text, &value)) {
        enum reason reason = parse_number(text, &value);
        if (reason != REASON_NONE)
            return reason;
    }
    if (tick->n_values == WIRE_MAX_VALUES)
        return REASON_FEATURES;
    tick->names[tick->n_values] = name;
    tick->values[tick->n_values++] = value;
    return REASON_NONE;
}

static enum reason read_time(struct line *line, struct wire_tick *tick) {
    char copy[MAX_NUMBER + 1], *end;
    while (take(line, ' '))
        ;
    size_t n = (size_t)(line->end - line->at);
    if (n == 0)
        return REASON_NONE;
    if (n > MAX_NUMBER)
        return REASON_TIME;
    memcpy(copy, line->at, n);
    copy[n] = '\0';
    errno = 0;
    tick->t = strtoll(copy, &end, 10);
    tick->has_time = errno == 0 && end == copy + n && (copy[0] == '-' || (copy[0] >= '0' && copy[0] <= '9'));
    return tick->has_time ? REASON_NONE : REASON_TIME;
}

static enum reason read_line(struct line *line, struct wire_tick *tick) {
    enum reason reason = read_stream(line, tick);
    if (reason != REASON_NONE)
        return reason;
    tick->named = tick->lenient = true;
    while (take(line, ' '))
        ;
    do {
        reason = read_field(line, tick);
        if (reason != REASON_NONE)
            return reason;
    } while (take(line, ','));
    if (line->at < line->end && *line->at != ' ')
        return REASON_MALFORMED;
    return read_time(line, tick);
}

int wire_lines_next(struct wire_ticks *ticks, struct wire_tick *ret_tick, enum reason *ret_reason) {
    wire_tick_clear(ret_tick, ticks->stream);
    const char *begin = ticks->end - ticks->left;
    for (;;) {
        ticks->at = line_start(ticks->at, ticks->end);
        if (ticks->at == ticks->end)
            return 0;
        if (*ticks->at != '#')
            break;
        const char *comment_end = memchr(ticks->at, '\n', (size_t)(ticks->end - ticks->at));
        ticks->at = comment_end ? comment_end : ticks->end;
    }
    const char *end = line_end(ticks->at, ticks->end);
    struct line line = {ticks->at, end, ticks->unescaped + (ticks->at - begin)};
    ticks->at = end;
    while (line.end > line.at && (line.end[-1] == '\r' || line.end[-1] == ' '))
        line.end--;
    *ret_reason = read_line(&line, ret_tick);
    return *ret_reason == REASON_NONE ? 1 : -1;
}
