/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estimate.h - how much GPU time a piece of work will take, learned from pieces like it
 *
 * Pieces are alike when they are the same call and, for launches, the same function, grid and
 * block, or the same graph. A direct-mapped table of fixed size: a piece that falls on another's
 * place takes it over and starts anew from its first measurement. Exponentially weighted average, a
 * quarter for the newest.
 */
#ifndef VGPU_WORKER_ESTIMATE_H
#define VGPU_WORKER_ESTIMATE_H

#include <stdint.h>

#include "protocol/vgpu_arena.h"

#define ESTIMATE_SLOTS 1024
#define ESTIMATE_UNKNOWN_NS 10000u  /* for what has never been measured */
#define ESTIMATE_MAX_NS 1000000000u /* a wrong estimate must not block for longer */

struct estimates {
    struct {
        uint64_t key; /* 0: free */
        uint64_t ns;
    } slots[ESTIMATE_SLOTS];
};

/* What a record has in common with those like it; never 0. */
uint64_t estimate_key(const struct vgpu_record *record);
uint64_t estimate_get(const struct estimates *estimates, uint64_t key);
void estimate_learn(struct estimates *estimates, uint64_t key, uint64_t ns);

#endif
