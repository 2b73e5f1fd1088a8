/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/transport/spin.h"

#include <sched.h>
#include <stdlib.h>

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
    atomic_init(&spin->budget_ns, max_ns / 4);
}

void vgpu_spin_learn(struct vgpu_spin *spin, uint64_t waited_ns)
{
    int64_t budget = atomic_load_explicit(&spin->budget_ns, memory_order_relaxed);

    if (waited_ns <= spin->max_ns) {
        int64_t target = (int64_t)waited_ns * 2 + 500;
        if (target > spin->max_ns)
            target = spin->max_ns;
        budget += (target - budget) / 4;
    } else {
        budget -= (budget + 7) / 8;
    }
    atomic_store_explicit(&spin->budget_ns, (uint32_t)budget, memory_order_relaxed);
}
