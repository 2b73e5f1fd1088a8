/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/spin.h"

#include <sched.h>
#include <stdlib.h>

#define PROBE_EVERY 32
#define MARGIN_NS 1000
#define SPARE_CPUS 4 /* from here on a program may keep one busy while it waits, as CUDA does */
#define SPIN_LIMIT_US 10000ul /* nobody gains from more, and a typing error must not eat a CPU */

void vgpu_spin_init(struct vgpu_spin *spin, uint32_t max_ns)
{
    const char *text = getenv("VGPU_SPIN_US");
    cpu_set_t cpus;

    if (text && *text) {
        char *end;
        unsigned long us = strtoul(text, &end, 10);
        if (!*end)
            max_ns = (uint32_t)((us < SPIN_LIMIT_US ? us : SPIN_LIMIT_US) * 1000);
    }
    /* On one CPU the other side cannot make progress while this one spins. */
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1)
        max_ns = 0;
    spin->max_ns = max_ns;
    atomic_init(&spin->budget_ns, max_ns < VGPU_SPIN_FLOOR_NS ? max_ns : VGPU_SPIN_FLOOR_NS);
    atomic_init(&spin->waits, 0);
}

uint32_t vgpu_spin_answer_ns(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) >= SPARE_CPUS)
        return VGPU_SPIN_ANSWER_NS;
    return VGPU_SPIN_DEFAULT_NS;
}

uint32_t vgpu_spin_budget(struct vgpu_spin *spin)
{
    uint32_t n = atomic_load_explicit(&spin->waits, memory_order_relaxed) + 1;

    atomic_store_explicit(&spin->waits, n, memory_order_relaxed);
    if (n % PROBE_EVERY == 0)
        return spin->max_ns;
    return atomic_load_explicit(&spin->budget_ns, memory_order_relaxed);
}

void vgpu_spin_learn(struct vgpu_spin *spin, uint64_t spun_ns, bool slept)
{
    uint64_t budget = atomic_load_explicit(&spin->budget_ns, memory_order_relaxed);

    if (slept) {
        budget -= (budget + 7) / 8;
    } else {
        uint64_t target = spun_ns * 2 + MARGIN_NS;
        if (target >= budget)
            budget = target;
        else
            budget -= (budget - target) / 16;
    }
    if (budget < VGPU_SPIN_FLOOR_NS)
        budget = VGPU_SPIN_FLOOR_NS;
    if (budget > spin->max_ns)
        budget = spin->max_ns;
    atomic_store_explicit(&spin->budget_ns, (uint32_t)budget, memory_order_relaxed);
}
