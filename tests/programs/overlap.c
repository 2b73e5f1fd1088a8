/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlap - several streams copying and computing at once, ordered by events
 *
 * Each stream takes chunks from pinned memory, mixes them and copies them back. Then every stream
 * folds in the chunk of its neighbour after waiting for the neighbour's event: without that wait
 * the result is wrong.
 */
#include "program.h"

#include <stdlib.h>
#include <string.h>

extern const char overlap_ptx[];

#define STREAMS 4
#define ROUNDS 8u

static uint32_t *pinned_in, *pinned_mixed, *pinned_folded;
static uint32_t *expected_mixed, *expected_folded;
static CUdeviceptr device_mixed, device_folded;
static CUstream streams[STREAMS];
static CUevent mixed[STREAMS], begin, end;
static CUfunction mix, fold;
static size_t chunk; /* words per stream */
static int host_calls;
static bool no_host_calls;

static void on_host(void *calls)
{
    __atomic_add_fetch((int *)calls, 1, __ATOMIC_SEQ_CST);
}

static void setup(void)
{
    size_t bytes;
    uint64_t seed = 9;

    chunk = (program.size + STREAMS - 1) / STREAMS;
    bytes = chunk * STREAMS * sizeof(uint32_t);
    CHECK(cuMemAllocHost((void **)&pinned_in, bytes));
    CHECK(cuMemHostAlloc((void **)&pinned_mixed, bytes, CU_MEMHOSTALLOC_PORTABLE));
    CHECK(cuMemHostAlloc((void **)&pinned_folded, bytes, 0));
    expected_mixed = host_alloc(bytes);
    expected_folded = host_alloc(bytes);
    for (size_t i = 0; i < chunk * STREAMS; i++) {
        uint32_t x = pinned_in[i] = random_u32(&seed);

        for (unsigned int r = 0; r < ROUNDS; r++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
        }
        expected_mixed[i] = x;
    }
    for (size_t s = 0; s < STREAMS; s++)
        for (size_t i = 0; i < chunk; i++)
            expected_folded[s * chunk + i] =
                expected_mixed[s * chunk + i] * 31u + expected_mixed[(s + 1) % STREAMS * chunk + i];
    device_mixed = device_alloc(bytes);
    device_folded = device_alloc(bytes);
    for (int s = 0; s < STREAMS; s++) {
        CHECK(cuStreamCreate(&streams[s], CU_STREAM_NON_BLOCKING));
        CHECK(cuEventCreate(&mixed[s], CU_EVENT_DISABLE_TIMING));
    }
    CHECK(cuEventCreate(&begin, CU_EVENT_DEFAULT));
    CHECK(cuEventCreate(&end, CU_EVENT_BLOCKING_SYNC));
    mix = kernel("mix");
    fold = kernel("fold");
    details("words=%zu streams=%d", chunk * STREAMS, STREAMS);
}

static void job(void)
{
    unsigned int n = (unsigned int)chunk, rounds = ROUNDS;
    size_t bytes = chunk * sizeof(uint32_t);
    float ms = -1;

    memset(pinned_mixed, 0, bytes * STREAMS);
    memset(pinned_folded, 0, bytes * STREAMS);
    host_calls = 0;
    CHECK(cuEventRecord(begin, streams[0]));
    for (int s = 0; s < STREAMS; s++) {
        CUdeviceptr at = device_mixed + (CUdeviceptr)s * bytes;

        CHECK(cuMemsetD8Async(device_folded + (CUdeviceptr)s * bytes, 0xff, bytes, streams[s]));
        CHECK(cuMemcpyHtoDAsync(at, pinned_in + (size_t)s * chunk, bytes, streams[s]));
        launch_1d(mix, streams[s], chunk, 128, PARAMS(&at, &n, &rounds));
        CHECK(cuEventRecord(mixed[s], streams[s]));
        CHECK(cuMemcpyDtoHAsync(pinned_mixed + (size_t)s * chunk, at, bytes, streams[s]));
    }
    for (int s = 0; s < STREAMS; s++) {
        CUdeviceptr own = device_mixed + (CUdeviceptr)s * bytes;
        CUdeviceptr into = device_folded + (CUdeviceptr)s * bytes;
        CUdeviceptr other = device_mixed + (CUdeviceptr)((s + 1) % STREAMS) * bytes;

        CHECK(cuMemcpyDtoDAsync(into, own, bytes, streams[s]));
        CHECK(cuStreamWaitEvent(streams[s], mixed[(s + 1) % STREAMS], CU_EVENT_WAIT_DEFAULT));
        launch_1d(fold, streams[s], chunk, 128, PARAMS(&into, &other, &n));
        CHECK(cuMemcpyDtoHAsync(pinned_folded + (size_t)s * chunk, into, bytes, streams[s]));
        CUresult result = cuLaunchHostFunc(streams[s], on_host, &host_calls);
        if (result == CUDA_ERROR_NOT_SUPPORTED) /* a mediated GPU may refuse it */
            no_host_calls = true;
        else
            CHECK(result);
    }
    /* The last event follows everything: stream 0 waits for all the others. */
    for (int s = 1; s < STREAMS; s++) {
        CHECK(cuEventRecord(mixed[s], streams[s]));
        CHECK(cuStreamWaitEvent(streams[0], mixed[s], CU_EVENT_WAIT_DEFAULT));
    }
    CHECK(cuEventRecord(end, streams[0]));
    CHECK(cuEventSynchronize(end));
    CHECK(cuEventQuery(end));
    CHECK(cuEventElapsedTime(&ms, begin, end));
    if (!(ms >= 0))
        fail("%.3f ms passed between two events in order", ms);
    for (int s = 0; s < STREAMS; s++)
        CHECK(cuStreamQuery(streams[s]));
}

static void check(void)
{
    for (size_t i = 0; i < chunk * STREAMS; i++) {
        if (pinned_mixed[i] != expected_mixed[i])
            fail("word %zu mixed is %#x, expected %#x", i, pinned_mixed[i], expected_mixed[i]);
        if (pinned_folded[i] != expected_folded[i])
            fail("word %zu folded is %#x, expected %#x", i, pinned_folded[i], expected_folded[i]);
    }
    if (!no_host_calls && host_calls != STREAMS)
        fail("%d host functions ran, expected %d", host_calls, STREAMS);
}

static void teardown(void)
{
    for (int s = 0; s < STREAMS; s++) {
        CHECK(cuStreamDestroy(streams[s]));
        CHECK(cuEventDestroy(mixed[s]));
    }
    CHECK(cuEventDestroy(begin));
    CHECK(cuEventDestroy(end));
    CHECK(cuMemFree(device_mixed));
    CHECK(cuMemFree(device_folded));
    CHECK(cuMemFreeHost(pinned_in));
    CHECK(cuMemFreeHost(pinned_mixed));
    CHECK(cuMemFreeHost(pinned_folded));
    free(expected_mixed);
    free(expected_folded);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "overlap",
        .usage = "--size: 32-bit words in all",
        .ptx = overlap_ptx,
        .default_size = 200000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
