/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker as a process: what the daemon hears from it, what its guest sees of its end, and what
 * it may still ask of the kernel. The test plays the daemon and the guest.
 *
 *   test-worker-process VGPU-WORKER LIBCUDA-SOFT [OPTION-OF-THE-WORKER]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mediator/common/shm_stats.h"
#include "mediator/common/worker_link.h"
#include "protocol/cuda_abi.h"
#include "protocol/transport/host.h"
#include "protocol/transport/spin.h"
#include "vgpu_ops.h"

#define ARENA_BYTES (8u << 20)
#define PATIENCE_MS 20000

static const char *worker_path, *driver_path, *worker_option;

struct process {
    pid_t pid;
    int link, doorbell, interrupt, arena_fd, page_fd;
    struct shm_page *page;
    struct vgpu_view view; /* the arena, mapped here somewhere else than in the worker */
    uint64_t head;
    uint32_t context;
    union worker_msg message;
};

static const char ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry store(.param .u64 to)\n{\n .reg .b32 %r1; .reg .b64 %rd1;\n"
    " ld.param.u64 %rd1, [to]; mov.u32 %r1, 4242; st.global.u32 [%rd1], %r1; ret;\n}\n"
    ".visible .entry hold(.param .u64 flag)\n{\n"
    " .reg .pred %p1; .reg .b32 %r1; .reg .b64 %rd1;\n ld.param.u64 %rd1, [flag];\n"
    "again: ld.volatile.global.u32 %r1, [%rd1]; setp.eq.u32 %p1, %r1, 0; @%p1 bra again;\n"
    " ret;\n}\n";

static void *map_memfd(const char *name, size_t bytes, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(*fd >= 0);
    assert_int_equal(ftruncate(*fd, (off_t)bytes), 0);
    assert_int_equal(fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

/* The next message, or 0 at end of file. */
static uint32_t receive(struct process *p)
{
    struct pollfd ready = {.fd = p->link, .events = POLLIN};
    size_t count = 0;

    if (poll(&ready, 1, PATIENCE_MS) != 1)
        fail_msg("the worker says nothing");
    int got = worker_link_receive(p->link, &p->message, NULL, &count, 0);
    if (got < 0 && errno == ECONNRESET)
        return 0;
    assert_in_range(got, 0, 1);
    return got ? p->message.msg.type : 0;
}

/* As the daemon starts one; options end with NULL. */
static void spawn(struct process *p, const char *driver)
{
    int ends[2];

    memset(p, 0, sizeof(*p));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        setenv("VGPU_SOFT_MEMORY_MB", "64", 1);
        if (ends[1] == WORKER_LINK_FD)
            fcntl(ends[1], F_SETFD, 0);
        else
            dup2(ends[1], WORKER_LINK_FD);
        execl(worker_path, "vgpu-worker", "--driver", driver, worker_option, (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    p->link = ends[0];
}

static void prepare(struct process *p, struct worker_msg_assign *assign)
{
    struct vgpu_arena_header header;
    void *arena = map_memfd("arena", ARENA_BYTES, &p->arena_fd);

    p->page = map_memfd("page", sizeof(*p->page), &p->page_fd);
    p->page->magic = SHM_MAGIC;
    p->page->version = SHM_VERSION;
    p->page->bytes = sizeof(*p->page);
    shm_gate_set(p->page, 1);
    p->doorbell = eventfd(0, EFD_CLOEXEC);
    p->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN + (64ull << 20), ARENA_BYTES,
                                      2048, 8, VGPU_NOTIFY_EVENTFD),
                     0);
    header.process_id = 77;
    strcpy(header.process_name, "guest");
    memcpy(arena, &header, sizeof(header));
    vgpu_view_init(&p->view, arena, &header);
    *assign = (struct worker_msg_assign){.vm_id = 3,
                                         .pool_id = 'A',
                                         .backend = VGPU_BACKEND_LOCAL,
                                         .pages = ARENA_BYTES / 4096,
                                         .flags = WORKER_ASSIGN_MEASURE,
                                         .region_count = 1,
                                         .vm_name = "test",
                                         .regions = {{.size = ARENA_BYTES}}};
}

static void assign(struct process *p, struct worker_msg_assign *message)
{
    int fds[] = {p->arena_fd, p->doorbell, p->interrupt, p->page_fd};

    assert_int_equal(
        worker_link_send(p->link, WORKER_MSG_ASSIGN, message, sizeof(*message), fds, 4, 0), 0);
}

static void say_stop(struct process *p)
{
    struct vgpu_msg stop;

    assert_int_equal(worker_link_send(p->link, WORKER_MSG_STOP, &stop, sizeof(stop), NULL, 0, 0),
                     0);
}

static int ended(struct process *p)
{
    int status = -1;

    for (int i = 0; i < PATIENCE_MS; i++) {
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            p->pid = 0;
            return status;
        }
        usleep(1000);
    }
    fail_msg("the worker does not end");
    return status;
}

static void await_state(struct process *p, uint32_t state)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (atomic_load(&p->view.shared->host_state) == state)
            return;
        usleep(1000);
    }
    fail_msg("the host's state does not become %u", state);
}

static void start(struct process *p)
{
    struct worker_msg_assign message;

    spawn(p, driver_path);
    assert_int_equal(receive(p), WORKER_MSG_HELLO);
    prepare(p, &message);
    assign(p, &message);
    assert_int_equal(receive(p), WORKER_MSG_STARTED);
    await_state(p, VGPU_HOST_READY);
}

static int clean(void **state)
{
    struct process *p = *state;

    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    if (p->view.base)
        munmap(p->view.base, ARENA_BYTES);
    if (p->page)
        munmap(p->page, sizeof(*p->page));
    for (int *fd = &p->link; fd <= &p->page_fd; fd++)
        if (*fd > 0)
            close(*fd);
    memset(p, 0, sizeof(*p));
    return 0;
}

/* ---- the guest's side ---- */

static uint64_t heap_at(const struct process *p, uint64_t offset)
{
    return p->view.header.base + p->view.header.heap_offset + offset;
}

static void post(struct process *p, uint16_t op, void *request, uint32_t size, const void *tail,
                 uint32_t bytes, uint16_t slot)
{
    struct vgpu_arena_shared *shared = p->view.shared;
    uint32_t slots = p->view.header.ring_slots, need = (size + bytes + 63) / 64, one = 1;

    if (p->head % slots + need > slots) {
        struct vgpu_record pad = {.opcode = VGPU_OP_PAD,
                                  .reply = VGPU_REPLY_NONE,
                                  .size = (uint32_t)(slots - p->head % slots) * 64};
        memcpy(p->view.ring + p->head % slots * 64, &pad, sizeof(pad));
        atomic_store(&shared->head, p->head + pad.size / 64);
        atomic_store(&p->view.commit[p->head % slots], (uint32_t)(p->head / slots) + 1);
        p->head += pad.size / 64;
    }
    while (p->head + need - atomic_load(&shared->tail) > slots)
        usleep(100);
    uint8_t *at = p->view.ring + p->head % slots * 64;
    memcpy(at, request, size);
    *(struct vgpu_record *)at = (struct vgpu_record){
        .opcode = op, .reply = slot, .size = size + bytes, .context = p->context};
    if (bytes)
        memcpy(at + size, tail, bytes);
    atomic_store(&shared->head, p->head + need);
    atomic_store(&p->view.commit[p->head % slots], (uint32_t)(p->head / slots) + 1);
    p->head += need;
    if (atomic_compare_exchange_strong(&shared->consumer_sleeping, &one, 0))
        eventfd_write(p->doorbell, 1);
}

static struct vgpu_reply *answer(struct process *p, uint16_t slot)
{
    struct vgpu_reply *reply = &p->view.replies[slot];

    for (int i = 0; atomic_load(&reply->state) != VGPU_REPLY_DONE; i++) {
        if (i == PATIENCE_MS * 10)
            fail_msg("no answer");
        usleep(100);
    }
    return reply;
}

#define SEND(p, op, tail, bytes, ...)                                                              \
    post(p, VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail, bytes,  \
         VGPU_REPLY_NONE)
#define START(p, slot, op, tail, bytes, ...)                                                       \
    (atomic_store(&(p)->view.replies[slot].state, VGPU_REPLY_PENDING),                             \
     post(p, VGPU_OP_##op, &(struct vgpu_req_##op){__VA_ARGS__}, VGPU_REQ_BYTES_##op, tail, bytes, \
          slot))
#define CALL(p, op, tail, bytes, ...)                                                              \
    (START(p, 0, op, tail, bytes, __VA_ARGS__), (CUresult)answer(p, 0)->result)
#define ANSWER(p, op) ((const struct vgpu_rsp_##op *)(p)->view.replies[0].payload)

static uint64_t open_gpu(struct process *p, const char *kernel)
{
    assert_int_equal(CALL(p, Init, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(
        CALL(p, Window, NULL, 0, .base = VGPU_WINDOW_ADDRESS_MIN, .bytes = VGPU_WINDOW_ALIGN),
        CUDA_SUCCESS);
    assert_int_equal(CALL(p, PrimaryRetain, NULL, 0, .context = 1), CUDA_SUCCESS);
    p->context = 1;
    assert_int_equal(CALL(p, HostRegister, NULL, 0, .address = heap_at(p, 0), .bytes = 1 << 20),
                     CUDA_SUCCESS);
    SEND(p, BlobCreate, NULL, 0, .blob = 2, .size = sizeof(ptx));
    memcpy(p->view.heap + 4096, ptx, sizeof(ptx));
    SEND(p, BlobWrite, NULL, 0, .blob = 2, .data = heap_at(p, 4096), .size = sizeof(ptx));
    assert_int_equal(CALL(p, ModuleLoad, NULL, 0, .module = 3, .blob = 2, .info_log = heap_at(p, 0),
                          .error_log = heap_at(p, 0)),
                     CUDA_SUCCESS);
    assert_int_equal(
        CALL(p, ModuleGetFunction, kernel, (uint32_t)strlen(kernel), .module = 3, .function = 4),
        CUDA_SUCCESS);
    assert_int_equal(CALL(p, MemAlloc, NULL, 0, .bytes = 4096), CUDA_SUCCESS);
    return ANSWER(p, MemAlloc)->address;
}

static void launch(struct process *p, uint64_t argument)
{
    SEND(p, Launch, &argument, sizeof(argument), .function = 4, .grid = {1, 1, 1},
         .block = {1, 1, 1});
}

/* ---- tests ---- */

static void a_worker_serves_a_channel_and_stops(void **state)
{
    struct process *p = *state;
    struct worker_msg_assign message;

    spawn(p, driver_path);
    assert_int_equal(receive(p), WORKER_MSG_HELLO);
    assert_int_equal(p->message.hello.version, WORKER_LINK_VERSION);
    assert_int_equal(p->message.hello.device_count, 1);
    assert_int_equal(p->message.hello.device_memory, 64 << 20);
    assert_true(p->message.hello.device_name[0]);
    prepare(p, &message);
    assign(p, &message);
    assert_int_equal(receive(p), WORKER_MSG_STARTED);
    assert_int_equal(p->message.started.process_id, 77);
    assert_string_equal(p->message.started.process_name, "guest");
    await_state(p, VGPU_HOST_READY);
    uint64_t memory = open_gpu(p, "store");
    launch(p, memory);
    assert_int_equal(CALL(p, CopyOutInline, NULL, 0, .source = memory, .bytes = 4), CUDA_SUCCESS);
    assert_int_equal(*(uint32_t *)answer(p, 0)->payload, 4242);
    /* The answer may come before the statistics of the record it answers. */
    for (int i = 0; atomic_load(&p->page->calls[VGPU_OP_CopyOutInline].calls) != 1; i++) {
        assert_true(i < PATIENCE_MS);
        usleep(1000);
    }
    assert_int_equal(p->page->calls[VGPU_OP_Launch].calls, 1);
    assert_true(p->page->calls[VGPU_OP_Launch].gpu_ns > 0);
    assert_true(p->page->device_memory > 0);
    say_stop(p);
    uint32_t type;
    while ((type = receive(p)) == WORKER_MSG_WAKE)
        ;
    assert_int_equal(type, WORKER_MSG_ENDED);
    assert_int_equal(p->message.end.reason, VGPU_REASON_NONE);
    await_state(p, VGPU_HOST_DEAD);
    assert_int_equal(receive(p), 0);
    assert_int_equal(ended(p), 0);
}

static void a_spare_worker_stops(void **state)
{
    struct process *p = *state;

    spawn(p, driver_path);
    assert_int_equal(receive(p), WORKER_MSG_HELLO);
    say_stop(p);
    assert_int_equal(receive(p), WORKER_MSG_ENDED);
    assert_int_equal(p->message.end.reason, VGPU_REASON_NONE);
    assert_int_equal(ended(p), 0);
}

static void a_worker_ends_with_its_daemon(void **state)
{
    struct process *p = *state;

    for (int running = 0; running < 3; running++) {
        if (running) {
            start(p);
        } else {
            spawn(p, driver_path);
            assert_int_equal(receive(p), WORKER_MSG_HELLO);
        }
        if (running == 2) /* also while it watches a kernel that does not end */
            launch(p, (open_gpu(p, "hold"), heap_at(p, 0)));
        close(p->link);
        p->link = 0;
        assert_true(WIFEXITED(ended(p)));
        clean(state);
    }
}

static void a_driver_that_does_not_load_is_reported(void **state)
{
    struct process *p = *state;

    spawn(p, "/nonexistent/libcuda.so.1");
    assert_int_equal(receive(p), WORKER_MSG_FAILED);
    assert_int_equal(p->message.end.reason, VGPU_REASON_GPU);
    assert_non_null(strstr(p->message.end.text, "/nonexistent/libcuda.so.1"));
    assert_true(WIFEXITED(ended(p)));
}

static void a_bad_arena_is_refused_with_its_reason(void **state)
{
    struct process *p = *state;

    for (int round = 0; round < 4; round++) {
        struct worker_msg_assign message;
        static const uint32_t reasons[] = {VGPU_REASON_PROTOCOL, VGPU_REASON_VERSION,
                                           VGPU_REASON_BAD_TABLE, VGPU_REASON_NO_WORKER};
        spawn(p, driver_path);
        assert_int_equal(receive(p), WORKER_MSG_HELLO);
        prepare(p, &message);
        struct vgpu_arena_header *header = (void *)p->view.base;
        if (round == 0)
            header->reply_count = VGPU_REPLY_COUNT_MAX + 1;
        if (round == 1)
            header->major++;
        if (round == 2)
            message.pages++;
        if (round == 3)
            p->page->version++;
        assign(p, &message);
        assert_int_equal(receive(p), WORKER_MSG_FAILED);
        assert_int_equal(p->message.end.reason, reasons[round]);
        assert_true(p->message.end.text[0]);
        assert_true(WIFEXITED(ended(p)));
        clean(state);
    }
}

static void a_guest_that_breaks_the_protocol_is_cut_off(void **state)
{
    struct process *p = *state;

    for (int round = 0; round < 3; round++) {
        start(p);
        if (round == 0) { /* the transport's rules */
            struct vgpu_record *record = (void *)p->view.ring;
            *record = (struct vgpu_record){.opcode = VGPU_OP_LIMIT, .size = 64, .reply = 0};
            atomic_store(&p->view.shared->head, 1);
            atomic_store(&p->view.commit[0], 1);
            eventfd_write(p->doorbell, 1);
        } else if (round == 1) { /* an operation's */
            SEND(p, BlobCreate, NULL, 0, .blob = 0, .size = 1);
        } else { /* a slot named twice */
            open_gpu(p, "hold");
            launch(p, heap_at(p, 0));
            START(p, 5, CtxSynchronize, NULL, 0, .record = {0});
            START(p, 5, CtxSynchronize, NULL, 0, .record = {0});
        }
        uint32_t type;
        while ((type = receive(p)) == WORKER_MSG_WAKE)
            ;
        assert_int_equal(type, WORKER_MSG_ENDED);
        assert_int_equal(p->message.end.reason, VGPU_REASON_PROTOCOL);
        assert_true(p->message.end.text[0]);
        await_state(p, VGPU_HOST_DEAD);
        assert_true(WIFEXITED(ended(p)));
        clean(state);
    }
}

static void a_shut_gate_holds_back_gpu_work_only(void **state)
{
    struct process *p = *state;

    start(p);
    uint64_t memory = open_gpu(p, "store");
    while (atomic_load(&p->page->backlog))
        usleep(1000);
    atomic_store(&p->page->wake_on, SHM_WAKE_WORK);
    shm_gate_set(p->page, 0);
    assert_int_equal(CALL(p, MemGetInfo, NULL, 0, .record = {0}), CUDA_SUCCESS);
    assert_int_equal(atomic_load(&p->page->backlog), 0);
    launch(p, memory);
    START(p, 1, CopyOutInline, NULL, 0, .source = memory, .bytes = 4);
    assert_int_equal(receive(p), WORKER_MSG_WAKE);
    assert_int_equal(atomic_load(&p->page->wake_on), 0);
    usleep(50000);
    assert_int_equal(atomic_load(&p->page->backlog), 1);
    assert_int_equal(atomic_load(&p->page->calls[VGPU_OP_Launch].calls), 0);
    assert_int_equal(atomic_load(&p->view.replies[1].state), VGPU_REPLY_PENDING);
    atomic_store(&p->page->wake_on, SHM_WAKE_IDLE);
    shm_gate_set(p->page, 1);
    assert_int_equal(answer(p, 1)->result, CUDA_SUCCESS);
    assert_int_equal(*(uint32_t *)answer(p, 1)->payload, 4242);
    assert_int_equal(receive(p), WORKER_MSG_WAKE);
    assert_int_equal(atomic_load(&p->page->backlog), 0);
    assert_int_equal(atomic_load(&p->page->in_flight), 0);
    assert_true(atomic_load(&p->page->gate_wait_ns) > 0);
}

static void a_worker_told_to_stop_does_not_wait_for_the_gpu_or_the_gate(void **state)
{
    struct process *p = *state;

    for (int round = 0; round < 2; round++) {
        start(p);
        open_gpu(p, "hold");
        if (round)
            shm_gate_set(p->page, 0);
        launch(p, heap_at(p, 0));
        START(p, 5, CtxSynchronize, NULL, 0, .record = {0});
        usleep(20000);
        say_stop(p);
        assert_int_equal(receive(p), WORKER_MSG_ENDED);
        assert_int_equal(p->message.end.reason, VGPU_REASON_NONE);
        assert_int_equal(ended(p), 0);
        clean(state);
    }
}

static void a_sleeping_caller_is_interrupted(void **state)
{
    struct process *p = *state;
    eventfd_t count = 0;

    start(p);
    open_gpu(p, "hold");
    launch(p, heap_at(p, 0));
    eventfd_read(p->interrupt, &count);
    START(p, 5, CtxSynchronize, NULL, 0, .record = {0});
    atomic_store(&p->view.replies[5].sleeping, 1);
    atomic_store((_Atomic uint32_t *)p->view.heap, 1);
    struct pollfd ready = {.fd = p->interrupt, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    assert_int_equal(answer(p, 5)->result, CUDA_SUCCESS);
}

/* An illegal access ends the use of CUDA by this guest process; it is told, and nothing hangs. */
static void a_wild_kernel_is_reported_to_its_guest(void **state)
{
    struct process *p = *state;

    start(p);
    uint64_t memory = open_gpu(p, "store");
    launch(p, 0x1000);
    SEND(p, Copy, NULL, 0, .destination = memory, .source = heap_at(p, 0), .bytes = 4,
         .release = 7);
    assert_int_equal(CALL(p, CtxSynchronize, NULL, 0, .record = {0}), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(CALL(p, CtxSynchronize, NULL, 0, .record = {0}), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_not_equal(CALL(p, MemAlloc, NULL, 0, .bytes = 4ull << 30), CUDA_SUCCESS);
    assert_int_equal(CALL(p, CopyOutInline, NULL, 0, .source = memory, .bytes = 4),
                     CUDA_ERROR_ILLEGAL_ADDRESS);
    launch(p, memory);
    assert_int_equal(CALL(p, StreamQuery, NULL, 0, .stream = 0), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_int_equal(atomic_load(&p->view.shared->release[6]), 1);
    CALL(p, PrimaryRelease, NULL, 0, .context = 1);
    p->context = 0;
    assert_int_equal(CALL(p, PrimaryRetain, NULL, 0, .context = 1), CUDA_ERROR_ILLEGAL_ADDRESS);
    say_stop(p);
    uint32_t type;
    while ((type = receive(p)) == WORKER_MSG_WAKE)
        ;
    assert_int_equal(type, WORKER_MSG_ENDED);
    assert_int_equal(ended(p), 0);
}

static void system_calls_are_filtered(void **state)
{
    struct process *p = *state;
    char path[64], line[256];
    int mode = -1;

    start(p);
    snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid);
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status))
        sscanf(line, "Seccomp: %d", &mode);
    fclose(status);
    assert_int_equal(mode, worker_option ? 0 : 2);
    /* The software GPU makes its threads only now. */
    uint64_t memory = open_gpu(p, "store");
    launch(p, memory);
    assert_int_equal(CALL(p, CtxSynchronize, NULL, 0, .record = {0}), CUDA_SUCCESS);
}

static void started_by_hand_it_says_who_starts_it(void **state)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 2);
        dup2(null, 3);
        execl(worker_path, "vgpu-worker", "--driver", driver_path, (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

int main(int argc, char **argv)
{
    static struct process process;

    if (argc < 3)
        return 2;
    worker_path = argv[1];
    driver_path = argv[2];
    worker_option = argv[3];
#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, NULL, clean, &process)
    const struct CMUnitTest tests[] = {
        TEST(a_worker_serves_a_channel_and_stops),
        TEST(a_spare_worker_stops),
        TEST(a_worker_ends_with_its_daemon),
        TEST(a_driver_that_does_not_load_is_reported),
        TEST(a_bad_arena_is_refused_with_its_reason),
        TEST(a_guest_that_breaks_the_protocol_is_cut_off),
        TEST(a_shut_gate_holds_back_gpu_work_only),
        TEST(a_worker_told_to_stop_does_not_wait_for_the_gpu_or_the_gate),
        TEST(a_sleeping_caller_is_interrupted),
        TEST(a_wild_kernel_is_reported_to_its_guest),
        TEST(system_calls_are_filtered),
        TEST(started_by_hand_it_says_who_starts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
