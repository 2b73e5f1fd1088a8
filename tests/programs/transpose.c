/* SPDX-License-Identifier: Apache-2.0 */
/* transpose - a matrix that is not square through shared-memory tiles */
#include "program.h"

#include <stdlib.h>

extern const char transpose_ptx[];

#define TILE 32
#define ROWS 8

static uint32_t *in, *out;
static unsigned int width, height;
static CUdeviceptr device_in, device_out;
static CUfunction fn;

static void setup(void)
{
    uint64_t seed = 6;

    width = (unsigned int)program.size;
    height = width * 3 / 4 + 1;
    in = host_alloc((size_t)width * height * sizeof(*in));
    out = host_alloc((size_t)width * height * sizeof(*out));
    for (size_t i = 0; i < (size_t)width * height; i++)
        in[i] = random_u32(&seed);
    device_in = device_copy_of(in, (size_t)width * height * sizeof(*in));
    device_out = device_alloc((size_t)width * height * sizeof(*out));
    fn = kernel("transpose");
    details("%ux%u", width, height);
}

static void job(void)
{
    CHECK(cuMemsetD32(device_out, 0xdeadbeef, (size_t)width * height));
    CHECK(cuLaunchKernel(fn, (width + TILE - 1) / TILE, (height + TILE - 1) / TILE, 1, TILE, ROWS,
                         1, 0, NULL, PARAMS(&device_in, &device_out, &width, &height), NULL));
    CHECK(cuMemcpyDtoH(out, device_out, (size_t)width * height * sizeof(*out)));
}

static void check(void)
{
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            if (out[x * height + y] != in[y * width + x])
                fail("out[%zu][%zu] is %#x, expected %#x", x, y, out[x * height + y],
                     in[y * width + x]);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_in));
    CHECK(cuMemFree(device_out));
    free(in);
    free(out);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "transpose",
        .usage = "--size: columns; there are three quarters as many rows",
        .ptx = transpose_ptx,
        .default_size = 1000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
