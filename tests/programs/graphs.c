/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graphs - steps captured from streams and built by hand, replayed, changed and refused
 *
 * A job is --size launches of a captured graph and one synchronisation. Setup goes once through
 * what else frameworks do with graphs: a fork and join over events, copies from pageable and pinned
 * memory, clones, child graphs, updates, and calls that a capture forbids.
 */
#include "program.h"

#include <stdlib.h>

extern const char graphs_ptx[];

#define N 4096u

static CUdeviceptr number, sum, step;
static CUfunction digit, add;
static CUstream stream, side;
static CUevent forked, joined;
static CUgraphExec replay;
static uint32_t launches, *expected;

static uint32_t word(CUdeviceptr at)
{
    uint32_t value;

    CHECK(cuMemcpyDtoH(&value, at, sizeof(value)));
    return value;
}

static void put_digit(CUstream where, uint32_t value)
{
    CHECK(cuLaunchKernel(digit, 1, 1, 1, 1, 1, 1, 0, where, PARAMS(&number, &value), NULL));
}

static void expect_number(uint32_t want, const char *what)
{
    CHECK(cuStreamSynchronize(stream));
    uint32_t got = word(number);
    if (got != want)
        fail("%s left %u, not %u", what, got, want);
    CHECK(cuMemsetD32(number, 0, 1));
}

static CUgraphExec instantiate(CUgraph graph)
{
    CUgraphExec exec;

    CHECK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
}

static void run(CUgraph graph, uint32_t want, const char *what)
{
    CUgraphExec exec = instantiate(graph);

    CHECK(cuGraphLaunch(exec, stream));
    CHECK(cuGraphExecDestroy(exec));
    expect_number(want, what);
}

static void expect_status(CUstream where, CUstreamCaptureStatus want)
{
    CUstreamCaptureStatus status = (CUstreamCaptureStatus)99;

    CHECK(cuStreamIsCapturing(where, &status));
    if (status != want)
        fail("capture status %d, not %d", (int)status, (int)want);
}

/* One stream; the graph knows its nodes and does nothing before it is launched. */
static void chain(void)
{
    CUgraphNode nodes[4];
    CUgraphNodeType type;
    CUstreamCaptureStatus status;
    CUgraph graph, shown = NULL;
    const CUgraphNode *deps = NULL;
    cuuint64_t id = 0, flags;
    size_t count = 0;

    expect_status(stream, CU_STREAM_CAPTURE_STATUS_NONE);
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    expect_status(stream, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    put_digit(stream, 1);
    put_digit(stream, 2);
    put_digit(stream, 3);
    CHECK(cuStreamGetCaptureInfo(stream, &status, &id, &shown, &deps, &count));
    REQUIRE(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && id && shown && deps && count == 1);
    CHECK(cuStreamEndCapture(stream, &graph));
    REQUIRE(graph == shown);
    expect_status(stream, CU_STREAM_CAPTURE_STATUS_NONE);
    expect_number(0, "a capture");

    CHECK(cuGraphGetNodes(graph, NULL, &count));
    REQUIRE(count == 3);
    count = 4;
    CHECK(cuGraphGetNodes(graph, nodes, &count));
    REQUIRE(count == 3 && !nodes[3]);
    CHECK(cuGraphNodeGetType(nodes[1], &type));
    REQUIRE(type == CU_GRAPH_NODE_TYPE_KERNEL);
    CHECK(cuGraphGetRootNodes(graph, NULL, &count));
    REQUIRE(count == 1);
    CHECK(cuGraphGetEdges(graph, NULL, NULL, &count));
    REQUIRE(count == 2);

    CUgraphExec exec = instantiate(graph);
    CHECK(cuGraphExecGetFlags(exec, &flags));
    REQUIRE(!flags);
    CHECK(cuGraphUpload(exec, stream));
    CHECK(cuGraphLaunch(exec, stream));
    CHECK(cuGraphLaunch(exec, stream));
    expect_number(123123, "two launches of a chain");

    /* Other parameters for one node, in the executable graph alone. */
    uint32_t nine = 9;
    CUDA_KERNEL_NODE_PARAMS_v2 params = {.func = digit,
                                         .gridDimX = 1,
                                         .gridDimY = 1,
                                         .gridDimZ = 1,
                                         .blockDimX = 1,
                                         .blockDimY = 1,
                                         .blockDimZ = 1,
                                         .kernelParams = PARAMS(&number, &nine)};
    CHECK(cuGraphExecKernelNodeSetParams_v2(exec, nodes[1], &params));
    CHECK(cuGraphLaunch(exec, stream));
    expect_number(193, "a node with other parameters");
    CHECK(cuGraphNodeSetEnabled(exec, nodes[2], 0));
    CHECK(cuGraphLaunch(exec, stream));
    expect_number(19, "a chain whose end is disabled");

    /* A step of the same shape takes the place of the old one. */
    CUgraph other;
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    put_digit(stream, 4);
    put_digit(stream, 5);
    put_digit(stream, 6);
    CHECK(cuStreamEndCapture(stream, &other));
    CUgraphExecUpdateResultInfo info;
    CHECK(cuGraphExecUpdate(exec, other, &info));
    REQUIRE(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    CHECK(cuGraphDestroy(other));
    CUgraph fewer;
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    put_digit(stream, 4);
    CHECK(cuStreamEndCapture(stream, &fewer));
    EXPECT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, fewer, &info));
    REQUIRE(info.result != CU_GRAPH_EXEC_UPDATE_SUCCESS);
    CHECK(cuGraphDestroy(fewer));
    CHECK(cuGraphExecDestroy(exec));

    /* A clone is a graph of its own. */
    CUgraph clone;
    CUgraphNode twin;
    CHECK(cuGraphClone(&clone, graph));
    CHECK(cuGraphNodeFindInClone(&twin, nodes[2], clone));
    CHECK(cuGraphDestroyNode(twin));
    run(clone, 12, "a clone without its last node");
    run(graph, 123, "the original of a changed clone");

    /* Twice in another graph, which keeps copies. */
    CUgraph outer;
    CUgraphNode first, second;
    CHECK(cuGraphCreate(&outer, 0));
    CHECK(cuGraphAddChildGraphNode(&first, outer, NULL, 0, graph));
    CHECK(cuGraphAddChildGraphNode(&second, outer, &first, 1, clone));
    CHECK(cuGraphDestroy(graph));
    CHECK(cuGraphDestroy(clone));
    run(outer, 12312, "graphs inside a graph");
    CHECK(cuGraphDestroy(outer));
}

/* A second stream joins by an event and comes back. */
static void fork_and_join(void)
{
    CUgraph graph;

    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    put_digit(stream, 1);
    CHECK(cuEventRecord(forked, stream));
    CHECK(cuStreamWaitEvent(side, forked, 0));
    expect_status(side, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    put_digit(side, 2);
    CHECK(cuEventRecord(joined, side));
    CHECK(cuStreamWaitEvent(stream, joined, 0));
    put_digit(stream, 3);
    CHECK(cuStreamEndCapture(stream, &graph));
    expect_status(side, CU_STREAM_CAPTURE_STATUS_NONE);
    /* CUDA_ERROR_CAPTURED_EVENT by the book; driver 580 says CUDA_ERROR_INVALID_VALUE. */
    REQUIRE(cuEventQuery(joined) != CUDA_SUCCESS);
    run(graph, 123, "a fork and join");
    CHECK(cuGraphDestroy(graph));

    /* The events are good for other work again. */
    put_digit(side, 7);
    CHECK(cuEventRecord(joined, side));
    CHECK(cuEventSynchronize(joined));
    CHECK(cuEventQuery(joined));
    expect_number(7, "a stream that was captured");

    /* Work that does not come back spoils the capture. */
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK(cuEventRecord(forked, stream));
    CHECK(cuStreamWaitEvent(side, forked, 0));
    put_digit(side, 2);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(stream, &graph));
    expect_number(0, "a spoiled capture");
}

/* What a capture forbids, and what it allows to those who ask for it. */
static void rules(void)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    CUdeviceptr memory;
    CUgraph graph;

    EXPECT(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
           cuStreamBeginCapture(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    EXPECT(CUDA_ERROR_ILLEGAL_STATE,
           cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    REQUIRE(!graph);

    /* A caching allocator grows during a capture, as PyTorch's does. */
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    put_digit(stream, 5);
    CHECK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(cuMemAlloc(&memory, 1 << 20));
    CHECK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK(cuStreamEndCapture(stream, &graph));
    run(graph, 5, "a capture with an allocation");
    CHECK(cuGraphDestroy(graph));
    CHECK(cuMemFree(memory));
}

/* Copies and fills, of all kinds that a graph can hold. */
static void copies(void)
{
    uint32_t *pinned, pageable[64];
    CUdeviceptr a = device_alloc(sizeof(pageable)), b = device_alloc(sizeof(pageable));
    CUgraph graph;

    CHECK(cuMemAllocHost((void **)&pinned, sizeof(pageable)));
    for (unsigned i = 0; i < 64; i++)
        pageable[i] = 3 * i;
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK(cuMemcpyHtoDAsync(a, pageable, sizeof(pageable), stream));
    CHECK(cuMemsetD32Async(b, 7, 64, stream));
    CHECK(cuMemcpyDtoDAsync(b, a, sizeof(pageable) / 2, stream));
    CHECK(cuMemcpyDtoHAsync(pinned, b, sizeof(pageable), stream));
    CHECK(cuStreamEndCapture(stream, &graph));
    CUgraphExec exec = instantiate(graph);
    CHECK(cuGraphDestroy(graph));
    for (int round = 0; round < 3; round++) {
        CHECK(cuMemsetD32(a, 0, 64));
        CHECK(cuMemsetD32(b, 0, 64));
        for (unsigned i = 0; i < 64; i++)
            pinned[i] = 0;
        CHECK(cuGraphLaunch(exec, stream));
        CHECK(cuStreamSynchronize(stream));
        for (unsigned i = 0; i < 64; i++)
            if (pinned[i] != (i < 32 ? 3 * i : 7))
                fail("round %d: word %u is %u", round, i, pinned[i]);
    }
    CHECK(cuGraphExecDestroy(exec));

    /* The same by hand. */
    CUgraphNode fill, copy, nothing;
    CUDA_MEMSET_NODE_PARAMS set = {
        .dst = b, .value = 11, .elementSize = 4, .width = 64, .height = 1};
    CUDA_MEMCPY3D box = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                         .srcDevice = b,
                         .dstMemoryType = CU_MEMORYTYPE_HOST,
                         .dstHost = pinned,
                         .WidthInBytes = sizeof(pageable),
                         .Height = 1,
                         .Depth = 1};
    CHECK(cuGraphCreate(&graph, 0));
    CHECK(cuGraphAddMemsetNode(&fill, graph, NULL, 0, &set, program.ctx));
    CHECK(cuGraphAddEmptyNode(&nothing, graph, &fill, 1));
    CHECK(cuGraphAddMemcpyNode(&copy, graph, NULL, 0, &box, program.ctx));
    CHECK(cuGraphAddDependencies(graph, &nothing, &copy, 1));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &nothing, &copy, 1));
    exec = instantiate(graph);
    CHECK(cuGraphLaunch(exec, stream));
    CHECK(cuStreamSynchronize(stream));
    for (unsigned i = 0; i < 64; i++)
        REQUIRE(pinned[i] == 11);
    CHECK(cuGraphExecDestroy(exec));
    CHECK(cuGraphDestroy(graph));
    CHECK(cuMemFreeHost(pinned));
    CHECK(cuMemFree(a));
    CHECK(cuMemFree(b));
}

static void setup(void)
{
    uint32_t *ones = host_alloc(N * sizeof(*ones));
    CUgraph graph;

    expected = host_alloc(N * sizeof(*expected));
    digit = kernel("digit");
    add = kernel("add");
    number = device_alloc(sizeof(uint32_t));
    CHECK(cuMemsetD32(number, 0, 1));
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK(cuStreamCreate(&side, CU_STREAM_NON_BLOCKING));
    CHECK(cuEventCreate(&forked, CU_EVENT_DISABLE_TIMING));
    CHECK(cuEventCreate(&joined, CU_EVENT_DISABLE_TIMING));
    chain();
    fork_and_join();
    rules();
    copies();

    for (uint32_t i = 0; i < N; i++)
        ones[i] = i;
    step = device_copy_of(ones, N * sizeof(*ones));
    sum = device_alloc(N * sizeof(*ones));
    CHECK(cuMemsetD32(sum, 0, N));
    free(ones);
    uint32_t n = N;
    CHECK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    for (int i = 0; i < 4; i++)
        launch_1d(add, stream, N, 128, PARAMS(&sum, &step, &n));
    CHECK(cuStreamEndCapture(stream, &graph));
    replay = instantiate(graph);
    CHECK(cuGraphDestroy(graph));
    details("launches per job=%zu", program.size);
}

static void job(void)
{
    for (size_t i = 0; i < program.size; i++, launches++)
        CHECK(cuGraphLaunch(replay, stream));
    CHECK(cuStreamSynchronize(stream));
}

static void check(void)
{
    CHECK(cuMemcpyDtoH(expected, sum, N * sizeof(*expected)));
    for (uint32_t i = 0; i < N; i++)
        if (expected[i] != i * 4 * launches)
            fail("after %u launches element %u is %u", launches, i, expected[i]);
}

static void teardown(void)
{
    CHECK(cuGraphExecDestroy(replay));
    CHECK(cuStreamDestroy(stream));
    CHECK(cuStreamDestroy(side));
    CHECK(cuEventDestroy(forked));
    CHECK(cuEventDestroy(joined));
    CHECK(cuMemFree(sum));
    CHECK(cuMemFree(step));
    CHECK(cuMemFree(number));
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "graphs",
        .usage = "--size: graph launches per job",
        .ptx = graphs_ptx,
        .default_size = 50,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
