/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define BLOCK 256

/* Inclusive prefix sum inside each run of 256 words; the runs' totals go to totals[]. */
KERNEL __launch_bounds__(BLOCK) scan_block(const u32 *in, u32 *out, u32 *totals, u32 n)
{
    __shared__ u32 warp_total[BLOCK / 32];
    u32 i = cta_x() * BLOCK + tid_x();
    u32 lane = tid_x() & 31, warp = tid_x() >> 5;
    u32 value = i < n ? in[i] : 0;

    for (u32 delta = 1; delta < 32; delta <<= 1) {
        u32 other = shfl_up(value, delta);

        if (lane >= delta)
            value += other;
    }
    if (lane == 31)
        warp_total[warp] = value;
    barrier();
    for (u32 w = 0; w < warp; w++)
        value += warp_total[w];
    if (i < n)
        out[i] = value;
    if (tid_x() == BLOCK - 1)
        totals[cta_x()] = value;
}

/* Adds the total of everything before each run of 256, taken from the scanned totals. */
KERNEL __launch_bounds__(BLOCK) scan_add(u32 *out, const u32 *totals, u32 n)
{
    u32 i = cta_x() * BLOCK + tid_x();

    if (cta_x() > 0 && i < n)
        out[i] += totals[cta_x() - 1];
}
