/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena_map.h - maps a guest's arena into this process
 *
 * Trust: the descriptors come from a client's socket, the run table and the arena's header from
 * guest memory. All of it is hostile. The table and the header are copied once with pread(), never
 * through a mapping, and checked; only memory that can never shrink (sealed memfds) is mapped, so
 * that no access can raise SIGBUS. Two runs may name the same page: that aliases the guest's own
 * memory with itself and gives it nothing.
 *
 * How pages are reached is a backend's business; the rest is common to all.
 */
#ifndef VGPU_COMMON_ARENA_MAP_H
#define VGPU_COMMON_ARENA_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/transport/layout.h"
#include "protocol/vgpu_link.h"
#include "protocol/vgpu_regs.h"

#define VGPU_ARENA_MAPPINGS_MAX 32768u /* half of what Linux allows a process by default */

/* What a client said about its memory and one channel. Descriptors are borrowed. */
struct vgpu_arena_source {
    uint32_t backend; /* enum vgpu_backend */
    uint32_t region_count;
    struct vgpu_region regions[VGPU_LINK_REGIONS];
    int fds[VGPU_LINK_REGIONS];
    uint64_t table_address; /* as in struct vgpu_msg_channel_open */
    uint32_t runs;
    uint32_t pages;
    uint32_t mappings_max; /* 0: VGPU_ARENA_MAPPINGS_MAX */
};

struct vgpu_arena_map {
    struct vgpu_view view;
    uint64_t bytes;
    uint32_t mappings; /* after joining neighbours */
};

struct vgpu_arena_backend {
    const char *name;
    /* Copies bytes of guest memory from address on. 0, or -1 with why. */
    int (*read)(const struct vgpu_arena_source *source, uint64_t address, void *to, size_t bytes,
                const char **why);
    /* Maps count pages from address on at `at`, over a reservation. 0, or -1 with why. */
    int (*map)(const struct vgpu_arena_source *source, uint64_t address, uint64_t count, void *at,
               const char **why);
};

/*
 * Checks the regions alone (descriptors sealed, large enough, no overlap): what a daemon does when
 * MEMORY arrives. Returns VGPU_REASON_NONE or VGPU_REASON_BAD_TABLE, with a line of text in why.
 */
int vgpu_arena_check_regions(const struct vgpu_arena_source *source, char *why, size_t why_bytes);

/*
 * Maps the arena at the address its header names. Returns VGPU_REASON_NONE and fills *map, or
 * VGPU_REASON_BAD_TABLE, _VERSION, _PROTOCOL or _LIMIT with a line of text in why and nothing
 * mapped. The arena's addresses must be free in this process: call it before loading a GPU driver.
 */
int vgpu_arena_map(const struct vgpu_arena_source *source, struct vgpu_arena_map *map, char *why,
                   size_t why_bytes);

void vgpu_arena_unmap(struct vgpu_arena_map *map);

#endif
