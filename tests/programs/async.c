/* SPDX-License-Identifier: Apache-2.0 */
/*
 * async - functions of the program in stream order, waits for values in memory
 *
 * A job is --size rounds of work, a host function that looks at what the work has left in pinned
 * memory, and work again: it shows functions that run early, late, twice or not at all.
 */
#include "program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static CUstream stream, side;
static uint32_t *word; /* pinned */
static CUdeviceptr memory;
static uint32_t seen[4096], calls;
static atomic_uint callbacks;
static pthread_t caller;

/* The work before has written the round's number; the work behind may not have run yet. */
static void look(void *data)
{
    uint32_t round = (uint32_t)(uintptr_t)data;

    caller = pthread_self();
    if (round % 16 == 0)
        usleep(500);
    seen[round] = *word;
    calls++;
}

static void called_back(CUstream from, CUresult status, void *data)
{
    if (from == stream && status == CUDA_SUCCESS && data == &callbacks)
        atomic_fetch_add(&callbacks, 1);
}

static void job(void)
{
    calls = 0;
    for (uint32_t i = 0; i < program.size; i++) {
        CHECK(cuMemsetD32Async(memory, i + 1, 1, stream));
        CHECK(cuMemcpyDtoHAsync(word, memory, sizeof(*word), stream));
        CHECK(cuLaunchHostFunc(stream, look, (void *)(uintptr_t)i));
        CHECK(cuMemsetD32Async(memory, 0, 1, stream));
        CHECK(cuMemcpyDtoHAsync(word, memory, sizeof(*word), stream));
    }
    CHECK(cuStreamSynchronize(stream));
}

static void check(void)
{
    if (calls != program.size)
        fail("%u functions ran, not %zu", calls, program.size);
    for (uint32_t i = 0; i < program.size; i++)
        if (seen[i] != i + 1)
            fail("function %u saw %u", i, seen[i]);
    REQUIRE(!pthread_equal(caller, pthread_self()));
}

/* A function in a graph runs with each launch of it. */
static void captured(void)
{
    CUgraphNodeType type;
    CUgraphNode node;
    CUgraphExec exec;
    CUgraph graph;
    size_t count = 1;

    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK(cuLaunchHostFunc(stream, look, (void *)(uintptr_t)7));
    CHECK(cuStreamEndCapture(stream, &graph));
    CHECK(cuGraphGetNodes(graph, &node, &count));
    CHECK(cuGraphNodeGetType(node, &type));
    REQUIRE(type == CU_GRAPH_NODE_TYPE_HOST);
    CHECK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    CHECK(cuGraphDestroy(graph));
    calls = 0;
    for (int i = 0; i < 3; i++)
        CHECK(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream));
    CHECK(cuGraphExecDestroy(exec));
    REQUIRE(calls == 3);
}

static void values(void)
{
    /* One stream waits for what the other writes, then for what the program writes. */
    *word = 0;
    CHECK(cuMemsetD32(memory, 0, 2));
    CHECK(cuStreamWaitValue32(stream, memory, 5, CU_STREAM_WAIT_VALUE_GEQ));
    CHECK(cuMemcpyDtoHAsync(word, memory, sizeof(*word), stream));
    CHECK(cuStreamWriteValue32(side, memory, 6, 0));
    CHECK(cuStreamSynchronize(stream));
    REQUIRE(*word == 6);

    uint64_t *wide = (uint64_t *)(word + 2);
    *wide = 0;
    CHECK(cuStreamWaitValue64(stream, (CUdeviceptr)wide, 1ull << 40, CU_STREAM_WAIT_VALUE_EQ));
    CHECK(cuStreamWriteValue64(stream, (CUdeviceptr)wide, 1ull << 41, 0));
    usleep(2000);
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
    __atomic_store_n(wide, 1ull << 40, __ATOMIC_RELEASE);
    CHECK(cuStreamSynchronize(stream));
    REQUIRE(*wide == 1ull << 41);
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuStreamWaitValue32(stream, memory + 2, 0, CU_STREAM_WAIT_VALUE_EQ));
}

static void setup(void)
{
    if (program.size > sizeof(seen) / sizeof(seen[0]))
        fail("--size is at most %zu", sizeof(seen) / sizeof(seen[0]));
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK(cuStreamCreate(&side, CU_STREAM_NON_BLOCKING));
    CHECK(cuMemAllocHost((void **)&word, 4096));
    memory = device_alloc(64);
    captured();
    values();
    for (int i = 0; i < 3; i++)
        CHECK(cuStreamAddCallback(stream, called_back, &callbacks, 0));
    CHECK(cuStreamSynchronize(stream));
    REQUIRE(atomic_load(&callbacks) == 3);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc(stream, NULL, NULL));
    details("functions per job=%zu", program.size);
}

static void teardown(void)
{
    CHECK(cuStreamDestroy(stream));
    CHECK(cuStreamDestroy(side));
    CHECK(cuMemFreeHost(word));
    CHECK(cuMemFree(memory));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "async",
        .usage = "--size: host functions per job",
        .default_size = 64,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
