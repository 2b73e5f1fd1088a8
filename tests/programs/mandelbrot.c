/* SPDX-License-Identifier: Apache-2.0 */
/* mandelbrot - divergent loops; the counts must equal the CPU's exactly */
#include "program.h"

#include <stdlib.h>

extern const char mandelbrot_ptx[];

#define LIMIT 256u

static uint32_t *expected, *got;
static unsigned int width, height;
static const float left = -2.2f, top = -1.2f;
static float step;
static CUdeviceptr device_out;
static CUfunction fn;

static uint32_t iterations(float cx, float cy)
{
    float x = 0, y = 0;
    uint32_t n;

    for (n = 0; n < LIMIT; n++) {
        float xx = x * x, yy = y * y;

        if (xx + yy > 4.0f)
            break;
        y = 2.0f * x * y + cy;
        x = xx - yy + cx;
    }
    return n;
}

static void setup(void)
{
    size_t bytes;

    width = (unsigned int)program.size;
    height = width * 3 / 4 + 1;
    step = 3.2f / (float)width;
    bytes = (size_t)width * height * sizeof(*got);
    expected = host_alloc(bytes);
    got = host_alloc(bytes);
    for (unsigned int y = 0; y < height; y++)
        for (unsigned int x = 0; x < width; x++)
            expected[(size_t)y * width + x] =
                iterations(left + (float)x * step, top + (float)y * step);
    device_out = device_alloc(bytes);
    fn = kernel("mandelbrot");
    details("%ux%u limit=%u", width, height, LIMIT);
}

static void job(void)
{
    unsigned int limit = LIMIT;
    float l = left, t = top, s = step;

    CHECK(cuLaunchKernel(fn, (width + 15) / 16, (height + 15) / 16, 1, 16, 16, 1, 0, NULL,
                         PARAMS(&device_out, &width, &height, &l, &t, &s, &limit), NULL));
    CHECK(cuMemcpyDtoH(got, device_out, (size_t)width * height * sizeof(*got)));
}

static void check(void)
{
    for (size_t i = 0; i < (size_t)width * height; i++)
        if (got[i] != expected[i])
            fail("pixel %zu,%zu took %u iterations, expected %u", i % width, i / width, got[i],
                 expected[i]);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_out));
    free(expected);
    free(got);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "mandelbrot",
        .usage = "--size: columns of the image; there are three quarters as many rows",
        .ptx = mandelbrot_ptx,
        .default_size = 200,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
