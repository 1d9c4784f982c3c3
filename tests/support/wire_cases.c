#include "tests/support/wire_cases.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "wire_cases: %s\n", what);
    abort();
}

size_t bytes_of(const char *hex, void *ret_bytes, size_t size) {
    unsigned char *bytes = ret_bytes;
    size_t n = 0;
    for (const char *p = hex; *p; p++) {
        if (isspace((unsigned char)*p))
            continue;
        if (*p == '\'') {
            for (p++; *p != '\''; p++) {
                need(*p && n < size, "text in hex");
                bytes[n++] = (unsigned char)*p;
            }
            continue;
        }
        char digits[3] = {p[0], p[1], '\0'};
        need(isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1]) && n < size, "hex");
        bytes[n++] = (unsigned char)strtoul(digits, NULL, 16);
        p++;
    }
    return n;
}

/* ---- ticks -------------------------------------------------------------------------------- */

static char shown[64 * 1024];
static size_t shown_n;

__attribute__((format(printf, 1, 2))) static void show(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(shown + shown_n, sizeof(shown) - shown_n, format, arguments);
    va_end(arguments);
    need(n >= 0 && (size_t)n < sizeof(shown) - shown_n, "too much to show");
    shown_n += (size_t)n;
}

static void show_text(struct wire_text text) {
    show("%.*s", (int)text.n, text.n ? text.at : "");
}

static void show_tick(const struct wire_tick *tick) {
    show("%s", tick->lenient ? "~" : "");
    show_text(tick->stream);
    if (tick->has_time)
        show("@%lld", (long long)tick->t);
    else
        show("@-");
    if (tick->is_label) {
        need(tick->n_values == 0, "a label with values");
        show("=%lld", (long long)tick->label);
        return;
    }
    show(tick->named ? "{" : "[");
    for (int i = 0; i < tick->n_values; i++) {
        show("%s", i ? "," : "");
        if (tick->named) {
            show_text(tick->names[i]);
            show("=");
        }
        if (isnan(tick->values[i]))
            show("nil");
        else
            show("%.17g", tick->values[i]);
    }
    show(tick->named ? "}" : "]");
    if (tick->has_seq)
        show("#%llu", (unsigned long long)tick->seq);
}

struct copies {
    struct wire_text frames[4];
    size_t n;
};

static struct copies copy_frames(const struct wire_text *frames, size_t n_frames) {
    struct copies copies = {.n = n_frames};
    need(n_frames <= 4, "frames");
    for (size_t i = 0; i < n_frames; i++) {
        char *copy = malloc(frames[i].n ? frames[i].n : 1);
        need(copy != NULL, "memory");
        memcpy(copy, frames[i].at, frames[i].n);
        copies.frames[i] = (struct wire_text){copy, frames[i].n};
    }
    return copies;
}

static void free_frames(struct copies *copies) {
    for (size_t i = 0; i < copies->n; i++)
        free((void *)(uintptr_t)copies->frames[i].at);
}

const char *ticks_as_text(const struct wire_text *frames, size_t n_frames) {
    static struct wire_tick tick;
    struct wire_ticks ticks;
    struct copies copies = copy_frames(frames, n_frames);
    enum reason reason = wire_ticks_begin(&ticks, copies.frames, n_frames);
    int status;
    shown_n = 0;
    shown[0] = '\0';
    if (reason != REASON_NONE) {
        show("!!%s", reason_name(reason));
    } else {
        while ((status = wire_ticks_next(&ticks, &tick, &reason)) != 0) {
            show("%s", shown_n ? "; " : "");
            if (status > 0) {
                show_tick(&tick);
                continue;
            }
            show("!%s(", reason_name(reason));
            show_text(tick.stream);
            show(")");
        }
        need(wire_ticks_next(&ticks, &tick, &reason) == 0, "the end is not the end");
    }
    wire_ticks_end(&ticks);
    free_frames(&copies);
    return shown;
}

static void touch(struct wire_text text) {
    static volatile char last;
    for (size_t i = 0; i < text.n; i++)
        last = text.at[i];
    (void)last;
}

size_t ticks_walk(const struct wire_text *frames, size_t n_frames) {
    static struct wire_tick tick;
    struct wire_ticks ticks;
    struct copies copies = copy_frames(frames, n_frames);
    enum reason reason = wire_ticks_begin(&ticks, copies.frames, n_frames);
    size_t taken = 0, calls = 0, bytes = n_frames ? frames[n_frames - 1].n : 0;
    int status = 0;
    need((unsigned)reason < N_REASONS, "reason of a message");
    size_t count = reason == REASON_NONE ? wire_ticks_count(&ticks, &tick) : 0, passed = 0;
    need(count <= bytes, "more ticks claimed than bytes");
    while (reason == REASON_NONE && (status = wire_ticks_next(&ticks, &tick, &reason)) != 0) {
        need(++calls <= bytes + 1, "more ticks than bytes");
        /* Bytes behind the last tick are refused, and are none. */
        bool behind = passed == count;
        passed = wire_ticks_passed(&ticks, count, passed);
        need(behind ? status < 0 : passed >= calls && passed <= count, "number of a tick");
        touch(tick.stream);
        need(tick.stream.n == 0 || wire_name_valid(tick.stream), "name");
        if (status < 0) {
            need(reason > REASON_NONE && reason < N_REASONS, "reason of a tick");
            reason = REASON_NONE;
            continue;
        }
        need(tick.stream.n > 0 && (tick.has_time || tick.lenient), "a tick without name or time");
        need(tick.n_values >= 0 && tick.n_values <= WIRE_MAX_VALUES, "number of values");
        for (int i = 0; i < tick.n_values; i++) {
            need(!isinf(tick.values[i]), "infinite");
            if (tick.named)
                touch(tick.names[i]);
        }
        taken++;
    }
    need(passed == count, "number of ticks");
    wire_ticks_end(&ticks);
    free_frames(&copies);
    return taken;
}

/* ---- mutations ---------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) /* xorshift64 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t mutate_once(unsigned char *bytes, size_t n, size_t size, uint64_t *state) {
    static const unsigned char of_note[] = {0x00, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6,
                                            0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd8, 0xd9, 0xdb, 0xdc,
                                            0xdd, 0xde, 0xdf, 0xff, '"',  '\\', ',',  '=',  ' ',  '\n', '[',
                                            ']',  '{',  '}',  ':',  '#',  '.',  'e',  '-',  '0',  '9',  'i'};
    if (n == 0)
        return 0;
    size_t at = next(state) % n, from = next(state) % n;
    switch (next(state) % 6) {
    case 0: bytes[at] ^= (unsigned char)(1U << next(state) % 8); return n;
    case 1: bytes[at] = of_note[next(state) % sizeof(of_note)]; return n;
    case 2:
        if (n == size)
            return n;
        memmove(bytes + at + 1, bytes + at, n - at);
        bytes[at] = of_note[next(state) % sizeof(of_note)];
        return n + 1;
    case 3: memmove(bytes + at, bytes + at + 1, n - at - 1); return n - 1;
    case 4: bytes[at] = bytes[from]; return n;
    default: return next(state) % 4 == 0 ? at : n;
    }
}

size_t mutate(unsigned char *bytes, size_t n, size_t size, uint64_t *state) {
    for (uint64_t times = 1 + next(state) % 4; times > 0; times--)
        n = mutate_once(bytes, n, size, state);
    return n;
}

/* ---- the examples of PROTOCOL.md ---------------------------------------------------------- */

/* A line of a dump: hex in pairs, then perhaps two blanks and what they mean. */
static size_t dump_line(char *line, unsigned char *bytes, size_t size) {
    char *meaning = strstr(line, "  ");
    if (meaning)
        *meaning = '\0';
    return bytes_of(line, bytes, size);
}

size_t protocol_example(const char *name, void *ret_bytes, size_t size) {
    char line[256], wanted[128];
    size_t n = 0;
    bool here = false, dump = false;
    FILE *file = fopen("daemon/PROTOCOL.md", "r");
    need(file != NULL, "daemon/PROTOCOL.md cannot be opened: tests run in the top folder");
    snprintf(wanted, sizeof(wanted), "<!-- example: %s -->\n", name);
    while (fgets(line, sizeof(line), file)) {
        if (strcmp(line, wanted) == 0)
            here = true;
        else if (here && dump && strncmp(line, "```", 3) == 0)
            break;
        else if (here && strncmp(line, "```", 3) == 0)
            dump = true;
        else if (here && dump)
            n += dump_line(line, (unsigned char *)ret_bytes + n, size - n);
    }
    fclose(file);
    return n;
}
