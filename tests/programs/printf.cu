/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

extern "C" __device__ int printf(const char *format, ...);

KERNEL print_lines(int count)
{
    int i = (int)thread_x();

    if (i < count)
        printf("line %d: %s %c %u %x %5.2f %lld %%\n", i, i & 1 ? "odd" : "even", 'a' + i % 26,
               i * 3u, i * 17u, i * 0.25, -(long long)i * 4294967296ll);
}
