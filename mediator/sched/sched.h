/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.h - whose work may be submitted to one GPU now
 *
 * Pure logic: no clock, no I/O, no allocation. A member stands for a VM and belongs to a pool. The
 * caller keeps each member's inputs up to date, calls sched_decide() with the time whenever one of
 * them has changed and at the time the last call returned, and applies the outputs.
 *
 * Contention. While at most one member is active (wants, or has work in flight) every gate is open.
 * Otherwise one member, the holder, may submit, for a turn. A turn ends after the member's quantum
 * when another wants, when the holder has had nothing to do for the grace time, when its limit is
 * reached, or, with the policy `fair`, when somebody more urgent wants (see preemption below).
 *
 * Policy `rr`: round robin in order of joining, with the full quantum for all.
 *
 * Policy `fair`: start-time fair queueing on two levels, pools and then the pool's members.
 *   - Service of s ns advances the virtual time v of its member by s / weight, and that of its pool
 *     by s / (the pool's weight). The next turn goes to the pool that wants with the smallest v,
 * and in it to the member that wants with the smallest v. [Goyal, Vin, Cheng: Start-time Fair
 * Queueing, SIGCOMM 1996; for GPUs, with several requests in flight: Hedayati, Shen, Scott, Marty:
 * Multi-Queue Fair Queueing, USENIX ATC 2019]
 *   - Who gets work again continues at max(v_min, its v), v_min being the smallest v of those with
 *     work, which never goes back: sleeping neither earns credit nor pays debt.
 *     [the same rule as in Linux' fair schedulers for CPUs and, since 2026, for DRM]
 *   - A turn lasts as long as the member's bursts of work usually do, between quantum_min and
 *     quantum: a burst is then served in one turn, and whoever is always busy gets the whole
 * quantum.
 *   - Preemption: a member that gets work ends the holder's turn when its virtual deadline,
 *     v + slice / weight, is before the holder's. So a short request, or a heavy weight, need not
 *     wait for the end of a long turn, and what it takes it is charged for.
 *     [Stoica, Abdel-Wahab: Earliest Eligible Virtual Deadline First, 1995; here the deadline only
 *     decides about preemption]
 *     The interrupted turn goes on afterwards, so that interruptions do not change the order of the
 *     others, nor how often the GPU is switched between them.
 *   - Work in flight is bounded by in_flight_ns, and by in_flight_urgent_ns while a member of more
 *     weight and with short bursts has been active within the last second: what is in flight when
 * it comes back is what it waits for.
 *   - Aging: a member that has waited aging_ns longer than its share alone explains is served next,
 *     whatever its debt. [as the deadlines of Linux' mq-deadline]
 *   For two members of a pool that want all the time, |W_i/w_i - W_j/w_j| is at most
 *   (D + 1)(c_i/w_i + c_j/w_j), W being the service since any common moment, c the largest service
 * of one turn (its quantum and what was in flight at its end), D the turns whose work overlaps: 1
 * here.
 *
 * Charging. The caller gives what has been measured; work that runs and is not measured yet is
 * charged by estimate, as the wall time that it has been on the GPU (shared equally among members
 * in flight), and the estimate is replaced when the measurement comes. A measurement counts at most
 * for the wall time that the member was on the GPU: kernels side by side are charged once. A turn
 * is charged for at least a quarter of its length, so that holding the GPU without using it is not
 * free and a measurement that is too small cannot buy the whole GPU.
 *
 * Limits, with both policies: a token bucket each for GPU time and for submissions (bucket.h). A
 * member without tokens does not count as wanting. Submissions are not gated one by one: the caller
 * lets a member submit at most submit_tokens before the next decision.
 *
 * Members and pools are the caller's and must not move while joined. Times are ns of a monotonic
 * clock.
 */
#ifndef VGPU_SCHED_SCHED_H
#define VGPU_SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "mediator/sched/bucket.h"

#define SCHED_NEVER UINT64_MAX
#define SCHED_NO_LIMIT UINT64_MAX
#define SCHED_WEIGHT_MAX 100000u

enum sched_policy { SCHED_RR, SCHED_FAIR };

struct sched_params {
    enum sched_policy policy;
    uint64_t quantum_ns;     /* longest turn; not 0 */
    uint64_t quantum_min_ns; /* fair: shortest turn; 0 is taken as 1 */
    uint64_t grace_ns;       /* how long a holder without work may keep its turn */
    uint64_t aging_ns;       /* fair; 0: off */
    uint64_t in_flight_ns;   /* fair: estimated work a member may have in flight; 0: any */
    uint64_t
        in_flight_urgent_ns; /* fair: the same while somebody urgent is about; 0: no difference */
};

struct sched_pool {
    struct sched_pool *next;
    uint32_t weight; /* 1 to SCHED_WEIGHT_MAX; the caller's, may change any time */
    /* Private. */
    uint64_t v, v_min;
    bool active;
};

struct sched_member {
    /* In: set by the caller before sched_decide(). */
    uint32_t weight;        /* 1 to SCHED_WEIGHT_MAX */
    bool wants;             /* has work to submit */
    bool in_flight;         /* has work on the GPU */
    bool held;              /* may not submit at all: quarantined, or its pool is shut */
    bool measured;          /* gpu_ns is kept up */
    uint64_t gpu_ns;        /* measured so far; never goes back */
    uint64_t submitted;     /* pieces of work so far; never goes back */
    struct bucket gpu_time; /* ns; set with bucket_set() */
    struct bucket submissions;

    /* Out. */
    bool open;              /* may submit */
    bool throttled;         /* wants, and a limit forbids it */
    uint64_t submit_tokens; /* pieces it may submit before the next decision, or SCHED_NO_LIMIT */
    uint64_t in_flight_ns;  /* estimated work it may have in flight, or SCHED_NO_LIMIT */

    /* Statistics, out. */
    uint64_t turns;       /* turns got while others wanted the GPU */
    uint64_t preempted;   /* turns that somebody more urgent ended */
    uint64_t throttles;   /* times it became throttled */
    uint64_t charged_ns;  /* service charged so far */
    uint64_t waited_ns;   /* time that it wanted and was not open */
    uint64_t wait_max_ns; /* longest such time */

    /* Private. */
    struct sched_member *next, *previous; /* circle of all members, in order of joining */
    struct sched_pool *pool;
    uint64_t v;
    bool active; /* has work, or had within the grace time */
    bool had_work, fresh, was_in_flight, was_open;
    uint64_t burst_ns;      /* service since it became active */
    uint64_t burst_average; /* EWMA of bursts */
    uint64_t idle_since, think_average;
    uint64_t waiting_since; /* SCHED_NEVER: not waiting */
    uint64_t seen_gpu_ns, seen_submitted;
    uint64_t pending_ns;  /* charged by estimate, not yet confirmed */
    uint64_t headroom_ns; /* wall time on the GPU that has not been charged */
    bool dry;             /* of GPU time: until the bucket has some again */
};

struct sched {
    struct sched_params params;
    struct sched_pool *pools;
    struct sched_member *first;  /* NULL: no member */
    struct sched_member *holder; /* NULL: no member was active at the last decision */
    bool contended;              /* more than one was active at the last decision */
    uint64_t switches;           /* how often the turn went from one member to another */
    uint64_t busy_ns;            /* time with work in flight */
    uint64_t contended_ns;       /* time with more than one active */
    /* Private. */
    uint64_t now; /* of the last decision */
    uint64_t v_min;
    bool any_in_flight;
    uint64_t turn_charged, turn_start, turn_end, turn_deadline, turn_pool_deadline;
    struct sched_member *interrupted; /* whose turn goes on after the holder's; or NULL */
    uint64_t interrupted_left, interrupted_deadline, interrupted_pool_deadline; /* of it */
    uint64_t idle_end; /* SCHED_NEVER: the holder has work */
};

void sched_init(struct sched *sched, const struct sched_params *params, uint64_t now);
/* Takes effect from the next decision on. */
void sched_configure(struct sched *sched, const struct sched_params *params);

/* The pool starts where the others are. A pool may leave once no member belongs to it. */
void sched_pool_join(struct sched *sched, struct sched_pool *pool, uint32_t weight);
void sched_pool_leave(struct sched *sched, struct sched_pool *pool);

/*
 * The member is last in order; it must be zeroed, or have left. open is set at once. What it had
 * counted in gpu_ns and submitted before is not charged.
 */
void sched_join(struct sched *sched, struct sched_pool *pool, struct sched_member *member,
                uint32_t weight);
void sched_leave(struct sched *sched, struct sched_member *member);
/* Goes on in another pool, at the earliest where that one is. */
void sched_move(struct sched *sched, struct sched_member *member, struct sched_pool *pool);

/*
 * Charges what has been used since the last call and sets all outputs. Returns when to decide again
 * if no input changes before, or SCHED_NEVER.
 */
uint64_t sched_decide(struct sched *sched, uint64_t now);

/* Virtual time, to be compared between members of one pool; for tests and statistics. */
uint64_t sched_virtual_time(const struct sched_member *member);

#endif
