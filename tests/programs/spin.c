/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin - keeps the GPU busy for a given time, to be slowed, frozen or killed in mid-launch
 *
 * Mode "launches" (default): kernels of about --size rounds, one after the other. Mode "hang": one
 * kernel that does not end by itself; the program reports that it runs ("NAME: running"), waits for
 * it, and ends only with the error that taking it off the GPU gives, status 3.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char spin_ptx[];

#define THREADS 256u

static CUdeviceptr device_out;
static CUfunction fn;
static uint32_t seed, got[THREADS], expected[THREADS];

__attribute__((noreturn)) static void hang(void)
{
    CUdeviceptr stop = device_alloc(sizeof(uint32_t));
    CUresult result;

    CHECK(cuMemsetD32(stop, 0, 1));
    CHECK(cuLaunchKernel(kernel("hang"), 1, 1, 1, 32, 1, 1, 0, NULL, PARAMS(&stop), NULL));
    printf("%s: running\n", program.name);
    fflush(stdout);
    result = cuCtxSynchronize();
    printf("%s: ended with %s (%d)\n", program.name, result_name(result), result);
    fflush(stdout);
    exit(result == CUDA_SUCCESS ? 1 : 3);
}

static void setup(void)
{
    if (program.mode && strcmp(program.mode, "hang") == 0)
        hang();
    if (program.mode && strcmp(program.mode, "launches") != 0)
        fail("no such mode: %s", program.mode);
    device_out = device_alloc(sizeof(got));
    fn = kernel("spin");
    details("rounds=%zu", program.size);
}

static void job(void)
{
    uint32_t rounds = (uint32_t)program.size;

    seed++;
    CHECK(cuMemsetD32(device_out, 0, THREADS));
    CHECK(cuLaunchKernel(fn, THREADS / 64, 1, 1, 64, 1, 1, 0, NULL,
                         PARAMS(&device_out, &seed, &rounds), NULL));
    CHECK(cuMemcpyDtoH(got, device_out, sizeof(got)));
}

static void check(void)
{
    /* x -> a x + c, `rounds` times, is itself such a map: square and multiply finds it. */
    uint32_t factor = 1, sum = 0, a = 1664525u, c = 1013904223u;

    for (uint32_t left = (uint32_t)program.size; left; left >>= 1) {
        if (left & 1) {
            sum = sum * a + c;
            factor *= a;
        }
        c = c * a + c;
        a *= a;
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        expected[i] = factor * (seed + i) + sum;
        if (got[i] != expected[i])
            fail("thread %u ended at %u, expected %u", i, got[i], expected[i]);
    }
}

static void teardown(void)
{
    CHECK(cuMemFree(device_out));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "spin",
        .usage = "--size: rounds per kernel; --mode launches|hang",
        .ptx = spin_ptx,
        .default_size = 20000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
