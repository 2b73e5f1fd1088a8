/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/programs/device.h"

/* A dependent chain of `rounds` steps per thread: its time is proportional to rounds. */
KERNEL spin(u32 *out, u32 seed, u32 rounds)
{
    u32 x = seed + thread_x();

    for (u32 r = 0; r < rounds; r++) {
        x = x * 1664525u + 1013904223u;
        asm volatile("" : "+r"(x)); /* or the optimiser folds several steps into one */
    }
    out[thread_x()] = x;
}
