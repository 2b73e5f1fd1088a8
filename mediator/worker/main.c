/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - a worker's life: load the driver, wait as a spare, serve one channel, end */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mediator/common/log.h"
#include "nvml.h"

static void usage(FILE *to)
{
    fputs("usage: vgpu-worker --driver PATH [--no-sandbox] [--verbose]\n"
          "\n"
          "Executes the CUDA calls of one guest process. Started by vgpu-mediatord, with a\n"
          "seqpacket socket as descriptor 3; of no use by hand.\n"
          "\n"
          "  --driver PATH   CUDA driver library: libcuda.so.1 or libcuda-soft.so.1\n"
          "  --no-sandbox    keep all system calls (for sanitizers and debuggers)\n"
          "  --verbose       log at debug level\n"
          "  --help          this text\n",
          to);
}

static void say_end(struct vgpu_worker *worker, enum worker_msg_type type, uint32_t reason,
                    uint32_t result, const char *text)
{
    struct worker_msg_end end = {.reason = reason, .result = result};

    snprintf(end.text, sizeof(end.text), "%s", text);
    worker_link_send(worker->link_fd, type, &end, sizeof(end), NULL, 0, 0);
}

/* Does not return: the driver's exit handlers may wait for a kernel that never ends. */
_Noreturn static void fail(struct vgpu_worker *worker, uint32_t reason, uint32_t result,
                           const char *text)
{
    say_end(worker, WORKER_MSG_FAILED, reason, result, text);
    _exit(1);
}

static void start_driver(struct vgpu_worker *worker, const char *path)
{
    char error[WORKER_LINK_TEXT];
    struct worker_msg_hello hello = {.version = WORKER_LINK_VERSION};

    /* Compiled code of one tenant must not be found by the next. */
    setenv("CUDA_CACHE_DISABLE", "1", 0);
    if (worker_driver_load(worker, path, error, sizeof(error)) != 0)
        fail(worker, VGPU_REASON_GPU, 0, error);
    CUresult result = worker->driver->cuInit(0);
    if (result == CUDA_SUCCESS)
        result = worker->driver->cuDriverGetVersion(&worker->driver_version);
    if (result == CUDA_SUCCESS)
        result = worker->driver->cuDeviceGetCount(&worker->device_count);
    if (result == CUDA_SUCCESS && worker->device_count < 1)
        result = CUDA_ERROR_NO_DEVICE;
    if (result != CUDA_SUCCESS) {
        snprintf(error, sizeof(error), "the GPU driver does not start: %s",
                 worker_result_name(worker, result));
        fail(worker, VGPU_REASON_GPU, result, error);
    }
    if (worker->device_count > WORKER_DEVICES_MAX)
        worker->device_count = WORKER_DEVICES_MAX;
    size_t memory = 0;
    worker->driver->cuDeviceTotalMem_v2(&memory, 0);
    worker_nvml_load(worker);
    worker->driver->cuDeviceGetName(hello.device_name, sizeof(hello.device_name) - 1, 0);
    hello.device_count = (uint32_t)worker->device_count;
    hello.driver_version = worker->driver_version;
    hello.device_memory = memory;
    if (worker_link_send(worker->link_fd, WORKER_MSG_HELLO, &hello, sizeof(hello), NULL, 0, 0) != 0)
        _exit(0);
}

/* Waits as a spare until a channel is assigned; exits when told to stop or when the daemon goes. */
static void wait_for_channel(struct vgpu_worker *worker, int fds[WORKER_LINK_FDS_MAX])
{
    union worker_msg message;
    size_t count = WORKER_LINK_FDS_MAX;
    int got;

    do {
        got = worker_link_receive(worker->link_fd, &message, fds, &count, 0);
    } while (got < 0 && errno == EINTR);
    if (got == 1 && message.msg.type == WORKER_MSG_STOP) {
        say_end(worker, WORKER_MSG_ENDED, VGPU_REASON_NONE, 0, "not needed");
        _exit(0);
    }
    if (got != 1 || message.msg.type != WORKER_MSG_ASSIGN)
        _exit(got == 0 ? 0 : 1);
    worker->assign = message.assign;
}

static void open_channel(struct vgpu_worker *worker, int fds[WORKER_LINK_FDS_MAX], void *reserved)
{
    struct worker_msg_assign *assign = &worker->assign;
    char why[WORKER_LINK_TEXT];
    struct vgpu_arena_source source = {
        .backend = assign->backend,
        .region_count = assign->region_count,
        .table_address = assign->table_address,
        .runs = assign->runs,
        .pages = assign->pages,
    };

    memcpy(source.regions, assign->regions, sizeof(source.regions));
    memcpy(source.fds, fds, sizeof(source.fds));
    worker->doorbell_fd = fds[assign->region_count];
    worker->interrupt_fd = fds[assign->region_count + 1];
    int page_fd = fds[assign->region_count + 2];
    /* The guest's side holds them too and must not have the worker block. */
    fcntl(worker->doorbell_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    fcntl(worker->interrupt_fd, F_SETFL, O_RDWR | O_NONBLOCK);
    worker->page =
        mmap(NULL, sizeof(*worker->page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    if (worker->page == MAP_FAILED || worker->page->magic != SHM_MAGIC ||
        worker->page->version != SHM_VERSION || worker->page->bytes != sizeof(*worker->page))
        fail(worker, VGPU_REASON_NO_WORKER, 0, "the daemon's shared page is of another version");
    close(page_fd);

    if (reserved)
        munmap(reserved, VGPU_ARENA_ADDRESS_MAX - VGPU_ARENA_ADDRESS_MIN);
    int reason = vgpu_arena_map(&source, &worker->arena, why, sizeof(why));
    if (reason != VGPU_REASON_NONE)
        fail(worker, (uint32_t)reason, 0, why);
    /* The guest's memory is reached through the mapping alone from here on. */
    for (uint32_t i = 0; i < assign->region_count; i++)
        close(fds[i]);

    vgpu_host_init(&worker->host, &worker->arena.view, worker->interrupt_fd);
    vgpu_consumer_init(&worker->consumer, &worker->host, VGPU_OP_LIMIT);
    if (worker_objects_init(worker) != 0 || worker_waits_init(worker) != 0)
        fail(worker, VGPU_REASON_NO_WORKER, 0, "out of memory");
}

static void say_started(struct vgpu_worker *worker)
{
    struct worker_msg_started started = {.process_id = worker->arena.view.header.process_id};

    memcpy(started.process_name, worker->arena.view.header.process_name,
           sizeof(started.process_name) - 1);
    if (worker_link_send(worker->link_fd, WORKER_MSG_STARTED, &started, sizeof(started), NULL, 0,
                         0) != 0)
        _exit(0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"driver", required_argument, NULL, 'd'},
                                            {"no-sandbox", no_argument, NULL, 'n'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    static struct vgpu_worker worker = {.link_fd = WORKER_LINK_FD};
    const char *driver = NULL;
    bool sandbox = true;
    int option, fds[WORKER_LINK_FDS_MAX];
    char text[WORKER_LINK_TEXT];

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            driver = optarg;
            break;
        case 'n':
            sandbox = false;
            break;
        case 'v':
            vgpu_log_set_level(VGPU_LOG_DEBUG);
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    int type;
    socklen_t length = sizeof(type);
    if (!driver || optind != argc ||
        getsockopt(WORKER_LINK_FD, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
        type != SOCK_SEQPACKET) {
        fputs("vgpu-worker: started by vgpu-mediatord only; see vgpu-worker --help\n", stderr);
        return 2;
    }
    snprintf(text, sizeof(text), "%d", (int)getpid());
    vgpu_log_set_context("worker", text);

    /* The driver library must not settle where the guest's arena will be. */
    void *reserved =
        mmap((void *)VGPU_ARENA_ADDRESS_MIN, VGPU_ARENA_ADDRESS_MAX - VGPU_ARENA_ADDRESS_MIN,
             PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (reserved == MAP_FAILED)
        reserved = NULL;

    if (worker_output_init(&worker) != 0)
        vgpu_log(VGPU_LOG_WARN, "kernel_output_lost", LOG_S("why", strerror(errno)));
    start_driver(&worker, driver);
    wait_for_channel(&worker, fds);
    open_channel(&worker, fds, reserved);
    if (sandbox && worker_sandbox(text, sizeof(text)) != 0)
        fail(&worker, VGPU_REASON_NO_WORKER, 0, text);
    say_started(&worker);
    vgpu_host_state(&worker.host, VGPU_HOST_READY, 0);

    /* Rests between looks at the GPU are short: the kernel's usual 50 us of slack would double
     * them. */
    prctl(PR_SET_TIMERSLACK, 1000ul);
    worker_serve(&worker);

    /* The daemon first: once the guest knows, it may take the whole channel away. */
    if (worker.violation) {
        snprintf(text, sizeof(text), "%s", worker.violation);
        say_end(&worker, WORKER_MSG_ENDED, VGPU_REASON_PROTOCOL, 0, text);
        vgpu_host_state(&worker.host, VGPU_HOST_DEAD, 0);
        _exit(1);
    }
    vgpu_host_state(&worker.host, VGPU_HOST_DEAD, 0);
    say_end(&worker, WORKER_MSG_ENDED, VGPU_REASON_NONE, 0, "channel closed");
    _exit(0);
}
