/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies and fills. By what the two ends are:
 *
 *   device or pinned to device or pinned   one operation; the host's GPU does it
 *   pageable to device, small              the bytes travel in the record
 *   pageable to device, large              through stages of the arena: while the GPU reads one,
 * the next is filled device to pageable, small              the bytes travel in the reply device to
 * pageable, large              through stages, several on their way at once pageable to pageable
 * the processor, after the stream has come that far
 *
 * As CUDA defines: a copy from pageable memory returns when the source may be overwritten, one to
 * pageable memory when the data is there, and copies within the device never wait.
 */
#include <string.h>

#include "guest/libcuda/rpc.h"
#include "vgpu_rpc.h"

#define INLINE_MAX (48u << 10)              /* host to device, in the record */
#define INLINE_OUT_MAX (VGPU_REPLY_PAYLOAD) /* device to host, in the reply */
#define PIECE_MIN (256u << 10)
#define IN_FLIGHT 4 /* stages of one copy to the host */

/* What an end of a copy is; expect says what the call claims. */
enum expect { ANY, HOST_END, DEVICE_END };

static CUresult classify(uint64_t address, uint64_t bytes, enum expect expect,
                         enum vgpu_memory_kind *kind)
{
    struct vgpu_range range = {0};
    if (address + bytes < address || !address)
        return CUDA_ERROR_INVALID_VALUE;
    bool whole = vgpu_map_covers(address, bytes, &range);
    if (address - range.base < range.size) {
        /* A module's variable may lie where this process has memory of its own: believe the caller.
         */
        if (range.global && expect == HOST_END) {
            *kind = VGPU_PAGEABLE;
            return CUDA_SUCCESS;
        }
        *kind = (enum vgpu_memory_kind)range.kind;
        return whole ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    if (expect == DEVICE_END || address - vgpu.window < vgpu.window_bytes ||
        address - vgpu.arena < vgpu.arena_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *kind = VGPU_PAGEABLE;
    return CUDA_SUCCESS;
}

/* Size of the pieces a large copy is cut into, so that processor and GPU work at the same time. */
static size_t piece_size(size_t bytes)
{
    size_t most = vgpu_heap_stage_max(atomic_load(&vgpu.client)->heap);
    size_t piece = bytes / 4;
    if (piece < PIECE_MIN)
        piece = PIECE_MIN;
    piece = (piece + 4095) & ~(size_t)4095;
    return piece < most ? piece : most;
}

static CUresult stage_send(struct vgpu_stage *stage, CUresult result)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    if (result == CUDA_SUCCESS)
        vgpu_stage_submit(client->heap, stage);
    else
        vgpu_stage_put(client->heap, stage);
    return result;
}

static CUresult copy_in(uint64_t to, const uint8_t *from, size_t bytes, uint32_t stream)
{
    if (bytes <= INLINE_MAX)
        return vgpu_rpc_CopyInline(to, bytes, stream, from, (uint32_t)bytes);
    size_t piece = piece_size(bytes);
    CUresult result = CUDA_SUCCESS;
    while (bytes && result == CUDA_SUCCESS) {
        size_t now = bytes < piece ? bytes : piece;
        struct vgpu_stage stage;
        result = vgpu_staging(now, true, &stage);
        if (result != CUDA_SUCCESS)
            break;
        vgpu_memcpy(stage.address, from, now);
        result = stage_send(
            &stage, vgpu_rpc_Copy(to, (uint64_t)stage.address, now, stream, stage.word + 1));
        to += now;
        from += now;
        bytes -= now;
    }
    return result;
}

/* One piece of a copy to the host on its way: rows that lie packed in a stage. */
struct flight {
    struct vgpu_stage stage;
    uint8_t *to;
    size_t row, rows, pitch;
};

struct flights {
    struct flight at[IN_FLIGHT];
    unsigned first, count;
};

static CUresult land(struct flights *flights)
{
    struct flight *f = &flights->at[flights->first];
    CUresult result = vgpu_staging_wait(&f->stage);
    if (result == CUDA_SUCCESS) {
        const uint8_t *from = f->stage.address;
        if (f->pitch == f->row) {
            vgpu_memcpy(f->to, from, f->row * f->rows);
        } else {
            for (size_t i = 0; i < f->rows; i++)
                memcpy(f->to + i * f->pitch, from + i * f->row, f->row);
        }
        vgpu_stage_put(atomic_load(&vgpu.client)->heap, &f->stage);
    }
    flights->first = (flights->first + 1) % IN_FLIGHT;
    flights->count--;
    return result;
}

/* A stage for the next piece; lands earlier pieces when there is none. */
static CUresult take_off(struct flights *flights, size_t bytes, struct flight **flight)
{
    for (;;) {
        if (flights->count < IN_FLIGHT) {
            struct flight *f = &flights->at[(flights->first + flights->count) % IN_FLIGHT];
            CUresult result = vgpu_staging(bytes, flights->count == 0, &f->stage);
            if (result != CUDA_ERROR_NOT_READY) {
                if (result == CUDA_SUCCESS)
                    *flight = f;
                return result;
            }
        }
        CUresult result = land(flights);
        if (result != CUDA_SUCCESS)
            return result;
    }
}

/* Lands what is on its way and asks for the errors of all that was deferred before. */
static CUresult arrive(struct flights *flights, uint32_t stream, CUresult result)
{
    while (flights->count) {
        CUresult landed = land(flights);
        if (result == CUDA_SUCCESS)
            result = landed;
    }
    return result == CUDA_SUCCESS ? vgpu_rpc_StreamSynchronize(stream) : result;
}

static CUresult copy_out(uint8_t *to, uint64_t from, size_t bytes, uint32_t stream)
{
    CUresult result = CUDA_SUCCESS;
    if (bytes <= INLINE_OUT_MAX) {
        uint32_t got = (uint32_t)bytes;
        result = vgpu_rpc_CopyOutInline(from, bytes, stream, to, &got);
        return result == CUDA_SUCCESS && got != bytes ? CUDA_ERROR_UNKNOWN : result;
    }
    size_t piece = piece_size(bytes);
    struct flights flights = {0};
    if (bytes <= piece) {
        struct vgpu_stage stage;
        result = vgpu_staging(bytes, true, &stage);
        if (result != CUDA_SUCCESS)
            return result;
        result = vgpu_rpc_CopyWait((uint64_t)stage.address, from, bytes, stream);
        if (result == CUDA_SUCCESS)
            vgpu_memcpy(to, stage.address, bytes);
        vgpu_stage_put(atomic_load(&vgpu.client)->heap, &stage);
        return result;
    }
    while (bytes) {
        size_t now = bytes < piece ? bytes : piece;
        struct flight *f;
        result = take_off(&flights, now, &f);
        if (result != CUDA_SUCCESS)
            break;
        *f = (struct flight){.stage = f->stage, .to = to, .row = now, .rows = 1, .pitch = now};
        result = vgpu_rpc_Copy((uint64_t)f->stage.address, from, now, stream, f->stage.word + 1);
        if (result != CUDA_SUCCESS) {
            vgpu_stage_put(atomic_load(&vgpu.client)->heap, &f->stage);
            break;
        }
        flights.count++;
        to += now;
        from += now;
        bytes -= now;
    }
    return arrive(&flights, stream, result);
}

/*
 * A pageable end in a capture. The bytes to be copied to the device go into the graph, as they are
 * now; a stage would be gone when the graph runs. The other way nothing could bring them back here.
 */
static CUresult copy_captured(uint64_t to, enum vgpu_memory_kind to_kind, uint64_t from,
                              size_t bytes, uint32_t stream, uint32_t capture)
{
    static atomic_int said;
    CUresult result = CUDA_SUCCESS;
    if (to_kind == VGPU_PAGEABLE) {
        vgpu_capture_invalidate(capture);
        vgpu_refuse(&said, "capture of a copy to memory that is not pinned");
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (!atomic_exchange(&said, 1))
        vgpu_say(VGPU_LOG_INFO, "a copy from memory that is not pinned is captured with the bytes "
                                "that the memory holds now");
    while (bytes && result == CUDA_SUCCESS) {
        size_t now = bytes < INLINE_MAX ? bytes : INLINE_MAX;
        result = vgpu_rpc_CopyInline(to, now, stream, (const void *)from, (uint32_t)now);
        to += now;
        from += now;
        bytes -= now;
    }
    return result;
}

/*
 * Any one-dimensional copy. wait: the synchronous spelling.
 */
static CUresult copy(uint64_t to, enum expect to_expect, uint64_t from, enum expect from_expect,
                     size_t bytes, CUstream stream, bool wait)
{
    struct vgpu_object *context;
    enum vgpu_memory_kind to_kind, from_kind;
    uint32_t wire;
    CUresult result = vgpu_current(&context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    result = vgpu_stream(stream, context, &wire);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    uint32_t capture = vgpu_stream_capture(wire);
    if (unlikely(capture && wait)) { /* nothing can be waited for */
        vgpu_capture_invalidate(capture);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (!bytes)
        return CUDA_SUCCESS;
    result = classify(to, bytes, to_expect, &to_kind);
    if (result == CUDA_SUCCESS)
        result = classify(from, bytes, from_expect, &from_kind);
    if (unlikely(result != CUDA_SUCCESS))
        return result;

    if (to_kind != VGPU_PAGEABLE && from_kind != VGPU_PAGEABLE) {
        if (wait && (to_kind == VGPU_PINNED || from_kind == VGPU_PINNED))
            return vgpu_rpc_CopyWait(to, from, bytes, wire);
        return vgpu_rpc_Copy(to, from, bytes, wire, 0);
    }
    if (unlikely(capture))
        return copy_captured(to, to_kind, from, bytes, wire, capture);
    if (to_kind == VGPU_PAGEABLE && from_kind == VGPU_PAGEABLE) {
        result = vgpu_rpc_StreamSynchronize(wire);
        if (result == CUDA_SUCCESS)
            memmove((void *)to, (const void *)from, bytes);
        return result;
    }
    if (to_kind == VGPU_PAGEABLE)
        return copy_out((uint8_t *)to, from, bytes, wire);

    result = copy_in(to, (const uint8_t *)from, bytes, wire);
    /* A large synchronous copy is complete on return natively, and programs rely on it with
     * streams that do not wait for the default stream. */
    if (result == CUDA_SUCCESS && wait && bytes > INLINE_MAX)
        result = vgpu_rpc_StreamSynchronize(wire);
    return result;
}

/* ---- one dimension -----------------------------------------------------------------------------
 */

/* Defines NAME and its per-thread-stream spelling for a synchronous call. */
#define SYNC_COPY(name, ptds, TO, TO_EXPECT, FROM, FROM_EXPECT)                                    \
    CUresult name(TO dst, FROM src, size_t bytes)                                                  \
    {                                                                                              \
        return copy((uint64_t)dst, TO_EXPECT, (uint64_t)src, FROM_EXPECT, bytes, NULL, true);      \
    }                                                                                              \
    VGPU_EXPORT(ptds, TO dst, FROM src, size_t bytes)                                              \
    {                                                                                              \
        return copy((uint64_t)dst, TO_EXPECT, (uint64_t)src, FROM_EXPECT, bytes,                   \
                    CU_STREAM_PER_THREAD, true);                                                   \
    }

#define ASYNC_COPY(name, ptsz, TO, TO_EXPECT, FROM, FROM_EXPECT)                                   \
    CUresult name(TO dst, FROM src, size_t bytes, CUstream stream)                                 \
    {                                                                                              \
        return copy((uint64_t)dst, TO_EXPECT, (uint64_t)src, FROM_EXPECT, bytes, stream, false);   \
    }                                                                                              \
    VGPU_EXPORT(ptsz, TO dst, FROM src, size_t bytes, CUstream stream)                             \
    {                                                                                              \
        return copy((uint64_t)dst, TO_EXPECT, (uint64_t)src, FROM_EXPECT, bytes,                   \
                    VGPU_PTSZ(stream), false);                                                     \
    }

SYNC_COPY(cuMemcpy, cuMemcpy_ptds, CUdeviceptr, ANY, CUdeviceptr, ANY)
SYNC_COPY(cuMemcpyHtoD_v2, cuMemcpyHtoD_v2_ptds, CUdeviceptr, DEVICE_END, const void *, HOST_END)
SYNC_COPY(cuMemcpyDtoH_v2, cuMemcpyDtoH_v2_ptds, void *, HOST_END, CUdeviceptr, DEVICE_END)
SYNC_COPY(cuMemcpyDtoD_v2, cuMemcpyDtoD_v2_ptds, CUdeviceptr, DEVICE_END, CUdeviceptr, DEVICE_END)
ASYNC_COPY(cuMemcpyAsync, cuMemcpyAsync_ptsz, CUdeviceptr, ANY, CUdeviceptr, ANY)
ASYNC_COPY(cuMemcpyHtoDAsync_v2, cuMemcpyHtoDAsync_v2_ptsz, CUdeviceptr, DEVICE_END, const void *,
           HOST_END)
ASYNC_COPY(cuMemcpyDtoHAsync_v2, cuMemcpyDtoHAsync_v2_ptsz, void *, HOST_END, CUdeviceptr,
           DEVICE_END)
ASYNC_COPY(cuMemcpyDtoDAsync_v2, cuMemcpyDtoDAsync_v2_ptsz, CUdeviceptr, DEVICE_END, CUdeviceptr,
           DEVICE_END)

/* Peers: within one device a plain copy; there is no peer access between devices here. */
static CUresult copy_peer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                          size_t bytes, CUstream stream)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!vgpu_object_is(dst_ctx, VGPU_TYPE_CONTEXT) || !vgpu_object_is(src_ctx, VGPU_TYPE_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (vgpu_context_device((struct vgpu_object *)dst_ctx) !=
        vgpu_context_device((struct vgpu_object *)src_ctx))
        return VGPU_REFUSE("cuMemcpyPeer between two devices");
    return copy(dst, DEVICE_END, src, DEVICE_END, bytes, stream, false);
}

CUresult cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                      size_t bytes)
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, NULL);
}

VGPU_EXPORT(cuMemcpyPeer_ptds, CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src,
            CUcontext src_ctx, size_t bytes)
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, CU_STREAM_PER_THREAD);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                           size_t bytes, CUstream stream)
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, stream);
}

VGPU_EXPORT(cuMemcpyPeerAsync_ptsz, CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src,
            CUcontext src_ctx, size_t bytes, CUstream stream)
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, VGPU_PTSZ(stream));
}

/* ---- two and three dimensions ------------------------------------------------------------------
 */

struct box_end {
    uint64_t address; /* of the first byte copied */
    uint64_t pitch;   /* bytes from row to row */
    uint64_t rows;    /* rows from slice to slice */
    enum vgpu_memory_kind kind;
};

struct box {
    struct box_end to, from;
    uint64_t width, height, depth;
};

/* Where an end begins, and whether all it covers is memory of the kind it claims to be. */
static CUresult box_end(struct box_end *end, CUmemorytype type, uint64_t host, uint64_t device,
                        uint64_t pitch, uint64_t rows, uint64_t x, uint64_t y, uint64_t z,
                        const struct box *box)
{
    uint64_t base;
    enum expect expect;
    switch (type) {
    case CU_MEMORYTYPE_HOST:
        base = host;
        expect = HOST_END;
        break;
    case CU_MEMORYTYPE_DEVICE:
        base = device;
        expect = DEVICE_END;
        break;
    case CU_MEMORYTYPE_UNIFIED:
        base = device;
        expect = ANY;
        break;
    case CU_MEMORYTYPE_ARRAY:
        return VGPU_REFUSE("copies with CUDA arrays");
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    /* Pitch and height of a slice matter only where a second row or slice begins. */
    uint64_t last_row, offset, slice, last;
    if (__builtin_add_overflow(x, box->width, &last_row))
        return CUDA_ERROR_INVALID_VALUE;
    if (!pitch && box->height * box->depth <= 1 && !y && !z)
        pitch = last_row;
    if (!rows && box->depth <= 1 && !z)
        rows = y + box->height;
    if (pitch < last_row || rows < box->height)
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(pitch, rows, &slice) || __builtin_mul_overflow(slice, z, &offset) ||
        __builtin_mul_overflow(pitch, y, &last) || __builtin_add_overflow(offset, last, &offset) ||
        __builtin_add_overflow(offset, x, &offset) || __builtin_add_overflow(base, offset, &base))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t span; /* from the first byte to behind the last */
    if (__builtin_mul_overflow(slice, box->depth - 1, &span) ||
        __builtin_mul_overflow(pitch, box->height - 1, &last) ||
        __builtin_add_overflow(span, last, &span) ||
        __builtin_add_overflow(span, box->width, &span))
        return CUDA_ERROR_INVALID_VALUE;
    end->address = base;
    end->pitch = pitch;
    end->rows = rows;
    return classify(base, span, expect, &end->kind);
}

static CUresult box_in(const struct box *b, uint32_t stream)
{
    size_t most = vgpu_heap_stage_max(atomic_load(&vgpu.client)->heap);
    CUresult result = CUDA_SUCCESS;
    for (uint64_t z = 0; z < b->depth && result == CUDA_SUCCESS; z++) {
        uint64_t to = b->to.address + z * b->to.rows * b->to.pitch;
        const uint8_t *from = (const uint8_t *)b->from.address + z * b->from.rows * b->from.pitch;
        for (uint64_t y = 0; y < b->height && result == CUDA_SUCCESS;) {
            if (b->width > most) {
                result = copy_in(to + y * b->to.pitch, from + y * b->from.pitch, b->width, stream);
                y++;
                continue;
            }
            uint64_t rows = most / b->width < b->height - y ? most / b->width : b->height - y;
            struct vgpu_stage stage;
            result = vgpu_staging(rows * b->width, true, &stage);
            if (result != CUDA_SUCCESS)
                break;
            for (uint64_t i = 0; i < rows; i++)
                memcpy((uint8_t *)stage.address + i * b->width, from + (y + i) * b->from.pitch,
                       b->width);
            result =
                stage_send(&stage, vgpu_rpc_Copy3D(to + y * b->to.pitch, (uint64_t)stage.address,
                                                   b->to.pitch, b->width, rows, rows, b->width,
                                                   rows, 1, stream, stage.word + 1));
            y += rows;
        }
    }
    return result;
}

static CUresult box_out(const struct box *b, uint32_t stream)
{
    size_t most = vgpu_heap_stage_max(atomic_load(&vgpu.client)->heap);
    struct flights flights = {0};
    CUresult result = CUDA_SUCCESS;
    for (uint64_t z = 0; z < b->depth && result == CUDA_SUCCESS; z++) {
        uint8_t *to = (uint8_t *)b->to.address + z * b->to.rows * b->to.pitch;
        uint64_t from = b->from.address + z * b->from.rows * b->from.pitch;
        for (uint64_t y = 0; y < b->height && result == CUDA_SUCCESS;) {
            if (b->width > most) {
                result = copy_out(to + y * b->to.pitch, from + y * b->from.pitch, b->width, stream);
                y++;
                continue;
            }
            uint64_t rows = most / b->width < b->height - y ? most / b->width : b->height - y;
            struct flight *f;
            result = take_off(&flights, rows * b->width, &f);
            if (result != CUDA_SUCCESS)
                break;
            *f = (struct flight){.stage = f->stage,
                                 .to = to + y * b->to.pitch,
                                 .row = b->width,
                                 .rows = rows,
                                 .pitch = b->to.pitch};
            result = vgpu_rpc_Copy3D((uint64_t)f->stage.address, from + y * b->from.pitch, b->width,
                                     b->from.pitch, rows, rows, b->width, rows, 1, stream,
                                     f->stage.word + 1);
            if (result == CUDA_SUCCESS)
                flights.count++;
            else
                vgpu_stage_put(atomic_load(&vgpu.client)->heap, &f->stage);
            y += rows;
        }
    }
    return arrive(&flights, stream, result);
}

static CUresult box_of(const CUDA_MEMCPY3D *c, struct box *b)
{
    if (c->srcLOD || c->dstLOD)
        return CUDA_ERROR_INVALID_VALUE;
    *b = (struct box){.width = c->WidthInBytes, .height = c->Height, .depth = c->Depth};
    if (!b->width || !b->height || !b->depth)
        return CUDA_SUCCESS;
    if (b->height > UINT64_MAX / b->depth)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = box_end(&b->to, c->dstMemoryType, (uint64_t)c->dstHost, c->dstDevice,
                              c->dstPitch, c->dstHeight, c->dstXInBytes, c->dstY, c->dstZ, b);
    if (result == CUDA_SUCCESS)
        result = box_end(&b->from, c->srcMemoryType, (uint64_t)c->srcHost, c->srcDevice,
                         c->srcPitch, c->srcHeight, c->srcXInBytes, c->srcY, c->srcZ, b);
    return result;
}

CUresult vgpu_box_of(const CUDA_MEMCPY3D *copy, struct vgpu_box *box)
{
    struct box b;
    CUresult result = box_of(copy, &b);
    if (result == CUDA_SUCCESS)
        *box = (struct vgpu_box){
            .to = b.to.address,
            .from = b.from.address,
            .to_pitch = b.to.pitch,
            .from_pitch = b.from.pitch,
            .to_rows = b.to.rows,
            .from_rows = b.from.rows,
            .width = b.width,
            .height = b.height,
            .depth = b.depth,
            .pageable = b.to.kind == VGPU_PAGEABLE || b.from.kind == VGPU_PAGEABLE,
        };
    return result;
}

static CUresult copy_box(const CUDA_MEMCPY3D *c, CUstream stream, bool wait)
{
    struct vgpu_object *context;
    uint32_t wire;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_stream(stream, context, &wire);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t capture = vgpu_stream_capture(wire);
    if (unlikely(capture && wait)) {
        vgpu_capture_invalidate(capture);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    struct box b;
    result = box_of(c, &b);
    if (result != CUDA_SUCCESS || !b.width || !b.height || !b.depth)
        return result;

    /* Without gaps it is a copy of one dimension. */
    bool whole_rows =
        (b.height == 1 && b.depth == 1) || (b.to.pitch == b.width && b.from.pitch == b.width);
    bool whole_slices = b.depth == 1 || (b.to.rows == b.height && b.from.rows == b.height);
    if (whole_rows && whole_slices)
        return copy(b.to.address, b.to.kind == VGPU_PAGEABLE ? HOST_END : ANY, b.from.address,
                    b.from.kind == VGPU_PAGEABLE ? HOST_END : ANY, b.width * b.height * b.depth,
                    stream, wait);

    bool to_pageable = b.to.kind == VGPU_PAGEABLE, from_pageable = b.from.kind == VGPU_PAGEABLE;
    if (!to_pageable && !from_pageable) {
        if (wait && (b.to.kind == VGPU_PINNED || b.from.kind == VGPU_PINNED))
            return vgpu_rpc_Copy3DWait(b.to.address, b.from.address, b.to.pitch, b.from.pitch,
                                       b.to.rows, b.from.rows, b.width, b.height, b.depth, wire);
        return vgpu_rpc_Copy3D(b.to.address, b.from.address, b.to.pitch, b.from.pitch, b.to.rows,
                               b.from.rows, b.width, b.height, b.depth, wire, 0);
    }
    if (unlikely(capture)) {
        vgpu_capture_invalidate(capture);
        VGPU_REFUSE("capture of a pitched copy with memory that is not pinned");
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (to_pageable && from_pageable) {
        result = vgpu_rpc_StreamSynchronize(wire);
        for (uint64_t z = 0; z < b.depth && result == CUDA_SUCCESS; z++)
            for (uint64_t y = 0; y < b.height; y++)
                memmove((uint8_t *)b.to.address + (z * b.to.rows + y) * b.to.pitch,
                        (const uint8_t *)b.from.address + (z * b.from.rows + y) * b.from.pitch,
                        b.width);
        return result;
    }
    if (to_pageable)
        return box_out(&b, wire);
    result = box_in(&b, wire);
    if (result == CUDA_SUCCESS && wait)
        result = vgpu_rpc_StreamSynchronize(wire);
    return result;
}

static CUresult copy_2d(const CUDA_MEMCPY2D *c, CUstream stream, bool wait)
{
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D box = {
        .srcXInBytes = c->srcXInBytes,
        .srcY = c->srcY,
        .srcMemoryType = c->srcMemoryType,
        .srcHost = c->srcHost,
        .srcDevice = c->srcDevice,
        .srcArray = c->srcArray,
        .srcPitch = c->srcPitch,
        .dstXInBytes = c->dstXInBytes,
        .dstY = c->dstY,
        .dstMemoryType = c->dstMemoryType,
        .dstHost = c->dstHost,
        .dstDevice = c->dstDevice,
        .dstArray = c->dstArray,
        .dstPitch = c->dstPitch,
        .WidthInBytes = c->WidthInBytes,
        .Height = c->Height,
        .Depth = 1,
    };
    return copy_box(&box, stream, wait);
}

static CUresult copy_3d(const CUDA_MEMCPY3D *c, CUstream stream, bool wait)
{
    return c ? copy_box(c, stream, wait) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, NULL, true);
}

VGPU_EXPORT(cuMemcpy2D_v2_ptds, const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, NULL, true);
}

VGPU_EXPORT(cuMemcpy2DUnaligned_v2_ptds, const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream)
{
    return copy_2d(copy, stream, false);
}

VGPU_EXPORT(cuMemcpy2DAsync_v2_ptsz, const CUDA_MEMCPY2D *copy, CUstream stream)
{
    return copy_2d(copy, VGPU_PTSZ(stream), false);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
    return copy_3d(copy, NULL, true);
}

VGPU_EXPORT(cuMemcpy3D_v2_ptds, const CUDA_MEMCPY3D *copy)
{
    return copy_3d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
    return copy_3d(copy, stream, false);
}

VGPU_EXPORT(cuMemcpy3DAsync_v2_ptsz, const CUDA_MEMCPY3D *copy, CUstream stream)
{
    return copy_3d(copy, VGPU_PTSZ(stream), false);
}

/* ---- fills -------------------------------------------------------------------------------------
 */

static CUresult fill(CUdeviceptr dst, size_t pitch, uint32_t value, uint32_t element, size_t width,
                     size_t height, CUstream stream)
{
    struct vgpu_object *context;
    enum vgpu_memory_kind kind;
    uint32_t wire;
    CUresult result = vgpu_current(&context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    result = vgpu_stream(stream, context, &wire);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (!width || !height)
        return CUDA_SUCCESS;
    uint64_t row, span;
    if (dst % element || __builtin_mul_overflow(width, element, &row) ||
        (height > 1 && (pitch < row || pitch % element)) ||
        __builtin_mul_overflow(pitch, height - 1, &span) ||
        __builtin_add_overflow(span, row, &span))
        return CUDA_ERROR_INVALID_VALUE;
    result = classify(dst, span, DEVICE_END, &kind);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    return vgpu_rpc_Memset(dst, pitch, width, height, value, element, wire);
}

#define FILL_1D(bits, TYPE)                                                                        \
    CUresult cuMemsetD##bits##_v2(CUdeviceptr dst, TYPE value, size_t count)                       \
    {                                                                                              \
        return fill(dst, 0, value, bits / 8, count, 1, NULL);                                      \
    }                                                                                              \
    VGPU_EXPORT(cuMemsetD##bits##_v2_ptds, CUdeviceptr dst, TYPE value, size_t count)              \
    {                                                                                              \
        return fill(dst, 0, value, bits / 8, count, 1, CU_STREAM_PER_THREAD);                      \
    }                                                                                              \
    CUresult cuMemsetD##bits##Async(CUdeviceptr dst, TYPE value, size_t count, CUstream stream)    \
    {                                                                                              \
        return fill(dst, 0, value, bits / 8, count, 1, stream);                                    \
    }                                                                                              \
    VGPU_EXPORT(cuMemsetD##bits##Async_ptsz, CUdeviceptr dst, TYPE value, size_t count,            \
                CUstream stream)                                                                   \
    {                                                                                              \
        return fill(dst, 0, value, bits / 8, count, 1, VGPU_PTSZ(stream));                         \
    }

#define FILL_2D(bits, TYPE)                                                                        \
    CUresult cuMemsetD2D##bits##_v2(CUdeviceptr dst, size_t pitch, TYPE value, size_t width,       \
                                    size_t height)                                                 \
    {                                                                                              \
        return fill(dst, pitch, value, bits / 8, width, height, NULL);                             \
    }                                                                                              \
    VGPU_EXPORT(cuMemsetD2D##bits##_v2_ptds, CUdeviceptr dst, size_t pitch, TYPE value,            \
                size_t width, size_t height)                                                       \
    {                                                                                              \
        return fill(dst, pitch, value, bits / 8, width, height, CU_STREAM_PER_THREAD);             \
    }                                                                                              \
    CUresult cuMemsetD2D##bits##Async(CUdeviceptr dst, size_t pitch, TYPE value, size_t width,     \
                                      size_t height, CUstream stream)                              \
    {                                                                                              \
        return fill(dst, pitch, value, bits / 8, width, height, stream);                           \
    }                                                                                              \
    VGPU_EXPORT(cuMemsetD2D##bits##Async_ptsz, CUdeviceptr dst, size_t pitch, TYPE value,          \
                size_t width, size_t height, CUstream stream)                                      \
    {                                                                                              \
        return fill(dst, pitch, value, bits / 8, width, height, VGPU_PTSZ(stream));                \
    }

FILL_1D(8, unsigned char)
FILL_1D(16, unsigned short)
FILL_1D(32, unsigned int)
FILL_2D(8, unsigned char)
FILL_2D(16, unsigned short)
FILL_2D(32, unsigned int)
