/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - device memory, pinned memory, copies and fills */
#include "worker.h"

#include <string.h>

/* No current context is the commonest mistake of a program; the driver's answer to it. */
#define NEED_CONTEXT(worker)                                                                       \
    do {                                                                                           \
        if (!(worker)->current)                                                                    \
            return CUDA_ERROR_INVALID_CONTEXT;                                                     \
    } while (0)

CUresult worker_do_MemAlloc(struct vgpu_worker *worker, const struct worker_args_MemAlloc *args,
                            struct vgpu_rsp_MemAlloc *out, struct vgpu_answer *answer)
{
    NEED_CONTEXT(worker);
    return device_heap_alloc(worker, worker->current->heap, args->bytes, &out->address);
}

CUresult worker_do_MemAllocPitch(struct vgpu_worker *worker,
                                 const struct worker_args_MemAllocPitch *args,
                                 struct vgpu_rsp_MemAllocPitch *out, struct vgpu_answer *answer)
{
    NEED_CONTEXT(worker);
    if (args->element != 4 && args->element != 8 && args->element != 16)
        return CUDA_ERROR_INVALID_VALUE;
    if (!args->width || !args->height || args->width > worker->window_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    out->pitch = (args->width + 511) & ~511ull;
    uint64_t bytes;
    if (__builtin_mul_overflow(out->pitch, args->height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return device_heap_alloc(worker, worker->current->heap, bytes, &out->address);
}

static CUresult free_now(struct vgpu_worker *worker, struct worker_context *context,
                         uint64_t address)
{
    return device_heap_release(worker, context->heap, address);
}

/* As natively, freeing waits for everything that might still use the memory. */
CUresult worker_do_MemFree(struct vgpu_worker *worker, const struct worker_args_MemFree *args,
                           struct vgpu_answer *answer)
{
    struct worker_context *context, *owner = NULL;

    LIST_FOREACH(context, &worker->contexts, link)
    {
        if (device_heap_owns(context->heap, args->address))
            owner = context;
    }
    if (!owner)
        return CUDA_ERROR_INVALID_VALUE;
    return worker_wait_work(worker, owner, NULL, 0, free_now, args->address);
}

CUresult worker_do_MemGetInfo(struct vgpu_worker *worker, const struct worker_args_MemGetInfo *args,
                              struct vgpu_rsp_MemGetInfo *out, struct vgpu_answer *answer)
{
    size_t free_bytes = 0, total = 0;

    NEED_CONTEXT(worker);
    CUresult result = worker->driver->cuMemGetInfo_v2(&free_bytes, &total);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t idle = device_heap_idle(worker->current->heap);
    uint64_t limit = worker->assign.device_memory_limit;
    out->free = free_bytes + idle;
    out->total = total;
    if (limit && limit < total) {
        uint64_t left = limit > worker->device_memory ? limit - worker->device_memory : 0;
        out->total = limit;
        out->free = left + idle < out->free ? left + idle : out->free;
    }
    return CUDA_SUCCESS;
}

CUresult worker_do_HostRegister(struct vgpu_worker *worker,
                                const struct worker_args_HostRegister *args,
                                struct vgpu_answer *answer)
{
    const unsigned allowed = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;

    NEED_CONTEXT(worker);
    if (args->address % 4096 || args->bytes % 4096 || !args->bytes || (args->flags & ~allowed))
        return CUDA_ERROR_INVALID_VALUE;
    return worker->driver->cuMemHostRegister_v2((void *)(uintptr_t)args->address, args->bytes,
                                                args->flags | allowed);
}

static CUresult unregister_now(struct vgpu_worker *worker, struct worker_context *context,
                               uint64_t address)
{
    return worker->driver->cuMemHostUnregister((void *)(uintptr_t)address);
}

CUresult worker_do_HostUnregister(struct vgpu_worker *worker,
                                  const struct worker_args_HostUnregister *args,
                                  struct vgpu_answer *answer)
{
    NEED_CONTEXT(worker);
    if (!args->bytes)
        return CUDA_ERROR_INVALID_VALUE;
    return worker_wait_work(worker, worker->current, NULL, 0, unregister_now, args->address);
}

/* ---- copies ---- */

CUresult worker_do_CopyInline(struct vgpu_worker *worker, const struct worker_args_CopyInline *args,
                              struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (args->bytes != args->data_bytes) {
        answer->violation = 1;
        answer->reason = "inline copy and its data differ in length";
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!args->bytes)
        return CUDA_SUCCESS;
    /* The private copy of the record is pageable, so the driver has taken the bytes on return. */
    worker->moved = args->bytes;
    if (stream->capture)
        return worker_capture_inline(worker, args->destination, args->data, args->bytes,
                                     args->stream);
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    CUresult result = worker->driver->cuMemcpyHtoDAsync_v2(args->destination, args->data,
                                                           args->bytes, args->stream);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_CopyOutInline(struct vgpu_worker *worker,
                                 const struct worker_args_CopyOutInline *args,
                                 struct vgpu_rsp_CopyOutInline *out, struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (args->bytes > VGPU_REPLY_PAYLOAD) {
        answer->violation = 1;
        answer->reason = "inline copy does not fit a reply";
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (!args->bytes)
        return CUDA_SUCCESS;
    worker->moved = args->bytes;
    void *to = vgpu_reply_payload(&worker->host, worker->record->reply);
    struct work_entry *work = worker_work_begin(worker, stream, 0, true);
    CUresult result =
        worker->driver->cuMemcpyDtoHAsync_v2(to, args->source, args->bytes, args->stream);
    result = worker_work_end(worker, work, stream, result);
    if (result != CUDA_SUCCESS)
        return result;
    return worker_wait_work(worker, stream->context, stream, (uint32_t)args->bytes, NULL, 0);
}

static CUresult copy(struct vgpu_worker *worker, struct worker_stream *stream, uint64_t destination,
                     uint64_t source, uint64_t bytes, uint32_t release, bool watched)
{
    const struct vgpu_driver *driver = worker->driver;
    bool to_host = worker_in_heap(worker, destination, bytes);
    bool from_host = worker_in_heap(worker, source, bytes);
    CUresult result;

    worker->moved = bytes;
    struct work_entry *work = worker_work_begin(worker, stream, release, watched);
    if (!bytes)
        result = CUDA_SUCCESS;
    else if (from_host && !to_host)
        result = driver->cuMemcpyHtoDAsync_v2(destination, (void *)(uintptr_t)source, bytes,
                                              stream->stream);
    else if (to_host && !from_host)
        result = driver->cuMemcpyDtoHAsync_v2((void *)(uintptr_t)destination, source, bytes,
                                              stream->stream);
    else if (!to_host && worker->device_count == 1)
        /* The call below would take an address without memory for memory of this process. */
        result = driver->cuMemcpyDtoDAsync_v2(destination, source, bytes, stream->stream);
    else
        result = driver->cuMemcpyAsync(destination, source, bytes, stream->stream);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_Copy(struct vgpu_worker *worker, const struct worker_args_Copy *args,
                        struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    return copy(worker, stream, args->destination, args->source, args->bytes, args->release, false);
}

CUresult worker_do_CopyWait(struct vgpu_worker *worker, const struct worker_args_CopyWait *args,
                            struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = copy(worker, stream, args->destination, args->source, args->bytes, 0, true);
    if (result != CUDA_SUCCESS)
        return result;
    return worker_wait_work(worker, stream->context, stream, 0, NULL, 0);
}

/* Bytes from the first to the last of a pitched block; false when they cannot be counted. */
static bool extent(uint64_t pitch, uint64_t rows, uint64_t width, uint64_t height, uint64_t depth,
                   uint64_t *bytes)
{
    uint64_t row_count, skipped;

    if (!width || !height || !depth)
        return false;
    if ((height > 1 || depth > 1) && pitch < width)
        return false;
    if (depth > 1 && rows < height)
        return false;
    /* ((depth - 1) * rows + height - 1) * pitch + width */
    if (__builtin_mul_overflow(depth - 1, rows, &row_count) ||
        __builtin_add_overflow(row_count, height - 1, &row_count) ||
        __builtin_mul_overflow(row_count, pitch, &skipped) ||
        __builtin_add_overflow(skipped, width, bytes))
        return false;
    return true;
}

CUresult worker_copy_box(struct vgpu_worker *worker, uint64_t destination, uint64_t source,
                         uint64_t destination_pitch, uint64_t source_pitch,
                         uint64_t destination_rows, uint64_t source_rows, uint64_t width,
                         uint64_t height, uint64_t depth, CUDA_MEMCPY3D *box)
{
    uint64_t destination_bytes, source_bytes;

    if (!extent(destination_pitch, destination_rows, width, height, depth, &destination_bytes) ||
        !extent(source_pitch, source_rows, width, height, depth, &source_bytes) ||
        !worker_in_memory(worker, destination, destination_bytes) ||
        !worker_in_memory(worker, source, source_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    *box = (CUDA_MEMCPY3D){
        .srcDevice = source,
        .srcHost = (void *)(uintptr_t)source,
        .srcMemoryType = worker_in_heap(worker, source, source_bytes) ? CU_MEMORYTYPE_HOST
                                                                      : CU_MEMORYTYPE_DEVICE,
        .srcPitch = source_pitch,
        .srcHeight = source_rows,
        .dstDevice = destination,
        .dstHost = (void *)(uintptr_t)destination,
        .dstMemoryType = worker_in_heap(worker, destination, destination_bytes)
                             ? CU_MEMORYTYPE_HOST
                             : CU_MEMORYTYPE_DEVICE,
        .dstPitch = destination_pitch,
        .dstHeight = destination_rows,
        .WidthInBytes = width,
        .Height = height,
        .Depth = depth,
    };
    return CUDA_SUCCESS;
}

static CUresult copy_3d(struct vgpu_worker *worker, struct worker_stream *stream,
                        uint64_t destination, uint64_t source, uint64_t destination_pitch,
                        uint64_t source_pitch, uint64_t destination_rows, uint64_t source_rows,
                        uint64_t width, uint64_t height, uint64_t depth, uint32_t release,
                        bool watched)
{
    CUDA_MEMCPY3D all;
    CUresult result = worker_copy_box(worker, destination, source, destination_pitch, source_pitch,
                                      destination_rows, source_rows, width, height, depth, &all);

    if (result != CUDA_SUCCESS)
        return result;
    CUDA_MEMCPY2D flat = {
        .srcDevice = all.srcDevice,
        .srcHost = all.srcHost,
        .srcMemoryType = all.srcMemoryType,
        .srcPitch = source_pitch,
        .dstDevice = all.dstDevice,
        .dstHost = all.dstHost,
        .dstMemoryType = all.dstMemoryType,
        .dstPitch = destination_pitch,
        .WidthInBytes = width,
        .Height = height,
    };
    worker->moved = width * height * depth;
    struct work_entry *work = worker_work_begin(worker, stream, release, watched);
    result = depth == 1 ? worker->driver->cuMemcpy2DAsync_v2(&flat, stream->stream)
                        : worker->driver->cuMemcpy3DAsync_v2(&all, stream->stream);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_Copy3D(struct vgpu_worker *worker, const struct worker_args_Copy3D *args,
                          struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    return copy_3d(worker, stream, args->destination, args->source, args->destination_pitch,
                   args->source_pitch, args->destination_rows, args->source_rows, args->width,
                   args->height, args->depth, args->release, false);
}

CUresult worker_do_Copy3DWait(struct vgpu_worker *worker, const struct worker_args_Copy3DWait *args,
                              struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = copy_3d(worker, stream, args->destination, args->source,
                              args->destination_pitch, args->source_pitch, args->destination_rows,
                              args->source_rows, args->width, args->height, args->depth, 0, true);
    if (result != CUDA_SUCCESS)
        return result;
    return worker_wait_work(worker, stream->context, stream, 0, NULL, 0);
}

CUresult worker_fill_area(struct vgpu_worker *worker, uint64_t destination, uint64_t pitch,
                          uint64_t width, uint64_t height, uint32_t element, uint64_t *bytes)
{
    uint64_t row, span;

    if (element != 1 && element != 2 && element != 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(width, element, &row) || !extent(pitch, 1, row, height, 1, &span) ||
        !worker_in_memory(worker, destination, span))
        return CUDA_ERROR_INVALID_VALUE;
    *bytes = row * height;
    return CUDA_SUCCESS;
}

CUresult worker_do_Memset(struct vgpu_worker *worker, const struct worker_args_Memset *args,
                          struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);
    uint64_t bytes;

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!args->width || !args->height)
        return CUDA_SUCCESS;
    CUresult result = worker_fill_area(worker, args->destination, args->pitch, args->width,
                                       args->height, args->element, &bytes);
    if (result != CUDA_SUCCESS)
        return result;

    worker->moved = bytes;
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    if (args->height == 1) {
        if (args->element == 1)
            result = driver->cuMemsetD8Async(args->destination, (unsigned char)args->value,
                                             args->width, args->stream);
        else if (args->element == 2)
            result = driver->cuMemsetD16Async(args->destination, (unsigned short)args->value,
                                              args->width, args->stream);
        else
            result =
                driver->cuMemsetD32Async(args->destination, args->value, args->width, args->stream);
    } else {
        if (args->element == 1)
            result = driver->cuMemsetD2D8Async(args->destination, args->pitch,
                                               (unsigned char)args->value, args->width,
                                               args->height, args->stream);
        else if (args->element == 2)
            result = driver->cuMemsetD2D16Async(args->destination, args->pitch,
                                                (unsigned short)args->value, args->width,
                                                args->height, args->stream);
        else
            result = driver->cuMemsetD2D32Async(args->destination, args->pitch, args->value,
                                                args->width, args->height, args->stream);
    }
    return worker_work_end(worker, work, stream, result);
}
