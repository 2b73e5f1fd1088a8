/* SPDX-License-Identifier: Apache-2.0 */
/* scan - inclusive prefix sum: launches that depend on each other at every level of the recursion
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

extern const char scan_ptx[];

#define BLOCK 256
#define LEVELS_MAX 5 /* 256^4 words and more */

static uint32_t *expected, *got;
static CUdeviceptr device_in, level[LEVELS_MAX + 1];
static size_t level_size[LEVELS_MAX + 1];
static int levels;
static CUfunction scan_block, scan_add;

static void setup(void)
{
    size_t bytes = program.size * sizeof(uint32_t);
    uint32_t *in = host_alloc(bytes), sum = 0;
    uint64_t seed = 5;

    expected = host_alloc(bytes);
    got = host_alloc(bytes);
    for (size_t i = 0; i < program.size; i++) {
        in[i] = random_u32(&seed);
        expected[i] = sum += in[i];
    }
    device_in = device_copy_of(in, bytes);
    free(in);
    /* level 0 is the result; level k + 1 holds one total per run of 256 of level k. */
    for (size_t n = program.size;; n = (n + BLOCK - 1) / BLOCK) {
        if (levels == LEVELS_MAX)
            fail("--size %zu is too large", program.size);
        level_size[levels] = n;
        level[levels++] = device_alloc(n * sizeof(uint32_t));
        if (n == 1)
            break;
    }
    level_size[levels] = 1;
    level[levels] = device_alloc(sizeof(uint32_t));
    scan_block = kernel("scan_block");
    scan_add = kernel("scan_add");
    details("n=%zu levels=%d", program.size, levels);
}

static void job(void)
{
    for (int k = 0; k < levels; k++) {
        unsigned int n = (unsigned int)level_size[k];
        CUdeviceptr in = k ? level[k] : device_in;

        launch_1d(scan_block, NULL, n, BLOCK, PARAMS(&in, &level[k], &level[k + 1], &n));
    }
    for (int k = levels - 2; k >= 0; k--) {
        unsigned int n = (unsigned int)level_size[k];

        launch_1d(scan_add, NULL, n, BLOCK, PARAMS(&level[k], &level[k + 1], &n));
    }
    CHECK(cuMemcpyDtoH(got, level[0], program.size * sizeof(uint32_t)));
}

static void check(void)
{
    for (size_t i = 0; i < program.size; i++)
        if (got[i] != expected[i])
            fail("prefix %zu is %u, expected %u", i, got[i], expected[i]);
}

static void teardown(void)
{
    for (int k = 0; k <= levels; k++)
        CHECK(cuMemFree(level[k]));
    CHECK(cuMemFree(device_in));
    free(expected);
    free(got);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "scan",
        .usage = "--size: 32-bit words",
        .ptx = scan_ptx,
        .default_size = 300000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
