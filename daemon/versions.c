#include "daemon/versions.h"

#include "daemon/errand.h"
#include "daemon/log.h"
#include "daemon/versions_champion.h"
#include "engine/whole_file.h"
#include "engine/version_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MOST = 200 };

/* From which order of the journal on a version serves somebody. */
struct named {
    uint64_t number, order;
};

/* Versions that were published or loaded lately, with references; any thread. */
enum { LOADED_MOST = 4 };
struct loaded {
    pthread_mutex_t lock;
    struct version *versions[LOADED_MOST]; /* NULL: none yet */
    int next;                              /* whose place is taken next */
};

struct model_versions {
    char *folder, *made_for;
    struct loaded *loaded;
    struct named *named; /* [n_named] ascending: the first is the one that served where the journal begins */
    int n_named, room;
};

struct versions {
    const struct config *config;
    char folder[4200];
    struct model_versions *models; /* [n_models] */

    /* What is being published: the errand's until it is done. */
    struct errand errand;
    struct versions_record record;
    uint64_t least; /* files with lower numbers may go */
    struct versions_result result;
};

/* ---- names -------------------------------------------------------------------------------------- */

/* The name of a model as that of a folder: never "~", nor a dot first. A long one is cut, and told from others by its
 * sum. */
static void folder_name(const char *name, char ret[NAME_MOST + 32]) {
    size_t used = 0;
    uint64_t sum = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *c = name; *c != '\0'; c++) {
        sum = (sum ^ (unsigned char)*c) * UINT64_C(1099511628211);
        bool plain = isalnum((unsigned char)*c) || *c == '-' || *c == '_' || (*c == '.' && c != name);
        if (used + 3 <= NAME_MOST)
            used += (size_t)sprintf(ret + used, plain ? "%c" : "%%%02X", plain ? *c : (unsigned char)*c);
        else
            used = NAME_MOST + 1;
    }
    if (used > NAME_MOST)
        sprintf(ret + NAME_MOST - 3, "%%%%%016" PRIX64, sum);
}

static void path_of_version(const struct versions *versions, int m, uint64_t number, char path[VERSIONS_PATH]) {
    snprintf(path, VERSIONS_PATH, "%s/%" PRIu64 ".version", versions->models[m].folder, number);
}

void versions_set_aside(const char *path, char ret_kept[VERSIONS_PATH]) {
    int n = 1;
    do
        snprintf(ret_kept, VERSIONS_PATH, "%s~%d", path, n);
    while (access(ret_kept, F_OK) == 0 && n++ < 10000);
    if (rename(path, ret_kept) != 0)
        log_error("versions: cannot rename %s: %s", path, strerror(errno));
}

/* Whether it is the file of a version: its number. Those that were set aside count, too. */
static bool is_version(const char *name, uint64_t *ret_number, bool *ret_whole) {
    int used = 0;
    if (!isdigit((unsigned char)name[0]) || sscanf(name, "%" SCNu64 ".version%n", ret_number, &used) != 1 ||
        used == 0)
        return false;
    *ret_whole = name[used] == '\0';
    return *ret_whole || name[used] == '~';
}

/* ---- what is in memory -------------------------------------------------------------------------- */

/* Takes a reference. NULL is fine. */
static void remember(struct loaded *loaded, struct version *version) {
    if (version == NULL)
        return;
    pthread_mutex_lock(&loaded->lock);
    struct version *left = loaded->versions[loaded->next];
    loaded->versions[loaded->next] = version_acquire(version);
    loaded->next = (loaded->next + 1) % LOADED_MOST;
    pthread_mutex_unlock(&loaded->lock);
    version_release(left);
}

/* A new reference, or NULL. */
static struct version *recall(struct loaded *loaded, uint64_t number) {
    struct version *found = NULL;
    pthread_mutex_lock(&loaded->lock);
    for (int i = 0; i < LOADED_MOST && found == NULL; i++)
        if (loaded->versions[i] != NULL && version_number(loaded->versions[i]) == number)
            found = version_acquire(loaded->versions[i]);
    pthread_mutex_unlock(&loaded->lock);
    return found;
}

static void loaded_free(struct loaded *loaded) {
    if (loaded == NULL)
        return;
    for (int i = 0; i < LOADED_MOST; i++)
        version_release(loaded->versions[i]);
    pthread_mutex_destroy(&loaded->lock);
    free(loaded);
}

/* ---- a folder ----------------------------------------------------------------------------------- */

/* Numbers of the versions in a folder, descending. */
struct numbers {
    uint64_t *at;
    size_t n, room;
    uint64_t highest; /* of those set aside, too */
};

static int descending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

static int add_number(struct numbers *numbers, uint64_t number) {
    if (numbers->n == numbers->room) {
        size_t room = numbers->room == 0 ? 32 : 2 * numbers->room;
        uint64_t *at = realloc(numbers->at, room * sizeof *at);
        if (at == NULL)
            return -1;
        numbers->at = at;
        numbers->room = room;
    }
    numbers->at[numbers->n++] = number;
    return 0;
}

/* Free with free(numbers->at). Returns -1 with the sentence in err. */
static int list_numbers(const char *folder, struct numbers *numbers, struct error *err) {
    DIR *open = opendir(folder);
    if (open == NULL)
        return error_set(err, "%s: %s", folder, strerror(errno));
    int failed = 0;
    const struct dirent *entry;
    while (failed == 0 && (errno = 0, entry = readdir(open)) != NULL) {
        uint64_t number;
        bool whole;
        if (!is_version(entry->d_name, &number, &whole))
            continue;
        numbers->highest = number > numbers->highest ? number : numbers->highest;
        failed = whole ? add_number(numbers, number) : 0;
    }
    if (failed != 0 || errno != 0)
        failed = error_set(err, "%s: %s", folder, strerror(failed != 0 ? ENOMEM : errno));
    closedir(open);
    if (numbers->n > 0)
        qsort(numbers->at, numbers->n, sizeof *numbers->at, descending);
    return failed;
}

/* The highest number of a model, also in folders of it that were set aside. */
static int find_highest(const struct versions *versions, int m, uint64_t *ret_highest, struct error *err) {
    const char *name = strrchr(versions->models[m].folder, '/') + 1;
    size_t n = strlen(name);
    DIR *open = opendir(versions->folder);
    if (open == NULL)
        return error_set(err, "%s: %s", versions->folder, strerror(errno));
    int failed = 0;
    struct numbers numbers = {0};
    for (const struct dirent *entry; failed == 0 && (entry = readdir(open)) != NULL;) {
        char path[VERSIONS_PATH];
        if (strncmp(entry->d_name, name, n) != 0 || (entry->d_name[n] != '\0' && entry->d_name[n] != '~'))
            continue;
        snprintf(path, sizeof path, "%s/%s", versions->folder, entry->d_name);
        failed = list_numbers(path, &numbers, err);
    }
    closedir(open);
    free(numbers.at);
    *ret_highest = numbers.highest;
    return failed;
}

/* What was being written when the daemon was stopped in the midst of it. */
static void remove_unfinished(const char *folder) {
    DIR *open = opendir(folder);
    const size_t n = sizeof WHOLE_FILE_UNFINISHED - 1;
    for (const struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length > n && strcmp(entry->d_name + length - n, WHOLE_FILE_UNFINISHED) == 0)
            unlinkat(dirfd(open), entry->d_name, 0);
    }
    if (open != NULL)
        closedir(open);
}

/* ---- at the start ------------------------------------------------------------------------------- */

static const char *name_of(const struct versions *versions, int m) {
    return versions->config->models[m].name;
}

static int refuse(const struct versions *versions, int m, enum version_file why, struct error *err) {
    if (why == VERSION_FILE_NEWER)
        return error_set(err,
                         "model %s: its versions in %s are of a later forecastd; run that one, or move the folder "
                         "away and the model begins anew",
                         name_of(versions, m), versions->models[m].folder);
    return error_prefix(err, "model %s: its versions cannot be read", name_of(versions, m));
}

/*
 * A version's file. What is damaged is set aside and told. Returns 0, *ret_version being NULL where there is none that
 * can be used; -1 with the sentence.
 */
static int find_version(const struct versions *versions, int m, uint64_t number, struct version **ret_version,
                        struct error *err) {
    char path[VERSIONS_PATH], kept[VERSIONS_PATH];
    const struct model_versions *of = &versions->models[m];
    *ret_version = NULL;
    path_of_version(versions, m, number, path);
    enum version_file got =
        version_file_read(path, &versions->config->models[m], of->made_for, ret_version, NULL, err);
    switch (got) {
    case VERSION_FILE_READ: return 0;
    case VERSION_FILE_NEWER:
    case VERSION_FILE_FAILED: return refuse(versions, m, got, err);
    case VERSION_FILE_DAMAGED:
        versions_set_aside(path, kept);
        log_error("model %s: version %" PRIu64 " cannot be used: %s; the file is kept as %s", name_of(versions, m),
                  number, err->text, kept);
        return 0;
    default:
        log_error("model %s: version %" PRIu64 " cannot be used: %s", name_of(versions, m), number, err->text);
        return 0;
    }
}

/* The whole version with the highest number below that one; NULL: none. */
static int find_below(const struct versions *versions, int m, uint64_t below, struct version **ret_version,
                      struct error *err) {
    struct numbers numbers = {0};
    int failed = list_numbers(versions->models[m].folder, &numbers, err);
    *ret_version = NULL;
    for (size_t i = 0; failed == 0 && *ret_version == NULL && i < numbers.n; i++)
        if (numbers.at[i] < below)
            failed = find_version(versions, m, numbers.at[i], ret_version, err);
    free(numbers.at);
    return failed;
}

/* Nobody knows who served: the latest versions that are whole. */
static int find_latest(struct versions *versions, int m, struct versions_found *found, struct error *err) {
    if (find_below(versions, m, UINT64_MAX, &found->champion, err) != 0)
        return -1;
    if (found->champion == NULL || find_below(versions, m, version_number(found->champion), &found->before, err) == 0)
        return 0;
    version_release(found->champion);
    return -1;
}

/* The champion, or where it is not whole its predecessor. */
static int find_named(struct versions *versions, int m, const struct champion *champion, struct versions_found *found,
                      struct error *err) {
    struct version *named = NULL, *before = NULL;
    if (champion->number > 0 && find_version(versions, m, champion->number, &named, err) != 0)
        return -1;
    if ((champion->before > 0 && find_version(versions, m, champion->before, &before, err) != 0) ||
        (champion->to_baseline && (before = version_new(0, NULL)) == NULL)) {
        version_release(named);
        return -1;
    }
    if (named == NULL && champion->number > 0 && before != NULL) {
        log_warning("model %s: version %" PRIu64 ", which it had replaced, serves", name_of(versions, m),
                    champion->before);
        named = champion->before > 0 ? before : NULL; /* else the baseline */
        version_release(champion->before > 0 ? NULL : before);
        before = NULL;
    }
    found->champion = named;
    found->before = before;
    return 0;
}

/* Another configuration: all that there is is kept beside, and the model begins anew. */
static int begin_anew(struct versions *versions, int m, const struct champion *champion, struct error *err) {
    char kept[VERSIONS_PATH], path[VERSIONS_PATH];
    struct error why;
    struct version *version = NULL;
    path_of_version(versions, m, champion->number, path);
    if (version_file_read(path, &versions->config->models[m], versions->models[m].made_for, &version, NULL, &why) !=
        VERSION_FILE_OTHER)
        error_set(&why, "its configuration has changed");
    version_release(version);
    versions_set_aside(versions->models[m].folder, kept);
    log_warning("model %s begins anew: %s; what there was is kept in %s", name_of(versions, m), why.text, kept);
    return whole_file_folder(versions->models[m].folder, err);
}

int versions_find(struct versions *versions, int m, struct versions_found *ret_found, struct error *err) {
    struct versions_found found = {0};
    struct champion champion = {0};
    const struct champion_of of = {name_of(versions, m), versions->models[m].folder, versions->models[m].made_for};
    int failed = find_highest(versions, m, &found.highest, err);
    enum version_file got = failed == 0 ? versions_champion_find(&of, &champion, err) : VERSION_FILE_FAILED;
    switch (failed == 0 ? got : VERSION_FILE_NONE) {
    case VERSION_FILE_READ: failed = find_named(versions, m, &champion, &found, err); break;
    case VERSION_FILE_DAMAGED: failed = find_latest(versions, m, &found, err); break;
    case VERSION_FILE_OTHER: failed = begin_anew(versions, m, &champion, err); break;
    case VERSION_FILE_NONE: break;
    default: failed = refuse(versions, m, got, err); break;
    }
    if (failed == 0 && got == VERSION_FILE_READ) {
        found.facts = champion.facts;
        champion.facts = NULL;
    }
    versions_champion_fini(&champion);
    if (failed != 0)
        return -1;
    remember(versions->models[m].loaded, found.before);
    remember(versions->models[m].loaded, found.champion);
    *ret_found = found;
    return 0;
}

struct version *versions_load(const struct versions *versions, int m, uint64_t number, struct error *err) {
    char path[VERSIONS_PATH];
    struct version *version = recall(versions->models[m].loaded, number);
    if (version != NULL)
        return version;
    path_of_version(versions, m, number, path);
    if (version_file_read(path, &versions->config->models[m], versions->models[m].made_for, &version, NULL, err) !=
        VERSION_FILE_READ)
        return NULL;
    remember(versions->models[m].loaded, version);
    return version;
}

/* ---- publishing --------------------------------------------------------------------------------- */

static uint64_t number_of(const struct version *version) {
    return version != NULL ? version_number(version) : 0;
}

/* What nothing names any more. That it cannot be deleted harms nobody. */
static void delete_old(const struct versions *versions, const struct versions_record *record, uint64_t least) {
    struct numbers numbers = {0};
    struct error err;
    int below = 0;
    if (list_numbers(versions->models[record->model].folder, &numbers, &err) != 0)
        log_warning("versions: %s", err.text);
    for (size_t i = 0; i < numbers.n; i++) {
        uint64_t number = numbers.at[i];
        below += number < least;
        bool kept = number == number_of(record->champion) || number == number_of(record->before) ||
                    number == number_of(record->challenger) || i < VERSIONS_KEPT ||
                    /* One that never served may be among those below. */
                    (least > 0 && below <= VERSIONS_KEPT_BELOW);
        char path[VERSIONS_PATH];
        path_of_version(versions, record->model, number, path);
        if (!kept && unlink(path) != 0)
            log_warning("versions: cannot delete %s: %s", path, strerror(errno));
    }
    free(numbers.at);
}

/* From which number on the journal names versions; 0: it names none. */
static uint64_t least_kept(const struct versions *versions, int m) {
    return versions->models[m].n_named > 0 ? versions->models[m].named[0].number : 0;
}

/* Unless it is there already. */
static int put_challenger(const struct versions *versions, const struct versions_record *record, struct error *err) {
    char path[VERSIONS_PATH];
    if (record->challenger == NULL)
        return 0;
    path_of_version(versions, record->model, version_number(record->challenger), path);
    if (access(path, F_OK) == 0)
        return 0;
    return version_file_write(path, &versions->config->models[record->model], record->challenger,
                              versions->models[record->model].made_for, "{}", err);
}

static int put(const struct versions *versions, const struct versions_record *record, uint64_t least,
               struct error *err) {
    const struct model_versions *of = &versions->models[record->model];
    char path[VERSIONS_PATH];
    uint64_t before = number_of(record->before);
    struct champion champion = {.number = number_of(record->champion),
                                .before = before,
                                .to_baseline = record->before != NULL && before == 0,
                                .made_for = of->made_for,
                                .facts = (char *)(uintptr_t)record->facts}; /* which is only read */
    path_of_version(versions, record->model, champion.number, path);
    if (record->about != NULL && version_file_write(path, &versions->config->models[record->model], record->champion,
                                                    of->made_for, record->about, err) != 0)
        return -1;
    if (put_challenger(versions, record, err) != 0 || versions_champion_write(of->folder, &champion, err) != 0)
        return -1;
    if (record->about != NULL)
        remember(of->loaded, record->champion);
    delete_old(versions, record, least);
    return 0;
}

int versions_put(struct versions *versions, const struct versions_record *record, struct error *err) {
    return put(versions, record, least_kept(versions, record->model), err);
}

static void work(void *context) {
    struct versions *versions = context;
    versions->result.failed = put(versions, &versions->record, versions->least, &versions->result.err) != 0;
}

static void let_go(struct versions_record *record) {
    version_release(record->champion);
    version_release(record->before);
    version_release(record->challenger);
    free((char *)(uintptr_t)record->facts);
    free((char *)(uintptr_t)record->about);
    *record = (struct versions_record){0};
}

int versions_start(struct versions *versions, const struct versions_record *record) {
    if (versions->errand.begun)
        return -1;
    versions->result = (struct versions_result){.model = record->model};
    versions->least = least_kept(versions, record->model);
    versions->record = (struct versions_record){
        .model = record->model,
        .champion = record->champion != NULL ? version_acquire(record->champion) : NULL,
        .before = record->before != NULL ? version_acquire(record->before) : NULL,
        .challenger = record->challenger != NULL ? version_acquire(record->challenger) : NULL,
        .facts = strdup(record->facts),
        .about = record->about != NULL ? strdup(record->about) : NULL,
    };
    if (versions->record.facts != NULL && (record->about == NULL || versions->record.about != NULL) &&
        errand_begin(&versions->errand, "versions", work, versions) == 0)
        return 0;
    let_go(&versions->record);
    return -1;
}

bool versions_has_result(const struct versions *versions) {
    return errand_is_done(&versions->errand);
}

bool versions_take(struct versions *versions, struct versions_result *ret_result) {
    if (!errand_end(&versions->errand))
        return false;
    *ret_result = versions->result;
    let_go(&versions->record);
    return true;
}

/* ---- what the journal names --------------------------------------------------------------------- */

void versions_named(struct versions *versions, int m, uint64_t number, uint64_t order) {
    struct model_versions *of = &versions->models[m];
    if (of->n_named > 0 && number <= of->named[of->n_named - 1].number)
        return;
    if (of->n_named == of->room) {
        int room = of->room == 0 ? 8 : 2 * of->room;
        struct named *named = realloc(of->named, (size_t)room * sizeof *named);
        if (named == NULL)
            return; /* the one before is named in its place, and more is kept */
        of->named = named;
        of->room = room;
    }
    of->named[of->n_named++] = (struct named){number, order};
}

void versions_keep_from(struct versions *versions, uint64_t order) {
    for (int m = 0; m < versions->config->n_models; m++) {
        struct model_versions *of = &versions->models[m];
        int past = 0;
        while (past + 1 < of->n_named && of->named[past + 1].order <= order)
            past++;
        of->n_named -= past;
        if (past > 0)
            memmove(of->named, of->named + past, (size_t)of->n_named * sizeof *of->named);
    }
}

/* ---- opening and closing ------------------------------------------------------------------------ */

static int open_model(struct versions *versions, int m, struct error *err) {
    const struct config_model *model = &versions->config->models[m];
    char name[NAME_MOST + 32];
    folder_name(model->name, name);
    versions->models[m].made_for = version_file_model(model, &versions->config->classes[model->class], err);
    if (versions->models[m].made_for == NULL)
        return -1;
    versions->models[m].loaded = calloc(1, sizeof *versions->models[m].loaded);
    if (versions->models[m].loaded == NULL)
        return error_set(err, "versions: out of memory");
    pthread_mutex_init(&versions->models[m].loaded->lock, NULL);
    if (asprintf(&versions->models[m].folder, "%s/%s", versions->folder, name) < 0) {
        versions->models[m].folder = NULL;
        return error_set(err, "versions: out of memory");
    }
    if (whole_file_folder(versions->models[m].folder, err) != 0)
        return -1;
    remove_unfinished(versions->models[m].folder);
    return 0;
}

struct versions *versions_open(const struct config *config, struct doorbell *bus, struct error *err) {
    struct versions *versions = calloc(1, sizeof *versions);
    error_set(err, "versions: out of memory");
    if (versions == NULL)
        return NULL;
    versions->config = config;
    errand_init(&versions->errand, bus);
    snprintf(versions->folder, sizeof versions->folder, "%s/versions", config->state_dir);
    versions->models = calloc((size_t)config->n_models, sizeof *versions->models);
    int failed = versions->models == NULL || whole_file_folder(config->state_dir, err) != 0 ||
                 whole_file_folder(versions->folder, err) != 0;
    for (int m = 0; !failed && m < config->n_models; m++)
        failed = open_model(versions, m, err) != 0;
    if (!failed)
        return versions;
    versions_close(versions);
    return NULL;
}

void versions_close(struct versions *versions) {
    struct versions_result result;
    if (versions == NULL)
        return;
    versions_take(versions, &result);
    for (int m = 0; versions->models != NULL && m < versions->config->n_models; m++) {
        free(versions->models[m].folder);
        free(versions->models[m].made_for);
        free(versions->models[m].named);
        loaded_free(versions->models[m].loaded);
    }
    free(versions->models);
    free(versions);
}
