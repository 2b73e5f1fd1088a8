/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

/* A few rounds of a 32-bit mixing function, so that a chunk computes about as long as it copies. */
KERNEL mix(u32 *data, u32 n, u32 rounds)
{
    u32 i = thread_x();

    if (i >= n)
        return;
    u32 x = data[i];

    for (u32 r = 0; r < rounds; r++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    data[i] = x;
}

/* Folds one chunk into another: wrong unless both chunks are finished when it runs. */
KERNEL fold(u32 *into, const u32 *from, u32 n)
{
    u32 i = thread_x();

    if (i < n)
        into[i] = into[i] * 31u + from[i];
}
