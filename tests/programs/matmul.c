/* SPDX-License-Identifier: Apache-2.0 */
/* matmul - tiled matrix product through shared memory, on a size that is no multiple of the tile */
#include "program.h"

#include <math.h>
#include <stdlib.h>

extern const char matmul_ptx[];

#define TILE 16

static float *a, *b, *c;
static double *expected;
static CUdeviceptr device_a, device_b, device_c;
static CUfunction fn;

static void setup(void)
{
    size_t n = program.size, bytes = n * n * sizeof(float);
    uint64_t seed = 2;

    a = host_alloc(bytes);
    b = host_alloc(bytes);
    c = host_alloc(bytes);
    expected = calloc(n * n, sizeof(*expected));
    if (!expected)
        fail("no host memory");
    for (size_t i = 0; i < n * n; i++) {
        a[i] = random_float(&seed, -1, 1);
        b[i] = random_float(&seed, -1, 1);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < n; j++)
                expected[i * n + j] += (double)a[i * n + k] * b[k * n + j];
    device_a = device_copy_of(a, bytes);
    device_b = device_copy_of(b, bytes);
    device_c = device_alloc(bytes);
    fn = kernel("matmul");
    details("n=%zu", n);
}

static void job(void)
{
    unsigned int n = (unsigned int)program.size, tiles = (n + TILE - 1) / TILE;
    size_t bytes = program.size * program.size * sizeof(float);

    CHECK(cuMemsetD32(device_c, 0x7fc00000, program.size * program.size));
    CHECK(cuLaunchKernel(fn, tiles, tiles, 1, TILE, TILE, 1, 0, NULL,
                         PARAMS(&device_a, &device_b, &device_c, &n), NULL));
    CHECK(cuMemcpyDtoH(c, device_c, bytes));
}

static void check(void)
{
    /* n products of magnitude <= 1, each step rounded to half an ulp of a sum below n. */
    double n = (double)program.size, bound = n * n * 0x1p-24;

    for (size_t i = 0; i < program.size * program.size; i++)
        if (!(fabs(c[i] - expected[i]) <= bound))
            fail("c[%zu] is %.9g, expected %.9g", i, c[i], expected[i]);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_a));
    CHECK(cuMemFree(device_b));
    CHECK(cuMemFree(device_c));
    free(a);
    free(b);
    free(c);
    free(expected);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "matmul",
        .usage = "--size: rows of the square matrices",
        .ptx = matmul_ptx,
        .default_size = 150,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
