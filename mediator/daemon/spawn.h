/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - starts a worker process with nothing it does not need
 *
 * The child gets: /dev/null as 0 and 1, the daemon's log as 2, the socket as WORKER_LINK_FD, no
 * other descriptor; a process group of its own; SIGKILL when the daemon dies; default signals; no
 * new privileges; no core file; its own user id when asked for. The environment is the daemon's,
 * less VGPU_SOCKET (a worker must never become a client) and, with a user id of its own, HOME.
 */
#ifndef VGPU_SPAWN_H
#define VGPU_SPAWN_H

#include <sys/types.h>

struct spawn_request {
    const char *worker; /* path */
    const char *driver; /* path or name for dlopen */
    uid_t uid;          /* user and group id of the child; 0: the daemon's own */
};

/*
 * Returns the process id and puts the daemon's end of the socket, non-blocking and close-on-exec,
 * into *socket; or -1 with errno. That the program cannot be executed shows as exit status
 * SPAWN_EXIT_EXEC, that its privileges cannot be dropped as SPAWN_EXIT_SETUP.
 */
pid_t spawn_worker(const struct spawn_request *request, int *socket);

#define SPAWN_EXIT_SETUP 125
#define SPAWN_EXIT_EXEC 126

/* Closes all descriptors from first on. */
void spawn_close_from(int first);

#endif
