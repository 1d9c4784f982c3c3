/*
 * This machine's metrics from /proc, as ticks of streams:
 *   host/<name>      cpu_user, cpu_system, cpu_iowait, memory_used (percent), load_1m
 *   cpu/<n>          user, system, iowait (percent)
 *   disk/<device>    read_bytes, write_bytes (a second), busy (percent)
 *   net/<interface>  receive_bytes, transmit_bytes (a second)
 * The parsers take text, so they can be tested without a /proc; what is a rate needs two samples. Devices
 * come and go: the first sample of each gives no tick, nor does one whose counters went back.
 * No function blocks or keeps state of its own.
 */
#ifndef FORECAST_HOST_H
#define FORECAST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOST_MAX_NAME = 64, HOST_MAX_COUNTERS = 4, HOST_MAX_VALUES = 5 };

enum host_kind { HOST_CPU, HOST_DISK, HOST_NET };

/* The counters of one device at one time. */
struct host_device {
    char name[HOST_MAX_NAME];
    uint64_t counters[HOST_MAX_COUNTERS];
    /* CPU: user, system, iowait, all (jiffies). Disk: bytes read, bytes written, ms busy. Net: bytes
	 * received, bytes transmitted. */
};

/* One kind's devices, as a sample saw them. Zero-initialise; grows and is reused. */
struct host_devices {
    struct host_device *at;
    size_t n, size;
};
void host_devices_fini(struct host_devices *devices);

/* /proc/stat: the whole machine as device "", then each CPU as "0", "1", ... Return 0, or -1 where the text is
 * not what it should be or memory is short. */
int host_parse_stat(const char *text, struct host_devices *devices);

/* /proc/diskstats: devices, without partitions, loop, ram and others that are no disks, and without those
 * that never read or wrote. */
int host_parse_diskstats(const char *text, struct host_devices *devices);

/* /proc/net/dev: interfaces, without those that never received or sent. */
int host_parse_net(const char *text, struct host_devices *devices);

/* /proc/meminfo: percent that is not available. NaN where the text does not say. */
double host_parse_memory(const char *text);

/* /proc/loadavg: the mean of the last minute, or NaN. */
double host_parse_load(const char *text);

/* The values of a device between two samples that lie seconds apart, as the stream of its kind has them.
 * Returns how many, or 0 when counters went back. */
int host_values(enum host_kind kind, const struct host_device *before, const struct host_device *now, double seconds,
                double values[HOST_MAX_VALUES]);

/* Finds the device of this name, or NULL. hint: where it probably is. */
const struct host_device *host_find(const struct host_devices *devices, const char *name, size_t hint);

#endif
