/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions and kernels: attributes and parameter layout are fetched once per device and kept right
 * by the calls that change them. A kernel serves as the function of whatever context is current, so
 * cuKernelGetFunction gives the same handle back.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/rpc.h"
#include "vgpu_rpc.h"

static pthread_mutex_t info_lock = PTHREAD_MUTEX_INITIALIZER;

CUresult vgpu_function_load(struct vgpu_object *function, int device,
                            const struct vgpu_function_info **info)
{
    struct vgpu_function_info *known, *first;
    int32_t attributes[24];
    uint32_t valid, param_bytes, param_count;
    uint16_t layout[VGPU_REPLY_PAYLOAD / sizeof(uint16_t)];
    uint32_t bytes = sizeof(layout);

    first = atomic_load_explicit(&function->function.info, memory_order_acquire);
    for (known = first; known; known = known->next)
        if (known->device == device) {
            *info = known;
            return CUDA_SUCCESS;
        }
    CUresult result = vgpu_rpc_FunctionInfo(vgpu_wire(function), attributes, &valid, &param_bytes,
                                            &param_count, layout, &bytes);
    if (result != CUDA_SUCCESS)
        return result;
    if (param_count > bytes / 4)
        return CUDA_ERROR_UNKNOWN;
    struct vgpu_function_info *made =
        calloc(1, sizeof(*made) + param_count * sizeof(made->params[0]));
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    made->device = device;
    made->attribute_valid = valid;
    made->param_bytes = param_bytes;
    made->param_count = param_count;
    for (int i = 0; i < 24; i++)
        atomic_init(&made->attributes[i], attributes[i]);
    for (uint32_t i = 0; i < param_count; i++) {
        made->params[i].offset = layout[2 * i];
        made->params[i].size = layout[2 * i + 1];
        if ((uint32_t)layout[2 * i] + layout[2 * i + 1] > param_bytes) {
            free(made);
            return CUDA_ERROR_UNKNOWN;
        }
    }
    pthread_mutex_lock(&info_lock);
    first = atomic_load_explicit(&function->function.info, memory_order_relaxed);
    for (known = first; known && known->device != device; known = known->next)
        ;
    if (known) { /* another thread was faster */
        free(made);
        made = known;
    } else {
        made->next = first;
        atomic_store_explicit(&function->function.info, made, memory_order_release);
    }
    pthread_mutex_unlock(&info_lock);
    *info = made;
    return CUDA_SUCCESS;
}

/* Makes device's context current for a call that names a device, and back. */
static CUresult info_on(struct vgpu_object *kernel, CUdevice dev,
                        const struct vgpu_function_info **info)
{
    struct vgpu_object *context;
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (dev < 0 || dev >= vgpu.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    if (vgpu_current(&context) == CUDA_SUCCESS && vgpu_context_device(context) == dev)
        return vgpu_function_info(kernel, dev, info);
    struct vgpu_object *primary = vgpu.devices[dev].primary;
    if (!primary || !vgpu_wire(primary))
        return CUDA_ERROR_INVALID_CONTEXT;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = primary;
    result = vgpu_function_info(kernel, dev, info);
    thread->current = current;
    return result;
}

static CUresult attribute(const struct vgpu_function_info *info, int attr, int *value)
{
    if (attr < 0 || attr >= 24 || !(info->attribute_valid >> attr & 1))
        return CUDA_ERROR_INVALID_VALUE;
    *value = atomic_load_explicit(&((struct vgpu_function_info *)info)->attributes[attr],
                                  memory_order_relaxed);
    return CUDA_SUCCESS;
}

static void set_known(const struct vgpu_function_info *info, int attr, int value)
{
    if (attr >= 0 && attr < 24)
        atomic_store_explicit(&((struct vgpu_function_info *)info)->attributes[attr], value,
                              memory_order_relaxed);
}

/* ---- functions ---------------------------------------------------------------------------------
 */

/* A function with the current context to see it in. */
static CUresult function_check(CUfunction fn, struct vgpu_object **function,
                               struct vgpu_object **context)
{
    CUresult result = vgpu_current(context);
    if (result != CUDA_SUCCESS)
        return result;
    *function = vgpu_function_of(fn);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attr, CUfunction fn)
{
    struct vgpu_object *function, *context;
    const struct vgpu_function_info *info;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_function_info(function, vgpu_context_device(context), &info);
    return result == CUDA_SUCCESS ? attribute(info, (int)attr, value) : result;
}

CUresult cuFuncSetAttribute(CUfunction fn, CUfunction_attribute attr, int value)
{
    struct vgpu_object *function, *context;
    const struct vgpu_function_info *info;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_function_info(function, vgpu_context_device(context), &info);
    if (result == CUDA_SUCCESS)
        result = vgpu_rpc_FuncSetAttribute(vgpu_wire(function), (int)attr, value);
    if (result == CUDA_SUCCESS)
        set_known(info, (int)attr, value);
    return result;
}

CUresult cuFuncSetCacheConfig(CUfunction fn, CUfunc_cache config)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_FuncSetCacheConfig(vgpu_wire(function), config);
}

CUresult cuFuncSetSharedMemConfig(CUfunction fn, CUsharedconfig config)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_FuncSetSharedMemConfig(vgpu_wire(function), config);
}

CUresult cuFuncGetModule(CUmodule *mod, CUfunction fn)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!mod)
        return CUDA_ERROR_INVALID_VALUE;
    if (function->type == VGPU_TYPE_KERNEL)
        return cuLibraryGetModule(mod, (CUlibrary)function->function.owner);
    *mod = (CUmodule)function->function.owner;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction fn)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *function = vgpu_function_of(fn);
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    *name = function->function.name;
    return CUDA_SUCCESS;
}

static CUresult param_info(const struct vgpu_function_info *info, size_t index, size_t *offset,
                           size_t *size)
{
    if (index >= info->param_count)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = info->params[index].offset;
    if (size)
        *size = info->params[index].size;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction fn, size_t index, size_t *offset, size_t *size)
{
    struct vgpu_object *function, *context;
    const struct vgpu_function_info *info;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!offset)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_function_info(function, vgpu_context_device(context), &info);
    return result == CUDA_SUCCESS ? param_info(info, index, offset, size) : result;
}

/* Functions are resolved when their handle is made, so every valid one is loaded. */
CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction fn)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction fn)
{
    struct vgpu_object *function, *context;
    const struct vgpu_function_info *info;
    CUresult result = function_check(fn, &function, &context);
    /* Asking the host about a function makes its driver load it. */
    return result == CUDA_SUCCESS
               ? vgpu_function_info(function, vgpu_context_device(context), &info)
               : result;
}

/* ---- kernels -----------------------------------------------------------------------------------
 */

static CUresult kernel_check(CUkernel kernel)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    return vgpu_object_is(kernel, VGPU_TYPE_KERNEL) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuKernelGetFunction(CUfunction *fn, CUkernel kernel)
{
    struct vgpu_object *context;
    CUresult result = vgpu_current(&context);
    if (result == CUDA_SUCCESS)
        result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if (!fn)
        return CUDA_ERROR_INVALID_VALUE;
    *fn = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetLibrary(CUlibrary *lib, CUkernel kernel)
{
    CUresult result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if (!lib)
        return CUDA_ERROR_INVALID_VALUE;
    *lib = (CUlibrary)((struct vgpu_object *)kernel)->function.owner;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetName(const char **name, CUkernel kernel)
{
    CUresult result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    return cuFuncGetName(name, (CUfunction)kernel);
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attr, CUkernel kernel, CUdevice dev)
{
    const struct vgpu_function_info *info;
    CUresult result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    result = info_on((struct vgpu_object *)kernel, dev, &info);
    return result == CUDA_SUCCESS ? attribute(info, (int)attr, value) : result;
}

CUresult cuKernelSetAttribute(CUfunction_attribute attr, int value, CUkernel kernel, CUdevice dev)
{
    const struct vgpu_function_info *info;
    CUresult result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = (struct vgpu_object *)kernel;
    result = info_on(object, dev, &info);
    if (result == CUDA_SUCCESS)
        result = vgpu_rpc_KernelSetAttribute(vgpu_wire(object), (int)attr, value, dev);
    if (result == CUDA_SUCCESS)
        set_known(info, (int)attr, value);
    return result;
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice dev)
{
    CUresult result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_KernelSetCacheConfig(vgpu_wire((struct vgpu_object *)kernel), config, dev);
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t *offset, size_t *size)
{
    struct vgpu_object *context;
    const struct vgpu_function_info *info;
    CUresult result = vgpu_current(&context);
    if (result == CUDA_SUCCESS)
        result = kernel_check(kernel);
    if (result != CUDA_SUCCESS)
        return result;
    if (!offset)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_function_info((struct vgpu_object *)kernel, vgpu_context_device(context), &info);
    return result == CUDA_SUCCESS ? param_info(info, index, offset, size) : result;
}

/* ---- occupancy ---------------------------------------------------------------------------------
 */

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction fn,
                                                              int block_size, size_t dynamic_shared,
                                                              unsigned int flags)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!blocks)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_rpc_OccupancyMaxActiveBlocks(vgpu_wire(function), block_size, dynamic_shared, flags,
                                             blocks);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction fn, int block_size,
                                                     size_t dynamic_shared)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, fn, block_size,
                                                                dynamic_shared, 0);
}

/*
 * The block size with which most threads fit on a multiprocessor. The callback runs in this process
 * and its values decide what is asked next, so the search is made here: from the largest block down
 * in steps of a warp, as the documentation describes its purpose; on a tie the larger block wins.
 */
CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *min_grid, int *block_size, CUfunction fn,
                                                   CUoccupancyB2DSize shared_of_block,
                                                   size_t dynamic_shared, int limit,
                                                   unsigned int flags)
{
    struct vgpu_object *function, *context;
    const struct vgpu_function_info *info;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!min_grid || !block_size)
        return CUDA_ERROR_INVALID_VALUE;
    int device = vgpu_context_device(context), most, warp, processors, per_processor;
    result = vgpu_function_info(function, device, &info);
    if (result == CUDA_SUCCESS)
        result = attribute(info, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &most);
    if (result == CUDA_SUCCESS)
        result = vgpu_device_attribute(&warp, CU_DEVICE_ATTRIBUTE_WARP_SIZE, device);
    if (result == CUDA_SUCCESS)
        result =
            vgpu_device_attribute(&processors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    if (result == CUDA_SUCCESS)
        result = vgpu_device_attribute(&per_processor,
                                       CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, device);
    if (result != CUDA_SUCCESS)
        return result;
    if (warp < 1 || most < 1)
        return CUDA_ERROR_INVALID_VALUE;
    int top = limit > 0 && limit < most ? limit : most;
    int best_threads = 0, best_blocks = 0, best_size = 0;
    for (int aligned = (top + warp - 1) / warp * warp; aligned > 0; aligned -= warp) {
        int size = aligned < top ? aligned : top, blocks;
        size_t shared = shared_of_block ? shared_of_block(size) : dynamic_shared;
        result =
            vgpu_rpc_OccupancyMaxActiveBlocks(vgpu_wire(function), size, shared, flags, &blocks);
        if (result != CUDA_SUCCESS)
            return result;
        if (blocks * size > best_threads) {
            best_threads = blocks * size;
            best_blocks = blocks;
            best_size = size;
        }
        if (best_threads >= per_processor)
            break;
    }
    *block_size = best_size;
    *min_grid = best_blocks * processors;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid, int *block_size, CUfunction fn,
                                          CUoccupancyB2DSize shared_of_block, size_t dynamic_shared,
                                          int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block_size, fn, shared_of_block,
                                                     dynamic_shared, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *dynamic_shared, CUfunction fn, int blocks,
                                                 int block_size)
{
    struct vgpu_object *function, *context;
    uint64_t bytes;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!dynamic_shared)
        return CUDA_ERROR_INVALID_VALUE;
    result =
        vgpu_rpc_OccupancyAvailableSharedMemory(vgpu_wire(function), blocks, block_size, &bytes);
    if (result == CUDA_SUCCESS)
        *dynamic_shared = bytes;
    return result;
}

typedef CUresult cluster_operation(uint32_t, const uint32_t *, const uint32_t *, uint32_t, uint32_t,
                                   const void *, uint32_t, int32_t *);

static CUresult clusters(int *value, CUfunction fn, const CUlaunchConfig *config,
                         cluster_operation *operation)
{
    struct vgpu_object *function, *context;
    CUresult result = function_check(fn, &function, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value || !config)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_launch_attribute attributes[VGPU_LAUNCH_ATTRIBUTES_MAX];
    uint32_t count;
    result = vgpu_launch_attributes(config->attrs, config->numAttrs, attributes, &count);
    if (result != CUDA_SUCCESS)
        return result;
    const uint32_t grid[3] = {config->gridDimX, config->gridDimY, config->gridDimZ};
    const uint32_t block[3] = {config->blockDimX, config->blockDimY, config->blockDimZ};
    return operation(vgpu_wire(function), grid, block, config->sharedMemBytes, count, attributes,
                     count * (uint32_t)sizeof(attributes[0]), value);
}

CUresult cuOccupancyMaxActiveClusters(int *count, CUfunction fn, const CUlaunchConfig *config)
{
    return clusters(count, fn, config, vgpu_rpc_OccupancyMaxActiveClusters);
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction fn, const CUlaunchConfig *config)
{
    return clusters(size, fn, config, vgpu_rpc_OccupancyMaxPotentialClusterSize);
}
