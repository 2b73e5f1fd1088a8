/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

KERNEL store(u32 *where, u32 value)
{
    *where = value;
}

KERNEL trap()
{
    asm volatile("trap;");
}
