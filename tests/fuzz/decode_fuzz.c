/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_fuzz.c - records of a hostile guest, decoded and executed
 *
 * The input is a sequence of records: opcode (2 bytes), tail length (2 bytes), handle of the
 * context (1 byte; 1 exists), then the record's body, cut short by the input's end (the rest reads
 * as zero). Opcode 0 writes into the arena's heap: offset (2 bytes), length in 16 bytes (1 byte),
 * bytes. At the heap's start stands a good PTX image. The records go through the generated decoder
 * and the worker's handlers into the software GPU, with real contexts, so that whatever passes the
 * checks really happens. Any crash is a finding. After each input everything it made is taken down,
 * which must leave nothing behind.
 *
 * Kernels must end: grids are made small, and images that the input brings have no branches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mediator/common/log.h"
#include "mediator/worker/worker.h"
#include "tests/fuzz/decode_seeds.h"

#define ARENA_BYTES (8u << 20)
#define CONTEXT_HANDLE 1u

static const char fuzz_ptx[] = FUZZ_PTX;

static struct vgpu_worker worker;
static struct shm_page page;
static const struct vgpu_driver *loaded;
static struct vgpu_driver driver; /* the same, but for launches */
static CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                          unsigned, CUstream, void **, void **);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *what)
{
    fprintf(stderr, "decode_fuzz: %s\n", what);
    exit(2);
}

static void execute(uint16_t opcode, const void *body, size_t bytes, uint32_t context)
{
    static _Alignas(64) uint8_t buffer[VGPU_RECORD_MAX];
    struct vgpu_record *record = (void *)buffer;
    uint16_t reply = VGPU_REPLY_NONE;

    if (vgpu_op_table[opcode].op_class != VGPU_CLASS_DEFERRED) {
        for (reply = 0; worker_reply_promised(&worker, reply); reply++) {
            if (reply + 1u == worker.host.view.header.reply_count)
                return;
        }
    }
    *record = (struct vgpu_record){.opcode = opcode,
                                   .reply = reply,
                                   .size = (uint32_t)(sizeof(*record) + bytes),
                                   .context = context};
    memcpy(record + 1, body, bytes);
    if (opcode == VGPU_OP_Launch) {
        struct vgpu_req_Launch *launch = (void *)buffer;
        for (int i = 0; i < 3; i++)
            launch->grid[i] %= 3;
    }
    worker_execute_record(&worker, record);
    worker_poll(&worker, true);
    worker.violation = NULL;
}

/*
 * A wild store would poison the software GPU for the rest of the process: only kernels that store
 * into memory run, if they do what the good image does.
 */
static CUresult launch_tame(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                            unsigned by, unsigned bz, unsigned shared, CUstream stream,
                            void **params, void **extra)
{
    const uint64_t reach = 27 * 1024 * sizeof(uint32_t); /* most threads a launch may have here */
    uint64_t to = 0;

    if (extra && *(const size_t *)extra[3] >= sizeof(to)) {
        memcpy(&to, extra[1], sizeof(to));
        if (to < worker.window_base || worker.device_memory < reach ||
            to - worker.window_base > worker.device_memory - reach)
            return CUDA_ERROR_INVALID_VALUE;
    }
    return launch(function, gx, gy, gz, bx, by, bz, shared, stream, params, extra);
}

static CUresult launch_tame_ex(const CUlaunchConfig *config, CUfunction function, void **params,
                               void **extra)
{
    return launch_tame(function, config->gridDimX, config->gridDimY, config->gridDimZ,
                       config->blockDimX, config->blockDimY, config->blockDimZ,
                       config->sharedMemBytes, config->hStream, params, extra);
}

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "decode_fuzz: left behind: %s\n", what);
    abort();
}

static void take_down(void)
{
    struct worker_context *context;

    while (worker_in_flight(&worker))
        worker_poll(&worker, true);
    while ((context = LIST_FIRST(&worker.contexts))) {
        if (context->primary) {
            struct vgpu_req_PrimaryRelease release = {.device = context->device,
                                                      .context = context->handle};
            execute(VGPU_OP_PrimaryRelease, &release.record + 1,
                    VGPU_REQ_BYTES_PrimaryRelease - sizeof(release.record), 0);
        } else {
            struct vgpu_req_CtxDestroy destroy = {.context = context->handle};
            execute(VGPU_OP_CtxDestroy, &destroy.record + 1,
                    VGPU_REQ_BYTES_CtxDestroy - sizeof(destroy.record), 0);
        }
    }
    for (uint32_t i = 0; i < worker.objects_used; i++) {
        const struct worker_object object = worker.objects[i];
        if (!object.handle)
            continue;
        if (object.type == VGPU_TYPE_LIBRARY)
            worker.driver->cuLibraryUnload(object.object);
        if (object.type == VGPU_TYPE_LIBRARY || object.type == VGPU_TYPE_BLOB)
            worker_remove(&worker, object.type, object.handle);
    }
    require(!worker.objects_used, "a handle");
    require(!worker.active_count && !worker.wait_count && !worker.work_count &&
                !worker.release_count && !worker.current,
            "work");
    require(!worker.global_count && !worker.blob_bytes && !worker.context_count, "an object");
    require(!worker.device_memory && TAILQ_FIRST(&worker.holes)->bytes == worker.window_bytes,
            "device memory");
    worker.deferred_error = CUDA_SUCCESS;
}

static void set_up(void)
{
    struct vgpu_req_PrimaryRetain retain = {.device = 0, .context = CONTEXT_HANDLE};

    memcpy(worker.host.view.heap, fuzz_ptx, sizeof(fuzz_ptx));
    execute(VGPU_OP_PrimaryRetain, &retain.record + 1,
            VGPU_REQ_BYTES_PrimaryRetain - sizeof(retain.record), 0);
    if (worker.current)
        return;
    /* An image of the input's own did it. Under -fork=N the next process goes on. */
    if (worker.driver->cuCtxSynchronize() != CUDA_SUCCESS)
        _exit(0);
    die("no context");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct vgpu_arena_header header;
    const char *path = getenv("VGPU_FUZZ_DRIVER");
    char error[256];

    setenv("VGPU_SOFT_MEMORY_MB", "16", 0);
    setenv("VGPU_SOFT_CORES", "1", 0);
    vgpu_log_set_level(VGPU_LOG_ERROR);
    if (worker_driver_load(&worker, path ? path : FUZZ_DRIVER, error, sizeof(error)) != 0)
        die(error);
    loaded = worker.driver;
    driver = *loaded;
    launch = driver.cuLaunchKernel;
    driver.cuLaunchKernel = launch_tame;
    driver.cuLaunchKernelEx = launch_tame_ex;
    worker.driver = &driver;
    if (worker.driver->cuInit(0) != CUDA_SUCCESS)
        die("the software GPU does not start");
    worker.driver->cuDriverGetVersion(&worker.driver_version);
    worker.driver->cuDeviceGetCount(&worker.device_count);

    void *base = mmap((void *)VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED || vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, 2048,
                                               16, VGPU_NOTIFY_FUTEX) != 0)
        die("no arena");
    struct vgpu_view view;
    vgpu_view_init(&view, base, &header);
    vgpu_host_init(&worker.host, &view, -1);
    worker.page = &page;
    worker.output_fd = -1;
    worker.assign.flags = WORKER_ASSIGN_MEASURE;
    if (worker_objects_init(&worker) != 0 || worker_waits_init(&worker) != 0)
        die("out of memory");

    struct vgpu_req_Window window = {.base = VGPU_WINDOW_ADDRESS_MIN, .bytes = VGPU_WINDOW_ALIGN};
    execute(VGPU_OP_Window, &window.record + 1, sizeof(window) - sizeof(window.record), 0);
    if (!worker.window_bytes)
        die("no window");
    return 0;
}

static void write_heap(const uint8_t *bytes, size_t count, uint32_t offset)
{
    uint8_t *to = worker.host.view.heap + offset;

    memcpy(to, bytes, count);
    for (size_t i = 0; i + 3 <= count; i++) {
        if (!memcmp(to + i, "bra", 3) || !memcmp(to + i, "cal", 3))
            to[i] = '_';
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[VGPU_RECORD_MAX];

    set_up();
    while (size >= 5) {
        uint16_t opcode = (uint16_t)((data[0] | data[1] << 8) % VGPU_OP_LIMIT);
        uint32_t tail = (uint32_t)(data[2] | data[3] << 8);
        uint8_t context = data[4];
        data += 5;
        size -= 5;
        if (!opcode) {
            size_t given = 16u * context < size ? 16u * context : size;
            write_heap(data, given, tail);
            data += given;
            size -= given;
            continue;
        }
        const struct vgpu_op_info *info = &vgpu_op_table[opcode];
        if (!info->name)
            continue;
        size_t bytes = info->request_bytes - sizeof(struct vgpu_record);
        bytes += info->request_tail_max ? tail % (info->request_tail_max + 1) : 0;
        size_t given = bytes < size ? bytes : size;
        memcpy(body, data, given);
        memset(body + given, 0, bytes - given);
        data += given;
        size -= given;
        execute(opcode, body, bytes, context);
    }
    take_down();
    return 0;
}
