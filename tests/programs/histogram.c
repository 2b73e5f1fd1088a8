/* SPDX-License-Identifier: Apache-2.0 */
/* histogram - byte counts by atomics in shared, then in global memory */
#include "program.h"

#include <stdlib.h>
#include <string.h>

extern const char histogram_ptx[];

#define BINS 256

static uint32_t expected[BINS], got[BINS];
static CUdeviceptr device_in, device_bins;
static CUfunction fn;

static void setup(void)
{
    uint8_t *in = host_alloc(program.size);
    uint64_t seed = 4;

    /* The product of two bytes' high halves leans to small values, so that lanes collide. */
    for (size_t i = 0; i < program.size; i++) {
        uint32_t r = random_u32(&seed);

        in[i] = (uint8_t)(((r >> 24) * (r >> 16 & 0xff)) >> 8);
        expected[in[i]]++;
    }
    device_in = device_copy_of(in, program.size);
    device_bins = device_alloc(sizeof(got));
    fn = kernel("histogram");
    free(in);
    details("n=%zu", program.size);
}

static void job(void)
{
    unsigned int n = (unsigned int)program.size;

    CHECK(cuMemsetD32(device_bins, 0, BINS));
    launch_1d(fn, NULL, (program.size + 15) / 16, 192, PARAMS(&device_in, &device_bins, &n));
    CHECK(cuMemcpyDtoH(got, device_bins, sizeof(got)));
}

static void check(void)
{
    for (int i = 0; i < BINS; i++)
        if (got[i] != expected[i])
            fail("bin %d holds %u, expected %u", i, got[i], expected[i]);
}

static void teardown(void)
{
    CHECK(cuMemFree(device_in));
    CHECK(cuMemFree(device_bins));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "histogram",
        .usage = "--size: bytes to count",
        .ptx = histogram_ptx,
        .default_size = 1 << 20,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
