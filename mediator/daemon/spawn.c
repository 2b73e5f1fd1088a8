/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mediator/common/worker_link.h"

/* Enough for a driver with several GPUs; far from what could hurt the host. */
#define WORKER_FILES 4096
#define WORKER_TASKS 1024

void spawn_close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, ~0u, 0) == 0)
        return;
#endif
    /* Kernels before 5.9. The listing's own descriptor is closed last. */
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (!dir) {
        for (int fd = first; fd < 65536; fd++)
            close(fd);
        return;
    }
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (fd >= first && fd != dirfd(dir))
            close(fd);
    }
    closedir(dir);
}

static void limit(int what, rlim_t value)
{
    struct rlimit now;

    if (getrlimit(what, &now) != 0)
        return;
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > value)
        now.rlim_max = value;
    now.rlim_cur = now.rlim_max;
    setrlimit(what, &now);
}

static _Noreturn void child(const struct spawn_request *request, int socket, pid_t parent)
{
    char *const argv[] = {"vgpu-worker", "--driver", (char *)request->driver, NULL};
    sigset_t none;
    int null;

    setpgid(0, 0);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* The socket may itself be 0 to 2 when the daemon was started with those closed. */
    socket = fcntl(socket, F_DUPFD, WORKER_LINK_FD + 1);
    null = open("/dev/null", O_RDWR);
    if (socket < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(socket, WORKER_LINK_FD) < 0)
        _exit(SPAWN_EXIT_SETUP);
    spawn_close_from(WORKER_LINK_FD + 1);

    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, WORKER_FILES);
    unsetenv("VGPU_SOCKET");
    if (request->uid) {
        limit(RLIMIT_NPROC, WORKER_TASKS);
        if (setgroups(0, NULL) != 0 || setresgid(request->uid, request->uid, request->uid) != 0 ||
            setresuid(request->uid, request->uid, request->uid) != 0)
            _exit(SPAWN_EXIT_SETUP);
        setenv("HOME", "/nonexistent", 1);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(SPAWN_EXIT_SETUP);
    /* Last, because a change of user id clears it; then the parent may be dead already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(SPAWN_EXIT_SETUP);
    execv(request->worker, argv);
    _exit(SPAWN_EXIT_EXEC);
}

pid_t spawn_worker(const struct spawn_request *request, int *socket)
{
    pid_t parent = getpid(), pid;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    /* O_NONBLOCK belongs to each end's own description: the worker's end blocks. */
    fcntl(pair[1], F_SETFL, fcntl(pair[1], F_GETFL) & ~O_NONBLOCK);
    pid = fork();
    if (pid == 0)
        child(request, pair[1], parent);
    close(pair[1]);
    if (pid < 0) {
        int error = errno;

        close(pair[0]);
        errno = error;
        return -1;
    }
    setpgid(pid, pid); /* also here, so that the group exists before anyone signals it */
    *socket = pair[0];
    return pid;
}
