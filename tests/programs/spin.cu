/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

/* A dependent chain of `rounds` steps of a linear congruential generator, per thread. */
KERNEL spin(u32 *out, u32 seed, u32 rounds)
{
    u32 x = seed + thread_x();

    for (u32 r = 0; r < rounds; r++) {
        x = x * 1664525u + 1013904223u;
        asm volatile("" : "+r"(x)); /* or the optimiser folds several steps into one */
    }
    out[thread_x()] = x;
}

/* Ends when *stop becomes non-zero; whoever wants it gone earlier must take it off the GPU. */
KERNEL hang(volatile u32 *stop)
{
    while (*stop == 0)
        ;
}
