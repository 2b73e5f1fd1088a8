/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin.h - how long to spin before sleeping
 *
 * Never shorter than a sleep and a wake-up cost (VGPU_SPIN_FLOOR_NS), so that spinning at most
 * doubles the price of a wait; without that floor two sides that talk in turn keep each other
 * asleep, each waiting for the other's wake-up. Above the floor the budget follows what waits took:
 * one that ended while spinning raises it at once to twice its length, or lets it sink slowly
 * towards that; a sleep takes an eighth off. A sleep hides how long the wait would have been, so
 * every 32nd wait spins as long as allowed, to find out. With one CPU the budget is always 0.
 *
 * Source: competitive spinning (Karlin, Li, Manasse, Owicki: Empirical studies of competitive
 * spinning for a shared-memory multiprocessor, 1991).
 */
#ifndef VGPU_TRANSPORT_SPIN_H
#define VGPU_TRANSPORT_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define VGPU_SPIN_DEFAULT_NS 50000u
#define VGPU_SPIN_FLOOR_NS 10000u
/*
 * Longest spin for an answer where CPUs are to be had: a program that synchronises spins natively
 * as well, and a sleep and a wake-up cost 30 to 50 us, a quarter of a short kernel.
 */
#define VGPU_SPIN_ANSWER_NS 2000000u

struct vgpu_spin {
    uint32_t max_ns;
    _Atomic uint32_t budget_ns; /* threads may share it; a lost update is harmless */
    _Atomic uint32_t waits;
};

/* max_ns: upper bound, 0 turns spinning off. Environment VGPU_SPIN_US, when set, wins. */
void vgpu_spin_init(struct vgpu_spin *spin, uint32_t max_ns);

/* max_ns for a program that waits for an answer, by the CPUs it may use. */
uint32_t vgpu_spin_answer_ns(void);

/* How long this wait should spin, in ns. */
uint32_t vgpu_spin_budget(struct vgpu_spin *spin);

/* A wait ended after spinning for spun_ns, or slept. */
void vgpu_spin_learn(struct vgpu_spin *spin, uint64_t spun_ns, bool slept);

static inline uint64_t vgpu_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void vgpu_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
