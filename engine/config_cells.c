#include "engine/config_cells.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEYS = 64, MAX_PARTS = 16, MAX_PATH = 256 };

/* ---- the schema ------------------------------------------------------------------------------ */

struct schema {
    cyaml_schema_field_t fields[CONFIG_SECTIONS][MAX_KEYS + 1]; /* ended by a NULL key */
    cyaml_schema_value_t sections[CONFIG_SECTIONS];             /* mappings of these fields */
    cyaml_schema_value_t top;
};

static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static cyaml_schema_value_t mapping_value(const cyaml_schema_value_t *section, cyaml_flag_e flags) {
    cyaml_schema_value_t value = *section;
    value.flags = flags;
    return value;
}

static cyaml_schema_value_t list_value(const cyaml_schema_value_t *entry, size_t size, uint32_t min, uint32_t max) {
    return (cyaml_schema_value_t){
        .type = CYAML_SEQUENCE,
        .flags = CYAML_FLAG_POINTER,
        .data_size = (uint32_t)size,
        .sequence = {.entry = entry, .min = min, .max = max},
    };
}

static cyaml_schema_field_t make_field(const struct schema *schema, const struct config_key *key, int i) {
    const cyaml_schema_value_t *section = &schema->sections[key->holds];
    size_t offset = (size_t)i * sizeof(struct config_cell);
    cyaml_schema_field_t field = {
        .key = key->key,
        .data_offset = (uint32_t)(offset + offsetof(struct config_cell, p)),
        .count_offset = (uint32_t)(offset + offsetof(struct config_cell, n)),
        .count_size = sizeof(uint32_t),
    };
    if (key->type == CONFIG_MAPPING) /* one with nothing in it has its defaults */
        field.value = mapping_value(section, CYAML_FLAG_POINTER_NULL);
    else if (key->type == CONFIG_LIST)
        field.value = list_value(section, section->data_size, (uint32_t)key->min, (uint32_t)key->max);
    else if (key->type == CONFIG_TEXTS)
        field.value = list_value(&text_value, sizeof(char *), (uint32_t)key->min, (uint32_t)key->max);
    else if (key->type == CONFIG_NUMBERS)
        field.value = list_value(&text_value, sizeof(char *), 0, (uint32_t)(key->size / sizeof(double)));
    else
        field.value = text_value;
    if (!key->required)
        field.value.flags = (cyaml_flag_e)(field.value.flags | CYAML_FLAG_OPTIONAL);
    return field;
}

static void schema_init(struct schema *schema) {
    memset(schema, 0, sizeof *schema);
    for (int s = 0; s < CONFIG_SECTIONS; s++) {
        int n;
        config_table_keys((enum config_section)s, &n);
        schema->sections[s] = (cyaml_schema_value_t){
            .type = CYAML_MAPPING,
            .data_size = (uint32_t)((size_t)n * sizeof(struct config_cell)),
            .mapping = {.fields = schema->fields[s]},
        };
    }
    for (int s = 0; s < CONFIG_SECTIONS; s++) {
        int n;
        const struct config_key *keys = config_table_keys((enum config_section)s, &n);
        for (int i = 0; i < n && i < MAX_KEYS; i++)
            schema->fields[s][i] = make_field(schema, &keys[i], i);
    }
    schema->top = mapping_value(&schema->sections[CONFIG_TOP], CYAML_FLAG_POINTER);
}

/* ---- what libcyaml complains of --------------------------------------------------------------- */

/* The first message, and the backtrace that follows it: the parts of the key's path, innermost first. */
struct complaint {
    char message[256];
    struct {
        char key[64];   /* of a mapping; "" when it is not known */
        unsigned entry; /* of a list, from 1 */
    } parts[MAX_PARTS];
    int n_parts;
};

static void listen(cyaml_log_t level, void *ctx, const char *format, va_list args) {
    (void)level;
    struct complaint *complaint = ctx;
    char said[256];
    vsnprintf(said, sizeof said, format, args);
    said[strcspn(said, "\n")] = 0;
    if (*said == ' ') {
        if (complaint->n_parts == MAX_PARTS)
            return;
        int i = complaint->n_parts++;
        if (sscanf(said, " in mapping field '%63[^']'", complaint->parts[i].key) != 1)
            sscanf(said, " in sequence entry '%u'", &complaint->parts[i].entry);
    } else if (!*complaint->message && strcmp(said, "Load: Backtrace:")) {
        const char *colon = strstr(said, ": ");
        snprintf(complaint->message, sizeof complaint->message, "%s", colon ? colon + 2 : said);
    }
}

/* The path of the complaint without its innermost `skip` parts; last is a key to add, or NULL. */
static void make_path(char path[MAX_PATH], const struct complaint *complaint, int skip, const char *last) {
    size_t used = 0;
    *path = 0;
    for (int i = complaint->n_parts - 1; i >= skip && used < MAX_PATH; i--) {
        if (complaint->parts[i].entry)
            used += (size_t)snprintf(path + used, MAX_PATH - used, "[%u]", complaint->parts[i].entry - 1);
        else if (*complaint->parts[i].key)
            used += (size_t)snprintf(path + used, MAX_PATH - used, "%s%s", used ? "." : "", complaint->parts[i].key);
    }
    if (last && used < MAX_PATH)
        snprintf(path + used, MAX_PATH - used, "%s%.60s", used ? "." : "", last);
    for (char *c = path; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
}

/* The section that the innermost mapping of the complaint is. */
static enum config_section section_of(const struct complaint *complaint, int skip) {
    enum config_section section = CONFIG_TOP;
    for (int i = complaint->n_parts - 1; i >= skip; i--)
        if (*complaint->parts[i].key) {
            int n;
            const struct config_key *keys = config_table_keys(section, &n);
            section = keys[config_table_index(section, complaint->parts[i].key)].holds;
        }
    return section;
}

static int fail_unknown(const struct config_lines *lines, const struct complaint *complaint, const char *path,
                        struct error *err) {
    char known[768] = "";
    int n;
    const struct config_key *keys = config_table_keys(section_of(complaint, 1), &n);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", keys[i].key);
    }
    return config_lines_fail(lines, err, path, "not a key; here are %s", known);
}

static const char *kind_of(const char *cyaml_name) {
    if (!strncmp(cyaml_name, "MAP", 3))
        return "a mapping of keys";
    return !strncmp(cyaml_name, "SEQ", 3) ? "a list" : "a single value";
}

/* Turns a complaint into one sentence with file, line and key. */
static int fail(const struct config_lines *lines, const struct complaint *complaint, cyaml_err_t code,
                struct error *err) {
    char path[MAX_PATH], name[96], other[32];
    unsigned bound, entries;
    const char *said = complaint->message;
    make_path(path, complaint, 0, NULL);
    static const char unknown[] = "Unexpected key: "; /* the key may be empty */
    if (!strncmp(said, unknown, sizeof unknown - 1)) {
        const char *key = said + sizeof unknown - 1;
        make_path(path, complaint, 1, *key ? key : "\"\"");
        return fail_unknown(lines, complaint, path, err);
    }
    if (sscanf(said, "Missing required mapping field: %95s", name) == 1) {
        /* The innermost part is the last key of the mapping, which is not at fault. */
        make_path(path, complaint, 1, name);
        return config_lines_fail(lines, err, path, "missing; it has no default");
    }
    if (sscanf(said, "Mapping field already seen: %95s", name) == 1)
        return config_lines_fail(lines, err, path, "given a second time");
    if (sscanf(said, "Expecting %95[^,], got event: %31s", name, other) == 2)
        return config_lines_fail(lines, err, path, "must be %s, not %s", kind_of(name), kind_of(other));
    if (sscanf(said, "Insufficient entries (%u of %u min)", &entries, &bound) == 2) {
        make_path(path, complaint, 1, NULL);
        return config_lines_fail(lines, err, path, "has %u entries, needs at least %u", entries, bound);
    }
    if (sscanf(said, "Excessive entries (%u max)", &bound) == 1) {
        make_path(path, complaint, 1, NULL);
        return config_lines_fail(lines, err, path, "has more than %u entries", bound);
    }
    if (code == CYAML_ERR_INTERNAL_ERROR) { /* what it says, without a message, of `[a, b]: c` */
        make_path(path, complaint, 1, NULL);
        return config_lines_fail(lines, err, path, "has a key that is not plain text");
    }
    return config_lines_fail(lines, err, path, "%s", *said ? said : cyaml_strerror(code));
}

/* ---- loading ---------------------------------------------------------------------------------- */

static cyaml_config_t cyaml_setting(struct complaint *complaint) {
    return (cyaml_config_t){
        .log_fn = complaint ? listen : NULL,
        .log_ctx = complaint,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

struct config_cell *config_cells_load(const struct config_lines *lines, const uint8_t *text, size_t size,
                                      struct error *err) {
    struct schema schema;
    struct complaint complaint = {0};
    schema_init(&schema);
    cyaml_config_t setting = cyaml_setting(&complaint);
    cyaml_data_t *data = NULL;
    cyaml_err_t code = cyaml_load_data(text, size, &setting, &schema.top, &data, NULL);
    if (code != CYAML_OK) {
        fail(lines, &complaint, code, err);
        return NULL;
    }
    return data;
}

void config_cells_free(struct config_cell *cells) {
    struct schema schema;
    schema_init(&schema);
    cyaml_config_t setting = cyaml_setting(NULL);
    if (cells)
        cyaml_free(&setting, &schema.top, cells, 0);
}

void *config_cells_alloc(size_t size) {
    void *p = cyaml_mem(NULL, NULL, size);
    if (p)
        memset(p, 0, size);
    return p;
}
