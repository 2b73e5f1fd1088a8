/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

struct totals {
    u64 sum;
    u32 max;
    u32 pad;
};

/*
 * Sum and maximum of n words, added into *out, which the caller clears. Lanes combine by shuffles,
 * warps through shared memory, CTAs through global atomics.
 */
KERNEL reduce(const u32 *in, struct totals *out, u32 n)
{
    __shared__ u64 warp_sum[32];
    __shared__ u32 warp_max[32];
    u32 lane = tid_x() & 31, warp = tid_x() >> 5;
    u64 sum = 0;
    u32 max = 0;

    for (u32 i = thread_x(); i < n; i += stride_x()) {
        sum += in[i];
        max = in[i] > max ? in[i] : max;
    }
    for (u32 delta = 16; delta; delta >>= 1) {
        u64 other = (u64)shfl_down((u32)(sum >> 32), delta) << 32 | shfl_down((u32)sum, delta);
        u32 other_max = shfl_down(max, delta);

        sum += other;
        max = other_max > max ? other_max : max;
    }
    if (lane == 0) {
        warp_sum[warp] = sum;
        warp_max[warp] = max;
    }
    barrier();
    if (tid_x() == 0) {
        for (u32 i = 1; i < cta_dim_x() / 32; i++) {
            sum += warp_sum[i];
            max = warp_max[i] > max ? warp_max[i] : max;
        }
        atomic_add(&out->sum, sum);
        atomic_max(&out->max, max);
    }
}
