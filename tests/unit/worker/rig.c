/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/rig.h"

#include <stdio.h>
#include <sched.h>
#include <sys/mman.h>

#include "mediator/common/log.h"

struct rig rig;

const char rig_ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .global .align 4 .b8 table[64];\n"
    ".visible .entry fill(.param .u64 to, .param .u32 value, .param .u32 count)\n{\n"
    " .reg .pred %p1; .reg .b32 %r<6>; .reg .b64 %rd<4>;\n"
    " ld.param.u64 %rd1, [to]; ld.param.u32 %r1, [value]; ld.param.u32 %r2, [count];\n"
    " mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;\n"
    " mad.lo.s32 %r5, %r3, %r4, %r5;\n"
    " setp.ge.u32 %p1, %r5, %r2; @%p1 bra done;\n"
    " mul.wide.u32 %rd2, %r5, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r1;\n"
    "done: ret;\n}\n"
    ".visible .entry hold(.param .u64 flag)\n{\n"
    " .reg .pred %p1; .reg .b32 %r1; .reg .b64 %rd1;\n"
    " ld.param.u64 %rd1, [flag];\n"
    "again: ld.volatile.global.u32 %r1, [%rd1]; setp.eq.u32 %p1, %r1, 0; @%p1 bra again;\n"
    " ret;\n}\n"
    ".visible .entry nothing()\n{\n ret;\n}\n";
const size_t rig_ptx_bytes = sizeof(rig_ptx) - 1;

int rig_start(void **state)
{
    struct vgpu_worker *worker = &rig.worker;
    struct vgpu_arena_header header;
    struct vgpu_view view;
    char error[256];

    setenv("VGPU_SOFT_MEMORY_MB", "64", 1);
    setenv("VGPU_SOFT_CORES", "2", 1);
    vgpu_log_set_level(VGPU_LOG_ERROR);
    if (worker_driver_load(worker, RIG_DRIVER, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return -1;
    }
    if (worker->driver->cuInit(0) != CUDA_SUCCESS)
        return -1;
    worker->driver->cuDriverGetVersion(&worker->driver_version);
    worker->driver->cuDeviceGetCount(&worker->device_count);
    void *base = mmap((void *)VGPU_ARENA_ADDRESS_MIN, RIG_ARENA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED || vgpu_layout_plan(&header, VGPU_ARENA_ADDRESS_MIN, RIG_ARENA_BYTES, 0,
                                               16, VGPU_NOTIFY_FUTEX) != 0)
        return -1;
    vgpu_view_init(&view, base, &header);
    vgpu_host_init(&worker->host, &view, -1);
    rig.heap = view.heap;
    rig.next_handle = 1;
    worker->page = &rig.page;
    worker->output_fd = -1;
    if (worker_objects_init(worker) != 0 || worker_waits_init(worker) != 0)
        return -1;
    return CALL(Window, NULL, 0, .base = VGPU_WINDOW_ADDRESS_MIN, .bytes = VGPU_WINDOW_ALIGN);
}

int rig_plain(void **state)
{
    memset(&rig.page, 0, sizeof(rig.page));
    memset(rig.heap, 0, rig.worker.host.view.heap_bytes);
    memset(rig.worker.host.view.shared->release, 0, sizeof(rig.worker.host.view.shared->release));
    rig.worker.assign.flags = 0;
    rig.worker.assign.device_memory_limit = 0;
    rig.context = 0;
    return 0;
}

int rig_context(void **state)
{
    rig_plain(state);
    uint32_t context = rig_handle();
    if (CALL(PrimaryRetain, NULL, 0, .context = context))
        return -1;
    rig.context = context;
    return CALL(HostRegister, NULL, 0, .address = (uintptr_t)rig.heap, .bytes = 1 << 20);
}

int rig_finish(void **state)
{
    struct worker_context *context;

    while ((context = LIST_FIRST(&rig.worker.contexts))) {
        rig.context = 0;
        CUresult result = context->primary ? CALL(PrimaryRelease, NULL, 0, .device = 0,
                                                  .context = context->handle)
                                           : CALL(CtxDestroy, NULL, 0, .context = context->handle);
        if (result != CUDA_SUCCESS)
            return -1;
    }
    const struct vgpu_worker *w = &rig.worker;
    uint32_t left = w->work_count + w->wait_count + w->active_count + w->release_count +
                    w->global_count + w->context_count;
    for (uint32_t i = 0; i < w->objects_used; i++) {
        if (w->objects[i].handle && w->objects[i].type != VGPU_TYPE_BLOB &&
            w->objects[i].type != VGPU_TYPE_LIBRARY && w->objects[i].type != VGPU_TYPE_KERNEL)
            left++;
    }
    const struct window_hole *hole = TAILQ_FIRST(&w->holes);
    if (left || w->device_memory || !hole || hole->bytes != w->window_bytes) {
        fprintf(stderr, "left behind: %u things, %llu bytes of device memory\n", left,
                (unsigned long long)w->device_memory);
        return -1;
    }
    rig.worker.deferred_error = CUDA_SUCCESS;
    rig.worker.violation = NULL;
    return 0;
}

uint32_t rig_handle(void)
{
    return rig.next_handle++;
}

uint16_t rig_slot(void)
{
    static uint16_t next;

    for (unsigned i = 0; i < rig.worker.host.view.header.reply_count; i++) {
        uint16_t slot = next++ % rig.worker.host.view.header.reply_count;
        if (worker_reply_promised(&rig.worker, slot))
            continue;
        memset(&rig.worker.host.view.replies[slot], 0, sizeof(struct vgpu_reply));
        return slot;
    }
    fail_msg("no reply slot is free");
    return 0;
}

void rig_record(uint16_t opcode, void *request, uint32_t size, const void *tail, uint32_t bytes,
                uint16_t slot)
{
    static _Alignas(64) uint8_t buffer[VGPU_RECORD_MAX];
    struct vgpu_record *record = (void *)buffer;

    memcpy(buffer, request, size);
    if (bytes)
        memcpy(buffer + size, tail, bytes);
    *record = (struct vgpu_record){
        .opcode = opcode, .reply = slot, .size = size + bytes, .context = rig.context};
    rig.worker.now = vgpu_now_ns();
    worker_execute_record(&rig.worker, record);
}

bool rig_answered(uint16_t slot)
{
    return atomic_load(&rig.worker.host.view.replies[slot].state) == VGPU_REPLY_DONE;
}

CUresult rig_wait(uint16_t slot)
{
    while (!rig_answered(slot)) {
        if (rig.worker.violation)
            return CUDA_ERROR_UNKNOWN;
        assert_true(worker_in_flight(&rig.worker));
        worker_poll(&rig.worker, true);
        sched_yield();
    }
    rig.reply = &rig.worker.host.view.replies[slot];
    return rig.reply->result;
}

CUresult rig_call(uint16_t opcode, void *request, uint32_t size, const void *tail, uint32_t bytes)
{
    uint16_t slot = rig_slot();

    rig_record(opcode, request, size, tail, bytes, slot);
    return rig_wait(slot);
}

void rig_drain(void)
{
    while (worker_in_flight(&rig.worker)) {
        worker_poll(&rig.worker, true);
        sched_yield();
    }
}

uint64_t rig_alloc(uint64_t bytes)
{
    assert_int_equal(CALL(MemAlloc, NULL, 0, .bytes = bytes), CUDA_SUCCESS);
    return ANSWER(MemAlloc)->address;
}

void rig_free(uint64_t address)
{
    assert_int_equal(CALL(MemFree, NULL, 0, .address = address), CUDA_SUCCESS);
}

uint32_t rig_stream(void)
{
    uint32_t stream = rig_handle();

    SEND(StreamCreate, NULL, 0, .stream = stream, .flags = CU_STREAM_NON_BLOCKING);
    assert_non_null(worker_object(&rig.worker, VGPU_TYPE_STREAM, stream));
    return stream;
}

uint32_t rig_blob(const void *data, size_t bytes)
{
    uint32_t blob = rig_handle();
    uint8_t *stage = rig.heap + (1 << 20);

    SEND(BlobCreate, NULL, 0, .blob = blob, .size = bytes);
    memcpy(stage, data, bytes);
    SEND(BlobWrite, NULL, 0, .blob = blob, .data = (uintptr_t)stage, .size = bytes);
    return blob;
}

uint32_t rig_module(void)
{
    uint32_t module = rig_handle(), blob = rig_blob(rig_ptx, rig_ptx_bytes);

    assert_int_equal(CALL(ModuleLoad, NULL, 0, .module = module, .blob = blob), CUDA_SUCCESS);
    SEND(BlobFree, NULL, 0, .blob = blob);
    return module;
}

uint32_t rig_function(uint32_t module, const char *name)
{
    uint32_t function = rig_handle();

    assert_int_equal(CALL(ModuleGetFunction, name, (uint32_t)strlen(name), .module = module,
                          .function = function),
                     CUDA_SUCCESS);
    return function;
}

void rig_fill(uint32_t function, uint32_t stream, uint64_t to, uint32_t value, uint32_t count)
{
    struct fill_args args = {to, value, count};

    SEND(Launch, &args, sizeof(args), .function = function, .grid = {(count + 63) / 64, 1, 1},
         .block = {64, 1, 1}, .stream = stream);
}

void rig_hold(uint32_t function, uint32_t stream, volatile uint32_t *flag)
{
    uint64_t address = (uintptr_t)flag;

    SEND(Launch, &address, sizeof(address), .function = function, .grid = {1, 1, 1},
         .block = {1, 1, 1}, .stream = stream);
}
