/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c - device memory at addresses the guest process keeps free
 *
 * The driver's own allocator places memory where the guest has its libraries, so all device memory
 * is mapped by the virtual-memory calls into one reserved window. Mapping costs far more than
 * cuMemAlloc(), so small allocations share mapped segments (best fit by power-of-two bins,
 * coalescing) and a bounded amount of idle segments is kept for reuse. Idle memory never changes
 * hands between guest processes: it goes back to the driver with the worker, and the driver clears
 * what it hands to another process.
 */
#include "worker.h"

#include <search.h>
#include <stdlib.h>

#define HEAP_ALIGN 512u
#define HEAP_SMALL (1u << 20)       /* up to here allocations share segments */
#define HEAP_SEGMENT (2u << 20)     /* size of a shared segment */
#define HEAP_IDLE_MAX (64ull << 20) /* mapped but unused bytes kept per context */
#define HEAP_BINS 42
#define FIND_LOOKS 64 /* free blocks compared per bin */

struct segment;

struct block {
    uint64_t address, bytes;
    bool used;
    struct segment *segment;
    TAILQ_ENTRY(block) order;
    LIST_ENTRY(block) bin;
};

struct segment {
    uint64_t base, bytes;
    CUmemGenericAllocationHandle memory;
    TAILQ_HEAD(block_order, block) blocks;
    LIST_ENTRY(segment) link;
};

struct device_heap {
    CUdevice device;
    uint64_t granularity;
    uint64_t idle; /* bytes in segments without a used block */
    void *used;    /* tsearch() tree of used blocks by address */
    LIST_HEAD(, block) bins[HEAP_BINS];
    LIST_HEAD(, segment) segments;
};

static uint64_t window_take(struct vgpu_worker *worker, uint64_t bytes)
{
    struct window_hole *hole;

    TAILQ_FOREACH(hole, &worker->holes, link)
    {
        if (hole->bytes < bytes)
            continue;
        uint64_t base = hole->base;
        hole->base += bytes;
        hole->bytes -= bytes;
        if (!hole->bytes) {
            TAILQ_REMOVE(&worker->holes, hole, link);
            free(hole);
        }
        return base;
    }
    return 0;
}

void worker_window_give(struct vgpu_worker *worker, uint64_t base, uint64_t bytes)
{
    struct window_hole *next, *before;

    TAILQ_FOREACH(next, &worker->holes, link)
    {
        if (next->base > base)
            break;
    }
    before = next ? TAILQ_PREV(next, window_holes, link) : TAILQ_LAST(&worker->holes, window_holes);
    if (before && before->base + before->bytes == base) {
        before->bytes += bytes;
        if (next && before->base + before->bytes == next->base) {
            before->bytes += next->bytes;
            TAILQ_REMOVE(&worker->holes, next, link);
            free(next);
        }
        return;
    }
    if (next && base + bytes == next->base) {
        next->base = base;
        next->bytes += bytes;
        return;
    }
    struct window_hole *hole = calloc(1, sizeof(*hole));
    if (!hole)
        return; /* the addresses are lost, nothing else */
    hole->base = base;
    hole->bytes = bytes;
    if (next)
        TAILQ_INSERT_BEFORE(next, hole, link);
    else
        TAILQ_INSERT_TAIL(&worker->holes, hole, link);
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct block *)a)->address, y = ((const struct block *)b)->address;

    return x < y ? -1 : x > y;
}

static unsigned bin_of(uint64_t bytes)
{
    unsigned bin = 63 - (unsigned)__builtin_clzll(bytes);

    return bin < HEAP_BINS ? bin : HEAP_BINS - 1;
}

static void make_free(struct device_heap *heap, struct block *block)
{
    block->used = false;
    LIST_INSERT_HEAD(&heap->bins[bin_of(block->bytes)], block, bin);
}

static struct block *find_free(struct device_heap *heap, uint64_t bytes)
{
    struct block *block, *best = NULL;

    for (unsigned bin = bin_of(bytes); bin < HEAP_BINS; bin++) {
        unsigned looks = FIND_LOOKS;
        LIST_FOREACH(block, &heap->bins[bin], bin)
        {
            if (!looks--)
                break;
            if (block->bytes >= bytes && (!best || block->bytes < best->bytes))
                best = block;
            if (best && best->bytes == bytes)
                break;
        }
        if (best)
            break;
    }
    return best;
}

struct device_heap *device_heap_new(struct vgpu_worker *worker, CUdevice device)
{
    struct device_heap *heap = calloc(1, sizeof(*heap));

    if (!heap)
        return NULL;
    heap->device = device;
    for (unsigned i = 0; i < HEAP_BINS; i++)
        LIST_INIT(&heap->bins[i]);
    LIST_INIT(&heap->segments);
    return heap;
}

void worker_account(struct vgpu_worker *worker, int64_t change)
{
    worker->device_memory += (uint64_t)change;
    if (!worker->page)
        return;
    atomic_store_explicit(&worker->page->device_memory, worker->device_memory,
                          memory_order_relaxed);
    if (worker->device_memory >
        atomic_load_explicit(&worker->page->device_memory_peak, memory_order_relaxed))
        atomic_store_explicit(&worker->page->device_memory_peak, worker->device_memory,
                              memory_order_relaxed);
}

static void unmap_segment(struct vgpu_worker *worker, struct segment *segment)
{
    worker->driver->cuMemUnmap(segment->base, segment->bytes);
    worker->driver->cuMemRelease(segment->memory);
    worker_window_give(worker, segment->base, segment->bytes);
    worker_account(worker, -(int64_t)segment->bytes);
    free(segment);
}

/* Gives idle segments back to the driver until at most keep bytes are idle. */
static void trim(struct vgpu_worker *worker, struct device_heap *heap, uint64_t keep)
{
    struct segment *segment, *next;

    for (segment = LIST_FIRST(&heap->segments); segment && heap->idle > keep; segment = next) {
        struct block *block = TAILQ_FIRST(&segment->blocks);
        next = LIST_NEXT(segment, link);
        if (block->used || block->bytes != segment->bytes)
            continue;
        LIST_REMOVE(block, bin);
        LIST_REMOVE(segment, link);
        heap->idle -= segment->bytes;
        free(block);
        unmap_segment(worker, segment);
    }
}

/* The same in all heaps of a device, when memory has run out. */
static void trim_all(struct vgpu_worker *worker, CUdevice device)
{
    struct worker_context *context;

    LIST_FOREACH(context, &worker->contexts, link)
    {
        if (context->device == device)
            trim(worker, context->heap, 0);
    }
}

/* A new mapped segment, as one free block. */
static CUresult grow(struct vgpu_worker *worker, struct device_heap *heap, uint64_t bytes)
{
    const struct vgpu_driver *driver = worker->driver;
    uint64_t limit = worker->assign.device_memory_limit;
    CUmemAllocationProp properties = {
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = heap->device},
    };
    CUmemAccessDesc access = {.location = properties.location,
                              .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUresult result;

    if (!heap->granularity) {
        size_t granularity = 0;
        result = driver->cuMemGetAllocationGranularity(&granularity, &properties,
                                                       CU_MEM_ALLOC_GRANULARITY_MINIMUM);
        if (result != CUDA_SUCCESS)
            return result;
        heap->granularity = granularity > HEAP_SEGMENT ? granularity : HEAP_SEGMENT;
    }
    bytes = (bytes + heap->granularity - 1) / heap->granularity * heap->granularity;
    if (limit && worker->device_memory + bytes > limit) {
        trim_all(worker, heap->device);
        if (worker->device_memory + bytes > limit)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    struct segment *segment = calloc(1, sizeof(*segment));
    struct block *block = calloc(1, sizeof(*block));
    if (!segment || !block) {
        free(segment);
        free(block);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    segment->bytes = bytes;
    segment->base = window_take(worker, bytes);
    if (!segment->base) {
        trim_all(worker, heap->device);
        segment->base = window_take(worker, bytes);
    }
    result = segment->base ? driver->cuMemCreate(&segment->memory, bytes, &properties, 0)
                           : CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_ERROR_OUT_OF_MEMORY && segment->base) {
        trim_all(worker, heap->device);
        result = driver->cuMemCreate(&segment->memory, bytes, &properties, 0);
    }
    if (result != CUDA_SUCCESS)
        goto give_back;
    result = driver->cuMemMap(segment->base, bytes, 0, segment->memory, 0);
    if (result != CUDA_SUCCESS)
        goto release;
    result = driver->cuMemSetAccess(segment->base, bytes, &access, 1);
    if (result != CUDA_SUCCESS) {
        driver->cuMemUnmap(segment->base, bytes);
        goto release;
    }
    worker_account(worker, (int64_t)bytes);
    TAILQ_INIT(&segment->blocks);
    LIST_INSERT_HEAD(&heap->segments, segment, link);
    block->address = segment->base;
    block->bytes = bytes;
    block->segment = segment;
    TAILQ_INSERT_HEAD(&segment->blocks, block, order);
    make_free(heap, block);
    heap->idle += bytes;
    return CUDA_SUCCESS;

release:
    driver->cuMemRelease(segment->memory);
give_back:
    if (segment->base)
        worker_window_give(worker, segment->base, bytes);
    free(segment);
    free(block);
    return result;
}

CUresult device_heap_alloc(struct vgpu_worker *worker, struct device_heap *heap, uint64_t bytes,
                           uint64_t *address)
{
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > worker->window_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    bytes = (bytes + HEAP_ALIGN - 1) & ~(uint64_t)(HEAP_ALIGN - 1);

    struct block *block = find_free(heap, bytes);
    if (!block) {
        CUresult result = grow(worker, heap, bytes <= HEAP_SMALL ? HEAP_SEGMENT : bytes);
        if (result != CUDA_SUCCESS)
            return result;
        block = find_free(heap, bytes);
    }
    struct block *rest = NULL;
    if (block->bytes > bytes) {
        rest = calloc(1, sizeof(*rest));
        if (!rest)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (!tsearch(block, &heap->used, by_address)) {
        free(rest);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (block->bytes == block->segment->bytes)
        heap->idle -= block->segment->bytes;
    LIST_REMOVE(block, bin);
    block->used = true;
    if (rest) {
        rest->address = block->address + bytes;
        rest->bytes = block->bytes - bytes;
        rest->segment = block->segment;
        block->bytes = bytes;
        TAILQ_INSERT_AFTER(&block->segment->blocks, block, rest, order);
        make_free(heap, rest);
    }
    *address = block->address;
    return CUDA_SUCCESS;
}

static struct block *lookup(const struct device_heap *heap, uint64_t address)
{
    struct block key = {.address = address};
    struct block **found = tfind(&key, &heap->used, by_address);

    return found ? *found : NULL;
}

bool device_heap_owns(const struct device_heap *heap, uint64_t address)
{
    return lookup(heap, address) != NULL;
}

CUresult device_heap_release(struct vgpu_worker *worker, struct device_heap *heap, uint64_t address)
{
    struct block *block = lookup(heap, address);

    if (!block)
        return CUDA_ERROR_INVALID_VALUE;
    tdelete(block, &heap->used, by_address);

    struct block_order *order = &block->segment->blocks;
    struct block *next = TAILQ_NEXT(block, order);
    if (next && !next->used) {
        LIST_REMOVE(next, bin);
        block->bytes += next->bytes;
        TAILQ_REMOVE(order, next, order);
        free(next);
    }
    struct block *before = TAILQ_PREV(block, block_order, order);
    if (before && !before->used) {
        LIST_REMOVE(before, bin);
        before->bytes += block->bytes;
        TAILQ_REMOVE(order, block, order);
        free(block);
        block = before;
    }
    make_free(heap, block);
    if (block->bytes == block->segment->bytes) {
        heap->idle += block->bytes;
        trim(worker, heap, HEAP_IDLE_MAX);
    }
    return CUDA_SUCCESS;
}

uint64_t device_heap_idle(const struct device_heap *heap)
{
    return heap->idle;
}

static void keep_block(void *block)
{
    (void)block; /* freed with its segment */
}

void device_heap_free(struct vgpu_worker *worker, struct device_heap *heap)
{
    struct segment *segment;

    tdestroy(heap->used, keep_block);
    while ((segment = LIST_FIRST(&heap->segments))) {
        struct block *block;
        while ((block = TAILQ_FIRST(&segment->blocks))) {
            TAILQ_REMOVE(&segment->blocks, block, order);
            free(block);
        }
        LIST_REMOVE(segment, link);
        unmap_segment(worker, segment);
    }
    free(heap);
}
