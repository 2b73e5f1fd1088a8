/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

/* p[0] = p[0] * 10 + digit: the order of work can be read from the result. */
KERNEL digit(u32 *p, u32 d)
{
    p[0] = p[0] * 10 + d;
}

KERNEL add(u32 *p, const u32 *q, u32 n)
{
    u32 i = thread_x();

    if (i < n)
        p[i] += q[i];
}
