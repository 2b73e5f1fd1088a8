/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying between pageable memory and stages with several processors: one moves some 12 GB/s, the
 * GPU takes several times that. The helpers are started by the first large copy, share out slices
 * of one copy at a time with the thread that asked for it, look for the next one for a moment, and
 * then sleep. While they serve one thread, others copy alone.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/libcuda/guest.h"

#define HELPERS_MAX 7
#define PARALLEL_MIN (512u << 10)
#define SLICE (128u << 10)
#define LINGER_NS 100000u

static struct {
    pthread_mutex_t owner; /* whoever has a copy under way */
    pthread_t threads[HELPERS_MAX];
    unsigned count;
    bool started;
    _Atomic bool stop;

    /* The copy; changed only while `next` is closed. */
    _Atomic(uint8_t *) to;
    _Atomic(const uint8_t *) from;
    _Atomic size_t bytes;
    _Alignas(64) _Atomic uint32_t round; /* futex word; changes when a copy begins */
    _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint64_t next;     /* round << 32 | next slice */
    _Alignas(64) _Atomic uint32_t finished; /* slices */
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER};

#define CLOSED UINT32_MAX /* a slice number beyond every copy */

/* Takes slices of the given round until there are none. */
static void work(uint32_t round)
{
    uint64_t ticket = atomic_load_explicit(&pool.next, memory_order_acquire);
    for (;;) {
        /* The round is part of the ticket: a helper that comes late cannot take of the next copy.
         */
        if ((uint32_t)(ticket >> 32) != round)
            return;
        size_t at = (size_t)(uint32_t)ticket * SLICE;
        size_t bytes = atomic_load_explicit(&pool.bytes, memory_order_relaxed);
        if (at >= bytes)
            return;
        uint8_t *to = atomic_load_explicit(&pool.to, memory_order_relaxed);
        const uint8_t *from = atomic_load_explicit(&pool.from, memory_order_relaxed);
        /* Succeeds only when the copy is still the one that was looked at. */
        if (!atomic_compare_exchange_weak_explicit(&pool.next, &ticket, ticket + 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        size_t now = bytes - at < SLICE ? bytes - at : SLICE;
        memcpy(to + at, from + at, now);
        atomic_fetch_add_explicit(&pool.finished, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool.next, memory_order_acquire);
    }
}

static void *helper(void *unused)
{
    uint32_t seen = 0;
    (void)unused;
    pthread_setname_np(pthread_self(), "vgpu-copy");
    while (!atomic_load(&pool.stop)) {
        uint32_t round = atomic_load_explicit(&pool.round, memory_order_acquire);
        if (round != seen) {
            seen = round;
            work(round);
            continue;
        }
        uint64_t until = vgpu_now_ns() + LINGER_NS;
        while (atomic_load_explicit(&pool.round, memory_order_relaxed) == seen &&
               vgpu_now_ns() < until)
            for (int i = 0; i < 32; i++)
                vgpu_cpu_relax();
        if (atomic_load(&pool.round) != seen)
            continue;
        atomic_fetch_add(&pool.sleepers, 1);
        if (atomic_load(&pool.round) == seen && !atomic_load(&pool.stop))
            syscall(SYS_futex, &pool.round, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        atomic_fetch_sub(&pool.sleepers, 1);
    }
    return NULL;
}

static unsigned wanted_helpers(void)
{
    const char *wish = getenv("VGPU_COPY_THREADS");
    if (wish && *wish) {
        unsigned long count = strtoul(wish, NULL, 10);
        return count > HELPERS_MAX ? HELPERS_MAX : (unsigned)count;
    }
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 0;
    int processors = CPU_COUNT(&set);
    return processors >= 8 ? 3 : processors >= 4 ? 1 : 0;
}

/* Under pool.owner. */
static void start_helpers(void)
{
    sigset_t all, before;
    unsigned wanted = wanted_helpers();
    pool.started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's business */
    while (pool.count < wanted &&
           pthread_create(&pool.threads[pool.count], NULL, helper, NULL) == 0)
        pool.count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void begin_round(void)
{
    atomic_fetch_add(&pool.round, 1);
    if (atomic_load(&pool.sleepers))
        syscall(SYS_futex, &pool.round, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void vgpu_memcpy(void *to, const void *from, size_t bytes)
{
    if (bytes < PARALLEL_MIN || atomic_load(&pool.stop) ||
        pthread_mutex_trylock(&pool.owner) != 0) {
        memcpy(to, from, bytes);
        return;
    }
    if (!pool.started)
        start_helpers();
    if (!pool.count) {
        pthread_mutex_unlock(&pool.owner);
        memcpy(to, from, bytes);
        return;
    }
    uint32_t slices = (uint32_t)((bytes + SLICE - 1) / SLICE);
    uint32_t round = atomic_load(&pool.round) + 1;
    atomic_store(&pool.next, (uint64_t)round << 32 | CLOSED);
    atomic_store(&pool.to, to);
    atomic_store(&pool.from, from);
    atomic_store(&pool.bytes, bytes);
    atomic_store(&pool.finished, 0);
    atomic_store(&pool.next, (uint64_t)round << 32);
    begin_round();
    work(round);
    while (atomic_load_explicit(&pool.finished, memory_order_acquire) != slices)
        vgpu_cpu_relax();
    pthread_mutex_unlock(&pool.owner);
}

void vgpu_memcpy_end(void)
{
    /* A copy under way keeps its helpers; so does a child of fork(), where there are none. */
    if (pthread_mutex_trylock(&pool.owner) != 0)
        return;
    atomic_store(&pool.stop, true);
    begin_round();
    for (unsigned i = 0; i < pool.count; i++)
        pthread_join(pool.threads[i], NULL);
    pool.count = 0;
    pthread_mutex_unlock(&pool.owner);
}
