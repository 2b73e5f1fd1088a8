/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm.c - virtual memory for the guest: reservations are parts of the device window, memory and
 * mappings are the driver's
 *
 * Only what lies in a reservation can be mapped, unmapped or given access: the rest of the window
 * is the heap's. Memory counts against the quota until its handle and its last mapping are gone, as
 * it does for the driver.
 */
#include "worker.h"

#include <stdlib.h>

#define GRANULE (2ull << 20)
#define RESERVATIONS_MAX 65536u
#define MAPPINGS_MAX 262144u

struct worker_memory {
    CUmemGenericAllocationHandle handle;
    uint64_t bytes;
    uint32_t mappings;
    bool dropped; /* no handle names it any more */
};

struct mapping {
    uint64_t base, bytes;
    struct worker_memory *memory;
};

/* Sorted by address. */
static struct reservation {
    uint64_t base, bytes;
    struct mapping *mappings; /* sorted by address */
    uint32_t count, room;
} * reservations;
static uint32_t reservation_count, reservation_room, mapping_count;

/* Index of the first reservation above address. */
static uint32_t above(uint64_t address)
{
    uint32_t low = 0, high = reservation_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (reservations[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The reservation that the whole range lies in. */
static struct reservation *around(uint64_t base, uint64_t bytes)
{
    uint32_t at = above(base);

    if (!at || !bytes)
        return NULL;
    struct reservation *r = &reservations[at - 1];
    return base - r->base <= r->bytes && bytes <= r->bytes - (base - r->base) ? r : NULL;
}

/* Index of the first mapping that ends behind address. */
static uint32_t mapping_at(const struct reservation *r, uint64_t address)
{
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->mappings[middle].base + r->mappings[middle].bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Is every byte of the range mapped? *first and *end: the mappings it touches. */
static bool mapped(const struct reservation *r, uint64_t base, uint64_t bytes, uint32_t *first,
                   uint32_t *end)
{
    uint64_t next = base;
    uint32_t i = mapping_at(r, base);

    for (*first = i; i < r->count && next < base + bytes; i++) {
        if (r->mappings[i].base > next)
            return false;
        next = r->mappings[i].base + r->mappings[i].bytes;
    }
    *end = i;
    return next >= base + bytes;
}

static void forget_if_over(struct vgpu_worker *worker, struct worker_memory *memory)
{
    if (!memory->dropped || memory->mappings)
        return;
    worker_account(worker, -(int64_t)memory->bytes);
    free(memory);
}

void worker_memory_drop(struct vgpu_worker *worker, struct worker_memory *memory)
{
    worker->driver->cuMemRelease(memory->handle);
    memory->dropped = true;
    forget_if_over(worker, memory);
}

CUresult worker_do_AddressReserve(struct vgpu_worker *worker,
                                  const struct worker_args_AddressReserve *args,
                                  struct vgpu_rsp_AddressReserve *out, struct vgpu_answer *answer)
{
    uint64_t alignment = args->alignment > GRANULE ? args->alignment : GRANULE;

    if (!args->bytes || args->bytes % GRANULE || alignment & (alignment - 1) ||
        alignment > VGPU_WINDOW_ALIGN)
        return CUDA_ERROR_INVALID_VALUE;
    if (args->bytes > worker->window_bytes || reservation_count == RESERVATIONS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (reservation_count == reservation_room) {
        uint32_t room = reservation_room ? 2 * reservation_room : 16;
        struct reservation *more = realloc(reservations, room * sizeof(*more));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        reservations = more;
        reservation_room = room;
    }
    /* More than is needed, and what is too much given back. */
    uint64_t slack = alignment - GRANULE;
    uint64_t base = worker_window_take(worker, args->bytes + slack);
    if (!base)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t aligned = (base + alignment - 1) & ~(alignment - 1);
    if (aligned > base)
        worker_window_give(worker, base, aligned - base);
    if (slack > aligned - base)
        worker_window_give(worker, aligned + args->bytes, slack - (aligned - base));
    uint32_t at = above(aligned);
    for (uint32_t i = reservation_count++; i > at; i--)
        reservations[i] = reservations[i - 1];
    reservations[at] = (struct reservation){.base = aligned, .bytes = args->bytes};
    out->base = aligned;
    return CUDA_SUCCESS;
}

CUresult worker_do_AddressFree(struct vgpu_worker *worker,
                               const struct worker_args_AddressFree *args,
                               struct vgpu_answer *answer)
{
    struct reservation *r = around(args->base, args->bytes);

    if (!r || r->base != args->base || r->bytes != args->bytes || r->count)
        return CUDA_ERROR_INVALID_VALUE;
    free(r->mappings);
    worker_window_give(worker, r->base, r->bytes);
    reservation_count--;
    for (uint32_t i = (uint32_t)(r - reservations); i < reservation_count; i++)
        reservations[i] = reservations[i + 1];
    return CUDA_SUCCESS;
}

static CUmemAllocationProp properties_on(CUdevice device)
{
    return (CUmemAllocationProp){
        .type = CU_MEM_ALLOCATION_TYPE_PINNED,
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device},
    };
}

CUresult worker_do_MemoryCreate(struct vgpu_worker *worker,
                                const struct worker_args_MemoryCreate *args,
                                struct vgpu_answer *answer)
{
    CUmemAllocationProp properties = properties_on(args->device);
    uint64_t limit = worker->assign.device_memory_limit;

    if (!args->bytes || args->bytes % GRANULE)
        return CUDA_ERROR_INVALID_VALUE;
    if (args->bytes > worker->window_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (limit && worker->device_memory + args->bytes > limit)
        device_heap_trim(worker, args->device);
    if (limit && worker->device_memory + args->bytes > limit)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct worker_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = worker->driver->cuMemCreate(&memory->handle, args->bytes, &properties, 0);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        device_heap_trim(worker, args->device);
        result = worker->driver->cuMemCreate(&memory->handle, args->bytes, &properties, 0);
    }
    if (result != CUDA_SUCCESS) {
        free(memory);
        return result;
    }
    memory->bytes = args->bytes;
    worker_account(worker, (int64_t)memory->bytes);
    worker_insert(worker, VGPU_TYPE_MEMORY, args->memory, memory);
    return CUDA_SUCCESS;
}

CUresult worker_do_MemoryRelease(struct vgpu_worker *worker,
                                 const struct worker_args_MemoryRelease *args,
                                 struct vgpu_answer *answer)
{
    worker_remove(worker, VGPU_TYPE_MEMORY, args->memory_handle);
    return CUDA_SUCCESS;
}

CUresult worker_do_MemoryMap(struct vgpu_worker *worker, const struct worker_args_MemoryMap *args,
                             struct vgpu_answer *answer)
{
    struct reservation *r = around(args->base, args->bytes);

    if (!r || args->bytes != args->memory->bytes || args->base % GRANULE)
        return CUDA_ERROR_INVALID_VALUE;
    uint32_t at = mapping_at(r, args->base);
    if (at < r->count && r->mappings[at].base < args->base + args->bytes)
        return CUDA_ERROR_ALREADY_MAPPED;
    if (mapping_count == MAPPINGS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (r->count == r->room) {
        uint32_t room = r->room ? 2 * r->room : 16;
        struct mapping *more = realloc(r->mappings, room * sizeof(*more));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        r->mappings = more;
        r->room = room;
    }
    CUresult result = worker->driver->cuMemMap(args->base, args->bytes, 0, args->memory->handle, 0);
    if (result != CUDA_SUCCESS)
        return result;
    for (uint32_t i = r->count++; i > at; i--)
        r->mappings[i] = r->mappings[i - 1];
    r->mappings[at] = (struct mapping){args->base, args->bytes, args->memory};
    args->memory->mappings++;
    mapping_count++;
    return CUDA_SUCCESS;
}

CUresult worker_do_MemoryUnmap(struct vgpu_worker *worker,
                               const struct worker_args_MemoryUnmap *args,
                               struct vgpu_answer *answer)
{
    struct reservation *r = around(args->base, args->bytes);
    uint32_t first, end;

    if (!r || !mapped(r, args->base, args->bytes, &first, &end) ||
        r->mappings[first].base != args->base ||
        r->mappings[end - 1].base + r->mappings[end - 1].bytes != args->base + args->bytes)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = worker->driver->cuMemUnmap(args->base, args->bytes);
    if (result != CUDA_SUCCESS)
        return result;
    for (uint32_t i = first; i < end; i++) {
        r->mappings[i].memory->mappings--;
        forget_if_over(worker, r->mappings[i].memory);
    }
    for (uint32_t i = end; i < r->count; i++)
        r->mappings[first + i - end] = r->mappings[i];
    r->count -= end - first;
    mapping_count -= end - first;
    return CUDA_SUCCESS;
}

CUresult worker_do_MemorySetAccess(struct vgpu_worker *worker,
                                   const struct worker_args_MemorySetAccess *args,
                                   struct vgpu_answer *answer)
{
    CUmemAccessDesc access = {
        .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = args->device},
        .flags = (CUmemAccess_flags)args->flags,
    };
    struct reservation *r = around(args->base, args->bytes);
    uint32_t first, end;

    if (!r || !mapped(r, args->base, args->bytes, &first, &end) ||
        (args->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
         args->flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
         args->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE))
        return CUDA_ERROR_INVALID_VALUE;
    return worker->driver->cuMemSetAccess(args->base, args->bytes, &access, 1);
}

CUresult worker_do_MemoryGetAccess(struct vgpu_worker *worker,
                                   const struct worker_args_MemoryGetAccess *args,
                                   struct vgpu_rsp_MemoryGetAccess *out, struct vgpu_answer *answer)
{
    const CUmemLocation location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = args->device};
    unsigned long long flags = 0;

    if (!worker->driver->cuMemGetAccess)
        return CUDA_ERROR_NOT_SUPPORTED;
    CUresult result = worker->driver->cuMemGetAccess(&flags, &location, args->address);
    out->flags = flags;
    return result;
}

CUresult worker_do_MemoryGranularity(struct vgpu_worker *worker,
                                     const struct worker_args_MemoryGranularity *args,
                                     struct vgpu_rsp_MemoryGranularity *out,
                                     struct vgpu_answer *answer)
{
    CUmemAllocationProp properties = properties_on(args->device);
    size_t bytes = 0;

    if (args->option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = worker->driver->cuMemGetAllocationGranularity(
        &bytes, &properties, (CUmemAllocationGranularity_flags)args->option);
    /* The window is handed out in granules of ours. */
    out->bytes = bytes > GRANULE ? bytes : GRANULE;
    return result;
}

void worker_memory_clear(struct vgpu_worker *worker)
{
    for (uint32_t i = 0; i < reservation_count; i++) {
        struct reservation *r = &reservations[i];
        for (uint32_t k = 0; k < r->count; k++) {
            worker->driver->cuMemUnmap(r->mappings[k].base, r->mappings[k].bytes);
            r->mappings[k].memory->mappings--;
            forget_if_over(worker, r->mappings[k].memory);
        }
        free(r->mappings);
        worker_window_give(worker, r->base, r->bytes);
    }
    reservation_count = mapping_count = 0;
}
