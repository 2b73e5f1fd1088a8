/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - copies and fills
 *
 * What CUDA says about when a copy has ended: with pageable host memory the source may be reused
 * and the destination be read when the call returns, in the asynchronous calls too; with pinned
 * memory they run in stream order; device to device copies and fills do not wait at all.
 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

/* Pageable sources up to this size are staged, as on hardware; larger ones are waited for. */
#define STAGED_BYTES (64u << 10)

size_t copy_bytes(const struct copy *c)
{
    return c->width * c->height * c->depth; /* bounded by copy_check */
}

/* Bytes from the first to the last one touched; false: beyond 2^64. */
static bool span(size_t width, size_t height, size_t depth, size_t pitch, size_t slice, size_t *out)
{
    size_t rows, slices, sum;

    return !__builtin_mul_overflow(height - 1, pitch, &rows) &&
           !__builtin_mul_overflow(depth - 1, slice, &slices) &&
           !__builtin_add_overflow(rows, slices, &sum) && !__builtin_add_overflow(sum, width, out);
}

bool copy_run(const struct copy *c)
{
    size_t dst_span, src_span;
    char *dst = (char *)(uintptr_t)c->dst;
    const char *src = (const char *)(uintptr_t)c->src;

    if (!span(c->width, c->height, c->depth, c->dst_pitch, c->dst_slice, &dst_span) ||
        !span(c->width, c->height, c->depth, c->src_pitch, c->src_slice, &src_span) ||
        (c->dst_device && !memory_live(c->dst, dst_span, false)) ||
        (c->src_device && !memory_live(c->src, src_span, false)))
        return false;
    if (c->depth == 1 &&
        (c->height == 1 || (c->dst_pitch == c->width && c->src_pitch == c->width))) {
        memmove(dst, src, c->width * c->height);
        return true;
    }
    for (size_t z = 0; z < c->depth; z++)
        for (size_t y = 0; y < c->height; y++)
            memmove(dst + z * c->dst_slice + y * c->dst_pitch,
                    src + z * c->src_slice + y * c->src_pitch, c->width);
    return true;
}

bool fill_run(const struct fill *f)
{
    size_t bytes;

    if (!span(f->width * f->element, f->height, 1, f->pitch, 0, &bytes) ||
        !memory_live(f->dst, bytes, false))
        return false;
    for (size_t y = 0; y < f->height; y++) {
        char *row = (char *)(uintptr_t)f->dst + y * f->pitch;

        switch (f->element) {
        case 1:
            memset(row, (int)f->value, f->width);
            break;
        case 2:
            for (size_t x = 0; x < f->width; x++)
                ((uint16_t *)(void *)row)[x] = (uint16_t)f->value;
            break;
        default:
            for (size_t x = 0; x < f->width; x++)
                ((uint32_t *)(void *)row)[x] = f->value;
            break;
        }
    }
    return true;
}

/* ---- common path ----------------------------------------------------------------------------- */

enum side {
    SIDE_HOST,    /* the caller says host */
    SIDE_DEVICE,  /* the caller says device */
    SIDE_UNIFIED, /* the address decides */
};

/* Checks one end of a copy and finds out what kind of memory it is. */
static CUresult check_end(uint64_t addr, size_t bytes, enum side side, bool write,
                          enum space *space, bool *device)
{
    *space = memory_space(addr);
    if (*space == SPACE_DEAD || (side == SIDE_DEVICE && *space == SPACE_PAGEABLE))
        return CUDA_ERROR_INVALID_VALUE;
    *device = *space != SPACE_PAGEABLE;
    if (*device) {
        if (memory_live(addr, bytes, write))
            return CUDA_SUCCESS;
        /* Host memory of which only the beginning is pinned is pageable memory. */
        if (side == SIDE_DEVICE || *space != SPACE_PINNED)
            return CUDA_ERROR_INVALID_VALUE;
        *space = SPACE_PAGEABLE;
        *device = false;
    }
    if (addr + bytes < addr || !addr)
        return CUDA_ERROR_INVALID_VALUE;
    if (side == SIDE_UNIFIED && !memory_mapped((void *)(uintptr_t)addr, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult run_as_caller(struct stream *s, const struct copy *c)
{
    struct op op;
    CUresult r = op_begin_caller(s, &op);
    bool ok;

    if (r)
        return r;
    /* A pause may be on: wait like any other thread that touches memory. */
    while (drv.paused)
        wait_done();
    drv.running++;
    pthread_mutex_unlock(&drv.lock);
    ok = copy_run(c);
    pthread_mutex_lock(&drv.lock);
    pool_ended_running();
    op_complete(&op);
    if (!ok)
        fault(CUDA_ERROR_ILLEGAL_ADDRESS, "a copy reached memory that was freed");
    return (CUresult)atomic_load(&drv.sticky);
}

/* Checks and carries out a copy in stream. blocking: the synchronous form of the call. */
static CUresult copy_submit(struct copy *c, enum side dst_side, enum side src_side, CUstream stream,
                            bool blocking)
{
    enum space dst_space, src_space;
    size_t dst_span, src_span, total;
    struct context *ctx;
    struct stream *s;
    struct op *op;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    if (!c->width || !c->height || !c->depth)
        return leave(CUDA_SUCCESS);
    if (!span(c->width, c->height, c->depth, c->dst_pitch, c->dst_slice, &dst_span) ||
        !span(c->width, c->height, c->depth, c->src_pitch, c->src_slice, &src_span) ||
        __builtin_mul_overflow(c->width, c->height, &total) ||
        __builtin_mul_overflow(total, c->depth, &total))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = check_end(c->dst, dst_span, dst_side, true, &dst_space, &c->dst_device);
    if (!r)
        r = check_end(c->src, src_span, src_side, false, &src_space, &c->src_device);
    if (r)
        return leave(r);

    /* Both ends on the device: not waited for, whatever the call. */
    if (dst_space == SPACE_DEVICE && src_space == SPACE_DEVICE)
        blocking = false;
    if (dst_space == SPACE_PAGEABLE ||
        (src_space == SPACE_PAGEABLE && (total > STAGED_BYTES || total != src_span)))
        blocking = true;
    if (blocking) {
        ctx = s->ctx;
        r = run_as_caller(s, c);
        return leave_synchronised(ctx, r);
    }
    op = total > 0 && pool_start_copies() ? op_new(OP_COPY) : NULL;
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    if (src_space == SPACE_PAGEABLE) {
        op->staging = malloc(total);
        if (!op->staging) {
            op_discard(op);
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        }
        memcpy(op->staging, (const void *)(uintptr_t)c->src, total);
        c->src = (uint64_t)(uintptr_t)op->staging;
    }
    op->copy = *c;
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

static CUresult copy_linear(uint64_t dst, enum side dst_side, uint64_t src, enum side src_side,
                            size_t bytes, CUstream stream, bool blocking)
{
    struct copy c = {.dst = dst, .src = src, .width = bytes, .height = 1, .depth = 1};

    return copy_submit(&c, dst_side, src_side, stream, blocking);
}

static CUresult fill_submit(CUdeviceptr dst, size_t pitch, unsigned element, uint32_t value,
                            size_t width, size_t height, CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    struct op *op;
    size_t row, bytes;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    if (!width || !height)
        return leave(CUDA_SUCCESS);
    if (dst % element || (height > 1 && pitch % element) ||
        __builtin_mul_overflow(width, (size_t)element, &row) || (height > 1 && pitch < row) ||
        !span(row, height, 1, pitch, 0, &bytes) || memory_space(dst) == SPACE_PAGEABLE ||
        !memory_live(dst, bytes, true))
        return leave(CUDA_ERROR_INVALID_VALUE);
    op = pool_start_copies() ? op_new(OP_FILL) : NULL;
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    op->fill = (struct fill){dst, pitch, width, height, element, value};
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

/* ---- linear copies --------------------------------------------------------------------------- */

#define ADDR(p) ((uint64_t)(uintptr_t)(p))

/*
 * Each synchronous call has a form whose stream is the calling thread's own (_ptds), each
 * asynchronous one a form where that goes for a null stream (_ptsz).
 */
#define COPY_CALLS(name, dst_type, src_type, dst_side, src_side)                                   \
    EXTRA(name##_v2, (dst_type dst, src_type src, size_t bytes))                                   \
    {                                                                                              \
        return copy_linear(ADDR(dst), dst_side, ADDR(src), src_side, bytes, NULL, true);           \
    }                                                                                              \
    EXTRA(name##_v2_ptds, (dst_type dst, src_type src, size_t bytes))                              \
    {                                                                                              \
        return copy_linear(ADDR(dst), dst_side, ADDR(src), src_side, bytes, CU_STREAM_PER_THREAD,  \
                           true);                                                                  \
    }                                                                                              \
    EXTRA(name##Async_v2, (dst_type dst, src_type src, size_t bytes, CUstream stream))             \
    {                                                                                              \
        return copy_linear(ADDR(dst), dst_side, ADDR(src), src_side, bytes, stream, false);        \
    }                                                                                              \
    EXTRA(name##Async_v2_ptsz, (dst_type dst, src_type src, size_t bytes, CUstream stream))        \
    {                                                                                              \
        return copy_linear(ADDR(dst), dst_side, ADDR(src), src_side, bytes, per_thread(stream),    \
                           false);                                                                 \
    }

COPY_CALLS(cuMemcpyHtoD, CUdeviceptr, const void *, SIDE_DEVICE, SIDE_HOST)
COPY_CALLS(cuMemcpyDtoH, void *, CUdeviceptr, SIDE_HOST, SIDE_DEVICE)
COPY_CALLS(cuMemcpyDtoD, CUdeviceptr, CUdeviceptr, SIDE_DEVICE, SIDE_DEVICE)

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return copy_linear(dst, SIDE_UNIFIED, src, SIDE_UNIFIED, bytes, NULL, true);
}

EXTRA(cuMemcpy_ptds, (CUdeviceptr dst, CUdeviceptr src, size_t bytes))
{
    return copy_linear(dst, SIDE_UNIFIED, src, SIDE_UNIFIED, bytes, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    return copy_linear(dst, SIDE_UNIFIED, src, SIDE_UNIFIED, bytes, stream, false);
}

EXTRA(cuMemcpyAsync_ptsz, (CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream))
{
    return cuMemcpyAsync(dst, src, bytes, per_thread(stream));
}

static CUresult check_peers(CUcontext dst, CUcontext src)
{
    CUresult r = enter_healthy();

    if (r)
        return r;
    return leave(handle_get(HANDLE(dst), OBJECT_CONTEXT) && handle_get(HANDLE(src), OBJECT_CONTEXT)
                     ? CUDA_SUCCESS
                     : CUDA_ERROR_INVALID_CONTEXT);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                           size_t bytes, CUstream stream)
{
    CUresult r = check_peers(dst_ctx, src_ctx);

    return r ? r : copy_linear(dst, SIDE_DEVICE, src, SIDE_DEVICE, bytes, stream, false);
}

/* Ordered with all work of both contexts, before and after: so it waits for both, and for itself. */
static CUresult copy_peer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                          size_t bytes, CUstream stream)
{
    CUresult r = cuCtxSynchronize_v2(src_ctx);

    if (!r)
        r = cuCtxSynchronize_v2(dst_ctx);
    if (!r)
        r = cuMemcpyPeerAsync(dst, dst_ctx, src, src_ctx, bytes, stream);
    return r ? r : cuStreamSynchronize(stream);
}

CUresult cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                      size_t bytes)
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, NULL);
}

EXTRA(cuMemcpyPeer_ptds, (CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                          size_t bytes))
{
    return copy_peer(dst, dst_ctx, src, src_ctx, bytes, CU_STREAM_PER_THREAD);
}

EXTRA(cuMemcpyPeerAsync_ptsz, (CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src,
                               CUcontext src_ctx, size_t bytes, CUstream stream))
{
    return cuMemcpyPeerAsync(dst, dst_ctx, src, src_ctx, bytes, per_thread(stream));
}

/* ---- boxes ----------------------------------------------------------------------------------- */

/* Turns one end of a box copy into an address; rows and slices are the box's, for the checks. */
static CUresult box_end(CUmemorytype type, const void *host, CUdeviceptr device, size_t x, size_t y,
                        size_t z, size_t *pitch, size_t lines, const struct copy *c, uint64_t *addr,
                        size_t *slice, enum side *side)
{
    uint64_t base;
    size_t row, offset, start;

    switch ((int)type) {
    case CU_MEMORYTYPE_HOST:
        base = ADDR(host);
        *side = SIDE_HOST;
        break;
    case CU_MEMORYTYPE_DEVICE:
        base = device;
        *side = SIDE_DEVICE;
        break;
    case CU_MEMORYTYPE_UNIFIED:
        base = device;
        *side = SIDE_UNIFIED;
        break;
    case CU_MEMORYTYPE_ARRAY:
        return UNSUPPORTED("cuMemcpy2D/3D", "an array");
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (__builtin_add_overflow(x, c->width, &row))
        return CUDA_ERROR_INVALID_VALUE;
    if (!*pitch) /* one row needs no pitch, and rows without one lie side by side */
        *pitch = row;
    if (!lines)
        lines = y + c->height;
    if (*pitch < row || (*pitch > SOFT_MAX_PITCH && *side == SIDE_DEVICE) ||
        (c->depth > 1 && lines < c->height) || __builtin_mul_overflow(*pitch, lines, slice))
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_mul_overflow(z, *slice, &start) || __builtin_mul_overflow(y, *pitch, &offset) ||
        __builtin_add_overflow(start, offset, &start) || __builtin_add_overflow(start, x, &start) ||
        __builtin_add_overflow(base, start, addr))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult copy_2d(const CUDA_MEMCPY2D *p, CUstream stream, bool blocking)
{
    struct copy c;
    enum side dst, src;
    size_t src_pitch, dst_pitch, unused;
    CUresult r;

    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    c = (struct copy){.width = p->WidthInBytes, .height = p->Height, .depth = 1};
    src_pitch = p->srcPitch;
    dst_pitch = p->dstPitch;
    r = box_end(p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes, p->srcY, 0, &src_pitch,
                1, &c, &c.src, &unused, &src);
    if (!r)
        r = box_end(p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes, p->dstY, 0,
                    &dst_pitch, 1, &c, &c.dst, &unused, &dst);
    if (r)
        return r;
    c.src_pitch = src_pitch;
    c.dst_pitch = dst_pitch;
    return copy_submit(&c, dst, src, stream, blocking);
}

static CUresult copy_3d(const CUDA_MEMCPY3D *p, CUstream stream, bool blocking)
{
    struct copy c;
    enum side dst, src;
    CUresult r;

    if (!p || p->srcLOD || p->dstLOD || p->reserved0 || p->reserved1)
        return CUDA_ERROR_INVALID_VALUE;
    c = (struct copy){.width = p->WidthInBytes,
                      .height = p->Height,
                      .depth = p->Depth,
                      .src_pitch = p->srcPitch,
                      .dst_pitch = p->dstPitch};
    r = box_end(p->srcMemoryType, p->srcHost, p->srcDevice, p->srcXInBytes, p->srcY, p->srcZ,
                &c.src_pitch, p->srcHeight, &c, &c.src, &c.src_slice, &src);
    if (!r)
        r = box_end(p->dstMemoryType, p->dstHost, p->dstDevice, p->dstXInBytes, p->dstY, p->dstZ,
                    &c.dst_pitch, p->dstHeight, &c, &c.dst, &c.dst_slice, &dst);
    return r ? r : copy_submit(&c, dst, src, stream, blocking);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, NULL, true);
}

EXTRA(cuMemcpy2D_v2_ptds, (const CUDA_MEMCPY2D *copy))
{
    return copy_2d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, NULL, true);
}

EXTRA(cuMemcpy2DUnaligned_v2_ptds, (const CUDA_MEMCPY2D *copy))
{
    return copy_2d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream)
{
    return copy_2d(copy, stream, false);
}

EXTRA(cuMemcpy2DAsync_v2_ptsz, (const CUDA_MEMCPY2D *copy, CUstream stream))
{
    return copy_2d(copy, per_thread(stream), false);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
    return copy_3d(copy, NULL, true);
}

EXTRA(cuMemcpy3D_v2_ptds, (const CUDA_MEMCPY3D *copy))
{
    return copy_3d(copy, CU_STREAM_PER_THREAD, true);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
    return copy_3d(copy, stream, false);
}

EXTRA(cuMemcpy3DAsync_v2_ptsz, (const CUDA_MEMCPY3D *copy, CUstream stream))
{
    return copy_3d(copy, per_thread(stream), false);
}

/* ---- fills ----------------------------------------------------------------------------------- */

#define FILL_CALLS(bits, type)                                                                     \
    EXTRA(cuMemsetD##bits##_v2, (CUdeviceptr dst, type value, size_t count))                       \
    {                                                                                              \
        return fill_submit(dst, 0, bits / 8, value, count, 1, NULL);                               \
    }                                                                                              \
    EXTRA(cuMemsetD##bits##_v2_ptds, (CUdeviceptr dst, type value, size_t count))                  \
    {                                                                                              \
        return fill_submit(dst, 0, bits / 8, value, count, 1, CU_STREAM_PER_THREAD);               \
    }                                                                                              \
    EXTRA(cuMemsetD##bits##Async, (CUdeviceptr dst, type value, size_t count, CUstream stream))    \
    {                                                                                              \
        return fill_submit(dst, 0, bits / 8, value, count, 1, stream);                             \
    }                                                                                              \
    EXTRA(cuMemsetD##bits##Async_ptsz,                                                             \
          (CUdeviceptr dst, type value, size_t count, CUstream stream))                            \
    {                                                                                              \
        return fill_submit(dst, 0, bits / 8, value, count, 1, per_thread(stream));                 \
    }                                                                                              \
    EXTRA(cuMemsetD2D##bits##_v2,                                                                  \
          (CUdeviceptr dst, size_t pitch, type value, size_t width, size_t height))                \
    {                                                                                              \
        return fill_submit(dst, pitch, bits / 8, value, width, height, NULL);                      \
    }                                                                                              \
    EXTRA(cuMemsetD2D##bits##_v2_ptds,                                                             \
          (CUdeviceptr dst, size_t pitch, type value, size_t width, size_t height))                \
    {                                                                                              \
        return fill_submit(dst, pitch, bits / 8, value, width, height, CU_STREAM_PER_THREAD);      \
    }                                                                                              \
    EXTRA(cuMemsetD2D##bits##Async, (CUdeviceptr dst, size_t pitch, type value, size_t width,      \
                                     size_t height, CUstream stream))                              \
    {                                                                                              \
        return fill_submit(dst, pitch, bits / 8, value, width, height, stream);                    \
    }                                                                                              \
    EXTRA(cuMemsetD2D##bits##Async_ptsz, (CUdeviceptr dst, size_t pitch, type value, size_t width, \
                                          size_t height, CUstream stream))                         \
    {                                                                                              \
        return fill_submit(dst, pitch, bits / 8, value, width, height, per_thread(stream));        \
    }

FILL_CALLS(8, unsigned char)
FILL_CALLS(16, unsigned short)
FILL_CALLS(32, unsigned int)
