/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define RUN 256

/* Sorts each run of 256 keys by odd-even merge exchange in shared memory; value breaks ties, so it
 * is stable. */
KERNEL __launch_bounds__(RUN / 2)
    sort_runs(const u32 *keys_in, const u32 *values_in, u32 *keys, u32 *values, u32 n)
{
    __shared__ u64 item[RUN];
    u32 base = cta_x() * RUN;

    for (u32 i = tid_x(); i < RUN; i += RUN / 2)
        item[i] = base + i < n ? (u64)keys_in[base + i] << 32 | values_in[base + i] : ~0ull;
    for (u32 size = 2; size <= RUN; size <<= 1) {
        for (u32 stride = size / 2; stride > 0; stride >>= 1) {
            u32 pos = 2 * tid_x() - (tid_x() & (stride - 1));
            bool up = (pos & size) == 0 || size == RUN;

            barrier();
            u64 a = item[pos], b = item[pos + stride];

            if ((a > b) == up) {
                item[pos] = b;
                item[pos + stride] = a;
            }
        }
    }
    barrier();
    for (u32 i = tid_x(); i < RUN; i += RUN / 2) {
        if (base + i < n) {
            keys[base + i] = (u32)(item[i] >> 32);
            values[base + i] = (u32)item[i];
        }
    }
}

/*
 * Merges pairs of sorted runs of `run` items: each thread finds by bisection how many items of the
 * sibling run precede its own. Items of the left run go before equal ones of the right.
 */
KERNEL merge_runs(const u32 *keys_in, const u32 *values_in, u32 *keys, u32 *values, u32 run, u32 n)
{
    u32 i = thread_x();

    if (i >= n)
        return;
    u32 key = keys_in[i];
    u32 pair = i / (2 * run) * 2 * run;
    bool left = i - pair < run;
    u32 sibling = left ? pair + run : pair;
    u32 low = sibling < n ? sibling : n;
    u32 high = sibling + run < n ? sibling + run : n;
    u32 first = low;

    while (low < high) {
        u32 middle = low + (high - low) / 2;

        if (keys_in[middle] < key || (!left && keys_in[middle] == key))
            low = middle + 1;
        else
            high = middle;
    }
    u32 to = pair + (left ? i - pair : i - pair - run) + (low - first);

    keys[to] = key;
    values[to] = values_in[i];
}
