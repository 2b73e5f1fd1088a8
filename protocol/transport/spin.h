/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin.h - how long to spin before sleeping
 *
 * The budget follows what waits really took: spinning for twice a typical short wait costs less
 * than a sleep and a wake-up; spinning before a long wait only burns a CPU that the other side may
 * need. A wait that ended within max_ns, asleep or not, pulls the budget towards twice its length;
 * a longer one shrinks it by an eighth. With one CPU the budget is always 0.
 */
#ifndef VGPU_TRANSPORT_SPIN_H
#define VGPU_TRANSPORT_SPIN_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#define VGPU_SPIN_DEFAULT_NS 50000u

struct vgpu_spin {
    uint32_t max_ns;
    _Atomic uint32_t budget_ns; /* threads may share it; a lost update is harmless */
};

/* max_ns: upper bound, 0 turns spinning off. Environment VGPU_SPIN_US, when set, wins. */
void vgpu_spin_init(struct vgpu_spin *spin, uint32_t max_ns);

/* Reports how long one wait took in all, spinning and sleeping. */
void vgpu_spin_learn(struct vgpu_spin *spin, uint64_t waited_ns);

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
