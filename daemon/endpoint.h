/* Binding a ZeroMQ socket to a configured endpoint. */
#ifndef DAEMON_ENDPOINT_H
#define DAEMON_ENDPOINT_H

/* As zmq_bind, but it refuses (EADDRINUSE) an ipc path on which somebody listens: libzmq would take the path over,
 * and the other would go on, unreachable. Returns 0, or -1 with errno. */
int endpoint_bind(void *socket, const char *endpoint);

#endif
