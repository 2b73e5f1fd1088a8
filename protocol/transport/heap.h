/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - the guest's allocator for the arena's heap
 *
 * Two kinds of memory. Pinned: page-aligned ranges that live until freed (cuMemAllocHost and
 * friends), best fit within power-of-two bins, coalesced on free. Stages: short-lived buffers for
 * copies from and to pageable memory, in three sizes, kept for reuse; a stage that a deferred
 * record refers to comes back by itself when the worker sets its release word. A few stages are set
 * aside at start, so that copies go on when a program has pinned everything else.
 *
 * All metadata is private memory. Every function may be called from any thread. Freed ranges keep
 * their pages: the worker may have registered them with the GPU.
 */
#ifndef VGPU_TRANSPORT_HEAP_H
#define VGPU_TRANSPORT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/transport/channel.h"

struct vgpu_heap;

struct vgpu_stage {
    void *address;
    uint32_t size; /* usable bytes, at least what was asked for */
    uint32_t word; /* release word to name in a deferred record */
};

/* NULL with errno. channel must outlive it. */
struct vgpu_heap *vgpu_heap_create(struct vgpu_channel *channel);
void vgpu_heap_destroy(struct vgpu_heap *heap);

/*
 * size bytes, aligned to align (a power of two, at least 4096 is used; at most the arena's own 2
 * MiB). NULL with errno ENOMEM when no range is large enough, EINVAL for size 0 or a bad alignment.
 */
void *vgpu_heap_alloc(struct vgpu_heap *heap, size_t size, size_t align);
/* Returns 0, or -EINVAL when address is not what vgpu_heap_alloc() returned (or was freed already).
 */
int vgpu_heap_free(struct vgpu_heap *heap, void *address);
/* The pinned allocation that address lies in: true, and its start and size as asked for. */
bool vgpu_heap_find(struct vgpu_heap *heap, const void *address, void **start, size_t *size);

/* Largest stage, in bytes: 2 MiB, less in an arena under 32 MiB. */
size_t vgpu_heap_stage_max(const struct vgpu_heap *heap);

/*
 * Takes a stage of at least size bytes (at most vgpu_heap_stage_max()). With wait it blocks as long
 * as any stage is in flight or held; a thread that holds one itself must not wait for a second:
 * submit or put the first, or ask without wait. Returns 0, -ENOMEM, -EINVAL, -EPIPE, -EPERM.
 */
int vgpu_stage_get(struct vgpu_heap *heap, size_t size, bool wait, struct vgpu_stage *stage);
/* The record naming stage->word was committed: the stage returns when the worker releases it. */
void vgpu_stage_submit(struct vgpu_heap *heap, const struct vgpu_stage *stage);
/* Gives back a stage no record in flight refers to (never sent, or the call's reply came). */
void vgpu_stage_put(struct vgpu_heap *heap, const struct vgpu_stage *stage);

struct vgpu_heap_usage {
    uint64_t bytes, pinned, staged; /* staged: set aside for stages, in use or not */
    uint64_t largest_free;
};
void vgpu_heap_usage(struct vgpu_heap *heap, struct vgpu_heap_usage *usage);

#endif
