/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_worker.c - speaks worker_link.h and does what the test asks for by the arena's page count
 *
 * Environment: FAKE_DIR, where it leaves an empty file named after its process id (and, for
 * children it starts, theirs); FAKE_FAIL, a driver name for which it reports that the driver does
 * not start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediator/common/shm_stats.h"
#include "mediator/common/worker_link.h"
#include "tests/unit/daemon/fake_worker.h"

static void leave_pid(pid_t pid)
{
    const char *directory = getenv("FAKE_DIR");
    char path[512];
    int fd;

    if (!directory)
        return;
    snprintf(path, sizeof(path), "%s/%d", directory, (int)pid);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
}

static _Noreturn void end(uint32_t type, uint32_t reason, const char *text, int status)
{
    struct worker_msg_end message = {.reason = reason};

    snprintf(message.text, sizeof(message.text), "%s", text);
    worker_link_send(WORKER_LINK_FD, type, &message, sizeof(message), NULL, 0, 0);
    _exit(status);
}

/* A worker must start with 0, 1, 2 and its socket. */
static void check_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (fd > WORKER_LINK_FD && fd != dirfd(dir))
            end(WORKER_MSG_FAILED, VGPU_REASON_NO_WORKER, "a descriptor was inherited", 1);
    }
    closedir(dir);
}

static void wake(void)
{
    struct vgpu_msg message;

    worker_link_send(WORKER_LINK_FD, WORKER_MSG_WAKE, &message, sizeof(message), NULL, 0,
                     MSG_DONTWAIT);
}

/* Always has more work than the GPU can do; each piece takes it a millisecond. */
static void be_greedy(struct shm_page *page)
{
    struct pollfd socket = {WORKER_LINK_FD, POLLIN, 0};

    while (poll(&socket, 1, 0) == 0) {
        if (shm_backlog_set(page))
            wake();
        if (!shm_gate_may_pass(page)) {
            atomic_fetch_add(&page->gate_wait_ns, 1);
            shm_gate_wait(page, 100000000);
            continue;
        }
        shm_submission_add(page);
        usleep(1000);
        shm_gpu_add(page, 1, 1000000);
        shm_call_add(page, 1, 64, 1000);
    }
}

/* All workers of its VM, itself among them exactly once. */
static uint32_t count_workers(void)
{
    uint32_t seen = 0, own = 0;
    struct worker_msg_vm_info info;

    do {
        struct worker_msg_vm_query query = {.first = seen};
        union worker_msg message;
        size_t count = 0;

        worker_link_send(WORKER_LINK_FD, WORKER_MSG_VM_QUERY, &query, sizeof(query), NULL, 0, 0);
        if (worker_link_receive(WORKER_LINK_FD, &message, NULL, &count, 0) != 1 ||
            message.msg.type != WORKER_MSG_VM_INFO)
            _exit(5);
        info = message.vm_info;
        if (info.first != seen || info.count > WORKER_VM_PROCESSES || !info.count)
            _exit(6);
        for (uint32_t i = 0; i < info.count; i++) {
            if (info.processes[i].process_id != info.processes[i].worker_pid ||
                strcmp(info.processes[i].process_name, "fake"))
                _exit(8); /* as every fake worker says in STARTED */
            own += info.processes[i].worker_pid == (uint32_t)getpid();
        }
        seen += info.count;
    } while (seen < info.total);
    if (own != 1)
        _exit(9);
    return seen;
}

int main(int argc, char **argv)
{
    struct worker_msg_hello hello = {.version = WORKER_LINK_VERSION,
                                     .device_count = 1,
                                     .driver_version = 12000,
                                     .device_memory = 1 << 30};
    struct worker_msg_started started = {.process_id = (uint32_t)getpid(), .process_name = "fake"};
    union worker_msg message;
    int fds[WORKER_LINK_FDS_MAX], doorbell, interrupt;
    size_t count = WORKER_LINK_FDS_MAX;
    const char *fail = getenv("FAKE_FAIL");
    struct shm_page *page;
    unsigned behaviour;

    leave_pid(getpid());
    check_descriptors();
    if (argc < 3 || strcmp(argv[1], "--driver"))
        end(WORKER_MSG_FAILED, VGPU_REASON_NO_WORKER, "wrong arguments", 1);
    if (fail && !strcmp(fail, argv[2]))
        end(WORKER_MSG_FAILED, VGPU_REASON_GPU, "this driver does not start", 1);
    snprintf(hello.device_name, sizeof(hello.device_name), "fake uid %u", getuid());
    worker_link_send(WORKER_LINK_FD, WORKER_MSG_HELLO, &hello, sizeof(hello), NULL, 0, 0);

    if (worker_link_receive(WORKER_LINK_FD, &message, fds, &count, 0) != 1)
        _exit(0);
    if (message.msg.type == WORKER_MSG_STOP)
        end(WORKER_MSG_ENDED, VGPU_REASON_NONE, "", 0);
    doorbell = fds[message.assign.region_count];
    interrupt = fds[message.assign.region_count + 1];
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED,
                fds[message.assign.region_count + 2], 0);
    if (page == MAP_FAILED || page->bytes != sizeof(*page))
        end(WORKER_MSG_FAILED, VGPU_REASON_NO_WORKER, "no shared page", 1);
    behaviour = message.assign.pages;
    if (behaviour == FAKE_REFUSE)
        end(WORKER_MSG_FAILED, VGPU_REASON_BAD_TABLE, "run 3 is not in guest memory", 1);
    if (behaviour == FAKE_EXIT)
        _exit(7);
    if (behaviour == FAKE_FORK) {
        pid_t child = fork();

        if (child == 0) {
            for (;;)
                pause();
        }
        leave_pid(child);
    }
    worker_link_send(WORKER_LINK_FD, WORKER_MSG_STARTED, &started, sizeof(started), NULL, 0, 0);
    if (behaviour == FAKE_GARBAGE)
        dprintf(WORKER_LINK_FD, "this is no message");
    if (behaviour == FAKE_OUT_OF_ORDER)
        worker_link_send(WORKER_LINK_FD, WORKER_MSG_HELLO, &hello, sizeof(hello), NULL, 0, 0);
    if (behaviour == FAKE_HANG) {
        atomic_store(&page->in_flight, 1);
        if (shm_backlog_set(page))
            wake();
    }
    if (behaviour == FAKE_GREEDY)
        be_greedy(page);

    for (;;) {
        struct pollfd polls[2] = {{WORKER_LINK_FD, POLLIN, 0}, {doorbell, POLLIN, 0}};
        uint64_t value = 1;

        if (poll(polls, 2, -1) < 0 && errno != EINTR)
            _exit(2);
        if (polls[1].revents) {
            if (read(doorbell, &value, sizeof(value)) != sizeof(value))
                _exit(3);
            if (behaviour == FAKE_CRASH) {
                signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit instead */
                raise(SIGSEGV);
            }
            if (behaviour == FAKE_FAULT)
                atomic_store(&page->faults, 1);
            if (behaviour == FAKE_VIOLATION)
                end(WORKER_MSG_ENDED, VGPU_REASON_PROTOCOL, "record 5: size 70000 of at most 65536",
                    1);
            shm_call_add(page, FAKE_OPCODE, behaviour == FAKE_ASK ? count_workers() : 100, 2000);
            shm_gpu_add(page, FAKE_OPCODE, 50000);
            shm_latency_add(page, 60000);
            if (write(interrupt, &value, sizeof(value)) != sizeof(value))
                _exit(4);
        }
        if (polls[0].revents) {
            count = 0;
            if (worker_link_receive(WORKER_LINK_FD, &message, NULL, &count, 0) != 1)
                _exit(0);
            if (behaviour == FAKE_STUBBORN)
                continue;
            end(WORKER_MSG_ENDED, VGPU_REASON_NONE, "", 0);
        }
    }
}
