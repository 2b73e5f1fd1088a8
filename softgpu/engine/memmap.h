/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memmap.h - snapshots of the memory map, for the code that runs warps
 *
 * A snapshot is an immutable table sorted by base. It stays valid until released; ranges added
 * later are seen by acquiring again when the map's generation differs from the snapshot's.
 */
#ifndef VGPU_SOFTGPU_MEMMAP_H
#define VGPU_SOFTGPU_MEMMAP_H

#include "engine.h"

struct sg_range {
    uint64_t base, size; /* bytes */
    bool writable;
};

struct sg_ranges {
    atomic_uint refs;
    uint64_t generation;
    size_t n;
    struct sg_range r[];
};

const struct sg_ranges *sg_memmap_acquire(const struct sg_memmap *map);
void sg_ranges_release(const struct sg_ranges *ranges);
uint64_t sg_memmap_generation(const struct sg_memmap *map);
/* The range that holds addr, or NULL. */
const struct sg_range *sg_ranges_find(const struct sg_ranges *ranges, uint64_t addr);

#endif
