#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "daemon/endpoint.h"

#include "tests/support/bus_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

static void a_path_with_a_listener_is_left_to_it(void **state) {
    (void)state;
    void *zmq = zmq_ctx_new(), *first = zmq_socket(zmq, ZMQ_PULL), *second = zmq_socket(zmq, ZMQ_PULL);
    void *push = zmq_socket(zmq, ZMQ_PUSH);
    char endpoint[128], frame[8];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/taken", rig_folder());
    assert_int_equal(endpoint_bind(first, endpoint), 0);
    assert_int_equal(endpoint_bind(second, endpoint), -1);
    assert_int_equal(errno, EADDRINUSE);
    zmq_connect(push, endpoint);
    rig_send(push, "x", 1);
    assert_int_equal(rig_receive(first, frame, sizeof frame, RIG_WAIT_MS), 1); /* reachable as before */
    zmq_close(push);
    zmq_close(first);
    zmq_close(second);
    zmq_ctx_term(zmq);
}

/* Left behind by a process that was killed. */
static void a_path_without_a_listener_is_taken_over(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/stale", rig_folder());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(access(address.sun_path, F_OK), 0);
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_PULL);
    char endpoint[128];
    snprintf(endpoint, sizeof endpoint, "ipc://%s", address.sun_path);
    assert_int_equal(endpoint_bind(socket, endpoint), 0);
    zmq_close(socket);
    zmq_ctx_term(zmq);
}

static void whatever_else_is_wrong_zeromq_tells(void **state) {
    (void)state;
    char name[200], endpoint[256];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/%s", name);
    void *zmq = zmq_ctx_new(), *socket = zmq_socket(zmq, ZMQ_PULL);
    assert_int_equal(endpoint_bind(socket, endpoint), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(endpoint_bind(socket, "strange://x"), -1);
    assert_int_equal(errno, EPROTONOSUPPORT);
    assert_int_equal(endpoint_bind(socket, "tcp://127.0.0.1:*"), 0);
    zmq_close(socket);
    zmq_ctx_term(zmq);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_with_a_listener_is_left_to_it),
        cmocka_unit_test(a_path_without_a_listener_is_taken_over),
        cmocka_unit_test(whatever_else_is_wrong_zeromq_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
