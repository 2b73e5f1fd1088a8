/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#define ATTRIBUTES_MAX 64u
#define EXTRA_MAX 16u

struct launch {
    unsigned grid[3], block[3], dynamic_shared;
    bool cooperative;
    int priority;
    bool has_priority;
};

static CUresult check_shape(const struct function *fn, const struct launch *l)
{
    const struct sg_function_info *info = sg_function_info(fn->code);
    uint64_t threads = 1;

    for (int i = 0; i < 3; i++) {
        if (!l->grid[i] || !l->block[i])
            return CUDA_ERROR_INVALID_VALUE;
        threads *= l->block[i] <= 1024 ? l->block[i] : 1025;
    }
    if (l->grid[0] > 0x7fffffff || l->grid[1] > 65535 || l->grid[2] > 65535 || threads > 1024 ||
        l->block[2] > 64)
        return CUDA_ERROR_INVALID_VALUE;
    /* More threads than the code was compiled for: it has not the registers. */
    if (threads > info->max_threads)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    if (l->dynamic_shared > function_max_dynamic_shared(fn) ||
        l->dynamic_shared + info->static_shared_bytes > SOFT_SHARED_OPTIN)
        return CUDA_ERROR_INVALID_VALUE;
    if (l->cooperative && (uint64_t)l->grid[0] * l->grid[1] * l->grid[2] > 1)
        return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE; /* CTAs run to their end, one after the
                                                           other */
    return CUDA_SUCCESS;
}

/* Fills the parameter buffer from either of the two forms that a caller may choose. */
static CUresult gather(const struct function *fn, void **params, void **extra, uint8_t *buffer)
{
    const struct sg_function_info *info = sg_function_info(fn->code);
    const void *packed = NULL;
    size_t size = 0;

    if (params && extra)
        return CUDA_ERROR_INVALID_VALUE;
    if (params) {
        for (uint32_t i = 0; i < info->param_count; i++) {
            uint32_t offset, bytes;

            if (!params[i] || !sg_function_param(fn->code, i, &offset, &bytes))
                return CUDA_ERROR_INVALID_VALUE;
            memcpy(buffer + offset, params[i], bytes);
        }
        return CUDA_SUCCESS;
    }
    if (!info->param_count)
        return CUDA_SUCCESS;
    if (!extra)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0;; i += 2) {
        if (i >= EXTRA_MAX)
            return CUDA_ERROR_INVALID_VALUE;
        if (extra[i] == CU_LAUNCH_PARAM_END)
            break;
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            packed = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[i + 1])
            size = *(const size_t *)extra[i + 1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!packed || size < info->param_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(buffer, packed, info->param_bytes);
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction handle, const struct launch *l, CUstream stream, void **params,
                       void **extra)
{
    static uint64_t grids;
    const struct sg_function_info *info;
    struct context *ctx;
    struct function *fn;
    struct stream *s;
    struct op *op;
    struct grid *g;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (!r)
        r = function_resolve(ctx, handle, &fn);
    if (r)
        return leave(r);
    if (s->ctx != fn->module->ctx)
        return leave(CUDA_ERROR_INVALID_CONTEXT);
    r = check_shape(fn, l);
    if (r)
        return leave(r);
    info = sg_function_info(fn->code);
    if (info->param_bytes > SOFT_PARAM_MAX)
        return leave(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    op = pool_start_kernels() ? op_new(OP_KERNEL) : NULL;
    if (!op)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    g = &op->grid;
    list_init(&g->runnable);
    g->params = info->param_bytes > sizeof(g->small) ? malloc(info->param_bytes) : g->small;
    r = g->params ? gather(fn, params, extra, g->params) : CUDA_ERROR_OUT_OF_MEMORY;
    if (r) {
        op_discard(op);
        return leave(r);
    }
    g->launch = (struct sg_launch){
        .fn = fn->code,
        .map = drv.map,
        .grid = {l->grid[0], l->grid[1], l->grid[2]},
        .block = {l->block[0], l->block[1], l->block[2]},
        .dynamic_shared_bytes = l->dynamic_shared,
        .params = g->params,
        .grid_id = ++grids,
        .sm_count = drv.cores,
        .cancel = &drv.cancel,
        .print = print_append,
        .print_opaque = fn->module->ctx,
    };
    g->total = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
    g->priority = l->has_priority ? l->priority : s->priority;
    g->fault = fault_switch_next();
    if (g->fault == FAULT_VANISH) {
        op_discard(op);
        /* What programs report when a GPU has dropped off the bus (Xid 79): calls of processes that
         * were using it fail with "unknown error"; 46 and 100 are what later processes get. */
        fault(CUDA_ERROR_UNKNOWN, "the device is gone (VGPU_SOFT_FAULT)");
        return leave(CUDA_ERROR_UNKNOWN);
    }
    op_submit(s, op);
    return leave(CUDA_SUCCESS);
}

CUresult cuLaunchKernel(CUfunction fn, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int dynamic_shared, CUstream stream,
                        void **params, void **extra)
{
    struct launch l = {.grid = {grid_x, grid_y, grid_z},
                       .block = {block_x, block_y, block_z},
                       .dynamic_shared = dynamic_shared};

    return launch(fn, &l, stream, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction fn, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int dynamic_shared,
                                   CUstream stream, void **params)
{
    struct launch l = {.grid = {grid_x, grid_y, grid_z},
                       .block = {block_x, block_y, block_z},
                       .dynamic_shared = dynamic_shared,
                       .cooperative = true};

    return launch(fn, &l, stream, params, NULL);
}

static CUresult launch_ex(const CUlaunchConfig *config, CUfunction fn, void **params, void **extra,
                          bool own_stream)
{
    struct launch l;
    CUstream stream;

    if (!config || config->numAttrs > ATTRIBUTES_MAX || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    l = (struct launch){.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                        .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                        .dynamic_shared = config->sharedMemBytes};
    stream = own_stream ? per_thread(config->hStream) : config->hStream;
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const CUlaunchAttributeValue *v = &config->attrs[i].value;

        switch ((int)config->attrs[i].id) {
        case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
            l.cooperative = v->cooperative != 0;
            break;
        case CU_LAUNCH_ATTRIBUTE_PRIORITY:
            l.priority = v->priority > 0 ? 0 : v->priority;
            l.has_priority = true;
            break;
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
            /* Clusters came with 9.0; one of a single CTA is no cluster. */
            if (v->clusterDim.x * v->clusterDim.y * v->clusterDim.z > 1)
                return CUDA_ERROR_INVALID_CLUSTER_SIZE;
            break;
        /* Hints, or permissions that need not be used. */
        case CU_LAUNCH_ATTRIBUTE_IGNORE:
        case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
        case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
        case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
        case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
        case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
            break;
        case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
        case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
            return UNSUPPORTED("cuLaunchKernelEx", "an event or graph node as launch attribute");
        default:
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return launch(fn, &l, stream, params, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction fn, void **params, void **extra)
{
    return launch_ex(config, fn, params, extra, false);
}

EXTRA(cuLaunchKernelEx_ptsz,
      (const CUlaunchConfig *config, CUfunction fn, void **params, void **extra))
{
    return launch_ex(config, fn, params, extra, true);
}

EXTRA(cuLaunchKernel_ptsz,
      (CUfunction fn, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
       unsigned int block_x, unsigned int block_y, unsigned int block_z,
       unsigned int dynamic_shared, CUstream stream, void **params, void **extra))
{
    return cuLaunchKernel(fn, grid_x, grid_y, grid_z, block_x, block_y, block_z, dynamic_shared,
                          per_thread(stream), params, extra);
}

EXTRA(cuLaunchCooperativeKernel_ptsz,
      (CUfunction fn, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
       unsigned int block_x, unsigned int block_y, unsigned int block_z,
       unsigned int dynamic_shared, CUstream stream, void **params))
{
    return cuLaunchCooperativeKernel(fn, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                     dynamic_shared, per_thread(stream), params);
}
