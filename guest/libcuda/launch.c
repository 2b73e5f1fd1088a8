/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launches: checked against what is known of the function and the device, packed, put on the ring.
 * CUDA reports the errors found here from the launch itself; whatever the host finds later comes
 * with the next synchronising call.
 */
#include <string.h>

#include "guest/libcuda/rpc.h"
#include "vgpu_rpc.h"

#define ARGUMENTS_MAX 49152u /* of op Launch */

CUresult vgpu_pack_params(const struct vgpu_function_info *info, void **params, void **extra,
                          uint8_t *out)
{
    if (likely(params != NULL)) {
        for (uint32_t i = 0; i < info->param_count; i++) {
            const void *from = params[i];
            if (unlikely(!from))
                return CUDA_ERROR_INVALID_VALUE;
            uint8_t *to = out + info->params[i].offset;
            switch (info->params[i].size) {
            case 8:
                memcpy(to, from, 8);
                break;
            case 4:
                memcpy(to, from, 4);
                break;
            default:
                memcpy(to, from, info->params[i].size);
            }
        }
        return CUDA_SUCCESS;
    }
    if (!extra)
        return info->param_count ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;

    const void *buffer = NULL;
    const size_t *size = NULL;
    for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            size = extra[i + 1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!info->param_bytes)
        return CUDA_SUCCESS;
    if (!buffer || !size)
        return CUDA_ERROR_INVALID_VALUE;
    /* A buffer may be padded at its end, or end with the last parameter. */
    uint32_t used = 0;
    for (uint32_t i = 0; i < info->param_count; i++) {
        uint32_t end = (uint32_t)info->params[i].offset + info->params[i].size;
        if (end > used)
            used = end;
    }
    if (*size < used)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(out, buffer, *size < info->param_bytes ? *size : info->param_bytes);
    return CUDA_SUCCESS;
}

CUresult vgpu_launch_attributes(const CUlaunchAttribute *attributes, unsigned attribute_count,
                                struct vgpu_launch_attribute *out, uint32_t *count)
{
    *count = 0;
    if (attribute_count && !attributes)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < attribute_count; i++) {
        const CUlaunchAttribute *a = &attributes[i];
        struct vgpu_launch_attribute *o = &out[*count];
        switch (a->id) {
        case CU_LAUNCH_ATTRIBUTE_IGNORE:
            continue;
        case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
        case CU_LAUNCH_ATTRIBUTE_PRIORITY:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
        case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
        case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
            break;
        case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
            /* A cache hint; the attribute of the device says that windows have no size here. */
            if (!a->value.accessPolicyWindow.num_bytes)
                continue;
            return VGPU_REFUSE("launch attribute CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW");
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
            return VGPU_REFUSE("launch attribute CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT");
        case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
            return VGPU_REFUSE("launch attribute CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT");
        case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
            if (!a->value.deviceUpdatableKernelNode.deviceUpdatable)
                continue;
            return VGPU_REFUSE("launch attribute CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE");
        default:
            return VGPU_REFUSE("a launch attribute that this library does not know");
        }
        if (*count == VGPU_LAUNCH_ATTRIBUTES_MAX)
            return CUDA_ERROR_INVALID_VALUE;
        o->id = a->id;
        o->reserved = 0;
        memcpy(o->value, &a->value, sizeof(o->value));
        ++*count;
    }
    return CUDA_SUCCESS;
}

static inline int known(const struct vgpu_function_info *info, int attribute)
{
    return atomic_load_explicit(&((struct vgpu_function_info *)info)->attributes[attribute],
                                memory_order_relaxed);
}

static CUresult check_dimensions(const struct vgpu_function_info *info, int device,
                                 const uint32_t grid[3], const uint32_t block[3], uint32_t shared)
{
    const int *a = vgpu.devices[device].attributes;
    for (int i = 0; i < 3; i++) {
        if (!grid[i] || !block[i] ||
            grid[i] > (uint32_t)a[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X + i] ||
            block[i] > (uint32_t)a[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + i])
            return CUDA_ERROR_INVALID_VALUE;
    }
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2];
    if (threads > (uint32_t)a[CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK])
        return CUDA_ERROR_INVALID_VALUE;
    const uint32_t needed = 1u << CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK |
                            1u << CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    if (unlikely((info->attribute_valid & needed) != needed))
        return CUDA_SUCCESS; /* the host's driver does not tell its limits: it checks them itself */
    if (threads > (uint32_t)known(info, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK))
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    /* The function's own limit starts as what the device gives without asking. */
    if (shared > (uint32_t)known(info, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction fn, const uint32_t grid[3], const uint32_t block[3],
                       uint32_t shared, CUstream stream, void **params, void **extra,
                       const struct vgpu_launch_attribute *attributes, uint32_t attribute_count)
{
    struct vgpu_object *context;
    const struct vgpu_function_info *info;
    uint32_t wire;

    CUresult result = vgpu_current(&context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    struct vgpu_object *function = vgpu_function_of(fn);
    if (unlikely(!function || (function->context && function->context != context)))
        return CUDA_ERROR_INVALID_HANDLE;
    result = vgpu_stream(stream, context, &wire);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    int device = vgpu_context_device(context);
    if (unlikely(!atomic_load_explicit(&vgpu.devices[device].known, memory_order_acquire))) {
        const struct vgpu_device *d;
        result = vgpu_device_info(device, &d);
        if (result != CUDA_SUCCESS)
            return result;
    }
    result = vgpu_function_info(function, device, &info);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    result = check_dimensions(info, device, grid, block, shared);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (unlikely(params && extra))
        return CUDA_ERROR_INVALID_VALUE;

    uint32_t attribute_bytes = attribute_count * (uint32_t)sizeof(*attributes);
    if (unlikely(info->param_bytes > ARGUMENTS_MAX - attribute_bytes))
        return CUDA_ERROR_INVALID_VALUE;
    uint32_t size = VGPU_REQ_BYTES_Launch + attribute_bytes + info->param_bytes;
    struct vgpu_rpc rpc;
    struct vgpu_req_Launch *request = vgpu_rpc_begin(&rpc, VGPU_OP_Launch, size, false);
    if (unlikely(!request))
        return rpc.result;
    request->function = vgpu_wire(function);
    memcpy(request->grid, grid, sizeof(request->grid));
    memcpy(request->block, block, sizeof(request->block));
    request->shared = shared;
    request->attribute_count = attribute_count;
    request->stream = wire;
    uint8_t *tail = (uint8_t *)request + VGPU_REQ_BYTES_Launch;
    if (attribute_bytes)
        memcpy(tail, attributes, attribute_bytes);
    /* Straight into the ring: a bad argument costs a record that the worker skips. */
    result = vgpu_pack_params(info, params, extra, tail + attribute_bytes);
    if (unlikely(result != CUDA_SUCCESS)) {
        vgpu_ring_cancel(&rpc.client->ring, rpc.position, size);
        return result;
    }
    return vgpu_rpc_post(&rpc);
}

CUresult cuLaunchKernel(CUfunction fn, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int dynamic_shared, CUstream stream,
                        void **params, void **extra)
{
    const uint32_t grid[3] = {grid_x, grid_y, grid_z}, block[3] = {block_x, block_y, block_z};
    return launch(fn, grid, block, dynamic_shared, stream, params, extra, NULL, 0);
}

VGPU_EXPORT(cuLaunchKernel_ptsz, CUfunction fn, unsigned int grid_x, unsigned int grid_y,
            unsigned int grid_z, unsigned int block_x, unsigned int block_y, unsigned int block_z,
            unsigned int dynamic_shared, CUstream stream, void **params, void **extra)
{
    const uint32_t grid[3] = {grid_x, grid_y, grid_z}, block[3] = {block_x, block_y, block_z};
    return launch(fn, grid, block, dynamic_shared, VGPU_PTSZ(stream), params, extra, NULL, 0);
}

static CUresult launch_ex(const CUlaunchConfig *config, CUfunction fn, void **params, void **extra,
                          CUstream stream)
{
    struct vgpu_launch_attribute attributes[VGPU_LAUNCH_ATTRIBUTES_MAX];
    uint32_t count = 0;
    const uint32_t grid[3] = {config->gridDimX, config->gridDimY, config->gridDimZ};
    const uint32_t block[3] = {config->blockDimX, config->blockDimY, config->blockDimZ};
    CUresult result = vgpu_launch_attributes(config->attrs, config->numAttrs, attributes, &count);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    return launch(fn, grid, block, config->sharedMemBytes, stream, params, extra, attributes,
                  count);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction fn, void **params, void **extra)
{
    return config ? launch_ex(config, fn, params, extra, config->hStream)
                  : CUDA_ERROR_INVALID_VALUE;
}

VGPU_EXPORT(cuLaunchKernelEx_ptsz, const CUlaunchConfig *config, CUfunction fn, void **params,
            void **extra)
{
    return config ? launch_ex(config, fn, params, extra, VGPU_PTSZ(config->hStream))
                  : CUDA_ERROR_INVALID_VALUE;
}

static CUresult launch_cooperative(CUfunction fn, const uint32_t grid[3], const uint32_t block[3],
                                   uint32_t shared, CUstream stream, void **params)
{
    struct vgpu_launch_attribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE};
    const int one = 1;
    memcpy(attribute.value, &one, sizeof(one));
    return launch(fn, grid, block, shared, stream, params, NULL, &attribute, 1);
}

CUresult cuLaunchCooperativeKernel(CUfunction fn, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int dynamic_shared,
                                   CUstream stream, void **params)
{
    const uint32_t grid[3] = {grid_x, grid_y, grid_z}, block[3] = {block_x, block_y, block_z};
    return launch_cooperative(fn, grid, block, dynamic_shared, stream, params);
}

VGPU_EXPORT(cuLaunchCooperativeKernel_ptsz, CUfunction fn, unsigned int grid_x, unsigned int grid_y,
            unsigned int grid_z, unsigned int block_x, unsigned int block_y, unsigned int block_z,
            unsigned int dynamic_shared, CUstream stream, void **params)
{
    const uint32_t grid[3] = {grid_x, grid_y, grid_z}, block[3] = {block_x, block_y, block_z};
    return launch_cooperative(fn, grid, block, dynamic_shared, VGPU_PTSZ(stream), params);
}
