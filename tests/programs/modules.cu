/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

struct triple {
    int a, b, c;
};

extern "C" {
__device__ u32 counter = 7;
__device__ u32 table[64];
__constant__ int weights[4] = {1, 10, 100, 1000};
}

/* Parameters of different sizes and alignments, so that their offsets in the packed buffer show. */
KERNEL params(char small, double real, struct triple three, short word, u64 *out)
{
    out[0] = (u64)(long long)small;
    out[1] = (u64)(long long)(real * 4.0);
    out[2] = (u64)(three.a * weights[0] + three.b * weights[1] + three.c * weights[2]);
    out[3] = (u64)(long long)word;
}

KERNEL use_globals(u32 n)
{
    u32 i = thread_x();

    if (i < n) {
        table[i & 63] = i * (u32)weights[i & 3];
        atomic_add(&counter, 1u);
    }
}

/* Needs the dynamic shared memory given at the launch: reverses one CTA's words. */
KERNEL reverse(u32 *data)
{
    extern __shared__ u32 words[];
    u32 n = cta_dim_x();

    words[tid_x()] = data[cta_x() * n + tid_x()];
    barrier();
    data[cta_x() * n + tid_x()] = words[n - 1 - tid_x()];
}
