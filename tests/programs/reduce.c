/* SPDX-License-Identifier: Apache-2.0 */
/* reduce - exact sum and maximum by warp shuffles, shared memory and 64-bit atomics */
#include "program.h"

#include <stdlib.h>

extern const char reduce_ptx[];

struct totals {
    uint64_t sum;
    uint32_t max;
    uint32_t pad;
};

static struct totals expected, got;
static CUdeviceptr device_in, device_out;
static CUfunction fn;

static void setup(void)
{
    uint32_t *in = host_alloc(program.size * sizeof(*in));
    uint64_t seed = 3;

    for (size_t i = 0; i < program.size; i++) {
        in[i] = random_u32(&seed);
        expected.sum += in[i];
        expected.max = in[i] > expected.max ? in[i] : expected.max;
    }
    device_in = device_copy_of(in, program.size * sizeof(*in));
    device_out = device_alloc(sizeof(got));
    fn = kernel("reduce");
    free(in);
    details("n=%zu sum=%llu", program.size, (unsigned long long)expected.sum);
}

static void job(void)
{
    unsigned int n = (unsigned int)program.size;

    CHECK(cuMemsetD8(device_out, 0, sizeof(got)));
    /* Four words per thread, so that the grid-stride loop runs too. */
    launch_1d(fn, NULL, (program.size + 3) / 4, 256, PARAMS(&device_in, &device_out, &n));
    CHECK(cuMemcpyDtoH(&got, device_out, sizeof(got)));
}

static void check(void)
{
    if (got.sum != expected.sum || got.max != expected.max)
        fail("sum %llu max %u, expected sum %llu max %u", (unsigned long long)got.sum, got.max,
             (unsigned long long)expected.sum, expected.max);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_in));
    CHECK(cuMemFree(device_out));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "reduce",
        .usage = "--size: 32-bit words",
        .ptx = reduce_ptx,
        .default_size = 1 << 20,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
