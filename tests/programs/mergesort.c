/* SPDX-License-Identifier: Apache-2.0 */
/* mergesort - stable sort of keys with values: shared-memory runs, then merges by bisection */
#include "program.h"

#include <stdlib.h>
#include <string.h>

extern const char mergesort_ptx[];

#define RUN 256

static uint32_t *keys, *values, *got_keys, *got_values;
static uint64_t *expected;                           /* key << 32 | value */
static CUdeviceptr device_keys[3], device_values[3]; /* 0: input; 1, 2: taking turns */
static CUfunction sort_runs, merge_runs;

static int by_item(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void setup(void)
{
    size_t n = program.size, bytes = n * sizeof(uint32_t);
    uint64_t seed = 8;

    keys = host_alloc(bytes);
    values = host_alloc(bytes);
    got_keys = host_alloc(bytes);
    got_values = host_alloc(bytes);
    expected = host_alloc(n * sizeof(*expected));
    for (size_t i = 0; i < n; i++) {
        keys[i] = random_u32(&seed) % (uint32_t)(n / 4 + 1); /* few enough that some are equal */
        values[i] = (uint32_t)i;
        expected[i] = (uint64_t)keys[i] << 32 | values[i];
    }
    qsort(expected, n, sizeof(*expected), by_item);
    device_keys[0] = device_copy_of(keys, bytes);
    device_values[0] = device_copy_of(values, bytes);
    for (int i = 1; i < 3; i++) {
        device_keys[i] = device_alloc(bytes);
        device_values[i] = device_alloc(bytes);
    }
    sort_runs = kernel("sort_runs");
    merge_runs = kernel("merge_runs");
    details("n=%zu", n);
}

static void job(void)
{
    size_t bytes = program.size * sizeof(uint32_t);
    unsigned int n = (unsigned int)program.size;
    int from = 1, to = 2;

    CHECK(cuLaunchKernel(
        sort_runs, (n + RUN - 1) / RUN, 1, 1, RUN / 2, 1, 1, 0, NULL,
        PARAMS(&device_keys[0], &device_values[0], &device_keys[from], &device_values[from], &n),
        NULL));
    for (unsigned int run = RUN; run < n; run *= 2) {
        launch_1d(merge_runs, NULL, n, 256,
                  PARAMS(&device_keys[from], &device_values[from], &device_keys[to],
                         &device_values[to], &run, &n));
        from = 3 - from;
        to = 3 - to;
    }
    CHECK(cuMemcpyDtoH(got_keys, device_keys[from], bytes));
    CHECK(cuMemcpyDtoH(got_values, device_values[from], bytes));
}

static void check(void)
{
    for (size_t i = 0; i < program.size; i++)
        if (got_keys[i] != expected[i] >> 32 || got_values[i] != (uint32_t)expected[i])
            fail("item %zu is %u/%u, expected %u/%u", i, got_keys[i], got_values[i],
                 (uint32_t)(expected[i] >> 32), (uint32_t)expected[i]);
}

static void teardown(void)
{
    for (int i = 0; i < 3; i++) {
        CHECK(cuMemFree(device_keys[i]));
        CHECK(cuMemFree(device_values[i]));
    }
    free(keys);
    free(values);
    free(got_keys);
    free(got_values);
    free(expected);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "mergesort",
        .usage = "--size: keys, at most 2^30",
        .ptx = mergesort_ptx,
        .default_size = 30000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
