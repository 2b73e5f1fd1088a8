/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h - both sides of one arena in one process (or in a parent and the child it forks)
 *
 * The guest side waits with futexes on shared memory and rings an eventfd, as a local client does,
 * but for so long at a time that a lost wake-up shows.
 */
#ifndef VGPU_TESTS_RIG_H
#define VGPU_TESTS_RIG_H

#include <stdatomic.h>
#include <stdbool.h>

#include "protocol/transport/heap.h"
#include "protocol/transport/reply.h"
#include "protocol/transport/ring.h"

struct rig {
    struct vgpu_channel channel;
    struct vgpu_host host;
    _Atomic uint32_t owner;
    _Atomic bool dead;
    _Atomic uint32_t doorbells;
    _Atomic uint32_t lost; /* waits that ended by time: lost wake-ups */
    int doorbell;
    void *memory;
    uint64_t bytes;
};

/* Sizes as for vgpu_layout_plan(). Ends the program when the machine has not enough of something.
 */
void rig_create(struct rig *rig, uint64_t bytes, uint32_t slots, uint32_t replies);
void rig_destroy(struct rig *rig);

/* A small generator, so that failures can be repeated. */
static inline uint32_t rig_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

#endif
