/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

KERNEL vecadd(const float *a, const float *b, float *c, u32 n)
{
    u32 i = thread_x();

    if (i < n)
        c[i] = a[i] + b[i];
}
