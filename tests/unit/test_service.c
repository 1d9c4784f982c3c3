#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/service.h"

#include "daemon/clock.h"
#include "tests/support/bus_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The socket of a service manager, told to the service by NOTIFY_SOCKET. */
static int open_manager(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", rig_folder());
    unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    return fd;
}

static void expect_told(int fd, const char *expected) {
    char told[1024];
    ssize_t n = recv(fd, told, sizeof told - 1, 0);
    assert_true(n >= 0);
    told[n] = '\0';
    /* A final newline is the library's choice. */
    if (n > 0 && told[n - 1] == '\n')
        told[n - 1] = '\0';
    assert_string_equal(told, expected);
}

static void the_manager_is_told(void **state) {
    (void)state;
    int fd = open_manager();
    service_ready();
    expect_told(fd, "READY=1");
    service_status("%d streams, %s", 3, "fine");
    expect_told(fd, "STATUS=3 streams, fine");
    service_reloading();
    char told[128];
    long long us;
    ssize_t n = recv(fd, told, sizeof told - 1, 0);
    told[n < 0 ? 0 : n] = '\0';
    assert_int_equal(sscanf(told, "RELOADING=1\nMONOTONIC_USEC=%lld", &us), 1);
    int64_t now = clock_monotonic() / 1000;
    assert_true(us <= now && us > now - 60000000);
    service_stopping();
    expect_told(fd, "STOPPING=1");
    char none[1];
    assert_int_equal(recv(fd, none, sizeof none, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

static void a_long_status_is_cut(void **state) {
    (void)state;
    char text[601], expected[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    int fd = open_manager();
    service_status("%s", text);
    snprintf(expected, sizeof expected, "STATUS=%.255s", text);
    expect_told(fd, expected);
    close(fd);
}

static void without_a_manager_nothing_happens(void **state) {
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    service_ready();
    service_status("%d", 1);
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    service_ready();
    service_stopping();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manager_is_told),
        cmocka_unit_test(a_long_status_is_cut),
        cmocka_unit_test(without_a_manager_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
