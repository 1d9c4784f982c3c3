#include "clients/forecast/host.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512 }; /* bytes, whatever the device's own are */

void host_devices_fini(struct host_devices *devices) {
    free(devices->at);
    *devices = (struct host_devices){0};
}

static struct host_device *add(struct host_devices *devices, const char *name, size_t n) {
    if (devices->n == devices->size) {
        size_t size = devices->size ? 2 * devices->size : 16;
        struct host_device *grown = realloc(devices->at, size * sizeof *grown);

        if (!grown)
            return NULL;
        devices->at = grown;
        devices->size = size;
    }
    struct host_device *device = &devices->at[devices->n++];
    *device = (struct host_device){0};
    memcpy(device->name, name, n < HOST_MAX_NAME ? n : HOST_MAX_NAME - 1);
    return device;
}

/* Goes on to the next line, or returns NULL. */
static const char *next_line(const char *at) {
    at = strchr(at, '\n');
    return at && at[1] ? at + 1 : NULL;
}

/* Reads up to max numbers behind one another. Returns how many. */
static int numbers(const char *at, uint64_t *values, int max) {
    int n = 0;

    for (; n < max; n++) {
        char *end;

        while (*at == ' ' || *at == '\t')
            at++;
        if (!isdigit((unsigned char)*at))
            break;
        values[n] = strtoull(at, &end, 10);
        at = end;
    }
    return n;
}

int host_parse_stat(const char *text, struct host_devices *devices) {
    /* proc(5): user nice system idle iowait irq softirq steal; guest times are within user and nice. */
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, N };

    devices->n = 0;
    for (const char *line = text; line && strncmp(line, "cpu", 3) == 0; line = next_line(line)) {
        const char *name = line + 3;
        size_t n = strcspn(name, " \n");
        uint64_t t[N] = {0}, all = 0;

        if (numbers(name + n, t, N) <= IOWAIT)
            return -1;
        struct host_device *device = add(devices, name, n);
        if (!device)
            return -1;
        for (int i = 0; i < N; i++)
            all += t[i];
        device->counters[0] = t[USER] + t[NICE];
        device->counters[1] = t[SYSTEM] + t[IRQ] + t[SOFTIRQ];
        device->counters[2] = t[IOWAIT];
        device->counters[3] = all;
    }
    return devices->n ? 0 : -1;
}

static bool begins(const char *name, const char *start) {
    return strncmp(name, start, strlen(start)) == 0;
}

/* "sda1" of "sda", "nvme0n1p2" of "nvme0n1": the kernel puts a p between where the device ends in a digit. */
static bool is_partition_of(const char *name, const char *device) {
    size_t n = strlen(device);

    if (strncmp(name, device, n) != 0)
        return false;
    name += n;
    if (isdigit((unsigned char)device[n - 1])) {
        if (*name != 'p')
            return false;
        name++;
    }
    return *name && strspn(name, "0123456789") == strlen(name);
}

int host_parse_diskstats(const char *text, struct host_devices *devices) {
    static const char *const no_disks[] = {"loop", "ram", "zram", "sr", "fd"};
    enum { SECTORS_READ = 2, SECTORS_WRITTEN = 6, BUSY = 9, N = 10 };
    char device[HOST_MAX_NAME] = ""; /* whose partitions may follow */

    devices->n = 0;
    for (const char *line = text; line && *line; line = next_line(line)) {
        char name[HOST_MAX_NAME];
        int behind = 0;
        uint64_t t[N];
        bool skip = false;

        if (sscanf(line, " %*u %*u %63s%n", name, &behind) != 1 || numbers(line + behind, t, N) < N)
            return -1;
        for (size_t i = 0; i < sizeof no_disks / sizeof no_disks[0]; i++)
            skip |= begins(name, no_disks[i]);
        if (device[0] && is_partition_of(name, device))
            continue;
        snprintf(device, sizeof device, "%s", name);
        if (skip || (t[SECTORS_READ] == 0 && t[SECTORS_WRITTEN] == 0))
            continue;
        struct host_device *added = add(devices, name, strlen(name));
        if (!added)
            return -1;
        added->counters[0] = t[SECTORS_READ] * SECTOR;
        added->counters[1] = t[SECTORS_WRITTEN] * SECTOR;
        added->counters[2] = t[BUSY];
    }
    return 0;
}

int host_parse_net(const char *text, struct host_devices *devices) {
    enum { RECEIVED = 0, TRANSMITTED = 8, N = 9 };
    const char *line = text;

    devices->n = 0;
    for (int i = 0; i < 2 && line; i++) /* the table's head */
        line = next_line(line);
    for (; line && *line; line = next_line(line)) {
        const char *name = line + strspn(line, " ");
        size_t n = strcspn(name, ":\n");
        uint64_t t[N];

        if (name[n] != ':' || numbers(name + n + 1, t, N) < N)
            return -1;
        if (t[RECEIVED] == 0 && t[TRANSMITTED] == 0)
            continue;
        struct host_device *device = add(devices, name, n);
        if (!device)
            return -1;
        device->counters[0] = t[RECEIVED];
        device->counters[1] = t[TRANSMITTED];
    }
    return 0;
}

static double kilobytes(const char *text, const char *key) {
    for (const char *line = text; line; line = next_line(line)) {
        uint64_t value;

        if (begins(line, key))
            return numbers(line + strlen(key), &value, 1) == 1 ? (double)value : NAN;
    }
    return NAN;
}

double host_parse_memory(const char *text) {
    double total = kilobytes(text, "MemTotal:"), available = kilobytes(text, "MemAvailable:");

    return total > 0 ? 100 * (1 - available / total) : NAN;
}

double host_parse_load(const char *text) {
    char *end;
    double load = strtod(text, &end);

    return end == text ? NAN : load;
}

static double percent(uint64_t before, uint64_t now, double of) {
    /* iowait may go back by a jiffy or two (proc(5)). */
    double share = now > before && of > 0 ? 100 * (double)(now - before) / of : 0;

    return share < 100 ? share : 100;
}

int host_values(enum host_kind kind, const struct host_device *before, const struct host_device *now, double seconds,
                double values[HOST_MAX_VALUES]) {
    const uint64_t *a = before->counters, *b = now->counters;

    if (kind == HOST_CPU) {
        if (b[3] < a[3])
            return 0;
        double all = (double)(b[3] - a[3]);
        for (int i = 0; i < 3; i++)
            values[i] = all > 0 ? percent(a[i], b[i], all) : NAN; /* sampled faster than the kernel counts */
        return 3;
    }
    if (b[0] < a[0] || b[1] < a[1] || seconds <= 0)
        return 0;
    values[0] = (double)(b[0] - a[0]) / seconds;
    values[1] = (double)(b[1] - a[1]) / seconds;
    if (kind == HOST_NET)
        return 2;
    values[2] = percent(a[2], b[2], seconds * 1000);
    return 3;
}

const struct host_device *host_find(const struct host_devices *devices, const char *name, size_t hint) {
    if (hint < devices->n && strcmp(devices->at[hint].name, name) == 0)
        return &devices->at[hint];
    for (size_t i = 0; i < devices->n; i++)
        if (strcmp(devices->at[i].name, name) == 0)
            return &devices->at[i];
    return NULL;
}
