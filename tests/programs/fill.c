/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill - as many small launches as the driver takes, as one neighbour among many would send them
 *
 * A job is --size launches and one synchronisation. Each launch leaves its number; the kernel
 * advances a counter only when its predecessor ran, so lost, doubled and reordered launches all
 * show.
 */
#include "program.h"

#include <stdlib.h>

extern const char fill_ptx[];

#define MARKS 1024u

static CUdeviceptr device_marks, device_last;
static CUfunction fn;
static uint32_t at;
static CUstream stream;

static void setup(void)
{
    device_marks = device_alloc(MARKS * sizeof(uint32_t));
    device_last = device_alloc(sizeof(uint32_t));
    CHECK(cuMemsetD32(device_marks, 0, MARKS));
    CHECK(cuMemsetD32(device_last, 0, 1));
    CHECK(cuStreamCreate(&stream, CU_STREAM_DEFAULT));
    fn = kernel("mark");
    details("launches per job=%zu", program.size);
}

static void job(void)
{
    uint32_t mask = MARKS - 1;

    for (size_t i = 0; i < program.size; i++) {
        at++;
        CHECK(cuLaunchKernel(fn, 1, 1, 1, 32, 1, 1, 0, stream,
                             PARAMS(&device_marks, &device_last, &at, &mask), NULL));
    }
    CHECK(cuStreamSynchronize(stream));
}

static void check(void)
{
    uint32_t last, marks[MARKS];

    CHECK(cuMemcpyDtoH(&last, device_last, sizeof(last)));
    if (last != at)
        fail("launch %u is the last that ran in order, of %u", last, at);
    CHECK(cuMemcpyDtoH(marks, device_marks, sizeof(marks)));
    for (uint32_t i = 0; i < MARKS && i < at; i++)
        if (marks[(at - i) & (MARKS - 1)] != at - i)
            fail("launch %u left %u", at - i, marks[(at - i) & (MARKS - 1)]);
}

static void teardown(void)
{
    CHECK(cuStreamDestroy(stream));
    CHECK(cuMemFree(device_marks));
    CHECK(cuMemFree(device_last));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "fill",
        .usage = "--size: launches per job",
        .ptx = fill_ptx,
        .default_size = 2000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
