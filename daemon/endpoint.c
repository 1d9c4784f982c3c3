#include "daemon/endpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

static bool somebody_listens(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false; /* zmq_bind will say so */
    strcpy(address.sun_path, path);
    /* Of an abstract name (@...) there is no such path: those libzmq cannot take over. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool listens = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return listens;
}

int endpoint_bind(void *socket, const char *endpoint) {
    static const char ipc[] = "ipc://";
    if (strncmp(endpoint, ipc, sizeof ipc - 1) == 0 && somebody_listens(endpoint + sizeof ipc - 1)) {
        errno = EADDRINUSE;
        return -1;
    }
    return zmq_bind(socket, endpoint);
}
