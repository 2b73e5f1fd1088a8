/* SPDX-License-Identifier: Apache-2.0 */
/* vecadd - sum of two vectors: the shortest path through every layer */
#include "program.h"

#include <stdlib.h>

extern const char vecadd_ptx[];

static float *a, *b, *c;
static CUdeviceptr device_a, device_b, device_c;
static CUfunction fn;

static void setup(void)
{
    size_t bytes = program.size * sizeof(float);
    uint64_t seed = 1;

    a = host_alloc(bytes);
    b = host_alloc(bytes);
    c = host_alloc(bytes);
    for (size_t i = 0; i < program.size; i++) {
        a[i] = random_float(&seed, -1, 1);
        b[i] = random_float(&seed, -1, 1);
    }
    device_a = device_alloc(bytes);
    device_b = device_alloc(bytes);
    device_c = device_alloc(bytes);
    fn = kernel("vecadd");
    details("n=%zu", program.size);
}

static void job(void)
{
    size_t bytes = program.size * sizeof(float);
    unsigned int n = (unsigned int)program.size;

    CHECK(cuMemcpyHtoD(device_a, a, bytes));
    CHECK(cuMemcpyHtoD(device_b, b, bytes));
    CHECK(cuMemsetD8(device_c, 0xff, bytes));
    launch_1d(fn, NULL, n, 256, PARAMS(&device_a, &device_b, &device_c, &n));
    CHECK(cuMemcpyDtoH(c, device_c, bytes));
}

static void check(void)
{
    for (size_t i = 0; i < program.size; i++)
        if (c[i] != a[i] + b[i])
            fail("c[%zu] is %.9g, expected %.9g", i, c[i], a[i] + b[i]);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_a));
    CHECK(cuMemFree(device_b));
    CHECK(cuMemFree(device_c));
    free(a);
    free(b);
    free(c);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "vecadd",
        .usage = "--size: floats per vector",
        .ptx = vecadd_ptx,
        .default_size = 1 << 20,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
