/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: the primary context of each device, counted here, and contexts a program makes itself;
 * each thread's stack of them. Which context is current travels with every record, so changing it
 * costs nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

static bool living(const struct vgpu_object *context)
{
    return vgpu_object_is(context, VGPU_TYPE_CONTEXT) && vgpu_wire(context);
}

static struct vgpu_object *make(int device, unsigned flags, bool primary)
{
    struct vgpu_object *object = vgpu_object_new(VGPU_TYPE_CONTEXT, NULL);
    if (!object)
        return NULL;
    struct vgpu_context *state = object->state;
    state->device = device;
    state->flags = flags;
    state->primary = primary;
    atomic_init(&state->users, 1);
    state->id = atomic_fetch_add(&vgpu.next_id, 1) + 1;
    return object;
}

/* The host forgets a context and all its objects; so do we. */
static void forget(struct vgpu_object *context)
{
    uint32_t handle = vgpu_wire(context);
    vgpu_map_drop(handle, 0);
    vgpu_staging_forget(handle);
    vgpu_objects_drop_context(context);
}

/* ---- primary contexts ------------------------------------------------------------------------ */

static CUresult device_check(CUdevice dev)
{
    CUresult result = vgpu_ready();
    if (result == CUDA_SUCCESS && (dev < 0 || dev >= vgpu.device_count))
        result = CUDA_ERROR_INVALID_DEVICE;
    return result;
}

/*
 * The object of a primary context is made once and keeps its address; it has a wire handle only
 * while the context exists, so threads that have it current see it come and go.
 */
CUresult vgpu_primary_retain(CUcontext *ctx, int device)
{
    struct vgpu_device *d = &vgpu.devices[device];
    CUresult result = CUDA_SUCCESS;

    pthread_mutex_lock(&d->lock);
    if (!d->primary_count) {
        if (!d->primary) {
            d->primary = make(device, d->primary_flags, true);
            if (!d->primary)
                result = CUDA_ERROR_OUT_OF_MEMORY;
        } else {
            vgpu_object_renew(d->primary);
            d->primary->state->flags = d->primary_flags;
            d->primary->state->id = atomic_fetch_add(&vgpu.next_id, 1) + 1;
        }
        if (result == CUDA_SUCCESS) {
            /* It may be current already, but the host does not know its handle yet. */
            struct vgpu_thread *thread = vgpu_thread();
            struct vgpu_object *current = thread->current;
            thread->current = NULL;
            result = vgpu_rpc_PrimaryRetain(device, d->primary_flags, vgpu_wire(d->primary));
            thread->current = current;
            if (result != CUDA_SUCCESS)
                atomic_store(&d->primary->handle, 0);
        }
    }
    if (result == CUDA_SUCCESS) {
        d->primary_count++;
        *ctx = (CUcontext)d->primary;
    }
    pthread_mutex_unlock(&d->lock);
    return result;
}

CUresult vgpu_primary_handle(CUcontext *ctx, int device)
{
    struct vgpu_device *d = &vgpu.devices[device];
    pthread_mutex_lock(&d->lock);
    if (!d->primary) {
        d->primary = make(device, d->primary_flags, true);
        if (d->primary)
            atomic_store(&d->primary->handle, 0);
    }
    *ctx = (CUcontext)d->primary;
    pthread_mutex_unlock(&d->lock);
    return *ctx ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult primary_end(struct vgpu_device *d, int device)
{
    vgpu_storage_destroy(d->primary->state, (CUcontext)d->primary);
    CUresult result = vgpu_rpc_PrimaryRelease(device, vgpu_wire(d->primary));
    forget(d->primary);
    d->primary_count = 0;
    atomic_store(&d->primary->handle, 0);
    return result;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice dev)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_primary_retain(ctx, dev);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_device *d = &vgpu.devices[dev];
    pthread_mutex_lock(&d->lock);
    if (!d->primary_count)
        result = CUDA_ERROR_INVALID_CONTEXT;
    else if (--d->primary_count == 0)
        result = primary_end(d, dev);
    pthread_mutex_unlock(&d->lock);
    return result;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_device *d = &vgpu.devices[dev];
    pthread_mutex_lock(&d->lock);
    if (d->primary_count)
        result = primary_end(d, dev);
    pthread_mutex_unlock(&d->lock);
    return result;
}

#define CONTEXT_FLAGS                                                                              \
    (CU_CTX_SCHED_MASK | CU_CTX_MAP_HOST | CU_CTX_LMEM_RESIZE_TO_MAX | CU_CTX_SYNC_MEMOPS)

static bool flags_valid(unsigned flags)
{
    unsigned schedule = flags & CU_CTX_SCHED_MASK;
    return !(flags & ~(unsigned)CONTEXT_FLAGS) &&
           (schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN ||
            schedule == CU_CTX_SCHED_YIELD || schedule == CU_CTX_SCHED_BLOCKING_SYNC);
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags_valid(flags))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_device *d = &vgpu.devices[dev];
    pthread_mutex_lock(&d->lock);
    /* How a thread waits is the guest library's business; the rest the host may refuse. */
    result = vgpu_rpc_PrimarySetFlags(dev, flags);
    if (result == CUDA_SUCCESS) {
        d->primary_flags = flags;
        if (d->primary)
            d->primary->state->flags = flags;
    }
    pthread_mutex_unlock(&d->lock);
    return result;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    /* No lock: PyTorch asks before every kernel. */
    struct vgpu_device *d = &vgpu.devices[dev];
    *flags = d->primary_flags;
    *active = __atomic_load_n(&d->primary_count, __ATOMIC_RELAXED) != 0;
    return CUDA_SUCCESS;
}

VGPU_EXPORT(cuDevicePrimaryCtxRelease, CUdevice dev)
{
    return cuDevicePrimaryCtxRelease_v2(dev);
}

VGPU_EXPORT(cuDevicePrimaryCtxReset, CUdevice dev)
{
    return cuDevicePrimaryCtxReset_v2(dev);
}

VGPU_EXPORT(cuDevicePrimaryCtxSetFlags, CUdevice dev, unsigned int flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}

/* ---- the stack ------------------------------------------------------------------------------- */

static CUresult push(struct vgpu_thread *thread, struct vgpu_object *context)
{
    if (thread->current) {
        if (thread->depth == thread->room) {
            unsigned room = thread->room ? 2 * thread->room : 8;
            struct vgpu_object **stack = realloc(thread->stack, room * sizeof(*stack));
            if (!stack)
                return CUDA_ERROR_OUT_OF_MEMORY;
            thread->stack = stack;
            thread->room = room;
        }
        thread->stack[thread->depth++] = thread->current;
    }
    thread->current = context;
    return CUDA_SUCCESS;
}

static struct vgpu_object *pop(struct vgpu_thread *thread)
{
    struct vgpu_object *top = thread->current;
    thread->current = thread->depth ? thread->stack[--thread->depth] : NULL;
    return top;
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!living((struct vgpu_object *)ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    return push(vgpu_thread(), (struct vgpu_object *)ctx);
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_thread *thread = vgpu_thread();
    if (!thread->current)
        return CUDA_ERROR_INVALID_CONTEXT;
    struct vgpu_object *top = pop(thread);
    if (ctx)
        *ctx = (CUcontext)top;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_thread *thread = vgpu_thread();
    if (!ctx) {
        pop(thread);
        return CUDA_SUCCESS;
    }
    /* The runtime makes a primary context current before it retains it. */
    struct vgpu_object *object = (struct vgpu_object *)ctx;
    if (!vgpu_object_is(object, VGPU_TYPE_CONTEXT) ||
        (!vgpu_wire(object) && !object->state->primary))
        return CUDA_ERROR_INVALID_CONTEXT;
    thread->current = object;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx)
        return CUDA_ERROR_INVALID_VALUE;
    *ctx = (CUcontext)vgpu_thread()->current;
    return CUDA_SUCCESS;
}

/* ---- contexts a program makes ---------------------------------------------------------------- */

static CUresult create(CUcontext *ctx, unsigned flags, CUdevice dev)
{
    CUresult result = device_check(dev);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx || !flags_valid(flags))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_object *object = make(dev, flags, false);
    if (!object)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_rpc_CtxCreate(dev, flags, vgpu_wire(object));
    if (result == CUDA_SUCCESS)
        result = push(vgpu_thread(), object);
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(object);
        return result;
    }
    *ctx = (CUcontext)object;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice dev)
{
    return create(ctx, flags, dev);
}

VGPU_EXPORT(cuCtxCreate, CUcontext *ctx, unsigned int flags, CUdevice dev)
{
    return create(ctx, flags, dev);
}

CUresult cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *params, int count, unsigned int flags,
                        CUdevice dev)
{
    if (params && count > 0)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return create(ctx, flags, dev);
}

CUresult cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
    if (params && params->execAffinityParams && params->numExecAffinityParams > 0)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    if (params && params->cigParams)
        return VGPU_REFUSE("cuCtxCreate with CIG parameters");
    return create(ctx, flags, dev);
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = (struct vgpu_object *)ctx;
    if (!living(object))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (object->state->primary) /* ends by release or reset */
        return CUDA_ERROR_INVALID_CONTEXT;

    vgpu_storage_destroy(object->state, ctx);
    result = vgpu_rpc_CtxDestroy(vgpu_wire(object));
    forget(object);
    struct vgpu_thread *thread = vgpu_thread();
    if (thread->current == object)
        pop(thread);
    vgpu_object_free(object);
    return result;
}

VGPU_EXPORT(cuCtxDestroy, CUcontext ctx)
{
    return cuCtxDestroy_v2(ctx);
}

VGPU_EXPORT(cuCtxPushCurrent, CUcontext ctx)
{
    return cuCtxPushCurrent_v2(ctx);
}

VGPU_EXPORT(cuCtxPopCurrent, CUcontext *ctx)
{
    return cuCtxPopCurrent_v2(ctx);
}

/* ---- questions about the current context ------------------------------------------------------
 */

/* ctx, or the current context when NULL. */
static CUresult given_or_current(CUcontext ctx, struct vgpu_object **context)
{
    if (!ctx)
        return vgpu_context_only(context);
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    *context = (struct vgpu_object *)ctx;
    return living(*context) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxGetDevice(CUdevice *dev)
{
    struct vgpu_object *context;
    CUresult result = vgpu_context_only(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!dev)
        return CUDA_ERROR_INVALID_VALUE;
    *dev = vgpu_context_device(context);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *dev, CUcontext ctx)
{
    struct vgpu_object *context;
    CUresult result = given_or_current(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!dev)
        return CUDA_ERROR_INVALID_VALUE;
    *dev = vgpu_context_device(context);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_context_only(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = context->state->flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags_valid(flags))
        return CUDA_ERROR_INVALID_VALUE;
    context->state->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
    struct vgpu_object *context;
    CUresult result = given_or_current(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!id)
        return CUDA_ERROR_INVALID_VALUE;
    *id = context->state->id;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int *version)
{
    struct vgpu_object *context;
    CUresult result = given_or_current(ctx, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_CtxGetApiVersion(vgpu_wire(context), version);
}

static CUresult synchronize(struct vgpu_object *context)
{
    CUresult result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    uint64_t sequence = atomic_fetch_add(&vgpu.next_record, 1);
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_CtxSynchronize();
    thread->current = current;
    if (result == CUDA_SUCCESS)
        vgpu_synced(context, 0, true, sequence);
    return result;
}

CUresult cuCtxSynchronize(void)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    return result == CUDA_SUCCESS ? synchronize(context) : result;
}

CUresult cuCtxSynchronize_v2(CUcontext ctx)
{
    struct vgpu_object *context;
    CUresult result = given_or_current(ctx, &context);
    return result == CUDA_SUCCESS ? synchronize(context) : result;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t got;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_CtxGetLimit(limit, &got);
    if (result == CUDA_SUCCESS)
        *value = got;
    return result;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    return result == CUDA_SUCCESS ? vgpu_rpc_CtxSetLimit(limit, value) : result;
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t got;
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_CtxGetCacheConfig(&got);
    if (result == CUDA_SUCCESS)
        *config = (CUfunc_cache)got;
    return result;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_CtxSetCacheConfig(config);
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    uint32_t got;
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_CtxGetSharedMemConfig(&got);
    if (result == CUDA_SUCCESS)
        *config = (CUsharedconfig)got;
    return result;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_CtxSetSharedMemConfig(config);
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_context *state = context->state;
    if (!__atomic_load_n(&state->priorities_known, __ATOMIC_ACQUIRE)) {
        int32_t low, high;
        result = vgpu_rpc_CtxGetStreamPriorityRange(&low, &high);
        if (result != CUDA_SUCCESS)
            return result;
        state->least_priority = low;
        state->greatest_priority = high;
        __atomic_store_n(&state->priorities_known, true, __ATOMIC_RELEASE);
    }
    if (least)
        *least = state->least_priority;
    if (greatest)
        *greatest = state->greatest_priority;
    return CUDA_SUCCESS;
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    return result == CUDA_SUCCESS ? vgpu_rpc_CtxResetPersistingL2Cache() : result;
}

/* Long deprecated: a context counts its users and ends with the last one. */
VGPU_EXPORT(cuCtxAttach, CUcontext *ctx, unsigned int flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ctx || flags)
        return CUDA_ERROR_INVALID_VALUE;
    atomic_fetch_add(&context->state->users, 1);
    *ctx = (CUcontext)context;
    return CUDA_SUCCESS;
}

VGPU_EXPORT(cuCtxDetach, CUcontext ctx)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = (struct vgpu_object *)ctx;
    if (!living(object))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (atomic_fetch_sub(&object->state->users, 1) > 1)
        return CUDA_SUCCESS;
    return cuCtxDestroy_v2(ctx);
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!living((struct vgpu_object *)peer))
        return CUDA_ERROR_INVALID_CONTEXT;
    return flags ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!living((struct vgpu_object *)peer))
        return CUDA_ERROR_INVALID_CONTEXT;
    return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
