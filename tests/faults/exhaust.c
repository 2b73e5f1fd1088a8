/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exhaust - pinned memory until there is none, then again after freeing it
 *
 * The arena is what pinned memory comes from; when it is used up the program must get
 * CUDA_ERROR_OUT_OF_MEMORY, copies must go on, and everything must work once memory was freed.
 */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (1u << 20)
#define CHUNKS_MAX 8192u

static void *chunks[CHUNKS_MAX];

static void copy_round_trip(void)
{
    static uint8_t out[3 << 20], back[sizeof(out)];
    CUdeviceptr device = device_alloc(sizeof(out));

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 31 + (i >> 8));
    CHECK(cuMemcpyHtoD(device, out, sizeof(out)));
    CHECK(cuMemcpyDtoH(back, device, sizeof(back)));
    REQUIRE(memcmp(out, back, sizeof(out)) == 0);
    CHECK(cuMemFree(device));
}

static void job(void)
{
    unsigned count = 0;
    CUresult result = CUDA_SUCCESS;

    while (count < CHUNKS_MAX && (result = cuMemAllocHost(&chunks[count], CHUNK)) == CUDA_SUCCESS) {
        memset(chunks[count], (int)count, CHUNK);
        count++;
    }
    if (count == CHUNKS_MAX)
        fail("%u MiB of pinned memory and no end", count);
    if (result != CUDA_ERROR_OUT_OF_MEMORY)
        fail("the arena is used up and the error is %s", result_name(result));
    copy_round_trip();
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(((uint8_t *)chunks[i])[CHUNK - 1] == (uint8_t)i);
        CHECK(cuMemFreeHost(chunks[i]));
    }
    CHECK(cuMemAllocHost(&chunks[0], CHUNK));
    CHECK(cuMemFreeHost(chunks[0]));
    copy_round_trip();
    details("%u MiB", count);
}

int main(int argc, char **argv)
{
    static const struct program exhaust = {
        .name = "exhaust",
        .usage = "uses up the arena, which VGPU_ARENA_MB makes small",
        .job = job,
    };
    return program_main(&exhaust, argc, argv);
}
