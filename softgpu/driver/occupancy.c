/* SPDX-License-Identifier: Apache-2.0 */
/*
 * occupancy.c - how many CTAs one multiprocessor of compute capability 8.0 would hold
 *
 * The limits and allocation units are those of the CUDA programming guide's table of technical
 * specifications: registers go to warps in units of 256, shared memory to CTAs in units of 128
 * bytes and 1 KiB more for each.
 */
#include "driver.h"

#define REGISTER_UNIT 256u
#define SHARED_UNIT 128u

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned round_up(unsigned value, unsigned unit)
{
    return (value + unit - 1) / unit * unit;
}

static unsigned resident(const struct function *fn, unsigned block_size, size_t dynamic_shared)
{
    const struct sg_function_info *info = sg_function_info(fn->code);
    unsigned warps = (block_size + 31) / 32;
    unsigned per_warp = round_up(function_registers(fn) * 32, REGISTER_UNIT);
    unsigned blocks = smaller(SOFT_BLOCKS_SM, SOFT_THREADS_SM / 32 / warps);
    unsigned shared;

    if (block_size > info->max_threads || dynamic_shared > function_max_dynamic_shared(fn))
        return 0;
    if (per_warp)
        blocks = smaller(blocks, SOFT_REGISTERS_SM / per_warp / warps);
    shared = round_up(info->static_shared_bytes + (unsigned)dynamic_shared, SHARED_UNIT) +
             SOFT_SHARED_RESERVED;
    return smaller(blocks, SOFT_SHARED_SM / shared);
}

static CUresult enter_function(CUfunction handle, bool valid, struct function **fn)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = valid ? function_resolve(ctx, handle, fn) : CUDA_ERROR_INVALID_VALUE;
    return r ? leave(r) : CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction handle,
                                                              int block_size, size_t dynamic_shared,
                                                              unsigned int flags)
{
    struct function *fn;
    CUresult r = enter_function(handle,
                                blocks && block_size > 0 && block_size <= 1024 &&
                                    flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE,
                                &fn);

    if (r)
        return r;
    *blocks = (int)resident(fn, (unsigned)block_size, dynamic_shared);
    return leave(CUDA_SUCCESS);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction fn, int block_size,
                                                     size_t dynamic_shared)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, fn, block_size,
                                                                dynamic_shared, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *min_grid, int *block_size,
                                                   CUfunction handle,
                                                   CUoccupancyB2DSize shared_of_block,
                                                   size_t dynamic_shared, int limit,
                                                   unsigned int flags)
{
    unsigned best_threads = 0, best_size = 0, best_blocks = 0, most;
    struct function *fn;
    CUresult r = enter_function(handle,
                                min_grid && block_size && limit >= 0 &&
                                    flags <= CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE,
                                &fn);

    if (r)
        return r;
    most = sg_function_info(fn->code)->max_threads;
    if (limit)
        most = smaller(most, (unsigned)limit);
    leave(CUDA_SUCCESS);
    /* The largest block among those that fill a multiprocessor best. The caller's function is
     * called without the lock; the function is looked up anew each time, for it may go meanwhile.
     */
    for (unsigned size = most; size; size = size % 32 ? size / 32 * 32 : size - 32) {
        size_t shared = shared_of_block ? shared_of_block((int)size) : dynamic_shared;
        unsigned blocks;

        r = enter_function(handle, true, &fn);
        if (r)
            return r;
        blocks = resident(fn, size, shared);
        leave(CUDA_SUCCESS);
        if (blocks * size > best_threads) {
            best_threads = blocks * size;
            best_size = size;
            best_blocks = blocks;
        }
    }
    *block_size = (int)best_size;
    *min_grid = (int)(best_blocks * drv.cores);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid, int *block_size, CUfunction fn,
                                          CUoccupancyB2DSize shared_of_block, size_t dynamic_shared,
                                          int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block_size, fn, shared_of_block,
                                                     dynamic_shared, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *dynamic_shared, CUfunction handle,
                                                 int blocks, int block_size)
{
    unsigned per_block, fixed;
    struct function *fn;
    CUresult r = enter_function(
        handle, dynamic_shared && blocks > 0 && block_size > 0 && block_size <= 1024, &fn);

    if (r)
        return r;
    fixed = sg_function_info(fn->code)->static_shared_bytes;
    if ((unsigned)blocks > resident(fn, (unsigned)block_size, 0))
        return leave(CUDA_ERROR_INVALID_VALUE);
    per_block = SOFT_SHARED_SM / (unsigned)blocks - SOFT_SHARED_RESERVED;
    per_block = smaller(per_block / SHARED_UNIT * SHARED_UNIT, SOFT_SHARED_OPTIN);
    *dynamic_shared =
        smaller(per_block > fixed ? per_block - fixed : 0, function_max_dynamic_shared(fn));
    return leave(CUDA_SUCCESS);
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction handle,
                                            const CUlaunchConfig *config)
{
    struct function *fn;
    CUresult r = enter_function(handle, size && config, &fn);

    return r ? r : leave(UNSUPPORTED("cuOccupancyMaxPotentialClusterSize", "a cluster"));
}

CUresult cuOccupancyMaxActiveClusters(int *count, CUfunction handle, const CUlaunchConfig *config)
{
    struct function *fn;
    CUresult r = enter_function(handle, count && config, &fn);

    return r ? r : leave(UNSUPPORTED("cuOccupancyMaxActiveClusters", "a cluster"));
}
