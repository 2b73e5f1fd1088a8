/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual memory: reserving addresses, making memory, mapping it. The host does all of it in the
 * device window, whose addresses this process keeps free; what is mapped is in the map of
 * allocations, so that copies may name it.
 */
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

/* Of references to memory, and so that map and host agree when threads map at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct vgpu_object *memory_of(CUmemGenericAllocationHandle handle)
{
    const void *pointer = (const void *)(uintptr_t)handle;
    return vgpu_object_is(pointer, VGPU_TYPE_MEMORY) ? (struct vgpu_object *)pointer : NULL;
}

/* The host's memory is released with the last handle and mapping. Lock held. */
static CUresult release_if_unused(struct vgpu_object *memory)
{
    if (memory->memory.handles || memory->memory.mappings)
        return CUDA_SUCCESS;
    CUresult result = vgpu_rpc_MemoryRelease(vgpu_wire(memory));
    vgpu_object_free(memory);
    return result;
}

CUresult cuMemAddressReserve(CUdeviceptr *ptr, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t base;
    /* A hint need not be followed. */
    (void)hint;
    if (!ptr || !size || flags || alignment & (alignment - 1))
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_AddressReserve(size, alignment, &base);
    if (result == CUDA_SUCCESS)
        *ptr = base;
    return result;
}

CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ptr || !size)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_AddressFree(ptr, size);
}

/* What memory may be: on a device, for this process alone. */
static CUresult check_properties(const CUmemAllocationProp *prop)
{
    if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return VGPU_REFUSE("virtual memory that is not on a device");
    if (prop->location.id < 0 || prop->location.id >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    if (prop->requestedHandleTypes)
        return VGPU_REFUSE("virtual memory that can be shared with other processes");
    if (prop->allocFlags.usage)
        return VGPU_REFUSE("virtual memory for sparse arrays");
    return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
                     const CUmemAllocationProp *prop, unsigned long long flags)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!handle || !size || flags)
        return CUDA_ERROR_INVALID_VALUE;
    result = check_properties(prop);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *memory = vgpu_object_new(VGPU_TYPE_MEMORY, NULL);
    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memory->memory.bytes = size;
    memory->memory.device = prop->location.id;
    memory->memory.handles = 1;
    result = vgpu_rpc_MemoryCreate(vgpu_wire(memory), prop->location.id, size);
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(memory);
        return result;
    }
    *handle = (CUmemGenericAllocationHandle)(uintptr_t)memory;
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&lock);
    struct vgpu_object *memory = memory_of(handle);
    if (!memory || !memory->memory.handles) {
        result = CUDA_ERROR_INVALID_VALUE;
    } else {
        memory->memory.handles--;
        result = release_if_unused(memory);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ptr || !size || offset || flags)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    struct vgpu_object *memory = memory_of(handle);
    if (!memory || !memory->memory.handles)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = vgpu_rpc_MemoryMap(ptr, size, vgpu_wire(memory));
    if (result == CUDA_SUCCESS) {
        struct vgpu_range range = {
            .base = ptr,
            .size = size,
            .kind = VGPU_DEVICE,
            .device = (uint8_t)memory->memory.device,
            .global = 1, /* nothing that cuMemFree ends */
            .owner = (uint64_t)memory,
        };
        if (vgpu_map_insert(&range) == 0) {
            memory->memory.mappings++;
        } else {
            vgpu_rpc_MemoryUnmap(ptr, size);
            result = CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ptr || !size)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    result = vgpu_rpc_MemoryUnmap(ptr, size);
    for (uint64_t at = ptr; result == CUDA_SUCCESS && at < ptr + size;) {
        struct vgpu_range range;
        if (!vgpu_map_remove(at, &range))
            break;
        struct vgpu_object *memory = memory_of(range.owner);
        if (memory) {
            memory->memory.mappings--;
            release_if_unused(memory);
        }
        at += range.size;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc *desc, size_t count)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!ptr || !size || !desc || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++) {
        if (desc[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE)
            return VGPU_REFUSE("virtual memory that the processor may access");
        result = vgpu_rpc_MemorySetAccess(ptr, size, desc[i].location.id, desc[i].flags);
    }
    return result;
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr ptr)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t got;
    if (!flags || !location || location->type != CU_MEM_LOCATION_TYPE_DEVICE || !ptr)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_MemoryGetAccess(ptr, location->id, &got);
    if (result == CUDA_SUCCESS)
        *flags = got;
    return result;
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t bytes;
    if (!granularity)
        return CUDA_ERROR_INVALID_VALUE;
    result = check_properties(prop);
    if (result == CUDA_SUCCESS)
        result = vgpu_rpc_MemoryGranularity(prop->location.id, option, &bytes);
    if (result == CUDA_SUCCESS)
        *granularity = bytes;
    return result;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
                                                CUmemGenericAllocationHandle handle)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&lock);
    struct vgpu_object *memory = memory_of(handle);
    if (!prop || !memory || !memory->memory.handles)
        result = CUDA_ERROR_INVALID_VALUE;
    else
        *prop = (CUmemAllocationProp){
            .type = CU_MEM_ALLOCATION_TYPE_PINNED,
            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = memory->memory.device},
        };
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_range range;
    pthread_mutex_lock(&lock);
    struct vgpu_object *memory =
        vgpu_map_find((uint64_t)addr, &range) ? memory_of(range.owner) : NULL;
    if (!handle || !memory) {
        result = CUDA_ERROR_INVALID_VALUE;
    } else {
        memory->memory.handles++;
        *handle = (CUmemGenericAllocationHandle)(uintptr_t)memory;
    }
    pthread_mutex_unlock(&lock);
    return result;
}
