/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define TILE 32
#define ROWS 8

/* out (width x height) = transpose of in (height x width); CTAs of 32 x 8 threads move 32 x 32
 * tiles. */
KERNEL __launch_bounds__(TILE *ROWS) transpose(const u32 *in, u32 *out, u32 width, u32 height)
{
    __shared__ u32 tile[TILE][TILE + 1];
    u32 x = cta_x() * TILE + tid_x();
    u32 y = cta_y() * TILE + tid_y();

    for (u32 j = 0; j < TILE; j += ROWS)
        if (x < width && y + j < height)
            tile[tid_y() + j][tid_x()] = in[(y + j) * width + x];
    barrier();
    x = cta_y() * TILE + tid_x();
    y = cta_x() * TILE + tid_y();
    for (u32 j = 0; j < TILE; j += ROWS)
        if (x < height && y + j < width)
            out[(y + j) * height + x] = tile[tid_x()][tid_y() + j];
}
