/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams. Creating and destroying one is deferred: the guest chooses the handle. A thread's
 * default stream (CU_STREAM_PER_THREAD, and null in the _ptsz spellings) is a stream of its own per
 * context, made when first used.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

static CUresult create(struct vgpu_object *context, unsigned flags, int priority,
                       struct vgpu_object **stream)
{
    struct vgpu_object *object = vgpu_object_new(VGPU_TYPE_STREAM, context);
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    object->stream.flags = flags;
    object->stream.priority = priority;
    object->stream.id = atomic_fetch_add(&vgpu.next_id, 1) + 1;
    CUresult result = vgpu_rpc_StreamCreate(vgpu_wire(object), flags, priority);
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(object);
        return result;
    }
    *stream = object;
    return CUDA_SUCCESS;
}

CUresult vgpu_thread_stream(struct vgpu_object *context, struct vgpu_object **stream)
{
    struct vgpu_thread *thread = vgpu_thread();
    uint32_t handle = vgpu_wire(context);
    unsigned free_place = thread->stream_count;

    for (unsigned i = 0; i < thread->stream_count; i++) {
        struct vgpu_thread_stream *s = &thread->streams[i];
        if (s->context == context && s->context_handle == handle) {
            *stream = s->stream;
            return CUDA_SUCCESS;
        }
        if (s->context == context) /* of a context that was destroyed and made again */
            free_place = i;
    }
    if (free_place == thread->stream_count) {
        struct vgpu_thread_stream *more =
            realloc(thread->streams, (thread->stream_count + 1) * sizeof(*more));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        thread->streams = more;
        more[free_place] = (struct vgpu_thread_stream){0};
        thread->stream_count++;
    }
    CUresult result = create(context, CU_STREAM_DEFAULT, 0, stream);
    if (result == CUDA_SUCCESS)
        thread->streams[free_place] = (struct vgpu_thread_stream){
            .context = context, .context_handle = handle, .stream = *stream};
    return result;
}

void vgpu_thread_streams_end(struct vgpu_thread *thread)
{
    if (vgpu_ready() != CUDA_SUCCESS)
        return;
    for (unsigned i = 0; i < thread->stream_count; i++) {
        struct vgpu_thread_stream *s = &thread->streams[i];
        if (!s->context || vgpu_wire(s->context) != s->context_handle)
            continue;
        thread->current = s->context;
        vgpu_rpc_StreamDestroy(vgpu_wire(s->stream));
        vgpu_object_free(s->stream);
    }
}

CUresult vgpu_stream_slow(CUstream stream, struct vgpu_object *context, uint32_t *wire)
{
    if (stream == CU_STREAM_PER_THREAD) {
        struct vgpu_object *object;
        CUresult result = vgpu_thread_stream(context, &object);
        if (result == CUDA_SUCCESS)
            *wire = vgpu_wire(object);
        return result;
    }
    /* Unknown, destroyed, or of another context than the current one. */
    return CUDA_ERROR_INVALID_HANDLE;
}

/*
 * The object behind a stream argument, NULL for the legacy default stream, and the context to make
 * current for calls about it: these may name a stream of any context.
 */
static CUresult find(CUstream stream, struct vgpu_object **object, struct vgpu_object **context)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (stream == NULL || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD) {
        result = vgpu_current(context);
        if (result != CUDA_SUCCESS)
            return result;
        if (stream == CU_STREAM_PER_THREAD)
            return vgpu_thread_stream(*context, object);
        *object = NULL;
        return CUDA_SUCCESS;
    }
    *object = (struct vgpu_object *)stream;
    if (!vgpu_object_is(*object, VGPU_TYPE_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    *context = (*object)->context;
    return CUDA_SUCCESS;
}

CUresult vgpu_stream_find(CUstream stream, struct vgpu_object **object,
                          struct vgpu_object **context)
{
    return find(stream, object, context);
}

void vgpu_synced(struct vgpu_object *context, uint32_t stream, bool whole, uint64_t sequence)
{
    _Atomic uint64_t *word;
    if (whole) {
        word = &context->state->synced;
    } else {
        if (!stream)
            return;
        word = &vgpu_objects[VGPU_HANDLE_INDEX(stream)].stream.synced;
    }
    uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
    while (seen < sequence &&
           !atomic_compare_exchange_weak_explicit(word, &seen, sequence, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags, int priority)
{
    struct vgpu_object *context, *object;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!stream || flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    /* A priority out of range is moved into it; what cuStreamGetPriority tells must be that one. */
    int least = 0, greatest = 0;
    if (priority) {
        result = cuCtxGetStreamPriorityRange(&least, &greatest);
        if (result != CUDA_SUCCESS)
            return result;
        if (priority > least)
            priority = least;
        if (priority < greatest)
            priority = greatest;
    }
    result = create(context, flags, priority, &object);
    if (result == CUDA_SUCCESS)
        *stream = (CUstream)object;
    return result;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
    return cuStreamCreateWithPriority(stream, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = (struct vgpu_object *)stream;
    if (!vgpu_object_is(object, VGPU_TYPE_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = object->context;
    result = vgpu_rpc_StreamDestroy(vgpu_wire(object));
    thread->current = current;
    vgpu_capture_destroyed(object);
    vgpu_object_free(object);
    return result;
}

VGPU_EXPORT(cuStreamDestroy, CUstream stream)
{
    return cuStreamDestroy_v2(stream);
}

static CUresult synchronize(CUstream stream)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t wire = object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT;
    uint64_t sequence = atomic_fetch_add(&vgpu.next_record, 1);
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_StreamSynchronize(wire);
    thread->current = current;
    if (result == CUDA_SUCCESS)
        vgpu_synced(context, wire, false, sequence);
    return result;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    return synchronize(stream);
}

VGPU_EXPORT(cuStreamSynchronize_ptsz, CUstream stream)
{
    return synchronize(VGPU_PTSZ(stream));
}

static CUresult query(CUstream stream)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t wire = object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT;
    uint64_t sequence = atomic_fetch_add(&vgpu.next_record, 1);
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_StreamQuery(wire);
    thread->current = current;
    if (result == CUDA_SUCCESS)
        vgpu_synced(context, wire, false, sequence);
    return result;
}

CUresult cuStreamQuery(CUstream stream)
{
    return query(stream);
}

VGPU_EXPORT(cuStreamQuery_ptsz, CUstream stream)
{
    return query(VGPU_PTSZ(stream));
}

static CUresult wait_event(CUstream stream, CUevent event, unsigned flags)
{
    struct vgpu_object *object, *context, *what = (struct vgpu_object *)event;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!vgpu_object_is(what, VGPU_TYPE_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    /* An event that was never recorded holds nothing up. */
    uint32_t capture = atomic_load_explicit(&what->event.capture, memory_order_acquire);
    if (!atomic_load_explicit(&what->event.recorded, memory_order_acquire) && !capture && !flags)
        return CUDA_SUCCESS;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_StreamWaitEvent(object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT,
                                      vgpu_wire(what), flags);
    thread->current = current;
    if (result == CUDA_SUCCESS && capture && object && !flags)
        vgpu_capture_join(object, capture);
    return result;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags)
{
    return wait_event(stream, event, flags);
}

VGPU_EXPORT(cuStreamWaitEvent_ptsz, CUstream stream, CUevent event, unsigned int flags)
{
    return wait_event(VGPU_PTSZ(stream), event, flags);
}

/* ---- answered here ----------------------------------------------------------------------------
 */

static CUresult get_priority(CUstream stream, int *priority)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!priority)
        return CUDA_ERROR_INVALID_VALUE;
    *priority = object ? object->stream.priority : 0;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetPriority(CUstream stream, int *priority)
{
    return get_priority(stream, priority);
}

VGPU_EXPORT(cuStreamGetPriority_ptsz, CUstream stream, int *priority)
{
    return get_priority(VGPU_PTSZ(stream), priority);
}

static CUresult get_flags(CUstream stream, unsigned *flags)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = object ? object->stream.flags : CU_STREAM_DEFAULT;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetFlags(CUstream stream, unsigned int *flags)
{
    return get_flags(stream, flags);
}

VGPU_EXPORT(cuStreamGetFlags_ptsz, CUstream stream, unsigned int *flags)
{
    return get_flags(VGPU_PTSZ(stream), flags);
}

static CUresult get_context(CUstream stream, CUcontext *ctx)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    *ctx = (CUcontext)context;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *ctx)
{
    return get_context(stream, ctx);
}

VGPU_EXPORT(cuStreamGetCtx_ptsz, CUstream stream, CUcontext *ctx)
{
    return get_context(VGPU_PTSZ(stream), ctx);
}

/* No green contexts exist here, so a stream is never of one. */
static CUresult get_context_or_green(CUstream stream, CUcontext *ctx, CUgreenCtx *green)
{
    CUresult result = get_context(stream, ctx);
    if (result == CUDA_SUCCESS && green)
        *green = NULL;
    return result;
}

VGPU_EXPORT(cuStreamGetCtx_v2, CUstream stream, CUcontext *ctx, CUgreenCtx *green)
{
    return get_context_or_green(stream, ctx, green);
}

VGPU_EXPORT(cuStreamGetCtx_v2_ptsz, CUstream stream, CUcontext *ctx, CUgreenCtx *green)
{
    return get_context_or_green(VGPU_PTSZ(stream), ctx, green);
}

static CUresult get_id(CUstream stream, unsigned long long *id)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!id)
        return CUDA_ERROR_INVALID_VALUE;
    /* Numbers of contexts and streams come from one counter: a default stream may use its
     * context's. */
    *id = object ? object->stream.id : context->state->id;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetId(CUstream stream, unsigned long long *id)
{
    return get_id(stream, id);
}

VGPU_EXPORT(cuStreamGetId_ptsz, CUstream stream, unsigned long long *id)
{
    return get_id(VGPU_PTSZ(stream), id);
}

static CUresult get_device(CUstream stream, CUdevice *dev)
{
    struct vgpu_object *object, *context;
    CUresult result = find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!dev)
        return CUDA_ERROR_INVALID_VALUE;
    *dev = vgpu_context_device(context);
    return CUDA_SUCCESS;
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice *dev)
{
    return get_device(stream, dev);
}

VGPU_EXPORT(cuStreamGetDevice_ptsz, CUstream stream, CUdevice *dev)
{
    return get_device(VGPU_PTSZ(stream), dev);
}
