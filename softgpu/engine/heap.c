/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c - malloc and free for kernels
 *
 * One range of fixed size; the free list is kept outside of it, where the guest cannot reach it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

#define HEAP_SIZE (UINT64_C(8) << 20) /* CUDA's default cudaLimitMallocHeapSize */
#define HEAP_UNIT 64                  /* bytes; CUDA aligns to 16 */
#define HEAP_UNITS (HEAP_SIZE / HEAP_UNIT)

struct device_heap {
    pthread_mutex_t lock;
    uint8_t *base;
    uint64_t hint;
    uint32_t run[HEAP_UNITS]; /* units of the allocation that starts here; 0: none starts here */
    uint8_t used[HEAP_UNITS];
};

struct device_heap *sg_heap_new(struct sg_memmap *map)
{
    struct device_heap *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->base = mmap(NULL, HEAP_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (h->base == MAP_FAILED) {
        free(h);
        return NULL;
    }
    if (sg_memmap_add(map, (uint64_t)(uintptr_t)h->base, HEAP_SIZE, true)) {
        munmap(h->base, HEAP_SIZE);
        free(h);
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void sg_heap_destroy(struct device_heap *h, struct sg_memmap *map)
{
    sg_memmap_remove(map, (uint64_t)(uintptr_t)h->base);
    munmap(h->base, HEAP_SIZE);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static uint64_t first_fit(struct device_heap *h, uint64_t from, uint64_t units)
{
    uint64_t start = from, at = from;

    while (at < HEAP_UNITS) {
        if (h->used[at]) {
            at += h->run[at] ? h->run[at] : 1;
            start = at;
            continue;
        }
        if (++at - start == units)
            return start;
    }
    return HEAP_UNITS;
}

uint64_t sg_heap_alloc(struct device_heap *h, uint64_t size)
{
    uint64_t units, at;

    if (size == 0 || size > HEAP_SIZE)
        return 0;
    units = (size + HEAP_UNIT - 1) / HEAP_UNIT;
    pthread_mutex_lock(&h->lock);
    at = first_fit(h, h->hint, units);
    if (at == HEAP_UNITS)
        at = first_fit(h, 0, units);
    if (at < HEAP_UNITS) {
        h->run[at] = (uint32_t)units;
        for (uint64_t k = 0; k < units; k++)
            h->used[at + k] = 1;
        h->hint = at + units < HEAP_UNITS ? at + units : 0;
    }
    pthread_mutex_unlock(&h->lock);
    return at < HEAP_UNITS ? (uint64_t)(uintptr_t)h->base + at * HEAP_UNIT : 0;
}

bool sg_heap_release(struct device_heap *h, uint64_t addr)
{
    uint64_t off = addr - (uint64_t)(uintptr_t)h->base, at = off / HEAP_UNIT;
    bool ok = false;

    if (off >= HEAP_SIZE || off % HEAP_UNIT)
        return false;
    pthread_mutex_lock(&h->lock);
    if (h->run[at]) {
        for (uint32_t k = 0; k < h->run[at]; k++)
            h->used[at + k] = 0;
        h->run[at] = 0;
        ok = true;
    }
    pthread_mutex_unlock(&h->lock);
    return ok;
}
