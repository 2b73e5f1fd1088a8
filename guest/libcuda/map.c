/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of allocations: an array sorted by address, in memory that never moves. Writers hold a
 * mutex and bump a sequence number around each change; readers search without a lock and try again
 * when the number changed (a sequence lock), because asynchronous copies look their pointers up.
 */
#include <string.h>
#include <sys/mman.h>

#include "guest/libcuda/guest.h"

#define RANGES_MAX (1u << 20)

static struct vgpu_range *ranges;
static _Atomic uint32_t range_count;
static _Atomic uint32_t sequence;
static uint64_t next_id;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int vgpu_map_init(void)
{
    if (ranges)
        return 0;
    void *memory = mmap(NULL, RANGES_MAX * sizeof(*ranges), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    ranges = memory;
    return 0;
}

static void write_begin(void)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void write_end(void)
{
    atomic_fetch_add_explicit(&sequence, 1, memory_order_release);
    pthread_mutex_unlock(&lock);
}

/* Index of the first range that starts above address. */
static uint32_t upper(uint64_t address, uint32_t count)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (__atomic_load_n(&ranges[middle].base, __ATOMIC_RELAXED) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int vgpu_map_insert(const struct vgpu_range *range)
{
    int failed = -1;
    write_begin();
    uint32_t count = atomic_load_explicit(&range_count, memory_order_relaxed);
    uint32_t at = upper(range->base, count);
    bool before = at > 0 && ranges[at - 1].base + ranges[at - 1].size > range->base;
    bool after = at < count && range->base + range->size > ranges[at].base;
    if (!before && !after && count < RANGES_MAX && range->size) {
        memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof(*ranges));
        ranges[at] = *range;
        ranges[at].id = ++next_id;
        atomic_store_explicit(&range_count, count + 1, memory_order_relaxed);
        failed = 0;
    }
    write_end();
    return failed;
}

bool vgpu_map_remove(uint64_t base, struct vgpu_range *removed)
{
    bool found = false;
    write_begin();
    uint32_t count = atomic_load_explicit(&range_count, memory_order_relaxed);
    uint32_t at = upper(base, count);
    if (at && ranges[at - 1].base == base) {
        at--;
        if (removed)
            *removed = ranges[at];
        memmove(&ranges[at], &ranges[at + 1], (count - at - 1) * sizeof(*ranges));
        atomic_store_explicit(&range_count, count - 1, memory_order_relaxed);
        found = true;
    }
    write_end();
    return found;
}

bool vgpu_map_find(uint64_t address, struct vgpu_range *range)
{
    bool found;
    uint32_t before;
    do {
        while ((before = atomic_load_explicit(&sequence, memory_order_acquire)) & 1)
            vgpu_cpu_relax();
        uint32_t count = atomic_load_explicit(&range_count, memory_order_relaxed);
        uint32_t at = upper(address, count);
        found = false;
        if (at) {
            /* May be torn by a writer; the sequence number then says so. */
            memcpy(range, &ranges[at - 1], sizeof(*range));
            found = address - range->base < range->size;
        }
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&sequence, memory_order_relaxed) != before);
    return found;
}

void vgpu_map_drop(uint32_t context_handle, uint64_t owner)
{
    write_begin();
    uint32_t count = atomic_load_explicit(&range_count, memory_order_relaxed), kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool drop = (context_handle && ranges[i].context_handle == context_handle) ||
                    (owner && ranges[i].owner == owner);
        if (!drop)
            ranges[kept++] = ranges[i];
    }
    atomic_store_explicit(&range_count, kept, memory_order_relaxed);
    write_end();
}

bool vgpu_map_covers(uint64_t address, uint64_t bytes, struct vgpu_range *first)
{
    struct vgpu_range range;
    if (!vgpu_map_find(address, first))
        return false;
    for (range = *first;;) {
        uint64_t here = range.size - (address - range.base);
        if (likely(bytes <= here))
            return true;
        address += here;
        bytes -= here;
        /* Allocations that happen to touch are no such thing. */
        if (first->context || !vgpu_map_find(address, &range) || range.context ||
            range.kind != first->kind)
            return false;
    }
}
