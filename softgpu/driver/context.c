/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

/* ---- the calling thread ---------------------------------------------------------------------- */

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static bool thread_key_ok;
static __thread struct thread *self_cache;

static void thread_ended(void *arg)
{
    struct thread *t = arg;

    pthread_mutex_lock(&drv.lock);
    for (size_t i = 0; drv.initialised && i < t->stream_count; i++) {
        if (handle_get(t->streams[i].ctx_handle, OBJECT_CONTEXT) != t->streams[i].ctx)
            continue;
        t->streams[i].stream->destroyed = true;
        stream_release(t->streams[i].stream);
    }
    pthread_mutex_unlock(&drv.lock);
    free(t->stack);
    free(t->streams);
    free(t);
    self_cache = NULL;
}

static void thread_key_make(void)
{
    thread_key_ok = pthread_key_create(&thread_key, thread_ended) == 0;
}

struct thread *thread_self(void)
{
    struct thread *t = self_cache;

    if (t)
        return t;
    pthread_once(&thread_once, thread_key_make);
    t = calloc(1, sizeof(*t));
    if (!t || !thread_key_ok || pthread_setspecific(thread_key, t)) {
        free(t);
        return NULL;
    }
    return self_cache = t;
}

struct context *context_current(void)
{
    struct thread *t = thread_self();

    return t && t->depth ? handle_get(t->stack[t->depth - 1], OBJECT_CONTEXT) : NULL;
}

static CUresult push_current(uint64_t handle)
{
    struct thread *t = thread_self();

    if (!t)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (t->depth == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 8;
        uint64_t *grown = realloc(t->stack, capacity * sizeof(*grown));

        if (!grown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        t->stack = grown;
        t->capacity = capacity;
    }
    t->stack[t->depth++] = handle;
    return CUDA_SUCCESS;
}

/* ---- creation and destruction ---------------------------------------------------------------- */

CUresult context_new(struct device *dev, unsigned flags, struct context **out)
{
    struct context *ctx = calloc(1, sizeof(*ctx));

    if (!ctx)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ctx->handle = handle_new(OBJECT_CONTEXT, ctx);
    if (!ctx->handle) {
        free(ctx);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    ctx->dev = dev;
    ctx->flags = flags;
    ctx->id = drv.next_id++;
    ctx->api_version = 3020;
    stream_init(&ctx->legacy, ctx, CU_STREAM_DEFAULT, 0);
    ctx->legacy.legacy = true;
    ctx->legacy.id = 1;
    list_init(&ctx->streams);
    list_init(&ctx->modules);
    list_init(&ctx->events);
    ctx->limits[CU_LIMIT_STACK_SIZE] = 1024;
    ctx->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
    ctx->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
    ctx->limits[CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2;
    ctx->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
    ctx->limits[CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64;
    ctx->shared = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    pthread_mutex_init(&ctx->print_lock, NULL);
    list_append(&drv.contexts, &ctx->all);
    *out = ctx;
    return CUDA_SUCCESS;
}

void context_destroy(struct context *ctx)
{
    /* Nobody else can find it from here on; whoever waits in it is let go first. */
    handle_free(ctx->handle);
    context_wait(ctx);
    ctx->destroyed = true;
    while (ctx->users)
        wait_done();
    memory_quiesce();
    LIST_EACH(it, &ctx->modules)
    {
        module_free(CONTAINER(it, struct module, of_context));
    }
    LIST_EACH(it, &ctx->events)
    {
        event_free(CONTAINER(it, struct event, of_context));
    }
    memory_context_destroyed(ctx);
    memory_resume();
    list_remove(&ctx->all);
    if (atomic_load(&drv.sticky)) {
        /* Pool threads and queues may still refer to its streams; the process is past using them.
         */
        return;
    }
    LIST_EACH(it, &ctx->streams)
    {
        struct stream *s = CONTAINER(it, struct stream, of_context);

        handle_free(s->handle);
        s->destroyed = true;
        stream_release(s);
    }
    pthread_mutex_destroy(&ctx->print_lock);
    free(ctx->print_text);
    free(ctx);
}

static bool valid_flags(unsigned flags)
{
    unsigned sched = flags & CU_CTX_SCHED_MASK;

    return !(flags & ~(unsigned)CU_CTX_FLAGS_MASK) && !(sched & (sched - 1));
}

CUresult cuCtxCreate_v2(CUcontext *out, unsigned int flags, CUdevice dev)
{
    struct context *ctx;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!out || !valid_flags(flags))
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!device_get(dev))
        return leave(CUDA_ERROR_INVALID_DEVICE);
    r = context_new(device_get(dev), flags, &ctx);
    if (!r && (r = push_current(ctx->handle)))
        context_destroy(ctx);
    if (!r)
        *out = AS_HANDLE(CUcontext, ctx->handle);
    return leave(r);
}

CUresult cuCtxCreate_v3(CUcontext *ctx, CUexecAffinityParam *params, int count, unsigned int flags,
                        CUdevice dev)
{
    if (count < 0 || (count && !params))
        return CUDA_ERROR_INVALID_VALUE;
    if (count)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return cuCtxCreate_v2(ctx, flags, dev);
}

CUresult cuCtxCreate_v4(CUcontext *ctx, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
    if (params && params->cigParams)
        return UNSUPPORTED("cuCtxCreate", "sharing with a graphics queue");
    return params ? cuCtxCreate_v3(ctx, params->execAffinityParams, params->numExecAffinityParams,
                                   flags, dev)
                  : cuCtxCreate_v2(ctx, flags, dev);
}

CUresult cuCtxDestroy_v2(CUcontext handle)
{
    struct context *ctx;
    struct thread *t;
    CUresult r = enter();

    if (r)
        return r;
    ctx = handle_get(HANDLE(handle), OBJECT_CONTEXT);
    if (!ctx || ctx->primary)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    t = thread_self();
    if (t && t->depth && t->stack[t->depth - 1] == ctx->handle)
        t->depth--;
    context_destroy(ctx);
    return leave((CUresult)atomic_load(&drv.sticky));
}

EXTRA(cuCtxDestroy, (CUcontext ctx))
{
    return cuCtxDestroy_v2(ctx);
}

/* ---- the primary context --------------------------------------------------------------------- */

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice dev)
{
    struct device *d;
    CUresult r = enter_healthy();

    if (r)
        return r;
    d = device_get(dev);
    if (!out || !d)
        return leave(out ? CUDA_ERROR_INVALID_DEVICE : CUDA_ERROR_INVALID_VALUE);
    if (!d->primary) {
        r = context_new(d, d->primary_flags, &d->primary);
        if (r)
            return leave(r);
        d->primary->primary = true;
    }
    d->primary_refs++;
    *out = AS_HANDLE(CUcontext, d->primary->handle);
    return leave(CUDA_SUCCESS);
}

static void primary_destroy(struct device *d)
{
    struct context *ctx = d->primary;

    d->primary = NULL;
    d->primary_refs = 0;
    context_destroy(ctx);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    struct device *d;
    CUresult r = enter();

    if (r)
        return r;
    d = device_get(dev);
    if (!d)
        return leave(CUDA_ERROR_INVALID_DEVICE);
    if (!d->primary)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    if (--d->primary_refs == 0)
        primary_destroy(d);
    return leave((CUresult)atomic_load(&drv.sticky));
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    struct device *d;
    CUresult r = enter();

    if (r)
        return r;
    d = device_get(dev);
    if (!d)
        return leave(CUDA_ERROR_INVALID_DEVICE);
    if (d->primary)
        primary_destroy(d);
    return leave((CUresult)atomic_load(&drv.sticky));
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
    struct device *d;
    CUresult r = enter_healthy();

    if (r)
        return r;
    d = device_get(dev);
    if (!d)
        return leave(CUDA_ERROR_INVALID_DEVICE);
    if (!valid_flags(flags))
        return leave(CUDA_ERROR_INVALID_VALUE);
    d->primary_flags = flags;
    if (d->primary)
        d->primary->flags = flags;
    return leave(CUDA_SUCCESS);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
    struct device *d;
    CUresult r = enter();

    if (r)
        return r;
    d = device_get(dev);
    if (!d)
        return leave(CUDA_ERROR_INVALID_DEVICE);
    if (!flags || !active)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = d->primary_flags;
    *active = d->primary != NULL;
    return leave(CUDA_SUCCESS);
}

EXTRA(cuDevicePrimaryCtxRelease, (CUdevice dev))
{
    return cuDevicePrimaryCtxRelease_v2(dev);
}

EXTRA(cuDevicePrimaryCtxReset, (CUdevice dev))
{
    return cuDevicePrimaryCtxReset_v2(dev);
}

EXTRA(cuDevicePrimaryCtxSetFlags, (CUdevice dev, unsigned int flags))
{
    return cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}

/* ---- the stack of current contexts ----------------------------------------------------------- */

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    CUresult r = enter();

    if (r)
        return r;
    if (!handle_get(HANDLE(ctx), OBJECT_CONTEXT))
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    return leave(push_current(HANDLE(ctx)));
}

CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
    struct thread *t;
    CUresult r = enter();

    if (r)
        return r;
    t = thread_self();
    if (!t || !t->depth)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    t->depth--;
    if (ctx)
        *ctx = AS_HANDLE(CUcontext, t->stack[t->depth]);
    return leave(CUDA_SUCCESS);
}

EXTRA(cuCtxPushCurrent, (CUcontext ctx))
{
    return cuCtxPushCurrent_v2(ctx);
}

EXTRA(cuCtxPopCurrent, (CUcontext * ctx))
{
    return cuCtxPopCurrent_v2(ctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    struct thread *t;
    CUresult r = enter();

    if (r)
        return r;
    t = thread_self();
    if (!t)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    if (ctx && !handle_get(HANDLE(ctx), OBJECT_CONTEXT))
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    /* Replaces the top of the stack; null pops it. */
    if (t->depth)
        t->depth--;
    return leave(ctx ? push_current(HANDLE(ctx)) : CUDA_SUCCESS);
}

CUresult cuCtxGetCurrent(CUcontext *ctx)
{
    struct thread *t;
    CUresult r = enter();

    if (r)
        return r;
    if (!ctx)
        return leave(CUDA_ERROR_INVALID_VALUE);
    t = thread_self();
    *ctx = t && t->depth ? AS_HANDLE(CUcontext, t->stack[t->depth - 1]) : NULL;
    return leave(CUDA_SUCCESS);
}

/* ---- properties ------------------------------------------------------------------------------ */

/* Enters for a call about handle, or about the current context when handle is null. */
static CUresult enter_named(CUcontext handle, struct context **ctx)
{
    CUresult r;

    if (!handle)
        return enter_context(ctx);
    r = enter_healthy();
    if (r)
        return r;
    *ctx = handle_get(HANDLE(handle), OBJECT_CONTEXT);
    return *ctx ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_CONTEXT);
}

CUresult cuCtxGetDevice(CUdevice *dev)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!dev)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *dev = ctx->dev->ordinal;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetDevice_v2(CUdevice *dev, CUcontext handle)
{
    struct context *ctx;
    CUresult r = enter_named(handle, &ctx);

    if (r)
        return r;
    if (!dev)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *dev = ctx->dev->ordinal;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = ctx->flags;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!valid_flags(flags))
        return leave(CUDA_ERROR_INVALID_VALUE);
    ctx->flags = flags;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long *id)
{
    struct context *ctx;
    CUresult r = enter_named(handle, &ctx);

    if (r)
        return r;
    if (!id)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *id = ctx->id;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxSynchronize_v2(CUcontext handle)
{
    struct context *ctx;
    CUresult r = enter_named(handle, &ctx);

    return r ? r : leave_synchronised(ctx, context_wait(ctx));
}

CUresult cuCtxSynchronize(void)
{
    return cuCtxSynchronize_v2(NULL);
}

static bool limit_known(CUlimit limit)
{
    return limit == CU_LIMIT_STACK_SIZE || limit == CU_LIMIT_PRINTF_FIFO_SIZE ||
           limit == CU_LIMIT_MALLOC_HEAP_SIZE || limit == CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH ||
           limit == CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT ||
           limit == CU_LIMIT_MAX_L2_FETCH_GRANULARITY || limit == CU_LIMIT_PERSISTING_L2_CACHE_SIZE;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if ((unsigned)limit >= CU_LIMIT_MAX)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!limit_known(limit))
        return leave(CUDA_ERROR_UNSUPPORTED_LIMIT);
    switch ((int)limit) {
    case CU_LIMIT_STACK_SIZE:
        if (value > 512 << 10)
            return leave(CUDA_ERROR_INVALID_VALUE);
        break;
    case CU_LIMIT_PRINTF_FIFO_SIZE:
    case CU_LIMIT_MALLOC_HEAP_SIZE:
        if (value > ctx->dev->total)
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        if (limit == CU_LIMIT_PRINTF_FIFO_SIZE && value < 4096)
            value = 4096;
        break;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
        if (value > 128)
            return leave(CUDA_ERROR_INVALID_VALUE);
        break;
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE:
        value = 0; /* the device has no persisting cache to set aside */
        break;
    }
    pthread_mutex_lock(&ctx->print_lock);
    ctx->limits[limit] = value;
    pthread_mutex_unlock(&ctx->print_lock);
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!value || (unsigned)limit >= CU_LIMIT_MAX)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!limit_known(limit))
        return leave(CUDA_ERROR_UNSUPPORTED_LIMIT);
    *value = ctx->limits[limit];
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!config)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *config = ctx->cache;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if ((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL)
        return leave(CUDA_ERROR_INVALID_VALUE);
    ctx->cache = config;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!config)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *config = ctx->shared;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if ((unsigned)config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return leave(CUDA_ERROR_INVALID_VALUE);
    /* Banks have been four bytes wide on every device since 5.0; the request is a hint. */
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned int *version)
{
    struct context *ctx;
    CUresult r = enter_named(handle, &ctx);

    if (r)
        return r;
    if (!version)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *version = ctx->api_version;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (least)
        *least = 0;
    if (greatest)
        *greatest = SOFT_PRIORITY_GREATEST;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    return r ? r : leave(CUDA_SUCCESS);
}

CUresult cuCtxGetExecAffinity(CUexecAffinityParam *param, CUexecAffinityType type)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (!param || type != CU_EXEC_AFFINITY_TYPE_SM_COUNT)
        return leave(CUDA_ERROR_INVALID_VALUE);
    return leave(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
}

CUresult cuCtxEnablePeerAccess(CUcontext handle, unsigned int flags)
{
    struct context *ctx, *peer;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    if (flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    peer = handle_get(HANDLE(handle), OBJECT_CONTEXT);
    if (!peer || peer == ctx)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    if (peer->dev == ctx->dev)
        return leave(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    if (ctx->peers & 1u << peer->dev->ordinal)
        return leave(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
    ctx->peers |= 1u << peer->dev->ordinal;
    return leave(CUDA_SUCCESS);
}

CUresult cuCtxDisablePeerAccess(CUcontext handle)
{
    struct context *ctx, *peer;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    peer = handle_get(HANDLE(handle), OBJECT_CONTEXT);
    if (!peer)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    if (!(ctx->peers & 1u << peer->dev->ordinal))
        return leave(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
    ctx->peers &= ~(1u << peer->dev->ordinal);
    return leave(CUDA_SUCCESS);
}
