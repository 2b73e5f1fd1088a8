/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_execute.c - what the worker adds to a driver call
 *
 * Serves records from a ring, as in production, on a driver whose calls do nothing.
 *
 *   bench_execute [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "mediator/common/log.h"
#include "mediator/worker/worker.h"

#define ARENA_BYTES (8u << 20)
#define CONTEXT 1u
#define FUNCTION 2u
#define STREAM 3u
#define STREAMS 8u
#define BATCH 512u /* records put into the ring at a time */

static struct vgpu_worker worker;
static struct shm_page page;
static uint64_t position;

static CUresult nothing(void)
{
    return CUDA_SUCCESS;
}

static CUresult three_params(CUfunction function, size_t index, size_t *offset, size_t *size)
{
    *offset = 8 * index;
    *size = 8;
    return index < 3 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static void put(uint16_t opcode, void *request, uint32_t size, uint32_t tail)
{
    struct vgpu_view *view = &worker.host.view;
    uint32_t slots = view->header.ring_slots, need = (size + tail + 63) / 64;
    uint8_t *at = view->ring + position % slots * VGPU_SLOT_BYTES;

    memcpy(at, request, size);
    memset(at + size, 0, tail);
    *(struct vgpu_record *)at = (struct vgpu_record){
        .opcode = opcode, .reply = VGPU_REPLY_NONE, .size = size + tail, .context = CONTEXT};
    atomic_store(&view->commit[position % slots], (uint32_t)(position / slots) + 1);
    position += need;
    atomic_store(&view->shared->head, position);
}

/* Executes everything in the ring; ns per record. */
static double serve(unsigned records)
{
    static _Alignas(64) uint8_t buffer[VGPU_RECORD_MAX];
    uint64_t start = vgpu_now_ns();
    unsigned served = worker_serve_batch(&worker, (void *)buffer, records);
    uint64_t end = vgpu_now_ns();

    if (served != records || worker.violation || worker.deferred_error) {
        fprintf(stderr, "bench_execute: %u of %u records served: %s, error %d\n", served, records,
                worker.violation ? worker.violation : "no violation", (int)worker.deferred_error);
        exit(1);
    }
    while (worker_in_flight(&worker))
        worker_poll(&worker, true);
    return (double)(end - start) / records;
}

static void put_launch(unsigned i)
{
    struct vgpu_req_Launch launch = {.function = FUNCTION,
                                     .grid = {1, 1, 1},
                                     .block = {1, 1, 1},
                                     .stream = i % STREAMS ? STREAM + i % STREAMS : 0};
    put(VGPU_OP_Launch, &launch, VGPU_REQ_BYTES_Launch, 24);
}

static void put_copy(unsigned i)
{
    struct vgpu_req_Copy copy = {.destination = worker.window_base,
                                 .source = (uintptr_t)worker.host.view.heap,
                                 .bytes = 4096,
                                 .stream = STREAM,
                                 .release = 1 + i % 128};
    put(VGPU_OP_Copy, &copy, VGPU_REQ_BYTES_Copy, 0);
}

static void put_inline(unsigned i)
{
    struct vgpu_req_CopyInline copy = {.destination = worker.window_base, .bytes = 64};
    put(VGPU_OP_CopyInline, &copy, VGPU_REQ_BYTES_CopyInline, 64);
}

static void put_event(unsigned i)
{
    struct vgpu_req_CtxSetCacheConfig config = {.config = 0};
    put(VGPU_OP_CtxSetCacheConfig, &config, VGPU_REQ_BYTES_CtxSetCacheConfig, 0);
}

static void set_up(void)
{
    static struct vgpu_driver driver;
    struct vgpu_arena_header header;
    struct vgpu_view view;
    int ends[2];

    for (const struct vgpu_driver_symbol *s = vgpu_driver_symbols; s->name; s++)
        *(CUresult(**)(void))((char *)&driver + s->offset) = nothing;
    driver.cuFuncGetParamInfo = three_params;
    worker.driver = &driver;
    worker.device_count = 1;
    void *base = mmap((void *)VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) ||
        vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, ARENA_BYTES, 4096, 16,
                         VGPU_NOTIFY_FUTEX) != 0) {
        fputs("bench_execute: no arena\n", stderr);
        exit(1);
    }
    vgpu_view_init(&view, base, &header);
    vgpu_host_init(&worker.host, &view, -1);
    vgpu_consumer_init(&worker.consumer, &worker.host, VGPU_OP_LIMIT);
    worker.link_fd = ends[0];
    worker.page = &page;
    worker.output_fd = -1;
    shm_gate_set(&page, 1);
    if (worker_objects_init(&worker) != 0 || worker_waits_init(&worker) != 0)
        exit(1);
    worker.window_base = VGPU_WINDOW_ADDRESS_MIN;
    worker.window_bytes = VGPU_WINDOW_ALIGN;

    static struct worker_context context;
    static struct worker_function function;
    context.handle = CONTEXT;
    TAILQ_INIT(&context.timing_events);
    TAILQ_INIT(&context.plain_events);
    worker_stream_init(&context.default_stream, &context, NULL);
    worker.current = &context;
    worker_insert(&worker, VGPU_TYPE_CONTEXT, CONTEXT, &context);
    function.context = &context;
    worker_insert(&worker, VGPU_TYPE_FUNCTION, FUNCTION, &function);
    for (uint32_t i = 0; i < STREAMS; i++)
        worker_insert(&worker, VGPU_TYPE_STREAM, STREAM + i, (void *)(uintptr_t)(1 + i));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*put)(unsigned);
        bool measure;
    } cases[] = {
        {"setting, no GPU work", put_event, false}, {"launch", put_launch, false},
        {"launch, measured", put_launch, true},     {"copy with release word", put_copy, false},
        {"copy, measured", put_copy, true},         {"inline copy of 64 bytes", put_inline, false}};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2000;

    vgpu_log_set_level(VGPU_LOG_ERROR);
    set_up();
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        double best = 1e18, sum = 0;

        worker.assign.flags = cases[c].measure ? WORKER_ASSIGN_MEASURE : 0;
        for (unsigned round = 0; round < rounds; round++) {
            for (unsigned i = 0; i < BATCH / 4; i++)
                cases[c].put(i);
            double ns = serve(BATCH / 4);
            best = ns < best ? ns : best;
            sum += ns;
        }
        printf("%-26s %7.1f ns per record, best %7.1f\n", cases[c].name, sum / rounds, best);
    }
    return 0;
}
