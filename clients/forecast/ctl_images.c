#include "clients/forecast/ctl.h"

#include "clients/forecast/run.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *path, const char *why) {
    fprintf(stderr, "forecast ctl: %s: %s\n", path, why);
    return 1;
}

/* ---- export ------------------------------------------------------------------------------- */

/* The image of a stream as a line. Returns whether it is written. */
static bool write_image(struct forecast_control *control, const char *stream, FILE *file) {
    json_t *reply = ctl_ask(control, json_pack("{s:s, s:s}", "cmd", "export", "stream", stream));
    bool written =
        reply && json_dumpf(json_object_get(reply, "image"), file, JSON_COMPACT) == 0 && putc('\n', file) != EOF;

    json_decref(reply);
    return written;
}

/* What all names have that match: the pattern up to its first character that is none of a name's own. */
static char *prefix_of(const char *pattern) {
    return strndup(pattern, strcspn(pattern, "*?[\\"));
}

/* The streams of a page of names that match. */
static int export_page(struct forecast_control *control, const char *pattern, const json_t *names, FILE *file,
                       size_t *ret_written) {
    size_t i;
    const json_t *each;

    json_array_foreach(names, i, each) {
        const char *name = json_string_value(each);

        if (run_stopped() || !name || fnmatch(pattern, name, 0) != 0)
            continue;
        if (!write_image(control, name, file))
            return 1;
        ++*ret_written;
    }
    return 0;
}

/* Page by page of all that there are, in memory and on disk. */
static int export_to(struct forecast_control *control, const char *pattern, FILE *file, size_t *ret_written) {
    char *prefix = prefix_of(pattern);
    json_t *after = json_string("");
    int code = prefix ? 0 : 1;

    if (prefix && strcmp(prefix, pattern) == 0) { /* it is a name */
        json_decref(after);
        after = NULL;
        code = write_image(control, pattern, file) ? 0 : 1;
        *ret_written = code == 0;
    }

    while (code == 0 && after && !run_stopped()) {
        json_t *reply =
            ctl_ask(control, json_pack("{s:s, s:s, s:O}", "cmd", "names", "prefix", prefix, "after", after));

        code = reply ? export_page(control, pattern, json_object_get(reply, "names"), file, ret_written) : 1;
        json_decref(after);
        after = json_incref(json_object_get(reply, "after")); /* left out at the end */
        json_decref(reply);
    }
    json_decref(after);
    free(prefix);
    return code;
}

int ctl_export(struct forecast_control *control, const char *pattern, const char *path) {
    bool out = strcmp(path, "-") == 0;
    FILE *file = out ? stdout : fopen(path, "w");
    size_t written = 0;

    if (!file)
        return fail(path, strerror(errno));
    int code = export_to(control, pattern, file, &written);
    if (fflush(file) != 0 || ferror(file) || (!out && fclose(file) != 0))
        return fail(path, strerror(errno));
    if (code == 0 && written == 0)
        return fail(pattern, "no stream has such a name");
    fprintf(stderr, "%zu streams\n", written);
    return code;
}

/* ---- import ------------------------------------------------------------------------------- */

static int import_from(struct forecast_control *control, const char *path, FILE *file, bool reprime) {
    char *line = NULL;
    size_t size = 0, number = 0;
    int code = 0;

    while (code == 0 && !run_stopped() && getline(&line, &size, file) > 0) {
        json_error_t wrong;
        json_t *image = json_loads(line, 0, &wrong);

        number++;
        if (!image) {
            fprintf(stderr, "forecast ctl: %s:%zu: %s\n", path, number, wrong.text);
            code = 1;
            break;
        }
        json_t *reply =
            ctl_ask(control, json_pack("{s:s, s:o, s:b}", "cmd", "import", "image", image, "reprime", reprime));
        code = reply ? 0 : 1;
        json_decref(reply);
    }
    free(line);
    fprintf(stderr, "%zu streams\n", code ? number - 1 : number);
    return code;
}

int ctl_import(struct forecast_control *control, const char *path, bool reprime) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");

    if (!file)
        return fail(path, strerror(errno));
    int code = import_from(control, path, file, reprime);
    if (file != stdin)
        fclose(file);
    return code;
}
