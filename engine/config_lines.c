#include "engine/config_lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* The deepest value of a valid file is at 5; libyaml's time grows with the square of the depth. */
enum { MAX_DEPTH = 16 };

struct config_lines {
    char *path;
    char file[128]; /* its end, where it is long, so that err->text has room for the sentence */
    yaml_document_t document;
};

const char *config_quote(char out[CONFIG_QUOTED], const char *value) {
    size_t room = CONFIG_QUOTED - sizeof "\"...\"";
    size_t n = strlen(value);
    bool cut = n > room;
    if (cut)
        for (n = room; n && ((unsigned char)value[n] & 0xc0) == 0x80; n--)
            ; /* not within a character of UTF-8 */
    int used = snprintf(out, CONFIG_QUOTED, "\"%.*s%s\"", (int)n, value, cut ? "..." : "");
    for (int i = 0; i < used; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 127)
            out[i] = '?';
    return out;
}

static int fail_at(const struct config_lines *lines, struct error *err, size_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Sets err to "FILE:LINE: " and the formatted sentence; line 0 is left out. Returns -1. */
static int fail_at(const struct config_lines *lines, struct error *err, size_t line, const char *format, ...) {
    char number[24] = "";
    if (line)
        snprintf(number, sizeof number, ":%zu", line);
    struct error said;
    va_list args;
    va_start(args, format);
    vsnprintf(said.text, sizeof said.text, format, args);
    va_end(args);
    error_set(err, "%s", said.text);
    return error_prefix(err, "%s%s", lines->file, number);
}

/* libyaml's own words, with the line; for bytes that are not text it tells only their offset. */
static int fail_parser(const struct config_lines *lines, const yaml_parser_t *parser, const uint8_t *text,
                       size_t size, struct error *err) {
    if (parser->error == YAML_READER_ERROR) {
        size_t line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < size; i++)
            line += text[i] == '\n';
        return fail_at(lines, err, line, "not a text file: %s", parser->problem);
    }
    size_t line = parser->problem_mark.line + 1;
    const char *problem = parser->problem ? parser->problem : "out of memory";
    if (!parser->context)
        return fail_at(lines, err, line, "not YAML: %s", problem);
    return fail_at(lines, err, line, "not YAML: %s, %s from line %zu", problem, parser->context,
                   parser->context_mark.line + 1);
}

/* Judges one event; *depth and *documents are counted. */
static int judge(const struct config_lines *lines, const yaml_event_t *event, int *depth, int *documents,
                 struct error *err) {
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1)
            return fail_at(lines, err, line, "a second YAML document begins here; one is read");
        return 0;
    case YAML_ALIAS_EVENT:
        return fail_at(lines, err, line, "the alias *%.60s: aliases are not supported", event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length))
            return fail_at(lines, err, line, "a value with a NUL character");
        return 0;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (++*depth > MAX_DEPTH)
            return fail_at(lines, err, line, "nested deeper than %d levels", MAX_DEPTH);
        return 0;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: --*depth; return 0;
    default: return 0;
    }
}

static int judge_all(const struct config_lines *lines, const uint8_t *text, size_t size, struct error *err) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return fail_at(lines, err, 0, "out of memory");
    yaml_parser_set_input_string(&parser, text, size);
    int depth = 0, documents = 0, failed = 0;
    for (bool end = false; !end && !failed;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            failed = fail_parser(lines, &parser, text, size, err);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        failed = judge(lines, &event, &depth, &documents, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (!failed && documents == 0)
        failed = fail_at(lines, err, 0, "the file is empty");
    return failed;
}

struct config_lines *config_lines_new(const char *file, const uint8_t *text, size_t size, struct error *err) {
    struct config_lines *lines = calloc(1, sizeof *lines);
    if (!lines) {
        error_set(err, "out of memory");
        return NULL;
    }
    lines->path = strdup(file);
    if (!lines->path)
        goto no_memory;
    size_t length = strlen(file), room = sizeof lines->file - sizeof "...";
    if (length > room)
        snprintf(lines->file, sizeof lines->file, "...%s", file + length - room);
    else
        snprintf(lines->file, sizeof lines->file, "%s", file);
    if (judge_all(lines, text, size, err))
        goto free_lines;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        goto no_memory;
    yaml_parser_set_input_string(&parser, text, size);
    int loaded = yaml_parser_load(&parser, &lines->document);
    yaml_parser_delete(&parser);
    if (loaded)
        return lines;
no_memory: /* what else could fail has been judged */
    error_set(err, "out of memory");
free_lines:
    free(lines->path);
    free(lines);
    return NULL;
}

void config_lines_free(struct config_lines *lines) {
    if (!lines)
        return;
    yaml_document_delete(&lines->document);
    free(lines->path);
    free(lines);
}

const char *config_lines_file(const struct config_lines *lines) {
    return lines->path;
}

/* The value of a key of a mapping, the last one where it stands twice; its line is the key's. */
static yaml_node_t *find_key(yaml_document_t *document, const yaml_node_t *mapping, const char *key, size_t n,
                             size_t *line) {
    yaml_node_t *value = NULL;
    if (mapping->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        yaml_node_t *node = yaml_document_get_node(document, pair->key);
        if (node->type != YAML_SCALAR_NODE || node->data.scalar.length != n ||
            memcmp(node->data.scalar.value, key, n))
            continue;
        value = yaml_document_get_node(document, pair->value);
        *line = node->start_mark.line + 1;
    }
    return value;
}

static yaml_node_t *find_entry(yaml_document_t *document, const yaml_node_t *sequence, long index, size_t *line) {
    if (sequence->type != YAML_SEQUENCE_NODE)
        return NULL;
    long n = sequence->data.sequence.items.top - sequence->data.sequence.items.start;
    if (index < 0 || index >= n)
        return NULL;
    yaml_node_t *node = yaml_document_get_node(document, sequence->data.sequence.items.start[index]);
    *line = node->start_mark.line + 1;
    return node;
}

/* The node at the path, or NULL; *line is that of the deepest part that is there, 0 for none. */
static yaml_node_t *find(const struct config_lines *lines, const char *path, size_t *line) {
    /* libyaml's getters do not change the document, but ask for one that is not const. */
    yaml_document_t *document = (yaml_document_t *)&lines->document;
    yaml_node_t *node = yaml_document_get_root_node(document);
    *line = 0;
    while (node && *path) {
        if (*path == '[') {
            char *end;
            node = find_entry(document, node, strtol(path + 1, &end, 10), line);
            path = end + (*end == ']');
        } else {
            path += *path == '.';
            /* An unknown key may itself have a . or [, and is the last of its path. */
            yaml_node_t *last = find_key(document, node, path, strlen(path), line);
            if (last)
                return last;
            size_t n = strcspn(path, ".[");
            node = find_key(document, node, path, n, line);
            path += n;
        }
    }
    return node;
}

bool config_lines_has(const struct config_lines *lines, const char *path) {
    size_t line;
    return find(lines, path, &line) != NULL;
}

int config_lines_fail(const struct config_lines *lines, struct error *err, const char *path, const char *format,
                      ...) {
    struct error said;
    va_list args;
    va_start(args, format);
    vsnprintf(said.text, sizeof said.text, format, args);
    va_end(args);
    size_t line;
    find(lines, path, &line);
    return *path ? fail_at(lines, err, line, "%s: %s", path, said.text) : fail_at(lines, err, line, "%s", said.text);
}
