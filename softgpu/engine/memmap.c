/* SPDX-License-Identifier: Apache-2.0 */
#include "memmap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "windows.h"

/*
 * Writers replace the whole table; a reader keeps the table it holds alive by a reference. The lock
 * is held for a pointer copy only, never while a table is built or searched.
 */
struct sg_memmap {
    pthread_mutex_t writers; /* serialises add and remove */
    pthread_mutex_t lock;    /* guards current and the reference that acquire takes on it */
    struct sg_ranges *current;
    atomic_ullong generation;
};

static struct sg_ranges *ranges_new(size_t n)
{
    struct sg_ranges *t = malloc(sizeof(*t) + n * sizeof(t->r[0]));

    if (t) {
        t->n = n;
        atomic_init(&t->refs, 1);
    }
    return t;
}

struct sg_memmap *sg_memmap_new(void)
{
    struct sg_memmap *map = calloc(1, sizeof(*map));

    if (!map)
        return NULL;
    map->current = ranges_new(0);
    if (!map->current) {
        free(map);
        return NULL;
    }
    map->current->generation = 0;
    pthread_mutex_init(&map->writers, NULL);
    pthread_mutex_init(&map->lock, NULL);
    return map;
}

void sg_memmap_free(struct sg_memmap *map)
{
    if (!map)
        return;
    sg_ranges_release(map->current);
    pthread_mutex_destroy(&map->writers);
    pthread_mutex_destroy(&map->lock);
    free(map);
}

const struct sg_ranges *sg_memmap_acquire(const struct sg_memmap *cmap)
{
    struct sg_memmap *map = (struct sg_memmap *)cmap;
    struct sg_ranges *t;

    pthread_mutex_lock(&map->lock);
    t = map->current;
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&map->lock);
    return t;
}

void sg_ranges_release(const struct sg_ranges *ct)
{
    struct sg_ranges *t = (struct sg_ranges *)ct;

    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        free(t);
}

uint64_t sg_memmap_generation(const struct sg_memmap *map)
{
    return atomic_load_explicit(&map->generation, memory_order_acquire);
}

static void publish(struct sg_memmap *map, struct sg_ranges *t)
{
    struct sg_ranges *old;

    t->generation = atomic_load(&map->generation) + 1;
    pthread_mutex_lock(&map->lock);
    old = map->current;
    map->current = t;
    pthread_mutex_unlock(&map->lock);
    atomic_store_explicit(&map->generation, t->generation, memory_order_release);
    sg_ranges_release(old);
}

/* Index of the first range whose base lies above addr. */
static size_t upper_bound(const struct sg_ranges *t, uint64_t addr)
{
    size_t lo = 0, hi = t->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->r[mid].base <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct sg_range *sg_ranges_find(const struct sg_ranges *t, uint64_t addr)
{
    size_t i = upper_bound(t, addr);

    if (i == 0 || addr - t->r[i - 1].base >= t->r[i - 1].size)
        return NULL;
    return &t->r[i - 1];
}

int sg_memmap_add(struct sg_memmap *map, uint64_t base, uint64_t size, bool writable)
{
    struct sg_ranges *old, *t;
    size_t at;
    int rc = 0;

    if (size == 0 || base + size < base)
        return -EINVAL;
    if (base < SG_WINDOWS_END && base + size > SG_WINDOWS_BASE)
        return -EEXIST;
    pthread_mutex_lock(&map->writers);
    old = map->current;
    at = upper_bound(old, base);
    if ((at > 0 && base - old->r[at - 1].base < old->r[at - 1].size) ||
        (at < old->n && old->r[at].base - base < size)) {
        rc = -EEXIST;
        goto out;
    }
    t = ranges_new(old->n + 1);
    if (!t) {
        rc = -ENOMEM;
        goto out;
    }
    memcpy(t->r, old->r, at * sizeof(t->r[0]));
    t->r[at] = (struct sg_range){base, size, writable};
    memcpy(t->r + at + 1, old->r + at, (old->n - at) * sizeof(t->r[0]));
    publish(map, t);
out:
    pthread_mutex_unlock(&map->writers);
    return rc;
}

int sg_memmap_remove(struct sg_memmap *map, uint64_t base)
{
    struct sg_ranges *old, *t;
    size_t at;
    int rc = 0;

    pthread_mutex_lock(&map->writers);
    old = map->current;
    at = upper_bound(old, base);
    if (at == 0 || old->r[at - 1].base != base) {
        rc = -ENOENT;
        goto out;
    }
    t = ranges_new(old->n - 1);
    if (!t) {
        rc = -ENOMEM;
        goto out;
    }
    memcpy(t->r, old->r, (at - 1) * sizeof(t->r[0]));
    memcpy(t->r + at - 1, old->r + at, (old->n - at) * sizeof(t->r[0]));
    publish(map, t);
out:
    pthread_mutex_unlock(&map->writers);
    return rc;
}

bool sg_memmap_check(const struct sg_memmap *map, uint64_t addr, uint64_t size, bool write)
{
    const struct sg_ranges *t = sg_memmap_acquire(map);
    const struct sg_range *r = sg_ranges_find(t, addr);
    bool ok = r && size <= r->size - (addr - r->base) && (!write || r->writable);

    sg_ranges_release(t);
    return ok;
}

bool sg_memmap_find(const struct sg_memmap *map, uint64_t addr, uint64_t *base, uint64_t *size)
{
    const struct sg_ranges *t = sg_memmap_acquire(map);
    const struct sg_range *r = sg_ranges_find(t, addr);

    if (r) {
        *base = r->base;
        *size = r->size;
    }
    sg_ranges_release(t);
    return r != NULL;
}
