/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - where things are in an arena
 *
 * The guest plans a header, the host checks the copy it took, and both turn a checked header into
 * pointers. Nothing here reads shared memory.
 */
#ifndef VGPU_TRANSPORT_LAYOUT_H
#define VGPU_TRANSPORT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/vgpu_arena.h"

#define VGPU_RING_SLOTS_MIN 2048u
#define VGPU_RING_SLOTS_MAX (1u << 20)
#define VGPU_REPLY_COUNT_MAX 1024u
#define VGPU_ARENA_ALIGN (2ull << 20) /* of base and bytes */

/* An arena as one process sees it. */
struct vgpu_view {
    uint8_t *base;
    struct vgpu_arena_header
        header; /* private copy, checked; the one in shared memory is not read again */
    struct vgpu_arena_shared *shared;
    _Atomic uint32_t *commit;
    uint8_t *ring;
    struct vgpu_reply *replies;
    uint8_t *heap;
    uint64_t heap_bytes;
};

/*
 * Fills *header for an arena of bytes: everything but process_id and process_name, which are
 * zeroed. ring_slots and reply_count of 0 mean the defaults, 16384 (1 MiB) and 128. Returns 0, or
 * -1 when these sizes cannot make a valid arena.
 */
int vgpu_layout_plan(struct vgpu_arena_header *header, uint64_t base, uint64_t bytes,
                     uint32_t ring_slots, uint32_t reply_count, uint32_t notify);

/*
 * Checks a private copy of a header against the bytes the arena really has: magic, version, every
 * offset, size, alignment, order and the address range. Returns VGPU_REASON_NONE,
 * VGPU_REASON_VERSION or VGPU_REASON_PROTOCOL; *why then says what is wrong (a constant string).
 */
int vgpu_layout_check(const struct vgpu_arena_header *header, uint64_t bytes, const char **why);

/* Pointers for a checked header in an arena that this process has mapped at base. */
void vgpu_view_init(struct vgpu_view *view, void *base, const struct vgpu_arena_header *header);

/* "the guest broke the ring protocol" and the like, for VGPU_REASON_*; never NULL. */
const char *vgpu_reason_name(uint32_t reason);

#endif
