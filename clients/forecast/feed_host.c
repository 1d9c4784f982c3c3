#include "clients/forecast/feed.h"

#include "clients/forecast/host.h"
#include "clients/forecast/options.h"
#include "clients/forecast/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of /proc, read whole and as one: kept open, since a sample takes five of them. */
struct proc_file {
    const char *path;
    int fd;
    char *text; /* NUL-terminated */
    size_t size;
};

enum { STAT, DISKSTATS, NET, MEMORY, LOAD, N_FILES };

struct sample {
    int64_t at;                     /* ns, monotonic */
    struct host_devices devices[3]; /* by enum host_kind */
};

struct host {
    struct proc_file files[N_FILES];
    struct sample samples[2]; /* this one and the one before, by turns */
    int now;                  /* index of this one */
    char stream[8 + HOST_MAX_NAME + 1];
    struct feed_sender *sender;
};

static int read_proc(struct proc_file *file) {
    size_t used = 0;

    if (file->fd < 0) {
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
        if (file->fd < 0)
            return -1;
    }
    for (;;) {
        if (file->size - used < 4096) {
            char *grown = realloc(file->text, file->size + 65536);

            if (!grown)
                return -1;
            file->text = grown;
            file->size += 65536;
        }
        ssize_t n = pread(file->fd, file->text + used, file->size - used - 1, (off_t)used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    file->text[used] = '\0';
    return 0;
}

/* Reads everything into this sample. Containers lack some files: what cannot be read has no devices. */
static void take_sample(struct host *host) {
    struct sample *sample = &host->samples[host->now];
    static int (*const parsers[])(const char *, struct host_devices *) = {host_parse_stat, host_parse_diskstats,
                                                                          host_parse_net};

    sample->at = run_monotonic();
    for (int i = 0; i < 3; i++)
        if (read_proc(&host->files[STAT + i]) || parsers[i](host->files[STAT + i].text, &sample->devices[i]))
            sample->devices[i].n = 0;
    for (int i = MEMORY; i < N_FILES; i++)
        if (read_proc(&host->files[i]) && host->files[i].text)
            host->files[i].text[0] = '\0';
}

/* The stream of a device: the whole machine is host/NAME, with memory and load behind its CPU times. */
static int name_and_values(struct host *host, enum host_kind kind, const struct host_device *before,
                           const struct host_device *now, double seconds, double *values) {
    static const char *const heads[] = {"cpu", "disk", "net"};
    int n = host_values(kind, before, now, seconds, values);

    if (n == 0)
        return 0;
    if (now->name[0]) {
        snprintf(host->stream, sizeof host->stream, "%s/%.*s", heads[kind], HOST_MAX_NAME, now->name);
        return n;
    }
    char name[HOST_MAX_NAME] = "localhost";
    gethostname(name, sizeof name - 1);
    snprintf(host->stream, sizeof host->stream, "host/%s", name);
    values[n++] = host_parse_memory(host->files[MEMORY].text ? host->files[MEMORY].text : "");
    values[n++] = host_parse_load(host->files[LOAD].text ? host->files[LOAD].text : "");
    return n;
}

static int send_sample(struct host *host, int64_t t) {
    const struct sample *now = &host->samples[host->now], *before = &host->samples[!host->now];
    double seconds = (double)(now->at - before->at) / (double)RUN_NS, values[HOST_MAX_VALUES];

    for (int kind = HOST_CPU; kind <= HOST_NET; kind++)
        for (size_t i = 0; i < now->devices[kind].n; i++) {
            const struct host_device *device = &now->devices[kind].at[i];
            const struct host_device *old = host_find(&before->devices[kind], device->name, i);
            int n = old ? name_and_values(host, (enum host_kind)kind, old, device, seconds, values) : 0;

            if (n == 0)
                continue;
            int code = feed_sender_tick(host->sender, host->stream, t, values, n);
            if (code)
                return code;
        }
    return feed_sender_flush(host->sender);
}

int feed_host_run(struct feed_sender *sender, double hertz, double seconds) {
    static const char *const paths[] = {"/proc/stat", "/proc/diskstats", "/proc/net/dev", "/proc/meminfo",
                                        "/proc/loadavg"};
    struct host host = {.sender = sender};
    int64_t start = run_monotonic(), end = seconds > 0 ? start + (int64_t)(seconds * (double)RUN_NS) : INT64_MAX;
    int code = 0;

    for (int i = 0; i < N_FILES; i++)
        host.files[i] = (struct proc_file){.path = paths[i], .fd = -1};
    if (read_proc(&host.files[STAT])) {
        fprintf(stderr, "%s: %s: %s; --host needs a Linux /proc\n", feed_command.name, paths[STAT], strerror(errno));
        code = 1;
    }
    for (int64_t n = 0; code == 0; n++) {
        int64_t due = start + (int64_t)((double)n / hertz * (double)RUN_NS), behind = run_monotonic() - due;

        /* Samples whose time has passed (a laptop that slept, a daemon that did not read) are left out. */
        if (behind > RUN_NS && (double)behind * hertz > (double)RUN_NS) {
            n += (int64_t)((double)behind / (double)RUN_NS * hertz);
            continue;
        }
        if (due > end || !run_sleep_until(due))
            break;
        take_sample(&host);
        if (n)
            code = send_sample(&host, run_wall());
        host.now = !host.now;
    }
    for (int i = 0; i < N_FILES; i++) {
        if (host.files[i].fd >= 0)
            close(host.files[i].fd);
        free(host.files[i].text);
    }
    for (int i = 0; i < 6; i++)
        host_devices_fini(&host.samples[i / 3].devices[i % 3]);
    return code == FORECAST_ERROR_INTERRUPTED ? 0 : code ? 1 : 0;
}
