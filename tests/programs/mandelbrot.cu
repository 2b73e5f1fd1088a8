/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

/*
 * Iterations until |z| > 2, for each pixel of a width x height image. Built without contraction to
 * fused multiply-add, so that the counts equal the CPU's exactly.
 */
KERNEL mandelbrot(u32 *out, u32 width, u32 height, float left, float top, float step, u32 limit)
{
    u32 px = thread_x(), py = thread_y();

    if (px >= width || py >= height)
        return;
    float cx = left + (float)px * step, cy = top + (float)py * step;
    float x = 0.0f, y = 0.0f;
    u32 n = 0;

    while (n < limit) {
        float xx = x * x, yy = y * y;

        if (xx + yy > 4.0f)
            break;
        y = 2.0f * x * y + cy;
        x = xx - yy + cx;
        n++;
    }
    out[py * width + px] = n;
}
