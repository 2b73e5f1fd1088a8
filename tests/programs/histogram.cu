/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define BINS 256

/* Counts byte values into bins[256], which the caller clears; launch with at least 1 thread per
 * CTA. */
KERNEL histogram(const u8 *in, u32 *bins, u32 n)
{
    __shared__ u32 local[BINS];

    for (u32 i = tid_x(); i < BINS; i += cta_dim_x())
        local[i] = 0;
    barrier();
    for (u32 i = thread_x(); i < n; i += stride_x())
        atomic_add(&local[in[i]], 1u);
    barrier();
    for (u32 i = tid_x(); i < BINS; i += cta_dim_x())
        if (local[i])
            atomic_add(&bins[i], local[i]);
}
