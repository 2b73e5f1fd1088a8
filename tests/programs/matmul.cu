/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#define TILE 16

/* c = a * b for square row-major matrices of any size; the edge tiles are padded with zeros. */
KERNEL __launch_bounds__(TILE *TILE) matmul(const float *a, const float *b, float *c, u32 n)
{
    __shared__ float tile_a[TILE][TILE];
    __shared__ float tile_b[TILE][TILE];
    u32 x = tid_x(), y = tid_y();
    u32 column = cta_x() * TILE + x, row = cta_y() * TILE + y;
    float sum = 0.0f;

    for (u32 start = 0; start < n; start += TILE) {
        tile_a[y][x] = row < n && start + x < n ? a[row * n + start + x] : 0.0f;
        tile_b[y][x] = column < n && start + y < n ? b[(start + y) * n + column] : 0.0f;
        barrier();
        for (u32 k = 0; k < TILE; k++)
            sum = __builtin_fmaf(tile_a[y][k], tile_b[k][x], sum);
        barrier();
    }
    if (row < n && column < n)
        c[row * n + column] = sum;
}
