/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: one operation fetches everything constant, after that queries are answered here. What
 * this library does not serve is not claimed either: programs choose their code paths by
 * attributes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

/* Attributes with a value of our own: features of the host's driver that are not served here. */
static const struct {
    uint8_t attribute;
    int8_t value;
} masked[] = {
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS_V1, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR_V1, 0},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0},
    {CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES, 0},
    {CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST, 0},
    {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_HANDLE_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_WIN32_KMT_HANDLE_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_GENERIC_COMPRESSION_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS, 0},
    {CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING, 0},
    {CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0},
    {CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS, 0},
    {CU_DEVICE_ATTRIBUTE_NUMA_CONFIG, 0},
    {CU_DEVICE_ATTRIBUTE_NUMA_ID, -1},
    {CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_MPS_ENABLED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, -1},
    {CU_DEVICE_ATTRIBUTE_D3D12_CIG_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_ALGORITHM_MASK, 0},
    {CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_MAXIMUM_LENGTH, 0},
    {CU_DEVICE_ATTRIBUTE_VULKAN_CIG_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MEMORY_POOLS_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_NUMA_MULTINODE_IPC_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_MEMORY_POOLS_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_HOST_ALLOC_DMA_BUF_SUPPORTED, 0},
};

static CUresult fetch(int device)
{
    struct vgpu_device *d = &vgpu.devices[device];
    int32_t attributes[VGPU_ATTRIBUTES];
    uint32_t valid[VGPU_ATTRIBUTES / 32];
    uint64_t total;
    int32_t domain, bus, slot;
    uint32_t mask;
    uint8_t uuid[16], luid[8], name[256];

    /* Outside the lock: two threads that both ask get the same answer. */
    CUresult result = vgpu_rpc_DeviceInfo(device, &total, uuid, luid, name, &mask, &domain, &bus,
                                          &slot, attributes, valid);
    if (result != CUDA_SUCCESS)
        return result;
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
        attributes[masked[i].attribute] = masked[i].value;

    pthread_mutex_lock(&d->lock);
    if (!atomic_load_explicit(&d->known, memory_order_relaxed)) {
        d->total_memory = total;
        d->luid_mask = mask;
        d->pci_domain = domain;
        d->pci_bus = bus;
        d->pci_device = slot;
        memcpy(d->uuid, uuid, sizeof(uuid));
        memcpy(d->luid, luid, sizeof(luid));
        memcpy(d->name, name, sizeof(name));
        d->name[sizeof(d->name) - 1] = '\0';
        memcpy(d->attributes, attributes, sizeof(attributes));
        memcpy(d->attribute_valid, valid, sizeof(valid));
        atomic_store_explicit(&d->known, true, memory_order_release);
    }
    pthread_mutex_unlock(&d->lock);
    return CUDA_SUCCESS;
}

CUresult vgpu_device_info(int device, const struct vgpu_device **info)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (device < 0 || device >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!atomic_load_explicit(&vgpu.devices[device].known, memory_order_acquire)) {
        result = fetch(device);
        if (result != CUDA_SUCCESS)
            return result;
    }
    *info = &vgpu.devices[device];
    return CUDA_SUCCESS;
}

CUresult vgpu_device_attribute(int *value, int attribute, int device)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(device, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (attribute < 1 || attribute >= VGPU_ATTRIBUTES ||
        !(d->attribute_valid[attribute / 32] >> attribute % 32 & 1))
        return CUDA_ERROR_INVALID_VALUE;
    *value = d->attributes[attribute];
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *dev, int ordinal)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!dev)
        return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || ordinal >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    *dev = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = vgpu.device_count;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int len, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!name || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)len, "%s", d->name);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(uuid, d->uuid, sizeof(*uuid));
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice dev)
{
    return cuDeviceGetUuid_v2(uuid, dev);
}

CUresult cuDeviceGetLuid(char *luid, unsigned int *node_mask, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!luid || !node_mask)
        return CUDA_ERROR_INVALID_VALUE;
    /* Locally unique identifiers exist on Windows only; the host's driver says so by a zero mask.
     */
    if (!d->luid_mask)
        return CUDA_ERROR_NOT_SUPPORTED;
    memcpy(luid, d->luid, sizeof(d->luid));
    *node_mask = d->luid_mask;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attr, CUdevice dev)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_device_attribute(value, (int)attr, dev);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *bytes = d->total_memory;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *id, int len, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!id || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    int need = snprintf(id, (size_t)len, "%04X:%02X:%02X.0", (unsigned)d->pci_domain,
                        (unsigned)d->pci_bus, (unsigned)d->pci_device);
    return need < len ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *dev, const char *id)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    unsigned domain = 0, bus, slot, function = 0;
    if (!dev || !id)
        return CUDA_ERROR_INVALID_VALUE;
    /* [domain]:[bus]:[device].[function], or without the function, or without the domain. */
    if (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) < 3) {
        domain = 0;
        if (sscanf(id, "%x:%x.%x", &bus, &slot, &function) < 2)
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (int i = 0; i < vgpu.device_count; i++) {
        const struct vgpu_device *d;
        result = vgpu_device_info(i, &d);
        if (result != CUDA_SUCCESS)
            return result;
        if ((unsigned)d->pci_domain == domain && (unsigned)d->pci_bus == bus &&
            (unsigned)d->pci_device == slot && function == 0) {
            *dev = i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result =
        vgpu_device_attribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, dev);
    if (result == CUDA_SUCCESS)
        result = vgpu_device_attribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, dev);
    return result;
}

CUresult cuDeviceGetProperties(CUdevprop *prop, CUdevice dev)
{
    const struct vgpu_device *d;
    CUresult result = vgpu_device_info(dev, &d);
    if (result != CUDA_SUCCESS)
        return result;
    if (!prop)
        return CUDA_ERROR_INVALID_VALUE;
    const int *a = d->attributes;
    *prop = (CUdevprop){
        .maxThreadsPerBlock = a[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK],
        .maxThreadsDim = {a[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X],
                          a[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y],
                          a[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z]},
        .maxGridSize = {a[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X],
                        a[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y],
                        a[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z]},
        .sharedMemPerBlock = a[CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK],
        .totalConstantMemory = a[CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY],
        .SIMDWidth = a[CU_DEVICE_ATTRIBUTE_WARP_SIZE],
        .memPitch = a[CU_DEVICE_ATTRIBUTE_MAX_PITCH],
        .regsPerBlock = a[CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK],
        .clockRate = a[CU_DEVICE_ATTRIBUTE_CLOCK_RATE],
        .textureAlign = a[CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT],
    };
    return CUDA_SUCCESS;
}

/* A VM sees GPUs that may share nothing: no peer access. */
static CUresult two_devices(CUdevice a, CUdevice b)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (a < 0 || a >= vgpu.device_count || b < 0 || b >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    return CUDA_SUCCESS;
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice dev, CUdevice peer)
{
    CUresult result = two_devices(dev, peer);
    if (result != CUDA_SUCCESS)
        return result;
    if (!can)
        return CUDA_ERROR_INVALID_VALUE;
    *can = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attr, CUdevice src, CUdevice dst)
{
    CUresult result = two_devices(src, dst);
    if (result != CUDA_SUCCESS)
        return result;
    if (src == dst)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!value || attr < CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK ||
        attr > CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED)
        return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t *elements, CUarray_format format,
                                            unsigned int channels, CUdevice dev)
{
    CUresult result = two_devices(dev, dev);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t width;
    if (!elements)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_DeviceGetTexture1DLinearMaxWidth((int)format, channels, dev, &width);
    if (result == CUDA_SUCCESS)
        *elements = width;
    return result;
}

CUresult cuDeviceGetExecAffinitySupport(int *value, CUexecAffinityType type, CUdevice dev)
{
    CUresult result = two_devices(dev, dev);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value || type < CU_EXEC_AFFINITY_TYPE_SM_COUNT || type >= CU_EXEC_AFFINITY_TYPE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    /* As documented for CUDA_MODULE_LOADING, lazy by default since 12.2. */
    const char *wish = getenv("CUDA_MODULE_LOADING");
    *mode = wish && !strcmp(wish, "EAGER") ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

CUresult cuProfilerStart(void)
{
    struct vgpu_object *context;
    return vgpu_current(&context);
}

CUresult cuProfilerStop(void)
{
    struct vgpu_object *context;
    return vgpu_current(&context);
}
