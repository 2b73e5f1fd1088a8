/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm_stats.h - the page that the mediator daemon and one worker share
 *
 * The daemon creates it as a memfd of exactly sizeof(struct shm_page) bytes, sealed against
 * shrinking and growing, and sends it with ASSIGN. It carries two things: the gate, by which the
 * daemon lets the worker submit GPU work or has it wait, and the worker's statistics.
 *
 * Trust: the worker is less trusted than the daemon. What it writes here is a claim: the daemon
 * reads each word once, bounds it, and uses it for turns and for statistics, never as an index or a
 * length.
 *
 * Gate. The daemon writes gate; bit 0 says open, the other bits count changes. A worker passes the
 * gate before each record that gives the GPU work (launch, copy, memset), with shm_gate_wait(). All
 * other records ignore it.
 *   - While at most one VM has work, every gate is open and passing costs one load.
 *   - While several have, one VM's workers hold open gates for a turn.
 *   - Behind an open gate two allowances may still stop the worker: submit_until, up to which count
 * of submissions it may go, and in_flight_limit_ns, from which on it waits for some of its work in
 *     flight to complete. A worker with nothing in flight is not stopped by the latter.
 * The daemon sleeps when there is nothing to decide. What it must hear of, a worker says with WAKE
 * on its socket, and only when the daemon has asked for it by setting wake_on: the worker publishes
 * backlog or in_flight, fences, and takes wake_on; the daemon sets wake_on, fences, and looks
 * again.
 *
 * Units: ns from CLOCK_MONOTONIC or from CUDA events, bytes.
 */
#ifndef VGPU_SHM_STATS_H
#define VGPU_SHM_STATS_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHM_MAGIC 0x54415453u /* "STAT" */
#define SHM_VERSION 2
#define SHM_OPCODES 512

/*
 * Log-linear histogram: 16 buckets per power of two, from 64 ns to 2^40 ns (18 minutes), so that a
 * value is known to 1/16. Values outside go to the first or last bucket. The idea is
 * HdrHistogram's.
 */
#define SHM_HISTOGRAM_UNIT_BITS 6
#define SHM_HISTOGRAM_SUB_BITS 4
#define SHM_HISTOGRAM_TOP_BITS 40
#define SHM_HISTOGRAM_BUCKETS                                                                      \
    ((SHM_HISTOGRAM_TOP_BITS - SHM_HISTOGRAM_UNIT_BITS - SHM_HISTOGRAM_SUB_BITS + 1)               \
     << SHM_HISTOGRAM_SUB_BITS)

#define SHM_GATE_OPEN 1u
#define SHM_GATE_STEP 2u

/* wake_on: the events of which the daemon wants to hear; the worker clears what it reports. */
#define SHM_WAKE_WORK (1u << 0) /* backlog became non-zero */
#define SHM_WAKE_IDLE                                                                              \
    (1u << 1) /* backlog and in_flight are both zero, and the worker goes to sleep */

struct shm_call {
    _Atomic uint64_t calls;
    _Atomic uint64_t bytes;   /* records and payload, both directions */
    _Atomic uint64_t gpu_ns;  /* start to end on the GPU */
    _Atomic uint64_t host_ns; /* in the worker, driver call included */
};

struct shm_page {
    /* Set by the daemon before the worker sees the page. */
    uint32_t magic;
    uint32_t version;
    uint32_t bytes; /* sizeof(struct shm_page) */
    uint32_t reserved;

    /* Written by the daemon. */
    _Alignas(64) _Atomic uint32_t gate;  /* futex word */
    _Atomic uint64_t submit_until;       /* submissions; 0: no limit */
    _Atomic uint64_t in_flight_limit_ns; /* of in_flight_ns; 0: no limit */

    /* Set by the daemon, taken by the worker. */
    _Alignas(64) _Atomic uint32_t wake_on; /* SHM_WAKE_* */

    /* Written by the worker. */
    _Alignas(
        64) _Atomic uint32_t backlog; /* 1: a record that wants the gate is waiting or running */
    _Atomic uint32_t in_flight;       /* GPU work submitted and not known to be complete */
    _Atomic uint64_t last_activity;   /* CLOCK_MONOTONIC ns of the last record */
    _Atomic uint64_t submissions;     /* records that have passed the gate */
    _Atomic uint64_t completions;     /* counts whenever something in flight has completed */
    _Atomic uint64_t in_flight_ns;    /* estimated GPU time of measured work in flight */
    _Atomic uint32_t faults;          /* errors after which a CUDA context is of no more use */
    _Alignas(64) _Atomic uint64_t gpu_ns;            /* sum of all GPU work */
    _Atomic uint64_t gate_wait_ns;                   /* time spent waiting for the gate */
    _Atomic uint64_t records;                        /* all records served */
    _Atomic uint64_t device_memory;                  /* bytes allocated now */
    _Atomic uint64_t device_memory_peak;             /* bytes */
    _Atomic uint32_t devices;                        /* bit per GPU on which it has a context */
    _Alignas(64) struct shm_call calls[SHM_OPCODES]; /* by opcode */
    _Alignas(64) _Atomic uint64_t latency[SHM_HISTOGRAM_BUCKETS]; /* submission to completion */
};

/* Bucket of a duration; always below SHM_HISTOGRAM_BUCKETS. */
static inline uint32_t shm_histogram_bucket(uint64_t ns)
{
    uint64_t value = ns >> SHM_HISTOGRAM_UNIT_BITS;
    uint32_t shift;

    if (ns >= 1ull << SHM_HISTOGRAM_TOP_BITS)
        return SHM_HISTOGRAM_BUCKETS - 1;
    if (value < 1u << SHM_HISTOGRAM_SUB_BITS)
        return (uint32_t)value;
    shift = 63 - (uint32_t)__builtin_clzll(value) - SHM_HISTOGRAM_SUB_BITS;
    return (shift << SHM_HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* Smallest duration in a bucket, ns; bucket may be SHM_HISTOGRAM_BUCKETS (the end of the last). */
static inline uint64_t shm_histogram_floor(uint32_t bucket)
{
    uint64_t sub = 1u << SHM_HISTOGRAM_SUB_BITS;
    uint32_t shift;

    if (bucket < 2 * sub)
        return (uint64_t)bucket << SHM_HISTOGRAM_UNIT_BITS;
    shift = (bucket >> SHM_HISTOGRAM_SUB_BITS) - 1;
    return ((sub + (bucket & (sub - 1))) << shift) << SHM_HISTOGRAM_UNIT_BITS;
}

/* Worker: one piece of GPU work took ns from submission to completion, any thread. */
static inline void shm_latency_add(struct shm_page *page, uint64_t ns)
{
    atomic_fetch_add_explicit(&page->latency[shm_histogram_bucket(ns)], 1, memory_order_relaxed);
}

/* Worker: one record of opcode (checked here) was served, any thread. */
static inline void shm_call_add(struct shm_page *page, uint32_t opcode, uint64_t bytes,
                                uint64_t host_ns)
{
    struct shm_call *call = &page->calls[opcode < SHM_OPCODES ? opcode : 0];

    atomic_fetch_add_explicit(&call->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&call->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&call->host_ns, host_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&page->records, 1, memory_order_relaxed);
}

/* Worker: the GPU spent ns on a call of opcode, any thread. */
static inline void shm_gpu_add(struct shm_page *page, uint32_t opcode, uint64_t ns)
{
    atomic_fetch_add_explicit(&page->calls[opcode < SHM_OPCODES ? opcode : 0].gpu_ns, ns,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&page->gpu_ns, ns, memory_order_relaxed);
}

/*
 * Worker: says that it has work for the GPU, and tells whether the daemon must hear of it (then the
 * caller sends WAKE; a full queue is no error, the daemon is about to look anyway).
 */
static inline int shm_backlog_set(struct shm_page *page)
{
    if (!atomic_load_explicit(&page->backlog, memory_order_relaxed)) {
        atomic_store_explicit(&page->backlog, 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (!(atomic_load_explicit(&page->wake_on, memory_order_relaxed) & SHM_WAKE_WORK))
        return 0;
    return !!(atomic_fetch_and(&page->wake_on, ~SHM_WAKE_WORK) & SHM_WAKE_WORK);
}

/*
 * Worker: nothing is waiting to be submitted; call before sleeping on the doorbell, and again when
 * in_flight falls to zero while asleep. Tells, as above, whether to send WAKE.
 */
static inline int shm_backlog_clear(struct shm_page *page)
{
    atomic_store_explicit(&page->backlog, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&page->in_flight, memory_order_relaxed) != 0 ||
        !(atomic_load_explicit(&page->wake_on, memory_order_relaxed) & SHM_WAKE_IDLE))
        return 0;
    return !!(atomic_fetch_and(&page->wake_on, ~SHM_WAKE_IDLE) & SHM_WAKE_IDLE);
}

static inline int shm_gate_is_open(struct shm_page *page)
{
    return !!(atomic_load_explicit(&page->gate, memory_order_acquire) & SHM_GATE_OPEN);
}

/* Worker: whether the daemon lets it submit, leaving aside what it has in flight. */
static inline int shm_gate_allows(struct shm_page *page)
{
    uint64_t until = atomic_load_explicit(&page->submit_until, memory_order_relaxed);

    return shm_gate_is_open(page) &&
           (!until || atomic_load_explicit(&page->submissions, memory_order_relaxed) < until);
}

/* Worker: whether a record that gives the GPU work may be executed now. */
static inline int shm_gate_may_pass(struct shm_page *page)
{
    uint64_t limit = atomic_load_explicit(&page->in_flight_limit_ns, memory_order_relaxed);

    return shm_gate_allows(page) &&
           (!limit || atomic_load_explicit(&page->in_flight_ns, memory_order_relaxed) < limit);
}

/* Worker: a record has passed the gate. */
static inline void shm_submission_add(struct shm_page *page)
{
    atomic_fetch_add_explicit(&page->submissions, 1, memory_order_relaxed);
}

/*
 * Worker: sleeps until the gate changes or timeout_ns has passed, unless it may pass; returns
 * whether it may now. Call after shm_backlog_set(). Use a timeout so that a worker told to STOP
 * looks at its socket, and a short one while something is in flight.
 */
static inline int shm_gate_wait(struct shm_page *page, uint64_t timeout_ns)
{
    uint32_t gate = atomic_load_explicit(&page->gate, memory_order_acquire);

    if (!shm_gate_may_pass(page)) {
        struct timespec timeout = {(time_t)(timeout_ns / 1000000000u),
                                   (long)(timeout_ns % 1000000000u)};

        syscall(SYS_futex, &page->gate, FUTEX_WAIT, gate, &timeout, NULL, 0);
    }
    return shm_gate_may_pass(page);
}

/* Daemon: opens or closes the gate; wakes the worker when it opens. No effect when already so. */
static inline void shm_gate_set(struct shm_page *page, int open)
{
    uint32_t gate = atomic_load_explicit(&page->gate, memory_order_relaxed);

    if (!!(gate & SHM_GATE_OPEN) == !!open)
        return;
    gate = ((gate & ~SHM_GATE_OPEN) + SHM_GATE_STEP) | (open ? SHM_GATE_OPEN : 0);
    atomic_store_explicit(&page->gate, gate, memory_order_release);
    if (open)
        syscall(SYS_futex, &page->gate, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Daemon: sets both allowances; wakes the worker when it may submit more or less than before. */
static inline void shm_allowance_set(struct shm_page *page, uint64_t submit_until,
                                     uint64_t in_flight_limit_ns)
{
    uint64_t before = atomic_load_explicit(&page->submit_until, memory_order_relaxed);

    atomic_store_explicit(&page->in_flight_limit_ns, in_flight_limit_ns, memory_order_relaxed);
    if (before == submit_until)
        return;
    atomic_store_explicit(&page->submit_until, submit_until, memory_order_relaxed);
    if (shm_gate_is_open(page)) {
        atomic_fetch_add_explicit(&page->gate, SHM_GATE_STEP, memory_order_release);
        syscall(SYS_futex, &page->gate, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

#endif
