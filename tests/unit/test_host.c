/* This machine's metrics, from the text of other machines' /proc. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/host.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct host_devices before, now;

static int clear(void **state) {
    (void)state;
    host_devices_fini(&before);
    host_devices_fini(&now);
    return 0;
}

static const struct host_device *device(const struct host_devices *devices, const char *name) {
    return host_find(devices, name, 0);
}

static void test_stat(void **state) {
    (void)state;
    double values[HOST_MAX_VALUES];

    /* user nice system idle iowait irq softirq steal guest guest_nice */
    assert_int_equal(host_parse_stat("cpu  100 10 50 800 20 5 5 10 7 7\ncpu0 50 5 25 400 10 2 3 5 0 0\n"
                                     "cpu11 50 5 25 400 10 3 2 5 0 0\nintr 200435 0 0\nctxt 1\n",
                                     &before),
                     0);
    assert_int_equal(before.n, 3);
    assert_string_equal(before.at[0].name, "");
    assert_string_equal(before.at[2].name, "11");
    assert_int_equal(host_parse_stat("cpu  140 20 70 900 40 10 10 10 99 99\ncpu0 50 5 25 400 10 2 3 5 0 0\n", &now),
                     0);
    assert_int_equal(host_values(HOST_CPU, &before.at[0], &now.at[0], 1, values), 3);
    /* all: 200 more; user and nice 50, system with interrupts 30, iowait 20 */
    assert_true(fabs(values[0] - 25) < 1e-12);
    assert_true(fabs(values[1] - 15) < 1e-12);
    assert_true(fabs(values[2] - 10) < 1e-12);
    assert_int_equal(host_values(HOST_CPU, &before.at[1], &now.at[1], 1, values), 3); /* no jiffy passed */
    assert_true(isnan(values[0]) && isnan(values[1]) && isnan(values[2]));
    assert_null(device(&now, "11")); /* taken offline */
    assert_int_equal(host_values(HOST_CPU, &now.at[0], &before.at[0], 1, values), 0);
    assert_int_equal(host_parse_stat("", &now), -1);
    assert_int_equal(host_parse_stat("cpu 1 2 x\n", &now), -1);
}

static void test_iowait_goes_back(void **state) {
    (void)state;
    double values[HOST_MAX_VALUES];

    assert_int_equal(host_parse_stat("cpu 100 0 50 800 20 0 0 0\n", &before), 0);
    assert_int_equal(host_parse_stat("cpu 150 0 50 860 18 0 0 0\n", &now), 0);
    assert_int_equal(host_values(HOST_CPU, &before.at[0], &now.at[0], 1, values), 3);
    assert_true(values[2] == 0);
}

static const char diskstats[] =
    "   7       0 loop0 12 0 34 5 0 0 0 0 0 8 5 0 0 0 0 0 0\n"
    "   1       0 ram0 1 0 1 0 0 0 0 0 0 0 0\n"
    "   8       0 sda 100 5 2000 40 50 6 1000 70 0 300 110\n" /* eleven numbers: an old kernel */
    "   8       1 sda1 90 5 1800 40 50 6 1000 70 0 300 110\n"
    "   8      16 sdb 0 0 0 0 0 0 0 0 0 0 0\n"
    " 259       0 nvme0n1 10 0 80 4 5 0 40 7 0 30 11 0 0 0 0 2 1\n"
    " 259       1 nvme0n1p1 9 0 72 4 5 0 40 7 0 30 11 0 0 0 0 0 0\n"
    " 259       2 nvme0n1p12 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    " 259       3 nvme0n2 1 0 8 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    " 253       0 zram0 1 0 8 0 0 0 0 0 0 0 0\n"
    " 254       0 dm-0 1 0 8 0 0 0 0 0 0 0 0\n"
    " 254      10 dm-01 1 0 8 0 0 0 0 0 0 0 0\n"
    "   9       1 md1 1 0 8 0 0 0 0 0 0 0 0\n"
    "   9     127 md127 1 0 8 0 0 0 0 0 0 0 0\n"
    "  11       0 sr0 1 0 8 0 0 0 0 0 0 0 0\n"
    " 202       1 xvda1 1 0 8 0 0 0 0 0 0 0 0\n"; /* a machine that shows a partition without its disk */

static void test_diskstats(void **state) {
    (void)state;
    static const char *const disks[] = {"sda", "nvme0n1", "nvme0n2", "dm-0", "dm-01", "md1", "md127", "xvda1"};
    double values[HOST_MAX_VALUES];

    assert_int_equal(host_parse_diskstats(diskstats, &before), 0);
    assert_int_equal(before.n, sizeof disks / sizeof disks[0]);
    for (size_t i = 0; i < before.n; i++)
        assert_string_equal(before.at[i].name, disks[i]);
    assert_int_equal(host_parse_diskstats("   8       0 sda 200 5 2100 40 50 6 1400 70 0 400 110\n", &now), 0);
    assert_int_equal(host_values(HOST_DISK, device(&before, "sda"), device(&now, "sda"), 0.5, values), 3);
    assert_true(values[0] == 100 * 512 / 0.5);
    assert_true(values[1] == 400 * 512 / 0.5);
    assert_true(fabs(values[2] - 20) < 1e-12); /* 100 of 500 ms */
    assert_int_equal(host_values(HOST_DISK, device(&before, "sda"), device(&now, "sda"), 0.05, values), 3);
    assert_true(values[2] == 100); /* never more than all */
    assert_int_equal(host_values(HOST_DISK, device(&now, "sda"), device(&before, "sda"), 1, values), 0);
    assert_int_equal(host_values(HOST_DISK, device(&before, "sda"), device(&now, "sda"), 0, values), 0);
    assert_int_equal(host_parse_diskstats("", &now), 0);
    assert_int_equal(now.n, 0);
    assert_int_equal(host_parse_diskstats("   8       0 sda 200 5\n", &now), -1);
}

static void test_net(void **state) {
    (void)state;
    static const char head[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
    char text[1024];
    double values[HOST_MAX_VALUES];

    snprintf(
        text, sizeof text, "%s%s", head,
        "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0\n"
        "  ifb0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"
        "  eth0:421909129    8733    0    0    0     0          0         0   337271    4095    0    0    0     0       0          0\n");
    assert_int_equal(host_parse_net(text, &before), 0);
    assert_int_equal(before.n, 2); /* ifb0 never carried anything */
    assert_string_equal(before.at[0].name, "lo");
    assert_string_equal(before.at[1].name, "eth0");
    snprintf(text, sizeof text, "%s%s", head, "  eth0: 421910129 1 0 0 0 0 0 0 337471 1 0 0 0 0 0 0\n");
    assert_int_equal(host_parse_net(text, &now), 0);
    assert_int_equal(host_values(HOST_NET, device(&before, "eth0"), device(&now, "eth0"), 2, values), 2);
    assert_true(values[0] == 500 && values[1] == 100);
    assert_int_equal(host_values(HOST_NET, device(&now, "eth0"), device(&before, "eth0"), 2, values), 0);
    assert_int_equal(host_parse_net(head, &now), 0);
    assert_int_equal(now.n, 0);
    snprintf(text, sizeof text, "%s%s", head, "nonsense\n");
    assert_int_equal(host_parse_net(text, &now), -1);
}

static void test_memory_and_load(void **state) {
    (void)state;
    assert_true(fabs(host_parse_memory("MemTotal:        8000 kB\nMemFree:  1 kB\nMemAvailable:    6000 kB\n") - 25) <
                1e-9);
    assert_true(isnan(host_parse_memory("MemTotal:        8000 kB\n")));
    assert_true(isnan(host_parse_memory("")));
    assert_true(host_parse_load("0.52 0.30 0.20 1/234 5678\n") == 0.52);
    assert_true(isnan(host_parse_load("")));
}

static void test_find(void **state) {
    (void)state;
    assert_int_equal(host_parse_diskstats(diskstats, &before), 0);
    for (size_t hint = 0; hint < 10; hint++)
        assert_ptr_equal(host_find(&before, "dm-0", hint), &before.at[3]);
    assert_null(host_find(&before, "sda1", 0));
}

/* A machine with many devices: the table grows, and names that are too long are cut. */
static void test_many(void **state) {
    (void)state;
    char text[16384];
    size_t used = 0;

    for (int i = 0; i < 200; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "cpu%d %d 0 0 0 0 0 0 0\n", i, i);
    assert_int_equal(host_parse_stat(text, &now), 0);
    assert_int_equal(now.n, 200);
    assert_int_equal(device(&now, "199")->counters[0], 199);
    memset(text, 'x', 200);
    snprintf(text, 200, "cpu");
    text[3] = 'x';
    snprintf(text + 200, 64, " 1 2 3 4 5 6 7 8\n");
    assert_int_equal(host_parse_stat(text, &now), 0);
    assert_int_equal(strlen(now.at[0].name), HOST_MAX_NAME - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_stat, clear),
        cmocka_unit_test_teardown(test_iowait_goes_back, clear),
        cmocka_unit_test_teardown(test_diskstats, clear),
        cmocka_unit_test_teardown(test_net, clear),
        cmocka_unit_test_teardown(test_memory_and_load, clear),
        cmocka_unit_test_teardown(test_find, clear),
        cmocka_unit_test_teardown(test_many, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
