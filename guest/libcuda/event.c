/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events. Every record gets a number; once a record is known to be complete, because it was asked
 * about or because its stream or context was synchronised later, the answer stays here: PyTorch's
 * allocator polls events far more often than they change.
 */
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

static bool valid(CUevent event, struct vgpu_object **object)
{
    *object = (struct vgpu_object *)event;
    return vgpu_object_is(event, VGPU_TYPE_EVENT);
}

/* Whether the event's last record, number, is known to be complete. */
static bool complete(struct vgpu_object *object, uint64_t number)
{
    if (!number || atomic_load_explicit(&object->event.complete, memory_order_acquire) >= number ||
        atomic_load_explicit(&object->context->state->synced, memory_order_acquire) >= number)
        return true;
    uint32_t stream = atomic_load_explicit(&object->event.stream, memory_order_relaxed);
    if (!stream)
        return false;
    const struct vgpu_object *s = &vgpu_objects[VGPU_HANDLE_INDEX(stream)];
    return vgpu_wire(s) == stream && s->type == VGPU_TYPE_STREAM &&
           atomic_load_explicit(&s->stream.synced, memory_order_acquire) >= number;
}

static void note_complete(struct vgpu_object *object, uint64_t number)
{
    uint64_t seen = atomic_load_explicit(&object->event.complete, memory_order_relaxed);
    while (seen < number &&
           !atomic_compare_exchange_weak_explicit(&object->event.complete, &seen, number,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!event || flags & ~(unsigned)(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING |
                                      CU_EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_EVENT_INTERPROCESS)
        return VGPU_REFUSE("cuEventCreate with CU_EVENT_INTERPROCESS");
    struct vgpu_object *object = vgpu_object_new(VGPU_TYPE_EVENT, context);
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    object->event.flags = flags;
    result = vgpu_rpc_EventCreate(vgpu_wire(object), flags);
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(object);
        return result;
    }
    *event = (CUevent)object;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object;
    if (!valid(event, &object))
        return CUDA_ERROR_INVALID_HANDLE;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = object->context;
    result = vgpu_rpc_EventDestroy(vgpu_wire(object));
    thread->current = current;
    vgpu_object_free(object);
    return result;
}

VGPU_EXPORT(cuEventDestroy, CUevent event)
{
    return cuEventDestroy_v2(event);
}

static CUresult record(CUevent event, CUstream stream, unsigned flags)
{
    struct vgpu_object *context, *object;
    uint32_t wire;
    CUresult result = vgpu_able();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (unlikely(!valid(event, &object)))
        return CUDA_ERROR_INVALID_HANDLE;
    if (unlikely(flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL))
        return CUDA_ERROR_INVALID_VALUE;
    /* A stream's context need not be current, but event and stream must be of one. */
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    struct vgpu_object *s = (struct vgpu_object *)stream;
    if (vgpu_object_is(s, VGPU_TYPE_STREAM)) {
        context = s->context;
    } else {
        result = vgpu_current(&context);
        if (unlikely(result != CUDA_SUCCESS))
            return result;
    }
    if (unlikely(object->context != context))
        return CUDA_ERROR_INVALID_HANDLE;
    result = vgpu_stream(stream, context, &wire);
    if (unlikely(result != CUDA_SUCCESS))
        return result;

    thread->current = context;
    result = vgpu_rpc_EventRecord(vgpu_wire(object), wire, flags);
    thread->current = current;
    uint32_t capture = vgpu_stream_capture(wire);
    if (unlikely(capture && !flags)) {
        if (result == CUDA_SUCCESS)
            atomic_store_explicit(&object->event.capture, capture, memory_order_release);
        return result;
    }
    if (likely(result == CUDA_SUCCESS)) {
        atomic_store_explicit(&object->event.capture, 0, memory_order_relaxed);
        atomic_store_explicit(&object->event.external, capture != 0, memory_order_relaxed);
        /* The number is taken after the record is on the ring, so whatever number a synchronisation
         * took earlier is lower. */
        atomic_store_explicit(&object->event.stream, wire, memory_order_relaxed);
        atomic_store_explicit(&object->event.recorded, atomic_fetch_add(&vgpu.next_record, 1) + 1,
                              memory_order_release);
    }
    return result;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    return record(event, stream, 0);
}

VGPU_EXPORT(cuEventRecord_ptsz, CUevent event, CUstream stream)
{
    return record(event, VGPU_PTSZ(stream), 0);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    return record(event, stream, flags);
}

VGPU_EXPORT(cuEventRecordWithFlags_ptsz, CUevent event, CUstream stream, unsigned int flags)
{
    return record(event, VGPU_PTSZ(stream), flags);
}

static CUresult ask(CUevent event, CUresult (*operation)(uint32_t))
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object;
    if (!valid(event, &object))
        return CUDA_ERROR_INVALID_HANDLE;
    if (unlikely(atomic_load_explicit(&object->event.capture, memory_order_relaxed)))
        return CUDA_ERROR_CAPTURED_EVENT;
    uint64_t number = atomic_load_explicit(&object->event.recorded, memory_order_acquire);
    bool external = atomic_load_explicit(&object->event.external, memory_order_relaxed);
    if (!external && complete(object, number))
        return CUDA_SUCCESS;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = object->context;
    result = operation(vgpu_wire(object));
    thread->current = current;
    if (result == CUDA_SUCCESS)
        note_complete(object, number);
    return result;
}

CUresult cuEventQuery(CUevent event)
{
    return ask(event, vgpu_rpc_EventQuery);
}

CUresult cuEventSynchronize(CUevent event)
{
    return ask(event, vgpu_rpc_EventSynchronize);
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *a, *b;
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (!valid(start, &a) || !valid(end, &b) || a->context != b->context ||
        (a->event.flags | b->event.flags) & CU_EVENT_DISABLE_TIMING ||
        !atomic_load_explicit(&a->event.recorded, memory_order_acquire) ||
        !atomic_load_explicit(&b->event.recorded, memory_order_acquire))
        return CUDA_ERROR_INVALID_HANDLE;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = a->context;
    result = vgpu_rpc_EventElapsedTime(vgpu_wire(a), vgpu_wire(b), ms);
    thread->current = current;
    return result;
}

CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(ms, start, end);
}
