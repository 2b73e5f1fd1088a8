/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

KERNEL add_value(u32 *data, u32 value, u32 n)
{
    u32 i = thread_x();

    if (i < n)
        data[i] += value;
}
