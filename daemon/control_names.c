/* The names of all streams that there are: those in memory, and those that are on disk only. */
#include "daemon/control_internal.h"

#include "daemon/returns.h"
#include "daemon/wire.h"

#include <stdlib.h>
#include <string.h>

/* The names of the page in memory. NULL: no memory. */
static json_t *names_in_memory(const struct control *control, const struct page *page, bool *ret_more) {
    int n;
    const struct stream **streams = control_streams_in(control, page, &n, ret_more);
    json_t *names = streams != NULL ? json_array() : NULL;
    for (int i = 0; names != NULL && i < n; i++)
        json_array_append_new(names, json_string(streams[i]->name));
    free(streams);
    return names;
}

/* A page of names that others are put into. */
struct named {
    const struct page *page;
    json_t *names;
    bool more;
};

static void add_imported(void *context, const char *name, size_t n) {
    struct named *named = context;
    size_t size = json_array_size(named->names), at = 0;
    char text[WIRE_MAX_NAME + 1];
    memcpy(text, name, n);
    text[n] = '\0';
    if (strncmp(text, named->page->prefix, strlen(named->page->prefix)) != 0 || strcmp(text, named->page->after) <= 0)
        return;
    while (at < size && strcmp(json_string_value(json_array_get(named->names, at)), text) < 0)
        at++;
    if (named->more && at == size)
        return; /* of the next page */
    json_array_insert_new(named->names, at, json_string(text));
    if (size == (size_t)named->page->limit) {
        json_array_remove(named->names, size);
        named->more = true;
    }
}

/* The same with those that have been imported, and are not there yet. */
static json_t *names_here(const struct control *control, const struct page *page, bool *ret_more) {
    struct named named = {.page = page, .names = names_in_memory(control, page, &named.more)};
    if (named.names != NULL)
        returns_each_imported(control->setup.returns, add_imported, &named);
    *ret_more = named.more;
    return named.names;
}

/* after: behind which further names come; NULL: there are none. */
static json_t *reply_of(json_t *names, const char *after) {
    json_t *reply = json_pack("{s:b, s:o, s:b}", "ok", 1, "names", names, "more", after != NULL);
    if (after != NULL)
        json_object_set_new(reply, "after", json_string(after));
    return reply;
}

static const char *last_of(const json_t *names) {
    size_t n = json_array_size(names);
    return n > 0 ? json_string_value(json_array_get(names, n - 1)) : NULL;
}

/* Two pages in the order of names as one. What comes behind the end of either is left to the next page. */
static json_t *merge(const json_t *memory, bool memory_more, const struct stored *disk, int limit) {
    const char *on_disk = disk->bytes, *after = memory_more ? last_of(memory) : NULL;
    json_t *names = json_array();
    size_t in_memory = 0;
    int left = disk->page.n;
    const char *end = disk->bytes; /* of the disk's page */
    for (int i = 0; i < left; i++)
        end += strlen(end) + 1;
    if (disk->page.more && (after == NULL || strcmp(end, after) < 0))
        after = end;
    const char *bound = after;
    for (;;) {
        const char *a = json_string_value(json_array_get(memory, in_memory)), *b = left > 0 ? on_disk : NULL;
        const char *next = a == NULL || (b != NULL && strcmp(b, a) < 0) ? b : a;
        if (next == NULL || (bound != NULL && strcmp(next, bound) > 0))
            break;
        if (json_array_size(names) == (size_t)limit) {
            after = last_of(names);
            break;
        }
        json_array_append_new(names, json_string(next));
        in_memory += a != NULL && strcmp(a, next) == 0;
        if (b != NULL && strcmp(b, next) == 0) {
            on_disk += strlen(on_disk) + 1;
            left--;
        }
    }
    return reply_of(names, after);
}

/* What the journal's tail brings back goes first; then what is in memory, and, when the store has all that had begun to
 * leave by then, the names there: so none is missed that is on its way. */
static bool go_on_naming(struct control *control, struct waiting *waiting, struct stored *answer) {
    struct returns *returns = control->setup.returns;
    struct page page;
    control_read_page(waiting->request, &page); /* it was good before */
    if (!waiting->begun && !returns_has_tail(returns)) {
        waiting->begun = true;
        waiting->memory = names_here(control, &page, &waiting->more);
        waiting->leaving = returns_leavings(returns);
    }
    json_t *reply = NULL;
    if (answer != NULL)
        reply = answer->found == STORED_NAMES ? merge(waiting->memory, waiting->more, answer, page.limit)
                                              : control_failure("degraded", answer->err.text);
    else if (waiting->begun && waiting->memory == NULL)
        reply = control_no_memory();
    else if (waiting->begun && returns_left_until(returns) >= waiting->leaving)
        waiting->asked = returns_look_for_names(returns, page.prefix, page.after, page.limit, waiting->number);
    else if (store_degraded(control->setup.store))
        reply = control_failure("degraded", "streams are on their way, and the disk fails: try again");
    return control_done(control, waiting, answer, reply);
}

json_t *control_names(struct control *control, const json_t *request) {
    struct page page;
    json_t *failed = control_read_page(request, &page);
    if (failed == NULL && (strlen(page.prefix) > WIRE_MAX_NAME || strlen(page.after) > WIRE_MAX_NAME))
        failed = control_failure("argument", "prefix and after are longer than a name");
    if (failed != NULL)
        return failed;
    if (control->setup.returns != NULL)
        return control_wait(control, request, go_on_naming);
    bool more;
    json_t *names = names_in_memory(control, &page, &more);
    return names != NULL ? reply_of(names, more ? last_of(names) : NULL) : control_no_memory();
}
