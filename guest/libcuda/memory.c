/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation, pinned host memory, and questions about pointers. Device memory lies in a window that
 * this process keeps free, pinned memory in the arena, so an address alone tells what it is;
 * modules' variables lie where the host's driver put them and are known by name lookup.
 */
#include <errno.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

#define PAGE 4096ull

CUresult vgpu_memory_check(uint64_t address, uint64_t bytes, enum vgpu_memory_kind *kind)
{
    struct vgpu_range range;
    if (vgpu_map_find(address, &range)) {
        *kind = (enum vgpu_memory_kind)range.kind;
        return bytes <= range.size - (address - range.base) ? CUDA_SUCCESS
                                                            : CUDA_ERROR_INVALID_VALUE;
    }
    *kind = address - vgpu.window < vgpu.window_bytes ? VGPU_DEVICE : VGPU_PAGEABLE;
    if (address - vgpu.arena < vgpu.arena_bytes) /* freed, or never a program's */
        *kind = VGPU_PINNED;
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- device memory --------------------------------------------------------------------------- */

static CUresult remember(struct vgpu_object *context, uint64_t address, uint64_t bytes)
{
    struct vgpu_range range = {
        .base = address,
        .size = bytes,
        .context = context,
        .context_handle = vgpu_wire(context),
        .kind = VGPU_DEVICE,
        .device = (uint8_t)vgpu_context_device(context),
    };
    if (vgpu_map_insert(&range) == 0)
        return CUDA_SUCCESS;
    vgpu_rpc_MemFree(address);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemAlloc_v2(CUdeviceptr *ptr, size_t bytes)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    uint64_t address;
    if (!ptr || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > vgpu.window_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_rpc_MemAlloc(bytes, &address);
    if (result == CUDA_SUCCESS)
        result = remember(context, address, bytes);
    if (result == CUDA_SUCCESS)
        *ptr = address;
    return result;
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *ptr, size_t *pitch, size_t width, size_t height,
                            unsigned int element_bytes)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    uint64_t address, row;
    if (!ptr || !pitch || !width || !height ||
        (element_bytes != 4 && element_bytes != 8 && element_bytes != 16))
        return CUDA_ERROR_INVALID_VALUE;
    if (width > vgpu.window_bytes || height > vgpu.window_bytes / width)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_rpc_MemAllocPitch(width, height, element_bytes, &address, &row);
    if (result == CUDA_SUCCESS)
        result = remember(context, address, row * height);
    if (result == CUDA_SUCCESS) {
        *ptr = address;
        *pitch = row;
    }
    return result;
}

CUresult cuMemFree_v2(CUdeviceptr ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (!ptr)
        return CUDA_SUCCESS;
    struct vgpu_range range;
    if (!vgpu_map_find(ptr, &range) || range.base != ptr || range.kind != VGPU_DEVICE ||
        range.global)
        return CUDA_ERROR_INVALID_VALUE;
    /* Removed first: as soon as the host has freed it, another thread may be given the address. */
    if (!vgpu_map_remove(ptr, &range))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = range.context;
    result = vgpu_rpc_MemFree(ptr);
    thread->current = current;
    if (result == CUDA_ERROR_INVALID_VALUE)
        vgpu_map_insert(&range);
    return result;
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t available, total;
    if (!free_bytes || !total_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_MemGetInfo(&available, &total);
    if (result == CUDA_SUCCESS) {
        *free_bytes = available;
        *total_bytes = total;
    }
    return result;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    if (!vgpu_map_find(ptr, &range))
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = range.base;
    if (size)
        *size = range.size;
    return CUDA_SUCCESS;
}

/* ---- registration with the GPU -----------------------------------------------------------------
 */

/*
 * Stages are registered when first used and stay so, but the heap may make pinned memory of a stage
 * it no longer needs: what overlaps a new pinned range is unregistered before.
 */
#define REGISTERED_MAX 1024

static struct registered {
    uint64_t base, bytes;
    uint32_t context_handle;
} registered[REGISTERED_MAX];
static unsigned registered_count;
static pthread_mutex_t register_lock = PTHREAD_MUTEX_INITIALIZER;

static bool stage_registered(uint64_t base, uint64_t bytes)
{
    for (unsigned i = 0; i < registered_count; i++)
        if (base >= registered[i].base && base + bytes <= registered[i].base + registered[i].bytes)
            return true;
    return false;
}

static void unregister_overlap(uint64_t base, uint64_t bytes)
{
    for (unsigned i = 0; i < registered_count;) {
        struct registered *r = &registered[i];
        if (base < r->base + r->bytes && r->base < base + bytes) {
            vgpu_rpc_HostUnregister(r->base, r->bytes);
            *r = registered[--registered_count];
        } else {
            i++;
        }
    }
}

void vgpu_staging_forget(uint32_t context_handle)
{
    pthread_mutex_lock(&register_lock);
    for (unsigned i = 0; i < registered_count;) {
        if (registered[i].context_handle == context_handle)
            registered[i] = registered[--registered_count];
        else
            i++;
    }
    pthread_mutex_unlock(&register_lock);
}

CUresult vgpu_staging_wait(const struct vgpu_stage *stage)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    struct vgpu_channel *channel = &client->channel;
    struct vgpu_arena_shared *shared = channel->view.shared;
    _Atomic uint32_t *word = &shared->release[stage->word];

    uint64_t start = vgpu_now_ns();
    while (!atomic_load_explicit(word, memory_order_acquire)) {
        for (int i = 0; i < 64; i++)
            vgpu_cpu_relax();
        if (vgpu_now_ns() - start < VGPU_SPIN_DEFAULT_NS)
            continue;
        uint32_t wanted = atomic_fetch_or(&shared->release_wanted, 1) | 1;
        if (atomic_load(word))
            break;
        int failed = channel->ops->wait(channel->transport, &shared->release_wanted, wanted,
                                        VGPU_WAIT_SLICE_MS);
        if (failed == -EPIPE || (failed == -ETIMEDOUT && channel->ops->dead(channel->transport)))
            return vgpu_gone(client);
    }
    return CUDA_SUCCESS;
}

CUresult vgpu_staging(size_t size, bool wait, struct vgpu_stage *stage)
{
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    int failed = vgpu_stage_get(client->heap, size, wait, stage);
    if (unlikely(failed < 0)) {
        if (failed == -ENOMEM) {
            if (!wait)
                return CUDA_ERROR_NOT_READY;
            static atomic_int once;
            if (!atomic_exchange(&once, 1))
                vgpu_say(VGPU_LOG_ERRORS,
                         "no memory left for copies; a larger arena helps: environment "
                         "VGPU_ARENA_MB, module parameter arena_max_mb");
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        return failed == -EPERM ? CUDA_ERROR_NOT_INITIALIZED : vgpu_gone(client);
    }
    uint64_t base = (uint64_t)stage->address & ~(PAGE - 1);
    uint64_t bytes = ((uint64_t)stage->address + stage->size - base + PAGE - 1) & ~(PAGE - 1);
    pthread_mutex_lock(&register_lock);
    if (!stage_registered(base, bytes) && registered_count < REGISTERED_MAX) {
        unregister_overlap(base, bytes);
        /* A stage that cannot be registered still works: the host's driver copies it once more. */
        const struct vgpu_object *current = vgpu_thread()->current;
        if (current &&
            vgpu_rpc_HostRegister(base, bytes, CU_MEMHOSTREGISTER_PORTABLE) == CUDA_SUCCESS)
            registered[registered_count++] = (struct registered){
                .base = base, .bytes = bytes, .context_handle = vgpu_wire(current)};
    }
    pthread_mutex_unlock(&register_lock);
    return CUDA_SUCCESS;
}

/* ---- pinned host memory ------------------------------------------------------------------------
 */

static CUresult host_alloc(void **ptr, size_t bytes, unsigned flags)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (!ptr || !bytes ||
        flags & ~(unsigned)(CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP |
                            CU_MEMHOSTALLOC_WRITECOMBINED))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_client *client = atomic_load_explicit(&vgpu.client, memory_order_acquire);
    void *memory = vgpu_heap_alloc(client->heap, bytes, PAGE);
    if (!memory) {
        struct vgpu_heap_usage usage;
        vgpu_heap_usage(client->heap, &usage);
        static atomic_int once;
        if (!atomic_exchange(&once, 1))
            vgpu_say(
                VGPU_LOG_ERRORS,
                "%zu bytes of pinned memory asked for, %llu MiB of the arena's %llu MiB are free; "
                "a larger arena helps: environment VGPU_ARENA_MB, module parameter arena_max_mb",
                bytes, (unsigned long long)(usage.largest_free >> 20),
                (unsigned long long)(usage.bytes >> 20));
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    uint64_t base = (uint64_t)memory, rounded = (bytes + PAGE - 1) & ~(PAGE - 1);
    pthread_mutex_lock(&register_lock);
    unregister_overlap(base, rounded);
    pthread_mutex_unlock(&register_lock);
    /* Write-combining would have to be chosen where the arena is mapped; it is a hint only. */
    result = vgpu_rpc_HostRegister(base, rounded,
                                   CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (result == CUDA_SUCCESS) {
        struct vgpu_range range = {
            .base = base,
            .size = bytes,
            .context = context,
            .context_handle = vgpu_wire(context),
            .kind = VGPU_PINNED,
            .device = (uint8_t)vgpu_context_device(context),
            .flags = (uint8_t)flags,
        };
        if (vgpu_map_insert(&range) < 0) {
            vgpu_rpc_HostUnregister(base, rounded);
            result = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    if (result != CUDA_SUCCESS) {
        vgpu_heap_free(client->heap, memory);
        return result;
    }
    *ptr = memory;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocHost_v2(void **ptr, size_t bytes)
{
    return host_alloc(ptr, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
}

/* The first form took 32 bits of size; x86-64 passes them in the same register. */
VGPU_EXPORT(cuMemAllocHost, void **ptr, unsigned int bytes)
{
    return host_alloc(ptr, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
}

CUresult cuMemHostAlloc(void **ptr, size_t bytes, unsigned int flags)
{
    /* With unified addressing every allocation is mapped and portable. */
    return host_alloc(ptr, bytes, flags | CU_MEMHOSTALLOC_DEVICEMAP);
}

CUresult cuMemFreeHost(void *ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_capture_check();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    struct vgpu_range range;
    if (!vgpu_map_find((uint64_t)ptr, &range) || range.base != (uint64_t)ptr ||
        range.kind != VGPU_PINNED || !vgpu_map_remove((uint64_t)ptr, &range))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = range.context;
    result = vgpu_rpc_HostUnregister(range.base, (range.size + PAGE - 1) & ~(PAGE - 1));
    thread->current = current;
    vgpu_heap_free(atomic_load(&vgpu.client)->heap, ptr);
    return result;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned int flags)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    if (!device || flags || !vgpu_map_find((uint64_t)host, &range) || range.kind != VGPU_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    *device = (CUdeviceptr)host;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *host)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    if (!flags || !vgpu_map_find((uint64_t)host, &range) || range.kind != VGPU_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = range.flags;
    return CUDA_SUCCESS;
}

/* ---- pointer attributes ------------------------------------------------------------------------
 */

static CUresult attribute(void *data, CUpointer_attribute attr, const struct vgpu_range *range,
                          CUdeviceptr ptr)
{
    bool device = range->kind == VGPU_DEVICE;
    switch (attr) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)data = (CUcontext)range->context;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)data = device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *(CUdeviceptr *)data = ptr;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        *(void **)data = device ? NULL : (void *)ptr;
        return device ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        *(bool *)data = false;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        *(unsigned long long *)data = range->id;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = range->device;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *(CUdeviceptr *)data = range->base;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *(size_t *)data = range->size;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(bool *)data = true;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        *(unsigned long long *)data = CU_MEM_HANDLE_TYPE_NONE;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        *(int *)data = CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        *(CUmemoryPool *)data = NULL;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        *(size_t *)data = range->size;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        *(CUdeviceptr *)data = range->base;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS:
        return VGPU_REFUSE("cuPointerGetAttribute CU_POINTER_ATTRIBUTE_P2P_TOKENS");
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attr, CUdeviceptr ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    if (!data || !vgpu_map_find(ptr, &range))
        return CUDA_ERROR_INVALID_VALUE;
    return attribute(data, attr, &range, ptr);
}

/* What cuPointerGetAttributes answers for memory CUDA does not know: zeros, and no error. */
static CUresult unknown_attribute(void *data, CUpointer_attribute attr)
{
    switch (attr) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        memset(data, 0, 8);
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        memset(data, 0, 4);
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = -2;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        *(bool *)data = false;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attrs, void **data,
                                CUdeviceptr ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!count || !attrs || !data)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_range range;
    bool known = vgpu_map_find(ptr, &range);
    for (unsigned i = 0; i < count; i++) {
        if (!data[i])
            return CUDA_ERROR_INVALID_VALUE;
        result = known ? attribute(data[i], attrs[i], &range, ptr)
                       : unknown_attribute(data[i], attrs[i]);
        /* Asking a device allocation for its host pointer among others is no error here. */
        if (result == CUDA_ERROR_INVALID_VALUE && known &&
            attrs[i] == CU_POINTER_ATTRIBUTE_HOST_POINTER)
            result = CUDA_SUCCESS;
        if (result != CUDA_SUCCESS)
            return result;
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attr, CUdeviceptr ptr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    if (!value || attr != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS || !vgpu_map_find(ptr, &range))
        return CUDA_ERROR_INVALID_VALUE;
    /* Cleared it always is; setting it would need the host's driver. */
    return *(const int *)value ? VGPU_REFUSE("CU_POINTER_ATTRIBUTE_SYNC_MEMOPS") : CUDA_SUCCESS;
}
