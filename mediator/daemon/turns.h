/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.h - round robin between VMs: whose workers may submit GPU work now
 *
 * Pure logic: no clock, no I/O, no allocation. The caller joins a member per VM, keeps wants and
 * in_flight up to date, calls turns_decide() with the time, applies each member's open, and calls
 * again at the time it is given or when a member's state changes.
 *
 *   - At most one member active (wants or in_flight): every member is open.
 *   - Otherwise one member, the holder, is open. Its turn ends after a quantum when another wants,
 * or as soon as it is not active any more; then the next member that wants, in order of joining,
 *     holds the turn. So the GPU is never kept idle for a member without work, and a member that
 *     wants waits at most (members - 1) quanta.
 *
 * Times are ns of any monotonic clock.
 */
#ifndef VGPU_TURNS_H
#define VGPU_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#define TURNS_NEVER UINT64_MAX

struct turns_member {
    struct turns_member *next, *previous; /* circle of all members, in order of joining */
    bool wants;                           /* in: has work to submit */
    bool in_flight;                       /* in: has work on the GPU */
    bool open;                            /* out: may submit */
};

struct turns {
    struct turns_member *first;  /* NULL: no member */
    struct turns_member *holder; /* NULL: no member was active at the last decision */
    uint64_t quantum;            /* ns, not 0 */
    uint64_t turn_end;           /* of the holder's turn */
    uint64_t passed;             /* how often the turn went from one member to another */
    bool contended;              /* more than one was active at the last decision */
};

void turns_init(struct turns *turns, uint64_t quantum);

/* The member is last in order. It stays the caller's until turns_leave(); open is set at once. */
void turns_join(struct turns *turns, struct turns_member *member);
void turns_leave(struct turns *turns, struct turns_member *member);

/* Sets open in every member. Returns when to decide again if nothing changes before, or
 * TURNS_NEVER. */
uint64_t turns_decide(struct turns *turns, uint64_t now);

#endif
