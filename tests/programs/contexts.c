/* SPDX-License-Identifier: Apache-2.0 */
/* contexts - the primary and explicit contexts, the stack of each thread, and threads at work side
 * by side */
#include "program.h"

#include <pthread.h>
#include <stdlib.h>

extern const char contexts_ptx[];

#define THREADS 4
#define STEPS 16

static CUcontext current(void)
{
    CUcontext ctx;

    CHECK(cuCtxGetCurrent(&ctx));
    return ctx;
}

static CUcontext pop(void)
{
    CUcontext ctx;

    CHECK(cuCtxPopCurrent(&ctx));
    return ctx;
}

static void primary(void)
{
    CUcontext first, second;
    unsigned int flags, version;
    int active;
    CUdevice dev;
    size_t stack;

    CHECK(cuDevicePrimaryCtxGetState(program.dev, &flags, &active));
    REQUIRE(!active && current() == NULL);
    CHECK(cuDevicePrimaryCtxRetain(&first, program.dev));
    CHECK(cuDevicePrimaryCtxRetain(&second, program.dev));
    REQUIRE(first && first == second && current() == NULL);
    CHECK(cuDevicePrimaryCtxGetState(program.dev, &flags, &active));
    REQUIRE(active);
    CHECK(cuDevicePrimaryCtxRelease(program.dev));
    CHECK(cuDevicePrimaryCtxGetState(program.dev, &flags, &active));
    REQUIRE(active);

    CHECK(cuCtxSetCurrent(first));
    REQUIRE(current() == first);
    CHECK(cuCtxGetDevice(&dev));
    REQUIRE(dev == program.dev);
    CHECK(cuCtxGetApiVersion(first, &version));
    REQUIRE(version >= 3010);
    CHECK(cuCtxGetLimit(&stack, CU_LIMIT_STACK_SIZE));
    REQUIRE(stack > 0);
    CHECK(cuCtxSetCurrent(NULL));
    REQUIRE(current() == NULL);
    program.ctx = first;
}

/* Push, pop and set act on the calling thread's stack; a created context is pushed. */
static void stack(void)
{
    CUcontext made;
    unsigned int flags;
    int least = -100, greatest = 100;

    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuCtxCreate(&made, CU_CTX_SCHED_BLOCKING_SYNC, program.dev));
    REQUIRE(made != program.ctx && current() == made);
    CHECK(cuCtxGetFlags(&flags));
    REQUIRE((flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC);
    CHECK(cuCtxGetStreamPriorityRange(&least, &greatest));
    REQUIRE(least >= greatest);
    CHECK(cuCtxPushCurrent(program.ctx));
    REQUIRE(current() == program.ctx);
    REQUIRE(pop() == program.ctx && current() == made);
    REQUIRE(pop() == made && current() == program.ctx);
    REQUIRE(pop() == program.ctx && current() == NULL);
    CHECK(cuCtxDestroy(made));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxPopCurrent(&made));
    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuCtxCreate(&made, 0, program.dev));
    CHECK(cuCtxDestroy(made));
    REQUIRE(current() == program.ctx); /* destroying the current context pops it */
}

/* Modules and memory belong to the context they were made in. */
static void two_contexts(void)
{
    CUcontext made;
    CUmodule mod;
    CUfunction fn;
    CUdeviceptr mine, other;
    uint32_t value = 5, n = 100, got[100];

    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuModuleLoadData(&program.mod, contexts_ptx));
    other = device_alloc(sizeof(got));
    CHECK(cuMemsetD32(other, 1, n));
    CHECK(cuCtxCreate(&made, 0, program.dev));
    CHECK(cuModuleLoadData(&mod, contexts_ptx));
    CHECK(cuModuleGetFunction(&fn, mod, "add_value"));
    mine = device_alloc(sizeof(got));
    CHECK(cuMemsetD32(mine, 2, n));
    launch_1d(fn, NULL, n, 64, PARAMS(&mine, &value, &n));
    CHECK(cuMemcpyDtoH(got, mine, sizeof(got)));
    for (uint32_t i = 0; i < n; i++)
        REQUIRE(got[i] == 7);
    CHECK(cuMemFree(mine));
    CHECK(cuCtxDestroy(made));
    launch_1d(kernel("add_value"), NULL, n, 64, PARAMS(&other, &value, &n));
    CHECK(cuMemcpyDtoH(got, other, sizeof(got)));
    for (uint32_t i = 0; i < n; i++)
        REQUIRE(got[i] == 6);
    CHECK(cuMemFree(other));
}

/* Each thread has a stream and a buffer of its own, and adds to it in steps. */
static void *worker(void *arg)
{
    uint32_t number = (uint32_t)(uintptr_t)arg, n = (uint32_t)program.size, total = 0;
    size_t bytes = n * sizeof(uint32_t);
    uint32_t *got = host_alloc(bytes);
    CUdeviceptr ptr;
    CUstream stream;
    CUcontext ctx;
    CUfunction fn;

    REQUIRE(current() == NULL); /* a new thread starts with an empty stack */
    CHECK(cuCtxSetCurrent(program.ctx));
    CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK(cuStreamGetCtx(stream, &ctx));
    REQUIRE(ctx == program.ctx);
    fn = kernel("add_value");
    ptr = device_alloc(bytes);
    CHECK(cuMemsetD32Async(ptr, number, n, stream));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t value = number * 1000 + step;

        launch_1d(fn, stream, n, 128, PARAMS(&ptr, &value, &n));
        total += value;
        if (step % 4 == 3)
            CHECK(cuStreamSynchronize(stream));
    }
    CHECK(cuMemcpyDtoHAsync(got, ptr, bytes, stream));
    CHECK(cuStreamSynchronize(stream));
    for (uint32_t i = 0; i < n; i++)
        if (got[i] != number + total)
            fail("thread %u: word %u is %u, expected %u", number, i, got[i], number + total);
    CHECK(cuMemFree(ptr));
    CHECK(cuStreamDestroy(stream));
    free(got);
    return NULL;
}

static void job(void)
{
    pthread_t threads[THREADS];
    unsigned int flags;
    int active;

    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&program.dev, program.ordinal));
    primary();
    stack();
    two_contexts();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)(i + 1)) != 0)
            fail("cannot start a thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(cuModuleUnload(program.mod));
    CHECK(cuCtxSetCurrent(NULL));
    CHECK(cuDevicePrimaryCtxRelease(program.dev));
    CHECK(cuDevicePrimaryCtxGetState(program.dev, &flags, &active));
    REQUIRE(!active);
    if (program.seconds == 0)
        details("threads=%d words=%zu", THREADS, program.size);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "contexts",
        .usage = "--size: words per thread",
        .default_size = 10000,
        .own_context = true,
        .job = job,
    };

    return program_main(&p, argc, argv);
}
