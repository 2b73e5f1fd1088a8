/* SPDX-License-Identifier: Apache-2.0 */
/* context.c - start, devices, contexts */
#include "worker.h"

#include <stdlib.h>
#include <string.h>

#include "mediator/common/log.h"

CUresult worker_do_Init(struct vgpu_worker *worker, const struct worker_args_Init *args,
                        struct vgpu_rsp_Init *out, struct vgpu_answer *answer)
{
    uint64_t total = 0;

    for (int i = 0; i < worker->device_count; i++) {
        size_t bytes = 0;
        CUresult result = worker->driver->cuDeviceTotalMem_v2(&bytes, i);
        if (result != CUDA_SUCCESS)
            return result;
        total += bytes;
    }
    out->driver_version = worker->driver_version;
    out->device_count = worker->device_count;
    /* Twice the memory, so that holes between live allocations do not exhaust the addresses. */
    out->window_bytes = (2 * total + VGPU_WINDOW_ALIGN - 1) & ~(VGPU_WINDOW_ALIGN - 1);
    return CUDA_SUCCESS;
}

CUresult worker_do_Window(struct vgpu_worker *worker, const struct worker_args_Window *args,
                          struct vgpu_answer *answer)
{
    CUdeviceptr placed = 0;

    if (worker->window_bytes || args->base < VGPU_WINDOW_ADDRESS_MIN ||
        args->base >= VGPU_WINDOW_ADDRESS_MAX || args->base % VGPU_WINDOW_ALIGN || !args->bytes ||
        args->bytes % VGPU_WINDOW_ALIGN || args->bytes > VGPU_WINDOW_ADDRESS_MAX - args->base) {
        answer->violation = 1;
        answer->reason = "device window out of range";
        return CUDA_ERROR_INVALID_VALUE;
    }
    CUresult result = worker->driver->cuMemAddressReserve(&placed, args->bytes, 0, args->base, 0);
    if (result != CUDA_SUCCESS)
        return result;
    if (placed != args->base) {
        worker->driver->cuMemAddressFree(placed, args->bytes);
        vgpu_log(VGPU_LOG_ERROR, "window_refused", LOG_X("wanted", args->base),
                 LOG_X("got", placed));
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    worker->window_base = args->base;
    worker->window_bytes = args->bytes;
    worker_window_give(worker, args->base, args->bytes);
    return CUDA_SUCCESS;
}

CUresult worker_do_DeviceInfo(struct vgpu_worker *worker, const struct worker_args_DeviceInfo *args,
                              struct vgpu_rsp_DeviceInfo *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    size_t total = 0;
    CUuuid uuid = {{0}};
    CUresult result = driver->cuDeviceTotalMem_v2(&total, args->device);

    if (result != CUDA_SUCCESS)
        return result;
    out->total_memory = total;
    if (worker->assign.device_memory_limit && worker->assign.device_memory_limit < total)
        out->total_memory = worker->assign.device_memory_limit;
    driver->cuDeviceGetName((char *)out->name, sizeof(out->name) - 1, args->device);
    if (driver->cuDeviceGetUuid_v2 &&
        driver->cuDeviceGetUuid_v2(&uuid, args->device) == CUDA_SUCCESS)
        memcpy(out->uuid, uuid.bytes, sizeof(out->uuid));
    if (driver->cuDeviceGetLuid)
        driver->cuDeviceGetLuid((char *)out->luid, &out->luid_mask, args->device);
    for (int i = 1; i < (int)(sizeof(out->attributes) / sizeof(out->attributes[0])); i++) {
        int value = 0;
        if (driver->cuDeviceGetAttribute(&value, (CUdevice_attribute)i, args->device) !=
            CUDA_SUCCESS)
            continue;
        out->attributes[i] = value;
        out->attribute_valid[i / 32] |= 1u << (i % 32);
    }
    out->pci_domain = out->attributes[CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID];
    out->pci_bus = out->attributes[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID];
    out->pci_device = out->attributes[CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID];
    return CUDA_SUCCESS;
}

CUresult worker_do_DeviceGetTexture1DLinearMaxWidth(
    struct vgpu_worker *worker, const struct worker_args_DeviceGetTexture1DLinearMaxWidth *args,
    struct vgpu_rsp_DeviceGetTexture1DLinearMaxWidth *out, struct vgpu_answer *answer)
{
    size_t width = 0;

    if (!worker->driver->cuDeviceGetTexture1DLinearMaxWidth)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = worker->driver->cuDeviceGetTexture1DLinearMaxWidth(
        &width, (CUarray_format)args->format, args->channels, args->device);
    out->width = width;
    return result;
}

/* ---- contexts ---- */

CUresult worker_context_use(struct vgpu_worker *worker, struct worker_context *context)
{
    if (worker->current == context)
        return CUDA_SUCCESS;
    CUresult result = worker->driver->cuCtxSetCurrent(context ? context->context : NULL);
    if (result == CUDA_SUCCESS)
        worker->current = context;
    return result;
}

CUresult worker_context_enter(struct vgpu_worker *worker, uint32_t handle)
{
    if (worker->current ? worker->current->handle == handle : !handle)
        return CUDA_SUCCESS;
    if (!handle)
        return worker_context_use(worker, NULL);
    struct worker_object *object = worker_object(worker, VGPU_TYPE_CONTEXT, handle);
    return object ? worker_context_use(worker, object->object) : CUDA_ERROR_INVALID_CONTEXT;
}

struct worker_stream *worker_stream_enter(struct vgpu_worker *worker, uint32_t handle)
{
    if (!handle)
        return worker->current ? &worker->current->default_stream : NULL;
    struct worker_object *object = worker_object(worker, VGPU_TYPE_STREAM, handle);
    if (!object || worker_context_use(worker, object->context) != CUDA_SUCCESS)
        return NULL;
    return object->object;
}

static struct worker_context *context_of(struct vgpu_worker *worker, uint32_t handle)
{
    struct worker_object *object = worker_object(worker, VGPU_TYPE_CONTEXT, handle);

    return object ? object->object : NULL;
}

/* For the daemon: the GPUs on which this process counts as running. */
static void publish_devices(struct vgpu_worker *worker)
{
    struct worker_context *context;
    uint32_t devices = 0;

    LIST_FOREACH(context, &worker->contexts, link)
        devices |= 1u << context->device;
    atomic_store_explicit(&worker->page->devices, devices, memory_order_relaxed);
}

/*
 * Small answers are written by the GPU straight into the reply slots, so these are pinned. Without
 * (the driver refused) such copies go through the driver's own staging: slower, still right.
 */
static void register_replies(struct vgpu_worker *worker)
{
    struct worker_context *other, *context = worker->current;

    LIST_FOREACH(other, &worker->contexts, link)
    {
        if (other->replies_registered)
            return;
    }
    CUresult result = worker->driver->cuMemHostRegister_v2(
        worker->host.view.replies, (size_t)worker->host.view.header.reply_count * VGPU_REPLY_BYTES,
        CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    context->replies_registered = result == CUDA_SUCCESS;
    if (result != CUDA_SUCCESS)
        vgpu_log(VGPU_LOG_WARN, "replies_not_pinned",
                 LOG_S("result", worker_result_name(worker, result)));
}

static CUresult adopt(struct vgpu_worker *worker, uint32_t handle, CUcontext driver_context,
                      CUdevice device, bool primary)
{
    struct worker_context *context =
        worker->context_count < WORKER_CONTEXTS_MAX ? calloc(1, sizeof(*context)) : NULL;

    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    context->handle = handle;
    context->context = driver_context;
    context->device = device;
    context->primary = primary;
    TAILQ_INIT(&context->timing_events);
    TAILQ_INIT(&context->plain_events);
    context->heap = device_heap_new(worker, device);
    if (!context->heap) {
        free(context);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    worker_stream_init(&context->default_stream, context, NULL);
    CUresult result = worker_context_use(worker, context);
    if (result != CUDA_SUCCESS) {
        device_heap_free(worker, context->heap);
        free(context);
        return result;
    }
    worker->context_count++;
    LIST_INSERT_HEAD(&worker->contexts, context, link);
    publish_devices(worker);
    worker_insert(worker, VGPU_TYPE_CONTEXT, handle, context);
    register_replies(worker);
    return CUDA_SUCCESS;
}

CUresult worker_do_PrimaryRetain(struct vgpu_worker *worker,
                                 const struct worker_args_PrimaryRetain *args,
                                 struct vgpu_answer *answer)
{
    CUcontext driver_context = NULL;
    struct worker_context *other;

    LIST_FOREACH(other, &worker->contexts, link)
    {
        if (other->primary && other->device == args->device) {
            answer->violation = 1;
            answer->reason = "primary context retained twice";
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    if (args->flags) {
        CUresult result = worker->driver->cuDevicePrimaryCtxSetFlags_v2(args->device, args->flags);
        if (result != CUDA_SUCCESS && result != CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE)
            return result;
    }
    CUresult result = worker->driver->cuDevicePrimaryCtxRetain(&driver_context, args->device);
    if (result != CUDA_SUCCESS)
        return result;
    result = adopt(worker, args->context, driver_context, args->device, true);
    if (result != CUDA_SUCCESS)
        worker->driver->cuDevicePrimaryCtxRelease_v2(args->device);
    return result;
}

/*
 * Everything of a context but the context itself. Waits for what is still running in it, as the
 * driver would: a program that does not want that synchronises first.
 */
static void strip(struct vgpu_worker *worker, struct worker_context *context)
{
    bool had_replies = context->replies_registered;

    worker_waits_purge(worker, context);
    worker_objects_purge(worker, context);
    if (had_replies && worker_context_use(worker, context) == CUDA_SUCCESS)
        worker->driver->cuMemHostUnregister(worker->host.view.replies);
    device_heap_free(worker, context->heap);
    worker_account(worker, -(int64_t)(context->malloc_bytes + context->printf_bytes));
    worker_remove(worker, VGPU_TYPE_CONTEXT, context->handle);
    LIST_REMOVE(context, link);
    publish_devices(worker);
    worker->context_count--;
    /* Not through worker_context_use(): whatever the driver answers, this one is gone. */
    worker->driver->cuCtxSetCurrent(NULL);
    worker->current = NULL;
    if (had_replies && !LIST_EMPTY(&worker->contexts) &&
        worker_context_use(worker, LIST_FIRST(&worker->contexts)) == CUDA_SUCCESS)
        register_replies(worker);
}

CUresult worker_do_PrimaryRelease(struct vgpu_worker *worker,
                                  const struct worker_args_PrimaryRelease *args,
                                  struct vgpu_answer *answer)
{
    struct worker_context *context = context_of(worker, args->context_handle);

    if (!context->primary || context->device != args->device)
        return CUDA_ERROR_INVALID_CONTEXT;
    strip(worker, context);
    CUresult result = worker->driver->cuDevicePrimaryCtxRelease_v2(context->device);
    free(context);
    return result;
}

CUresult worker_do_CtxCreate(struct vgpu_worker *worker, const struct worker_args_CtxCreate *args,
                             struct vgpu_answer *answer)
{
    CUcontext driver_context = NULL;
    CUcontext popped = NULL;
    CUresult result = worker->driver->cuCtxCreate_v2(&driver_context, args->flags, args->device);

    if (result != CUDA_SUCCESS)
        return result;
    /* The stack of contexts is the guest's business: here one is current, or none. */
    worker->driver->cuCtxPopCurrent_v2(&popped);
    result = adopt(worker, args->context, driver_context, args->device, false);
    if (result != CUDA_SUCCESS)
        worker->driver->cuCtxDestroy_v2(driver_context);
    return result;
}

CUresult worker_do_CtxDestroy(struct vgpu_worker *worker, const struct worker_args_CtxDestroy *args,
                              struct vgpu_answer *answer)
{
    struct worker_context *context = context_of(worker, args->context_handle);

    if (context->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    strip(worker, context);
    CUresult result = worker->driver->cuCtxDestroy_v2(context->context);
    free(context);
    return result;
}

#define LIMIT_MAX (1ull << 48) /* more than any GPU has, and far from wrapping around */

/* What the driver sets aside for kernels' malloc() and printf() is device memory as any other. */
CUresult worker_do_CtxSetLimit(struct vgpu_worker *worker,
                               const struct worker_args_CtxSetLimit *args,
                               struct vgpu_answer *answer)
{
    struct worker_context *context = worker->current;
    uint64_t quota = worker->assign.device_memory_limit, *counted = NULL;

    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (args->limit == CU_LIMIT_MALLOC_HEAP_SIZE)
        counted = &context->malloc_bytes;
    else if (args->limit == CU_LIMIT_PRINTF_FIFO_SIZE)
        counted = &context->printf_bytes;
    if (counted && args->value > LIMIT_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (counted && quota && args->value > *counted &&
        (worker->device_memory > quota || args->value - *counted > quota - worker->device_memory))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = worker->driver->cuCtxSetLimit((CUlimit)args->limit, args->value);
    if (result == CUDA_SUCCESS && counted) {
        worker_account(worker, (int64_t)(args->value - *counted));
        *counted = args->value;
    }
    return result;
}

CUresult worker_do_CtxGetLimit(struct vgpu_worker *worker,
                               const struct worker_args_CtxGetLimit *args,
                               struct vgpu_rsp_CtxGetLimit *out, struct vgpu_answer *answer)
{
    size_t value = 0;
    CUresult result = worker->driver->cuCtxGetLimit(&value, (CUlimit)args->limit);

    out->value = value;
    return result;
}

CUresult worker_do_CtxGetCacheConfig(struct vgpu_worker *worker,
                                     const struct worker_args_CtxGetCacheConfig *args,
                                     struct vgpu_rsp_CtxGetCacheConfig *out,
                                     struct vgpu_answer *answer)
{
    CUfunc_cache config = 0;
    CUresult result = worker->driver->cuCtxGetCacheConfig(&config);

    out->config = config;
    return result;
}

CUresult worker_do_CtxGetSharedMemConfig(struct vgpu_worker *worker,
                                         const struct worker_args_CtxGetSharedMemConfig *args,
                                         struct vgpu_rsp_CtxGetSharedMemConfig *out,
                                         struct vgpu_answer *answer)
{
    CUsharedconfig config = 0;
    CUresult result = worker->driver->cuCtxGetSharedMemConfig(&config);

    out->config = config;
    return result;
}
