/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_fuzz.c - records of a hostile guest, decoded and executed
 *
 * The input is a sequence of records: opcode (2 bytes), tail length (2 bytes), context (1 byte: 0 none,
 * else the one that exists), then the record's body, cut short by the input's end (the rest reads as
 * zero). They go through the generated decoder and the worker's handlers into the software GPU, with a
 * real context, so that whatever passes the checks really happens. Any crash is a finding.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mediator/common/log.h"
#include "mediator/worker/worker.h"

#define ARENA_BYTES (8u << 20)
#define CONTEXT_HANDLE 1u

static struct vgpu_worker worker;
static struct shm_page page;

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
    bool answered = vgpu_op_table[opcode].op_class != VGPU_CLASS_DEFERRED;

    *record = (struct vgpu_record){.opcode = opcode,
                                   .reply = answered ? 0 : VGPU_REPLY_NONE,
                                   .size = (uint32_t)(sizeof(*record) + bytes),
                                   .context = context};
    memcpy(record + 1, body, bytes);
    worker_execute_record(&worker, record);
    for (int i = 0; i < 100 && worker_in_flight(&worker); i++)
        worker_poll(&worker, true);
    worker.violation = NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct vgpu_arena_header header;
    const char *driver = getenv("VGPU_FUZZ_DRIVER");
    char error[256];

    setenv("VGPU_SOFT_MEMORY_MB", "64", 0);
    vgpu_log_set_level(VGPU_LOG_ERROR);
    if (!driver)
        driver = FUZZ_DRIVER;
    if (worker_driver_load(&worker, driver, error, sizeof(error)) != 0)
        die(error);
    if (worker.driver->cuInit(0) != CUDA_SUCCESS)
        die("the software GPU does not start");
    worker.driver->cuDriverGetVersion(&worker.driver_version);
    worker.driver->cuDeviceGetCount(&worker.device_count);

    void *base = mmap((void *)VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED ||
        vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, 0, 0, VGPU_NOTIFY_FUTEX) != 0)
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
    struct vgpu_req_PrimaryRetain retain = {.device = 0, .context = CONTEXT_HANDLE};
    execute(VGPU_OP_Window, &window.record + 1, sizeof(window) - sizeof(window.record), 0);
    execute(VGPU_OP_PrimaryRetain, &retain.record + 1,
            VGPU_REQ_BYTES_PrimaryRetain - sizeof(retain.record), 0);
    if (!worker.current)
        die("no context");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[VGPU_RECORD_MAX];

    while (size >= 5) {
        uint16_t opcode = (uint16_t)((data[0] | data[1] << 8) % VGPU_OP_LIMIT);
        uint32_t tail = (uint32_t)(data[2] | data[3] << 8);
        bool context = data[4];
        data += 5;
        size -= 5;
        const struct vgpu_op_info *info = &vgpu_op_table[opcode];
        /* The context everything needs stays; its end is tested elsewhere. */
        if (!info->name || opcode == VGPU_OP_PrimaryRelease || opcode == VGPU_OP_CtxDestroy)
            continue;
        size_t bytes = info->request_bytes - sizeof(struct vgpu_record);
        bytes += info->request_tail_max ? tail % (info->request_tail_max + 1) : 0;
        size_t given = bytes < size ? bytes : size;
        memcpy(body, data, given);
        memset(body + given, 0, bytes - given);
        data += given;
        size -= given;
        execute(opcode, body, bytes, context ? CONTEXT_HANDLE : 0);
    }
    return 0;
}
